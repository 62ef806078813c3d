"""The shape of the images that a network is made for, and the refusal of others."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gentoolkit import _array

ImageShape = tuple[int, int, int]


def as_image_shape(image_shape: Sequence[int], *, multiple_of: int = 1) -> ImageShape:
    """Returns `(h, w, c)` as a tuple of positive ints, with h and w multiples of a number (`ValueError`)."""
    shape = tuple(int(size) for size in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape must be (height, width, channels), all >= 1, got image_shape = {shape}.")
    if shape[0] % multiple_of or shape[1] % multiple_of:
        raise ValueError(
            f"image_shape must have a height and width that are multiples of {multiple_of} for this network, "
            f"got image_shape = {shape}."
        )
    return shape[0], shape[1], shape[2]


def num_halvings(image_size: int, *, to: int = 4) -> int:
    """How often the side of a square image is halved down to `to` pixels, at least once (`ValueError`)."""
    found = (image_size // to).bit_length() - 1
    if found < 1 or image_size != to << found:
        raise ValueError(f"image_size must be a power of two and at least {2 * to}, got image_size = {image_size}.")
    return found


def check_images(images: jax.Array, image_shape: ImageShape) -> None:
    """Refuses arrays that are not `[b, h, w, c]` of the network's shape (`ValueError`, says what differs)."""
    shape = jnp.shape(images)
    if len(shape) != 4:
        raise ValueError(f"images must be [b, h, w, c] with (h, w, c) = {image_shape}, got images.shape = {shape}.")
    if shape[3] != image_shape[2]:
        raise ValueError(
            f"images must have {image_shape[2]} channel(s), the number that this network was made for, got "
            f"{shape[3]} channel(s): images.shape = {shape}."
        )
    if shape[1:] != image_shape:
        raise ValueError(
            f"images must be of size {image_shape[0]} x {image_shape[1]}, the size that this network was made for, got "
            f"{shape[1]} x {shape[2]}: images.shape = {shape}."
        )


def check_features(z: jax.Array, num: int, name: str) -> None:
    """Refuses arrays that are not `[b, num]` (`ValueError`, names the argument)."""
    if jnp.ndim(z) != 2 or jnp.shape(z)[1] != num:
        raise ValueError(f"{name} must be [b, {num}], got {name}.shape = {jnp.shape(z)}.")


def at_least_float32(x: jax.Array) -> jax.Array:
    """Widens bfloat16 and float16; leaves float32 and float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def as_share(images: jax.Array, image_range: tuple[float, float], name: str, *, stacklevel: int = 4) -> jax.Array:
    """Images as shares of white, black 0 and white 1, float32 or wider.

    Refuses integers (`TypeError`) unless they are bytes of (0, 255), and what `_array.check_image_range` refuses.
    """
    dtype = jnp.result_type(images)
    if not jnp.issubdtype(dtype, jnp.floating) and tuple(image_range) != (0, 255):
        raise TypeError(f"{name} must be floats, got {dtype}; uint8 goes with image_range = (0, 255).")
    _array.check_image_range(images, image_range, name=name, stacklevel=stacklevel)
    black, white = image_range
    return (jnp.asarray(images).astype(jnp.promote_types(dtype, jnp.float32)) - black) / (white - black)
