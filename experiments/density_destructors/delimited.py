"""Tables as text, read by pyarrow: what separates columns, the sign of decimals, whether there are names.

All of it is found from the first lines. A cell that is no number is shown with its line, its column and what it holds.
"""

import contextlib
import csv
import gzip
import io
import pathlib
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from experiments.density_destructors import decimals, integers

ADVICE = "Leave the column out by --columns, or code categories as one column of 0 and 1 each."

Header = Literal["auto", "yes", "no"]

_LOOKED_AT = 200  # lines from which the form of a text is found
_DELIMITERS = (",", ";", "\t", "|", " ")


class _Form(NamedTuple):
    delimiter: str
    decimal: str


class Column(NamedTuple):
    """A column as text.

    Attributes:
      file: its file's name.
      name: of the column.
      index: from 0.
      cells: as pyarrow's strings, without blanks around them.
      decimal: the sign between whole and fraction, and whether nothing tells which it is.
      text: the whole file, to find the line of a cell in.
      form: how it is divided.
      skipped: rows before the first one of the data.
    """

    file: str
    name: str
    index: int
    cells: object
    decimal: decimals.Decided
    text: str
    form: _Form
    skipped: int

    def numbers(self) -> np.ndarray:
        """The cells as float64, missing ones NaN (`ValueError` names the first that is neither, or may be two)."""
        import pyarrow
        from pyarrow import compute

        cells = self.cells
        missing = compute.is_in(compute.utf8_lower(cells), value_set=pyarrow.array(sorted(decimals.MISSING)))
        cells = compute.if_else(missing, None, cells)
        decimal, plain = self.decimal.decimal, cells
        row = decimals.first_unclear(cells.to_pylist()) if self.decimal.unclear else None
        if row is not None:
            raise ValueError(
                f"{self._place(row)}: {cells[row].as_py()!r} may have three decimals, or be a thousand and more with "
                "its digits in groups, and the cells do not tell which. Say by --decimal=point or --decimal=comma "
                "what divides whole from fraction."
            )
        if decimals.grouped(cells, decimal):
            plain = compute.replace_substring(plain, decimals.OTHER[decimal], "")
        try:
            # Not to be read as another number in silence.
            if decimal == "," and compute.any(compute.match_substring(plain, ".")).as_py():
                raise pyarrow.ArrowInvalid("a point among decimal commas")
            plain = compute.replace_substring(plain, ",", ".") if decimal == "," else plain
            found = plain.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            row, value = self._first_wrong(cells.to_pylist())
            if value is not None:
                raise ValueError(f"{self._place(row)}: {_short(value)!r} is no number. {ADVICE}") from None
            found = pyarrow.array([None if v is None else float(v) for v in plain.to_pylist()], pyarrow.float64())
        values = compute.fill_null(found, np.nan).to_numpy().astype(np.float64)
        if np.nanmax(np.abs(values), initial=0) >= 2**53:
            # As integers they are still told apart; numbers with a fraction stay as they are.
            with contextlib.suppress(pyarrow.ArrowInvalid):
                whole = plain.cast(pyarrow.int64())
                return integers.to_float64(compute.fill_null(whole, 0).to_numpy(), np.isnan(values))
        return values

    def is_blank(self) -> bool:
        """Whether no cell holds anything."""
        from pyarrow import compute

        filled = compute.not_equal(self.cells, "")
        return len(self.cells) > 0 and not compute.any(filled).as_py()

    def _first_wrong(self, cells: Sequence[str | None]) -> tuple[int, str | None]:
        for row, value in enumerate(cells):
            if value is not None and not decimals.is_number(value, self.decimal.decimal):
                return row, value
        return 0, None

    def _place(self, row: int) -> str:
        line = _line_of(self.text, self.form, self.skipped + row)
        return f"{self.file}, line {line}, column {self.name!r}"


def read(path: pathlib.Path, *, header: Header, asked: decimals.Asked = "auto") -> tuple[dict[str, Column], list[str]]:
    """Reads a text with a delimiter.

    Args:
      path: the file; compressed by gzip or not.
      header: whether the first line has names; "auto" finds out.
      asked: the sign between whole and fraction; "auto" finds out.

    Returns:
      Columns by name, in the order of the file, and notes on what was found out.

    Raises:
      ValueError: it is empty or no text, or a line has more or fewer cells than the first.
    """
    from pyarrow import compute

    text, notes = _decoded(path)
    text, said = _without_separator_line(text)
    text, comment = _without_comments(text)
    lines = [line for line in text.splitlines()[:_LOOKED_AT] if line.strip()]
    if not lines:
        raise ValueError(f"{path.name} is empty.")
    form = _form_of(
        lines, path, (said,) if said else (), tuple(decimals.OTHER) if asked == "auto" else (decimals.SIGNS[asked],)
    )
    head = [row for _, row in zip(range(_LOOKED_AT), _rows(text, form), strict=False)]
    width = len(head[0][1])
    named = _has_names([row for _, row in head], form.decimal) if header == "auto" else header == "yes"
    names = [name.strip() or str(i) for i, name in enumerate(head[0][1])] if named else list(map(str, range(width)))
    told = next((row for _, row in _rows(comment, form)), [])
    if not named and len(told) == width:
        names = [name.strip() for name in told]
    elif not named and header == "auto":
        notes.append(
            "The first line holds numbers, no names: columns are numbered from 0 (--header=yes takes it for names)."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path.name}: several columns are called {', '.join(map(repr, twice))}.")
    cells = [compute.utf8_trim_whitespace(column) for column in _cells(path.name, text, form, width, int(named))]
    decided = decimals.decide(cells, delimiter=form.delimiter, guess=form.decimal, asked=asked)
    found = {
        name: Column(path.name, name, i, cells[i], decided, text, form, int(named)) for i, name in enumerate(names)
    }
    if decided.decimal == "," and not decided.unclear:
        notes.append("Decimals are written with a comma.")
    groups = [] if decided.unclear else [name for name in names if decimals.grouped(found[name].cells, decided.decimal)]
    if groups:
        notes.append(f"A {decimals.NAMES[decimals.OTHER[decided.decimal]]} groups thousands in {', '.join(groups)}.")
    # A separator at the end of each line makes one column more, without name and content.
    last = found[names[-1]]
    if width > 1 and (not named or not head[0][1][-1].strip()) and last.is_blank():
        del found[last.name]
        notes.append("The last column is empty and has no name: it was left out.")
    if named and width > 1 and not head[0][1][0].strip() and _counts(cells[0].to_pylist()):
        notes.append(
            f"The first column has no name and numbers the rows. It is taken for data: --columns={','.join(names[1:4])}"
            f"{',...' if width > 4 else ''} leaves it out."
        )
    return found, notes


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells number their rows, as data frames do that are written with their index."""
    return any(list(map(str, range(start, start + len(cells)))) == list(cells) for start in (0, 1))


def _without_separator_line(text: str) -> tuple[str, str]:
    """The text with a first line `sep=;`, as Excel takes and writes it, made blank, and the separator."""
    first, end, rest = text.partition("\n")
    said = re.fullmatch(r'"?sep=(.)"?', first.rstrip("\r"), re.IGNORECASE)
    return (end + rest, said[1]) if said else (text, "")


def _without_comments(text: str) -> tuple[str, str]:
    """The text with lines that begin with # at its top made blank, and the last of them (`numpy.savetxt`: names)."""
    comment, at = "", 0
    blank = []
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith("#"):
            break
        comment, at = line.strip().lstrip("#").strip(), at + len(line)
        blank.append("\n")
    return "".join(blank) + text[at:], comment


def _cells(file: str, text: str, form: _Form, width: int, skipped: int) -> list:
    """The columns as strings, without the line of names."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    from experiments.density_destructors import arrow

    if form.delimiter == " ":  # any number of blanks: as many as align the columns
        text = "\n".join("\t".join(row) for _, row in _rows(text, form))
    keys, data = [str(index) for index in range(width)], text.encode()
    try:
        table = arrow_csv.read_csv(
            arrow.stream(data),
            arrow_csv.ReadOptions(column_names=keys, block_size=max(1 << 20, len(data) + 1)),
            arrow_csv.ParseOptions(
                delimiter="\t" if form.delimiter == " " else form.delimiter,
                newlines_in_values=True,
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(keys, pyarrow.string()), strings_can_be_null=False),
        )
    except pyarrow.ArrowInvalid as error:
        for line, row in _rows(text, form):
            if len(row) != width:
                raise ValueError(f"{file}, line {line}: {len(row)} cells, the first line has {width}.") from None
        raise ValueError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    return [table.column(key).slice(skipped) for key in keys]


def _decoded(path: pathlib.Path) -> tuple[str, list[str]]:
    """The text with a line feed at the end of each line, and notes."""
    text, notes = _text_of(path)
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _text_of(path: pathlib.Path) -> tuple[str, list[str]]:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path.name} cannot be decompressed: {error}.") from error
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return data.decode("utf-32", errors="replace"), []
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace"), []
    if b"\0" in data:
        raise ValueError(f"{path.name} is no text.")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ["The file is not UTF-8; it was read as Latin-1."]


def _rows(text: str, form: _Form) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line."""
    if form.delimiter == " ":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, line.split()
        return
    reader = csv.reader(io.StringIO(text), delimiter=form.delimiter)
    for row in reader:
        if row:
            yield reader.line_num, row


def _line_of(text: str, form: _Form, index: int) -> int:
    return next(line for at, (line, _) in enumerate(_rows(text, form)) if at == index)


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:60] + " ..."


def _form_of(lines: Sequence[str], path: pathlib.Path, delimiters: Sequence[str], signs: Sequence[str]) -> _Form:
    """The delimiter and decimal sign under which most cells are numbers, rows equally long, and columns many."""
    if not delimiters:
        first = "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes] else _DELIMITERS[0]
        delimiters = (first, *(d for d in _DELIMITERS if d != first))
    best, best_score = _Form(delimiters[0], signs[0]), (-1.0, -1.0, 0)
    for delimiter in delimiters:
        rows = [row for _, row in _rows("\n".join(lines), _Form(delimiter, "."))]
        width = max(set(map(len, rows)), key=[len(row) for row in rows].count)
        even = sum(len(row) == width for row in rows) / len(rows)
        # The last lines, since the first may have names.
        cells = [cell for row in (rows[1:] or rows) for cell in row]
        for decimal in signs:
            numbers = sum(decimals.is_number(cell.strip(), decimal) for cell in cells) / max(len(cells), 1)
            score = (round(numbers, 2) if width > 1 else round(numbers, 2) - 0.01, even, width)
            if score > best_score:
                best, best_score = _Form(delimiter, decimal), score
    return best


def _has_names(rows: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first row has names: a cell that is no number, above one that is."""
    first = [cell.strip() for cell in rows[0]]
    words = [index for index, cell in enumerate(first) if not decimals.is_number(cell, decimal)]
    if not words:
        return False
    if len(words) == len(first) or len(rows) == 1:
        return True
    # Some are numbers: names such as 2019 or 2020 if numbers stand below the words, a row if words do.
    below = [row[index].strip() for row in rows[1:] for index in words if index < len(row)]
    return sum(decimals.is_number(cell, decimal) for cell in below) > len(below) / 2
