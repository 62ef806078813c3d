"""Texts of pictures as the column `captions`, `[num_captions, max_words]` numbers of words, for `captions.OneText`.

The contract of all readers of captioned pictures: the column holds the first `num_captions` texts of a picture; where
there are fewer, they are repeated in turn, so that a text drawn from the column is one of the picture's. Words behind
`max_words` are cut off. What was cut, repeated, left out or not known is counted, and said in one line on stderr.
"""

import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from gentoolkit.data.fields import Field
from gentoolkit.data.text import UNKNOWN, Vocabulary, words

_NAMED = 5  # words named in a message; the others are counted


def lines(path: pathlib.Path) -> list[str]:
    """The texts of a file, one a line, without those that have no word; bytes that are no UTF-8 become blanks."""
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\ufffd", " ")
    return [line.strip() for line in text.split("\n") if any(map(str.isalnum, line))]


def column(
    texts: Sequence[Sequence[str]], vocabulary: Vocabulary, *, num_captions: int, max_words: int, told: list[str]
) -> tuple[Field, np.ndarray]:
    """Numbers the texts of pictures.

    Args:
      texts: those of each picture, at least one each.
      vocabulary: numbers the words.
      num_captions: texts in the column of a picture.
      max_words: words in a text.
      told: what is to be said is added here.

    Returns:
      The field, and `[n, num_captions, max_words]` int32.

    Raises:
      ValueError: a number below 1.
    """
    check(num_captions=num_captions, max_words=max_words)
    counts = np.array([len(several) for several in texts])
    flat = [text for several in texts for text in several[:num_captions]]
    tokens = vocabulary.encode(flat, max_length=max_words, too_long="cut")
    kept = np.minimum(counts, num_captions)
    first = np.cumsum(kept) - kept
    values = tokens.values[first[:, None] + np.arange(num_captions) % kept[:, None]]

    count(told, (counts < num_captions).sum(), f"pictures with fewer than {num_captions} texts, which are repeated")
    count(told, (counts > num_captions).sum(), f"pictures with more than {num_captions} texts, of which the first stay")
    full = np.flatnonzero(tokens.lengths == max_words)
    cut = sum(len(words(flat[row])) > max_words for row in full)
    count(told, cut, f"texts cut to {max_words} words")
    with_unknown = np.flatnonzero((tokens.values == UNKNOWN).any(1))
    if with_unknown.size:
        unknown = [word for row in with_unknown for word in vocabulary.unknown(flat[row])]
        named = sorted(set(unknown), key=unknown.index)
        shown = ", ".join(named[:_NAMED]) + (", ..." if len(named) > _NAMED else "")
        told.append(f"{len(named)} words that the vocabulary lacks, {len(unknown)} times ({shown})")
    return Field(shape=(num_captions, max_words), dtype=np.int32), values


def check(**options: int) -> None:
    """Refuses options that must be at least 1 (`ValueError`)."""
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {name} = {value}.")


def count(told: list[str], number: int, what: str) -> None:
    """Adds a line if there is something to count."""
    if number:
        told.append(f"{number} {what}")


def tell(what: str, told: Sequence[str]) -> None:
    """Says on stderr what was counted."""
    if told:
        print(f"{what}: {'; '.join(told)}.", file=sys.stderr, flush=True)
