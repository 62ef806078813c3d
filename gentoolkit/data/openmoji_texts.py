"""OpenMoji's drawings with their names as texts, in English and thirteen other languages; nothing is downloaded.

    train = openmoji_texts.load("train", languages=("en", "de"), image_size=64)
    train[0]    # those of openmoji, and {"captions": [2, 12], "captions_de": [2, 12]}
    train = openmoji_texts.load("train", keywords=True, num_captions=3)    # "dragon game mahjong red" is a text, too

Names come with the package `emoji`, which has them from the Unicode consortium; in English many drawings have further
ones, as chats write them. A skin tone is part of the name. Drawings that are OpenMoji's own have no name, and are left
out. Keywords, in English and German, are those of the annotations of Unicode's CLDR, in `openmoji_keywords.tsv`: all
those of a symbol make one further text, the last one; they say no skin tone. Flags and the latest symbols have none.
The credit of `openmoji.CREDIT` goes wherever the drawings are shown.
"""

import importlib.resources
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gentoolkit.data import _captioned, columns, openmoji
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field
from gentoolkit.data.text import Vocabulary

_SELECTOR = "\ufe0f"  # asks for a picture instead of a letter; codes of drawings have it or not
_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")
# Couples with a heart, those who kiss or hold hands, and a handshake, as they are written with tones, without these.
_JOINED = {
    "\U0001f9d1\u200d\u2764\u200d\U0001f9d1": "\U0001f491",
    "\U0001f9d1\u200d\u2764\u200d\U0001f48b\u200d\U0001f9d1": "\U0001f48f",
    "\U0001f469\u200d\U0001f91d\u200d\U0001f468": "\U0001f46b",
    "\U0001f469\u200d\U0001f91d\u200d\U0001f469": "\U0001f46d",
    "\U0001f468\u200d\U0001f91d\u200d\U0001f468": "\U0001f46c",
    "\U0001faf1\u200d\U0001faf2": "\U0001f91d",
}


def load(
    split: str,
    *,
    languages: Sequence[str] = ("en", "de"),
    vocabularies: Mapping[str, Vocabulary] | None = None,
    num_captions: int = 2,
    max_words: int = 12,
    image_size: int = 64,
    flags: bool = False,
    codes: Sequence[str] | None = None,
    keywords: bool = False,
    cache: str | os.PathLike[str] | None = "auto",
) -> Columns:
    """Loads drawings and their names, split as `openmoji.load` splits them.

    Args:
      split: "train", "test" or "all".
      languages: of which to take names, such as "en", "de", "fr", "zh"; the first is the column `captions`.
      vocabularies: numbers the words of each language; None makes those of `read_vocabulary`.
      num_captions: texts of a drawing. More names are left out, fewer texts are repeated in turn: both are said.
      max_words: words of a text; longer ones are cut, which is said. Twelve are enough for all names but ten; sixteen
        cut the keywords of one symbol in English, and of one in fifty in German.
      image_size: as in `openmoji.load`.
      flags: as in `openmoji.load`.
      codes: as in `openmoji.load`.
      keywords: whether the keywords of a drawing are one more text of it, the last of `num_captions`, which are two at
        least then.
      cache: as in `openmoji.load`.

    Returns:
      A data set with the columns of `openmoji.load`, `captions` `[num_captions, max_words]` of the first language, and
      `captions_LANGUAGE` of each other.

    Raises:
      ImportError: the package `emoji`, or one that `openmoji.load` needs, is not installed.
      ValueError: a language without names, or without keywords where they are asked for; no drawing with a name is
        left; or as in `openmoji.load`.
    """
    if not languages or len(set(languages)) != len(languages):
        raise ValueError(f"languages must be given once each, got languages = {list(languages)}.")
    if keywords and num_captions < 2:
        raise ValueError(f"keywords stand beside a name: num_captions must be >= 2, got num_captions = {num_captions}.")
    texts_of = {language: _texts(language, keywords) for language in languages}
    drawings, told = openmoji.load(split, image_size=image_size, flags=flags, codes=codes, cache=cache), list[str]()
    plain = [_plain(code) for code in drawings.names]
    rows = [row for row, one in enumerate(plain) if all(one in texts for texts in texts_of.values())]
    _captioned.count(told, len(plain) - len(rows), "drawings without a name, left out")
    if not rows:
        raise ValueError(f"OpenMoji: no drawing of {split!r} has a name in {', '.join(languages)}.")
    fields: dict[str, Field] = dict(drawings.fields)
    held: dict[str, Any] = drawings.take(rows)
    for language, texts in texts_of.items():
        said = list[str]()
        name = "captions" if language == languages[0] else f"captions_{language}"
        fields[name], held[name] = _captioned.column(
            [_kept(texts[plain[row]], num_captions, keywords) for row in rows],
            (vocabularies or {}).get(language) or read_vocabulary(language, keywords=keywords),
            num_captions=num_captions,
            max_words=max_words,
            told=said,
        )
        told += [f"{language}: {one}" for one in said]
    _captioned.tell(f"OpenMoji, {split}", told)
    description = f"OpenMoji with names, {split} ({len(rows)} drawings of {image_size} x {image_size})"
    codes_left = [drawings.names[row] for row in rows]
    return columns.from_values(fields, held, description=description, names=codes_left)


def read_vocabulary(
    language: str, *, keywords: bool = False, max_words: int | None = None, min_count: int = 1
) -> Vocabulary:
    """Collects the words of all names, and of keywords, in a language, the most frequent first.

    Args:
      language: such as "en".
      keywords: whether the words of keywords belong to it.
      max_words: as in `Vocabulary.of`.
      min_count: as in `Vocabulary.of`.

    Returns:
      The vocabulary; the same with the same version of `emoji`.

    Raises:
      ImportError: the package `emoji` is not installed.
      ValueError: a language without names, or without keywords where they are asked for.
    """
    texts = (text for several in _texts(language, keywords).values() for text in several)
    return Vocabulary.of(texts, max_words=max_words, min_count=min_count)


def _texts(language: str, keywords: bool) -> dict[str, list[str]]:
    """All texts of each symbol that has a name."""
    names = _names(language)
    if not keywords:
        return names
    words = _keywords(language)
    return {symbol: [*several, *words.get(_untoned(symbol), ())] for symbol, several in names.items()}


def _kept(texts: list[str], num: int, keywords: bool) -> list[str]:
    """All texts; where there are more than so many, and keywords are the last, these before further names."""
    return [*texts[: num - 1], texts[-1]] if keywords and len(texts) > num else texts


def _untoned(symbol: str) -> str:
    """A symbol without skin tones: two people of two tones are joined, where those without are one sign."""
    plain = _TONES.sub("", symbol)
    return _JOINED.get(plain, plain)


def _keywords(language: str) -> dict[str, list[str]]:
    """The text of keywords of each symbol that has some."""
    text = importlib.resources.files("gentoolkit.data").joinpath("openmoji_keywords.tsv").read_text("utf-8")
    head, *rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    if language not in head[1:]:
        raise ValueError(f"keywords: they are in {', '.join(head[1:])}, got languages with {language!r}.")
    column = head.index(language)
    return {_plain(row[0]): [row[column].replace("|", " ")] for row in rows}


def _names(language: str) -> dict[str, list[str]]:
    """The names of each symbol, that of Unicode first."""
    try:
        import emoji
    except ImportError as error:
        raise ImportError(
            f'Names of drawings come with the package emoji: {error}. pip install "gentoolkit[experiments]"'
        ) from error
    if language not in emoji.LANGUAGES:
        raise ValueError(f"languages: names are in {', '.join(emoji.LANGUAGES)}, got {language!r}.")
    emoji.config.load_language(language)
    names: dict[str, list[str]] = {}
    for symbol, held in emoji.EMOJI_DATA.items():
        if language in held:
            written = [held[language], *(held.get("alias", ()) if language == "en" else ())]
            words = [one.strip(":").replace("_", " ") for one in written]
            names.setdefault(symbol.replace(_SELECTOR, ""), list(dict.fromkeys(words)))
    return names


def _plain(code: str) -> str:
    """The symbol of a drawing's code."""
    return "".join(chr(int(part, 16)) for part in code.split("-")).replace(_SELECTOR, "")
