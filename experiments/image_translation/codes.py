"""Codes of style: drawn, the same for every picture or not, and between two."""

import zlib

import numpy as np


def drawn(seed: int, num: int, dim: int, *, name: str = "") -> np.ndarray:
    """Draws codes from N(0, I); the first ones are the same however many are drawn.

    Args:
      seed: of the draw.
      num: codes.
      dim: features of a code.
      name: of a picture that is to have codes of its own; "" for those that all have.

    Returns:
      `[num, dim]` float32.
    """
    key = (seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))) if name else seed
    return np.random.default_rng(key).standard_normal((num, dim), np.float32)


def between(one: np.ndarray, other: np.ndarray, num: int, *, spherical: bool = False) -> np.ndarray:
    """Codes on the way from one to another, both of them included.

    Args:
      one: `[d]`.
      other: `[d]`.
      num: codes, at least 2.
      spherical: along the arc between their directions, with lengths between theirs, so that codes on the way are as
        long as drawn ones are; else along the straight line, whose middle is shorter.

    Returns:
      `[num, d]` float32.

    Raises:
      ValueError: the arc is not defined: a code is 0, or they point in opposite directions.
    """
    share = np.linspace(0, 1, num)[:, None]
    if not spherical:
        return ((1 - share) * one + share * other).astype(np.float32)
    ends = [np.asarray(code, np.float64) for code in (one, other)]
    lengths = [float(np.linalg.norm(code)) for code in ends]
    if not min(lengths):
        raise ValueError("There is no arc from or to a code of 0.")
    units = [code / length for code, length in zip(ends, lengths, strict=True)]
    angle = np.arccos(np.clip(units[0] @ units[1], -1, 1))
    if np.pi - angle < 1e-6:
        raise ValueError("There is no arc between opposite codes.")
    if angle < 1e-6:
        direction = (1 - share) * units[0] + share * units[1]
    else:
        direction = (np.sin((1 - share) * angle) * units[0] + np.sin(share * angle) * units[1]) / np.sin(angle)
    return (direction * ((1 - share) * lengths[0] + share * lengths[1])).astype(np.float32)
