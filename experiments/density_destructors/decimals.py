"""Whether a point or a comma divides whole from fraction in a text, and whether the other one groups thousands.

In "1.000" a point may do either. The cells of all columns that hold numbers decide; where none of them tells, nothing
is read in silence.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

Asked = Literal["auto", "point", "comma"]

MISSING = {"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>", "?", "-"}
OTHER = {".": ",", ",": "."}
SIGNS = {"point": ".", "comma": ","}
NAMES = {".": "point", ",": "comma"}
_PLAIN = r"[+-]?(\d+({0}\d*)?|{0}\d+)(e[+-]?\d+)?|[+-]?inf(inity)?"
_GROUPED = r"[+-]?[1-9]\d{{0,2}}({1}\d{{3}})+({0}\d*)?"  # 12.345.678,9
_EITHER = r"[+-]?[1-9]\d{{0,2}}{0}\d{{3}}"  # 12.345
_ONE_SIGN = r"[+-]?(\d+{0}\d*|{0}\d+)(e[+-]?\d+)?"


class Decided(NamedTuple):
    """What was found out.

    Attributes:
      decimal: the sign between whole and fraction.
      unclear: whether no cell of the text tells, or some say one and some the other: cells with three digits behind
        a sign must not be read.
    """

    decimal: str
    unclear: bool


def is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number under a sign for decimals, or one that is missing; the other sign may group it."""
    if cell.lower() in MISSING:
        return True
    return any(re.fullmatch(_with(form, decimal), cell, re.IGNORECASE) for form in (_PLAIN, _GROUPED))


def decide(columns: Sequence, *, delimiter: str, guess: str, asked: Asked) -> Decided:
    """Decides by all cells of all columns that hold numbers and nothing else.

    Args:
      columns: pyarrow's strings without blanks around them.
      delimiter: between cells. Where that is a comma, a point is for decimals.
      guess: the sign under which most of the first cells are numbers.
      asked: the sign that the user says, or "auto".

    Returns:
      A `Decided`.
    """
    if asked != "auto":
        return Decided(SIGNS[asked], unclear=False)
    told, open_to = set(), set()
    for cells in columns:
        cells = _filled(cells)
        if not _all(cells, *(_with(form, sign) for form in (_PLAIN, _GROUPED) for sign in OTHER)):
            continue
        for sign, other in OTHER.items():
            either = _count(cells, _with(_EITHER, sign))
            if either:
                open_to.add(sign)
            if _count(cells, _with(_ONE_SIGN, sign)) > either:
                told.add(sign)
            if _count(cells, _with(_GROUPED, other)) > either:
                told.add(other)
    if len(told) == 1:
        return Decided(told.pop(), unclear=False)
    if not told and open_to == {"."} and delimiter != ";":
        return Decided(".", unclear=False)
    return Decided(guess, unclear=bool(open_to))  # where cells tell both, some are no numbers, and will be named


def grouped(cells, decimal: str) -> bool:
    """Whether the other sign stands in some cells, and groups thousands in all of these."""
    from pyarrow import compute

    with_other = cells.filter(compute.fill_null(compute.match_substring(cells, OTHER[decimal]), False))
    return len(with_other) > 0 and _all(with_other, _with(_GROUPED, decimal))


def first_unclear(cells: Sequence[str | None]) -> int | None:
    """The first cell of a column whose sign may be either, None if there is none."""
    forms = [_with(_EITHER, sign) for sign in OTHER]
    for row, cell in enumerate(cells):
        if cell is not None and any(re.fullmatch(form, cell) for form in forms):
            return row
    return None


def _with(form: str, decimal: str) -> str:
    return form.format(re.escape(decimal), re.escape(OTHER[decimal]))


def _filled(cells):
    import pyarrow
    from pyarrow import compute

    missing = compute.is_in(compute.utf8_lower(cells), value_set=pyarrow.array(sorted(MISSING)))
    return cells.filter(compute.invert(missing))


def _all(cells, *forms: str) -> bool:
    return _count(cells, "|".join(f"({form})" for form in forms)) == len(cells)


def _count(cells, form: str) -> int:
    from pyarrow import compute

    return compute.sum(compute.match_substring_regex(cells, f"^({form})$", ignore_case=True)).as_py() or 0
