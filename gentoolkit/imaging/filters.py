"""Filters: box, Gaussian, guided, bilateral, and grey morphology. Channels and leading axes are independent."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.imaging import _images

_PADDINGS = ("reflect", "symmetric", "edge", "wrap")


def box(image: jax.Array, radius: int) -> jax.Array:
    """Mean over the square of side 2 * radius + 1 around each pixel, over the pixels that exist.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      radius: half the side (static); the cost grows with its logarithm.

    Returns:
      `[..., h, w, c]`, float32 or wider. NaN spreads over the squares that hold one, and no further.

    Raises:
      ValueError: the image is empty or the radius negative.
      TypeError: the image holds integers, or the radius is not one.
    """
    image = _images.as_image(image)
    _images.check_whole(radius=radius)
    for axis in (-3, -2):
        n = image.shape[axis]
        reach = min(radius, n - 1)  # no window is wider than the image
        places = np.arange(n)
        counts = np.minimum(places + reach, n - 1) - np.maximum(places - reach, 0) + 1
        total = _window_sum(_padded_with(image, reach, axis, 0.0), 2 * reach + 1, axis)
        image = total / jnp.asarray(counts, image.dtype).reshape(_along(axis, n, image.ndim))
    return image


def gaussian(image: jax.Array, sigma: float, *, truncate: float = 4.0, padding: str = "reflect") -> jax.Array:
    """Convolution with a sampled, truncated and normalised Gaussian.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      sigma: standard deviation in pixels, >= 0 (static); 0 returns the image.
      truncate: radius of the kernel in standard deviations (static).
      padding: how the image goes on beyond its border: `"reflect"` (the border pixel is not repeated),
        `"symmetric"` (it is), `"edge"` or `"wrap"` (static).

    Returns:
      `[..., h, w, c]`, float32 or wider. NaN spreads over the kernel's square.

    Raises:
      ValueError: the image is empty, sigma is negative, or the padding unknown.
      TypeError: the image holds integers.
    """
    image = _images.as_image(image)
    if sigma < 0:
        raise ValueError(f"sigma must be >= 0, got sigma = {sigma}.")
    _array.check_positive(truncate=truncate)
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return image
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return separable(image, taps / taps.sum(), padding=padding)


def separable(image: jax.Array, taps: ArrayLike, *, padding: str = "reflect") -> jax.Array:
    """Correlation with the same odd number of weights along rows and along columns.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      taps: `[n]` weights known while tracing, n odd (static).
      padding: as in `gaussian` (static).

    Returns:
      `[..., h, w, c]`, float32 or wider.

    Raises:
      ValueError: the image is empty, there is an even number of weights, or the padding is unknown.
      TypeError: the image holds integers.
    """
    image = _images.as_image(image)
    weights = np.asarray(taps, np.float64)
    if weights.ndim != 1 or len(weights) % 2 == 0:
        raise ValueError(f"taps must be an odd number of weights, got taps.shape = {weights.shape}.")
    if padding not in _PADDINGS:
        raise ValueError(f"padding must be one of {_PADDINGS}, got padding = {padding!r}.")
    radius = len(weights) // 2
    kernel = jnp.asarray(weights, image.dtype)
    for axis in (-3, -2):
        image = _correlate(jnp.pad(image, _pads(image.ndim, axis, radius), mode=padding), kernel, axis)
    return image


def guided(image: jax.Array, guide: jax.Array, *, radius: int, epsilon: ArrayLike) -> jax.Array:
    """Edge-preserving smoothing: in every square the output is an affine function of the guide.

    Args:
      image: `[..., h, w, c]` what to smooth. Channels and leading axes are independent.
      guide: `[..., h, w, 1]` or `[..., h, w, c]` whose edges are kept, one guide for each channel in the second form.
      radius: half the side of the squares (static).
      epsilon: the variance of the guide above which an edge is kept, > 0, in squared units of the guide.

    Returns:
      `[..., h, w, c]`, float32 or wider. NaN spreads over squares of twice the radius.

    Raises:
      ValueError: shapes disagree, an image is empty, the radius is negative or epsilon <= 0.
      TypeError: an image holds integers.

    References:
      He, Sun, Tang, Guided image filtering, TPAMI 2013, eq. (5), (6) and (8); squares at the border hold fewer pixels.
    """
    image, guide = _images.same_dtype(_images.as_image(image), _images.as_image(guide, name="guide"))
    if guide.shape[:-1] != image.shape[:-1] or guide.shape[-1] not in (1, image.shape[-1]):
        raise ValueError(f"guide must be [..., h, w, 1 or c], got {guide.shape} for an image {image.shape}.")
    _array.check_positive(epsilon=epsilon)
    epsilon = jnp.asarray(epsilon, image.dtype)
    guide = jnp.broadcast_to(guide, image.shape)
    # Second moments about the mean of the whole guide, not about zero: less is lost in the differences below.
    center = jax.lax.stop_gradient(jnp.mean(guide, axis=(-3, -2), keepdims=True))
    guide = guide - center
    mean_guide, mean_image = box(guide, radius), box(image, radius)
    variance = jnp.maximum(box(guide * guide, radius) - mean_guide * mean_guide, 0.0)
    covariance = box(guide * image, radius) - mean_guide * mean_image
    slope = covariance / (variance + epsilon)
    offset = mean_image - slope * mean_guide
    return box(slope, radius) * guide + box(offset, radius)


def bilateral(
    image: jax.Array,
    *,
    radius: int,
    sigma_space: float,
    sigma_range: ArrayLike,
    guide: jax.Array | None = None,
) -> jax.Array:
    """Mean over a square with weights that fall with distance in space and with difference in colour.

    The neighbours are visited one after another: memory of a few images whatever the radius.

    Args:
      image: `[..., h, w, c]` in [0, 1]. Leading axes are independent; channels share the weights.
      radius: half the side of the square (static).
      sigma_space: standard deviation of the spatial weight in pixels (static).
      sigma_range: standard deviation of the weight in the Euclidean distance of colours.
      guide: `[..., h, w, k]` the image whose colours decide, None for the image itself.

    Returns:
      `[..., h, w, c]`, float32 or wider; the border goes on by reflection. NaN spreads over its square.

    Raises:
      ValueError: shapes disagree, an image is empty, the radius is negative or a sigma <= 0.
      TypeError: an image holds integers.

    References:
      Tomasi, Manduchi, Bilateral filtering for gray and color images, ICCV 1998, eq. (5).
    """
    image = _images.as_image(image)
    guide = image if guide is None else _images.as_image(guide, name="guide")
    image, guide = _images.same_dtype(image, guide)
    _images.check_same_shape(image=image[..., 0], guide=guide[..., 0])
    _images.check_whole(radius=radius)
    _array.check_positive(sigma_space=sigma_space, sigma_range=sigma_range)
    sharpness = 0.5 / jnp.asarray(sigma_range, image.dtype) ** 2
    batch = [(0, 0)] * (image.ndim - 3)
    pads = [*batch, (radius, radius), (radius, radius), (0, 0)]
    padded, padded_guide = (jnp.pad(array, pads, mode="reflect") for array in (image, guide))
    offsets = np.indices((2 * radius + 1, 2 * radius + 1)).reshape(2, -1).T
    nearness = np.exp(-0.5 * ((offsets - radius) ** 2).sum(-1) / sigma_space**2)

    def neighbor(array: jax.Array, place: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        zero = jnp.zeros((), place.dtype)
        return jax.lax.dynamic_slice(array, [*[zero] * len(batch), place[0], place[1], zero], shape)

    @jax.checkpoint
    def add(sums, step):
        place, near = step
        difference = neighbor(padded_guide, place, guide.shape) - guide
        weight = near * jnp.exp(-sharpness * jnp.sum(difference**2, axis=-1, keepdims=True))
        total, mass = sums
        return (total + weight * neighbor(padded, place, image.shape), mass + weight), None

    start = jnp.zeros_like(image), jnp.zeros_like(image[..., :1])
    steps = jnp.asarray(offsets, jnp.int32), jnp.asarray(nearness, image.dtype)
    (total, mass), _ = jax.lax.scan(add, start, steps)
    return total / mass


def dilation(image: jax.Array, radius: int, *, shape: str = "disc") -> jax.Array:
    """Largest value within a disc or square around each pixel.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      radius: radius of the disc (offsets with i^2 + j^2 <= radius^2), or half the side of the square (static).
      shape: `"disc"` or `"square"` (static).

    Returns:
      `[..., h, w, c]`, over the pixels that exist. NaN spreads over the disc or square.

    Raises:
      ValueError: the image is empty, the radius negative or the shape unknown.
      TypeError: the image holds integers, or the radius is not one.
    """
    return _morphology(image, radius, shape, jnp.maximum, -math.inf)


def erosion(image: jax.Array, radius: int, *, shape: str = "disc") -> jax.Array:
    """Smallest value within a disc or square around each pixel.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      radius: as in `dilation` (static).
      shape: `"disc"` or `"square"` (static).

    Returns:
      `[..., h, w, c]`, over the pixels that exist. NaN spreads over the disc or square.

    Raises:
      ValueError: the image is empty, the radius negative or the shape unknown.
      TypeError: the image holds integers, or the radius is not one.
    """
    return _morphology(image, radius, shape, jnp.minimum, math.inf)


def closing(image: jax.Array, radius: int, *, shape: str = "disc") -> jax.Array:
    """Grey closing, dilation then erosion: dark details smaller than the disc or square are filled.

    Args:
      image: `[..., h, w, c]`. Channels and leading axes are independent.
      radius: as in `dilation` (static).
      shape: `"disc"` or `"square"` (static).

    Returns:
      `[..., h, w, c]`, nowhere below the image.

    Raises:
      ValueError: the image is empty, the radius negative or the shape unknown.
      TypeError: the image holds integers, or the radius is not one.
    """
    return erosion(dilation(image, radius, shape=shape), radius, shape=shape)


def _correlate(padded: jax.Array, kernel: jax.Array, axis: int) -> jax.Array:
    # A loop over the weights. Written out as a sum, XLA fuses it into what follows and computes it again for every
    # reading, which takes half a minute to compile; as a convolution with one channel it runs several times slower.
    n = padded.shape[axis] - kernel.shape[0] + 1

    def add(total: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        place, weight = step
        return total + weight * jax.lax.dynamic_slice_in_dim(padded, place, n, axis), None

    start = jnp.zeros_like(jax.lax.slice_in_dim(padded, 0, n, axis=axis))
    return jax.lax.scan(add, start, (jnp.arange(kernel.shape[0], dtype=jnp.int32), kernel))[0]


def _morphology(image: jax.Array, radius: int, shape: str, combine: Callable, identity: float) -> jax.Array:
    image = _images.as_image(image)
    _images.check_whole(radius=radius)
    if shape == "square":
        for axis in (-3, -2):
            padded = _padded_with(image, radius, axis, identity)
            image = _window_extreme(padded, 2 * radius + 1, axis, combine)
        return image
    if shape != "disc":
        raise ValueError(f"shape must be 'disc' or 'square', got shape = {shape!r}.")
    # A disc is a stack of rows, each a one-dimensional window; rows of the same length share theirs.
    h, rows = image.shape[-3], {}
    result = image
    for i in range(-radius, radius + 1):
        half = math.isqrt(radius * radius - i * i)
        if half not in rows:
            wide = _window_extreme(_padded_with(image, half, -2, identity), 2 * half + 1, -2, combine)
            rows[half] = _padded_with(wide, radius, -3, identity)
        result = combine(result, jax.lax.slice_in_dim(rows[half], radius + i, radius + i + h, axis=-3))
    return result


def _window_sum(x: jax.Array, length: int, axis: int) -> jax.Array:
    """Sums of `length` neighbours, by doubling: log2(length) additions and no difference of large running sums."""
    num = x.shape[axis] - length + 1
    result, start, size, doubled = None, 0, 1, x
    while True:
        if length & size:
            part = jax.lax.slice_in_dim(doubled, start, start + num, axis=axis)
            result = part if result is None else result + part
            start += size
        if 2 * size > length:
            assert result is not None
            return result
        doubled = _combined(doubled, size, axis, jnp.add)
        size *= 2


def _window_extreme(x: jax.Array, length: int, axis: int, combine: Callable) -> jax.Array:
    """Extremes of `length` neighbours, by doubling; the last two windows may overlap."""
    size = 1
    while 2 * size <= length:
        x = _combined(x, size, axis, combine)
        size *= 2
    return _combined(x, length - size, axis, combine) if length > size else x


def _combined(x: jax.Array, distance: int, axis: int, combine: Callable) -> jax.Array:
    n = x.shape[axis]
    return combine(jax.lax.slice_in_dim(x, 0, n - distance, axis=axis), jax.lax.slice_in_dim(x, distance, n, axis=axis))


def _pads(ndim: int, axis: int, width: int) -> list[tuple[int, int]]:
    return [(width, width) if i == ndim + axis else (0, 0) for i in range(ndim)]


def _padded_with(x: jax.Array, width: int, axis: int, fill: float) -> jax.Array:
    return jnp.pad(x, _pads(x.ndim, axis, width), constant_values=fill)


def _along(axis: int, n: int, ndim: int) -> tuple[int, ...]:
    return tuple(n if i == ndim + axis else 1 for i in range(ndim))
