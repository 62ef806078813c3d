"""Draws a suite's timings: time against size on logarithmic axes, one panel for each task and mode."""

import itertools
import math
import pathlib
from collections.abc import Sequence

from benchmarks import harness, report
from benchmarks.harness import OURS, Row

PLOT = "results.png"
_COLUMNS = 4
# One colour for one implementation, everywhere (Okabe and Ito's palette, safe for colour-blind readers).
_COLORS = {
    OURS: "#D55E00",
    "jax.numpy": "#0072B2",
    "NumPy/SciPy": "#56B4E9",
    "PyTorch": "#009E73",
    "PyTorch (nodes)": "#8BC34A",
    "POT (NumPy)": "#CC79A7",
    "POT (JAX)": "#882255",
    "OTT-JAX": "#B8860B",
    "geomloss": "#444444",
    "scikit-learn": "#009E73",
    "GPJax": "#0072B2",
    "tinygp": "#56B4E9",
    "GPyTorch": "#CC79A7",
    "faiss": "#B8860B",
}
_OTHER = "#777777"
# Marks an implementation of another task that stands in a panel for comparison.
_YARDSTICK = "*"


def draw(path: pathlib.Path, header: dict, cases: Sequence[harness.Case], rows: list[Row]) -> None:
    """Writes a PNG: at each case's largest other sizes (d, slices, rows), every implementation and the limit.

    Args:
      path: of the picture.
      header: the record that the run began with.
      cases: in the order of the panels.
      rows: of the run.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = [panel for case in cases for panel in _panels(case, rows)]
    if not any(panels):
        return
    columns = min(_COLUMNS, len(panels))
    num_rows = math.ceil(len(panels) / columns)
    # A fixed strip for the title, whatever the number of rows.
    height = 3.3 * num_rows + 0.9
    figure, axes = plt.subplots(num_rows, columns, figsize=(4.6 * columns, height), squeeze=False)
    for axis, panel in itertools.zip_longest(axes.flat, panels):
        if panel is None:
            axis.set_axis_off()
        else:
            _draw_panel(axis, *panel)
    figure.suptitle(
        f"{header['suite']}: median time of one call; {header['machine']['cpu']}, "
        f"JAX on {header['machine']['jax_backend']}; {_YARDSTICK} computes another distance, as a yardstick",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / height), w_pad=1.5, h_pad=1.5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panels(case: harness.Case, rows: list[Row]) -> list[tuple[str, str, dict[str, list[Row]]] | None]:
    """Returns (title, swept key, {implementation: rows by growing size}) for each task and mode; None without rows."""
    timed = [row for row in report.measured(rows) if row["case"] == case.name]
    if not timed:
        return []
    largest = {name: max(report.size_of(row)[name] for row in timed) for name in case.sizes[0] if name != case.sweep}
    timed = [row for row in timed if all(row[name] == value for name, value in largest.items())]
    panels: list[tuple[str, str, dict[str, list[Row]]] | None] = []
    tasks = dict.fromkeys(row["task"] for row in timed)
    # A kernel without one of its two modes keeps the place free, so that a column is a mode.
    modes = [mode for mode in report.MODES if any(row["mode"] == mode for row in timed)]
    for task, mode in itertools.product(tasks, modes):
        curves: dict[str, list[Row]] = {}
        for row in timed:
            if row["mode"] == mode and (row["task"] == task or task in row["yardstick_for"]):
                name = row["implementation"] + ("" if row["task"] == task else _YARDSTICK)
                curves.setdefault(name, []).append(row)
        if not any(row["task"] == task for curve in curves.values() for row in curve):
            panels.append(None)
            continue
        for curve in curves.values():
            curve.sort(key=lambda row: row[case.sweep])
        size_text = ", ".join(f"{name} = {value}" for name, value in largest.items())
        panels.append((f"{task.replace('_', ' ')}, {report.MODES[mode]}\n{size_text}", case.sweep, curves))
    return panels


def _draw_panel(axis, title: str, sweep: str, curves: dict[str, list[Row]]) -> None:
    ends: list[tuple[float, str, str, bool]] = []
    last_n = max(row[sweep] for curve in curves.values() for row in curve)
    limit = next((curve for name, curve in curves.items() if name == OURS), [])
    if limit:
        n = [row[sweep] for row in limit]
        axis.plot(n, [row["limit_seconds"] for row in limit], color="#999999", linestyle=":", linewidth=1.5, zorder=1)
        ends.append((limit[-1]["limit_seconds"], "limit", "#888888", False))
    for name, curve in curves.items():
        color, ours = _COLORS.get(name.removesuffix(_YARDSTICK), _OTHER), name == OURS
        n, seconds = [row[sweep] for row in curve], [row["seconds"] for row in curve]
        low, high = [row["seconds_q25"] for row in curve], [row["seconds_q75"] for row in curve]
        axis.plot(
            n,
            seconds,
            color=color,
            linewidth=3.0 if ours else 1.4,
            marker="o",
            markersize=6 if ours else 3.5,
            zorder=3 if ours else 2,
            linestyle="--" if name.endswith(_YARDSTICK) else "-",
        )
        axis.fill_between(n, low, high, color=color, alpha=0.2, linewidth=0)
        # A curve that stops early (skipped sizes) is extrapolated, but only to find a place for its label.
        slope = 1.5 if len(curve) > 1 else 1.0
        ends.append((seconds[-1] * (last_n / n[-1]) ** slope, name, color, ours))
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    ticks = sorted({row[sweep] for curve in curves.values() for row in curve})
    axis.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=8)
    axis.xaxis.set_minor_locator(_no_ticks())
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(True, which="major", color="#e5e5e5", linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(sweep, fontsize=9, labelpad=0)
    axis.set_ylabel("seconds", fontsize=9)
    _label_ends(axis, ends)


def _label_ends(axis, ends: list[tuple[float, str, str, bool]]) -> None:
    """Writes each curve's name to the right of the panel, at its height, moved apart where names would collide."""
    low, high = (math.log(limit) for limit in axis.get_ylim())
    wanted = sorted((min(1.0, max(0.0, (math.log(end[0]) - low) / (high - low))), *end[1:]) for end in ends)
    gap = 0.075
    heights = [place[0] for place in wanted]
    for _ in range(200):  # push neighbours apart until they fit
        for i in range(len(heights) - 1):
            lack = gap - (heights[i + 1] - heights[i])
            if lack > 0:
                heights[i] -= lack / 2
                heights[i + 1] += lack / 2
    for height, (_, name, color, ours) in zip(heights, wanted, strict=True):
        axis.text(
            1.02,
            height,
            name,
            color=color,
            transform=axis.transAxes,
            fontsize=9 if ours else 8,
            fontweight="bold" if ours else "normal",
            va="center",
        )


def _no_ticks():
    from matplotlib import ticker

    return ticker.NullLocator()
