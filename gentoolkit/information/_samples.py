"""Samples as people have them: lists too, and wide numbers whose origin and unit float32 could not hold.

What every measure begins with. None of them depends on the origin of a feature, so the origin goes on the host, in
float64, before anything becomes float32. The unit goes there only where float32 has no such numbers.
"""

from typing import Any

import jax
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_array, check_samples, is_traced

# Sizes whose squares, and the squares of whose small differences, float32 holds: they keep the unit they have.
_LEAST_EXPONENT, _LARGEST_EXPONENT = -100, 100
_MOST_ROUNDING = 1 / 16  # of the window in which neighbors lie


def centered(**samples: Any) -> list[Any]:
    """Samples without the origin of each of their features, where float32 would round it away.

    Args:
      **samples: `[..., n, d]` arrays or lists, by the name to use in an error.

    Returns:
      Arrays of the same shapes: float64 on the host, less a center, what was wide and can be looked at; the others as
      they were.

    Raises:
      ValueError: one that is not `[..., n, d]`.
    """
    return [_scale.center_on_host(x)[0] for x in _as_arrays(samples)]


def centered_alike(**samples: Any) -> list[Any]:
    """The same with one origin for all, which are samples of one space.

    Args:
      **samples: `[..., n, d]` arrays or lists, by the name to use in an error.

    Returns:
      Arrays, as of `centered`.

    Raises:
      ValueError: one that is not `[..., n, d]`, or features that differ.
    """
    arrays = _as_arrays(samples)
    check_samples(**dict(zip(samples, arrays, strict=True)))
    if is_traced(arrays) or _scale.keeps_float64():
        return arrays
    for x in arrays:
        center = _scale.center_on_host(x)[1]
        if center is not None and all(array.ndim == x.ndim for array in arrays):
            return [np.asarray(array, np.float64) - center for array in arrays]
    return arrays


def in_units(*samples: Any, alike: bool = False) -> tuple[list[Any], list[np.ndarray | None]]:
    """Wide samples in units of their features' size, where float32 has no numbers of that size.

    Args:
      *samples: arrays of `centered`.
      alike: one unit for each feature of all of them.

    Returns:
      The samples, and the logarithms of the units `[..., d]`; None where the unit stayed.
    """
    exponents = [_exponents(x) for x in samples]
    if alike and any(found is not None for found in exponents):
        largest = np.max([found for found in exponents if found is not None], axis=0)
        exponents = [largest if found is not None else None for found in exponents]
        if any(found is None for found in exponents):
            return list(samples), [None] * len(samples)
    scaled = [
        x if found is None else np.ldexp(x, -found[..., None, :]) for x, found in zip(samples, exponents, strict=True)
    ]
    return scaled, [None if found is None else found * np.log(2) for found in exponents]


def in_one_unit(*samples: Any) -> tuple[list[Any], np.ndarray | None]:
    """The same with one unit for all features of all samples, as distances between rows need it.

    Args:
      *samples: arrays of `centered`, with the same leading axes.

    Returns:
      The samples, and the logarithm of the unit `[...]`; None where it stayed.
    """
    sizes = [size for size in map(_sizes, samples) if size is not None]
    if len(sizes) < len(samples):
        return list(samples), None
    largest = np.frexp(np.max(np.concatenate(sizes, axis=-1), axis=-1))[1]
    if ((largest > _LEAST_EXPONENT) & (largest < _LARGEST_EXPONENT)).all():
        return list(samples), None
    return [np.ldexp(x, -largest[..., None, None]) for x in samples], largest * np.log(2)


def order_is_lost(x: np.ndarray, k: int) -> bool:
    """Whether float32 rounds away which rows are the nearest of some row, as it does beside one that is far away.

    Judged feature by feature, between values that differ: the rounding of a value and of its distance to the k-th of
    its neighbors, against how far apart those neighbors and the next k are.

    Args:
      x: `[..., n, d]` finite or not, of any float type, on the host.
      k: neighbors.

    Returns:
      True if some feature of some problem loses it.
    """
    step = float(np.finfo(np.float32).eps) / 2
    for column in np.moveaxis(np.asarray(x, np.float64), -1, -2).reshape(-1, x.shape[-2]):
        value = np.unique(column[np.isfinite(column)])
        if len(value) < 3:
            continue
        near = min(k, (len(value) - 1) // 2)
        lost = np.abs(value - value.astype(np.float32))
        for ordered, rounding in ((value, lost), (-value[::-1], lost[::-1])):
            # Of each value but the last ones: its neighbors above it, and the window that they and the next lie in.
            others = ordered[near : len(value) - near]
            distance, window = others - ordered[: len(others)], ordered[2 * near :] - others
            if np.any(step * distance + rounding[: len(others)] > _MOST_ROUNDING * window):
                return True
    return False


def _exponents(x: Any) -> np.ndarray | None:
    """Of the powers of two next to the largest entries of the features `[..., d]`; None if all may stay."""
    largest = _sizes(x)
    if largest is None:
        return None
    exponent = np.frexp(largest)[1]
    stays = (largest == 0) | ((exponent > _LEAST_EXPONENT) & (exponent < _LARGEST_EXPONENT))
    return None if stays.all() else np.where(stays, 0, exponent)


def _sizes(x: Any) -> np.ndarray | None:
    """The largest finite entry of each feature, `[..., d]`; None for data that are not wide."""
    if isinstance(x, jax.Array | jax.core.Tracer) or x.dtype != np.float64 or _scale.keeps_float64():
        return None
    size = np.abs(x)
    return np.max(np.where(np.isfinite(size), size, 0), axis=-2)


def _as_arrays(samples: dict[str, Any]) -> list[Any]:
    """Lists become NumPy arrays; what has no rows and features is refused (`ValueError`)."""
    arrays = {name: as_array(x) for name, x in samples.items()}
    for name, x in arrays.items():
        check_samples(**{name: x})
    return list(arrays.values())
