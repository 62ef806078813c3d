"""Attributes of pictures: columns of a table of one's own, and which of their values are frequent enough to learn."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from gentoolkit import report
from gentoolkit.data.columns import Columns

Known = Mapping[str, tuple[str, ...]]  # by column, the values that are told apart
_FILE = "attributes.json"
_TAKEN = ("image", "captions", "caption", "counts")  # names of columns that streams have already
_NAMED = 5  # values that a message names


def names(listed: str) -> tuple[str, ...]:
    """The columns of a list with commas, each once.

    Raises:
      ValueError: a column whose name streams need for something else.
    """
    found = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if taken := [name for name in found if name in _TAKEN]:
        raise ValueError(f"config.folder.attributes: {', '.join(taken)} cannot be an attribute; rename the column.")
    return found


def frequent(train: Columns, columns: Sequence[str], *, least: int) -> tuple[Known, list[str]]:
    """The values of columns that have enough pictures.

    Args:
      train: pictures to learn from, with these columns as classes.
      columns: their names.
      least: pictures that a value must have.

    Returns:
      The values, in order of name, and a line for each column about those left out. An empty value says nothing of a
      picture, and is left out whatever its number.

    Raises:
      ValueError: fewer than two values of a column have as many pictures.
    """
    known, told = {}, []
    for column in columns:
        values = train.fields[column].class_names
        counts = np.bincount(train.select(column).take(np.arange(len(train)))[column], minlength=len(values))
        known[column] = tuple(
            value for value, count in zip(values, counts, strict=True) if value and count >= max(least, 1)
        )
        by_count = sorted(zip(-counts, values, strict=True))
        if len(known[column]) < 2:
            seen = ", ".join(f"{value!r}: {-count}" for count, value in by_count[:_NAMED])
            raise ValueError(
                f"An attribute needs two values of at least {least} training pictures each; the column {column!r} has "
                f"{seen}. Leave it out of config.folder.attributes, or give a smaller config.folder.least."
            )
        left = [(value, -count) for count, value in by_count if count and value not in known[column]]
        if left:
            shown = ", ".join(value or "''" for value, _ in left[:_NAMED]) + (", ..." if len(left) > _NAMED else "")
            told.append(
                f"{column}: {len(known[column])} values are told apart; {len(left)} of fewer than {least} training "
                f"pictures are not asked for ({shown}; {sum(count for _, count in left)} pictures)"
            )
    return known, told


def numbers(source: Columns, known: Known) -> dict[str, np.ndarray]:
    """For each class of a column its place among the values that are told apart, -1 for the others."""
    return {
        column: np.array(
            [values.index(name) if name in values else -1 for name in source.fields[column].class_names], np.int32
        )
        for column, values in known.items()
    }


def asked(source: Columns, known: Known, num: int) -> dict[str, np.ndarray]:
    """What the first pictures show by their table, `[num]` places among the values of each column, or -1."""
    tables = numbers(source, known)
    rows = source.select(*known).take(np.arange(num))
    return {column: table[rows[column]] for column, table in tables.items()}


def save(run: pathlib.Path, known: Known) -> None:
    """Keeps the values that a probe tells apart in the folder of its run."""
    report.write_text(run / _FILE, json.dumps(known, ensure_ascii=False, indent=0))


def read(run: pathlib.Path) -> Known:
    """Reads what `save` wrote.

    Raises:
      ValueError: there is no such file, or it holds something else.
    """
    path = run / _FILE
    try:
        return {str(name): tuple(map(str, values)) for name, values in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} must hold the attributes of the run, which its first evaluation writes: {error}"
        ) from error


def check(known: Known, of_data: Known, *, source: str) -> None:
    """Refuses a probe that tells other values apart than the data have.

    Raises:
      ValueError: naming the first column that differs.
    """
    for column, values in known.items():
        theirs = of_data.get(column, ())
        if theirs != values:
            differing = sorted(set(values) ^ set(theirs)) or ["their order"]
            raise ValueError(
                f"The probe in {source} was trained on other data: its values of {column!r} are not those here, "
                f"{len(values)} and {len(theirs)}; they differ in {', '.join(map(repr, differing[:_NAMED]))}."
            )
