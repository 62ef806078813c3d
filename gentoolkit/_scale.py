"""Origin and unit of data: a center taken off before float32 rounds it, and a power of two that makes it of order 1."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Exponents of units whose reciprocals are normal numbers in float32 as well.
_LEAST_EXPONENT, _LARGEST_EXPONENT = -126, 126
_MOST_LOOKED_AT = 4096  # rows that the center is taken from


def keeps_float64() -> bool:
    """Whether 64-bit types are switched on, so that nothing of float64 is rounded."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def center_on_host(x: Any, *, axes: int | tuple[int, ...] = -2) -> tuple[Any, np.ndarray | None]:
    """Takes a center off wide data that is about to become float32, as timestamps must have it.

    1.7e9 s in float32 is rounded to 128 s; the differences of float64 timestamps are not, if a center goes first. It is
    the median (of some thousand rows, where there are more), not the mean: next to one entry of 1e12 the mean of a
    thousand is 1e9, and to take that off would round the others away. Only data that can be looked at and that would
    lose digits is touched: NumPy arrays and lists of float64 or of integers. Float32 data, traced data and float64 data
    under x64 come back as they are.

    Args:
      x: array or list of any shape.
      axes: over which the median is taken, -2 for that of the samples of `[..., n, d]`.

    Returns:
      `(centered, center)`: float64 data less its center, with the center in float64 and its axes kept; or `(x, None)`.
      Where a center is not finite nothing is taken off there. The centered data need not have mean 0.
    """
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x)) or keeps_float64():
        return x, None
    wide = np.asarray(x)
    is_wide = wide.dtype == np.float64 or (np.issubdtype(wide.dtype, np.integer) and wide.dtype.itemsize > 2)
    if not is_wide or not wide.size:
        return x, None
    wide = wide.astype(np.float64)
    few = wide
    for axis in (axes,) if isinstance(axes, int) else axes:
        few = np.take(few, range(0, few.shape[axis], -(-few.shape[axis] // _MOST_LOOKED_AT)), axis=axis)
    with np.errstate(over="ignore", invalid="ignore"):
        center = np.median(few, axis=axes, keepdims=True)
    center = np.where(np.isfinite(center), center, 0.0)
    return wide - center, center


def refuse_rounding(*, axis: int, **arrays: Any) -> None:
    """Refuses wide data of which float32 would keep too few digits, for functions whose results have its origin.

    Only data that can be looked at is: NumPy arrays and lists of float64 or of integers. Refused is a sample whose
    rounding, as its median, is more than a thousandth of its interquartile range (or standard deviation).

    Args:
      axis: that of the sample.
      **arrays: arrays or lists, by the name to use in an error.

    Raises:
      ValueError: such a sample.
    """
    for name, x in arrays.items():
        centered, center = center_on_host(x, axes=axis)
        if center is None:
            continue
        step = -(-centered.shape[axis] // _MOST_LOOKED_AT)
        few = np.take(centered, range(0, centered.shape[axis], step), axis=axis)
        wide = few + center
        with np.errstate(over="ignore", invalid="ignore"):
            lost = np.median(np.abs(wide - wide.astype(np.float32)), axis=axis)
            quartiles = np.subtract(*np.quantile(few, [0.75, 0.25], axis=axis))
            spread = np.where(quartiles > 0, quartiles, np.std(few, axis=axis))
        bad = lost > 1e-3 * spread
        if np.any(bad):
            place = np.unravel_index(np.argmax(bad), bad.shape)
            median = np.squeeze(center, axis)[place]
            raise ValueError(
                f"{name} loses its digits in float32, which rounds it by {lost[place]:.2g} where it spreads over "
                f"{spread[place]:.2g}. Take a constant off first, such as its median {median:.9g}."
            )


def unit(x: jax.Array, *, axes: int | tuple[int, ...] | None = None) -> jax.Array:
    """Returns the power of two next to the largest entry; data in this unit can be squared.

    The division is exact, and squares of the result neither overflow nor vanish. A constant to derivatives. Entries
    that are not finite are passed over, so that they stay what they are.

    Args:
      x: floating array.
      axes: over which the largest is taken, None for all of them.

    Returns:
      Positive powers of two with the axes kept, dtype of `x`; 1 where all entries are 0.
    """
    size = jax.lax.stop_gradient(jnp.abs(x))
    largest = jnp.max(jnp.where(jnp.isfinite(size), size, 0), axis=axes, keepdims=True)
    _, exponent = jnp.frexp(jnp.where(largest > 0, largest, 1))
    exponent = jnp.where(largest > 0, jnp.clip(exponent, _LEAST_EXPONENT, _LARGEST_EXPONENT), 0)
    return jnp.ldexp(jnp.ones_like(largest), exponent)


def center_together(x: Any, z: Any, *, axes: int | tuple[int, ...] = -2) -> tuple[Any, Any]:
    """Takes one common center off two samples of which one is wide, for what depends on their differences alone.

    The center is that of `center_on_host`, of the first that is wide host data. A sample that is float32 already, or
    traced, is moved by the same center in two steps, which loses nothing near it.

    Args:
      x: array or list.
      z: array or list whose shape broadcasts with that of `x` but for `axes`.
      axes: over which the center is taken.

    Returns:
      `(x, z)` less their common center; as they were if neither is wide.
    """
    center = next((c for c in (center_on_host(a, axes=axes)[1] for a in (x, z)) if c is not None), None)
    return (x, z) if center is None else (less(x, center), less(z, center))


def less(x: Any, center: np.ndarray) -> Any:
    """`x` less a center of `center_on_host`: in float64 on the host, else in two steps that lose nothing near it."""
    if not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x)):
        return np.asarray(x, np.float64) - center
    coarse, fine = in_two(center, np.float32)
    return (jnp.asarray(x).astype(np.float32) - coarse) - fine


def in_two(center: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """A float64 center as a sum of two numbers of a dtype; infinite where that cannot hold it."""
    with np.errstate(over="ignore", invalid="ignore"):
        coarse = center.astype(dtype)
        fine = np.where(np.isfinite(coarse), center - coarse, 0.0).astype(dtype)
    return coarse, fine
