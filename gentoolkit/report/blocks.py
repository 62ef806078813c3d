"""What a page is made of: each function returns a piece of HTML, with everything that it was given escaped."""

import base64
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gentoolkit.report import chart as chart_lib
from gentoolkit.report import picture as picture_lib
from gentoolkit.report import run_files
from gentoolkit.report.chart import Chart, Line
from gentoolkit.report.tables import Table


class Html(str):
    """Text that is HTML already; any other text is escaped where it is shown."""


# What a page and a section take: HTML of this module, text (a paragraph), a table, or a chart.
Block = Html | str | Table | Chart
Image = np.ndarray | str | pathlib.Path


class Picture(NamedTuple):
    """An image (an array or a file, as for `picture.encode`) with what stands under it."""

    image: Image
    caption: str = ""


def block(content: Block) -> Html:
    """Returns a block as HTML: text as an escaped paragraph, a table or a chart as itself.

    Raises:
      TypeError: it is none of these.
    """
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(f"<p>{_text(content)}</p>") if content else Html()
    if isinstance(content, Table):
        return Html(content.html())
    if isinstance(content, Chart):
        return charts(content)
    raise TypeError(f"A block is text, HTML, a Table or a Chart, got {type(content).__name__}.")


def section(heading: str, *content: Block, folded: str = "") -> Html:
    """Returns blocks under a heading, and nothing at all where they are all empty.

    Args:
      heading: plain text.
      *content: the blocks.
      folded: a line that stands for the content until it is opened; empty for content that is open.
    """
    inner = "\n".join(filter(None, map(block, content)))
    if not inner:
        return Html()
    if folded:
        inner = f"<details><summary>{_text(folded)}</summary>{inner}</details>"
    return Html(f"<section><h2>{_text(heading)}</h2>{inner}</section>")


def notes(*lines: str) -> Html:
    """Returns sentences in small print, a paragraph each."""
    return Html("".join(f'<p class="soft">{_text(line)}</p>' for line in lines if line))


def bullets(lines: Sequence[object]) -> Html:
    """Returns a list with a dot before each line; a line is anything that has a text, a `study.Claim` say."""
    items = "".join(f"<li>{_text(str(line))}</li>" for line in lines)
    return Html(f"<ul>{items}</ul>" if items else "")


def values(named: Mapping[str, Any]) -> Html:
    """Returns names with their values, one a line."""
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(str(value))}</dd>" for name, value in named.items())
    return Html(f"<dl>{rows}</dl>" if rows else "")


def code(text: str) -> Html:
    """Returns text as it stands: a command, a listing."""
    return Html(f"<pre>{_text(text)}</pre>" if text else "")


def charts(*shown: Chart) -> Html:
    """Returns charts side by side with one legend; those with nothing to draw are left out."""
    drawn = [chart for chart in shown if not chart.is_empty()]
    if not drawn:
        return Html()
    names = chart_lib.line_names(drawn)
    keys = "".join(
        f'<span><svg viewBox="0 0 22 8"><path d="M0 4H22" {style}/></svg>{_text(name)}</span>'
        for name, style in chart_lib.legend(drawn)
    )
    legend = f'<p class="legend">{keys}</p>' if keys else ""
    return Html(f'<div class="charts">{"".join(chart_lib.svg(c, names) for c in drawn)}</div>{legend}')


def curves(panels: Mapping[str, Mapping[str, Line]], **options: Any) -> Html:
    """Returns a chart for each panel.

    Args:
      panels: titles to lines by name, as in `Chart`.
      **options: fields of `Chart`, the same for all panels: `x="samples", log_x=True`.
    """
    return charts(*(Chart(title, lines, **options) for title, lines in panels.items()))


def pictures(shown: Sequence[Picture | tuple[Image, str] | Image], *, longest: int | None = 1600) -> Html:
    """Returns pictures in a row, which is broken where the page ends; each with its caption under it.

    Args:
      shown: any number of images or `(image, caption)`.
      longest: those with more pixels on a side are shrunk to this; None leaves all as they are.

    Raises:
      FileNotFoundError, ValueError: as `picture.encode`.
    """
    figures = "".join(_figure(_picture(one), longest) for one in shown)
    return Html(f'<div class="pictures">{figures}</div>' if figures else "")


def sheet(
    rows: Sequence[Sequence[Picture | tuple[Image, str] | Image | None]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    caption: str = "",
    longest: int | None = 600,
) -> Html:
    """Returns pictures in rows and columns that have names: a column for each system, say, or for each neighbour.

    Args:
      rows: images or `(image, caption)`, any number in a row; None leaves a place empty.
      columns: headings of the columns; none if empty.
      labels: names of the rows; none if empty.
      caption: under the whole.
      longest: as in `pictures`.

    Raises:
      FileNotFoundError, ValueError: as `picture.encode`; or `labels` that are not as many as `rows`, or a row that is
        longer than `columns`.
    """
    if labels and len(labels) != len(rows):
        raise ValueError(f"labels must be as many as rows, got {len(labels)} for {len(rows)}.")
    if columns and any(len(row) > len(columns) for row in rows):
        raise ValueError(f"A row has {max(map(len, rows))} pictures, more than the {len(columns)} columns.")
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    corner = "<th></th>" if labels and head else ""
    lines = []
    for index, row in enumerate(rows):
        label = f"<th>{_text(labels[index])}</th>" if labels else ""
        cells = (f"<td>{'' if one is None else _figure(_picture(one), longest)}</td>" for one in row)
        lines.append(f"<tr>{label}{''.join(cells)}</tr>")
    if not lines:
        return Html()
    told = f"<caption>{_text(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{corner}{head}</tr></thead>" if head else ""
    return Html(f'<div class="scroll"><table class="sheet">{told}{top}<tbody>{"".join(lines)}</tbody></table></div>')


def configuration(config: Mapping[str, Any], *, heading: str = "Configuration") -> Html:
    """Returns settings, nested or not, as a folded table; nothing where there are none."""
    flat = run_files.flatten(config)
    rows = [[name, json.dumps(value, default=str)] for name, value in flat.items()]
    return section(heading, Table(["setting", "value"], rows), folded=f"{len(rows)} settings") if rows else Html()


def provenance(command: str = "", *, facts: Mapping[str, Any] | None = None) -> Html:
    """Returns how to get a page again: the command, the commit, the versions and the machine.

    Args:
      command: what to type.
      facts: what else identifies the work, by name; None: commit and environment of this process.
    """
    if facts is None:
        facts = {"commit": run_files.commit()} | run_files.environment()
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return section("To get it again" if command else "Made by", code(command), notes(told))


def _picture(one: Picture | tuple[Image, str] | Image) -> Picture:
    return Picture(*one) if isinstance(one, tuple) else Picture(one)


def _figure(picture: Picture, longest: int | None) -> str:
    encoded = picture_lib.encode(picture.image, longest=longest)
    width = picture_lib.shown_width(encoded.width, encoded.height)
    enlarged = ' class="enlarged"' if width > encoded.width else ""
    caption = _text(picture.caption)
    source = f"data:{encoded.mime};base64,{base64.b64encode(encoded.content).decode()}"
    under = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure style="width:max({width}px,7rem)"><img{enlarged} alt="{caption}" style="width:{width}px" '
        f'src="{source}">{under}</figure>'
    )


def _text(text: str) -> str:
    return html.escape(str(text), quote=True)
