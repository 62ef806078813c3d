"""Texts as numbers of words, of variable length.

A vocabulary is made once, of the texts to train on, and turns them into a column::

    vocabulary = Vocabulary.of(captions, max_words=5000)
    data = columns.from_values(
        {"image": ..., "caption": fields.Tokens(max_length=18)},
        {"image": ..., "caption": vocabulary.encode(captions, max_length=18)},
    )
"""

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from gentoolkit.data import _pickled
from gentoolkit.data.fields import Ragged

PADDING, UNKNOWN = 0, 1
_APOSTROPHES = "'\u2019"
_ASCII_WORD = re.compile(r"[a-z0-9']+")


def words(text: str) -> list[str]:
    """Splits a text into words, in small letters.

    Letters, digits and the signs that join them are of any script; an apostrophe inside a word stays; a pictograph is a
    word. Scripts without blanks between words (Chinese, Thai) are split at punctuation only.
    """
    if text.isascii():  # the same by a tenth of the time, and nearly every text in English
        found = (word.strip("'") for word in _ASCII_WORD.findall(text.lower()))
        return [word for word in found if word]
    parts = []
    for character in unicodedata.normalize("NFKC", text).casefold():
        category = unicodedata.category(character)
        if category == "So":
            parts += [" ", character, " "]
        else:
            parts.append(character if category[0] in "LNM" or character in _APOSTROPHES else " ")
    found = (word.strip(_APOSTROPHES) for word in "".join(parts).split())
    return [word for word in found if word]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers. 0 is padding and 1 any word that is not known, so the first word has number 2.

    Attributes:
      words: in the order of their numbers, each once.

    Raises:
      ValueError: a word twice.
    """

    words: tuple[str, ...]
    _numbers: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        """Numbers the words."""
        object.__setattr__(self, "_numbers", {word: number for number, word in enumerate(self.words, UNKNOWN + 1)})
        if len(self._numbers) != len(self.words):
            twice = collections.Counter(self.words).most_common(1)[0][0]
            raise ValueError(f"Each word must stand in a vocabulary once, got {twice!r} twice.")

    @classmethod
    def of(cls, texts: Iterable[str], *, max_words: int | None = None, min_count: int = 1) -> "Vocabulary":
        """Collects the words of texts, the most frequent first, those of equal frequency by the alphabet.

        Args:
          texts: any texts.
          max_words: the most words to keep, or None.
          min_count: rarer words are left out.

        Returns:
          The vocabulary.
        """
        counts = collections.Counter(word for text in texts for word in words(text))
        ordered = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
        return cls(tuple(ordered[:max_words]))

    def __len__(self) -> int:
        """How many numbers there are, those of padding and of unknown words included."""
        return len(self.words) + 2

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are not known, in order."""
        return [word for word in words(text) if word not in self._numbers]

    def encode(self, texts: Sequence[str], *, max_length: int, too_long: Literal["refuse", "cut"] = "refuse") -> Ragged:
        """Turns texts into numbers.

        Args:
          texts: `n` texts.
          max_length: words that a row has room for.
          too_long: what becomes of a text with more words: an error, or its first words only.

        Returns:
          `Ragged(values [n, max_length] int32, lengths [n])`; an empty text has length 0.

        Raises:
          ValueError: a text with too many words, or an option outside these.
        """
        if max_length < 1 or too_long not in ("refuse", "cut"):
            raise ValueError(
                f"max_length must be >= 1 and too_long 'refuse' or 'cut', got {max_length} and {too_long!r}."
            )
        values, lengths = np.full((len(texts), max_length), PADDING, np.int32), np.zeros(len(texts), np.int32)
        for row, text in enumerate(texts):
            numbers = [self._numbers.get(word, UNKNOWN) for word in words(text)]
            if len(numbers) > max_length and too_long == "refuse":
                raise ValueError(
                    f"Text {row} has {len(numbers)} words, more than max_length = {max_length}: {text[:60]!r}. "
                    "Give more room, or too_long='cut'."
                )
            lengths[row] = min(len(numbers), max_length)
            values[row, : lengths[row]] = numbers[:max_length]
        return Ragged(values, lengths)

    def decode(self, tokens: Ragged) -> list[str]:
        """Turns numbers back into words, with a blank between; "?" stands for those that were not known."""
        return [
            " ".join(self.words[number - 2] if number > UNKNOWN else "?" for number in row[:length])
            for row, length in zip(np.asarray(tokens.values), np.asarray(tokens.lengths), strict=True)
        ]


def of_attngan(path: str | os.PathLike[str]) -> Vocabulary:
    """Reads the vocabulary of AttnGAN's published encoders, beside whose weights a `captions.pickle` lies.

    The authors' number of a word is one less than here: they have none for unknown words, which they leave out.

    Args:
      path: the file, read without running anything.

    Returns:
      The words in the authors' order.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, or holds something else.
    """
    held = _pickled.read(path)
    words_of = held[2] if isinstance(held, list | tuple) and len(held) >= 4 else None
    if not isinstance(words_of, dict) or sorted(words_of, key=str) != sorted(range(len(words_of)), key=str):
        raise ValueError(
            f"{os.fspath(path)!r} is no captions.pickle of AttnGAN: two lists of texts, words by number and back."
        )
    return Vocabulary(tuple(str(words_of[number]) for number in range(1, len(words_of))))
