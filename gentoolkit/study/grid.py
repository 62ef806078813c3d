"""Grids of measurements: a line of JSON for each cell, measured once, gone on with where it was stopped."""

import contextlib
import fcntl
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gentoolkit.report import run_files
from gentoolkit.study.progress import Progress

# Seconds to wait for the file: children of a killed process may hold it a moment longer than the process itself.
PATIENCE = 5.0

# What every line begins with, and so what a line that was cut off begins with, or is the beginning of.
_BEGIN = b'{"key"'

Key = Mapping[str, Any]
Row = dict[str, Any]


class Cell(NamedTuple):
    """A measured cell, as it stands in the file.

    Attributes:
      key: what was measured: method, seed, size, by name.
      values: what came out.
      config: what else the values depend on: settings of the whole grid.
      commit: of the code that measured, None outside a checkout.
      seconds: that it took.
    """

    key: dict[str, Any]
    values: dict[str, Any]
    config: dict[str, Any]
    commit: str | None
    seconds: float

    @property
    def row(self) -> Row:
        """Key and values in one dictionary."""
        return self.key | self.values


def complete(
    path: str | pathlib.Path,
    keys: Iterable[Key],
    measure: Callable[[Row], Mapping[str, Any]],
    *,
    config: Mapping[str, Any] | Callable[[Row], Mapping[str, Any]] | None = None,
    still_valid: Callable[[Row], bool] = lambda row: True,
) -> list[Row]:
    """Measures the cells that a file does not have yet, and returns all that were asked for.

    Every cell is one line of JSON, appended as soon as it is measured: a kill costs the cell that was being measured,
    and a line that it cut off is taken away before the next one is written. A cell is known by its key and the
    configuration together: under another configuration it is measured anew, and the old one stays in the file. How far
    the grid is, and the time left, go to stderr.

    Args:
      path: of the file, `results.jsonl` say; folders are made. One process at a time may complete it.
      keys: of the cells, in the order in which they are measured and returned; all that tells one from another.
      measure: gets a key and returns values by name. Both become JSON: numbers, texts, lists, None.
      config: settings that the values depend on besides the key: of all cells, or a function of the key.
      still_valid: gets key and values of a cell in the file; where it returns False the cell is measured again.

    Returns:
      A dictionary for each key, of key and values.

    Raises:
      BlockingIOError: another process is completing the file.
      OSError: the file cannot be written.
      ValueError: the file holds other things than cells, or a value has the name of a part of its key.
    """
    path = pathlib.Path(path)
    wanted = [_plain(key) for key in keys]
    settings = [_plain(config(dict(key)) if callable(config) else config or {}) for key in wanted]
    known = [_identity(key, under) for key, under in zip(wanted, settings, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path) as file:
        there = _read(path, tell=True)
        _take_away_torn_line(path, file)
        asked = set(known)
        found = {_identity(cell.key, cell.config): cell.row for cell in there}
        found = {identity: row for identity, row in found.items() if identity in asked and still_valid(row)}
        todo = {known[i]: (wanted[i], settings[i]) for i in range(len(known)) if known[i] not in found}
        _tell_of_other_settings(path, there, todo.values())
        if found:
            _tell(f"{path}: {len(wanted) - len(todo)} of {len(wanted)} cells are measured already")
        commit = run_files.commit() if todo else None
        with Progress(len(todo)) as progress:
            for identity, (key, under) in todo.items():
                progress.begin(", ".join(f"{name} {value}" for name, value in key.items()))
                start = time.monotonic()
                values = _plain(measure(dict(key)))
                twice = key.keys() & values.keys()
                if twice:
                    raise ValueError(f"A value has the name of a part of its key: {', '.join(sorted(twice))}.")
                cell = Cell(key, values, under, commit, round(time.monotonic() - start, 6))
                _append(file, cell)
                found[identity] = cell.row
                progress.end()
    return [dict(found[identity]) for identity in known]


def read(path: str | pathlib.Path) -> list[Cell]:
    """Returns the cells of a file as they came, of every configuration; none where there is no file.

    Lines that cannot be read (cut off by a kill) are passed over.

    Raises:
      ValueError: the file holds other things than cells.
    """
    path = pathlib.Path(path)
    return _read(path, tell=False) if path.exists() else []


def group(rows: Iterable[Row], *names: str) -> dict[tuple, list[Row]]:
    """Returns rows by their values under some names, in the order in which these first come."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[int]:
    """Opens a file for appending and holds its lock, which the kernel lets go of when the process dies."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        give_up = time.monotonic() + PATIENCE
        while not _locked(file):
            if time.monotonic() > give_up:
                raise BlockingIOError(f"Another process is writing to {path}. Wait for it, or use another folder.")
            time.sleep(0.1)
        yield file
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # A file system without locks: go on without.
    return True


def _take_away_torn_line(path: pathlib.Path, file: int) -> None:
    """Makes a file end in a whole line: what a kill cut off would spoil the next line too."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end == len(content):
        return
    if _parsed(content[end:]) is None:
        os.truncate(file, end)
    else:  # all but the end of the line was written
        _write(file, b"\n")


def _append(file: int, cell: Cell) -> None:
    # One call for the whole line: no kill comes between its parts.
    _write(file, (json.dumps(cell._asdict()) + "\n").encode())


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _read(path: pathlib.Path, *, tell: bool) -> list[Cell]:
    cells = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        line = line.strip(b"\0\r\t ")  # after a power failure a file may end in zeros
        parsed = _parsed(line)
        if parsed is not None:
            try:
                cells.append(Cell(**parsed))
                continue
            except TypeError:
                pass
        elif line.startswith(_BEGIN) or _BEGIN.startswith(line):
            if tell and line:
                _tell(f"{path}: line {number} was cut off, and is passed over")
            continue
        raise ValueError(
            f"{path}, line {number}, is not a cell of a grid: {line[:60].decode(errors='replace')!r}. "
            "Use another folder, or move the file away."
        )
    return cells


def _parsed(line: bytes) -> Any:
    """What a line holds; None where it was cut off: a part of an object is never an object."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _tell_of_other_settings(path: pathlib.Path, cells: list[Cell], todo: Iterable[tuple[Row, Row]]) -> None:
    asked = {_identity(key, {}): settings for key, settings in todo}
    others = [(cell.config, asked[_identity(cell.key, {})]) for cell in cells if _identity(cell.key, {}) in asked]
    others = [(before, now) for before, now in others if not same(before, now)]
    if others:
        before, now = (run_files.flatten(settings) for settings in others[-1])
        differing = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
        told = ", ".join(f"{name} = {before.get(name)!r}, now {now.get(name)!r}" for name in differing[:3])
        _tell(
            f"{path}: {len(others)} cells were measured under other settings ({told}); they stay, and are measured anew"
        )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two settings are the same once they are JSON."""
    return _identity(_plain(before), {}) == _identity(_plain(now), {})


def _identity(key: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    return json.dumps([_canonical(key), _canonical(config)], sort_keys=True)


def _canonical(value: Any) -> Any:
    """The same for 1 and 1.0, which flags and files do not tell apart."""
    if isinstance(value, Mapping):
        return {name: _canonical(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_canonical(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as JSON gives it back: arrays as lists, tuples as lists."""
    return json.loads(json.dumps(dict(mapping), default=_listed))


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "dtype"):
        return np.asarray(value).tolist()
    raise TypeError(f"Keys, values and settings of cells become JSON; {type(value).__name__} cannot: {value!r}.")
