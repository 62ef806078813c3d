"""Multi30k: texts of one picture in several languages, line by line, with the pictures where they are at hand.

    train = multi30k.load("multi30k", "train")                                  # texts alone, in two languages
    train[0]        # {"captions": [1, 32], "captions_de": [1, 32]}
    train = multi30k.load("multi30k", "train", pictures="flickr30k-images", image_size=64)

What to put where (nothing is downloaded): the repository multi30k/dataset has `data/task1/raw/train.en.gz` and so on
and `data/task1/image_splits/train.txt`; of the second task, five texts a picture that are no translations of one
another, `data/task2/raw/train.1.en.gz` and `data/task2/image_splits/train_images.txt`. `root` is the repository, its
folder `task1` or `task2`, or a folder that holds the files themselves, compressed or not. The pictures are those of
Flickr30k, `flickr30k-images/`, and for the split "test_2017_mscoco" those of COCO 2014.
"""

import gzip
import os
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gentoolkit.data import _captioned, _locate, _window, columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image
from gentoolkit.data.text import Vocabulary

_NAME = "Multi30k"
_SEVERAL = 5  # texts of a picture in the second task


def load(
    root: str | os.PathLike[str],
    split: str,
    *,
    languages: Sequence[str] = ("en", "de"),
    task: Literal[1, 2] = 1,
    vocabularies: Mapping[str, Vocabulary] | None = None,
    max_words: int = 32,
    pictures: str | os.PathLike[str] | None = None,
    image_size: int = 64,
    fit: _window.Fit = "cover",
) -> Columns:
    """Reads the texts of a split, and its pictures if a folder of them is given.

    Lines without a word in one of the languages are left out, which is said on stderr.

    Args:
      root: the folder that holds the files (see the module).
      split: the first part of the files' names, such as "train", "val" or "test_2016_flickr".
      languages: which to read, such as "en", "de", "fr", "cs"; the first is the column `captions`.
      task: 1, one text in each language, translations of one another; 2, five that are not.
      vocabularies: numbers the words of each language; None makes those of `read_vocabulary(root, language)`.
      max_words: words of a text; longer ones are cut.
      pictures: the folder of the pictures, or None for the texts alone.
      image_size: height and width of the result in pixels.
      fit: "cover", the central square; "stretch", the whole picture, squeezed.

    Returns:
      A data set with the columns `captions` `[1 or 5, max_words]` of the first language, `captions_LANGUAGE` of each
      other, and with pictures `image` `[s, s, 3]`; its `names` are then the files'.

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: files of different numbers of lines, or a damaged file; or an option is none of these.

    References:
      Elliott, Frank, Sima'an and Specia, Multi30K: multilingual English-German image descriptions, 2016.
    """
    _window.check(image_size, fit)
    if task not in (1, 2) or not languages or len(set(languages)) != len(languages):
        raise ValueError(f"task must be 1 or 2 and languages be given once each, got {task} and {list(languages)}.")
    places, told = _places(root, task), list[str]()
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}
    texts = {language: _texts(places, split, language, task) for language in languages}
    counts = {f"the texts in {language!r}": len(several) for language, several in texts.items()}
    names: list[str] = []
    if pictures is not None:
        names = _listed(places, split)
        counts["the pictures"] = len(names)
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{what} {number}" for what, number in counts.items())
        raise ValueError(f"{_NAME}, {split}: files of different numbers of lines: {shown}.")
    number = next(iter(counts.values()))
    # The published German texts have such a line, "@@".
    rows = [row for row in range(number) if all(several[row] for several in texts.values())]
    _captioned.count(told, number - len(rows), "lines without a word in one of the languages, left out")
    if not rows:
        raise ValueError(f"{_NAME}, {split}: no line is left that has a word in each language.")
    names = [names[row] for row in rows] if names else []
    for language in languages:
        several = [texts[language][row] for row in rows]
        vocabulary = (vocabularies or {}).get(language) or read_vocabulary(root, language, task=task)
        said = list[str]()
        name = "captions" if language == languages[0] else f"captions_{language}"
        fields[name], values[name] = _captioned.column(
            several, vocabulary, num_captions=1 if task == 1 else _SEVERAL, max_words=max_words, told=said
        )
        told += [f"{language}: {one}" for one in said]
    if pictures is not None:
        folder = pathlib.Path(pictures).expanduser()
        paths = [os.fspath(folder / name) for name in names]
        absent = [path for path in paths if not os.path.isfile(path)]
        if absent:
            what = f"{len(absent)} of {len(paths)} pictures, such as {os.path.basename(absent[0])}"
            raise _locate.missing(_NAME, what, [folder], "Give pictures=..., the folder of the pictures of Flickr30k.")
        sizes = _window.sizes(paths)
        windows = _window.fitted(np.concatenate([np.zeros_like(sizes), sizes], 1), fit)
        fields["image"] = Image(shape=(image_size, image_size, 3))
        values["image"] = _window.Pictures(paths, sizes, windows, image_size)
    _captioned.tell(f"{_NAME}, {split}", told)
    description = (
        f"{_NAME}, {split} ({len(rows)} {'texts' if pictures is None else 'pictures'}, {', '.join(languages)})"
    )
    return columns.from_values(fields, values, description=description, names=names)


def read_vocabulary(
    root: str | os.PathLike[str],
    language: str,
    *,
    task: Literal[1, 2] = 1,
    max_words: int | None = None,
    min_count: int = 1,
) -> Vocabulary:
    """Collects the words of a language in all splits that are there, the most frequent first.

    Args:
      root: as in `load`.
      language: such as "en".
      task: as in `load`.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary.

    Raises:
      FileNotFoundError: there is no text in that language.
      ValueError: a damaged file.
    """
    places = _places(root, task)
    suffix = f".{language}" if task == 1 else f".1.{language}"
    found = {
        path.name.removesuffix(".gz").removesuffix(suffix)
        for place in places
        for path in place.glob(f"*{suffix}*")
        if path.name.removesuffix(".gz").endswith(suffix)
    }
    if not found:
        raise _locate.missing(_NAME, f"texts in {language!r}", places, _remedy(f"train{suffix}.gz"))
    texts = (text for split in sorted(found) for several in _texts(places, split, language, task) for text in several)
    return Vocabulary.of(texts, max_words=max_words, min_count=min_count)


def _remedy(file: str) -> str:
    return f"Put {file} of the repository multi30k/dataset there, compressed or not."


def _places(root: str | os.PathLike[str], task: int) -> list[pathlib.Path]:
    inside = [f"data/task{task}/raw", f"data/task{task}/image_splits", f"task{task}/raw", f"task{task}/image_splits"]
    return _locate.candidates(
        _locate.root(root, dataset=_NAME, argument="root"), *inside, "raw", "image_splits", "multi30k"
    )


def _texts(places: Sequence[pathlib.Path], split: str, language: str, task: int) -> list[list[str]]:
    """The texts of each picture, without those that have no word."""
    if task == 1:
        return [[text] if text else [] for text in _lines(places, f"{split}.{language}")]
    files = [f"{split}.{number}.{language}" for number in range(1, _SEVERAL + 1)]
    columns_of = [_lines(places, file) for file in files]
    if len(set(map(len, columns_of))) != 1:
        raise ValueError(f"{_NAME}: {', '.join(files)} have different numbers of lines: {list(map(len, columns_of))}.")
    return [[text for text in several if text] for several in zip(*columns_of, strict=True)]


def _lines(places: Sequence[pathlib.Path], file: str) -> list[str]:
    """The lines of a file of texts, empty where they have no word."""
    path = next((place / name for place in places for name in (file, f"{file}.gz") if (place / name).is_file()), None)
    if path is None:
        raise _locate.missing(_NAME, file, places, _remedy(f"{file}.gz"))
    try:
        held = path.read_bytes() if path.suffix != ".gz" else gzip.decompress(path.read_bytes())
        lines = held.decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}.") from error
    return [line if any(map(str.isalnum, line)) else "" for line in lines]


def _listed(places: Sequence[pathlib.Path], split: str) -> list[str]:
    """The pictures of a split; behind # stands which text of COCO it was."""
    files = [f"{split}.txt", f"{split}_images.txt"]
    path = next((place / file for place in places for file in files if (place / file).is_file()), None)
    if path is None:
        raise _locate.missing(_NAME, " or ".join(files), places, _remedy(f"image_splits/{files[0]}"))
    return [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
