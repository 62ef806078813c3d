"""Tables: rows of cells under named columns, as Markdown and as HTML."""

import html
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

# What a figure begins with: columns of nothing else are set flush right, so that their digits stand under each other.
_FIGURE = re.compile(r"[-+−±<>~]?\s?\.?\d|-$|$")


class Table(NamedTuple):
    """A table: `rows` of as many cells as there are `columns`; cells may be anything that has a text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    def check(self) -> None:
        """Raises ValueError where a row has another number of cells than there are columns."""
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(f"Row {number} of a table has {len(row)} cells, not {len(self.columns)}: {list(row)}.")

    def markdown(self) -> str:
        """Returns the table and its caption as Markdown.

        Raises:
          ValueError: a row has another number of cells than there are columns.
        """
        self.check()
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join("| " + " | ".join(map(_markdown_cell, line)) + " |" for line in lines) + "\n"
        return f"{table}\n{self.caption}\n" if self.caption else table

    def html(self) -> str:
        """Returns the table as an HTML element; columns of figures flush right.

        Raises:
          ValueError: a row has another number of cells than there are columns.
        """
        self.check()
        right = [
            any(str(row[index])[-1:].isdigit() for row in self.rows)
            and all(_FIGURE.match(str(row[index])) for row in self.rows)
            for index in range(len(self.columns))
        ]

        def line(tag: str, cells: Sequence[Any]) -> str:
            marked = (' class="figure"' if flush else "" for flush in right)
            inner = "".join(f"<{tag}{m}>{html.escape(str(c))}</{tag}>" for m, c in zip(marked, cells, strict=True))
            return f"<tr>{inner}</tr>"

        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = "".join(line("td", row) for row in self.rows)
        head = line("th", self.columns) if any(map(str, self.columns)) else ""
        return f'<div class="scroll"><table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _markdown_cell(cell: Any) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", str(cell)).replace("|", "\\|")
