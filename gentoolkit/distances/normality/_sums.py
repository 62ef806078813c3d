"""Means over samples, some of which may be spread over devices (`axis_name`), and sums that stay small."""

import jax
import jax.numpy as jnp
from jax import lax

from gentoolkit import _scale

# Columns that are added up side by side.
_FEWEST_LANES = 64

AxisName = str | tuple[str, ...]


def size(y: jax.Array, axis_name: AxisName | None) -> int:
    """Number of samples along the last axis, over all devices."""
    return y.shape[-1] * (1 if axis_name is None else lax.axis_size(axis_name))


def mean(y: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """Mean along the last axis, over all devices."""
    local = jnp.mean(y, axis=-1)
    return local if axis_name is None else lax.pmean(local, axis_name)


def centered(y: jax.Array, axis_name: AxisName | None) -> tuple[jax.Array, jax.Array]:
    """The mean `[...]`, and the deviations from it `[..., n]`."""
    center = mean(y, axis_name)
    return center, y - jnp.expand_dims(center, -1)


def unit(deviation: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """A power of two for each row `[..., 1]` in which powers of the deviations neither overflow nor vanish."""
    each = _scale.unit(deviation, axes=-1)
    return each if axis_name is None else lax.pmax(each, axis_name)


def power_means(deviation: jax.Array, orders: tuple[int, ...], axis_name: AxisName | None) -> list[jax.Array]:
    """Means of powers along the last axis, `[...]` each, in one exchange between devices."""
    means = [jnp.mean(deviation**order, axis=-1) for order in orders]
    return means if axis_name is None else lax.pmean(means, axis_name)


def sum_less(values: jax.Array, target: jax.Array) -> jax.Array:
    """Sum of `values - target` along the last axis, which is kept; `target` broadcasts, with a last axis of 1.

    Where it is small beside the sum of the values, so must be what is added up on the way. But to subtract entry by
    entry within the sum takes XLA's CPU backend half as long again as to add up plainly, and sums of short columns are
    faster still: these come first, a power of two of entries each, so that as many targets are exact.
    """
    n, rows = values.shape[-1], 1
    while n % (2 * rows) == 0 and n // (2 * rows) >= _FEWEST_LANES:
        rows *= 2
    columns = jnp.sum(values.reshape(*values.shape[:-1], rows, n // rows), axis=-2)
    return jnp.sum(columns - rows * target, axis=-1, keepdims=True)
