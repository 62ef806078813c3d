"""Small numerical pieces that several distances share."""

import jax
import jax.numpy as jnp


def rank_cutoff(largest: jax.Array, dim: int) -> jax.Array:
    """Eigenvalues (singular values) up to this are rounding: float32 `eigh` leaves up to 4 eps of the largest."""
    return 4.0 * dim**0.5 * float(jnp.finfo(largest.dtype).eps) * largest


def all_finite(*arrays: jax.Array, axes: int) -> jax.Array:
    """False for each problem in which one of the arrays has a NaN or an infinity along its last `axes` axes."""
    checks = [jnp.isfinite(a).all(axis=tuple(range(-axes, 0))) for a in arrays]
    return jnp.stack(checks).all(axis=0)


def minus_log1p(e: jax.Array) -> jax.Array:
    """`e - log(1 + e)` >= 0 for e > -1, to full relative accuracy near 0."""
    # log(1 + e) = 2 atanh(t) with t = e / (2 + e), and e - 2 t = e t: no term left to cancel.
    t = e / (2.0 + e)
    square = t * t
    series = jnp.zeros_like(t)
    for odd in range(21, 1, -2):
        series = series * square + 1.0 / odd
    return jnp.where(jnp.abs(e) < 0.25, e * t - 2.0 * t * square * series, e - jnp.log1p(e))


def maximum_along_last(x: jax.Array) -> jax.Array:
    """Largest entry along the last axis, NaN where there is one.

    `jnp.max` of several rows drops NaN on XLA's CPU backend (jax 0.10.2) from some 100 entries on.
    """
    return jnp.where(jnp.any(jnp.isnan(x), axis=-1), jnp.nan, jnp.max(x, axis=-1))
