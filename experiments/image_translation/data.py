"""The two domains of a configuration: training images of each, and pairs to measure on."""

import pathlib
import sys
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.image_translation import own_folders
from gentoolkit.data import aligned, columns, openmoji, pairs, pipeline, polygons, transform
from gentoolkit.data.columns import Columns

_NUM_POLYGONS, _NUM_TEST = 2000, 128
# Names of the halves of the published files, and whether photographs are on the left.
_HALVES = {"facades": ("photo", "drawing"), "edges2shoes": ("drawing", "photo"), "edges2handbags": ("drawing", "photo")}


class Domains(NamedTuple):
    """Images of both domains, each in a column `image`.

    Attributes:
      x: training images of x (drawings, outlines, edges).
      y: training images of y.
      test: pairs that training has not seen, in the columns `x` and `y`, and what else is known of them.
      paired: whether row i of x and of y is a pair.
      credit: who is to be named where images are shown.
      beside: what the `y` of a row of `test` is.
    """

    x: Columns
    y: Columns
    test: Columns
    paired: bool
    credit: str = ""
    beside: str = "the true y"


def load(config: ConfigDict) -> Domains:
    """Loads the domains; without pairs (every method but bicyclegan) no drawing stands beside its own painting.

    Raises:
      FileNotFoundError: a folder is missing.
      ValueError: domains that are swapped, empty or do not fit.
    """
    paired, dataset = config.method == "bicyclegan", config.dataset
    size, (cx, cy) = config.image_size, config.channels
    if dataset == "polygons":
        train = polygons.load(_NUM_POLYGONS, image_size=size, seed=config.seed + 1)
        return _parted(train, polygons.load(_NUM_TEST, image_size=size), "outline", "image", paired)
    if dataset == "openmoji":
        train, test = (openmoji.load(split, image_size=size) for split in ("train", "test"))
        return _parted(train, test, "outline", "image", paired, by="outline_number", credit=openmoji.CREDIT)
    if not config.data_dir:
        raise ValueError(f"config.data_dir must name the folder of {dataset}.")
    root = pathlib.Path(config.data_dir).expanduser()
    options = {"image_shape": (size, size, 3), "convert_channels": True}
    if dataset == "folders" and not paired:
        sides = own_folders.find(root)
        own_folders.check_apart(sides)
        if (cx, cy) != (3, 3) or not own_folders.are_pairs(sides):
            x, y, test = own_folders.load(sides, image_size=size, channels=(cx, cy))
            _check_sides(test, "x", "y", root)
            return Domains(x, y, test, False, beside="some other y")
    if cx != 3 or cy != 3:
        raise ValueError(f"config.channels must be (3, 3) for {dataset}, got {(cx, cy)}.")
    if dataset == "cufs":
        both = aligned.folders(photo=root / "photos", drawing=root / "sketches", key=aligned.cufs_key, **options)
        train, test = columns.split(both, num_test=max(1, len(both) // 3), seed=0)
    elif dataset == "folders":
        sides = own_folders.find(root)
        both = aligned.folders(drawing=sides.x, photo=sides.y, **options)
        least = 2 if paired else 3
        if len(both) < least:
            raise ValueError(
                f"{root} holds {len(both)} pairs; {least} are needed at least, to train and to measure on."
            )
        train, test = columns.split(both, num_test=max(1, len(both) // 10), seed=0)
    else:
        train, test = (_split(root, part, dataset, options) for part in ("train", "val"))
    _check_sides(train, "drawing", "photo", root)
    return _parted(train, test, "drawing", "photo", paired)


class Ways(NamedTuple):
    """One drawing and all its true paintings.

    Attributes:
      x: `[h, w, c]` bytes.
      y: `[m, h, w, c]` bytes.
    """

    x: np.ndarray
    y: np.ndarray


def ways(test: Columns, most: int) -> list[Ways]:
    """The drawings of which several paintings are known (the same `outline_number`), those with most of them first.

    Args:
      test: as in `Domains`; without a column `outline_number` there are none.
      most: how many drawings.

    Returns:
      At most `most`, in an order that is always the same. Paintings that are equal in every pixel count once.
    """
    if "outline_number" not in test.fields:
        return []
    rows = test.take(np.arange(len(test)))
    numbers, found = np.asarray(rows["outline_number"]), []
    for number in np.unique(numbers):
        held = np.flatnonzero(numbers == number)
        different = np.unique(rows["y"][held], axis=0) if len(held) > 1 else ()
        if len(different) > 1:
            found.append(Ways(rows["x"][held[0]], different))
    return sorted(found, key=lambda way: -len(way.y))[:most]


def _check_sides(both: Columns, drawing: str, photograph: str, root: pathlib.Path) -> None:
    if aligned.looks_swapped(both, drawing=drawing, photograph=photograph):
        print(f"{root}: drawings (x) have more colours than photographs (y). Swapped?", file=sys.stderr)


def stream(config: ConfigDict, domains: Domains, **part: int) -> pairs.Together:
    """Batches of both domains as bytes, mirrored at random; pairs are mirrored alike."""
    sides = {
        name: pipeline.Stream(
            source,
            seed=config.seed,
            batch_size=config.batch_size,
            image_range=None,
            transforms=(transform.horizontal_flip,),
            **part,
        )  # fmt: skip
        for name, source in (("x", domains.x), ("y", domains.y))
    }
    return pairs.Together(order="aligned" if domains.paired else "independent", **sides)


def _split(root: pathlib.Path, part: str, dataset: str, options) -> Columns:
    """One split: files of two halves as published, or a folder for each side (edges or labels, and photo)."""
    folder = root / part
    for drawing in ("edges", "labels", "drawing"):
        if (folder / drawing).is_dir():
            return aligned.folders(drawing=folder / drawing, photo=folder / "photo", **options)
    left, right = _HALVES[dataset]
    return aligned.halves(folder, left=left, right=right, **options)


def _parted(
    train: Columns, test: Columns, x: str, y: str, paired: bool, *, by: str | None = None, credit: str = ""
) -> Domains:
    of_x, of_y = (train, train) if paired else columns.deal(train, 2, by=by)
    rest = [name for name in test.fields if name not in (x, y)]
    return Domains(of_x.select(image=x), of_y.select(image=y), test.select(*rest, x=x, y=y), paired, credit)
