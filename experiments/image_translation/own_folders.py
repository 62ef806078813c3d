"""One's own two folders of pictures: what is wrong with them, and what is held out to measure on."""

import hashlib
import os
import pathlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from gentoolkit.data import columns, folder
from gentoolkit.data.columns import Columns

_LOOKED_AT = 24
_MOST_TEST = 128
_GREY = ("1", "L", "LA", "I", "I;16", "F")


class Sides(NamedTuple):
    """Where pictures of x and y lie, and others to measure on; these may be None."""

    x: pathlib.Path
    y: pathlib.Path
    test_x: pathlib.Path | None = None
    test_y: pathlib.Path | None = None


def find(root: pathlib.Path) -> Sides:
    """Finds the folders: `x` and `y`, or `trainA` and `trainB`, as CycleGAN's data have them, with `testA` and `testB`.

    Raises:
      FileNotFoundError: there are none.
      ValueError: both are one folder.
    """
    if not (root / "x").is_dir() and (root / "trainA").is_dir():
        tests = [root / name if (root / name).is_dir() else None for name in ("testA", "testB")]
        sides = Sides(root / "trainA", root / "trainB", *(tests if all(tests) else (None, None)))
    else:
        sides = Sides(root / "x", root / "y")
    for side in (sides.x, sides.y):
        if not side.is_dir():
            raise FileNotFoundError(
                f"There is no folder {side}. {root} must hold the folders x and y, or trainA and trainB."
            )
    if sides.x.samefile(sides.y):
        raise ValueError(f"{sides.x} and {sides.y} are one folder.")
    return sides


def are_pairs(sides: Sides) -> bool:
    """Whether both folders hold pictures of the same names."""
    names = [
        sorted(os.path.splitext(os.path.relpath(path, side))[0] for path in folder.paths(side))
        for side in (sides.x, sides.y)
    ]
    return names[0] == names[1]


def load(sides: Sides, *, image_size: int, channels: tuple[int, int]) -> tuple[Columns, Columns, Columns]:
    """Reads two folders whose pictures have nothing to do with each other, as many in each as there are.

    Args:
      sides: from `find`.
      image_size: pictures are stretched to it.
      channels: of x and of y, 1 or 3.

    Returns:
      Pictures of x and of y to train on, each in a column `image`, and to measure on, in columns `x` and `y` that are
      no pairs: a tenth, if there are no folders for it.

    Raises:
      FileNotFoundError: a folder holds no picture.
      ValueError: too few pictures.
    """
    train, test = {}, {}
    for name, side, held, count in zip("xy", sides[:2], sides[2:], channels, strict=True):
        options = {"image_shape": (image_size, image_size, count), "fit": "stretch", "convert_channels": True}
        whole = folder.load(side, **options)
        check(side, name, whole.names)
        if held is not None:
            train[name], test[name] = whole, folder.load(held, **options)
            continue
        if len(whole) < 2:
            raise ValueError(
                f"{side} holds one picture; two are needed at least, one to train on and one to measure on."
            )
        num = min(max(1, len(whole) // 10), _MOST_TEST)
        train[name], test[name] = columns.split(whole, num_test=num, seed=0)
    num = min(_MOST_TEST, *map(len, test.values()))
    shown = {name: source.take(np.arange(num))["image"] for name, source in test.items()}
    fields = {name: source.fields["image"] for name, source in test.items()}
    return train["x"], train["y"], columns.from_values(fields, shown, description="no pairs")


def check(side: pathlib.Path, name: str, paths: Sequence[str]) -> None:
    """Says where a domain is grey in part; two dozen files are looked at."""
    chosen = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int))]
    grey = sum(_is_grey(path) for path in chosen)
    if 0 < grey < len(chosen):
        print(
            f"{side}: {grey} of {len(chosen)} pictures looked at are grey, the others in colour; all are read alike, "
            f"as config.channels has them for {name}.",
            file=sys.stderr,
        )


def check_apart(sides: Sides) -> None:
    """Looks for files that are in both folders, byte for byte, and says how many.

    Raises:
      ValueError: one folder lies whole in the other: the domains are mixed up.
    """
    sizes = [defaultdict[int, list[str]](list) for _ in "xy"]
    counts = []
    for side, by_size in zip(sides[:2], sizes, strict=True):
        paths = folder.paths(side)
        counts.append(len(paths))
        for path in paths:
            by_size[os.path.getsize(path)].append(path)
    both = sorted(sizes[0].keys() & sizes[1].keys())
    digests = [{_digest(path): path for size in both for path in by_size[size]} for by_size in sizes]
    same = sorted(digests[0][digest] for digest in digests[0].keys() & digests[1].keys())
    if len(same) == min(counts):
        raise ValueError(
            f"All of the pictures of {sides.x} or of {sides.y} are in the other folder too: nothing to learn."
        )
    if same:
        print(f"{len(same)} pictures are in both {sides.x} and {sides.y}, as {same[0]}. Mixed up?", file=sys.stderr)


def _is_grey(path: str) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in _GREY
    except (OSError, UnidentifiedImageError):
        return False  # it is told of by who reads it


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
