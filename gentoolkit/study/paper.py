"""A paper's figures beside ours: means with their spread, intervals, and a table of both."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gentoolkit.report import Table


class Summary(NamedTuple):
    """Of some values: their mean, their standard deviation (0 for a single one) and how many they are."""

    mean: float
    spread: float
    num: int

    def text(self, digits: str = ".4g", spread_digits: str = ".2g") -> str:
        """Returns "mean ± spread", or the mean alone where there is one value; "-" for none."""
        if not self.num:
            return "-"
        if not math.isfinite(self.mean):
            return "not finite"
        return f"{self.mean:{digits}}" + (f" ± {self.spread:{spread_digits}}" if self.num > 1 else "")


def summary(values: Sequence[float | None]) -> Summary:
    """Returns mean and standard deviation of values over seeds; not finite where one of them (or None) is not."""
    numbers = [math.nan if value is None else float(value) for value in values]
    if not numbers:
        return Summary(math.nan, math.nan, 0)
    if not all(map(math.isfinite, numbers)):
        return Summary(math.nan, math.nan, len(numbers))
    return Summary(statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else 0.0, len(numbers))


def interval(value: float, low: float, high: float, digits: str = ".4g") -> str:
    """Returns "value [low, high]"."""
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"


Figures = Mapping[str, Mapping[str, str | float | None | Sequence[float | None]]]


def beside(
    ours: Figures,
    paper: Figures,
    *,
    columns: Sequence[str],
    labels: Mapping[str, str] | None = None,
    digits: str | Mapping[str, str] = ".4g",
    caption: str = "",
) -> Table:
    """Returns a table of our figures, with a row of the paper's under each of ours that it has figures for.

    Args:
      ours: row to column to a text, a number, or the values over several seeds (mean ± standard deviation).
      paper: the same of the paper; rows that are none of ours are left out.
      columns: names of the columns in order; those that a row lacks are "-".
      labels: how rows are named in the table, where not as they are.
      digits: format of a number (".2f"), of all or by name of the column or row.
      caption: under the table.
    """

    def cell(row: str, column: str, value: str | float | None | Sequence[float | None]) -> str:
        if value is None or isinstance(value, str):
            return value or "-"
        form = digits if isinstance(digits, str) else digits.get(column, digits.get(row, ".4g"))
        if isinstance(value, float | int):
            return f"{value:{form}}" if math.isfinite(value) else "not finite"
        return summary(value).text(form)

    rows = []
    for row, found in ours.items():
        label = (labels or {}).get(row, row)
        rows.append([f"{label}, ours", *[cell(row, column, found.get(column)) for column in columns]])
        printed = paper.get(row, {})
        if any(printed.get(column) is not None for column in columns):
            rows.append([f"{label}, paper", *[cell(row, column, printed.get(column)) for column in columns]])
    return Table(["", *columns], rows, caption)
