"""Checks and dtype rules shared by every kernel: what goes in is named, what comes out is float32 or wider."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P


def floating_dtype(**arrays) -> jnp.dtype:
    """Returns the dtype a kernel computes in: float64 if any input is float64, float32 otherwise.

    Args:
      **arrays: arrays of any real dtype, by the name to use in an error.

    Returns:
      `float32` or `float64`.

    Raises:
      TypeError: an argument is not a real array.
    """
    wide = False
    for name, array in arrays.items():
        dtype = jnp.result_type(array)
        if jnp.issubdtype(dtype, jnp.complexfloating) or not jnp.issubdtype(dtype, jnp.number):
            raise TypeError(f"{name} must be a real array, got dtype {dtype}.")
        wide |= dtype == jnp.float64
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def as_floating(**arrays) -> list[jax.Array]:
    """Casts named arrays to their common `floating_dtype`, in the order given, each `gather`ed."""
    dtype = floating_dtype(**arrays)
    return [gather(jnp.asarray(array, dtype)) for array in arrays.values()]


def gather(x: jax.Array) -> jax.Array:
    """`x` on every device of a mesh of explicit axes, whose rules a sort or a sum over blocks breaks; elsewhere `x`.

    With automatic axes the compiler finds its own way, and in `shard_map` every device has its own array: there nothing
    is moved. The derivative comes back sharded as `x` is.
    """
    sharding = jax.typeof(x).sharding
    if all(axis is None for axis in sharding.spec):
        return x
    return jax.reshard(x, NamedSharding(sharding.mesh, P(*(None for _ in sharding.spec))))


def check_univariate(**arrays) -> None:
    """Refuses arrays that are not `[..., n]` with n >= 1 (`ValueError`, names the argument)."""
    for name, array in arrays.items():
        shape = jnp.shape(array)
        if not shape or shape[-1] == 0:
            raise ValueError(f"{name} must be a non-empty sample of shape [..., n], got {name}.shape = {shape}.")


def check_samples(**arrays) -> None:
    """Refuses arrays that are not `[..., n, d]` with n, d >= 1, or whose d disagree (`ValueError`)."""
    for name, array in arrays.items():
        shape = jnp.shape(array)
        if len(shape) < 2 or 0 in shape[-2:]:
            raise ValueError(f"{name} must be non-empty samples of shape [..., n, d], got {name}.shape = {shape}.")
    if len({jnp.shape(array)[-1] for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name}.shape = {jnp.shape(array)}" for name, array in arrays.items())
        raise ValueError(f"The last axis (features) must agree: {shapes}.")


def is_traced(value) -> bool:
    """Whether `value`, or an entry of a list of values, is traced, so that it cannot be looked at."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def check_positive(**options) -> None:
    """Refuses options that are not > 0 (`ValueError`). A traced value cannot be checked and passes."""
    for name, value in options.items():
        if not is_traced(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"{name} must be > 0, got {name} = {value}.")
