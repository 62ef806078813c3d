"""How often a classifier reads in a picture what its text was written of: colour, kind of article, ...

    found = probes.accuracy(probe_says, table_says)
    found.value, found.standard_error, found.chance, found.most_frequent

The classifier's own accuracy on real pictures is the ceiling: print it beside.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Accuracy(NamedTuple):
    """A share of pictures, with its doubt and with what it would be if nothing were known.

    Attributes:
      value: from 0 to 1.
      standard_error: over pictures; NaN for a single one.
      num: pictures of which a class was asked.
      chance: the value to expect if the same pictures were dealt out to the same texts at random, no text getting its
        own; NaN for a single one.
      most_frequent: the value if the most frequent of the asked classes were read in every picture.
    """

    value: float
    standard_error: float
    num: int
    chance: float
    most_frequent: float


def accuracy(read: Sequence[int] | np.ndarray, asked: Sequence[int] | np.ndarray) -> Accuracy:
    """Counts the pictures in which the asked class is read.

    Args:
      read: `[n]` the class that a classifier takes each picture for.
      asked: `[n]` the class that its text was written of; pictures with -1 are not counted.

    Returns:
      The share.

    Raises:
      ValueError: shapes differ, or no class is asked.
    """
    read, asked = np.asarray(read), np.asarray(asked)
    if read.shape != asked.shape or read.ndim != 1:
        raise ValueError(f"read and asked must be [n] of the same pictures, got {read.shape} and {asked.shape}.")
    read, asked = read[asked >= 0], asked[asked >= 0]
    num = len(asked)
    if not num:
        raise ValueError("asked must name the class of a picture, got -1 for all.")
    hits = int(np.sum(read == asked))
    value = hits / num
    classes, counts = np.unique(asked, return_counts=True)
    pairs = sum(int(count) * int(np.sum(read == one)) for one, count in zip(classes, counts, strict=True)) - hits
    error, chance = float("nan"), float("nan")
    if num > 1:
        error, chance = (value * (1 - value) / (num - 1)) ** 0.5, pairs / (num * (num - 1))
    return Accuracy(value, error, num, chance, int(counts.max()) / num)
