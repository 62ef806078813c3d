"""Curves of metrics as SVG text: small multiples, one metric each, one line for each run."""

import io
import math
import re
from collections.abc import Mapping, Sequence

# Okabe and Ito's colours, told apart with any colour vision; line styles change when they run out.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F5F5F", "#B8A900")
_STYLES = ("-", "--", ":")

Curve = Sequence[tuple[int, float | None]]


def curves(panels: Mapping[str, Mapping[str, Curve]]) -> str:
    """Draws one panel for each metric.

    Args:
      panels: metric name to run name to points; None breaks the line.

    Returns:
      An `<svg>` element, or "" if there is nothing to draw.
    """
    panels = {name: lines for name, lines in panels.items() if any(_finite(c) for c in lines.values())}
    if not panels:
        return ""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # Heavy, and not needed to read a run.
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.5 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(run for lines in panels.values() for run in lines))
    for ax, (metric, lines) in zip(axes, panels.items(), strict=False):
        for run, points in lines.items():
            index = names.index(run)
            ax.plot(
                [step for step, _ in points],
                [math.nan if value is None else value for _, value in points],
                color=_COLORS[index % len(_COLORS)],
                linestyle=_STYLES[index // len(_COLORS) % len(_STYLES)],
                marker="." if len(points) < 15 else None,
                linewidth=1.3,
                label=run,
            )
        values = [v for points in lines.values() for v in _finite(points)]
        if min(values) > 0 and max(values) > 30 * min(values):
            ax.set_yscale("log")
        ax.set_title(metric, fontsize=9, loc="left")
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.25, linewidth=0.5)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[: len(panels)][-columns:]:
        ax.set_xlabel("step", fontsize=8)
    if len(names) > 1:
        handles = {line.get_label(): line for ax in axes for line in ax.get_lines()}
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=min(6, len(names)),
            fontsize=8,
            frameon=False,
        )
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # The size in points would overflow a phone; the viewBox keeps the proportions.
    return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)


def _finite(points: Curve) -> list[float]:
    return [value for _, value in points if value is not None and math.isfinite(value)]
