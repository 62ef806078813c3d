"""The record of a captioned picture: what its columns are called and hold, whatever data set it is of.

Every reader of pictures with texts gives some of these columns under these names, so that what is written for one is
right for all; `check` holds a data set to it, those that readers of your own give too::

    record.check(coco.load("coco", "train2014", masks=True), num=100)

| column | one example | kind |
|---|---|---|
| `image` | `[h, w, 3]` bytes | `Image` |
| `captions`, `captions_LANGUAGE` | `[k, t]` numbers of words, zeros behind the last one of a text | `Field`, int32 |
| `regions` | `[k, 4]`, the box that each caption is about | `Boxes` |
| `label` | a class of the whole picture | `Label` |
| `objects` | a class of each object | `Label` of variable length |
| `boxes` | `[4]` of each object; without `objects` of what the picture is of | `Boxes` |
| `masks` | `[h, w]` of each object | `Mask`, bool |
| `attributes` | `[num]` of each object: which of `num` are said of it | `Field`, bool |
| any other of variable length | a class of each object, such as its colour | `Label` |
| `relations` | `[3]`: subject, relation, object; subject and object are places among `objects` | `Field`, int32 |
| `segmentation` | `[h, w]`, a class of each pixel | `Mask` |
| `outline` | `[h, w, 1]` bytes, a sketch of the picture | `Image` |
| `sound` | samples of what is said of the picture | `Sound` |
| any other | of the whole picture: a class, such as its colour, or a number | `Label`, `Field` |

What is of each object has room for as many, and as many in each example.
"""

from collections.abc import Callable

import numpy as np

from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Column, Field, Image, Label, Mask, Ragged, Sound

_CAPTIONS = "captions"


def _several(field: Field) -> bool:
    return field.max_length is not None


def _is_captions(field: Field) -> bool:
    return len(field.shape) == 2 and field.dtype == np.int32 and not _several(field)


# What each column must be, in words and to be asked.
_COLUMNS: dict[str, tuple[str, Callable[[Field], bool]]] = {
    "image": (
        "an Image of three channels",
        lambda field: isinstance(field, Image) and field.shape[2:] == (3,) and not _several(field),
    ),
    _CAPTIONS: ("a Field [k, t] int32", _is_captions),
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
        "an Image of one channel",
        lambda field: isinstance(field, Image) and field.shape[2:] == (1,) and not _several(field),
    ),
    "sound": ("a Sound of variable length", lambda field: isinstance(field, Sound) and _several(field)),
}
_OF_PICTURES = ("image", "masks", "segmentation", "outline")
_NOT_OF_OBJECTS = ("regions", "relations", "sound")


def check(source: Columns, *, num: int = 0) -> None:
    """Holds a data set to the record (see the module).

    Args:
      source: with any of the columns; all may be absent.
      num: of its first examples are read and looked at, too; 0 reads none.

    Raises:
      ValueError: a column is of another kind than its name says, what is of the same picture or the same objects
        differs in size or number, a relation names an object that is not there, or a box leaves the picture.
    """
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
    if "relations" in fields and "objects" not in fields:
        raise ValueError(f"{of}: 'relations' are between 'objects', which are not there.")
    rows = np.arange(min(num, len(source)))
    if rows.size:
        looked = [*rooms, *(name for name in ("regions", "relations") if name in fields)]
        _check_values(of, source.select(*looked).take(rows) if looked else {}, rooms, fields)


def _wanted(name: str) -> tuple[str, Callable[[Field], bool]]:
    if name in _COLUMNS:
        return _COLUMNS[name]
    if name.startswith(f"{_CAPTIONS}_"):
        return _COLUMNS[_CAPTIONS]
    return (
        "a Label of each object, or of no variable length",
        lambda field: isinstance(field, Label) or not _several(field),
    )


def _is_of_objects(name: str, field: Field) -> bool:
    return _several(field) and name not in _NOT_OF_OBJECTS


def _check_values(of: str, batch: dict[str, Column], rooms, fields) -> None:
    held = {name: column for name, column in batch.items() if isinstance(column, Ragged)}
    for row in range(len(next(iter(held.values())).lengths) if held else 0):
        where = f"{of}, example {row}"
        counts = {name: int(held[name].lengths[row]) for name in rooms}
        if len(set(counts.values())) > 1:
            raise ValueError(f"{where}: {_named(counts)} are of the same objects, and must be as many.")
        for name, column in held.items():
            values = column.values[row, : column.lengths[row]]
            if isinstance(fields[name], Boxes) and not _is_inside(values):
                raise ValueError(
                    f"{where}: a box of {name!r} is not within the picture: left, top, right and bottom must be "
                    "fractions from 0 to 1, in this order."
                )
            names = fields[name].class_names if isinstance(fields[name], Label) else ()
            if names and values.size and not 0 <= values.min() <= values.max() < len(names):
                raise ValueError(f"{where}: {name!r} must be from 0 to {len(names) - 1}, got {values.tolist()}.")
            if name == "relations" and values.size:
                ends = values[:, [0, 2]]
                if not 0 <= ends.min() <= ends.max() < counts["objects"]:
                    raise ValueError(
                        f"{where}: {values.tolist()} relate objects, of which there are {counts['objects']}."
                    )


def _is_inside(boxes: np.ndarray) -> bool:
    return bool((boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, :2] <= boxes[:, 2:]).all())


def _named(values: dict) -> str:
    return ", ".join(f"{name!r} ({value})" for name, value in values.items())
