"""Burt-Adelson pyramids: Gaussian, Laplacian, and their exact collapse. Channels and leading axes are independent."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.imaging import _images, filters

_TAPS = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


def reduce(image: jax.Array) -> jax.Array:
    """Smooths with [1 4 6 4 1] / 16 along both axes and keeps every second pixel.

    Args:
      image: `[..., h, w, c]`; its border goes on by reflection.

    Returns:
      `[..., ceil(h / 2), ceil(w / 2), c]`.

    Raises:
      ValueError: the image is empty.
      TypeError: the image holds integers.

    References:
      Burt, Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983, eq. (1).
    """
    return filters.separable(_images.as_image(image), _TAPS)[..., ::2, ::2, :]


def expand(image: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Interpolates an image to about twice its size; constants stay constant up to the border.

    Args:
      image: `[..., h, w, c]`.
      shape: height and width of the result, of which `image` has the halves, rounded up (static).

    Returns:
      `[..., shape[0], shape[1], c]`.

    Raises:
      ValueError: the image is empty, or is not half as large as the shape.
      TypeError: the image holds integers.

    References:
      Burt, Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983, eq. (2).
    """
    image = _images.as_image(image)
    if image.shape[-3:-1] != (-(-shape[0] // 2), -(-shape[1] // 2)):
        raise ValueError(f"An image {image.shape} does not expand to shape = {tuple(shape)}: it must have its halves.")
    for axis, full in zip((-3, -2), shape, strict=True):
        n = image.shape[axis]
        # Before the first pixel comes the second again, after the last one itself.
        first = jax.lax.slice_in_dim(image, min(1, n - 1), min(1, n - 1) + 1, axis=axis)
        last = jax.lax.slice_in_dim(image, n - 1, n, axis=axis)
        wide = jnp.concatenate([first, image, last], axis=axis)
        before, here, after = (jax.lax.slice_in_dim(wide, i, i + n, axis=axis) for i in range(3))
        even, odd = (before + 6.0 * here + after) / 8.0, (here + after) / 2.0
        place = image.ndim + axis
        image = jnp.stack([even, odd], axis=place + 1)
        image = image.reshape(*image.shape[:place], 2 * n, *image.shape[place + 2 :])
        image = jax.lax.slice_in_dim(image, 0, full, axis=axis)
    return image


def gaussian_pyramid(image: jax.Array, num_levels: int) -> tuple[jax.Array, ...]:
    """The image and its successive reductions.

    Args:
      image: `[..., h, w, c]`.
      num_levels: how many levels, the image itself counted (static).

    Returns:
      `num_levels` images, each half as large as the one before.

    Raises:
      ValueError: the image is empty or `num_levels` < 1.
      TypeError: the image holds integers.

    References:
      Burt, Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983.
    """
    _images.check_whole(least=1, num_levels=num_levels)
    levels = [_images.as_image(image)]
    for _ in range(num_levels - 1):
        levels.append(reduce(levels[-1]))
    return tuple(levels)


def laplacian_pyramid(image: jax.Array, num_levels: int) -> tuple[jax.Array, ...]:
    """What each reduction loses, and the last reduction itself.

    Args:
      image: `[..., h, w, c]`.
      num_levels: how many levels (static).

    Returns:
      `num_levels` images: G_k - expand(G_(k+1)), the last one G itself.

    Raises:
      ValueError: the image is empty or `num_levels` < 1.
      TypeError: the image holds integers.

    References:
      Burt, Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983, eq. (3).
    """
    levels = gaussian_pyramid(image, num_levels)
    bands = [fine - expand(coarse, _size(fine)) for fine, coarse in zip(levels[:-1], levels[1:], strict=True)]
    return (*bands, levels[-1])


def collapse(levels: Sequence[jax.Array]) -> jax.Array:
    """The image whose Laplacian pyramid this is.

    Args:
      levels: images from fine to coarse, as `laplacian_pyramid` gives them.

    Returns:
      `[..., h, w, c]`.

    Raises:
      ValueError: there is no level, or a level is not half as large as the one before.
      TypeError: a level holds integers.
    """
    if not levels:
        raise ValueError("levels must hold at least one image.")
    image = _images.as_image(levels[-1], name="levels")
    for band in reversed(levels[:-1]):
        image = band + expand(image, _size(band))
    return image


def _size(image: jax.Array) -> tuple[int, int]:
    return jnp.shape(image)[-3], jnp.shape(image)[-2]
