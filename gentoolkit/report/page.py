"""A page: blocks under a title, written as one HTML file that needs no other."""

import html
import pathlib
import re

from gentoolkit.report import blocks, chart, files

# Lines of charts are drawn brighter on black.
_ON_BLACK = ("#4AA8E0", "#F58A3C", "#2CC79B", "#E6A0C4", "#F0B63A", "#7CC7F0", "#A8A8A8", "#CFC02A")

_STYLE = (
    """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #dfe3e8; --wash: #f6f7f9; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --soft: #9aa4b2; --line: #343a44; --wash: #1d2128; --paper: #14171c; }
"""
    + "".join(f"  .c{i} {{ stroke: {c}; }}\n" for i, c in enumerate(_ON_BLACK[: len(chart.COLORS)]))
    + """}
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p { max-width: 48rem; margin: .5rem 0; } .soft { color: var(--soft); font-size: .9rem; }
ul { margin: .6rem 0; padding-left: 1.2rem; max-width: 56rem; } li { margin: .15rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } .chart { max-width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; max-width: none; font-size: .85rem; }
.legend svg { width: 22px; height: 8px; margin-right: .4rem; vertical-align: middle; }
.pictures { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1.2rem; margin: .6rem 0; }
figure { margin: 0; max-width: 100%; } img { max-width: 100%; height: auto; display: block; }
.enlarged { image-rendering: pixelated; }
figcaption { color: var(--soft); font-size: .85rem; line-height: 1.35; margin-top: .3rem; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
caption { caption-side: bottom; text-align: left; color: var(--soft); padding-top: .4rem; max-width: 56rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th.figure, td.figure { text-align: right; } td { font-variant-numeric: tabular-nums; }
.sheet th, .sheet td { border-bottom: 0; padding: .2rem .5rem .2rem 0; } .sheet img { max-width: none; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); }
"""
)


def write_page(path: str | pathlib.Path, *content: blocks.Block, title: str, subtitle: str = "") -> pathlib.Path:
    """Writes a page: pictures and style inside, nothing loaded from elsewhere, light or dark as the reader's screen is.

    The file is replaced as a whole: after a kill or on a full disk the old page stands.

    Args:
      path: where to; folders are made.
      *content: blocks, in order: text, tables, charts, and what the functions of `gentoolkit.report` return.
      title: the heading.
      subtitle: a line under it.

    Returns:
      The path.

    Raises:
      OSError: it cannot be written.
      TypeError: something that is no block.
    """
    body = "\n".join(filter(None, map(blocks.block, content)))
    under = f'<p class="soft">{html.escape(subtitle)}</p>' if subtitle else ""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>'
        f"<h1>{html.escape(title)}</h1>{under}\n{body}\n</body></html>\n"
    )
    return files.write_text(path, _legible(page))


def _legible(text: str) -> str:
    """Control characters, which HTML has no place for, as the sign for what cannot be shown."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", text)
