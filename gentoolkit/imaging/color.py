"""Colour spaces of photographs: luma and chroma, hue, saturation and value, linear light. Leading axes are free."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit.imaging import _images

# ITU-R BT.601: weights of red, green and blue in luma, and the spans of B - Y and R - Y.
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_SPAN_CB, _SPAN_CR = 2 * (1 - _BLUE), 2 * (1 - _RED)
# Studio range: 8-bit luma 16..235, chroma 16..240 around 128.
_LUMA_FLOOR, _LUMA_SPAN, _CHROMA_CENTER, _CHROMA_SPAN = 16 / 255, 219 / 255, 128 / 255, 224 / 255


class _Range(NamedTuple):
    luma_floor: float
    luma_span: float
    chroma_center: float
    chroma_span: float


def luma(image: jax.Array) -> jax.Array:
    """Luma of a gamma-encoded RGB image, 0.299 R + 0.587 G + 0.114 B.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1].

    Returns:
      `[..., h, w, 1]` in [0, 1], float32 or wider.

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      ITU-R BT.601, section 2.5.1; JFIF 1.02.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.imaging import color
      >>> round(float(color.luma(jnp.float32([[[0, 1, 0]]]))[0, 0, 0]), 4)
      0.587
    """
    image = _images.as_image(image, channels=3)
    return _RED * image[..., 0:1] + _GREEN * image[..., 1:2] + _BLUE * image[..., 2:3]


def rgb_to_ycbcr(image: jax.Array, *, studio_range: bool = False) -> jax.Array:
    """Luma and two colour differences of an RGB image.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1].
      studio_range: False for the full range of JPEG (luma and chroma fill [0, 1], neutral chroma 0.5), True for the
        studio range (8-bit luma 16..235, chroma 16..240 around 128, all divided by 255), which `rgb2ycbcr` of MATLAB
        and scikit-image use (static).

    Returns:
      `[..., h, w, 3]`: Y, Cb, Cr, float32 or wider. NaN spreads over its pixel.

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      ITU-R BT.601, sections 2.5.1 to 2.5.3; JFIF 1.02.
    """
    image = _images.as_image(image, channels=3)
    span = _range(studio_range)
    y = luma(image)
    cb = (image[..., 2:3] - y) / _SPAN_CB
    cr = (image[..., 0:1] - y) / _SPAN_CR
    return jnp.concatenate(
        [
            span.luma_floor + span.luma_span * y,
            span.chroma_center + span.chroma_span * cb,
            span.chroma_center + span.chroma_span * cr,
        ],
        axis=-1,
    )


def ycbcr_to_rgb(image: jax.Array, *, studio_range: bool = False) -> jax.Array:
    """RGB of luma and two colour differences; the exact inverse of `rgb_to_ycbcr`, not clipped.

    Args:
      image: `[..., h, w, 3]` Y, Cb, Cr as `rgb_to_ycbcr` gives them.
      studio_range: the range of the input, as in `rgb_to_ycbcr` (static).

    Returns:
      `[..., h, w, 3]` RGB, outside [0, 1] where no colour has that luma and chroma.

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      ITU-R BT.601, sections 2.5.1 to 2.5.3; JFIF 1.02.
    """
    image = _images.as_image(image, channels=3)
    span = _range(studio_range)
    y = (image[..., 0:1] - span.luma_floor) / span.luma_span
    blue = y + _SPAN_CB * (image[..., 1:2] - span.chroma_center) / span.chroma_span
    red = y + _SPAN_CR * (image[..., 2:3] - span.chroma_center) / span.chroma_span
    green = (y - _RED * red - _BLUE * blue) / _GREEN
    return jnp.concatenate([red, green, blue], axis=-1)


def luma_gain(old: jax.Array, new: jax.Array, *, maximum: float = 4.0) -> jax.Array:
    """How many times brighter each pixel became, capped: the gain that keeps colours as saturated as they were.

    Args:
      old: `[..., h, w, 1]` luma before.
      new: `[..., h, w, 1]` luma after.
      maximum: the cap; also the gain of a black pixel that became brighter.

    Returns:
      `[..., h, w, 1]` in [0, maximum].

    Raises:
      ValueError: the shapes disagree, or an input has not one channel.
      TypeError: an input holds integers.
    """
    old, new = _images.same_dtype(
        _images.as_image(old, name="old", channels=1), _images.as_image(new, name="new", channels=1)
    )
    _images.check_same_shape(old=old, new=new)
    # new / old where that is below the cap, the cap elsewhere; never a division by zero, so the gradient stays finite.
    below = new < maximum * old
    gain = jnp.where(below, new / jnp.where(below, old, 1.0), maximum)
    return jnp.maximum(jnp.where(jnp.isnan(old) | jnp.isnan(new), jnp.nan, gain), 0.0)


def replace_luma(image: jax.Array, y: jax.Array, *, maximum_chroma_gain: float | None = None) -> jax.Array:
    """The image with a new luma, and its own chroma or that chroma amplified as much as the luma.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1].
      y: `[..., h, w, 1]` new full-range luma.
      maximum_chroma_gain: None keeps Cb and Cr as they are, which leaves brightened colours pale; a number multiplies
        them by `luma_gain` capped at it (static).

    Returns:
      `[..., h, w, 3]` RGB, not clipped: the luma is exactly `y` before clipping.

    Raises:
      ValueError: the shapes disagree or channel counts are wrong.
      TypeError: an input holds integers.

    References:
      Loh, A new framework for efficient low-light image enhancement using approximated Gaussian process (the
      luminance variant, with the chroma kept).
    """
    image, y = _images.same_dtype(_images.as_image(image, channels=3), _images.as_image(y, name="y", channels=1))
    _images.check_same_shape(image=image[..., :1], y=y)
    ycbcr = rgb_to_ycbcr(image)
    chroma = ycbcr[..., 1:]
    if maximum_chroma_gain is not None:
        gain = luma_gain(ycbcr[..., :1], y, maximum=maximum_chroma_gain)
        chroma = 0.5 + jnp.broadcast_to(gain, chroma.shape) * (chroma - 0.5)
    return ycbcr_to_rgb(jnp.concatenate([y, chroma], axis=-1))


def value(image: jax.Array) -> jax.Array:
    """The V of HSV: the largest channel.

    Args:
      image: `[..., h, w, c]` in [0, 1].

    Returns:
      `[..., h, w, 1]`, float32 or wider.

    Raises:
      ValueError: the image is empty.
      TypeError: the image holds integers.
    """
    return _images.brightest(_images.as_image(image))


def scale_value(image: jax.Array, new: jax.Array, *, floor: float = 0.0) -> jax.Array:
    """The image with a new HSV value at the same hue and saturation: every channel times new / old.

    Args:
      image: `[..., h, w, c]` in [0, 1].
      new: `[..., h, w, 1]` the value wanted.
      floor: old values below it count as it, so black pixels stay black and noise in them is not amplified without
        bound. With 0 a black pixel, which has no hue, becomes grey of the new value (static).

    Returns:
      `[..., h, w, c]`, not clipped, float32 or wider.

    Raises:
      ValueError: the shapes disagree or `new` has not one channel.
      TypeError: an input holds integers.
    """
    image, new = _images.same_dtype(_images.as_image(image), _images.as_image(new, name="new", channels=1))
    _images.check_same_shape(image=image[..., :1], new=new)
    old = _images.brightest(image)
    shape = image.shape
    if floor > 0:
        return image * jnp.broadcast_to(new / jnp.maximum(old, floor), shape)
    black = old == 0
    ratio = new / jnp.where(black, 1.0, old)
    return jnp.where(
        jnp.broadcast_to(black, shape), jnp.broadcast_to(new, shape), image * jnp.broadcast_to(ratio, shape)
    )


def rgb_to_hsv(image: jax.Array) -> jax.Array:
    """Hue, saturation and value of an RGB image.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1].

    Returns:
      `[..., h, w, 3]`: hue in turns [0, 1) (0 for greys), saturation and value in [0, 1]. The gradient is finite
      everywhere and zero in hue and saturation where they are undefined.

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      Smith, Color gamut transform pairs, SIGGRAPH 1978.
    """
    image = _images.as_image(image, channels=3)
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    top = _images.brightest(image)
    spread = top - _images.darkest(image)
    grey, black = spread == 0, top == 0
    safe = jnp.where(grey, 1.0, spread)
    sixths = jnp.where(
        top == red,
        (green - blue) / safe,
        jnp.where(top == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    turns = sixths / 6.0
    turns = jnp.where(turns < 0, turns + 1.0, turns)
    turns = jnp.where(grey | (turns >= 1.0), 0.0, turns)
    saturation = jnp.where(black, 0.0, spread / jnp.where(black, 1.0, top))
    return jnp.concatenate([turns, saturation, top], axis=-1)


def hsv_to_rgb(image: jax.Array) -> jax.Array:
    """RGB of hue, saturation and value; the inverse of `rgb_to_hsv`.

    Args:
      image: `[..., h, w, 3]`: hue in turns (any real, it wraps), saturation and value in [0, 1].

    Returns:
      `[..., h, w, 3]` RGB in [0, 1].

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      Smith, Color gamut transform pairs, SIGGRAPH 1978.
    """
    image = _images.as_image(image, channels=3)
    hue, saturation, top = (image[..., i : i + 1] for i in range(3))

    def channel(place: float) -> jax.Array:
        k = jnp.mod(place + 6.0 * hue, 6.0)
        return top - top * saturation * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    return jnp.concatenate([channel(5.0), channel(3.0), channel(1.0)], axis=-1)


def srgb_to_linear(image: jax.Array) -> jax.Array:
    """Linear light of gamma-encoded sRGB values.

    Args:
      image: `[..., h, w, c]` in [0, 1].

    Returns:
      `[..., h, w, c]` in [0, 1], float32 or wider.

    Raises:
      ValueError: the image is empty.
      TypeError: the image holds integers.

    References:
      IEC 61966-2-1.
    """
    image = _images.as_image(image)
    low = image <= 0.04045
    return jnp.where(low, image / 12.92, _power((image + 0.055) / 1.055, 2.4, low))


def linear_to_srgb(image: jax.Array) -> jax.Array:
    """Gamma-encoded sRGB values of linear light; the inverse of `srgb_to_linear`.

    Args:
      image: `[..., h, w, c]` in [0, 1].

    Returns:
      `[..., h, w, c]` in [0, 1], float32 or wider.

    Raises:
      ValueError: the image is empty.
      TypeError: the image holds integers.

    References:
      IEC 61966-2-1.
    """
    image = _images.as_image(image)
    low = image <= 0.0031308
    return jnp.where(low, 12.92 * image, 1.055 * _power(image, 1 / 2.4, low) - 0.055)


def _power(x: jax.Array, exponent: ArrayLike, unused: jax.Array) -> jax.Array:
    """`x ** exponent`, with a harmless base where the result is not used, so that the gradient is finite there."""
    return jnp.where(unused, 1.0, x) ** exponent


def _range(studio_range: bool) -> _Range:
    if studio_range:
        return _Range(_LUMA_FLOOR, _LUMA_SPAN, _CHROMA_CENTER, _CHROMA_SPAN)
    return _Range(0.0, 1.0, 0.5, 1.0)
