"""Checks that the measures share."""

import numbers

import jax
import jax.numpy as jnp

from gentoolkit import _sums
from gentoolkit._array import as_array, check_samples
from gentoolkit.distances import products

_FEW_ROWS = 1 << 14  # below, a loop over blocks costs time to compile and gains no digit that counts


def paired_rows(*samples: jax.Array) -> int:
    """The number of rows that paired samples share.

    Args:
      *samples: `[..., n, d]` arrays.

    Returns:
      n.

    Raises:
      ValueError: no sample, one that is not `[..., n, d]`, or leading axes or rows that differ.
    """
    if not samples:
        raise ValueError("At least one sample is needed.")
    for x in samples:
        check_samples(sample=x)
    shapes = [jnp.shape(as_array(x)) for x in samples]
    if len({shape[:-1] for shape in shapes}) > 1:
        raise ValueError(f"Samples must be paired row by row, got {shapes}.")
    return shapes[0][-2]


def gram(x: jax.Array, z: jax.Array) -> jax.Array:
    """Sum over rows of the products of features, in blocks of rows where there are so many that float32 needs it.

    Args:
      x: `[n, d]`.
      z: `[n, e]`.

    Returns:
      `[d, e]`.
    """
    return products.matmul(products.transpose(x), z) if x.shape[0] <= _FEW_ROWS else _sums.gram(x, z)


def check_count(least: int, **counts: int) -> None:
    """Refuses counts that are not integers of at least `least`, by name (`ValueError`).

    Args:
      least: the smallest that may be.
      **counts: static integers, by name.

    Returns:
      None.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < least:
            raise ValueError(f"{name} must be an integer >= {least}, got {name} = {count!r}.")
