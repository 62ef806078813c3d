"""Fashion-Gen: photographs of clothes with a description each, out of the files in which it is published.

    train = fashion_gen.load("fashiongen", "train", image_size=64)
    train[0]        # {"image": [64, 64, 3], "captions": [1, 48], "label": ()}

What to put where (nothing is downloaded): `fashiongen_256_256_train.h5` and `fashiongen_256_256_validation.h5` lie in
`root`. They are HDF5, and exist in no other form: the package `h5py` reads them
(`pip install "gentoolkit[fashion]"`), and nothing else here needs it.
"""

import contextlib
import dataclasses
import os
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gentoolkit.data import _captioned, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Image, Label
from gentoolkit.data.text import Vocabulary

SPLITS = ("train", "validation")
TEXTS = ("description", "name")
_NAME = "Fashion-Gen"
_REMEDY = "Put fashiongen_256_256_train.h5 and fashiongen_256_256_validation.h5 there, from the page of the challenge."


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    texts: Sequence[str] = ("description",),
    vocabulary: Vocabulary | None = None,
    max_words: int = 48,
) -> Columns:
    """Lists the photographs of a split, read when asked for.

    A product has several photographs, of which each is an example with the same texts. Those without a text are left
    out, which is said on stderr.

    Args:
      root: the folder that holds the files.
      split: "train" (260,480 photographs) or "validation" (32,528).
      image_size: height and width of the result in pixels, of the 256 that are there.
      texts: which texts of a product are read, of `TEXTS`: its "description", its "name".
      vocabulary: numbers the words; None makes the one of `read_vocabulary(root, texts=texts)`.
      max_words: words of a text; longer ones are cut.

    Returns:
      A data set with the columns `image` `[s, s, 3]`, `captions` `[len(texts), max_words]` and `label` (the category,
      with names).

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ImportError: the package `h5py` is not installed.
      ValueError: a file is damaged or lacks a part; there is no text; or an option is none of these.

    References:
      Rostamzadeh et al., Fashion-Gen: the generative fashion dataset and challenge, 2018.
    """
    _locate.check_split(_NAME, split, SPLITS)
    _window.check(image_size, "stretch")
    path, told = _path(root, split), list[str]()
    all_texts = _texts(path, texts)
    rows = [row for row, one in enumerate(all_texts) if one]
    _captioned.count(told, len(all_texts) - len(rows), "pictures without a text, left out")
    if not rows:
        raise ValueError(f"{str(path)!r} has no text.")
    several = [all_texts[row] for row in rows]
    captions, values = _captioned.column(
        several,
        read_vocabulary(root, texts=texts) if vocabulary is None else vocabulary,
        num_captions=len(texts),
        max_words=max_words,
        told=told,
    )
    shape = _part(path, "input_image", "shape")
    if len(shape) != 4 or shape[0] != len(all_texts) or shape[3] != 3:
        raise ValueError(f"{str(path)!r}: input_image is {shape}, wanted {len(all_texts)} pictures in colour.")
    categories = [_decoded(value) for value in _part(path, "input_category", "values").ravel()]
    class_names = tuple(
        sorted({_decoded(v) for one in _both(root) for v in _part(one, "input_category", "values").ravel()})
    )
    number = {name: place for place, name in enumerate(class_names)}
    _captioned.tell(f"{_NAME}, {split}", told)
    return columns.from_values(
        {
            "image": Image(shape=(image_size, image_size, 3)),
            "captions": captions,
            "label": Label(class_names=class_names),
        },
        {
            "image": _Pictures(os.fspath(path), tuple(rows), image_size),
            "captions": values,
            "label": np.array([number[categories[row]] for row in rows], np.int32),
        },
        description=f"{_NAME}, {split} ({len(several)} pictures, {image_size} x {image_size})",
    )


def read_vocabulary(
    root: str | os.PathLike[str],
    *,
    texts: Sequence[str] = ("description",),
    max_words: int | None = None,
    min_count: int = 1,
) -> Vocabulary:
    """Collects the words of the texts of both splits, or of the one that is there, the most frequent first.

    Args:
      root: as in `load`.
      texts: as in `load`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary.

    Raises:
      FileNotFoundError: neither file is there.
      ImportError: as in `load`.
      ValueError: as in `load`.
    """
    found = (text for path in _both(root) for several in _texts(path, texts) for text in several)
    return Vocabulary.of(found, max_words=max_words, min_count=min_count)


def _path(root: str | os.PathLike[str], split: str) -> pathlib.Path:
    place = _locate.root(root, dataset=_NAME, argument="root")
    path = place / f"fashiongen_256_256_{split}.h5"
    if not path.is_file():
        raise _locate.missing(_NAME, path.name, [place], _REMEDY)
    return path


def _both(root: str | os.PathLike[str]) -> list[pathlib.Path]:
    place = _locate.root(root, dataset=_NAME, argument="root")
    there = [place / f"fashiongen_256_256_{split}.h5" for split in SPLITS]
    there = [path for path in there if path.is_file()]
    return there or [_path(root, SPLITS[0])]


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"Fashion-Gen is published as HDF5, which the package h5py reads: {error}. "
            'pip install "gentoolkit[fashion]"'
        ) from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{os.fspath(path)!r} is no HDF5 file, or a damaged one: {error}") from error


def _part(path: pathlib.Path, name: str, what: str) -> Any:
    """The values of a part of the file, or its shape only."""
    with _opened(path) as file, _whole(path, f"the part {name!r}"):
        if name not in file:
            raise ValueError(f"{str(path)!r} has no part {name!r}; there are {', '.join(file)}.")
        return tuple(file[name].shape) if what == "shape" else np.asarray(file[name][()])


@contextlib.contextmanager
def _whole(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Names the file where h5py finds bytes in its middle that are not what was written, which it says in many ways."""
    try:
        yield
    except (KeyError, OSError, RuntimeError) as error:
        raise ValueError(f"{os.fspath(path)!r}: {what} cannot be read, or is damaged: {error}") from error


def _texts(path: pathlib.Path, texts: Sequence[str]) -> list[list[str]]:
    """The texts of each photograph that have a word."""
    if not texts or any(text not in TEXTS for text in texts):
        raise ValueError(f"texts must be some of {', '.join(TEXTS)}, got texts = {list(texts)}.")
    columns_of = [[_decoded(value) for value in _part(path, f"input_{text}", "values").ravel()] for text in texts]
    if len(set(map(len, columns_of))) != 1:
        raise ValueError(f"{str(path)!r}: parts of different lengths, {list(map(len, columns_of))}.")
    return [[text for text in one if any(map(str.isalnum, text))] for one in zip(*columns_of, strict=True)]


def _decoded(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return bytes(value).decode("latin-1")


@dataclasses.dataclass(frozen=True, eq=False)
class _Pictures:
    """Reads and reduces photographs; the file is opened by each process that does."""

    path: str
    rows: tuple[int, ...] = dataclasses.field(repr=False)
    image_size: int
    _held: threading.local = dataclasses.field(default_factory=threading.local, repr=False)

    def __call__(self, index: int) -> np.ndarray:
        from PIL import Image as pillow

        if not hasattr(self._held, "file"):
            self._held.file = _opened(self.path)
        with _whole(self.path, f"picture {self.rows[index]}"):
            pixels = pillow.fromarray(np.asarray(self._held.file["input_image"][self.rows[index]], np.uint8))
        return np.asarray(pixels.resize((self.image_size, self.image_size), pillow.Resampling.BILINEAR))

    def __reduce__(self):
        return type(self), (self.path, self.rows, self.image_size)
