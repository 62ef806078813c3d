"""Losses have one value a row: means over all axes but the first."""

import jax
import jax.numpy as jnp

from gentoolkit import _array


def check(**arrays) -> None:
    """Refuses arrays that are not `[n, ...]` with entries, or of unequal n (`ValueError`)."""
    for name, array in arrays.items():
        shape = _array.shape(array)
        if not shape or 0 in shape:
            raise ValueError(f"{name} must be a non-empty array of shape [n, ...], got {name}.shape = {shape}.")
    if len({_array.shape(array)[0] for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name}.shape = {_array.shape(array)}" for name, array in arrays.items())
        raise ValueError(f"The first axis (rows) must agree: {shapes}.")


def check_equal(**arrays) -> None:
    """Refuses arrays of unequal shapes, none of which is broadcast (`ValueError`)."""
    if len({_array.shape(array) for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name}.shape = {_array.shape(array)}" for name, array in arrays.items())
        raise ValueError(f"Shapes must agree: {shapes}.")


def mean(x: jax.Array) -> jax.Array:
    """`[n, ...]` to `[n]`."""
    return jnp.mean(x.reshape(x.shape[0], -1), axis=1)


def absolute(x: jax.Array) -> jax.Array:
    """|x| with the slope 0 at 0, where that of `jnp.abs` is 1."""
    return jnp.sign(x) * x


def sum_of_squares(x: jax.Array) -> jax.Array:
    """`[n, ...]` to `[n]`."""
    return jnp.sum(jnp.square(x.reshape(x.shape[0], -1)), axis=1)


def root(x: jax.Array) -> jax.Array:
    """The square root, with the slope 0 at 0 instead of infinity."""
    zero = x == 0.0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))
