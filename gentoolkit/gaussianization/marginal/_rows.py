"""What every fit of marginal maps begins and ends with: checks, sorting, ties, rows that are not finite."""

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_array, as_floating, check_univariate
from gentoolkit.distances import sorting


def ascending(y: jax.Array, is_sorted: bool) -> jax.Array:
    """The rows of `y` sorted, after the checks that every fit makes; carries no derivative."""
    y = as_array(y)
    if not is_sorted:
        _scale.refuse_rounding(axis=-1, y=y)
    check_univariate(y=y)
    if jnp.shape(y)[-1] < 2:
        raise ValueError(f"A marginal map needs at least 2 samples a row, got y.shape = {jnp.shape(y)}.")
    (y,) = as_floating(y=y)
    y = jax.lax.stop_gradient(y)
    return y if is_sorted else sorting.sort(y)


def rounding(low: jax.Array, high: jax.Array) -> jax.Array:
    """Points from `low` to `high` that are closer than this are one point: four roundings of the larger of the two.

    Where both are 0 there is no rounding to go by, and 1e-20 is taken for their size.
    """
    size = jnp.maximum(jnp.abs(low), jnp.abs(high))
    least = 2.0 ** (int(jnp.finfo(size.dtype).minexp) + 5)  # one over it is still finite, times some slope
    return jnp.maximum(4 * float(jnp.finfo(size.dtype).eps) * jnp.where(size > 0, size, 1e-20), least)


def nan_where_not_finite(ascending: jax.Array, fitted):
    """NaN for all that was fitted to a row with a NaN or an infinity; sorted, they stand at the ends."""
    finite = jnp.isfinite(ascending[..., 0]) & jnp.isfinite(ascending[..., -1])

    def mark(leaf):
        return jnp.where(finite.reshape(finite.shape + (1,) * (leaf.ndim - finite.ndim)), leaf, jnp.nan)

    return jax.tree.map(mark, fitted)
