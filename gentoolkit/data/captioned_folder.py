"""Any folder of pictures with a table of texts: CSV, TSV, JSON or JSON lines.

    load("fashion", "fashion/captions.csv", image="{split}/{id}.jpg", texts=("caption",), where={"split": "train"})
    load("shop", "shop/items.jsonl", image="{file}", texts=("title", "description"), num_captions=2)
    load("emoji", "emoji/names.json", image="noto/{code}.png", texts=("en", "en_keywords"), missing="leave out")
    load("some", "some/about.json", key="images", image="{id:012d}.jpg", texts=("captions",), num_captions=5)

A row is a picture. `image` says where it is, from the folder on, as a format of the row's columns; a text column holds
a text, or in JSON a list of them.
"""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gentoolkit.data import _captioned, _entries, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image, Label
from gentoolkit.data.text import Vocabulary

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_NAMED = 3  # pictures named in a message; the others are counted
Row = dict[str, Any]


def load(
    directory: str | os.PathLike[str],
    table: str | os.PathLike[str],
    *,
    image: str,
    texts: Sequence[str],
    labels: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    key: str | None = None,
    image_size: int = 64,
    vocabulary: Vocabulary | None = None,
    num_captions: int = 1,
    max_words: int = 32,
    fit: _window.Fit = "cover",
    missing: Literal["refuse", "leave out"] = "refuse",
) -> Columns:
    """Lists the pictures of a table, in its order, decoded when asked for.

    Rows without a text are left out, and so are pictures of no row that lie beside those of one: both are said on
    stderr.

    Args:
      directory: the folder of the pictures.
      table: the file, whose suffix says what it is: `.csv` and `.tsv` with names of columns in the first line, `.json`
        with a list of objects, `.jsonl` with an object a line. UTF-8.
      image: where the picture of a row is, such as "{split}/{id}.jpg".
      texts: columns with texts; those of a row are taken in this order.
      labels: columns that become classes, numbered in order of name over the whole table.
      where: what columns must hold for a row to be taken, such as `{"split": "train"}`; None takes all.
      key: under which the list of a `.json` file stands; None where the file is a list.
      image_size: height and width of the result in pixels.
      vocabulary: numbers the words; None makes the one of `read_vocabulary`, of all rows.
      num_captions: texts of a picture. More are left out, fewer are repeated in turn: both are said.
      max_words: words of a text; longer ones are cut, which is said.
      fit: "cover", the central square; "stretch", the whole picture, squeezed.
      missing: what becomes of a row whose picture is not there: an error, or it is left out and counted.

    Returns:
      A data set with the columns `image` `[s, s, 3]`, `captions` `[num_captions, max_words]`, and each of `labels` as a
      class with names; its `names` are the pictures' paths below the folder.

    Raises:
      FileNotFoundError: the folder, the table, or a picture is not there.
      ValueError: a line of another form; no such column; a path that leads out of the folder; no row is left; or an
        option is none of these.
    """
    _window.check(image_size, fit)
    if missing not in ("refuse", "leave out"):
        raise ValueError(f"missing must be 'refuse' or 'leave out', got missing = {missing!r}.")
    folder, path = _locate.root(directory, dataset="Captioned folder", argument="directory"), pathlib.Path(table)
    told = list[str]()
    everything = read_table(path, key=key)
    for name in (*texts, *labels, *(where or ())):
        if not any(name in row for row in everything):
            known = ", ".join(dict.fromkeys(column for row in everything for column in row))
            raise ValueError(f"{str(path)!r} has no column {name!r}; there are {known}.")
    chosen = [row for row in everything if all(row.get(name) == value for name, value in (where or {}).items())]
    several = [_texts(row, texts, path) for row in chosen]
    rows = [row for row, found in enumerate(several) if found]
    _captioned.count(told, len(chosen) - len(rows), "rows without a text, left out")
    names = {row: _file(image, chosen[row], path) for row in rows}
    absent = [row for row in rows if not (folder / names[row]).is_file()]
    if absent and missing == "refuse":
        shown = ", ".join(names[row] for row in absent[:_NAMED]) + (", ..." if len(absent) > _NAMED else "")
        raise FileNotFoundError(
            f"{str(path)!r} names {len(absent)} pictures that are not in {str(folder)!r}: {shown}. Put them there, or "
            "give missing='leave out'."
        )
    unnamed = _unnamed(folder, image, everything, {names[row] for row in rows}, path)
    _captioned.count(told, unnamed, "pictures that no row names, left out")
    gone = set(absent)
    _captioned.count(told, len(absent), f"rows whose picture is not in {folder.name}, left out")
    rows = [row for row in rows if row not in gone]
    if not rows:
        raise ValueError(f"{str(path)!r}: no row is left{': ' if told else '.'}{'; '.join(told)}")

    captions, values = _captioned.column(
        [several[row] for row in rows],
        Vocabulary.of(_all_texts(everything, texts, path)) if vocabulary is None else vocabulary,
        num_captions=num_captions,
        max_words=max_words,
        told=told,
    )
    paths = [os.fspath(folder / names[row]) for row in rows]
    sizes = _window.sizes(paths)
    windows = _window.fitted(np.concatenate([np.zeros_like(sizes), sizes], 1), fit)
    fields: dict[str, Field] = {"image": Image(shape=(image_size, image_size, 3)), "captions": captions}
    held: dict[str, Any] = {"image": _window.Pictures(paths, sizes, windows, image_size), "captions": values}
    for name in labels:
        class_names = tuple(sorted({str(row.get(name, "")) for row in everything}))
        number = {value: place for place, value in enumerate(class_names)}
        fields[name] = Label(class_names=class_names)
        held[name] = np.array([number[str(chosen[row].get(name, ""))] for row in rows], np.int32)
    _captioned.tell(path.name, told)
    description = f"{path.name} ({len(rows)} pictures, {image_size} x {image_size})"
    return columns.from_values(fields, held, description=description, names=[names[row] for row in rows])


def read_vocabulary(
    table: str | os.PathLike[str],
    *,
    texts: Sequence[str],
    key: str | None = None,
    max_words: int | None = None,
    min_count: int = 1,
) -> Vocabulary:
    """Collects the words of the texts of all rows, the most frequent first.

    Args:
      table: as in `load`.
      texts: as in `load`.
      key: as in `load`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary; the same wherever it is made.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`.
    """
    path = pathlib.Path(table)
    return Vocabulary.of(_all_texts(read_table(path, key=key), texts, path), max_words=max_words, min_count=min_count)


def read_texts(
    table: str | os.PathLike[str], *, image: str, texts: Sequence[str], key: str | None = None
) -> dict[str, list[str]]:
    """Reads the texts of each picture as they are written, with capitals, stops and words that no vocabulary has.

    Args:
      table: as in `load`.
      image: as in `load`.
      texts: as in `load`.
      key: as in `load`.

    Returns:
      The texts by the name of the picture, as in the `names` of what `load` returns; of a picture that several rows
      name, those of all of them in turn. Rows that name no picture are left out.

    Raises:
      FileNotFoundError: the table is not there.
      ValueError: a line of another form, a column that is not there, or one that holds something else than texts.
    """
    path, found = pathlib.Path(table), dict[str, list[str]]()
    rows = read_table(path, key=key)
    for name in texts:
        if not any(name in row for row in rows):
            raise ValueError(f"{str(path)!r} has no column {name!r}.")
    for row in rows:
        if several := _texts(row, texts, path):
            with contextlib.suppress(ValueError):
                found.setdefault(_file(image, row, path), []).extend(several)
    return found


def read_table(table: str | os.PathLike[str], *, key: str | None = None) -> list[Row]:
    """Reads the rows of a table.

    Args:
      table: as in `load`.
      key: as in `load`.

    Returns:
      A dictionary for each row.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: another suffix, or a line of another form, which is named.
    """
    path = pathlib.Path(table).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is not there. Give the table of the texts.")
    suffix = path.suffix.lower()
    if suffix in _SEPARATORS:
        return _separated(path, _SEPARATORS[suffix])
    if suffix == ".json":
        rows = _entries.listed(_entries.read(path, dataset=path.name, remedy=""), path, key)
        what = "entry"
    elif suffix == ".jsonl":
        what, rows = "line", []
        for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), 1):
            with _entries.entry(path, f"line {number}"):
                if line.strip():
                    rows.append(json.loads(line))
    else:
        raise ValueError(f"{str(path)!r} must end in .csv, .tsv, .json or .jsonl.")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{str(path)!r}, {what} {number}: expected an object, got {str(row)[:60]!r}.")
    if not rows:
        raise ValueError(f"{str(path)!r} holds no row.")
    return rows


def _separated(path: pathlib.Path, separator: str) -> list[Row]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        # In TSV files a quotation mark is one: only those with commas need it for something else.
        if separator == ",":
            reader = csv.reader(file, strict=True)
        else:
            reader = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
        rows: list[Row] = []
        try:
            header = next(reader, [])
            if len(set(header)) != len(header):
                raise ValueError(f"{str(path)!r} has two columns of one name: {', '.join(header)}.")
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    raise ValueError(
                        f"{str(path)!r}, line {reader.line_num}: {len(values)} values, but there are {len(header)} "
                        f"columns ({', '.join(header)})."
                    )
                rows.append(dict(zip(header, values, strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{str(path)!r}, line {reader.line_num}: {error}.") from error
    if not rows:
        raise ValueError(f"{str(path)!r} holds no row.")
    return rows


def _texts(row: Row, names: Sequence[str], path: pathlib.Path) -> list[str]:
    """The texts of a row that have a word."""
    found: list[str] = []
    for name in names:
        value = row.get(name)
        for text in value if isinstance(value, list) else [value]:
            if text is not None and not isinstance(text, str):
                raise ValueError(f"{str(path)!r}: the column {name!r} must hold texts, got {str(text)[:60]!r}.")
            if text and any(map(str.isalnum, text)):
                found.append(text)
    return found


def _all_texts(rows: Sequence[Row], names: Sequence[str], path: pathlib.Path) -> list[str]:
    return [text for row in rows for text in _texts(row, names, path)]


def _unnamed(folder: pathlib.Path, image: str, rows: Sequence[Row], chosen: set[str], path: pathlib.Path) -> int:
    """How many files lie beside the pictures of the chosen rows, end as they do, and are not of any row."""
    named = set(chosen)
    for row in rows:
        with contextlib.suppress(ValueError):  # another row may lack what the chosen ones have
            named.add(_file(image, row, path))
    named = {os.path.normpath(name) for name in named}
    endings = {os.path.splitext(name)[1].lower() for name in chosen}
    count = 0
    for parent in {os.path.dirname(name) for name in chosen}:
        for name in os.listdir(folder / parent) if (folder / parent).is_dir() else ():
            ending = os.path.splitext(name)[1].lower()
            count += ending in endings and os.path.normpath(os.path.join(parent, name)) not in named
    return count


def _file(image: str, row: Row, path: pathlib.Path) -> str:
    """Where the picture of a row is, below the folder."""
    try:
        name = image.format_map(row)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(
            f"image = {image!r} does not fit the columns of {str(path)!r} ({', '.join(row)}): {error}."
        ) from None
    if os.path.isabs(name) or os.path.normpath(name).startswith(".."):
        raise ValueError(f"{str(path)!r}: the picture {name!r} leads out of the folder.")
    return name
