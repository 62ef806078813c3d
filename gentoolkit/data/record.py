"""The record of a captioned picture: what its columns are called and hold, whatever data set it is of.

Every reader of pictures with texts gives some of these columns under these names, so that what is written for one is
right for all; `check` holds a data set to it, those that readers of your own give too::

    record.check(coco.load("coco", "train2014", masks=True), num=100)

| column | one example | kind |
|---|---|---|
| `image` | `[h, w, 3]` bytes | `Image` |
| `captions`, `captions_LANGUAGE` | `[k, t]` numbers of words, zeros behind the last one of a text | `Field`, int32 |
| `caption` | one of them, with its length (`captions.OneText`) | `Tokens` |
| `regions` | `[k, 4]`, the box that each caption is about | `Boxes` |
| `label` | a class of the whole picture | `Label` |
| `objects` | a class of each object | `Label` of variable length |
| `boxes` | `[4]` of each object; without `objects` of what the picture is of | `Boxes` |
| `masks` | `[h, w]` of each object | `Mask`, bool |
| `attributes` | `[num]` of each object: which of `num` are said of it | `Field`, bool |
| any other of variable length | of each object: a class, such as its colour, or a number | `Label`, `Field` |
| `relations` | `[3]`: subject, relation, object; subject and object are places among `objects` | `Field`, int32 |
| `segmentation` | `[h, w]`, a class of each pixel | `Mask` |
| `outline` | `[h, w, 1]` bytes, a sketch of the picture | `Image` |
| `sound` | samples of what is said of the picture | `Sound` |
| any other | of the whole picture: a class, such as its colour, or a number | `Label`, `Field` |

What is of each object has room for as many, and as many in each example.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Column, Field, Image, Label, Mask, Ragged, Sound, Tokens

_CAPTIONS = "captions"


def _several(field: Field) -> bool:
    return field.max_length is not None


def _is_bytes(field: Field) -> bool:
    return field.dtype == np.uint8 and not _several(field)


def _is_captions(field: Field) -> bool:
    return len(field.shape) == 2 and field.dtype == np.int32 and not _several(field)


# What each column must be, in words and to be asked.
_COLUMNS: dict[str, tuple[str, Callable[[Field], bool]]] = {
    "image": (
        "an Image of three channels in bytes",
        lambda field: isinstance(field, Image) and field.shape[2:] == (3,) and _is_bytes(field),
    ),
    _CAPTIONS: ("a Field [k, t] int32", _is_captions),
    "caption": ("Tokens", lambda field: isinstance(field, Tokens)),
    "regions": ("Boxes of variable length", lambda field: isinstance(field, Boxes) and _several(field)),
    "label": ("one Label", lambda field: isinstance(field, Label) and not _several(field)),
    "objects": ("a Label of variable length", lambda field: isinstance(field, Label) and _several(field)),
    "boxes": ("Boxes of variable length", lambda field: isinstance(field, Boxes) and _several(field)),
    "masks": (
        "a Mask of bool, of variable length",
        lambda field: isinstance(field, Mask) and field.dtype == np.bool_ and _several(field),
    ),
    "attributes": (
        "a Field [num] of bool, of variable length",
        lambda field: len(field.shape) == 1 and field.dtype == np.bool_ and _several(field),
    ),
    "relations": (
        "a Field [3] int32, of variable length",
        lambda field: field.shape == (3,) and field.dtype == np.int32 and _several(field),
    ),
    "segmentation": ("one Mask", lambda field: isinstance(field, Mask) and not _several(field)),
    "outline": (
        "an Image of one channel in bytes",
        lambda field: isinstance(field, Image) and field.shape[2:] == (1,) and _is_bytes(field),
    ),
    "sound": ("a Sound of variable length", lambda field: isinstance(field, Sound) and _several(field)),
}
NAMES = tuple(name for name in _COLUMNS if name != "label")  # those that mean something else than a class
_OF_PICTURES = ("image", "masks", "segmentation", "outline")
_NOT_OF_OBJECTS = ("caption", "regions", "relations", "sound")


def check(source: Columns, *, num: int = 0) -> None:
    """Holds a data set to the record (see the module).

    Args:
      source: with any of the columns; all may be absent.
      num: of its first examples are read and looked at, too; 0 reads none.

    Raises:
      ValueError: a column is of another kind than its name says, what is of the same picture or the same objects
        differs in size or number, a relation names an object that is not there, a box leaves the picture, a class has
        no name, or words stand behind the end of a text; or `num` is negative.
    """
    if num < 0:
        raise ValueError(f"num must be at least 0, got num = {num}.")
    fields, of = source.fields, source.description or "The data set"
    for name, field in fields.items():
        wanted, fits = _wanted(name)
        if not fits(field):
            raise ValueError(f"{of}: the column {name!r} must be {wanted}, got {field}.")
    sizes = {name: fields[name].shape[:2] for name in _OF_PICTURES if name in fields}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{of}: {_named(sizes)} are of one picture, and must have one height and width.")
    rooms = {name: field.max_length for name, field in fields.items() if _is_of_objects(name, field)}
    if len(set(rooms.values())) > 1:
        raise ValueError(f"{of}: {_named(rooms)} are of the same objects, and must have room for as many.")
    for name, other in (("relations", "objects"), ("regions", _CAPTIONS)):
        if name in fields and other not in fields:
            raise ValueError(f"{of}: {name!r} are of {other!r}, which are not there.")
    rows = np.arange(min(num, len(source)))
    looked = [name for name, field in fields.items() if not isinstance(field, Image | Sound)]
    if rows.size and looked:
        _check_values(of, source.select(*looked).take(rows), rooms, fields)


def _wanted(name: str) -> tuple[str, Callable[[Field], bool]]:
    if name.startswith(f"{_CAPTIONS}_"):
        return _COLUMNS[_CAPTIONS]
    return _COLUMNS.get(name, ("anything", lambda field: True))


def _is_of_objects(name: str, field: Field) -> bool:
    of_others = isinstance(field, Sound | Tokens) or (isinstance(field, Image) and not isinstance(field, Mask))
    return _several(field) and name not in _NOT_OF_OBJECTS and not of_others


def _check_values(of: str, batch: Mapping[str, Column], rooms: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    for row in range(_num(batch)):
        where = f"{of}, example {row}"
        values = {name: _row(column, row) for name, column in batch.items()}
        counts = {name: len(values[name]) for name in rooms}
        if len(set(counts.values())) > 1:
            raise ValueError(f"{where}: {_named(counts)} are of the same objects, and must be as many.")
        for name, found in values.items():
            _check_value(where, name, found, fields[name])
        if "relations" in values and values["relations"].size:
            found, there = values["relations"], counts["objects"]
            ends = found[:, [0, 2]]
            if not 0 <= ends.min() <= ends.max() < there or found.min() < 0:
                raise ValueError(f"{where}: {found.tolist()} must relate objects, of which there are {there}.")
        if "regions" in values and len(values["regions"]) != len(values[_CAPTIONS]):
            raise ValueError(
                f"{where}: there are {len(values['regions'])} 'regions' of {len(values[_CAPTIONS])} 'captions'."
            )


def _check_value(where: str, name: str, found: np.ndarray, field: Field) -> None:
    if isinstance(field, Boxes) and not _is_inside(found):
        raise ValueError(
            f"{where}: a box of {name!r} is not within the picture: left, top, right and bottom must be fractions from "
            "0 to 1, in this order."
        )
    names = field.class_names if isinstance(field, Label) else ()
    if names and found.size and not 0 <= found.min() <= found.max() < len(names):
        raise ValueError(f"{where}: {name!r} must be from 0 to {len(names) - 1}, got {found.tolist()}.")
    if _wanted(name) == _COLUMNS[_CAPTIONS] and not _are_texts(found):
        raise ValueError(
            f"{where}: {name!r} must hold a word in each text, zeros behind its last one alone and no negative number, "
            f"got {found.tolist()}."
        )


def _num(batch: Mapping[str, Column]) -> int:
    first = next(iter(batch.values()))
    return len(first.lengths if isinstance(first, Ragged) else first)


def _row(column: Column, row: int) -> np.ndarray:
    return column.values[row, : column.lengths[row]] if isinstance(column, Ragged) else np.asarray(column[row])


def _are_texts(tokens: np.ndarray) -> bool:
    there = tokens != 0
    return bool((tokens >= 0).all() and there[:, 0].all() and (there[:, :-1] >= there[:, 1:]).all())


def _is_inside(boxes: np.ndarray) -> bool:
    return bool((boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, :2] <= boxes[:, 2:]).all())


def _named(values: dict) -> str:
    return ", ".join(f"{name!r} ({value})" for name, value in values.items())
