"""Fusion-based enhancement: three versions of the illumination, blended in a pyramid."""

import math

import jax
import jax.numpy as jnp

from gentoolkit.imaging import _images, clahe, color, filters, pyramid


def enhance(
    image: jax.Array,
    *,
    closing_radius: int = 7,
    guided_radius: int = 2,
    guided_epsilon: float = 0.004,
    num_tiles: tuple[int, int] = (8, 8),
    clip_limit: float = 3.0,
    num_levels: int = 3,
) -> jax.Array:
    """Brightens a photograph by fusing its illumination, a globally brightened one and a locally equalised one.

    The fused pyramid is collapsed, and the result clipped; the authors' code resizes all levels to full size and
    divides by the largest value, which dims photographs with highlights.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1]. Leading axes are independent images.
      closing_radius: radius of the disc that the illumination is closed with, in pixels (static).
      guided_radius: half the side of the squares of the guided filter (static).
      guided_epsilon: its regularisation.
      num_tiles: tiles of the local equalisation (static).
      clip_limit: its clip limit in units of OpenCV (static).
      num_levels: levels of the pyramid (static).

    Returns:
      `[..., h, w, 3]` in [0, 1], float32 or wider. NaN spreads.

    Raises:
      ValueError: the image is empty or has not three channels, or an option is out of range.
      TypeError: the image holds integers.

    References:
      Fu, Zeng, Huang, Liao, Ding, Paisley, A fusion-based enhancing method for weakly illuminated images, Signal
        Processing 2016; constants of the authors' code, hue taken in radians.
    """
    image = _images.as_image(image, channels=3)
    hsv = color.rgb_to_hsv(image)
    saturation, top = hsv[..., 1:2], hsv[..., 2:3]
    illumination = filters.closing(top, closing_radius)
    guide = top / jnp.maximum(jnp.max(top, axis=(-3, -2), keepdims=True), 1e-3)
    illumination = filters.guided(illumination, guide, radius=guided_radius, epsilon=guided_epsilon)
    illumination = jnp.clip(illumination, 1e-3, 1.0)

    mean = jnp.mean(illumination, axis=(-3, -2), keepdims=True)
    steepness = 10.0 + (1.0 - mean) / mean
    inputs = [
        illumination,
        2.0 / math.pi * jnp.arctan(steepness * illumination),
        clahe.clahe(illumination, num_tiles=num_tiles, clip_limit=clip_limit),
    ]
    pleasing = 1.0 + jnp.cos(2.0 * (2.0 * math.pi) * hsv[..., 0:1] + math.radians(250.0)) * saturation
    weights = _weights(inputs, pleasing)
    fused = None
    for one, weight in zip(inputs, weights, strict=True):
        bands = pyramid.laplacian_pyramid(one, num_levels)
        masks = pyramid.gaussian_pyramid(weight, num_levels)
        levels = [mask * band for mask, band in zip(masks, bands, strict=True)]
        fused = levels if fused is None else [a + b for a, b in zip(fused, levels, strict=True)]
    assert fused is not None
    return jnp.clip(_over(image, illumination) * jnp.broadcast_to(pyramid.collapse(fused), image.shape), 0.0, 1.0)


def _weights(inputs: list[jax.Array], pleasing: jax.Array) -> list[jax.Array]:
    """Weights of the versions of the illumination: near middle grey and of pleasing colour, summing to one.

    Args:
      inputs: illuminations `[..., h, w, 1]` in [0, 1].
      pleasing: `[..., h, w, 1]` >= 0, what hue and saturation contribute.

    Returns:
      As many weights `[..., h, w, 1]`; equal ones where all would be zero.
    """
    raw = [jnp.exp(-((one - 0.5) ** 2) / (2 * 0.25**2)) * one * pleasing + 1e-6 for one in inputs]
    total = sum(raw[1:], raw[0])
    return [weight / total for weight in raw]


def _over(image: jax.Array, illumination: jax.Array) -> jax.Array:
    """Reflectance: the image over its illumination.

    Args:
      image: `[..., h, w, c]`.
      illumination: `[..., h, w, 1]` > 0.

    Returns:
      `[..., h, w, c]`.
    """
    return image / jnp.broadcast_to(illumination, image.shape)
