"""One's own two folders of pictures: whether they are pairs, what is wrong, and what is held out to measure on."""

import functools
import hashlib
import os
import pathlib
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from gentoolkit.data import aligned, columns, folder
from gentoolkit.data.columns import Columns

Shapes = Mapping[str, tuple[int, int, int]]
Fit = Literal["stretch", "cover"]
_MOST_TEST = 128


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
        tests = [root / name for name in ("testA", "testB")]
        there = [test.is_dir() for test in tests]
        if any(there) and not all(there):
            print(
                f"{root} has one of testA and testB alone: a tenth of trainA and trainB is held out.", file=sys.stderr
            )
        sides = Sides(root / "trainA", root / "trainB", *(tests if all(there) else ()))
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


def are_pairs(sides: Sides, option: str, *, method: str | None = None) -> bool:
    """Whether files of one name are pairs; a line on stderr says what was decided where names alone do not.

    Args:
      sides: from `find`.
      option: "names" (they are), "none" (they are not), or "auto": where all names of `x` and `y` are the same, or the
        method needs pairs. `trainA` and `trainB` are the folders of data without pairs.
      method: the method that needs pairs, or None.

    Raises:
      ValueError: a method that needs pairs is told that there are none.
    """
    if method is not None and option == "none":
        raise ValueError(f"{method} needs pairs, and config.pairs = 'none' says that there are none.")
    if option != "auto" or method is not None:
        return option != "none"
    first, second = (_names(side) for side in (sides.x, sides.y))
    if first != second:
        return False
    told = f"{sides.x} and {sides.y}: all {len(first)} names are the same on both sides."
    if sides.x.name == "trainA":
        print(
            f"{told} Taken for two domains without pairs; --config.pairs=names takes them for pairs.", file=sys.stderr
        )
        return False
    print(
        f"{told} Taken for pairs, of which config.unpair says how they are trained on; where names say nothing, give "
        "--config.pairs=none.",
        file=sys.stderr,
    )
    return True


def pairs(
    sides: Sides, *, image_shape: Shapes, fit: Fit, convert_channels: bool, least: int
) -> tuple[Columns, Columns]:
    """Reads two folders in which files of one name are pairs.

    Args:
      sides: from `find`; without folders to measure on a tenth is.
      image_shape: of `x` and of `y`.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.
      least: how many pairs there must be, those that are measured on among them.

    Returns:
      Pairs to train on and to measure on, in columns `x` and `y`.

    Raises:
      FileNotFoundError: a folder holds no picture.
      ValueError: a picture without a partner, or too few pairs.
    """
    read = functools.partial(
        aligned.folders, image_shape=image_shape, fit=fit, convert_channels=convert_channels
    )  # fmt: skip
    both = read(x=sides.x, y=sides.y)
    if sides.test_x is not None and sides.test_y is not None:
        return both, read(x=sides.test_x, y=sides.test_y)
    return _held_out(both, sides.x.parent, least)


def listed(path: pathlib.Path, *, least: int, **options: Any) -> tuple[Columns, Columns]:
    """Reads the pairs of a text file (`aligned.listed`): `test.txt` beside it is measured on, or else a tenth.

    Args:
      path: of the list.
      least: as in `pairs`.
      **options: as in `pairs`.
    """
    both, test = aligned.listed(path, names=("x", "y"), **options), path.with_name("test.txt")
    if test.is_file() and not test.samefile(path):
        return both, aligned.listed(test, names=("x", "y"), **options)
    return _held_out(both, path, least)


def load(sides: Sides, *, image_shape: Shapes, fit: Fit, convert_channels: bool) -> tuple[Columns, Columns, Columns]:
    """Reads two folders whose pictures have nothing to do with each other, as many in each as there are.

    Args:
      sides: from `find`.
      image_shape: of `x` and of `y`.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.

    Returns:
      Pictures of x and of y to train on, each in a column `image`, and to measure on, in columns `x` and `y` that are
      no pairs: a tenth, if there are no folders for it.

    Raises:
      FileNotFoundError: a folder holds no picture.
      ValueError: too few pictures.
    """
    train, test = {}, {}
    for name, side, held in zip("xy", sides[:2], sides[2:], strict=True):
        read = functools.partial(
            folder.load, image_shape=image_shape[name], fit=fit, convert_channels=convert_channels
        )  # fmt: skip
        whole = read(side)
        if held is not None:
            train[name], test[name] = whole, read(held)
            continue
        if len(whole) < 2:
            raise ValueError(
                f"{side} holds one picture; two are needed at least, one to train on and one to measure on."
            )
        num = min(max(1, len(whole) // 10), _MOST_TEST)
        train[name], test[name] = columns.split(whole, num_test=num, seed=0)
    return train["x"], train["y"], beside_each_other(test["x"], test["y"])


def beside_each_other(x: Columns, y: Columns) -> Columns:
    """The first pictures of two domains (columns `image`) in columns `x` and `y`; they are no pairs."""
    num = min(_MOST_TEST, len(x), len(y))
    shown = {name: source.take(np.arange(num))["image"] for name, source in (("x", x), ("y", y))}
    fields = {"x": x.fields["image"], "y": y.fields["image"]}
    return columns.from_values(fields, shown, description="no pairs")


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


def _held_out(both: Columns, place: pathlib.Path, least: int) -> tuple[Columns, Columns]:
    if len(both) < least:
        raise ValueError(f"{place} holds {len(both)} pairs; {least} are needed at least, to train and to measure on.")
    return columns.split(both, num_test=max(1, len(both) // 10), seed=0)


def _names(side: pathlib.Path) -> list[str]:
    return sorted(os.path.splitext(os.path.relpath(path, side))[0] for path in folder.paths(side))


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
