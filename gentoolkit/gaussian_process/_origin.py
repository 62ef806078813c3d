"""Points as two numbers of float32, and an origin that is taken off them before they are rounded to one.

1.7e9 s in float32 is rounded to 128 s. A covariance that sees differences alone needs no more than these, and those of
float64 and of integers are known: such data of the host are held as what float32 makes of them and what that leaves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array
from gentoolkit.gaussian_process import _blocks


class Wide(NamedTuple):
    """`high + low` of one shape; `low` is None for data that float32 (or the dtype computed in) holds whole."""

    high: Any
    low: Any


def arrays(**given: Any) -> list[Any]:
    """What was given, lists as arrays (`TypeError`, `ValueError` name the argument)."""
    return [_from_list(name, value) for name, value in given.items()]


def split(x: Any, dtype: Any) -> Wide:
    """`x` in `dtype`, and what rounding it leaves where that can be known: float64 or integers, on the host."""
    if isinstance(x, jax.Array):
        return Wide(_array.gather(jnp.asarray(x, dtype)), None)
    x = np.asarray(x)
    with np.errstate(over="ignore", invalid="ignore"):
        high = x.astype(dtype)
        if not _is_rounded(x, dtype):
            return Wide(high, None)
        left = x - high.astype(x.dtype)
    return Wide(high, np.where(np.isfinite(high), left, 0).astype(dtype))


def choose(x: Any, dtype: Any, movable: Callable[[int], np.ndarray]) -> Any:
    """Origin `[2, d]` (its `high` and `low`) of points `[n, d]`, the median of the features that `movable` of d names.

    None where `x` loses nothing in `dtype` or may not be moved.
    """
    if not _is_rounded(x, dtype) or not (features := movable(np.shape(x)[1])).any():
        return None
    x = np.asarray(x)
    middle = np.partition(x, x.shape[0] // 2, axis=0)[x.shape[0] // 2]
    with np.errstate(over="ignore"):
        usable = np.isfinite(middle.astype(np.float32)) & features
    return np.stack([*split(np.where(usable, middle, np.zeros_like(middle)), dtype)])


def less(points: Wide, origin: jax.Array | None) -> jax.Array:
    """`points` `[n, d]` less their origin, rounded once."""
    if origin is None:
        return points.high
    high, low = jnp.asarray(origin, points.high.dtype)
    difference = points.high - high[None]
    return difference + ((-low)[None] if points.low is None else points.low - low[None])


def new_points(x: Any, centered: jax.Array, origin: jax.Array | None) -> Wide:
    """Checks points `[m, d]` that are new to `centered` `[n, d]`, from which `origin` was taken."""
    (x,) = arrays(x=x)
    _blocks.check_points(x=x)
    _array.check_samples(x=x, points=centered)
    points = split(x, _array.floating_dtype(x=x, points=centered))
    return points if origin is not None else Wide(points.high, None)


def restored(centered: jax.Array, origin: jax.Array | None) -> jax.Array:
    """The points `[n, d]` that had an origin taken off, rounded."""
    return centered if origin is None else (centered + origin[1][None]) + origin[0][None]


def _is_rounded(x, dtype):
    if isinstance(x, jax.Array) or dtype != np.float32:
        return False
    given = np.asarray(x).dtype
    return given == np.float64 or (np.issubdtype(given, np.integer) and given.itemsize > 2)


def _from_list(name, value):
    if not isinstance(value, list | tuple):
        return value
    try:
        value = jnp.asarray(value) if _array.is_traced(value) else np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, or a list whose parts have one length: {error}") from error
    if value.dtype.kind not in "biuf" and not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"{name} must be a real array, got a list of {value.dtype}.")
    return value
