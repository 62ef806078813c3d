"""COCO of 2014 and 2017: photographs with five texts, objects with boxes and masks, and COCO-Stuff.

    vocabulary = coco.read_vocabulary("coco", ("train2014", "val2014"))
    train = coco.load("coco", "train2014", vocabulary=vocabulary, image_size=64, masks=True)
    train[0]        # {"image": [64, 64, 3], "captions": [5, 32], "objects": [k], "boxes": [k, 4], "masks": [k, 64, 64]}

What to put where (nothing is downloaded), all in one folder, `root`: `train2014.zip` unpacks to `train2014/`, and so
does that of each other split; `annotations_trainval2014.zip` to `annotations/captions_train2014.json`,
`annotations/instances_train2014.json` and so on; for `stuff=True` `stuff_annotations_trainval2017.zip` to
`annotations/stuff_train2017.json`; for `segmentation=True` `stuffthingmaps_trainval2017.zip` to
`stuffthingmaps/train2017/` and `stuffthingmaps/val2017/`, or the pixel maps of the stuff annotations to
`annotations/stuff_train2017_pixelmaps/`.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from gentoolkit.data import _captioned, _entries, _locate, _masks, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Field, Image, Label, Mask
from gentoolkit.data.text import Vocabulary

SPLITS = ("train2014", "val2014", "train2017", "val2017")
TooMany = Literal["largest", "leave out"]
_NAME = "COCO"
_UNLABELLED = 255  # of stuffthingmaps, whose other numbers are those of categories less one
_OTHER = 183  # the category of stuff annotations for all that is a thing


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    captions: bool = True,
    vocabulary: Vocabulary | None = None,
    num_captions: int = 5,
    max_words: int = 32,
    objects: bool = True,
    stuff: bool = False,
    masks: bool = False,
    segmentation: bool = False,
    max_objects: int = 10,
    too_many: TooMany = "largest",
    min_objects: int = 0,
    min_area: float = 0.0,
    crowds: bool = False,
    fit: _window.Fit = "cover",
) -> Columns:
    """Lists the photographs of a split, decoded when asked for.

    The objects of a picture stand in order of the area of their boxes, the largest first, so that smaller ones may be
    painted over larger ones (as OP-GAN wants it). Boxes are cut off at the border of what is kept of the picture; those
    of which nothing is left, or less than `min_area`, are left out. All that is left out is counted on stderr.

    Obj-GAN and OP-GAN take the ten largest things (the defaults here). Layout-to-image systems (sg2im, LostGANs) take
    things and stuff: `stuff=True, min_area=0.02, min_objects=3, max_objects=8, too_many="leave out", fit="stretch"`.

    Args:
      root: the folder that holds all (see the module), or a folder above it that names it `coco`.
      split: one of `SPLITS`.
      image_size: height and width of the result in pixels.
      captions: whether to read texts; pictures without any are then left out.
      vocabulary: numbers the words; None makes the one of both splits of that year.
      num_captions: texts of a picture. More are left out, fewer are repeated in turn.
      max_words: words of a text; longer ones are cut. `captions.SomeWords` shortens as AttnGAN does.
      objects: whether to read objects and their boxes.
      stuff: whether stuff (91 classes of COCO-Stuff, such as sky) stands among the objects, behind the 80 things.
      masks: whether to read a mask of each object too.
      segmentation: whether to read the class of every pixel, of COCO-Stuff.
      max_objects: objects of a picture.
      too_many: what becomes of a picture with more: "largest" keeps the largest ones, "leave out" none of it.
      min_objects: pictures with fewer objects are left out.
      min_area: the smallest area of a box, in areas of what is kept of its picture.
      crowds: whether a group of objects that are marked as one (`iscrowd`) counts as an object.
      fit: "cover", the central square; "stretch", the whole picture, squeezed.

    Returns:
      A data set with the columns `image` `[s, s, 3]`; `captions` `[num_captions, max_words]`; `objects`, a class each,
      with names, and `boxes`, as many; `masks` `[s, s]` of each; `segmentation` `[s, s]`, 0 where nothing is said and
      else the number of the category, 1 to 182. Its `names` are the file names.

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, with its entry; a picture or mask is of another size than annotations say; no
        picture is left; or an option is none of these.

    References:
      Lin et al., Microsoft COCO: common objects in context, 2014. Caesar, Uijlings and Ferrari, COCO-Stuff: thing and
      stuff classes in context, 2018. Johnson, Gupta and Fei-Fei, Image generation from scene graphs, 2018 (filters).
    """
    _locate.check_split(_NAME, split, SPLITS)
    _window.check(image_size, fit)
    _captioned.check(num_captions=num_captions, max_words=max_words, max_objects=max_objects)
    if too_many not in get_args(TooMany) or not 0 <= min_objects <= max_objects or not 0 <= min_area < 1:
        raise ValueError(
            f"too_many must be one of {', '.join(get_args(TooMany))}, min_objects in [0, {max_objects}] and min_area "
            f"in [0, 1), got {too_many!r}, {min_objects} and {min_area}."
        )
    if not objects and (stuff or masks or min_objects):
        raise ValueError("stuff, masks and min_objects need objects=True.")
    place, told = _place(root), list[str]()
    files = [*([f"captions_{split}.json"] if captions else []), *([f"instances_{split}.json"] if objects else [])]
    if stuff:
        files.append(f"stuff_{split}.json")
    pictures: dict[int, _Picture] = {}
    texts: dict[int, list[str]] = {}
    found: dict[int, list[_Object]] = {}
    class_names: list[str] = []
    for file in files or [f"instances_{split}.json"]:
        path, held = _read(place, file)
        for number, picture in _pictures(path, held).items():
            if pictures.setdefault(number, picture) != picture:
                raise ValueError(f"{str(path)!r} says of picture {number} another name or size than {files[0]} does.")
        if file.startswith("captions"):
            texts = _texts(path, held, pictures)
        elif objects:
            classes = _classes(path, held)
            numbers = {category: len(class_names) + place for place, category in enumerate(classes)}
            class_names += classes.values()
            _objects(path, held, pictures, numbers, found, crowds=crowds, masks=masks, told=told)

    chosen = sorted(pictures)
    if captions:
        _captioned.count(told, sum(number not in texts for number in chosen), "pictures without a text, left out")
        chosen = [number for number in chosen if number in texts]
    sizes = np.array([pictures[number][1:] for number in chosen], np.int64).reshape(-1, 2)
    windows = _window.fitted(np.concatenate([np.zeros_like(sizes), sizes], 1), fit)
    kept: list[list[_Object]] = [[] for _ in chosen]
    if objects:
        kept = [
            _largest(found.get(number, []), window, min_area) for number, window in zip(chosen, windows, strict=True)
        ]
        lost = sum(len(found.get(number, [])) for number in chosen) - sum(map(len, kept))
        _captioned.count(told, lost, "objects outside what is kept of their picture, or too small, left out")
        above = np.array([len(one) > max_objects for one in kept])
        if too_many == "largest":
            _captioned.count(
                told, above.sum(), f"pictures with more than {max_objects} objects, of which the largest stay"
            )
            above[:] = False
        kept = [one[:max_objects] if not gone else one for one, gone in zip(kept, above, strict=True)]
        left_out = above | np.array([len(one) < min_objects for one in kept])
        what = f"pictures with objects fewer than {min_objects} or more than {max_objects}, left out"
        _captioned.count(told, left_out.sum(), what)
        rows = np.flatnonzero(~left_out)
        chosen, kept = [chosen[row] for row in rows], [kept[row] for row in rows]
        sizes, windows = sizes[rows], windows[rows]
        _captioned.count(told, sum(not one for one in kept), "pictures without an object")
    if not chosen:
        raise ValueError(f"{_NAME}: no picture of {split!r} is left: {'; '.join(told) or 'none is listed'}.")

    paths = _paths(place, split, [pictures[number].file for number in chosen], told)
    fields: dict[str, Field] = {"image": Image(shape=(image_size, image_size, 3))}
    values: dict[str, Any] = {"image": _window.Pictures(paths, sizes, windows, image_size)}
    if captions:
        if vocabulary is None:
            vocabulary = read_vocabulary(root, tuple(one for one in SPLITS if one[-4:] == split[-4:]))
        fields["captions"], values["captions"] = _captioned.column(
            [texts[number] for number in chosen],
            vocabulary,
            num_captions=num_captions,
            max_words=max_words,
            told=told,
        )
    if objects:
        fields["objects"] = Label(class_names=tuple(class_names), max_length=max_objects)
        values["objects"] = [np.array([one.label for one in several], np.int32) for several in kept]
        fields["boxes"] = Boxes(max_length=max_objects)
        values["boxes"] = [
            _window.fractions(_window.clipped(_boxes(several), window)[0], window)
            for several, window in zip(kept, windows, strict=True)
        ]
    if masks:
        fields["masks"] = Mask(shape=(image_size, image_size), dtype=np.bool_, max_length=max_objects)
        shapes = [[one.shape for one in several] for several in kept]
        values["masks"] = _ObjectMasks(shapes, sizes, windows, image_size)
    if segmentation:
        fields["segmentation"] = Mask(shape=(image_size, image_size))
        values["segmentation"] = _Segmentation(_maps(place, chosen), sizes, windows, image_size)
    _captioned.tell(f"{_NAME}, {split}", told)
    description = f"{_NAME}, {split} ({len(chosen)} pictures, {image_size} x {image_size})"
    return columns.from_values(
        fields, values, description=description, names=[os.path.basename(path) for path in paths]
    )


def read_vocabulary(
    root: str | os.PathLike[str],
    splits: Sequence[str] = ("train2014", "val2014"),
    *,
    max_words: int | None = None,
    min_count: int = 1,
) -> Vocabulary:
    """Collects the words of the texts of some splits, the most frequent first.

    Args:
      root: as in `load`.
      splits: of `SPLITS`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary; the same wherever it is made.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`.
    """
    place = _place(root)

    def texts():
        for split in splits:
            _locate.check_split(_NAME, split, SPLITS)
            path, held = _read(place, f"captions_{split}.json")
            for several in _texts(path, held, _pictures(path, held)).values():
                yield from several

    return Vocabulary.of(texts(), max_words=max_words, min_count=min_count)


class _Picture(NamedTuple):
    file: str
    width: int
    height: int


class _Object(NamedTuple):
    """A class, a box (left, top, right, bottom in pixels), and polygons or runs."""

    label: int
    box: tuple[float, float, float, float]
    shape: Any


def _place(root: str | os.PathLike[str]) -> pathlib.Path:
    places = _locate.candidates(_locate.root(root, dataset=_NAME, argument="root"), "coco", "COCO")
    place = next((place for place in places if (place / "annotations").is_dir()), None)
    if place is None:
        raise _locate.missing(_NAME, "the folder annotations", places, _remedy("captions_train2014.json"))
    return place


def _remedy(file: str) -> str:
    year = re.sub(r"\D", "", file)
    archive = "stuff_annotations_trainval2017.zip" if file.startswith("stuff") else f"annotations_trainval{year}.zip"
    return f"Put the unpacked folder annotations of {archive} there, from the page of the data set."


def _read(place: pathlib.Path, file: str) -> tuple[pathlib.Path, dict[str, Any]]:
    path = place / "annotations" / file
    held = _entries.read(path, dataset=_NAME, remedy=_remedy(file))
    _entries.listed(held, path, "images")
    _entries.listed(held, path, "annotations")
    return path, held


def _pictures(path: pathlib.Path, held: dict[str, Any]) -> dict[int, _Picture]:
    pictures = {}
    for number, image in enumerate(held["images"]):
        with _entries.entry(path, f"images, entry {number}"):
            size = _entries.whole(image["width"]), _entries.whole(image["height"])
            if min(size) < 1:
                raise ValueError(f"a picture of {size[0]} x {size[1]}")
            pictures[_entries.whole(image["id"])] = _Picture(_entries.text(image["file_name"]), *size)
    return pictures


def _texts(path: pathlib.Path, held: dict[str, Any], pictures: dict[int, _Picture]) -> dict[int, list[str]]:
    """The texts of each picture, in the order of the file."""
    texts: dict[int, list[str]] = {}
    for number, annotation in enumerate(held["annotations"]):
        with _entries.entry(path, f"annotations, entry {number}"):
            text, picture = _entries.text(annotation["caption"]), annotation["image_id"]
            if picture not in pictures:
                raise ValueError(f"its picture {picture} is not among the images")
        if any(map(str.isalnum, text)):
            texts.setdefault(picture, []).append(text)
    return texts


def _classes(path: pathlib.Path, held: dict[str, Any]) -> dict[int, str]:
    """The name of each category, in order of number; that of stuff files for all things is none."""
    classes = {}
    for number, category in enumerate(_entries.listed(held, path, "categories")):
        with _entries.entry(path, f"categories, entry {number}"):
            classes[_entries.whole(category["id"])] = _entries.text(category["name"])
    return {number: classes[number] for number in sorted(classes) if number != _OTHER}


def _objects(
    path: pathlib.Path,
    held: dict[str, Any],
    pictures: dict[int, _Picture],
    numbers: dict[int, int],
    found: dict[int, list[_Object]],
    *,
    crowds: bool,
    masks: bool,
    told: list[str],
) -> None:
    """Adds the objects of each picture to `found`."""
    stuck_out = crowded = empty = 0
    for number, annotation in enumerate(held["annotations"]):
        with _entries.entry(path, f"annotations, entry {number}"):
            if annotation["category_id"] == _OTHER:
                continue
            label = numbers[annotation["category_id"]]
            picture = pictures.get(annotation["image_id"])
            if picture is None:
                raise ValueError(f"its picture {annotation['image_id']} is not among the images")
            box = _entries.box(annotation["bbox"])
            shape = _shape(annotation.get("segmentation"), picture) if masks else None
        if annotation.get("iscrowd") and not crowds:
            crowded += 1
            continue
        cut, out, area = _window.within(box, picture.width, picture.height)
        if area <= 0:
            empty += 1
            continue
        stuck_out += out
        one = _Object(label, cut, shape)
        found.setdefault(annotation["image_id"], []).append(one)
    _captioned.count(told, crowded, "groups marked as one object, left out")
    _captioned.count(told, empty, "boxes without area or outside their picture, left out")
    _captioned.count(told, stuck_out, "boxes that stuck out of their picture, cut off")


def _shape(shape: Any, picture: _Picture) -> Any:
    """Runs as they are, polygons as arrays (a tenth of the memory); `ValueError` for what is no mask of the picture."""
    if isinstance(shape, dict):
        if list(shape["size"]) != [picture.height, picture.width]:
            raise ValueError(
                f"a mask of {shape['size']} (height, width), but its picture is {picture.height} x {picture.width}"
            )
        _masks.of_runs(shape["counts"], picture.height, picture.width)
        return shape
    if not isinstance(shape, list) or not shape:
        raise ValueError("segmentation must be polygons or runs")
    polygons = [np.asarray(polygon, np.float32) for polygon in shape]
    for polygon in polygons:
        if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2 or not np.isfinite(polygon).all():
            raise ValueError(f"a polygon must be three corners or more, x and y each, got {polygon.size} numbers")
    return polygons


def _boxes(objects: Sequence[_Object]) -> np.ndarray:
    return np.array([one.box for one in objects], np.float64).reshape(-1, 4)


def _largest(objects: Sequence[_Object], window: np.ndarray, min_area: float) -> list[_Object]:
    """Those of which enough is to be seen, the largest first."""
    seen = _window.area(_window.clipped(_boxes(objects), window)[0]) / _window.area(window)
    order = np.argsort(-seen, kind="stable")
    return [objects[place] for place in order if seen[place] > 0 and seen[place] >= min_area]


def _paths(place: pathlib.Path, split: str, files: Sequence[str], told: list[str]) -> list[str]:
    folder = next((one for one in (place / split, place / "images" / split) if one.is_dir()), None)
    remedy = f"Put the unpacked folder {split} of {split}.zip there, from the page of the data set."
    if folder is None:
        raise _locate.missing(_NAME, f"the folder {split}", [place, place / "images"], remedy)
    there = {name for name in os.listdir(folder) if not name.startswith(".")}
    absent = [file for file in files if file not in there]
    if absent:
        what = f"{len(absent)} of {len(files)} pictures, such as {absent[0]}"
        raise _locate.missing(_NAME, what, [folder], remedy)
    _captioned.count(told, len(there) - len(set(files)), f"other files in {split}")
    return [os.fspath(folder / file) for file in files]


def _maps(place: pathlib.Path, numbers: Sequence[int]) -> list[tuple[str, bool]]:
    """The file of the classes of pixels of each picture, and whether it is one of stuffthingmaps."""
    folders = [
        *((place / "stuffthingmaps" / split, True) for split in ("train2017", "val2017")),
        *((place / "annotations" / f"stuff_{split}_pixelmaps", False) for split in ("train2017", "val2017")),
        *((place / f"stuff_{split}_pixelmaps", False) for split in ("train2017", "val2017")),
    ]
    files: dict[str, tuple[str, bool]] = {}
    for folder, counted_from_0 in folders:
        for name in os.listdir(folder) if folder.is_dir() else ():
            files.setdefault(name, (os.fspath(folder / name), counted_from_0))
    absent = [number for number in numbers if f"{number:012d}.png" not in files]
    if absent:
        raise _locate.missing(
            _NAME,
            f"classes of pixels of {len(absent)} of {len(numbers)} pictures, such as {absent[0]:012d}.png,",
            [folder for folder, _ in folders],
            "Put the unpacked folders train2017 and val2017 of stuffthingmaps_trainval2017.zip in stuffthingmaps.",
        )
    return [files[f"{number:012d}.png"] for number in numbers]


@dataclasses.dataclass(frozen=True, eq=False)
class _ObjectMasks:
    shapes: Sequence[Sequence[Any]]
    sizes: np.ndarray
    windows: np.ndarray
    image_size: int

    def __call__(self, index: int) -> np.ndarray:
        window = self.windows[index]
        width, height = map(int, self.sizes[index])
        found = [
            _masks.seen(_masks.of_runs(shape["counts"], height, width), window, self.image_size)
            if isinstance(shape, dict)
            else _masks.of_polygons(shape, window, self.image_size)
            for shape in self.shapes[index]
        ]
        return np.array(found, bool).reshape(-1, self.image_size, self.image_size)


@dataclasses.dataclass(frozen=True, eq=False)
class _Segmentation:
    files: Sequence[tuple[str, bool]]
    sizes: np.ndarray
    windows: np.ndarray
    image_size: int

    def __call__(self, index: int) -> np.ndarray:
        path, counted_from_0 = self.files[index]
        pixels = _window.classes(path, self.sizes[index])
        if counted_from_0:
            pixels = np.where(pixels == _UNLABELLED, 0, pixels + 1)
        return _masks.seen(pixels, self.windows[index], self.image_size).astype(np.uint8)
