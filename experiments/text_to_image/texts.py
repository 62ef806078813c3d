"""Texts of users as numbers of words: what cannot be drawn is refused, what is not understood is said."""

import pathlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from absl import logging

from gentoolkit.data.text import Vocabulary
from gentoolkit.data.text import words as words_of

_JOINERS = "\u200c\u200d"
_BETWEEN = "\t\n\r"  # of control characters, those that people write between words


def read_file(path: str | pathlib.Path) -> list[str]:
    """Reads texts, one a line; empty lines are passed over, which a warning says where texts follow.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not text in UTF-8, or holds none.
    """
    path = pathlib.Path(path)
    try:
        # By ends of lines alone: other signs at which Python ends one are left to `encode`, which refuses them.
        found = [line.strip(" \t") for line in path.read_text("utf-8-sig").rstrip(" \t\n").split("\n")]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from error
    texts = [line for line in found if line]
    if not texts:
        raise ValueError(f"{path} holds no text.")
    if len(texts) < len(found):
        empty = [str(number) for number, line in enumerate(found, 1) if not line]
        logging.warning(
            "%s: %d empty lines are passed over (line %s); pictures are numbered without them.",
            path, len(empty), ", ".join(empty[:8]) + (", ..." if len(empty) > 8 else ""),
        )  # fmt: skip
    return texts


def encode(
    texts: Sequence[str], vocabulary: Vocabulary, *, max_words: int, passed_over: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Turns texts into numbers of words.

    Args:
      texts: at least one.
      vocabulary: of the encoder.
      max_words: with which it was trained.
      passed_over: whether the encoder reads a text as if words that it does not know were not there.

    Returns:
      `[n, t]` numbers, `[n]` lengths, and a line for each text with words that are not known.

    Raises:
      ValueError: no text, or one that is empty, has control characters or bytes that are no text, too many words, or
        no known word.
    """
    if not texts:
        raise ValueError("A text is needed.")
    told = []
    for text in texts:
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        if bad := _of_category(text, "Cs"):
            raise ValueError(f"The text {shown} has bytes that are no text in UTF-8: {', '.join(bad)}.")
        if bad := _of_category(text, "Cc", "Cf"):
            raise ValueError(f"The text {shown} has control characters: {', '.join(bad)}.")
        count = len(words_of(text))
        if not count:
            raise ValueError(f"The text {shown} has no words.")
        if count > max_words:
            raise ValueError(f"The text {shown} has {count} words; the encoder reads at most {max_words}.")
        unknown = vocabulary.unknown(text)
        if len(unknown) == count:
            known = ", ".join(vocabulary.words[:12])
            raise ValueError(f"The text {shown} has no word that the encoder knows; it knows {known}, ...")
        if unknown:
            how = "passed over" if passed_over else "read as any other word"
            told.append(f"{shown}: not known, and {how}: {', '.join(dict.fromkeys(unknown))}")
    tokens = vocabulary.encode(texts, max_length=max_words)
    return tokens.values, tokens.lengths, told


def _of_category(text: str, *categories: str) -> list[str]:
    """Characters that nobody sees; those between words, and those that join letters or pictographs, are none."""
    return sorted(
        {
            f"U+{ord(c):04X}"
            for c in text
            if unicodedata.category(c) in categories and c not in _BETWEEN and c not in _JOINERS
        }
    )
