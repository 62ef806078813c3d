"""Visual Genome: photographs with objects, their attributes and relations, and texts of regions.

    classes = visual_genome.read_classes("vg")          # the frequent ones of the training part
    vocabulary = visual_genome.read_vocabulary("vg")
    train = visual_genome.load("vg", "train", classes=classes, vocabulary=vocabulary, image_size=64)
    train[0]    # {"image": [64, 64, 3], "captions": [10, 16], "regions": [10, 4], "objects": [k], "boxes": [k, 4],
                #  "attributes": [k, num], "relations": [r, 3]}

What to put where (nothing is downloaded), all in one folder, `root`: `images.zip` unpacks to `VG_100K/` and
`images2.zip` to `VG_100K_2/`; `image_data.json.zip`, `objects.json.zip`, `attributes.json.zip`,
`relationships.json.zip` and `region_descriptions.json.zip` to a file each; beside them `object_alias.txt` and
`relationship_alias.txt` (not needed) and the lists of pictures of each split, `vg_splits.json` of sg2im (not needed for
the split "all").
"""

import collections
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gentoolkit.data import _captioned, _entries, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Field, Image, Label
from gentoolkit.data.text import Vocabulary

_NAME = "Visual Genome"
_FOLDERS = ("VG_100K", "VG_100K_2")
_SPLITS = "vg_splits.json"


class Classes(NamedTuple):
    """The names that have a number, each tuple in order of number.

    Attributes:
      objects: of objects.
      attributes: of what is said of an object, such as "red".
      relations: of what is said of two, such as "on".
    """

    objects: tuple[str, ...]
    attributes: tuple[str, ...]
    relations: tuple[str, ...]


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 64,
    classes: Classes | None = None,
    captions: bool = True,
    vocabulary: Vocabulary | None = None,
    num_captions: int = 10,
    max_words: int = 16,
    max_objects: int = 30,
    min_objects: int = 0,
    min_pixels: int = 0,
    max_relations: int = 30,
    min_relations: int = 0,
    fit: _window.Fit = "stretch",
) -> Columns:
    """Lists the photographs of a split, decoded when asked for.

    Objects stand in order of the area of their boxes, the largest first; those whose class has no number are left out,
    and so are relations of which an object is not there. Texts are those of regions, the largest first: texts of small
    regions say little of the whole picture. What is left out is counted on stderr.

    sg2im and LostGANs take `min_objects=3, min_pixels=32, min_relations=1, fit="stretch"`.

    Args:
      root: the folder that holds all (see the module), or a folder above it that names it `vg` or `visual_genome`.
      split: a key of `vg_splits.json` ("train", "val", "test"), or "all".
      image_size: height and width of the result in pixels.
      classes: the names with a number; None takes `read_classes(root)`.
      captions: whether to read texts of regions; pictures without any are then left out.
      vocabulary: numbers the words; None makes the one of `read_vocabulary(root)`.
      num_captions: texts of a picture. More are left out, fewer are repeated in turn.
      max_words: words of a text; longer ones are cut.
      max_objects: objects of a picture, of which the largest stay.
      min_objects: pictures with fewer objects are left out.
      min_pixels: width and height that the box of an object must have in the file.
      max_relations: relations of a picture, of which the first stay.
      min_relations: pictures with fewer relations are left out.
      fit: "stretch", the whole picture, squeezed; "cover", the central square.

    Returns:
      A data set with the columns `image` `[s, s, 3]`; `captions` `[num_captions, max_words]` and the box of each,
      `regions`; `objects`, a class each, `boxes` and `attributes` (`[num]` bool), as many; `relations` `[3]`: the place
      of the subject among the objects, the number of the relation, the place of the other. Its `names` are the files.

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, with its entry; no picture is left; or an option is none of these.

    References:
      Krishna et al., Visual Genome: connecting language and vision using crowdsourced dense image annotations, 2017.
      Johnson, Gupta and Fei-Fei, Image generation from scene graphs, 2018 (classes and filters).
    """
    _window.check(image_size, fit)
    _captioned.check(
        num_captions=num_captions, max_words=max_words, max_objects=max_objects, max_relations=max_relations
    )
    place, told = _Place(root), list[str]()
    if classes is None:
        classes = read_classes(root)
    sizes_of = place.sizes()
    wanted = place.numbers(split, sizes_of)
    found = place.objects(sizes_of, classes, min_pixels, told)
    place.add_attributes(found, classes)
    relations = place.relations(sizes_of, classes)
    texts = place.regions(sizes_of) if captions else {}

    windows_of = dict(zip(wanted, _windows([sizes_of[number] for number in wanted], fit), strict=True))
    chosen, kept, linked = [], [], []
    too_many = lost = left_out = without_text = 0
    for number in wanted:
        if captions and number not in texts:
            without_text += 1
            continue
        objects = found.get(number, [])
        seen = _window.area(_window.clipped(_boxes([one.box for one in objects]), windows_of[number])[0])
        order = [row for row in np.argsort(-seen, kind="stable") if seen[row] > 0]
        lost += len(objects) - len(order)
        some = [objects[row] for row in order[:max_objects]]
        row_of = {one.number: row for row, one in enumerate(some)}
        links = [
            (row_of[subject], relation, row_of[other])
            for subject, relation, other in relations.get(number, [])
            if subject in row_of and other in row_of
        ]
        if len(some) < min_objects or len(links) < min_relations:
            left_out += 1
            continue
        too_many += len(order) > max_objects
        chosen.append(number)
        kept.append(some)
        linked.append(np.array(links[:max_relations], np.int32).reshape(-1, 3))
    _captioned.count(told, without_text, "pictures without a text, left out")
    _captioned.count(told, lost, "objects outside what is kept of their picture, left out")
    what = f"pictures with fewer than {min_objects} objects or {min_relations} relations, left out"
    _captioned.count(told, left_out, what)
    _captioned.count(told, too_many, f"pictures with more than {max_objects} objects, of which the largest stay")
    if not chosen:
        raise ValueError(f"{_NAME}: no picture of {split!r} is left: {'; '.join(told) or 'none is listed'}.")

    sizes = np.array([sizes_of[number] for number in chosen], np.int64)
    windows = np.stack([windows_of[number] for number in chosen])
    paths = place.paths(chosen)
    fields: dict[str, Field] = {"image": Image(shape=(image_size, image_size, 3))}
    values: dict[str, Any] = {"image": _window.Pictures(paths, sizes, windows, image_size)}
    if captions:
        if vocabulary is None:
            vocabulary = read_vocabulary(root)
        several = [texts[number] for number in chosen]
        fields["captions"], values["captions"] = _captioned.column(
            [[text for text, _ in one] for one in several],
            vocabulary,
            num_captions=num_captions,
            max_words=max_words,
            told=told,
        )
        fields["regions"] = Boxes(max_length=num_captions)
        repeated = [[one[row % len(one)][1] for row in range(num_captions)] for one in several]
        values["regions"] = [_fractions(boxes, window) for boxes, window in zip(repeated, windows, strict=True)]
    fields |= {
        "objects": Label(class_names=classes.objects, max_length=max_objects),
        "boxes": Boxes(max_length=max_objects),
        "relations": Field(shape=(3,), dtype=np.int32, max_length=max_relations),
    }
    values |= {
        "objects": [np.array([one.label for one in some], np.int32) for some in kept],
        "boxes": [_fractions([one.box for one in some], window) for some, window in zip(kept, windows, strict=True)],
        "relations": linked,
    }
    if num_attributes := len(classes.attributes):
        fields["attributes"] = Field(shape=(num_attributes,), dtype=np.bool_, max_length=max_objects)
        values["attributes"] = [_several([one.attributes for one in some], num_attributes) for some in kept]
    _captioned.tell(f"{_NAME}, {split}", told)
    description = f"{_NAME}, {split} ({len(chosen)} pictures, {image_size} x {image_size})"
    return columns.from_values(
        fields, values, description=description, names=[os.path.basename(path) for path in paths]
    )


def read_classes(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    min_objects: int = 2000,
    min_attributes: int = 2000,
    min_relations: int = 500,
) -> Classes:
    """Collects the frequent names, the most frequent first and those of equal frequency by the alphabet.

    Names are taken as their aliases say, where the files of aliases are there. The defaults are those of sg2im.

    Args:
      root: as in `load`.
      split: whose pictures count, as in `load`.
      min_objects: how often an object must occur.
      min_attributes: how often an attribute must occur.
      min_relations: how often a relation must occur.

    Returns:
      The names.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`; or no object is so frequent.
    """
    place = _Place(root)
    wanted = set(place.numbers(split, place.sizes()))

    def frequent(names: Iterator[tuple[int, str]], least: int) -> tuple[str, ...]:
        counts = collections.Counter(name for number, name in names if number in wanted and name)
        return tuple(sorted((name for name in counts if counts[name] >= least), key=lambda name: (-counts[name], name)))

    found = Classes(
        frequent(((number, name) for number, name, *_ in place.all_objects()), min_objects),
        frequent(((number, name) for number, _, name in place.all_attributes()), min_attributes),
        frequent(((number, name) for number, _, name, _ in place.all_relations()), min_relations),
    )
    if not found.objects:
        raise ValueError(f"{_NAME}: no object occurs min_objects = {min_objects} times in {split!r}.")
    return found


def read_vocabulary(root: str | os.PathLike[str], *, max_words: int | None = None, min_count: int = 1) -> Vocabulary:
    """Collects the words of the texts of all pictures, the most frequent first.

    Args:
      root: as in `load`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary; the same wherever it is made.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`.
    """
    place = _Place(root)
    several = place.regions(place.sizes()).values()
    return Vocabulary.of((text for one in several for text, _ in one), max_words=max_words, min_count=min_count)


Box = tuple[float, float, float, float]


class _Object(NamedTuple):
    number: int
    label: int
    box: Box
    attributes: list[int]


class _Place:
    """Where the files lie, and what they say, entry by entry."""

    def __init__(self, root: str | os.PathLike[str]):
        places = _locate.candidates(_locate.root(root, dataset=_NAME, argument="root"), "vg", "visual_genome")
        found = next((place for place in places if (place / "image_data.json").is_file()), None)
        if found is None:
            raise _locate.missing(_NAME, "image_data.json", places, _remedy("image_data.json"))
        self.place = found

    def entries(self, file: str, key: str | None) -> Iterator[tuple[pathlib.Path, int, int, Any]]:
        """File, place in it, picture, and what is listed of the picture under a key (or all of the entry)."""
        path = self.place / file
        listed = _entries.listed(_entries.read(path, dataset=_NAME, remedy=_remedy(file)), path)
        for number, held in enumerate(listed):
            with _entries.entry(path, f"entry {number}"):
                picture = _entries.whole(held["image_id"] if "image_id" in held else held["id"])
                inside = held if key is None else held[key]
                if key is not None and not isinstance(inside, list):
                    raise ValueError(f"{key!r} is no list")
            yield path, number, picture, inside

    def sizes(self) -> dict[int, tuple[int, int]]:
        """Width and height of every picture."""
        sizes = {}
        for path, number, picture, held in self.entries("image_data.json", None):
            with _entries.entry(path, f"entry {number}"):
                sizes[picture] = _entries.whole(held["width"]), _entries.whole(held["height"])
                if min(sizes[picture]) < 1:
                    raise ValueError(f"a picture of {sizes[picture][0]} x {sizes[picture][1]}")
        return sizes

    def numbers(self, split: str, sizes: dict[int, tuple[int, int]]) -> list[int]:
        """The pictures of a split, in order of number."""
        if split == "all":
            return sorted(sizes)
        path = self.place / _SPLITS
        held = _entries.read(path, dataset=_NAME, remedy=_remedy(_SPLITS))
        if not isinstance(held, dict) or split not in held:
            there = ", ".join(held) if isinstance(held, dict) else "none"
            raise ValueError(f"{str(path)!r} has the splits {there} and 'all', got split = {split!r}.")
        numbers = []
        for entry, number in enumerate(_entries.listed(held, path, split)):
            with _entries.entry(path, f"{split}, entry {entry}"):
                if number not in sizes:
                    raise ValueError(f"picture {number} is not in image_data.json")
                numbers.append(_entries.whole(number))
        return sorted(numbers)

    def all_objects(self) -> Iterator[tuple[int, str, int, Box]]:
        """Picture, name, number and box of every object."""
        aliases = self.aliases("object_alias.txt")
        for path, entry, picture, listed in self.entries("objects.json", "objects"):
            for number, held in enumerate(listed):
                with _entries.entry(path, f"entry {entry}, object {number}"):
                    box = _entries.box((held["x"], held["y"], held["w"], held["h"]))
                    names = held["names"] if "names" in held else [held["name"]]
                    found = _plain(names[0]) if names else "", _entries.whole(held["object_id"])
                yield picture, aliases.get(found[0], found[0]), found[1], box

    def all_attributes(self) -> Iterator[tuple[int, int, str]]:
        """Picture, object and name of every attribute; an object may have none."""
        for path, entry, picture, listed in self.entries("attributes.json", "attributes"):
            for number, held in enumerate(listed):
                with _entries.entry(path, f"entry {entry}, object {number}"):
                    one = _entries.whole(held["object_id"])
                    names = [_plain(name) for name in held.get("attributes") or ()]
                for name in names:
                    yield picture, one, name

    def all_relations(self) -> Iterator[tuple[int, int, str, int]]:
        """Picture, subject, name and the other object of every relation."""
        aliases = self.aliases("relationship_alias.txt")
        for path, entry, picture, listed in self.entries("relationships.json", "relationships"):
            for number, held in enumerate(listed):
                with _entries.entry(path, f"entry {entry}, relationship {number}"):
                    name = _plain(held["predicate"])
                    subject = _entries.whole(held["subject"]["object_id"])
                    other = _entries.whole(held["object"]["object_id"])
                yield picture, subject, aliases.get(name, name), other

    def objects(
        self, sizes: dict[int, tuple[int, int]], classes: Classes, min_pixels: int, told: list[str]
    ) -> dict[int, list[_Object]]:
        """The objects of each picture whose class has a number, boxes cut off at its border."""
        number_of = {name: number for number, name in enumerate(classes.objects)}
        found: dict[int, list[_Object]] = {}
        unknown = small = empty = 0
        for picture, name, number, box in self.all_objects():
            self.check("objects.json", picture, sizes)
            if name not in number_of:
                unknown += 1
                continue
            cut, _, area = _window.within(box, *sizes[picture])
            if area <= 0:
                empty += 1
            elif min(cut[2] - cut[0], cut[3] - cut[1]) < min_pixels:
                small += 1
            else:
                one = _Object(number, number_of[name], cut, [])
                found.setdefault(picture, []).append(one)
        _captioned.count(told, unknown, "objects whose class has no number, left out")
        _captioned.count(told, empty, "boxes without area or outside their picture, left out")
        _captioned.count(told, small, f"boxes of less than {min_pixels} pixels, left out")
        return found

    def add_attributes(self, found: dict[int, list[_Object]], classes: Classes) -> None:
        """Adds to each object the numbers of its attributes."""
        number_of = {name: number for number, name in enumerate(classes.attributes)}
        if not number_of:
            return
        by_number = {(picture, one.number): one for picture, several in found.items() for one in several}
        for picture, number, name in self.all_attributes():
            one = by_number.get((picture, number))
            if one is not None and name in number_of:
                one.attributes.append(number_of[name])

    def relations(self, sizes: dict[int, tuple[int, int]], classes: Classes) -> dict[int, list[tuple[int, int, int]]]:
        """Subject, relation and other object of each picture, as numbers."""
        number_of = {name: number for number, name in enumerate(classes.relations)}
        found: dict[int, list[tuple[int, int, int]]] = {}
        for picture, subject, name, other in self.all_relations() if number_of else ():
            self.check("relationships.json", picture, sizes)
            if name in number_of:
                found.setdefault(picture, []).append((subject, number_of[name], other))
        return found

    def regions(self, sizes: dict[int, tuple[int, int]]) -> dict[int, list[tuple[str, Box]]]:
        """The texts of each picture with their boxes, those of the largest regions first."""
        found: dict[int, list[tuple[str, Box]]] = {}
        for path, entry, picture, listed in self.entries("region_descriptions.json", "regions"):
            self.check("region_descriptions.json", picture, sizes)
            for number, held in enumerate(listed):
                with _entries.entry(path, f"entry {entry}, region {number}"):
                    text = _entries.text(held["phrase"])
                    box = _entries.box((held["x"], held["y"], held["width"], held["height"]))
                if any(map(str.isalnum, text)):
                    found.setdefault(picture, []).append((text, box))
        for several in found.values():
            several.sort(key=lambda one: (one[1][0] - one[1][2]) * (one[1][3] - one[1][1]))
        return found

    def check(self, file: str, picture: int, sizes: dict[int, tuple[int, int]]) -> None:
        """Refuses a picture that nothing is known of."""
        if picture not in sizes:
            raise ValueError(
                f"{str(self.place / file)!r} speaks of picture {picture}, which is not in image_data.json."
            )

    def aliases(self, file: str) -> dict[str, str]:
        """From name to the one that stands for it; a line each, the latter first."""
        path = self.place / file
        if not path.is_file():
            return {}
        lines = [[_plain(name) for name in line.split(",")] for line in path.read_text("utf-8").splitlines()]
        return {name: names[0] for names in reversed(lines) for name in names if name}

    def paths(self, numbers: Sequence[int]) -> list[str]:
        """The file of each picture."""
        files: dict[str, str] = {}
        for folder in _FOLDERS:
            for name in os.listdir(self.place / folder) if (self.place / folder).is_dir() else ():
                files[name] = os.fspath(self.place / folder / name)
        absent = [number for number in numbers if f"{number}.jpg" not in files]
        if absent:
            what = f"{len(absent)} of {len(numbers)} pictures, such as {absent[0]}.jpg"
            remedy = "Put the unpacked folders VG_100K of images.zip and VG_100K_2 of images2.zip there."
            raise _locate.missing(_NAME, what, [self.place / folder for folder in _FOLDERS], remedy)
        return [files[f"{number}.jpg"] for number in numbers]


def _remedy(file: str) -> str:
    if file == _SPLITS:
        return "Put the file of that name of the public code of sg2im there, or take split='all'."
    return f"Put the unpacked file of {file}.zip there, from the page of the data set."


def _plain(name: Any) -> str:
    return " ".join(_entries.text(name).lower().split())


def _windows(sizes: Sequence[tuple[int, int]], fit: _window.Fit) -> np.ndarray:
    held = np.array(sizes, np.int64).reshape(-1, 2)
    return _window.fitted(np.concatenate([np.zeros_like(held), held], 1), fit)


def _boxes(boxes: Sequence[Box]) -> np.ndarray:
    return np.array(boxes, np.float64).reshape(-1, 4)


def _fractions(boxes: Sequence[Box], window: np.ndarray) -> np.ndarray:
    return _window.fractions(_window.clipped(_boxes(boxes), window)[0], window)


def _several(numbers: Sequence[Sequence[int]], num: int) -> np.ndarray:
    held = np.zeros((len(numbers), num), bool)
    for row, some in enumerate(numbers):
        held[row, list(some)] = True
    return held
