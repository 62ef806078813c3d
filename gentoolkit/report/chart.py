"""Charts as SVG text: lines over any axis, several small charts side by side, light and dark."""

import dataclasses
import html
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from gentoolkit.report import axis

# Okabe and Ito's colours, told apart with any colour vision; line styles change when they run out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#A89A00")
_DASHES = ("", "7 3", "2 3")
_WIDTH, _HEIGHT = 352, 236
_TOP, _RIGHT, _BOTTOM = 26, 10, 38
_CHARACTER = 5.6  # width of a figure at the size of the labels
# Up to so many points each is marked, and a spread is a bar at each; beyond, a band.
_FEW = 15
# A longer line is drawn through the first, the last, the lowest and the highest point of each of 200 pieces.
_MOST = 1000
_PIECES = 200

Point = tuple[float, float | None] | tuple[float, float | None, float | None]
Line = Sequence[Point]
_Number = tuple[float, float, float]
_Place = Callable[[float, float], tuple[float, float] | None]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines in one pair of axes.

    Attributes:
      title: above the axes.
      lines: by name, their points `(x, y)` or `(x, y, spread)`; y None or not finite breaks the line.
      x: name of the horizontal axis.
      y: name of the vertical axis.
      log_x: whether the horizontal axis is logarithmic; None: where the values are positive and span a factor of 30.
      log_y: the same of the vertical axis.
      y_limits: lowest and highest y shown; None: what the lines need.
      levels: horizontal dashed lines (a true value, say) by name.
      bold: names of lines to stand out.
      joined: whether the points of a line are joined; else each is a dot.
      square: whether the axes are as long as each other.
    """

    title: str
    lines: Mapping[str, Line]
    x: str = "step"
    y: str = ""
    log_x: bool | None = False
    log_y: bool | None = None
    y_limits: tuple[float, float] | None = None
    levels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    bold: Collection[str] = ()
    joined: bool = True
    square: bool = False

    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(_numbers(_points(line)) for line in self.lines.values())


def svg(chart: Chart, names: Sequence[str] | None = None) -> str:
    """Returns a chart as an `<svg>` element; text has the colour of the surrounding text.

    Args:
      chart: what to draw.
      names: of all lines of charts shown together, so that a name has one colour in all of them.
    """
    names = list(chart.lines) if names is None else names
    width, content = _content(chart, names)
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        f'style="width:{width / 16:g}rem" role="img" aria-label="{_text(chart.title)}" '
        f'font-family="system-ui, sans-serif" font-size="10" fill="currentColor">{content}</svg>'
    )


def figure(charts: Sequence[Chart], *, columns: int = 3) -> str:
    """Returns charts in rows, with their legend, as one `<svg>` element on white: the content of a file.

    Args:
      charts: what to draw; those with nothing in them are left out.
      columns: charts in a row.

    Returns:
      The text, or "" if there is nothing to draw.
    """
    charts = [chart for chart in charts if not chart.is_empty()]
    if not charts:
        return ""
    names, columns = line_names(charts), min(columns, len(charts))
    rows = math.ceil(len(charts) / columns)
    gap, entries, x, y = 14, [], 8.0, 14.0
    width = columns * (_WIDTH + gap) + gap
    for name, style in legend(charts):
        needed = 34 + 6.4 * len(name)
        if x > 8 and x + needed > width:
            x, y = 8.0, y + 18
        entries.append(f'<line x1="{x:g}" x2="{x + 22:g}" y1="{y - 3.5:g}" y2="{y - 3.5:g}" {style}/>')
        entries.append(f'<text x="{x + 27:g}" y="{y:g}">{_text(name)}</text>')
        x += needed
    top = y + 12 if entries else 8
    height = top + rows * (_HEIGHT + gap)
    panels = []
    for index, chart in enumerate(charts):
        left, above = gap + index % columns * (_WIDTH + gap), top + index // columns * (_HEIGHT + gap)
        panels.append(f'<g transform="translate({left} {above:g})" font-size="10">{_content(chart, names)[1]}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
        f'height="{height:g}" font-family="system-ui, sans-serif" font-size="11" color="#1d2430" fill="#1d2430">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(entries)}{"".join(panels)}</svg>\n'
    )


def line_names(charts: Sequence[Chart]) -> list[str]:
    """Returns the names of all lines of some charts, each once."""
    return list(dict.fromkeys(name for chart in charts for name in chart.lines))


def legend(charts: Sequence[Chart]) -> Iterator[tuple[str, str]]:
    """Yields the name of each line with the attributes it is drawn by; nothing for a single line without levels."""
    names = line_names(charts)
    levels = dict.fromkeys(name for chart in charts for name in chart.levels)
    bold = {name for chart in charts for name in chart.bold}
    if len(names) > 1 or levels and any(names):
        yield from ((name, _style(index, name in bold)) for index, name in enumerate(names) if name)
    yield from ((name, _LEVEL) for name in levels if name)


_LEVEL = 'stroke="currentColor" stroke-dasharray="5 3"'


def _style(index: int, bold: bool) -> str:
    color, dashes = index % len(COLORS), _DASHES[index // len(COLORS) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'class="c{color}" stroke="{COLORS[color]}" stroke-width="{2.6 if bold else 1.4}"{dashed}'


def _content(chart: Chart, names: Sequence[str]) -> tuple[int, str]:
    """The width of a chart, and everything that is drawn."""
    lines = {name: _points(line) for name, line in chart.lines.items()}
    points = [point for line in lines.values() for point in _numbers(line)]
    if not points:
        return _WIDTH, f'<text x="8" y="{_HEIGHT / 2:g}">{_text(chart.title)}: nothing to draw</text>'
    reach = [value + sign * spread for _, value, spread in points for sign in (-1, 1)]
    y_values = [*reach, *(v for v in chart.levels.values() if math.isfinite(v))]
    x_axis = axis.Axis([x for x, _, _ in points], chart.log_x, most=5)
    y_axis = axis.Axis([v for _, v, _ in points], chart.log_y, most=5, reach=y_values, limits=chart.y_limits)
    left = 12 + _CHARACTER * max(len(label) for _, label in y_axis.ticks) + (12 if chart.y else 0)
    bottom = _HEIGHT - _BOTTOM
    right = left + bottom - _TOP if chart.square else _WIDTH - _RIGHT

    def place(x: float, y: float) -> tuple[float, float] | None:
        share_x, share_y = x_axis.share(x), y_axis.share(y)
        if share_x is None or share_y is None:
            return None
        return left + share_x * (right - left), bottom - share_y * (bottom - _TOP)

    parts = [f'<text x="{left:g}" y="13" font-size="12">{_text(chart.title)}</text>']
    for share, label in y_axis.ticks:
        y = bottom - share * (bottom - _TOP)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{left - 5:.1f}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    free = -math.inf  # where the last label ended
    for share, label in x_axis.ticks:
        x = left + share * (right - left)
        width = _CHARACTER * len(label)
        anchor, begin = ("end", x - width) if share > 0.97 else ("middle", x - width / 2)
        if begin < free + _CHARACTER / 2:
            continue
        free = begin + width
        parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="currentColor" stroke-opacity=".5"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="{anchor}">{label}</text>')
    parts.append(f'<path d="M{left:.1f} {bottom}H{right:.1f}" stroke="currentColor" stroke-opacity=".5"/>')
    if chart.x:
        parts.append(
            f'<text x="{(left + right) / 2:.1f}" y="{_HEIGHT - 7}" text-anchor="middle">{_text(chart.x)}</text>'
        )
    if chart.y:
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<text x="10" y="{middle:g}" text-anchor="middle" transform="rotate(-90 10 {middle:g})">'
            f"{_text(chart.y)}</text>"
        )
    # What lies outside the limits is cut off by an `<svg>` of its own: it needs no name, as a clipping path would.
    inner = []
    for name, value in chart.levels.items():
        at = y_axis.share(value)
        if at is not None:
            y = bottom - at * (bottom - _TOP)
            inner.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" {_LEVEL}><title>{_text(name)}</title></path>')
    for name in sorted(chart.lines, key=lambda name: name in chart.bold):
        draw = _line if chart.joined else _dots
        inner.append(draw(lines[name], name, _style(names.index(name), name in chart.bold), place))
    return (
        math.ceil(right + _RIGHT),
        "".join(
            [
                *parts,
                f'<svg x="{left:.1f}" y="{_TOP - 4}" width="{right - left + 6:.1f}" height="{bottom - _TOP + 8}" '
                f'viewBox="{left:.1f} {_TOP - 4} {right - left + 6:.1f} {bottom - _TOP + 8}" fill="none">',
                *inner,
                "</svg>",
            ]
        ),
    )


def _line(points: Sequence[_Number | None], name: str, style: str, place: _Place) -> str:
    """The path, marks and spreads of one line."""
    runs: list[list[tuple[float, float]]] = [[]]
    spreads: list[tuple[float, float, float]] = []
    marked = len(_numbers(points)) < _FEW
    for point in _thinned(points):
        at = None if point is None else place(point[0], point[1])
        if point is None or at is None:
            runs.append([])
            continue
        runs[-1].append(at)
        if point[2]:
            # On a logarithmic axis a spread may reach below zero, and so to the lower end of the axis.
            low, high = place(point[0], point[1] - point[2]), place(point[0], point[1] + point[2])
            spreads.append((at[0], low[1] if low else _HEIGHT - _BOTTOM, high[1] if high else at[1]))
    runs = [run for run in runs if run]
    path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in runs)
    parts = [f'<path d="{path}" fill="none" {style}><title>{_text(name)}</title></path>']
    for run in runs:
        for x, y in run if marked or len(run) == 1 else ():
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" {style.split(" stroke-dasharray")[0]}/>')
    if spreads and marked:
        bars = "".join(f"M{x:.1f} {low:.1f}V{high:.1f}m-3 0h6M{x - 3:.1f} {low:.1f}h6" for x, low, high in spreads)
        parts.append(f'<path d="{bars}" fill="none" {style} stroke-opacity=".7"/>')
    elif spreads:
        ends = [f"{x:.1f} {high:.1f}" for x, _, high in spreads] + [f"{x:.1f} {low:.1f}" for x, low, _ in spreads[::-1]]
        color = style.split('stroke="')[1].split('"')[0]
        parts.append(f'<path d="M{"L".join(ends)}Z" fill="{color}" fill-opacity=".18"/>')
    return "".join(parts)


def _dots(points: Sequence[_Number | None], name: str, style: str, place: _Place) -> str:
    """The points of one line, unjoined: lines of no length with round ends."""
    places = [place(x, y) for x, y, _ in _numbers(points)]
    path = "".join(f"M{at[0]:.1f} {at[1]:.1f}h0" for at in places if at)
    drawn = style.split(" stroke-dasharray")[0]
    return f'<path d="{path}" stroke-linecap="round" {drawn}><title>{_text(name)}</title></path>'


def _thinned(points: Sequence[_Number | None]) -> Sequence[_Number | None]:
    """A line with no more points than can be seen."""
    if len(points) <= _MOST:
        return points
    kept: list[_Number | None] = []
    size = math.ceil(len(points) / _PIECES)
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        by_height = sorted((point[1], index) for index, point in enumerate(piece) if point is not None)
        ends = {0, len(piece) - 1, *(index for _, index in (by_height[:1] + by_height[-1:]))}
        kept += [piece[index] for index in sorted(ends)]
    return kept


def _points(line: Line) -> list[_Number | None]:
    """The points as `(x, y, spread)`, None where there is none to draw."""
    found: list[_Number | None] = []
    for point in line:
        x, y, spread = (*point, 0.0)[:3]
        if x is None or y is None or not math.isfinite(x) or not math.isfinite(y):
            found.append(None)
        else:
            found.append((float(x), float(y), float(spread) if spread is not None and math.isfinite(spread) else 0.0))
    return found


def _numbers(points: Iterable[_Number | None]) -> list[_Number]:
    return [point for point in points if point is not None]


def _text(text: str) -> str:
    return html.escape(str(text), quote=True)
