"""Pages about runs: self-contained HTML from the files of a run folder, nothing else of the toolkit needed.

A run folder holds `config.json`, `metrics.jsonl`, optionally `pictures/` and `summary.json`::

    report.save_grid(workdir / "pictures" / "samples.png", images)
    report.write_summary(workdir, title="...", command="...", pictures=[("samples.png", "Decoded draws")])
    report.write_run(workdir)  # -> workdir / "report.html"

`write_comparison` puts several runs on one page.
"""

from gentoolkit.report.page import write_comparison as write_comparison
from gentoolkit.report.page import write_run as write_run
from gentoolkit.report.pictures import save_grid as save_grid
from gentoolkit.report.pictures import save_pairs as save_pairs
from gentoolkit.report.run_files import Table as Table
from gentoolkit.report.run_files import commit as commit
from gentoolkit.report.run_files import environment as environment
from gentoolkit.report.run_files import write_summary as write_summary
