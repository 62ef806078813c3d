"""Sums over the pixels of maps, alone and as derivatives of a scale and a shift of each channel, in a form fast on CPU.

XLA fuses such a sum with what its terms come of, and walks down the columns: with all that is fused, ten times as long
as reading the map takes. As a product with ones it is a call of a library. Other platforms get the sum.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

# How many rows are added one after another without a thought, and how many where their number has few divisors.
_FEW_ROWS, _MOST_ROWS = 1024, 4096


@jax.custom_vjp
def sums(x: jax.Array) -> jax.Array:
    """Sums over the last axis but one: `[..., n, c]` to `[..., 1, c]`."""
    return lax.platform_dependent(x, cpu=_product, default=lambda x: jnp.sum(x, axis=-2, keepdims=True))


def _product(x: jax.Array) -> jax.Array:
    # The library adds one row after another, and so loses digits where there are many: 2e-6 of the sum of 1,024, 2e-4
    # of 80,000, 2 % of 2.7 million. Then several stand in one line, whose sums are added up in the end.
    *batch, n, c = x.shape
    beside = next((k for k in range(math.isqrt(n), 0, -1) if n % k == 0), 1) if n > _FEW_ROWS else 1
    if n // beside > _MOST_ROWS:
        return jnp.sum(x, axis=-2, keepdims=True)
    ones = jnp.ones((*batch, 1, n // beside), x.dtype)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    lines = x.reshape(*batch, n // beside, beside * c)
    parts = jnp.matmul(ones, lines, precision=lax.Precision.HIGHEST, preferred_element_type=wide)
    return jnp.sum(parts.reshape(*batch, beside, c), axis=-2, keepdims=True).astype(x.dtype)


sums.defvjp(lambda x: (sums(x), x.shape), lambda shape, g: (jnp.broadcast_to(g, shape),))


@jax.custom_vjp
def shifted(x: jax.Array, by: jax.Array) -> jax.Array:
    """`x + by` of `[..., n, c]` and `[..., 1, c]`."""
    return x + by


shifted.defvjp(lambda x, by: (x + by, None), lambda _, g: (g, sums(g)))


@jax.custom_vjp
def scaled(x: jax.Array, by: jax.Array) -> jax.Array:
    """`x * by` of `[..., n, c]` and `[..., 1, c]`."""
    return x * by


scaled.defvjp(lambda x, by: (x * by, (x, by)), lambda saved, g: (scaled(g, saved[1]), sums(g * saved[0])))


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`[b, ..., c]` maps and a `[c]` bias, of one type."""
    return shifted(lax.collapse(x, 0, x.ndim - 1), bias[None]).reshape(x.shape)
