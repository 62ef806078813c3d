"""Distances between a row and its reconstruction."""

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.objectives import _rows


def absolute(x: jax.Array, rebuilt: jax.Array) -> jax.Array:
    """Mean absolute difference of each row (L1).

    Args:
      x: `[n, ...]` rows.
      rebuilt: `[n, ...]` of the same shape.

    Returns:
      `[n]`, with the slope 0 where a difference is 0.

    Raises:
      ValueError: shapes differ.
    """
    return _rows.mean(_rows.absolute(_difference(x, rebuilt)))


def squared(x: jax.Array, rebuilt: jax.Array) -> jax.Array:
    """Mean squared difference of each row.

    Args:
      x: `[n, ...]` rows.
      rebuilt: `[n, ...]` of the same shape.

    Returns:
      `[n]`.

    Raises:
      ValueError: shapes differ.
    """
    return _rows.mean(jnp.square(_difference(x, rebuilt)))


def euclidean(x: jax.Array, rebuilt: jax.Array) -> jax.Array:
    """Euclidean norm of the difference of each row, neither squared nor divided by the number of entries.

    It grows with the root of the number of entries: 44.3 for a root mean square of 0.1 over 256 x 256 x 3.

    Args:
      x: `[n, ...]` rows.
      rebuilt: `[n, ...]` of the same shape.

    Returns:
      `[n]`, with the slope 0 where the difference is 0.

    Raises:
      ValueError: shapes differ.
    """
    return _rows.root(_rows.sum_of_squares(_difference(x, rebuilt)))


def charbonnier(x: jax.Array, rebuilt: jax.Array, *, epsilon: float = 1e-3) -> jax.Array:
    """Mean of sqrt(difference^2 + epsilon^2) of each row: the absolute difference, smooth at 0.

    Args:
      x: `[n, ...]` rows.
      rebuilt: `[n, ...]` of the same shape.
      epsilon: below which a difference counts as squared, in units of `x`.

    Returns:
      `[n]`.

    Raises:
      ValueError: shapes differ, or `epsilon` is not positive.

    References:
      Charbonnier et al., Two deterministic half-quadratic regularization algorithms for computed imaging, ICIP 1994.
    """
    _array.check_positive(epsilon=epsilon)
    return _rows.mean(jnp.sqrt(jnp.square(_difference(x, rebuilt)) + epsilon**2))


def _difference(x: jax.Array, rebuilt: jax.Array) -> jax.Array:
    _rows.check(x=x, rebuilt=rebuilt)
    _rows.check_equal(x=x, rebuilt=rebuilt)
    x, rebuilt = _array.as_floating(x=x, rebuilt=rebuilt)
    return rebuilt - x
