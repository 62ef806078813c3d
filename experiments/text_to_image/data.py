"""The captioned pictures of a configuration: drawn, of a folder of one's own, or one of the published sets."""

import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.text_to_image import attributes, vocabularies
from experiments.text_to_image.attributes import Known
from gentoolkit import study
from gentoolkit.data import (
    captioned_folder,
    captions,
    coco,
    columns,
    cub,
    openmoji,
    openmoji_texts,
    oxford_flowers,
    pipeline,
    preparation,
    prepared,
    record,
    scenes,
    transform,
)
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Ragged
from gentoolkit.data.text import Vocabulary

_TABLES = tuple(f"captions.{suffix}" for suffix in ("csv", "tsv", "jsonl", "json"))
_TEXT_COLUMNS = ("caption", "captions", "text", "texts", "title")
_FILE_COLUMNS = ("file", "file_name", "filename", "image", "path")
_TEST_SPLITS = ("test", "val")
_LOOKED_AT = 32  # examples whose texts, boxes and relations are looked at before the work
_LEAST = 4  # pictures of a folder: two to train on and two to measure on


class Captioned(NamedTuple):
    """Pictures with their texts.

    Attributes:
      train: with columns `image` and `captions`, and what else a source knows.
      test: other pictures of the same kind.
      held_out: pictures of combinations that training has not seen, unless `config.hold_out` says that it has; None
        where nobody knows of any.
      vocabulary: the words behind the numbers in `captions`.
      credit: who is to be named where pictures are shown.
      attributes: columns of classes, and which of their values are told apart.
    """

    train: Columns
    test: Columns
    held_out: Columns | None
    vocabulary: Vocabulary
    credit: str = ""
    attributes: Known = {}

    @property
    def max_words(self) -> int:
        """Words that a text has room for."""
        return self.train.fields["captions"].shape[1]


_DRAWN = ("scenes", "openmoji")


def load(config: ConfigDict, *, vocabulary: Vocabulary | None = None) -> Captioned:
    """Loads the data set of a configuration.

    Args:
      config: of a run.
      vocabulary: numbers the words, in place of the data's own: that of an encoder by others. Words that it lacks are
        said.

    Raises:
      FileNotFoundError: a folder or a file of it is missing.
      ValueError: an unknown data set, sizes that cannot be, or a folder where the data are drawn.
    """
    source = study.choose("config.dataset", config.dataset, _SOURCES)
    if config.keywords and config.dataset != "openmoji":
        raise ValueError(f"config.keywords are OpenMoji's; {config.dataset} has none.")
    if config.data_dir and config.dataset in _DRAWN:
        raise ValueError(
            f"{config.dataset} needs no folder, got config.data_dir = {config.data_dir!r}; pictures of your own are "
            "taken by the presets of folder64."
        )
    found = source(config, vocabulary)
    for part in filter(None, (found.train, found.test, found.held_out)):
        record.check(part, num=_LOOKED_AT)
    return found


def stream(config: ConfigDict, source: Columns, *columns: str, **part: int) -> pipeline.Stream:
    """Batches for training as bytes, each picture with one of its texts: `image`, `caption` and further columns."""
    transforms: list[Any] = [captions.OneText()]
    if config.words_drawn:
        transforms.append(captions.SomeWords(config.words_drawn))
    if source.fields["image"].shape[0] != config.image_size:
        transforms.append(transform.RandomCrop((config.image_size, config.image_size)))
    if config.flip:
        transforms.append(transform.horizontal_flip)
    return pipeline.Stream(
        source.select("image", "captions", *columns),
        seed=config.seed,
        batch_size=config.batch_size,
        image_range=None,
        transforms=tuple(transforms),
        **part,
    )


def first_texts(source: Columns, num: int, *, which: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words `[num, t]` and lengths `[num]` of one text of each of the first pictures."""
    tokens = np.asarray(source.select("captions").take(np.arange(min(num, len(source))))["captions"])[:, which]
    return tokens, (tokens != 0).sum(1).astype(np.int32)


def said(source: Columns, vocabulary: Vocabulary, num: int, *, which: int = 0) -> list[str]:
    """One text of each of the first pictures, as far as the vocabulary knows its words."""
    return vocabulary.decode(Ragged(*first_texts(source, num, which=which)))


def written(config: ConfigDict, source: Columns, vocabulary: Vocabulary, num: int, *, split: str) -> list[str]:
    """The first text of each of the first pictures, as it was written where that is still known.

    It is of scenes and of a folder of one's own: with capitals and stops. Else it is as `said`.

    Args:
      config: of the run.
      source: the split.
      vocabulary: of the data.
      num: of texts.
      split: its name in `scenes`.
    """
    if config.dataset == "scenes":
        most = config.max_objects
        return [scenes.texts(split, row, max_objects=most)[0] for row in range(min(num, len(source)))]
    known = said(source, vocabulary, num)
    if config.dataset != "folder":
        return known
    told, tokens = _told(config), first_texts(source, num)[0]
    texts = captioned_folder.read_texts(told.table, image=told.image, texts=told.texts, key=told.key)

    def as_written(row: int) -> str:
        # Rows of the table may share a picture: the text is the first with these words, as far as they are known.
        several = texts.get(source.names[row], [])
        words = vocabulary.encode(several, max_length=tokens.shape[1], too_long="cut").values
        return next((text for text, one in zip(several, words, strict=True) if (one == tokens[row]).all()), known[row])

    return [as_written(row) for row in range(len(known))]


def _scenes(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    size = config.image_size
    if vocabulary not in (None, scenes.VOCABULARY):
        raise ValueError("Scenes are told in words of their own; config.encoder must be a damsm run on scenes.")
    # Splits differ in what is drawn from one seed; the run's own seed is of the networks.
    options = {"image_size": size, "max_objects": config.max_objects}
    train = scenes.load("train" if config.hold_out else "all", config.num_train, **options)
    test, held_out = (scenes.load(split, config.num_test, **options) for split in ("test", "held_out"))
    return Captioned(train, test, held_out, scenes.VOCABULARY)


def _openmoji(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    words = vocabulary or openmoji_texts.read_vocabulary(config.language, keywords=config.keywords)
    train, test = (
        openmoji_texts.load(
            split, languages=(config.language,), vocabularies={config.language: words}, image_size=config.image_size,
            num_captions=config.num_captions, max_words=config.max_words, keywords=config.keywords,
        )
        for split in ("train", "test")
    )  # fmt: skip
    return Captioned(train, test, None, words, openmoji.CREDIT)


class _Told(NamedTuple):
    """Where a folder of one's own says what: the table, its key, columns, the columns of texts, and the pictures."""

    table: pathlib.Path
    key: str | None
    rows: list[captioned_folder.Row]
    known: dict[str, None]
    texts: tuple[str, ...]
    image: str


def _told(config: ConfigDict) -> _Told:
    options = config.folder
    table, key = _table(_root(config), options.table), options.key or None
    rows = captioned_folder.read_table(table, key=key)
    known = dict.fromkeys(column for row in rows for column in row)
    texts = tuple(filter(None, options.texts.split(","))) or _first("texts", _TEXT_COLUMNS, known, table)
    image = options.image or "{" + _first("image", _FILE_COLUMNS, known, table)[0] + "}"
    return _Told(table, key, rows, known, texts, image)


def _folder(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    root, options = _root(config), config.folder
    table, key, rows, known, texts, image = _told(config)
    words = vocabulary or captioned_folder.read_vocabulary(table, texts=texts, key=key)
    labels = attributes.names(options.attributes)
    if taken := sorted({*labels} & {*record.NAMES}):
        raise ValueError(
            f"config.folder.attributes: {', '.join(taken)} would be a class of the whole picture, and is the name of "
            "something else in every data set. Rename the column."
        )

    def part(split: str | None) -> Columns:
        found = captioned_folder.load(
            root, table, image=image, texts=texts, labels=labels, key=key,
            where=None if split is None else {options.split: split}, image_size=config.image_size, vocabulary=words,
            num_captions=config.num_captions, max_words=config.max_words, missing=options.missing,
        )  # fmt: skip
        return _written_once(found, root, pathlib.Path(config.prepared).expanduser()) if config.prepared else found

    splits = {str(row.get(options.split)) for row in rows} if options.split in known else set()
    train, test = (_split(splits, *names) for names in (("train",), _TEST_SPLITS))
    if train and test:
        return _with_attributes(Captioned(part(train), part(test), None, words), labels, options.least)
    if splits:
        print(
            f"{table.name}: its column {options.split!r} does not say train and test; a tenth is for testing.",
            file=sys.stderr,
        )
    whole = part(None)
    if len(whole) < _LEAST:
        raise ValueError(f"{table} has {len(whole)} pictures with texts; at least {_LEAST} are needed.")
    found = Captioned(*columns.split(whole, num_test=max(2, len(whole) // 10)), None, words)
    return _with_attributes(found, labels, options.least)


def _written_once(found: Columns, root: pathlib.Path, place: pathlib.Path) -> Columns:
    """Pictures of a folder, decoded and written as array_record at the first time.

    The name tells what was written: texts and labels as numbers, and of each picture its file, its size and when it was
    changed, so that another table or another picture is written anew.
    """
    study.check_folder(place, name="config.prepared")
    digest = hashlib.sha256(repr(found.fields).encode())
    held = found.select(*(name for name in found.fields if name != "image")).take(np.arange(len(found)))
    for leaf in jax.tree.leaves(held):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    for name in found.names:
        state = (root / name).stat()
        digest.update(f"{name}\n{state.st_size} {state.st_mtime_ns}\n".encode())
    folder = preparation.prepare({"part": lambda: found}, place, name=f"folder_{digest.hexdigest()[:16]}")
    return dataclasses.replace(prepared.load(folder, "part"), description=found.description, names=found.names)


def _with_attributes(found: Captioned, labels: tuple[str, ...], least: int) -> Captioned:
    known, told = attributes.frequent(found.train, labels, least=least)
    for line in told:
        print(line, file=sys.stderr)
    return found._replace(attributes=known)


def _split(splits: set[str], *names: str) -> str | None:
    """The one split whose name begins with the first of these names that any begins with, such as val2017."""
    for name in names:
        if found := sorted(split for split in splits if split.startswith(name)):
            return found[0] if len(found) == 1 else None
    return None


def _table(root: pathlib.Path, name: str) -> pathlib.Path:
    """The table of a folder of one's own."""
    if name:
        return root / name
    if found := [root / one for one in _TABLES if (root / one).is_file()]:
        return found[0]
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".json", ".jsonl"))
    if len(found) != 1:
        seen = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(
            f"{root} must hold a table of texts, {', '.join(_TABLES)} or the only one of these kinds (found: {seen}); "
            "or give config.folder.table."
        )
    return found[0]


def _first(what: str, names: tuple[str, ...], known, table: pathlib.Path) -> tuple[str, ...]:
    found = tuple(name for name in names if name in known)[:1]
    if not found:
        raise ValueError(
            f"{table} has none of the columns {', '.join(names)}, but {', '.join(known)}; give config.folder.{what}."
        )
    return found


def _cub(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    return _real(config, vocabulary, cub.load, cub.read_vocabulary, ("train", "test"))


def _flowers(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    return _real(config, vocabulary, oxford_flowers.load, oxford_flowers.read_vocabulary, ("train", "test"))


def _coco(config: ConfigDict, vocabulary: Vocabulary | None) -> Captioned:
    def load(root, split, **options) -> Columns:
        return coco.load(root, split, objects=False, **options)

    return _real(config, vocabulary, load, coco.read_vocabulary, ("train2014", "val2014"))


def _real(
    config: ConfigDict,
    vocabulary: Vocabulary | None,
    load: Callable[..., Columns],
    read_vocabulary: Callable[..., Vocabulary],
    splits: tuple[str, str],
) -> Captioned:
    """A published set, decoded, cut and written as array_record at the first time.

    The texts are prepared as numbers of words, so a preparation belongs to its vocabulary, which is kept beside it.
    """
    root = _root(config)
    # Windows are cut from training pictures only.
    sizes = transform.load_size(config.image_size, config.load_scale, name="config.load_scale"), config.image_size
    place = pathlib.Path(config.prepared).expanduser() if config.prepared else root / "prepared"
    own = vocabularies.name(vocabulary) if vocabulary is not None else "own"
    told = f"{config.dataset}_{config.num_captions}x{config.max_words}_{own}"
    path = place / f"{told}.json"
    words = vocabulary
    if words is None and path.is_file():
        words = vocabularies.parse(path.read_text("utf-8"))[0]
    elif words is None:
        words = read_vocabulary(root)
    if not path.is_file():
        study.check_folder(place, name="config.prepared")
        vocabularies.save(path, words, config.max_words)
    found = []
    for split, size in zip(splits, sizes, strict=True):

        def source(split: str = split, size: int = size) -> Columns:
            return load(
                root, split, image_size=size, vocabulary=words, num_captions=config.num_captions,
                max_words=config.max_words,
            )  # fmt: skip

        folder = preparation.prepare({split: source}, place, name=f"{told}_{split}_{size}")
        found.append(prepared.load(folder, split))
    return Captioned(*found, None, words)


def _root(config: ConfigDict) -> pathlib.Path:
    if not config.data_dir:
        raise ValueError(f"config.data_dir must name the folder of {config.dataset}.")
    root = pathlib.Path(config.data_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"config.data_dir: there is no folder {root}.")
    return root


_SOURCES: dict[str, Callable[[ConfigDict, Vocabulary | None], Captioned]] = {
    "scenes": _scenes,
    "openmoji": _openmoji,
    "folder": _folder,
    "cub": _cub,
    "flowers": _flowers,
    "coco": _coco,
}
