"""Caltech-UCSD Birds 200-2011 with ten texts a picture, as systems of text to picture are trained on it.

    vocabulary = cub.read_vocabulary("birds")
    train = cub.load("birds", "train", vocabulary=vocabulary, image_size=64)
    train[0]        # {"image": [64, 64, 3], "captions": [10, 32], "label": (), "boxes": [1, 4]}

AttnGAN trains on windows of 64 pixels out of 76, mirrored or not, of one text of which 18 words are drawn::

    words = captions.OneText(), captions.SomeWords(18)
    windows = transform.RandomCrop((64, 64)), transform.horizontal_flip
    train = cub.load("birds", "train", image_size=76)
    stream = pipeline.Stream(train, seed=0, batch_size=20, transforms=(*words, *windows))

What to put where (nothing is downloaded): `CUB_200_2011.tgz` unpacks to `CUB_200_2011/` (`images/CLASS/NAME.jpg`,
`images.txt`, `bounding_boxes.txt`, `classes.txt`, `train_test_split.txt`); AttnGAN's `birds.zip` has `train/` and
`test/` with `filenames.pickle` and `class_info.pickle`, and `text.zip`, which unpacks to `text/CLASS/NAME.txt` (in
Reed's own archive `text_c10/`). All of them lie in one folder, AttnGAN's `birds`, which is `root`.
"""

import os
import pathlib

import numpy as np

from gentoolkit.data import _attngan, _captioned, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Image, Label
from gentoolkit.data.text import Vocabulary

SPLITS = ("train", "test")
SPLIT_FILES = ("filenames", "train_test_split")
_NAME = "CUB-200-2011"
_OFFICIAL = "Put the unpacked folder CUB_200_2011 of CUB_200_2011.tgz there, from the authors' page of the data set."
_TEXTS = "Put the folder text (text.zip inside AttnGAN's birds.zip) or text_c10 (Reed's cvpr2016_cub.tar.gz) there."
_PICKLES = "Put the folders train and test of AttnGAN's birds.zip there, or give split_files='train_test_split'."


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    vocabulary: Vocabulary | None = None,
    num_captions: int = 10,
    max_words: int = 32,
    half_side: float | None = 0.75,
    fit: _window.Fit = "cover",
    split_files: str = "filenames",
) -> Columns:
    """Lists the birds of a split, decoded when asked for.

    Of each picture a square around the bird is kept, its centre that of the bird's box and its half side `half_side`
    times the longer side of the box, rounded down to pixels as AttnGAN does; what lies outside the picture is cut off.

    Args:
      root: the folder that holds all (see the module), or a folder above it.
      split: "train" or "test".
      image_size: height and width of the result in pixels.
      vocabulary: numbers the words; None makes the one of `read_vocabulary(root, split_files=...)`.
      num_captions: texts of a picture. More are left out, fewer are repeated in turn: both are said.
      max_words: words of a text; longer ones are cut, which is said. `captions.SomeWords` shortens as AttnGAN does.
      half_side: as above, in longer sides of the box; None keeps the whole picture.
      fit: "cover", the central square of what is kept; "stretch", all of it, squeezed.
      split_files: "filenames", AttnGAN's `train/filenames.pickle` and `test/filenames.pickle` (8,855 pictures of 150
        species, 2,933 of 50 others), read without running anything; "train_test_split", the file of the data set
        (5,994 and 5,794 pictures of all species).

    Returns:
      A data set with the columns `image` `[s, s, 3]`, `captions` `[num_captions, max_words]`, `label` (the species,
      from 0, with names) and `boxes` (one of the bird, in what is kept). Its `names` are such as
      "002.Laysan_Albatross/Laysan_Albatross_0002_1027".

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, with its line or entry; a picture without a text, or a box outside its picture; or
        an option is none of these.

    References:
      Wah, Branson, Welinder, Perona and Belongie, The Caltech-UCSD Birds-200-2011 dataset, 2011. Reed, Akata, Schiele
      and Lee, Learning deep representations of fine-grained visual descriptions, 2016 (texts). Xu et al., AttnGAN, 2018
      (authors' code: split, crop).
    """
    _check(split, split_files)
    _window.check(image_size, fit)
    if half_side is not None and not half_side > 0:
        raise ValueError(f"half_side must be > 0 or None, got half_side = {half_side}.")
    place, names = _Place(root), _names(root, split, split_files)
    boxes, told = place.boxes(), list[str]()
    absent = [name for name in names if name not in boxes]
    if absent:
        raise ValueError(
            f"{_NAME}: {len(absent)} names of split = {split!r} are not in images.txt, such as {absent[0]!r}."
        )
    if vocabulary is None:
        vocabulary = read_vocabulary(root, split_files=split_files)
    captions, values = _captioned.column(
        place.texts(names), vocabulary, num_captions=num_captions, max_words=max_words, told=told
    )
    paths = [os.fspath(place.official / "images" / f"{name}.jpg") for name in names]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise _locate.missing(_NAME, f"{len(missing)} of {len(paths)} pictures", [pathlib.Path(missing[0])], _OFFICIAL)

    sizes = _window.sizes(paths)
    whole = np.concatenate([np.zeros_like(sizes), sizes], 1).astype(np.float64)
    given = np.array([boxes[name] for name in names])
    birds = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], 1)
    birds, stuck_out = _window.clipped(birds, whole)
    nothing = np.flatnonzero(_window.area(birds) <= 0)
    if nothing.size:
        name = names[nothing[0]]
        raise ValueError(
            f"{str(place.official / 'bounding_boxes.txt')!r}: the box {boxes[name]} (x, y, width, height) of {name!r} "
            f"has no part in its picture of {sizes[nothing[0]][0]} x {sizes[nothing[0]][1]}."
        )
    _captioned.count(told, stuck_out.sum(), "boxes that stuck out of their picture, cut off")
    if half_side is not None:
        around = given.astype(np.int64)
        centre = around[:, :2] + around[:, 2:] // 2
        radius = (around[:, 2:].max(1, keepdims=True) * half_side).astype(np.int64).clip(1)
        whole, _ = _window.clipped(np.concatenate([centre - radius, centre + radius], 1).astype(np.float64), whole)
    windows = _window.fitted(whole, fit)
    birds = _window.fractions(_window.clipped(birds, windows)[0], windows)

    number, class_names = place.classes()
    strange = [name for name in names if _species(name) not in number]
    if strange:
        raise ValueError(f"{str(place.official / 'classes.txt')!r} has no species {_species(strange[0])!r}.")
    _captioned.tell(f"{_NAME}, {split}", told)
    return columns.from_values(
        {
            "image": Image(shape=(image_size, image_size, 3)),
            "captions": captions,
            "label": Label(class_names=class_names),
            "boxes": Boxes(max_length=1),
        },
        {
            "image": _window.Pictures(paths, sizes, windows, image_size),
            "captions": values,
            "label": np.array([number[_species(name)] for name in names], np.int32),
            "boxes": list(birds[:, None]),
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
    """Collects the words of the texts of both splits, as AttnGAN does, the most frequent first.

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
    names = [name for split in SPLITS for name in _names(root, split, split_files)]
    texts = (text for several in _Place(root).texts(names) for text in several)
    return Vocabulary.of(texts, max_words=max_words, min_count=min_count)


def _check(split: str, split_files: str) -> None:
    _locate.check_split(_NAME, split, SPLITS)
    if split_files not in SPLIT_FILES:
        raise ValueError(f"split_files must be one of {', '.join(SPLIT_FILES)}, got split_files = {split_files!r}.")


def _names(root: str | os.PathLike[str], split: str, split_files: str) -> list[str]:
    """The pictures of a split, as CLASS/NAME."""
    if split_files == "filenames":
        return _attngan.names(root, split, group=_species, dataset=_NAME, subfolders=("birds",), remedy=_PICKLES)
    place = _Place(root)
    name, training = place.lines("images.txt", 2), place.lines("train_test_split.txt", 2)
    for line, (number, part) in enumerate(training, 1):
        if part not in ("0", "1"):
            path = place.official / "train_test_split.txt"
            raise ValueError(f"{str(path)!r}, line {line}: expected 0 or 1 behind {number}, got {part!r}.")
    chosen = {number for number, part in training if part == ("1" if split == "train" else "0")}
    return [path.removesuffix(".jpg") for number, path in name if number in chosen]


def _species(name: str) -> str:
    return name.split("/")[0]


class _Place:
    """Where the parts of the data set lie."""

    def __init__(self, root: str | os.PathLike[str]):
        found = _locate.candidates(_locate.root(root, dataset=_NAME, argument="root"), "birds")
        inside = [place for outer in found for place in (outer / "CUB_200_2011", outer)]
        official = next((place for place in inside if (place / "images.txt").is_file()), None)
        if official is None:
            raise _locate.missing(_NAME, "CUB_200_2011/images.txt", inside, _OFFICIAL)
        self.official = official
        self.looked_in = found

    def lines(self, file: str, parts: int) -> list[list[str]]:
        """The lines of a file of the data set, each of so many words."""
        path = self.official / file
        if not path.is_file():
            raise _locate.missing(_NAME, file, [self.official], _OFFICIAL)
        split = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
        for number, words in enumerate(split, 1):
            if len(words) != parts:
                raise ValueError(f"{str(path)!r}, line {number}: expected {parts} words, got {' '.join(words)!r}.")
        return split

    def boxes(self) -> dict[str, tuple[float, ...]]:
        """x, y, width and height of the bird of each picture."""
        path, number_of = self.official / "bounding_boxes.txt", dict(self.lines("images.txt", 2))
        boxes = {}
        for line, (number, *box) in enumerate(self.lines("bounding_boxes.txt", 5), 1):
            try:
                boxes[number_of[number].removesuffix(".jpg")] = tuple(map(float, box))
            except (KeyError, ValueError):
                raise ValueError(
                    f"{str(path)!r}, line {line}: expected the number of a picture of images.txt and x, y, width, "
                    f"height, got {' '.join([number, *box])!r}."
                ) from None
        return boxes

    def classes(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """From folder to number, and the names of the species."""
        folders = [name for _, name in self.lines("classes.txt", 2)]
        names = tuple(folder.split(".", 1)[-1].replace("_", " ") for folder in folders)
        return {folder: number for number, folder in enumerate(folders)}, names

    def texts(self, names: list[str]) -> list[list[str]]:
        """The texts of each picture."""
        places = [place / folder for place in self.looked_in for folder in ("text", "text_c10")]
        place = next((place for place in places if place.is_dir()), None)
        if place is None:
            raise _locate.missing(_NAME, "the folder text", places, _TEXTS)
        return [_attngan.texts(place / f"{name}.txt", dataset=_NAME, remedy=_TEXTS) for name in names]
