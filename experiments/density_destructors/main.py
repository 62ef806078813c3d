r"""Total correlation, mutual information or entropy of a table of yours, with interval and a page.

    python -m experiments.density_destructors.main --input=table.csv --measure=total_correlation --workdir=runs/table
    python -m experiments.density_destructors.main --input=table.npy --measure=mutual_information --split=3 \
        --workdir=runs/table

Reads text with any usual delimiter (`.csv`, `.tsv`, `.txt`, also `.gz`), `.npy`, `.npz`, `.parquet` and folders of it.
Rows are samples, columns features. A first number comes at once; the estimate when its program is compiled, which the
next table of that shape is spared.
"""

import json
import pathlib

import jax
import numpy as np
from absl import app, flags

from experiments.density_destructors import measures, quick, tables, work
from gentoolkit import information, report, study
from gentoolkit.information import estimate as doubt
from gentoolkit.training import launch

_INPUT = flags.DEFINE_string("input", None, "The table: a file or a folder of .parquet files.", required=True)
_MEASURE = flags.DEFINE_enum(
    "measure", "total_correlation", ["total_correlation", "mutual_information", "entropy"], "What to estimate."
)
_COLUMNS = flags.DEFINE_list("columns", [], "Names (or numbers, from 0) of the columns to use; all if empty.")
_HEADER = flags.DEFINE_enum("header", "auto", ["auto", "yes", "no"], "Whether the first line of a text has names.")
_DECIMAL = flags.DEFINE_enum(
    "decimal", "auto", ["auto", "point", "comma"], "The sign between whole and fraction in a text."
)
_MISSING = flags.DEFINE_enum(
    "missing", "refuse", ["refuse", "drop"], "Rows with missing or infinite values: refuse the table, or drop them."
)
_SPLIT = flags.DEFINE_integer(
    "split", None, "For mutual information: how many of the columns form the first block.", lower_bound=1
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 99, "Permuted copies for the p-value; 0 for none.", lower_bound=0)
_TEST = flags.DEFINE_enum(
    "test",
    "quick",
    ["quick", "estimator"],
    "What the p-value compares: correlations of normal scores and of their squares, within seconds; or the estimate "
    "itself, which takes its time again for every copy.",
)
_LAYERS = flags.DEFINE_integer(
    "num_layers", None, "Layers of the destructor; by default the estimator's own.", lower_bound=1
)
_COMPONENTS = flags.DEFINE_integer(
    "max_components", None, "Clusters to start with, at most; 1 for none, in less than half the time.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
_WORKDIR = flags.DEFINE_string("workdir", "runs/table", "Where the page goes.")

_INTERVAL = 1.96
_PAGE = "report.html"


def main() -> int:
    """Reads, estimates, prints and writes the page; returns the exit status."""
    work.leave_on_ctrl_c()
    if _MEASURE.value != "mutual_information" and _SPLIT.value is not None:
        raise app.UsageError("--split is for --measure=mutual_information.")
    if not _INPUT.value:
        raise app.UsageError("--input is empty.")
    table = tables.read(
        _INPUT.value, _COLUMNS.value, missing=_MISSING.value, header=_HEADER.value, decimal=_DECIMAL.value
    )
    for note in table.notes:
        print(f"note: {note}")
    rows, num = table.values.shape
    print(f"{rows} rows, {num} columns: {tables.some(table.names)}", flush=True)
    split = _checked_split(num)
    name = _MEASURE.value.replace("_", " ")
    scores = quick.normal_scores(table.values)
    if _MEASURE.value != "entropy":
        look = quick.first_look(scores, split)
        if look is not None:
            print(f"at a first look, as if normal: {name} {look:.4f} nats", flush=True)
    got, offset = _estimate(table, split, scores)
    cells = _cells(got, offset)
    print(f"\n{name}, nats:")
    for label, text in cells:
        print(f"  {label:<34} {text}")
    print(f"\nReport: {_write_page(table, name, cells, got, offset)}")
    return 0


def _checked_split(num: int) -> int | None:
    if _MEASURE.value != "entropy" and num < 2:
        raise ValueError(f"{_INPUT.value} has one column; shared information needs two.")
    if _MEASURE.value != "mutual_information":
        return None
    if _SPLIT.value is None or _SPLIT.value >= num:
        raise ValueError(
            f"--split must be from 1 to {num - 1} for mutual information of {num} columns, got {_SPLIT.value}."
        )
    return _SPLIT.value


def _estimate(table: tables.Table, split: int | None, scores: np.ndarray) -> tuple[information.Estimate, float]:
    """The estimate of the prepared values, and what is to be added to it."""
    given = {"num_layers": _LAYERS.value, "max_components": _COMPONENTS.value}
    options = {name: value for name, value in given.items() if value is not None}
    x, offset = measures.prepare(table.values, _MEASURE.value)
    tested = _MEASURE.value != "entropy" and _PERMUTATIONS.value
    once = not (tested and _TEST.value == "estimator")
    key, null_key = jax.random.split(jax.random.key(_SEED.value))

    def compile_and_run():
        program = measures.compiled(measures.estimator(_MEASURE.value, split, **options), x, once=once)
        return program, jax.block_until_ready(program(key, x))

    program, got = work.watched("compiling and estimating", compile_and_run)
    print(f"estimate: {float(got.value) + offset:.4f} nats", flush=True)
    if not tested:
        return got, offset
    if _TEST.value == "quick":
        rng = np.random.default_rng(_SEED.value)
        p = work.watched("testing", lambda: quick.independence_p_value(rng, scores, _PERMUTATIONS.value, split))
        return got._replace(p_value=p), offset
    null = []
    with study.Progress(_PERMUTATIONS.value) as progress:
        for place in range(_PERMUTATIONS.value):
            progress.begin("estimating a permuted copy")
            copy = measures.permuted(jax.random.fold_in(null_key, place), x, _MEASURE.value, split)
            null.append(float(program(key, copy).value))
            progress.end()
    p = doubt.p_value(got.value, np.float32(null))
    return got._replace(p_value=p, null_mean=np.mean(null), null_std=np.std(null, ddof=1)), offset


def _cells(got: information.Estimate, offset: float) -> list[list[str]]:
    value = float(got.value) + offset
    cells = [["estimate", f"{value:.4f}"]]
    if got.standard_error is not None:
        half = _INTERVAL * float(got.standard_error)
        cells.append(["95 % interval", f"{value - half:.4f} to {value + half:.4f}"])
    if got.shortfall is not None:
        cells.append(["by rows left out of the fit alone", f"{value - float(got.shortfall):.4f}"])
    if got.null_mean is not None:
        cells.append(["mean with permuted columns", f"{float(got.null_mean):.4f}"])
    if got.p_value is not None:
        cells.append(["p-value of no dependence", f"{float(got.p_value):.3g}"])
    return cells


def _write_page(
    table: tables.Table, name: str, cells: list[list[str]], got: information.Estimate, offset: float
) -> pathlib.Path:
    folder = pathlib.Path(_WORKDIR.value)
    settings = {flag.name: flag.value for flag in flags.FLAGS.get_key_flags_for_module(main.__module__)}
    found = {label: text for label, text in cells}
    report.write_text(folder / "result.json", json.dumps({"nats": found, "settings": settings}, indent=2) + "\n")
    chart: report.Block = ""
    if got.trace is not None and len(got.trace) > 1:
        line = [(layer, float(value) + offset) for layer, value in enumerate(got.trace)]
        levels = {"estimate": float(got.value) + offset}
        chart = report.section(
            "Layer by layer",
            report.curves({f"{name}, nats": {"rows left out of the fit": line}}, x="layers", levels=levels),
            report.notes(
                "What rows left out say after the start and after each layer of the destructor. Layers from the "
                "highest point on are not in the estimate, which also makes up for what few rows taught wrong."
            ),
        )
    tests = {
        "quick": "The p-value compares squared correlations of normal scores, and of their squares, with those of "
        "permuted copies.",
        "estimator": "The p-value compares the estimate with that of permuted copies.",
    }
    return report.write_page(
        folder / _PAGE,
        report.Table(["", "value"], cells, "In nats, but for the p-value." if got.p_value is not None else "In nats."),
        report.notes(
            "The interval has chance in it, and what few rows teach the destructor wrong. A dependence of a kind that "
            "it cannot show at all is not in it, and makes total correlation low.",
            tests[_TEST.value] if got.p_value is not None else "",
            *table.notes,
        ),
        chart,
        report.provenance(report.command()),
        report.configuration(settings),
        title=f"{name.capitalize()} of {pathlib.Path(_INPUT.value).name}",
        subtitle=f"{table.values.shape[0]} rows, {table.values.shape[1]} columns: {tables.some(table.names)}",
    )


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
