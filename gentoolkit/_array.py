"""Checks and dtype rules shared by every kernel: what goes in is named, what comes out is float32 or wider."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P


def as_array(value: Any) -> Any:
    """An array as it is; a list or a number as a NumPy array, or as one of JAX where an entry is one of JAX."""
    if hasattr(value, "dtype"):
        return value
    return (jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)) else np).asarray(value)


def shape(value: Any) -> tuple[int, ...]:
    """Shape of an array, a list or a number."""
    return tuple(as_array(value).shape)


def floating_dtype(**arrays) -> jnp.dtype:
    """Returns the dtype a kernel computes in: float64 if any input is float64, float32 otherwise.

    Args:
      **arrays: arrays (or lists) of any real dtype, by the name to use in an error.

    Returns:
      `float32` or `float64`.

    Raises:
      TypeError: an argument is not a real array.
    """
    wide = False
    for name, array in arrays.items():
        dtype = as_array(array).dtype
        if jnp.issubdtype(dtype, jnp.complexfloating) or not jnp.issubdtype(dtype, jnp.number):
            raise TypeError(f"{name} must be a real array, got dtype {dtype}.")
        wide |= jax.dtypes.canonicalize_dtype(dtype) == jnp.float64
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def as_floating(**arrays) -> list[jax.Array]:
    """Casts named arrays to their common `floating_dtype`, in the order given, each `gather`ed."""
    dtype = floating_dtype(**arrays)
    return [gather(jnp.asarray(as_array(array), dtype)) for array in arrays.values()]


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
        found = shape(array)
        if not found or found[-1] == 0:
            raise ValueError(f"{name} must be a non-empty sample of shape [..., n], got {name}.shape = {found}.")


def check_samples(**arrays) -> None:
    """Refuses arrays that are not `[..., n, d]` with n, d >= 1, or whose d disagree (`ValueError`)."""
    for name, array in arrays.items():
        found = shape(array)
        if len(found) < 2 or 0 in found[-2:]:
            raise ValueError(f"{name} must be non-empty samples of shape [..., n, d], got {name}.shape = {found}.")
    if len({shape(array)[-1] for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name}.shape = {shape(array)}" for name, array in arrays.items())
        raise ValueError(f"The last axis (features) must agree: {shapes}.")


def is_traced(value) -> bool:
    """Whether `value`, or an entry of a list of values, is traced, so that it cannot be looked at."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def check_positive(**options) -> None:
    """Refuses options that are not > 0 (`ValueError`). A traced value cannot be checked and passes."""
    for name, value in options.items():
        if not is_traced(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"{name} must be > 0, got {name} = {value}.")


def check_image_range(
    images: Any, image_range: tuple[float, float], *, name: str, slack: float = 1e-3, stacklevel: int = 3
) -> None:
    """The one rule for ranges of images, wherever they come in; nothing is told of traced ones.

    Args:
      images: any shape.
      image_range: the values of black and white.
      name: what a message calls them.
      slack: how far values may lie outside, as a share of the range.
      stacklevel: of the warning; 3 names the caller of the function that calls this one.

    Raises:
      ValueError: values that are not finite or outside of the range, or a range whose white is not above its black. A
        warning: values that look like those of another range ([0, 1] said to be [-1, 1] or [0, 255]).
    """
    black, white = image_range
    if not white > black:
        raise ValueError(f"image_range must be (black, white) with white > black, got {image_range}.")
    if isinstance(images, jax.core.Tracer) or not getattr(images, "is_fully_addressable", True):
        return
    values = np.asarray(images)
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        which = name
        if values.ndim == 4:
            finite = np.isfinite(values.astype(np.float32)).all(axis=(1, 2, 3))
            which = f"{(~finite).sum()} of {len(values)} {name}"
        raise ValueError(f"{which} hold values that are not finite.")
    if low < black - slack * (white - black) or high > white + slack * (white - black):
        hint = ""
        if image_range == (0, 1):
            hint = " Divide by 255." if low >= -slack else " Of [-1, 1] take (x + 1) / 2." if high <= 1 + slack else ""
        raise ValueError(
            f"{name} must lie in image_range = {image_range}, got values from {low:.6g} to {high:.6g}.{hint}"
        )
    if (image_range == (-1, 1) and 0 <= low < high) or (image_range == (0, 255) and 0 < high <= 1):
        warnings.warn(
            f"{name} lie between {low:.3g} and {high:.3g} and are said to lie in {image_range}: is it [0, 1]?",
            stacklevel=stacklevel,
        )
