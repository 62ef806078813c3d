"""What every fit of marginal maps begins and ends with: checks, sorting, ties, rows that are not finite."""

import jax
import jax.numpy as jnp

from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import sorting


def ascending(y: jax.Array, is_sorted: bool) -> jax.Array:
    """The rows of `y` sorted, after the checks that every fit makes; carries no derivative."""
    check_univariate(y=y)
    if jnp.shape(y)[-1] < 2:
        raise ValueError(f"A marginal map needs at least 2 samples a row, got y.shape = {jnp.shape(y)}.")
    (y,) = as_floating(y=y)
    y = jax.lax.stop_gradient(y)
    return y if is_sorted else sorting.sort(y)


def smallest_gap(ascending: jax.Array) -> jax.Array:
    """Points of a row closer than this are one point, `[..., 1]`: four roundings of its largest entry."""
    largest = jnp.maximum(jnp.abs(ascending[..., :1]), jnp.abs(ascending[..., -1:]))
    return 4 * float(jnp.finfo(ascending.dtype).eps) * jnp.maximum(largest, 1e-20)


def nan_where_not_finite(ascending: jax.Array, fitted):
    """NaN for all that was fitted to a row with a NaN or an infinity; sorted, they stand at the ends."""
    finite = jnp.isfinite(ascending[..., 0]) & jnp.isfinite(ascending[..., -1])

    def mark(leaf):
        return jnp.where(finite.reshape(finite.shape + (1,) * (leaf.ndim - finite.ndim)), leaf, jnp.nan)

    return jax.tree.map(mark, fitted)
