"""Integers as float64 numbers, also those that float64 cannot tell apart: identifiers, times in nanoseconds."""

import numpy as np

_EXACT = 2**53  # float64 holds every integer up to here


def to_float64(values: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray:
    """Returns integers as float64, counted from the least of them where they are too large to be told apart as such.

    No information measure depends on the origin.

    Args:
      values: `[n]` of an integer type.
      missing: `[n]` bool, where there is none: NaN in the result.

    Returns:
      `[n]`.
    """
    there = np.ones(len(values), bool) if missing is None else ~missing
    result = np.full(len(values), np.nan)
    kept = values[there]
    if kept.size and (int(kept.max()) > _EXACT or int(kept.min()) < -_EXACT):
        # Unsigned differences are right also where the signed ones overflow.
        kept = kept.astype(np.uint64) - kept.min().astype(np.uint64)
    result[there] = kept
    return result
