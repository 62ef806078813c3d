"""The study behind figures 2 and 3: every estimator on every law, size and trial, kept as JSON lines; resumes."""

import json
import pathlib
import statistics
import time
from collections.abc import Sequence

import jax
from absl import flags

from experiments.density_destructors import estimators, laws
from gentoolkit import report

SIZES = (500, 1500, 5000, 15_000, 50_000)
RESULTS = "results.jsonl"
_INTERVAL = 1.96  # standard errors


def define_flags() -> None:
    """Defines the flags that choose the grid."""
    flags.DEFINE_list("dims", ["3", "10", "50"], "Numbers of features.")
    flags.DEFINE_list("dofs", ["3", "5"], "Degrees of freedom of the Student t laws.")
    flags.DEFINE_list("sizes", [str(n) for n in SIZES], "Sample sizes.")
    flags.DEFINE_integer("trials", 5, "Samples of each law and size.", lower_bound=1)
    flags.DEFINE_bool("others", True, "Also laws that are not the paper's: skewed copula, mixture, correlated t.")
    flags.DEFINE_list("estimators", [], "Which; all if empty.")
    flags.DEFINE_string(
        "workdir", None, "Folder of the results; what it holds already is not computed again.", required=True
    )


def chosen_laws() -> list[laws.Law]:
    """Returns the laws that the flags ask for, the paper's first."""
    values = flags.FLAGS
    dims = [int(d) for d in values.dims]
    found = [laws.student(d, float(dof)) for dof in values.dofs for d in dims]
    if values.others:
        found += [make(d) for make in (laws.skewed_copula, laws.two_normals) for d in dims]
        found += [laws.student(d, 4.0, correlated=True) for d in dims]
    return found


def run(measure: estimators.Measure) -> list[dict]:
    """Computes what is missing of the grid and returns all of it, a dict for each estimate."""
    values = flags.FLAGS
    folder = pathlib.Path(values.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULTS
    # A line that was cut off by a kill is left out, and computed again.
    done = {_key(row): row for row in _lines(path)}
    path.write_text("".join(json.dumps(row) + "\n" for row in done.values()))
    grid = [
        (law, int(n), trial, name)
        for law in chosen_laws()
        for n in values.sizes
        for name in (values.estimators or estimators.estimators(measure, law.dim))
        for trial in range(values.trials)
        if not estimators.too_slow(name, int(n))
    ]
    wanted = [cell for cell in grid if (cell[0].name, cell[0].dim, *cell[1:]) not in done]
    print(f"{measure}: {len(grid)} estimates, {len(grid) - len(wanted)} of them in {path} already", flush=True)
    begin, said = time.monotonic(), 0.0
    made: dict[int, dict[str, estimators.Estimator]] = {}
    with path.open("a") as file:
        for position, (law, n, trial, name) in enumerate(wanted, 1):
            of_law = made.setdefault(law.dim, estimators.estimators(measure, law.dim))
            draw_key, key = jax.random.split(jax.random.fold_in(jax.random.key(n), trial))
            x = law.draw(draw_key, n)
            start = time.monotonic()
            value, error = of_law[name](key, x)
            row = {
                "law": law.name,
                "dim": law.dim,
                "n": n,
                "trial": trial,
                "estimator": name,
                "value": value,
                "standard_error": error,
                "truth": getattr(law, measure),
                "seconds": time.monotonic() - start,
            }
            done[_key(row)] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            elapsed = time.monotonic() - begin
            if elapsed - said > 10 or position == len(wanted):
                said = elapsed
                left = elapsed / position * (len(wanted) - position)
                print(f"  {position}/{len(wanted)}  {law.name} d={law.dim} n={n} {name}  left {left:.0f} s", flush=True)
    return [done[law.name, law.dim, n, trial, name] for law, n, trial, name in grid]


def _key(row: dict) -> tuple:
    return row["law"], row["dim"], row["n"], row["trial"], row["estimator"]


def _lines(path: pathlib.Path) -> list[dict]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def table(rows: Sequence[dict]) -> report.Table:
    """Returns bias and spread over trials of each estimator, a row for each law, dimension and size."""
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    cells = {}
    for row in rows:
        cells.setdefault((row["law"], row["dim"], row["n"]), {}).setdefault(row["estimator"], []).append(row)
    lines = []
    for (law, dim, n), by_name in cells.items():
        truth = next(iter(by_name.values()))[0]["truth"]
        line = [law, dim, n, f"{truth:.4f}"]
        for name in names:
            values = [row["value"] for row in by_name.get(name, [])]
            if not values:
                line.append("-")
                continue
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            line.append(f"{statistics.mean(values) - truth:+.3f} ({spread:.3f})")
        lines.append(line)
    return report.Table(
        ["law", "d", "n", "truth", *names], lines, "Bias and, in brackets, spread over trials, in nats."
    )


def verdicts(rows: Sequence[dict]) -> list[str]:
    """Returns what the recommended estimator was asked for, and whether it is met."""
    cells: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["estimator"] == estimators.RECOMMENDED:
            cells.setdefault((row["law"], row["dim"], row["n"]), []).append(row)
    if not cells:
        return []
    lines, covered, asked = [], 0, 0
    for (law, dim, n), own in cells.items():
        truth = own[0]["truth"]
        for row in own:
            asked += 1
            covered += abs(row["value"] - truth) <= _INTERVAL * (row["standard_error"] or 0.0)
        if n == max(size for _, _, size in cells):
            relative = statistics.mean(row["value"] for row in own) / truth - 1
            limit = 0.25 if dim >= 50 else 0.15
            verdict = "met" if abs(relative) <= limit else "NOT met"
            lines.append(f"{law}, d = {dim}, n = {n}: mean {relative:+.1%} of the truth, within {limit:.0%}: {verdict}")
    share = covered / asked
    verdict = "met" if share >= 0.8 else "NOT met"
    lines.append(f"± {_INTERVAL} standard errors cover the truth in {share:.0%} of {asked}, at least 80 %: {verdict}")
    grown = []
    for law, dim in dict.fromkeys((law, dim) for law, dim, _ in cells):
        errors = [
            abs(statistics.mean(row["value"] for row in own) - own[0]["truth"])
            for (name, d, _), own in sorted(cells.items(), key=lambda item: item[0][2])
            if (name, d) == (law, dim)
        ]
        if len(errors) > 1 and errors[-1] > errors[0]:
            grown.append(f"{law} d = {dim} ({errors[0]:.3f} to {errors[-1]:.3f})")
    lines.append(f"error of the mean larger at the largest n than at the smallest: {', '.join(grown) or 'nowhere'}")
    return lines


def draw(rows: Sequence[dict], measure: str, path: pathlib.Path) -> None:
    """Draws a panel for each law and dimension: every estimator against n, and the truth."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row["law"], row["dim"]) for row in rows))
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    dims = list(dict.fromkeys(dim for _, dim in panels))
    columns, count = len(dims), -(-len(panels) // len(dims))
    figure = Figure(figsize=(3.8 * columns, 2.9 * count), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(count, columns, squeeze=False).ravel()
    colors = ("#D55E00", "#0072B2", "#56B4E9", "#CC79A7", "#009E73", "#B8A900", "#5F5F5F", "#000000")
    for ax, (law, dim) in zip(axes, panels, strict=False):
        own = [row for row in rows if (row["law"], row["dim"]) == (law, dim)]
        for index, name in enumerate(names):
            points = {}
            for row in own:
                if row["estimator"] == name:
                    points.setdefault(row["n"], []).append(row["value"])
            sizes = sorted(points)
            means = [statistics.mean(points[n]) for n in sizes]
            spreads = [statistics.stdev(points[n]) if len(points[n]) > 1 else 0.0 for n in sizes]
            bold = name == estimators.RECOMMENDED
            ax.errorbar(
                sizes,
                means,
                spreads,
                color=colors[index % len(colors)],
                label=name.replace("_", " "),
                linewidth=2.4 if bold else 1.0,
                marker="o" if bold else ".",
                markersize=5 if bold else 4,
                capsize=2,
            )
        truth = own[0]["truth"]
        ax.axhline(truth, color="black", linestyle="--", linewidth=1)
        ax.set_xscale("log")
        # The panel shows what is near the truth: some estimators are off by many times it.
        ax.set_ylim(-0.5 * truth, 2.5 * truth)
        ax.set_title(f"{law.replace('_', ' ')}, d = {dim}", fontsize=9, loc="left")
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.25, linewidth=0.5)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    figure.supxlabel("samples", fontsize=9)
    figure.supylabel(f"{measure.replace('_', ' ')}, nats (dashed: truth)", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def make(measure: estimators.Measure, figure: str) -> None:
    """Runs the study and writes `FIGURE.svg` and `FIGURE.md`."""
    rows = run(measure)
    folder = pathlib.Path(flags.FLAGS.workdir)
    text = table(rows).markdown()
    lines = verdicts(rows)
    print("\n" + text)
    print("\n".join(f"- {line}" for line in lines))
    (folder / f"{figure}.md").write_text(text + "\n" + "\n".join(f"- {line}" for line in lines) + "\n")
    draw(rows, measure, folder / f"{figure}.svg")
    print(f"\nFigure: {folder / figure}.svg, table: {folder / figure}.md")
