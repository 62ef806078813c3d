"""Whether a picture is nearest to its own text: R-precision among drawn texts, and recall among all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Retrieval(NamedTuple):
    """A share of pictures, with its doubt.

    Attributes:
      value: from 0 to 1.
      standard_error: of the value, over pictures.
      chance: the value if nothing were known.
    """

    value: float
    standard_error: float
    chance: float


def r_precision(
    images: np.ndarray, texts: np.ndarray, *, num_others: int = 99, seed: int = 0, groups: Sequence[int] | None = None
) -> Retrieval:
    """How often the text of a picture is nearer to it than all of some other texts.

    Args:
      images: embeddings `[n, d]`.
      texts: embeddings `[n, d]`, row by row of the texts that the pictures were made of.
      num_others: texts that each is set beside, drawn among those of the other pictures.
      seed: of the draws.
      groups: `[n]`; texts of the same group (that say the same) are never set beside each other.

    Returns:
      The share; a tie counts as missed.

    Raises:
      ValueError: shapes differ, or there are too few other texts.

    References:
      Xu et al., AttnGAN, CVPR 2018, section 4 (1 true and 99 other texts, cosines).
    """
    cosines = _cosines(images, texts)
    num = len(cosines)
    alike = np.asarray(range(num) if groups is None else groups)
    if alike.shape != (num,):
        raise ValueError(f"groups must have one entry for each of {num} pictures, got shape {alike.shape}.")
    rng, hits = np.random.default_rng(seed), np.zeros(num)
    for row in range(num):
        others = np.flatnonzero(alike != alike[row])
        if not 1 <= num_others <= len(others):
            raise ValueError(f"num_others must be from 1 to {len(others)} for picture {row}, got {num_others}.")
        hits[row] = cosines[row, row] > cosines[row, rng.choice(others, num_others, replace=False)].max()
    return Retrieval(float(hits.mean()), _error(hits), 1 / (1 + num_others))


def recall_at_one(
    images: np.ndarray, texts: np.ndarray, *, size: int, groups: Sequence[int] | None = None
) -> Retrieval:
    """How often a picture finds its own text first, and a text its own picture, within sets of one size.

    Args:
      images: embeddings `[n, d]`.
      texts: embeddings `[n, d]` of their texts.
      size: of the sets: rows are taken in order, and what is left over is not used.
      groups: `[n]`; other rows of the same group are left out of the choice.

    Returns:
      The mean of both directions.

    Raises:
      ValueError: shapes differ, or there are fewer rows than one set has.
    """
    cosines = _cosines(images, texts)
    if not 2 <= size <= len(cosines):
        raise ValueError(f"size must be from 2 to {len(cosines)}, got {size}.")
    alike = np.arange(len(cosines)) if groups is None else np.asarray(groups)
    hits = []
    for start in range(0, len(cosines) - size + 1, size):
        part = slice(start, start + size)
        one = np.where(
            (alike[part, None] == alike[None, part]) & ~np.eye(size, dtype=bool), -np.inf, cosines[part, part]
        )
        for scores in (one, one.T):
            rest = np.where(np.eye(size, dtype=bool), -np.inf, scores)
            hits.append(np.diagonal(scores) > rest.max(1))
    both = np.stack(hits).reshape(-1, 2, size).mean(1).reshape(-1)
    return Retrieval(float(both.mean()), _error(both), 1 / size)


def _cosines(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    images, texts = np.asarray(images, np.float64), np.asarray(texts, np.float64)
    if images.ndim != 2 or images.shape != texts.shape:
        raise ValueError(f"images and texts must be [n, d] of the same shape, got {images.shape} and {texts.shape}.")
    return _unit(images) @ _unit(texts).T


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _error(hits: np.ndarray) -> float:
    return float(hits.std(ddof=1) / np.sqrt(len(hits))) if len(hits) > 1 else float("nan")
