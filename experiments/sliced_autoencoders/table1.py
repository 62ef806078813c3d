r"""Table 1 of the paper beside ours: skewness, kurtosis, reconstruction error and Fréchet distance of each method.

    python -m experiments.sliced_autoencoders.table1 --dataset=mnist --data_dir=DIR \
        --seeds=3 --workdir=runs/table1_mnist

Trains what is missing, so an interrupted table goes on where it stopped. Prints a Markdown table, and writes it to
`table1.md` and, with curves and pictures of the first seed, to `table1.html`.
"""

from absl import flags

from experiments.sliced_autoencoders import paper, runs
from gentoolkit import report, study

_LABELS = {
    "skewness": "skewness (raw Mardia)",
    "normalized_kurtosis": "kurtosis - d(d+2)",
    "reconstruction_error": "reconstruction error",
    "sliced_w2_squared": "sliced W2² to the prior",
    "ks_rejected": "slices rejected by KS at 5 %",
}


def table(dataset: str, results: dict[str, list[dict[str, float]]], epochs: float) -> report.Table:
    """Returns the table: a row for each metric and source, a column for each method."""
    first = next(iter(results.values()))[0]
    frechet = [name.removeprefix("test/") for name in first if is_frechet(name)]
    labels = _LABELS | {name: name.replace("_", " ") + " (not FID)" for name in frechet}
    return study.beside(
        {name: {m: [seed[f"test/{name}"] for seed in found] for m, found in results.items()} for name in labels},
        {metric: row for (data, metric), row in paper.TABLE_1.items() if data == dataset},
        columns=list(results),
        labels=labels,
        caption=f"{dataset}, {epochs:g} epochs, held-out images; ours: mean ± standard deviation over "
        f"{max(map(len, results.values()))} seed(s). The paper gives one run of unstated length, learning rate and "
        "number of slices.",
    )


def is_frechet(metric: str) -> bool:
    """Whether a metric is a Fréchet distance (and not the number of images behind one)."""
    return metric.startswith("test/frechet_") and "_num_" not in metric


def main() -> None:
    """Makes the runs and the table."""
    made, values = runs.make(), flags.FLAGS
    study.publish(
        values.workdir,
        "table1",
        report.notes("Curves, pictures and settings are those of seed 0."),
        *report.comparison({method: report.read(found[0].workdir) for method, found in made.items()}),
        title=f"Table 1 on {values.dataset}",
        table=table(
            values.dataset,
            {method: [run.metrics for run in found] for method, found in made.items()},
            runs.configure("ae", 0).num_epochs,
        ),
    )


if __name__ == "__main__":
    runs.start(main)
