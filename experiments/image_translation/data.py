"""The two domains of a configuration: training images of each, and pairs to measure on."""

import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.image_translation import own_folders, values
from gentoolkit import study
from gentoolkit.data import aligned, columns, openmoji, pairs, pipeline, polygons, prepared, transform
from gentoolkit.data.columns import Columns

_NUM_POLYGONS, _NUM_TEST = 2000, 128
_DRAWN = ("polygons", "openmoji")
# What the left and the right half of the published files are.
_HALVES = {"facades": ("y", "x"), "edges2shoes": ("x", "y"), "edges2handbags": ("x", "y")}
# What two domains have to do with each other.
RELATIONS = {
    "pairs": "are pairs",
    "disjoint": "have no example in common: nothing is trained beside its own partner",
    "shuffle": "are sides of the same pairs, each in an order of its own: partners meet in a batch by chance alone",
    "none": "are taken as they are: nobody says which example of one belongs to which of the other",
}


class Domains(NamedTuple):
    """Images of both domains, each in a column `image`.

    Attributes:
      x: training images of x (drawings, outlines, edges).
      y: training images of y.
      test: pairs that training has not seen, in the columns `x` and `y`, and what else is known of them.
      paired: whether row i of x and of y is a pair.
      credit: who is to be named where images are shown.
      beside: what the `y` of a row of `test` is.
      relation: of x and y, one of `RELATIONS`.
      larger: x and y again, larger, for windows to be cut out in training; None where there is no room.
    """

    x: Columns
    y: Columns
    test: Columns
    paired: bool
    credit: str = ""
    beside: str = "the true y"
    relation: str = "pairs"
    larger: tuple[Columns, Columns] | None = None


def load(config: ConfigDict) -> Domains:
    """Loads the domains; a line on stderr says what was taken for what, and what looks wrong.

    Raises:
      FileNotFoundError: a folder is missing.
      ValueError: domains that are empty or do not fit, or options that cannot be.
    """
    study.choose("config.unpair", config.unpair, ("disjoint", "shuffle"))
    study.choose("config.fit", config.fit, ("stretch", "cover"))
    if config.pairs != "auto" and config.dataset != "folders":
        raise ValueError(f"config.pairs is of folders, got {config.pairs!r} for {config.dataset}.")
    read_at = transform.load_size(config.image_size, config.load_scale, name="config.load_scale")
    if config.dataset in _DRAWN:
        if config.load_scale != 1 or config.fit != "stretch":
            raise ValueError(f"config.load_scale and config.fit are of pictures from files; {config.dataset} is drawn.")
        return _drawn(config)
    if not config.data_dir:
        raise ValueError(f"config.data_dir must name the folder of {config.dataset}.")
    root = pathlib.Path(config.data_dir).expanduser()
    read = _SOURCES.get(config.dataset, _published)(config, root)
    domains = read(config.image_size)
    for line in values.told(domains.x, domains.y):
        print(f"{root}: {line}", file=sys.stderr)
    if read_at > config.image_size:
        larger = read(read_at)
        domains = domains._replace(larger=(larger.x, larger.y))
    return domains


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


def spread(test: Columns, most: int) -> dict[str, Any]:
    """At most so many rows, spread evenly over all: the first ones of a sorted data set are all of one kind."""
    return test.take(spread_places(len(test), most))


def spread_places(num: int, most: int) -> np.ndarray:
    """Where such rows are among `num`."""
    return np.unique(np.linspace(0, num - 1, min(most, num)).round().astype(int))


def stream(config: ConfigDict, domains: Domains, **part: int) -> pairs.Together:
    """Batches of both domains as bytes, cropped (where there is room) and mirrored at random; pairs alike.

    Raises:
      ValueError: a batch that is larger than a domain.
    """
    if config.batch_size > min(len(domains.x), len(domains.y)):
        dealt = " Of the pairs each side has a half; config.unpair=shuffle gives it all."
        raise ValueError(
            f"config.batch_size = {config.batch_size} is larger than the training data: {len(domains.x)} pictures of "
            f"x and {len(domains.y)} of y, beside {len(domains.test)} of each to measure on."
            + (dealt if domains.relation == "disjoint" else "")
        )
    transforms: list[Any] = [transform.horizontal_flip]
    if domains.larger is not None:
        transforms.insert(0, transform.RandomCrop((config.image_size, config.image_size)))
    sides = {
        name: pipeline.Stream(
            source,
            seed=config.seed,
            batch_size=config.batch_size,
            image_range=None,
            transforms=tuple(transforms),
            **part,
        )
        for name, source in zip("xy", domains.larger or (domains.x, domains.y), strict=True)
    }
    return pairs.Together(order="aligned" if domains.paired else "independent", **sides)


def _drawn(config: ConfigDict) -> Domains:
    size = config.image_size
    if config.dataset == "polygons":
        train = polygons.load(_NUM_POLYGONS, image_size=size, seed=config.seed + 1)
        return _parted(config, train, polygons.load(_NUM_TEST, image_size=size), "outline", "image")
    train, test = (openmoji.load(split, image_size=size) for split in ("train", "test"))
    return _parted(config, train, test, "outline", "image", by="outline_number", credit=openmoji.CREDIT)


# How each data set of files is read: a function of configuration and folder, which returns one of the size.

Read = Callable[[int], Domains]


def _published(config: ConfigDict, root: pathlib.Path) -> Read:
    """Files of two halves in `train` and `val` as published, or a folder for each side (edges or labels, and photo)."""
    if not (root / "train").is_dir() and (root / "trainA").is_dir():
        raise FileNotFoundError(
            f"{root} has no folder train. It has trainA, as data without pairs have it: take config.py:folders "
            f"--config.data_dir={config.data_dir} for {config.dataset} in that form."
        )

    def part(name: str, size: int) -> Columns:
        folder, options = root / name, _options(config, size)
        for drawing in ("edges", "labels", "drawing"):
            if (folder / drawing).is_dir():
                return aligned.folders(x=folder / drawing, y=folder / "photo", **options)
        left, right = _HALVES[config.dataset]
        return aligned.halves(folder, left=left, right=right, **options)

    return lambda size: _parted(config, part("train", size), part("val", size))


def _cufs(config: ConfigDict, root: pathlib.Path) -> Read:
    def read(size: int) -> Domains:
        both = aligned.folders(
            x=root / "sketches", y=root / "photos", key=aligned.cufs_key, **_options(config, size)
        )  # fmt: skip
        return _parted(config, *columns.split(both, num_test=max(1, len(both) // 3), seed=0))

    return read


def _cycle_gan(config: ConfigDict, root: pathlib.Path) -> Read:
    """What tensorflow-datasets prepared of `cycle_gan`."""
    if _needs_pairs(config):
        raise ValueError(f"{config.method} needs pairs, and cycle_gan has none.")

    def part(split: str, size: int, channels: int) -> Columns:
        return prepared.load(
            root, split, label_key=None, image_shape=(size, size, channels), fit=config.fit, convert_channels=True
        )

    def read(size: int) -> Domains:
        sides = [[part(f"{kind}{side}", size, channels) for kind in ("train", "test")] for side, channels in
                 zip("AB", config.channels, strict=True)]  # fmt: skip
        (x, test_x), (y, test_y) = sides
        test = own_folders.beside_each_other(test_x, test_y)
        return Domains(x, y, test, False, beside="some other y", relation="none")

    return read


def _folders(config: ConfigDict, root: pathlib.Path) -> Read:
    """Two folders of one's own, or a list of pairs."""
    least = 2 if _needs_pairs(config) or config.unpair == "shuffle" else 3
    study.choose("config.pairs", config.pairs, ("auto", "names", "none"))
    if root.is_file():
        if config.pairs == "none":
            raise ValueError(
                f"{root} lists pairs; config.unpair=shuffle trains on all of both sides as if they were none."
            )
        read = functools.partial(own_folders.listed, root, least=least)
    else:
        sides = own_folders.find(root)
        own_folders.check_apart(sides)
        if not own_folders.are_pairs(sides, config.pairs, method=config.method if _needs_pairs(config) else None):

            def unpaired(size: int) -> Domains:
                x, y, test = own_folders.load(sides, **_options(config, size))
                return Domains(x, y, test, False, beside="some other y", relation="none")

            return unpaired
        read = functools.partial(own_folders.pairs, sides, least=least)
    return lambda size: _parted(config, *read(**_options(config, size)))


_SOURCES = {"cufs": _cufs, "cycle_gan": _cycle_gan, "folders": _folders}


def _needs_pairs(config: ConfigDict) -> bool:
    return config.method == "bicyclegan"


def _options(config: ConfigDict, size: int) -> dict[str, Any]:
    """How files are read."""
    shapes = {name: (size, size, channels) for name, channels in zip("xy", config.channels, strict=True)}
    return {"image_shape": shapes, "fit": config.fit, "convert_channels": True}


def _parted(
    config: ConfigDict, train: Columns, test: Columns, x: str = "x", y: str = "y", *, by: str | None = None,
    credit: str = "",
) -> Domains:  # fmt: skip
    """Pairs as they are, or dealt out to the two sides."""
    paired = _needs_pairs(config)
    relation = "pairs" if paired else config.unpair
    of_x, of_y = columns.deal(train, 2, by=by) if relation == "disjoint" else (train, train)
    rest = [name for name in test.fields if name not in (x, y)]
    return Domains(
        of_x.select(image=x), of_y.select(image=y), test.select(*rest, x=x, y=y), paired, credit, relation=relation
    )
