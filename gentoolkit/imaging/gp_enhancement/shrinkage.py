"""Noise that brightening amplifies: estimated in the dark image, carried through the tone curve, shrunk locally."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit.imaging import _images, filters

# The difference of two Laplacians, blind to planes; its response to white noise has 6 times the noise's deviation, and
# the mean of the modulus of a Gaussian is sqrt(2 / pi) deviations.
_TAPS = (1.0, -2.0, 1.0)
_RESPONSE = 6.0 * (2.0 / 3.141592653589793) ** 0.5


def noise_level(image: jax.Array, *, num_tiles: int = 8, quantile: float = 0.2) -> jax.Array:
    """Standard deviation of the noise of each channel, from the flattest parts of the image.

    Args:
      image: `[h, w, c]` in [0, 1].
      num_tiles: tiles in each direction (static).
      quantile: how far from the smallest of the tiles' estimates, in [0, 1]: texture enlarges those of most tiles,
        clipping shrinks those of black ones.

    Returns:
      `[c]`, 0 for images with a side below three pixels.

    Raises:
      ValueError: the image is empty or `num_tiles` < 1.
      TypeError: the image holds integers.

    References:
      Immerkær, Fast noise variance estimation, Computer Vision and Image Understanding 1996.
    """
    image = _images.as_image(image)
    _images.check_whole(least=1, num_tiles=num_tiles)
    height, width, channels = image.shape[-3:]
    if min(height, width) < 3:
        return jnp.zeros((channels,), image.dtype)
    first, second, third = _TAPS
    rows = first * image[:-2] + second * image[1:-1] + third * image[2:]
    response = jnp.abs(first * rows[:, :-2] + second * rows[:, 1:-1] + third * rows[:, 2:])
    height, width = max(1, (height - 2) // num_tiles), max(1, (width - 2) // num_tiles)
    down, across = response.shape[0] // height, response.shape[1] // width
    tiles = response[: down * height, : across * width].reshape(down, height, across, width, channels)
    levels = jnp.mean(tiles, axis=(1, 3)).reshape(-1, channels) / _RESPONSE
    return jnp.quantile(levels, quantile, axis=0)


def shrink(
    image: jax.Array,
    variance: jax.Array,
    *,
    radius: int = 2,
    strength: ArrayLike = 1.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Draws pixels to their neighbourhood's mean as far as their differences are noise, by a local Wiener filter.

    Args:
      image: `[..., h, w, c]`.
      variance: `[..., h, w, c]` of its noise, which may differ from pixel to pixel; 0 leaves the image as it is.
      radius: half the side of the squares (static).
      strength: what the variance is multiplied by.
      weights: `[..., h, w, 1]` >= 0, of pixels in all means, so that those with 0 (beyond the border of a photograph,
        transparent) have no influence on others; None for ones.

    Returns:
      `[..., h, w, c]`. Where no pixel of a square has a weight it is of no use.

    Raises:
      ValueError: shapes disagree or the image is empty.
      TypeError: an image holds integers.

    References:
      Lee, Digital image enhancement and noise filtering by use of local statistics, TPAMI 1980, with gain and offset
      averaged over squares as in He, Sun, Tang, Guided image filtering, TPAMI 2013, eq. (8).
    """
    image, variance = _images.same_dtype(_images.as_image(image), _images.as_image(variance, name="variance"))
    _images.check_same_shape(image=image, variance=variance)
    average = functools.partial(filters.box, radius=radius)
    if weights is not None:
        weights = jnp.asarray(weights, image.dtype)
        if weights.shape != (*image.shape[:-1], 1):
            raise ValueError(f"weights must be [..., h, w, 1] of an image {image.shape}, got {weights.shape}.")
        total = filters.box(weights, radius)
        average = functools.partial(_weighted, weights, jnp.where(total > 0, total, 1.0), radius)
    mean = average(image)
    # About the local mean, so that float32 does not cancel; the square of a difference of means is left out of both.
    spread = average((image - mean) ** 2)
    noise = jnp.asarray(strength, image.dtype) * average(variance)
    kept = jnp.where(spread > noise, 1.0 - noise / jnp.where(spread > noise, spread, 1.0), 0.0)
    kept = jnp.where(noise > 0, kept, 1.0)
    # Every square draws its pixels along a line; a pixel takes the mean of the lines of the squares around it.
    return average(kept) * image + average((1.0 - kept) * mean)


def _weighted(weights: jax.Array, total: jax.Array, radius: int, image: jax.Array) -> jax.Array:
    return filters.box(weights * image, radius) / total
