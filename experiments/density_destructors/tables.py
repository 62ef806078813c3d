"""Reads a table of numbers from the files people have, and says what of it an information measure cannot take."""

import csv
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from experiments.density_destructors import decimals, delimited, integers
from gentoolkit import study

_FEW = 0.5  # a column with fewer distinct values than this share of its rows is called tied
_NAMED = 8  # columns that a message lists by name
_KINDS = "a table as text (.csv, .tsv, .txt, also .gz), .npy, .npz, .parquet or a folder of .parquet"

Missing = Literal["refuse", "drop"]


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


def read(
    path: str | pathlib.Path,
    columns: Sequence[str] = (),
    *,
    missing: Missing = "refuse",
    header: delimited.Header = "auto",
    decimal: decimals.Asked = "auto",
) -> Table:
    """Reads a table and checks it. What a file is, its content says; the suffix only where content does not.

    Args:
      path: text with a delimiter, a NumPy array `[rows, columns]`, an archive of arrays, a Parquet file or a folder of
        such files.
      columns: names (or numbers, from 0) of those to use, in this order; all if empty.
      missing: what to do with rows in which a value is missing or infinite: refuse the table, or drop them with a note.
      header: whether the first line of a text has names; "auto" finds out.
      decimal: the sign between whole and fraction in a text; "auto" finds out.

    Returns:
      The table.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another kind of file, columns that are not there or not numbers, missing values that are not to be
        dropped, or fewer than two rows.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"--input: there is no file {path}.")
    raw, notes = _load(path, header, decimal)
    chosen = [_find(list(raw), name) for name in columns] if columns else list(raw)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"--columns names a column twice: {', '.join(chosen)}.")
    numbers = [raw[name].numbers() for name in chosen]
    values = np.stack(numbers, axis=1) if numbers else np.zeros((0, 0))
    values, dropped = _without_missing(path.name, values, chosen, missing)
    if values.shape[0] < 2:
        raise ValueError(
            f"{path.name} holds {values.shape[0]} row(s); at least 50 are needed, hundreds to say anything."
        )
    return Table(values, tuple(chosen), (*notes, *dropped, *_notes(values, chosen)))


def _without_missing(
    file: str, values: np.ndarray, names: Sequence[str], missing: Missing
) -> tuple[np.ndarray, list[str]]:
    gaps = ~np.isfinite(values)
    rows = gaps.any(axis=1)
    if not rows.any():
        return values, []
    where = some([f"{name}: {count}" for name, count in zip(names, gaps.sum(axis=0), strict=True) if count])
    told = f"{rows.sum()} of {len(rows)} rows have missing or infinite values ({where})"
    if missing == "refuse":
        raise ValueError(f"{file}: {told}. --missing=drop leaves these rows out.")
    return values[~rows], [f"{told} and were left out."]


def some(names: Sequence[str]) -> str:
    """The first names of many, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _notes(values: np.ndarray, names: Sequence[str]) -> list[str]:
    rows, num = values.shape
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    distinct = [int(rank.max()) + 1 for rank in ranks]
    notes = []
    constant = [name for name, count in zip(names, distinct, strict=True) if count == 1]
    if constant:
        notes.append(f"Constant columns share nothing with any other: {some(constant)}.")
    tied = [n for n, count in zip(names, distinct, strict=True) if 1 < count < _FEW * rows]
    if tied:
        notes.append(f"Many ties, so that shared information comes out low: {some(tied)}.")
    first: dict[bytes, str] = {}
    twins = []
    for name, rank, count in zip(names, ranks, distinct, strict=True):
        # Degrees Celsius and Fahrenheit, or a number and its negative, are one column as well.
        other = first.setdefault(min(rank.tobytes(), (count - 1 - rank).tobytes()), name)
        if other != name and count > 1:
            twins.append(f"{name} and {other}")
    if twins:
        notes.append(
            "Equal columns, and columns of which one fixes the other, share all they have, which is no finite amount: "
            f"{some(twins)}."
        )
    if constant or tied or twins:
        notes.append("An entropy of such columns is that of no density: it is as low as rounding lets it be.")
    if rows < 10 * num:
        notes.append(f"{rows} rows for {num} columns are few: expect an estimate that misses part of what they share.")
    return notes


def _find(names: list[str], name: str) -> str:
    if name in names:
        return name
    if name.isdigit() and int(name) < len(names):
        return names[int(name)]
    raise ValueError(f"--columns: there is no column {name!r}; there are {some(names)}.{study.nearest(name, names)}")


class _Array(NamedTuple):
    """A column that is an array already."""

    file: str
    name: str
    values: np.ndarray

    def numbers(self) -> np.ndarray:
        if self.values.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.file}: column {self.name!r} holds {self.values.dtype}, no numbers. {delimited.ADVICE}"
            )
        if self.values.dtype.kind in "iu":
            return integers.to_float64(self.values)
        return self.values.astype(np.float64)


def _load(path: pathlib.Path, header: delimited.Header, decimal: decimals.Asked) -> tuple[dict, list[str]]:
    """Columns with a method `numbers`, by name, and notes."""
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise ValueError(f"--input: the folder {path} holds no .parquet file. It must be {_KINDS}.")
        return _parquet(path.name, files), []
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        return _parquet(path.name, [path]), []
    if start in (b"\x93NUM", b"PK\x03\x04"):
        return _arrays(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if kind in (".npy", ".npz", ".parquet"):
        raise ValueError(f"{path.name} ends in {kind}, but its content is something else.")
    if kind not in (".csv", ".tsv", ".txt", ".dat"):
        raise ValueError(f"--input must be {_KINDS}, got {path.name}.")
    try:
        return delimited.read(path, header=header, asked=decimal)
    except csv.Error as error:
        raise ValueError(f"{path.name} cannot be read: {error}.") from error


def _arrays(path: pathlib.Path) -> tuple[dict[str, _Array], list[str]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
        others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if others:  # any other kind of archive: spreadsheets, zipped texts
            raise ValueError(f"it is an archive of other files ({some(others)})")
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is no array of numbers: {str(error).splitlines()[0]}") from error
    shapes = ", ".join(f"{name or 'array'} {array.dtype} {array.shape}" for name, array in arrays.items())
    if len(arrays) == 1:
        ((_, array),) = arrays.items()
        if array.ndim == 2 and array.dtype.kind in "biuf":
            return {str(i): _Array(path.name, str(i), column) for i, column in enumerate(array.T)}, []
        if array.ndim == 1 and array.dtype.kind in "biuf":
            return {"0": _Array(path.name, "0", array)}, ["The array has one dimension: it was taken for one column."]
    elif arrays and all(a.ndim == 1 for a in arrays.values()) and len({len(a) for a in arrays.values()}) == 1:
        return {name: _Array(path.name, name, array) for name, array in arrays.items()}, []
    raise ValueError(
        f"{path.name} must hold real numbers [rows, columns] or [rows], or an archive of columns of one length; got "
        f"{shapes}."
    )


def _parquet(name: str, files: list[pathlib.Path]) -> dict[str, _Array]:
    try:
        import pyarrow
        from pyarrow import parquet

        from experiments.density_destructors import arrow
    except ImportError as error:
        raise ValueError("Reading .parquet needs pyarrow: pip install pyarrow.") from error
    try:
        parts = [parquet.ParquetFile(arrow.stream(file.read_bytes())).read() for file in files]
        first = parts[0].schema.remove_metadata()
        for file, part in zip(files, parts, strict=True):
            if part.schema.remove_metadata() != first:
                raise ValueError(
                    f"{name}: {file.name} has other columns, or of other types, than {files[0].name}: "
                    f"{_fields(part.schema)}; {_fields(first)}."
                )
        table = pyarrow.concat_tables(parts)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    names = table.column_names
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise ValueError(f"{name}: several columns are called {', '.join(twice)}.")
    return {column: _Array(name, column, _as_numpy(table.column(i))) for i, column in enumerate(names)}


def _fields(schema) -> str:
    return some([f"{field.name} {field.type}" for field in schema])


def _as_numpy(column) -> np.ndarray:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pyarrow.types.is_boolean(kind) or pyarrow.types.is_decimal(kind):
        column = column.cast(pyarrow.float64(), safe=False)
    elif pyarrow.types.is_temporal(kind) and not pyarrow.types.is_interval(kind):
        days = pyarrow.types.is_date32(kind) or pyarrow.types.is_time32(kind)
        column = column.cast(pyarrow.int32() if days else pyarrow.int64())
    if pyarrow.types.is_integer(column.type):
        return integers.to_float64(column.fill_null(0).to_numpy(), column.is_null().to_numpy())
    return column.to_numpy()
