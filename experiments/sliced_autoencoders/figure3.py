r"""Figures 3 and 4 of the paper: Fréchet distance, skewness, kurtosis and sliced W2 against the step, for each method.

    python -m experiments.sliced_autoencoders.figure3 --dataset=mnist --data_dir=DIR \
        --seeds=1 --workdir=runs/table1_mnist

Uses the runs of `table1.py` in the same folder, and trains those that are missing. Writes `figure3.svg`.
"""

import json
import pathlib

from absl import app, flags, logging

from experiments.sliced_autoencoders import runs
from gentoolkit.report import charts

_METRICS = ("skewness", "normalized_kurtosis", "sliced_w2_squared", "reconstruction_error")


def curves(chosen: list[runs.Run]) -> str:
    """Returns the figure as SVG: the mean over seeds of each method."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for method in dict.fromkeys(run.method for run in chosen):
        values: dict[str, dict[int, list[float]]] = {}
        for run in (r for r in chosen if r.method == method):
            for text in (run.workdir / "metrics.jsonl").read_text().splitlines():
                line = json.loads(text)
                for name, value in line.items():
                    short = name.removeprefix("test/")
                    shown = short in _METRICS or (short.startswith("frechet_") and "_num_" not in short)
                    if shown and name != short and value is not None:
                        values.setdefault(short, {}).setdefault(line["step"], []).append(value)
        for name, by_step in values.items():
            mean = [(step, sum(v) / len(v)) for step, v in sorted(by_step.items())]
            panels.setdefault(name, {})[method] = mean
    return charts.curves(panels)


def main(argv: list[str]) -> None:
    """Makes the runs and the figure."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    logging.set_verbosity(logging.ERROR)
    chosen = runs.grid()
    for _ in runs.make(chosen):
        pass
    path = pathlib.Path(flags.FLAGS.workdir) / "figure3.svg"
    path.write_text(curves(chosen))
    print(f"Curves: {path}")


if __name__ == "__main__":
    runs.define_flags()
    app.run(main)
