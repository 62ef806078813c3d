r"""Total correlation, mutual information or entropy of a table of yours, with interval and a page.

    python -m experiments.density_destructors.main --input=table.csv --measure=total_correlation --workdir=runs/table
    python -m experiments.density_destructors.main --input=table.npy --measure=mutual_information --split=3 \
        --workdir=runs/table

Reads `.npy`, `.csv` (first line: names) and `.parquet` (needs pyarrow). Rows are samples, columns features.
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
from absl import app, flags

from experiments.density_destructors import tables
from gentoolkit import information, report

_INPUT = flags.DEFINE_string("input", None, "The table: .npy, .csv or .parquet.", required=True)
_MEASURE = flags.DEFINE_enum(
    "measure", "total_correlation", ["total_correlation", "mutual_information", "entropy"], "What to estimate."
)
_COLUMNS = flags.DEFINE_list("columns", [], "Names (or numbers, from 0) of the columns to use; all if empty.")
_SPLIT = flags.DEFINE_integer(
    "split", None, "For mutual information: how many of the columns form the first block.", lower_bound=1
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 99, "Permuted copies for the p-value; 0 for none.", lower_bound=0)
_LAYERS = flags.DEFINE_integer("num_layers", None, "Layers of the destructor; by default the estimator's own.")
_COMPONENTS = flags.DEFINE_integer(
    "max_components", None, "Clusters to start with, at most; 1 for none, in less than half the time.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/table", "Where the page goes.")

_INTERVAL = 1.96


def main(argv: list[str]) -> int:
    """Reads, estimates, prints and writes the page; returns the exit status."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    try:
        table = tables.read(_INPUT.value, _COLUMNS.value)
        for note in table.notes:
            print(f"note: {note}")
        rows, num = table.values.shape
        print(f"{rows} rows, {num} columns: {', '.join(table.names)}", flush=True)
        got = _estimate(table)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    name = _MEASURE.value.replace("_", " ")
    cells = [["estimate", f"{float(got.value):.4f}"]]
    if got.standard_error is not None:
        half = _INTERVAL * float(got.standard_error)
        cells.append(["95 % interval", f"{float(got.value) - half:.4f} to {float(got.value) + half:.4f}"])
    if got.shortfall is not None:
        cells.append(["by rows left out of the fit alone", f"{float(got.value) - float(got.shortfall):.4f}"])
    if got.p_value is not None:
        cells.append(["mean with permuted columns", f"{float(got.null_mean):.4f}"])
        cells.append(["p-value of no dependence", f"{float(got.p_value):.3g}"])
    print(f"\n{name}, nats:")
    for label, text in cells:
        print(f"  {label:<34} {text}")
    page = _write_page(table, name, cells, got)
    print(f"\nReport: {page}")
    return 0


def _estimate(table: tables.Table) -> information.Estimate:
    key, x = jax.random.key(_SEED.value), jnp.asarray(table.values, jnp.float32)
    given = {"num_layers": _LAYERS.value, "max_components": _COMPONENTS.value}
    options = {name: value for name, value in given.items() if value is not None}
    if _MEASURE.value == "entropy":
        return information.entropy(key, x, **options)
    options["num_permutations"] = _PERMUTATIONS.value
    if _MEASURE.value == "total_correlation":
        return information.total_correlation(key, x, **options)
    if _SPLIT.value is None or _SPLIT.value >= x.shape[1]:
        raise ValueError(
            f"--split must be from 1 to {x.shape[1] - 1} for mutual information of {x.shape[1]} columns, "
            f"got {_SPLIT.value}."
        )
    return information.mutual_information(key, x[:, : _SPLIT.value], x[:, _SPLIT.value :], **options)


def _write_page(table: tables.Table, name: str, cells: list[list[str]], got: information.Estimate) -> pathlib.Path:
    folder = pathlib.Path(_WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    config = {flag.name: flag.value for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    trace = [float(got.value)] if got.trace is None else got.trace.tolist()
    # The page draws a line for each layer as a curve; layers that rows left out did not like are not in the estimate.
    lines = [json.dumps({"step": step, "after_each_layer": value}) for step, value in enumerate(trace)]
    lines.append(json.dumps({"step": len(trace) - 1, name.replace(" ", "_"): float(got.value)}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    report.write_summary(
        folder,
        title=f"{name} of {pathlib.Path(_INPUT.value).name}",
        command=" ".join(["python -m experiments.density_destructors.main", *sys.argv[1:]]),
        table=report.Table(["", "nats"], cells, f"{table.values.shape[0]} rows; columns: {', '.join(table.names)}"),
        notes=[
            "The interval has chance in it, and what few rows teach the destructor wrong. A dependence of a kind that "
            "it cannot show at all is not in it, and makes total correlation low.",
            *table.notes,
        ],
    )
    return report.write_run(folder)


if __name__ == "__main__":
    app.run(main)
