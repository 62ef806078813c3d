"""Means over samples that may be spread over devices: `axis_name` of the statistics that need nothing but means."""

import jax
import jax.numpy as jnp
from jax import lax

from gentoolkit import _scale

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
