"""The study behind figures 2 and 3: every estimator on every law, size and trial; a table, what is met, and charts."""

import functools
import pathlib
import statistics
from collections.abc import Sequence

import jax
from absl import flags

from experiments.density_destructors import estimators, laws
from gentoolkit import report, study
from gentoolkit.training import launch

SIZES = (500, 1500, 5000, 15_000, 50_000)
_INTERVAL = 1.96  # standard errors
_ENOUGH = 0.8  # share of intervals that are to cover the truth


def start(measure: estimators.Measure, figure: str) -> None:
    """Runs the script of a figure, which writes `FIGURE.svg`, `FIGURE.md` and a page."""
    flags.DEFINE_list("dims", ["3", "10", "50"], "Numbers of features.")
    flags.DEFINE_list("dofs", ["3", "5"], "Degrees of freedom of the Student t laws.")
    flags.DEFINE_list("sizes", [str(n) for n in SIZES], "Sample sizes.")
    flags.DEFINE_integer("trials", 5, "Samples of each law and size.", lower_bound=1)
    flags.DEFINE_bool("others", True, "Also laws that are not the paper's: skewed copula, mixture, correlated t.")
    flags.DEFINE_list("estimators", [], "Which; all if empty.")
    flags.DEFINE_string(
        "workdir", None, "Folder of the results; what it holds already is not computed again.", required=True
    )

    def main() -> None:
        rows = run(measure)
        folder, drawn = pathlib.Path(flags.FLAGS.workdir), charts(rows)
        report.write_text(folder / f"{figure}.svg", report.figure(drawn, columns=len({row["dim"] for row in rows})))
        title = f"{measure.replace('_', ' ').capitalize()} by every estimator"
        drawings = report.section("Mean and spread over trials", report.charts(*drawn))
        study.publish(folder, figure, drawings, title=title, table=table(rows), claims=claims(rows))

    launch.start(study.script(main), expected=(OSError, ValueError))


def chosen_laws() -> list[laws.Law]:
    """Returns the laws that the flags ask for, the paper's first."""
    values = flags.FLAGS
    dims = study.numbers("--dims", values.dims, least=2)
    found = [laws.student(d, dof) for dof in study.numbers("--dofs", values.dofs, of=float) for d in dims]
    if values.others:
        found += [make(d) for make in (laws.skewed_copula, laws.two_normals) for d in dims]
        found += [laws.student(d, 4.0, correlated=True) for d in dims]
    return found


def run(measure: estimators.Measure) -> list[study.Row]:
    """Computes what is missing of the grid and returns all of it, a row for each estimate."""
    values = flags.FLAGS
    chosen = {(law.name, law.dim): law for law in chosen_laws()}
    made = functools.cache(functools.partial(estimators.estimators, measure))
    keys = [
        {"law": law, "dim": dim, "n": n, "trial": trial, "estimator": name}
        for law, dim in chosen
        for n in study.numbers("--sizes", values.sizes, least=10)
        for name in study.chosen("--estimators", values.estimators, made(dim))
        for trial in range(values.trials)
        if not estimators.too_slow(name, n)
    ]

    def estimate(cell: study.Row) -> study.Row:
        law = chosen[cell["law"], cell["dim"]]
        draw_key, key = jax.random.split(jax.random.fold_in(jax.random.key(cell["n"]), cell["trial"]))
        value, error = made(law.dim)[cell["estimator"]](key, law.draw(draw_key, cell["n"]))
        return {"value": value, "standard_error": error, "truth": getattr(law, measure)}

    return study.complete(pathlib.Path(values.workdir) / "results.jsonl", keys, estimate, config={"measure": measure})


def table(rows: Sequence[study.Row]) -> report.Table:
    """Returns bias and spread over trials of each estimator, a row for each law, dimension and size."""
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    lines = []
    for (law, dim, n), found in study.group(rows, "law", "dim", "n").items():
        truth, by_name = found[0]["truth"], study.group(found, "estimator")
        got = [study.summary([row["value"] for row in by_name.get((name,), ())]) for name in names]
        cells = [f"{one.mean - truth:+.3f} ({one.spread:.3f})" if one.num else "-" for one in got]
        lines.append([law, dim, n, f"{truth:.4f}", *cells])
    return report.Table(
        ["law", "d", "n", "truth", *names], lines, "Bias and, in brackets, spread over trials, in nats."
    )


def claims(rows: Sequence[study.Row]) -> list[study.Claim]:
    """Returns what the recommended estimator was asked for, and whether it is met."""
    rows = [row for row in rows if row["estimator"] == estimators.RECOMMENDED]
    if not rows:
        return []
    made, grown = [], []
    for (law, dim), own in study.group(rows, "law", "dim").items():
        by_size = {n: found for (n,), found in sorted(study.group(own, "n").items())}
        truth, largest = own[0]["truth"], max(row["n"] for row in rows)
        errors = {n: statistics.mean(row["value"] for row in found) - truth for n, found in by_size.items()}
        if largest in errors:
            limit, relative = 0.25 if dim >= 50 else 0.15, errors[largest] / truth
            name = f"{law}, d = {dim}, n = {largest}: the mean is within {limit:.0%} of the truth"
            made.append(study.Claim(name, abs(relative) <= limit, f"{relative:+.1%}"))
        first, last = abs(errors[min(errors)]), abs(errors[max(errors)])
        if last > first:
            grown.append(f"{law} d = {dim} ({first:.3f} to {last:.3f})")
    inside = [abs(row["value"] - row["truth"]) <= _INTERVAL * (row["standard_error"] or 0.0) for row in rows]
    share = sum(inside) / len(inside)
    name = f"± {_INTERVAL} standard errors cover the truth in at least {_ENOUGH:.0%} of the samples"
    made.append(study.Claim(name, share >= _ENOUGH, f"{share:.0%} of {len(inside)}"))
    name = "the error of the mean is nowhere larger at the largest n than at the smallest"
    return [*made, study.Claim(name, not grown, ", ".join(grown))]


def charts(rows: Sequence[study.Row]) -> list[report.Chart]:
    """Returns a chart for each law and dimension: every estimator against n, and the truth."""
    made = []
    for (law, dim), own in study.group(rows, "law", "dim").items():
        lines = {}
        for (name,), found in study.group(own, "estimator").items():
            sizes = sorted(study.group(found, "n").items())
            lines[name.replace("_", " ")] = [(n, *study.summary([r["value"] for r in at])[:2]) for (n,), at in sizes]
        truth = own[0]["truth"]
        chart = report.Chart(
            f"{law.replace('_', ' ')}, d = {dim}",
            lines,
            x="samples",
            y="nats",
            log_x=True,
            log_y=False,
            # What is near the truth is shown: some estimators are off by many times it.
            y_limits=(-0.5 * truth, 2.5 * truth),
            levels={"truth": truth},
            bold=[estimators.RECOMMENDED],
        )
        made.append(chart)
    return made
