"""What an image is: `[..., h, w, c]`, floating, not empty; checked while tracing."""

import functools

import jax
import jax.numpy as jnp

from gentoolkit import _array


def as_image(image: jax.Array, *, name: str = "image", channels: int | None = None) -> jax.Array:
    """Checks an image and casts it to float32 or float64.

    Integers are refused: an 8-bit photograph passed as it is would be read as 255 times too bright.
    """
    shape = jnp.shape(image)
    if len(shape) < 3 or 0 in shape[-3:]:
        raise ValueError(f"{name} must be a non-empty image [..., h, w, c], got {name}.shape = {shape}.")
    if channels is not None and shape[-1] != channels:
        raise ValueError(f"{name} must have {channels} channel(s) on its last axis, got {name}.shape = {shape}.")
    _check_floating(image, name)
    (image,) = _array.as_floating(**{name: image})
    return image


def as_single(image: jax.Array, *, name: str = "image", channels: int | None = None) -> jax.Array:
    """Checks and casts one image `[h, w, c]`."""
    image = as_image(image, name=name, channels=channels)
    if image.ndim != 3:
        raise ValueError(f"{name} must be [h, w, c] (others through jax.vmap), got {name}.shape = {image.shape}.")
    return image


def as_pair(image: jax.Array, reference: jax.Array, *, channels: int | None = None) -> tuple[jax.Array, jax.Array]:
    """Checks an image `[h, w, c]` and its reference of the same shape and casts both to one dtype."""
    image, reference = same_dtype(
        as_single(image, channels=channels), as_single(reference, name="reference", channels=channels)
    )
    check_same_shape(image=image, reference=reference)
    return image, reference


def as_plane(plane: jax.Array, *, name: str) -> jax.Array:
    """Checks a field `[..., h, w]` and casts it to float32 or float64."""
    shape = jnp.shape(plane)
    if len(shape) < 2 or 0 in shape[-2:]:
        raise ValueError(f"{name} must be a non-empty field [..., h, w], got {name}.shape = {shape}.")
    _check_floating(plane, name)
    (plane,) = _array.as_floating(**{name: plane})
    return plane


def same_dtype(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Casts arrays to the widest of their dtypes."""
    dtype = functools.reduce(jnp.promote_types, (array.dtype for array in arrays))
    return tuple(array.astype(dtype) for array in arrays)


def check_same_shape(**arrays: jax.Array) -> None:
    """Refuses arrays whose shapes differ."""
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name}.shape = {array.shape}" for name, array in arrays.items())
        raise ValueError(f"Shapes must agree: {shapes}.")


def check_whole(*, least: int = 0, **options: int) -> None:
    """Refuses static options that are not integers of at least `least`."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, got {name} = {value!r}.")
        if value < least:
            raise ValueError(f"{name} must be >= {least}, got {name} = {value}.")


def brightest(image: jax.Array) -> jax.Array:
    """The largest channel, `[..., h, w, 1]`."""
    # Not jnp.max: reductions over a short axis drop NaN on CPU at some sizes, jnp.maximum does not.
    return functools.reduce(jnp.maximum, (image[..., i : i + 1] for i in range(image.shape[-1])))


def darkest(image: jax.Array) -> jax.Array:
    """The smallest channel, `[..., h, w, 1]`."""
    return functools.reduce(jnp.minimum, (image[..., i : i + 1] for i in range(image.shape[-1])))


def _check_floating(array: jax.Array, name: str) -> None:
    dtype = jnp.result_type(array)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must hold floats in [0, 1] (divide 8-bit values by 255), got dtype {dtype}.")
