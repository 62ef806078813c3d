"""Oxford-102 flowers with ten texts a picture, as systems of text to picture are trained on them.

    vocabulary = oxford_flowers.read_vocabulary("flowers")
    train = oxford_flowers.load("flowers", "train", vocabulary=vocabulary, image_size=64)
    train[0]        # {"image": [64, 64, 3], "captions": [10, 32], "label": ()}

What to put where (nothing is downloaded), all in one folder, `root`: `102flowers.tgz` unpacks to `jpg/image_NNNNN.jpg`;
Reed's `cvpr2016_flowers.tar.gz` has `text_c10/class_NNNNN/image_NNNNN.txt` and the lists `trainvalclasses.txt` and
`testclasses.txt`; the archive of StackGAN has `train/` and `test/` with `filenames.pickle`.
"""

import os
import pathlib

import numpy as np

from gentoolkit.data import _attngan, _captioned, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Image, Label
from gentoolkit.data.text import Vocabulary

SPLITS = ("train", "test")
SPLIT_FILES = ("filenames", "classes")
_NAME = "Oxford-102 flowers"
_SUBFOLDERS = ("flowers", "102flowers", "cvpr2016_flowers")
_LISTS = {"train": "trainvalclasses.txt", "test": "testclasses.txt"}
_PICTURES = "Put the folder jpg of 102flowers.tgz there, from the authors' page of the data set."
_TEXTS = "Put the folder text_c10 and the lists of classes of Reed's cvpr2016_flowers.tar.gz there."
_PICKLES = "Put the folders train and test of StackGAN's archive of flowers there, or give split_files='classes'."
_NUM_CLASSES = 102


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    vocabulary: Vocabulary | None = None,
    num_captions: int = 10,
    max_words: int = 32,
    fit: _window.Fit = "cover",
    split_files: str = "filenames",
) -> Columns:
    """Lists the flowers of a split, decoded when asked for.

    Args:
      root: the folder that holds all (see the module), or a folder above it.
      split: "train" (82 classes) or "test" (20 others).
      image_size: height and width of the result in pixels.
      vocabulary: numbers the words; None makes the one of `read_vocabulary(root, split_files=...)`.
      num_captions: texts of a picture. More are left out, fewer are repeated in turn: both are said.
      max_words: words of a text; longer ones are cut, which is said.
      fit: "cover", the central square; "stretch", the whole picture, squeezed.
      split_files: "filenames", the lists `train/filenames.pickle` and `test/filenames.pickle`, read without running
        anything; "classes", Reed's lists of classes.

    Returns:
      A data set with the columns `image` `[s, s, 3]`, `captions` `[num_captions, max_words]` and `label` (the class of
      102, from 0). Its `names` are such as "image_06734".

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, or a picture has no text; or an option is none of these.

    References:
      Nilsback and Zisserman, Automated flower classification over a large number of classes, 2008. Reed, Akata, Schiele
      and Lee, Learning deep representations of fine-grained visual descriptions, 2016 (texts, classes of the splits).
    """
    _check(split, split_files)
    _window.check(image_size, fit)
    place, told = _Place(root), list[str]()
    names = place.names(root, split, split_files)
    if vocabulary is None:
        vocabulary = read_vocabulary(root, split_files=split_files)
    captions, values = _captioned.column(
        place.texts(names), vocabulary, num_captions=num_captions, max_words=max_words, told=told
    )
    folder = place.found("jpg", _PICTURES)
    paths = [os.fspath(folder / f"{name}.jpg") for name in names]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise _locate.missing(_NAME, f"{len(missing)} of {len(paths)} pictures", [pathlib.Path(missing[0])], _PICTURES)
    sizes = _window.sizes(paths)
    windows = _window.fitted(np.concatenate([np.zeros_like(sizes), sizes], 1), fit)
    _captioned.tell(f"{_NAME}, {split}", told)
    return columns.from_values(
        {
            "image": Image(shape=(image_size, image_size, 3)),
            "captions": captions,
            "label": Label(class_names=tuple(f"class {number}" for number in range(1, _NUM_CLASSES + 1))),
        },
        {
            "image": _window.Pictures(paths, sizes, windows, image_size),
            "captions": values,
            "label": np.array([place.class_of[name] - 1 for name in names], np.int32),
        },
        description=f"{_NAME}, {split} ({len(names)} pictures, {image_size} x {image_size}, {num_captions} texts each)",
        names=names,
    )


def read_vocabulary(
    root: str | os.PathLike[str],
    *,
    split_files: str = "filenames",
    max_words: int | None = None,
    min_count: int = 1,
) -> Vocabulary:
    """Collects the words of the texts of both splits, the most frequent first.

    Args:
      root: as in `load`.
      split_files: as in `load`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary; the same wherever it is made.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`.
    """
    _check("train", split_files)
    place = _Place(root)
    names = [name for split in SPLITS for name in place.names(root, split, split_files)]
    texts = (text for several in place.texts(names) for text in several)
    return Vocabulary.of(texts, max_words=max_words, min_count=min_count)


def _check(split: str, split_files: str) -> None:
    _locate.check_split(_NAME, split, SPLITS)
    if split_files not in SPLIT_FILES:
        raise ValueError(f"split_files must be one of {', '.join(SPLIT_FILES)}, got split_files = {split_files!r}.")


class _Place:
    """Where the parts of the data set lie, and the class of each picture by the folder of its texts."""

    def __init__(self, root: str | os.PathLike[str]):
        self.looked_in = _locate.candidates(_locate.root(root, dataset=_NAME, argument="root"), *_SUBFOLDERS)
        self.text_folder = self.found("text_c10", _TEXTS)
        self.class_of: dict[str, int] = {}
        for path in sorted(self.text_folder.glob("class_*/*.txt")):
            number = path.parent.name.removeprefix("class_")
            if not number.isdecimal() or not 1 <= int(number) <= _NUM_CLASSES:
                raise ValueError(f"{str(path.parent)!r} is no class of {_NAME}, class_00001 to class_00102.")
            if path.stem in self.class_of:
                raise ValueError(f"{str(path)!r}: texts of {path.stem!r} are in another class too.")
            self.class_of[path.stem] = int(number)
        if not self.class_of:
            raise _locate.missing(_NAME, "class_NNNNN/image_NNNNN.txt", [self.text_folder], _TEXTS)

    def found(self, what: str, remedy: str) -> pathlib.Path:
        """The first of the places that holds a file or folder."""
        place = next((place / what for place in self.looked_in if (place / what).exists()), None)
        if place is None:
            raise _locate.missing(_NAME, what, self.looked_in, remedy)
        return place

    def names(self, root: str | os.PathLike[str], split: str, split_files: str) -> list[str]:
        """The pictures of a split, as "image_06734"."""
        if split_files == "classes":
            path = self.found(_LISTS[split], _TEXTS)
            wanted = set()
            for line, text in enumerate(path.read_text("utf-8").split(), 1):
                number = text.removeprefix("class_")
                if not number.isdecimal():
                    raise ValueError(f"{str(path)!r}, line {line}: expected a class such as class_00001, got {text!r}.")
                wanted.add(int(number))
            names = [name for name, number in sorted(self.class_of.items()) if number in wanted]
            if not names:
                raise ValueError(f"{str(path)!r} lists no class that has texts.")
            return names

        def stem(name: str) -> str:
            return pathlib.PurePosixPath(name).name.removesuffix(".jpg")

        def group(name: str) -> int | None:
            return self.class_of.get(stem(name))

        listed = _attngan.names(root, split, group=group, dataset=_NAME, subfolders=_SUBFOLDERS, remedy=_PICKLES)
        names = [stem(name) for name in listed]
        if without := [name for name in names if name not in self.class_of]:
            what = f"texts of {len(without)} of {len(names)} pictures, such as {without[0]!r},"
            raise _locate.missing(_NAME, what, [self.text_folder], _TEXTS)
        return names

    def texts(self, names: list[str]) -> list[list[str]]:
        """The texts of each picture."""
        folders = {number: self.text_folder / f"class_{number:05d}" for number in set(self.class_of.values())}
        return [
            _attngan.texts(folders[self.class_of[name]] / f"{name}.txt", dataset=_NAME, remedy=_TEXTS) for name in names
        ]
