"""ADE20K as the scene parsing challenge of 2016 has it: scenes, the class of every pixel, and what scene it is.

    train = ade20k.load("ADEChallengeData2016", "training", image_size=64)
    train[0]        # {"image": [64, 64, 3], "segmentation": [64, 64], "label": (), "captions": [1, 8]}

What to put where (nothing is downloaded): `ADEChallengeData2016.zip` unpacks to a folder of that name, which is `root`:
`images/training/ADE_train_00000001.jpg`, `annotations/training/ADE_train_00000001.png`, both again for `validation`,
`objectInfo150.txt` and `sceneCategories.txt`. There are no texts: the name of the scene stands for one.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gentoolkit.data import _captioned, _locate, _masks, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image, Label, Mask
from gentoolkit.data.text import Vocabulary

SPLITS = ("training", "validation")
_NAME = "ADE20K"
_ARCHIVE = "ADEChallengeData2016"
_REMEDY = f"Put the unpacked folder {_ARCHIVE} of {_ARCHIVE}.zip there, from the page of the scene parsing challenge."
_NUM_CLASSES = 150


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    vocabulary: Vocabulary | None = None,
    max_words: int = 8,
    fit: _window.Fit = "cover",
) -> Columns:
    """Lists the scenes of a split, decoded when asked for.

    Args:
      root: the folder ADEChallengeData2016, or the one above it.
      split: "training" (20,210 pictures) or "validation" (2,000).
      image_size: height and width of the result in pixels.
      vocabulary: numbers the words of the scenes' names; None makes the one of `read_vocabulary(root)`.
      max_words: words of a name; longer ones are cut.
      fit: "cover", the central square; "stretch", the whole picture, squeezed.

    Returns:
      A data set with the columns `image` `[s, s, 3]`, `segmentation` `[s, s]` (1 to 150, as `read_classes` names them,
      0 for everything else), `label` (the scene, with names) and `captions` `[1, max_words]`, the name of the scene.
      Its `names` are such as "ADE_train_00000001".

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, with its line; classes of pixels are of another size than their picture, or beyond
        150; or an option is none of these.

    References:
      Zhou, Zhao, Puig, Fidler, Barriuso and Torralba, Scene parsing through ADE20K dataset, 2017.
    """
    _locate.check_split(_NAME, split, SPLITS)
    _window.check(image_size, fit)
    place, told = _place(root), list[str]()
    scenes = _scenes(place)
    class_names = sorted(set(scenes.values()))
    names = sorted(path.stem for path in (place / "images" / split).glob("*.jpg"))
    if not names:
        raise _locate.missing(_NAME, "pictures", [place / "images" / split], _REMEDY)
    without = [name for name in names if name not in scenes]
    if without:
        raise ValueError(f"{str(place / 'sceneCategories.txt')!r} has no scene of {without[0]!r}.")
    maps = [os.fspath(place / "annotations" / split / f"{name}.png") for name in names]
    absent = [path for path in maps if not os.path.isfile(path)]
    if absent:
        what = f"classes of pixels of {len(absent)} of {len(names)} pictures"
        raise _locate.missing(_NAME, what, [pathlib.Path(absent[0])], _REMEDY)
    paths = [os.fspath(place / "images" / split / f"{name}.jpg") for name in names]
    sizes = _window.sizes(paths)
    windows = _window.fitted(np.concatenate([np.zeros_like(sizes), sizes], 1), fit)
    captions, values = _captioned.column(
        [[scenes[name]] for name in names],
        read_vocabulary(root) if vocabulary is None else vocabulary,
        num_captions=1,
        max_words=max_words,
        told=told,
    )
    _captioned.tell(f"{_NAME}, {split}", told)
    fields: dict[str, Field] = {
        "image": Image(shape=(image_size, image_size, 3)),
        "segmentation": Mask(shape=(image_size, image_size)),
        "label": Label(class_names=tuple(class_names)),
        "captions": captions,
    }
    number = {name: place for place, name in enumerate(class_names)}
    held: dict[str, Any] = {
        "image": _window.Pictures(paths, sizes, windows, image_size),
        "segmentation": _Segmentation(maps, sizes, windows, image_size),
        "label": np.array([number[scenes[name]] for name in names], np.int32),
        "captions": values,
    }
    description = f"{_NAME}, {split} ({len(names)} pictures, {image_size} x {image_size})"
    return columns.from_values(fields, held, description=description, names=names)


def read_classes(root: str | os.PathLike[str]) -> tuple[str, ...]:
    """The name of each class of pixels, of 0 "other"; of several names that a class has, the first.

    Args:
      root: as in `load`.

    Returns:
      151 names.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: the file is damaged, with its line.
    """
    path = _file(_place(root), "objectInfo150.txt")
    names = {0: "other"}
    for line, text in enumerate(path.read_text("utf-8").splitlines()[1:], 2):
        parts = [part.strip() for part in text.split("\t")]
        if len(parts) != 5 or not parts[0].isdecimal():
            raise ValueError(f"{str(path)!r}, line {line}: expected a number, three counts and names, got {text!r}.")
        names[int(parts[0])] = parts[4].split(",")[0].strip()
    if sorted(names) != list(range(_NUM_CLASSES + 1)):
        raise ValueError(f"{str(path)!r} does not name the classes 1 to {_NUM_CLASSES}.")
    return tuple(names[number] for number in range(_NUM_CLASSES + 1))


def read_vocabulary(root: str | os.PathLike[str]) -> Vocabulary:
    """Collects the words of the names of all scenes, the most frequent first.

    Args:
      root: as in `load`.

    Returns:
      The vocabulary; the same wherever it is made.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`.
    """
    return Vocabulary.of(_scenes(_place(root)).values())


def _place(root: str | os.PathLike[str]) -> pathlib.Path:
    places = _locate.candidates(_locate.root(root, dataset=_NAME, argument="root"), _ARCHIVE)
    place = next((place for place in places if (place / "images").is_dir()), None)
    if place is None:
        raise _locate.missing(_NAME, "the folder images", places, _REMEDY)
    return place


def _file(place: pathlib.Path, name: str) -> pathlib.Path:
    if not (place / name).is_file():
        raise _locate.missing(_NAME, name, [place], _REMEDY)
    return place / name


def _scenes(place: pathlib.Path) -> dict[str, str]:
    """The scene of each picture, with blanks."""
    path, scenes = _file(place, "sceneCategories.txt"), {}
    for line, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        match text.split():
            case [name, scene]:
                scenes[name] = scene.replace("_", " ")
            case []:
                continue
            case _:
                raise ValueError(f"{str(path)!r}, line {line}: expected a picture and its scene, got {text!r}.")
    return scenes


@dataclasses.dataclass(frozen=True, eq=False)
class _Segmentation:
    paths: Sequence[str]
    sizes: np.ndarray
    windows: np.ndarray
    image_size: int

    def __call__(self, index: int) -> np.ndarray:
        pixels = _window.classes(self.paths[index], self.sizes[index])
        if pixels.max() > _NUM_CLASSES:
            raise ValueError(f"{self.paths[index]!r} has a class {pixels.max()}; there are 0 to {_NUM_CLASSES}.")
        return _masks.seen(pixels, self.windows[index], self.image_size)
