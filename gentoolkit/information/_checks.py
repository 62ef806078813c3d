"""Checks that the measures share."""

import numbers

import jax
import jax.numpy as jnp

from gentoolkit._array import check_samples


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
    shapes = [jnp.shape(x)[:-1] for x in samples]
    if len(set(shapes)) > 1:
        raise ValueError(f"Samples must be paired row by row, got {[jnp.shape(x) for x in samples]}.")
    return shapes[0][-1]


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
