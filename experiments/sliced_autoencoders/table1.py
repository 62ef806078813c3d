r"""Table 1 of the paper beside ours: skewness, kurtosis, reconstruction error and Fréchet distance of each method.

    python -m experiments.sliced_autoencoders.table1 --dataset=mnist --data_dir=DIR \
        --seeds=3 --workdir=runs/table1_mnist

Trains what is missing, so an interrupted table goes on where it stopped. Prints a Markdown table, and writes it to
`table1.md` and, with curves and pictures of the first seed, to `table1.html`.
"""

import pathlib
import statistics

from absl import app, flags, logging

from experiments.sliced_autoencoders import paper, runs
from gentoolkit import report

_LABELS = {
    "skewness": "skewness (raw Mardia)",
    "normalized_kurtosis": "kurtosis - d(d+2)",
    "reconstruction_error": "reconstruction error",
    "sliced_w2_squared": "sliced W2² to the prior",
    "ks_rejected": "slices rejected by KS at 5 %",
}


def table(dataset: str, results: dict[str, list[dict[str, float]]], epochs: float) -> report.Table:
    """Returns the table: a row for each metric and source, a column for each method."""
    names = list(_LABELS) + [n.removeprefix("test/") for n in _frechet_names(results)]
    seeds = max(len(values) for values in results.values())
    rows = []
    for name in names:
        label = _LABELS.get(name, name.replace("_", " ") + " (not FID)")
        ours = [_mean_and_spread([m[f"test/{name}"] for m in values]) for values in results.values()]
        rows.append([f"{label}, ours", *ours])
        published = paper.TABLE_1.get((dataset, name))
        if published:
            rows.append([f"{label}, paper", *[f"{published[m]:.2f}" if m in published else "-" for m in results]])
    caption = (
        f"{dataset}, {epochs:g} epochs, held-out images; ours: mean ± standard deviation over {seeds} seed(s). "
        "The paper gives one run of unstated length, learning rate and number of slices."
    )
    return report.Table(["", *results], rows, caption)


def _frechet_names(results: dict[str, list[dict[str, float]]]) -> list[str]:
    first = next(iter(results.values()))[0]
    return [n for n in first if n.startswith("test/frechet_") and not n.rsplit("_", 2)[-2] == "num"]


def _mean_and_spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


def main(argv: list[str]) -> None:
    """Makes the runs and the table."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    logging.set_verbosity(logging.ERROR)
    chosen = runs.grid()
    results: dict[str, list[dict[str, float]]] = {}
    for run, metrics in runs.make(chosen):
        results.setdefault(run.method, []).append(metrics)
    made = table(flags.FLAGS.dataset, results, chosen[0].config.num_epochs)
    print("\n" + made.markdown())
    workdir = pathlib.Path(flags.FLAGS.workdir)
    (workdir / "table1.md").write_text(made.markdown())
    first = {run.method: run.workdir for run in chosen if run.seed == 0}
    page = report.write_comparison(
        workdir / "table1.html", first, title=f"Table 1 on {flags.FLAGS.dataset}", table=made
    )
    print(f"Page with curves and pictures of seed 0: {page}")


if __name__ == "__main__":
    runs.define_flags()
    app.run(main)
