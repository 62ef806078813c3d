"""Pages: blocks of text, tables, charts and pictures in one HTML file; a run folder is one source of blocks.

A page about anything::

    report.write_page(
        "runs/mine/page.html",
        "What was done, in a sentence.",
        report.Table(["method", "error"], [["ours", "0.12"], ["theirs", "0.34"]], "Held-out images."),
        report.section("Errors", report.curves({"error": {"ours": [(10, 0.5), (100, 0.1)]}}, x="samples", log_x=True)),
        report.section("Images", report.sheet([[before, after]], columns=["before", "after"], labels=["a street"])),
        report.provenance("python -m experiments.mine.main"),
        title="Mine",
    )

Text is escaped; an image is an array or a file, and becomes JPEG or PNG by what it holds. A page about a training run,
whose folder holds `config.json`, `metrics.jsonl`, optionally `pictures/` and `summary.json`::

    report.save_grid(workdir / "pictures" / "samples.png", images)
    report.write_summary(workdir, title="...", command="...", pictures=[("samples.png", "Decoded draws")])
    report.write_run(workdir)  # -> workdir / "report.html"

`write_comparison` puts several runs on one page.
"""

from gentoolkit.report.blocks import Block as Block
from gentoolkit.report.blocks import Html as Html
from gentoolkit.report.blocks import Picture as Picture
from gentoolkit.report.blocks import bullets as bullets
from gentoolkit.report.blocks import charts as charts
from gentoolkit.report.blocks import code as code
from gentoolkit.report.blocks import configuration as configuration
from gentoolkit.report.blocks import curves as curves
from gentoolkit.report.blocks import notes as notes
from gentoolkit.report.blocks import pictures as pictures
from gentoolkit.report.blocks import provenance as provenance
from gentoolkit.report.blocks import section as section
from gentoolkit.report.blocks import sheet as sheet
from gentoolkit.report.blocks import values as values
from gentoolkit.report.chart import Chart as Chart
from gentoolkit.report.chart import figure as figure
from gentoolkit.report.files import write_text as write_text
from gentoolkit.report.page import write_page as write_page
from gentoolkit.report.picture import save_grid as save_grid
from gentoolkit.report.picture import save_pairs as save_pairs
from gentoolkit.report.run_files import Run as Run
from gentoolkit.report.run_files import command as command
from gentoolkit.report.run_files import commit as commit
from gentoolkit.report.run_files import environment as environment
from gentoolkit.report.run_files import read as read
from gentoolkit.report.run_files import write_summary as write_summary
from gentoolkit.report.runs import averages as averages
from gentoolkit.report.runs import comparison as comparison
from gentoolkit.report.runs import write_comparison as write_comparison
from gentoolkit.report.runs import write_run as write_run
from gentoolkit.report.tables import Table as Table
