"""Reads a table of numbers, and says what of it an information measure cannot take."""

import csv
import difflib
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FEW = 0.5  # a column with fewer distinct values than this share of its rows is called tied


class Table(NamedTuple):
    """Numbers with names.

    Attributes:
      values: `[rows, columns]` float64, finite.
      names: of the columns.
      notes: what a reader of the result must know of the data.
    """

    values: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]


def read(path: str | pathlib.Path, columns: Sequence[str] = ()) -> Table:
    """Reads a table and checks it.

    Args:
      path: a `.npy` array `[rows, columns]`, a `.csv` file whose first line has the names, or a `.parquet` file.
      columns: names (or numbers, from 0) of those to use, in this order; all if empty.

    Returns:
      The table.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another kind of file, columns that are not there or not numbers, gaps, or fewer than two rows.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--input: there is no file {path}.")
    readers = {".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"--input must end in {', '.join(readers)}, got {path.name}.")
    read_columns = readers[path.suffix](path)
    chosen = [_find(read_columns, name) for name in columns] if columns else list(read_columns)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"--columns names a column twice: {', '.join(chosen)}.")
    numbers = {name: _numbers(read_columns[name]) for name in chosen}
    words = [name for name, values in numbers.items() if values is None]
    if words:
        raise ValueError(
            f"These columns hold no numbers: {', '.join(words)}. Leave them out by --columns, or code categories as "
            "one column of 0 and 1 each (their entropy is not a density's)."
        )
    values = np.stack(list(numbers.values()), axis=1) if numbers else np.zeros((0, 0))
    if values.shape[0] < 2:
        raise ValueError(
            f"{path.name} holds {values.shape[0]} row(s); at least 50 are needed, hundreds to say anything."
        )
    gaps = [name for name, column in zip(chosen, values.T, strict=True) if not np.isfinite(column).all()]
    if gaps:
        count = int((~np.isfinite(values)).any(axis=1).sum())
        raise ValueError(f"{count} row(s) have gaps or infinities, in {', '.join(gaps)}. Fill them or leave them out.")
    return Table(values, tuple(chosen), tuple(_notes(values, chosen)))


def _notes(values: np.ndarray, names: Sequence[str]) -> list[str]:
    rows, num = values.shape
    distinct = [len(np.unique(column)) for column in values.T]
    notes = []
    constant = [name for name, count in zip(names, distinct, strict=True) if count == 1]
    if constant:
        notes.append(f"Constant columns share nothing with any other: {', '.join(constant)}.")
    tied = [n for n, count in zip(names, distinct, strict=True) if 1 < count < _FEW * rows]
    if tied:
        notes.append(f"Many ties, so that shared information comes out low: {', '.join(tied)}.")
    twins = [
        f"{names[i]} and {names[j]}"
        for i in range(num)
        for j in range(i)
        if distinct[i] > 1 and np.array_equal(values[:, i], values[:, j])
    ]
    if twins:
        notes.append(f"Equal columns share all they have, which is no finite amount: {', '.join(twins)}.")
    if constant or tied or twins:
        notes.append("An entropy of such columns is that of no density: it is as low as rounding lets it be.")
    if rows < 10 * num:
        notes.append(f"{rows} rows for {num} columns are few: expect an estimate that misses part of what they share.")
    return notes


def _find(columns: dict[str, list], name: str) -> str:
    names = list(columns)
    if name in columns:
        return name
    if name.isdigit() and int(name) < len(names):
        return names[int(name)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"--columns: there is no column {name!r}; there are {', '.join(names)}.{hint}")


def _numbers(column) -> np.ndarray | None:
    """The column as float64, an empty cell as NaN; None if it holds words."""
    try:
        return np.array([np.nan if value in ("", None) else float(value) for value in column], np.float64)
    except (TypeError, ValueError):
        return None


def _read_npy(path: pathlib.Path) -> dict[str, list]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} is no array of numbers: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise ValueError(f"{path.name} must hold real numbers [rows, columns], got {array.dtype} {array.shape}.")
    return {str(index): column.tolist() for index, column in enumerate(array.T)}


def _read_csv(path: pathlib.Path) -> dict[str, list]:
    with path.open(newline="") as file:
        lines = [line for line in csv.reader(file) if line]
    if not lines:
        raise ValueError(f"{path.name} is empty.")
    names, rows = lines[0], lines[1:]
    ragged = next((number for number, row in enumerate(rows, 2) if len(row) != len(names)), None)
    if ragged is not None:
        raise ValueError(f"{path.name}, line {ragged}: {len(rows[ragged - 2])} cells, the first line has {len(names)}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: two columns have the same name; the first line must hold names.")
    return {name: [row[index].strip() for row in rows] for index, name in enumerate(names)}


def _read_parquet(path: pathlib.Path) -> dict[str, list]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError("Reading .parquet needs pyarrow: pip install pyarrow, or save the table as .csv.") from error
    table = parquet.read_table(path)
    return {name: table.column(name).to_pylist() for name in table.column_names}
