r"""Figures 3 and 4 of the paper: Fréchet distance, skewness, kurtosis and sliced W2 against the step, for each method.

    python -m experiments.sliced_autoencoders.figure3 --dataset=mnist --data_dir=DIR \
        --seeds=1 --workdir=runs/table1_mnist

Uses the runs of `table1.py` in the same folder, and trains those that are missing. Writes `figure3.svg` and a page.
"""

import pathlib

from absl import flags

from experiments.sliced_autoencoders import runs
from experiments.sliced_autoencoders.table1 import is_frechet
from gentoolkit import report, study

_METRICS = ("test/skewness", "test/normalized_kurtosis", "test/sliced_w2_squared", "test/reconstruction_error")


def charts(made: dict[str, list[study.Run]]) -> list[report.Chart]:
    """Returns a chart for each metric: mean and standard deviation over seeds of each method."""
    curves = report.averages({method: [report.read(run.workdir) for run in found] for method, found in made.items()})
    shown = {name: lines for name, lines in curves.items() if name in _METRICS or is_frechet(name)}
    return [report.Chart(name.removeprefix("test/").replace("_", " "), lines) for name, lines in shown.items()]


def main() -> None:
    """Makes the runs and the figure."""
    drawn, values = charts(runs.make()), flags.FLAGS
    report.write_text(pathlib.Path(values.workdir) / "figure3.svg", report.figure(drawn))
    study.publish(values.workdir, "figure3", report.charts(*drawn), title=f"Figures 3 and 4 on {values.dataset}")


if __name__ == "__main__":
    runs.start(main)
