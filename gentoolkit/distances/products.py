"""Matrix products in the full precision of their factors, on every backend."""

import jax
import jax.numpy as jnp

from gentoolkit import _array


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Product in full precision: accelerators round float32 factors to 8-11 bits unless told otherwise.

    Args:
      a: `[..., n, k]`, or `[k]` as in `jnp.matmul`.
      b: `[..., k, m]` or `[k]`.

    Returns:
      `[..., n, m]`, the dtype of the factors.
    """
    return jnp.matmul(_array.as_array(a), _array.as_array(b), precision=jax.lax.Precision.HIGHEST)


def transpose(a: jax.Array) -> jax.Array:
    """Swaps the last two axes.

    Args:
      a: `[..., n, m]`.

    Returns:
      `[..., m, n]`.
    """
    return jnp.swapaxes(_array.as_array(a), -1, -2)
