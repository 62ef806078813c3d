"""Files of JSON whose entries are read one by one: what is wrong with one is said with the file and its place."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from gentoolkit.data import _locate


def read(path: pathlib.Path, *, dataset: str, remedy: str) -> Any:
    """What a file holds (`FileNotFoundError` with what to put where, `ValueError` if it is no JSON)."""
    if not path.is_file():
        raise _locate.missing(dataset, path.name, [path.parent], remedy)
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is no JSON file, or one that is cut off ({error}).") from None


def listed(value: Any, path: pathlib.Path, key: str | None = None) -> list[Any]:
    """The list that a file holds, or that it has under a key."""
    found = value if key is None else value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{str(path)!r} holds no list{'' if key is None else f' {key!r}'}.")
    return found


@contextlib.contextmanager
def entry(path: pathlib.Path, what: str) -> Iterator[None]:
    """Names file and entry in errors that reading it raises."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{str(path)!r}, {what}: {error} is missing or not known.") from None
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{str(path)!r}, {what}: {error}.") from None


def whole(value: Any) -> int:
    """A whole number, as one (`ValueError` otherwise)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {str(value)[:60]!r}")
    return value


def text(value: Any) -> str:
    """A text, as one (`ValueError` otherwise)."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {str(value)[:60]!r}")
    return value


def box(values: Any) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of x, y, width and height (`ValueError` for anything else)."""
    x, y, width, height = map(float, values)
    found = x, y, x + width, y + height
    if not all(abs(side) < 1e7 for side in found):
        raise ValueError(f"expected x, y, width and height in pixels, got {str(values)[:60]}")
    return found
