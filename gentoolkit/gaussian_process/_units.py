"""Origin and units of points and weights, in which k-means computes: squares neither overflow nor vanish.

What can be looked at on the host is moved there, where float64 loses nothing; the rest on the device, by powers of two.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _scale

# Host data whose largest entry is beyond 2^100 or 2^-100 is brought to a unit there: XLA counts subnormal numbers as 0.
_ORDINARY = 100


class Frame(NamedTuple):
    """Where host data was moved to.

    Attributes:
      origin: `[1, d]` float64, None if nothing was taken off.
      exponent: of the power of two that points were divided by.
      weight_exponent: the same of the weights.
    """

    origin: np.ndarray | None
    exponent: int
    weight_exponent: int


def prepare(x: Any, weights: ArrayLike | None) -> tuple[jax.Array, jax.Array, Frame]:
    """Checks weights and casts both; wide points lose their origin first, and the extreme ones their unit.

    Args:
      x: `[n, d]`, checked already.
      weights: `[n]` or None for 1.

    Returns:
      Points and weights, of which those that are negative and traced are NaN, without derivatives, and their `Frame`.

    Raises:
      ValueError: weights have another shape, one is negative, or all are 0.
    """
    centered, origin = _scale.center_on_host(x, axes=0)
    x, exponent = _in_ordinary_unit(centered)
    (x,) = _array.as_floating(x=x)
    num = x.shape[0]
    if weights is None:
        return jax.lax.stop_gradient(x), jnp.ones((num,), x.dtype), Frame(origin, exponent, 0)
    if np.shape(weights) != (num,):
        raise ValueError(f"weights must be [n] with n = {num} points, got weights.shape = {np.shape(weights)}.")
    weight_exponent = 0
    if not _array.is_traced(weights):
        weights = np.asarray(weights)
        if np.any(weights < 0):
            raise ValueError("weights must be >= 0.")
        if not np.any(weights != 0):
            raise ValueError(f"weights must not all be 0, got {num} weights of 0.")
        weights, weight_exponent = _in_ordinary_unit(weights)
    weights = jnp.asarray(weights, x.dtype)
    weights = jnp.where(weights >= 0, weights, jnp.nan)
    return jax.lax.stop_gradient(x), jax.lax.stop_gradient(weights), Frame(origin, exponent, weight_exponent)


def together(x: Any, centers: Any) -> tuple[Any, Any, int]:
    """Points and centres less a common origin and in a common unit, where they lie on the host.

    Args:
      x: `[n, d]`.
      centers: `[k, d]`.

    Returns:
      Points, centres, and the exponent of the power of two that both were divided by.
    """
    x, centers = _scale.center_together(x, centers, axes=0)
    if any(isinstance(array, jax.Array) for array in (x, centers)):
        return x, centers, 0
    dtype = np.promote_types(np.asarray(x).dtype, np.asarray(centers).dtype)
    both, exponent = _in_ordinary_unit(np.concatenate([np.asarray(x, dtype), np.asarray(centers, dtype)]))
    return both[: len(x)], both[len(x) :], exponent


def moved(centers: Any, frame: Frame, dtype: jnp.dtype) -> jax.Array:
    """Centres `[k, d]` as the points of the frame are."""
    if frame.origin is None and not frame.exponent:
        return jnp.asarray(centers, dtype)
    if not _array.is_traced(centers):
        centers = np.asarray(centers, np.float64)
    centers = centers if frame.origin is None else _scale.less(centers, frame.origin)
    return jnp.asarray(scaled_by(centers, -frame.exponent), dtype)


def moved_back(centers: jax.Array, frame: Frame) -> jax.Array:
    """Centres where the points were before, rounded to what their dtype can hold."""
    centers = jnp.asarray(scaled_by(centers, frame.exponent))
    if frame.origin is None:
        return centers
    coarse, fine = _scale.in_two(frame.origin, centers.dtype)
    return (centers + fine) + coarse


def scaled_by(values: Any, exponent: int) -> Any:
    """Values times 2^exponent; on the host where they may become subnormal and can be looked at."""
    if not exponent:
        return values
    if _array.is_traced(values):
        return jnp.ldexp(values, jnp.asarray(exponent, jnp.int32))
    with np.errstate(over="ignore", under="ignore"):
        values = np.ldexp(np.asarray(values), exponent)
    return values


class Unit(NamedTuple):
    """A unit of length for `num` points, chosen from their largest coordinate.

    Attributes:
      size: `[]`, the power of two next to that coordinate.
      room: the largest power of two with which all squares of differences can still be added up. The larger numbers
        are, the smaller the differences whose squares do not vanish beside them.
    """

    size: jax.Array
    room: float

    def of(self, x: jax.Array) -> jax.Array:
        """Points or centres `[n, d]` in the unit."""
        return x / self.size * self.room

    def lengths(self, values: jax.Array) -> jax.Array:
        """Values of the unit as they were; infinite or 0 where the dtype does not hold them."""
        # Both factors enlarge, or both diminish: nothing is lost on the way.
        large = self.size >= 1
        return values * jnp.where(large, self.size / self.room, self.size) / jnp.where(large, 1.0, self.room)

    def areas(self, values: jax.Array) -> jax.Array:
        """The same of squares."""
        return self.lengths(self.lengths(values))


def unit(x: jax.Array, *others: jax.Array) -> Unit:
    """The `Unit` of points `[n, d]`, and of other rows that are to be compared with them."""
    largest = [_largest(array) for array in (x, *others)]
    room = (jnp.finfo(x.dtype).maxexp - 4 - math.ceil(math.log2(x.size))) // 2
    return Unit(_scale.unit(jnp.stack(largest))[0], 2.0**room)


def _largest(array: jax.Array) -> jax.Array:
    # To ask every entry whether it is finite takes as long again: only where one is not. The branch takes the array
    # itself: its sizes would be stored for it, at six times the cost of the maximum.
    largest = jnp.max(jnp.abs(array))
    finite = jax.lax.cond(
        jnp.isfinite(largest), lambda: largest, lambda: jnp.max(jnp.where(jnp.isfinite(array), jnp.abs(array), 0.0))
    )
    return jnp.where(jnp.isfinite(finite), finite, 0.0)


def _in_ordinary_unit(x: Any) -> tuple[Any, int]:
    if isinstance(x, jax.Array) or not np.issubdtype(np.asarray(x).dtype, np.floating):
        return x, 0
    x = np.asarray(x)
    with np.errstate(invalid="ignore"):
        size = np.abs(x)
    largest = np.max(size, where=np.isfinite(size), initial=0)
    exponent = int(np.frexp(largest)[1])
    if largest == 0 or abs(exponent) <= _ORDINARY:
        return x, 0
    with np.errstate(under="ignore"):
        return np.ldexp(x, -exponent), exponent
