"""Means over samples, some of which may be spread over devices (`axis_name`), and sums that stay small."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from gentoolkit import _scale

# Entries that are added up before a target is subtracted, a power of two, and the least that is worth it.
_BLOCK, _SHORTEST_BLOCK = 128, 16

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
    entry within the sum takes XLA's CPU backend longer than to add up plainly: blocks are added up first, of a power of
    two of entries, so that as many targets are exact. Neighbours go into a block, so that devices that each hold a
    stretch of the axis add up their own before they exchange anything.
    """
    n = values.shape[-1]
    inner = math.gcd(n, _BLOCK)
    if inner < _SHORTEST_BLOCK:
        return jnp.sum(values - target, axis=-1, keepdims=True)
    blocks = jnp.sum(values.reshape(*values.shape[:-1], n // inner, inner), axis=-1)
    return jnp.sum(blocks - inner * target, axis=-1, keepdims=True)
