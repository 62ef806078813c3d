"""Making photographs dark, noisy and tinted: the degradations that enhancement is tested on."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.imaging import _images


def gamma_levels(*, num_levels: int = 26, step: float = 0.3) -> np.ndarray:
    """The darkness levels of the evaluation, gamma = 1 + step * i.

    The list of the paper was not published. Evenly spaced from 1 in 26 levels, these bring the mean PSNR of darkened
    natural photographs near the 10.4 dB that the paper reports.

    Args:
      num_levels: how many, the undarkened one counted.
      step: distance between two.

    Returns:
      `[num_levels]` float64 on the host: 1.0, 1.3, ..., 8.5.

    Raises:
      ValueError: an option is out of range.
      TypeError: `num_levels` is not an integer.

    References:
      Loh, A new framework for efficient low-light image enhancement using approximated Gaussian process (26 levels).
    """
    _images.check_whole(least=1, num_levels=num_levels)
    _array.check_positive(step=step)
    return 1.0 + step * np.arange(num_levels)


def darken(image: jax.Array, gamma: ArrayLike, *, num_bits: int | None = None) -> jax.Array:
    """The image to the power of gamma, as a camera's tone curve would darken it.

    Args:
      image: `[..., h, w, c]` in [0, 1]; values below 0 count as 0. Leading axes are independent.
      gamma: > 0, a number; or `[..., c]`, one for each channel, which also casts a colour.
      num_bits: round to this many bits afterwards, None not to; rounding loses information and has gradient zero
        (static).

    Returns:
      `[..., h, w, c]`, float32 or wider. NaN stays where it is. Gradients are finite, zero for black pixels if
      gamma < 1.

    Raises:
      ValueError: the image is empty, `gamma` fits neither form or is <= 0, or `num_bits` < 1.
      TypeError: the image holds integers.
    """
    image = _images.as_image(image)
    _array.check_positive(gamma=gamma)
    image, gamma = _images.same_dtype(image, *_array.as_floating(gamma=gamma))
    if gamma.ndim:
        if gamma.shape[-1] != image.shape[-1] or gamma.ndim > image.ndim - 2:
            raise ValueError(f"gamma must be a number or [..., c], got {gamma.shape} for an image {image.shape}.")
        lead = (1,) * (image.ndim - 2 - gamma.ndim)
        gamma = gamma.reshape(*lead, *gamma.shape[:-1], 1, 1, gamma.shape[-1])
        gamma = jnp.broadcast_to(gamma, image.shape)
    black = image <= 0
    dark = jnp.where(black, 0.0, jnp.where(black, 1.0, image) ** gamma)
    return dark if num_bits is None else quantize(dark, num_bits=num_bits)


def quantize(image: jax.Array, *, num_bits: int = 8) -> jax.Array:
    """Rounds to the values that an image of so many bits can hold, still in [0, 1].

    Args:
      image: `[..., h, w, c]`, clipped to [0, 1].
      num_bits: 1 to 16 (static).

    Returns:
      `[..., h, w, c]`. The gradient is zero.

    Raises:
      ValueError: the image is empty or `num_bits` out of range.
      TypeError: the image holds integers.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.imaging import degradation
      >>> float(degradation.quantize(jnp.full((1, 1, 1), 0.6), num_bits=1)[0, 0, 0])
      1.0
    """
    image = _images.as_image(image)
    _images.check_whole(least=1, num_bits=num_bits)
    if num_bits > 16:
        raise ValueError(f"num_bits must be <= 16, got num_bits = {num_bits}.")
    most = float(2**num_bits - 1)
    return jnp.round(jnp.clip(image, 0.0, 1.0) * most) / most


def poisson_gaussian(
    key: jax.Array, image: jax.Array, *, peak: ArrayLike = 255.0, read_noise: ArrayLike = 0.01, clip: bool = True
) -> jax.Array:
    """Sensor noise: photons counted, then read with Gaussian noise, Poisson(image * peak) / peak + N(0, read_noise^2).

    Args:
      key: PRNG key of the default (threefry) kind.
      image: `[..., h, w, c]` in [0, 1], values below 0 count as 0; every entry is drawn alone.
      peak: mean number of photons of a white pixel, > 0; the variance of the shot noise is image / peak.
      read_noise: standard deviation of the read noise, >= 0, in units of the image.
      clip: clip the result to [0, 1] (static).

    Returns:
      `[..., h, w, c]`. The noise counts as a constant in gradients. NaN stays where it is.

    Raises:
      ValueError: the image is empty or `peak` <= 0.
      TypeError: the image holds integers.

    References:
      Foi, Trimeche, Katkovnik, Egiazarian, Practical Poissonian-Gaussian noise modeling and fitting for single-image
        raw-data, IEEE Trans. Image Processing 2008, eq. (1) to (3).
    """
    image = _images.as_image(image)
    _array.check_positive(peak=peak)
    peak, read_noise = (jnp.asarray(x, image.dtype) for x in (peak, read_noise))
    of_photons, of_reading = jax.random.split(key)
    mean = jax.lax.stop_gradient(jnp.maximum(image, 0.0))
    known = jnp.where(jnp.isnan(mean), 0.0, mean)
    photons = jax.random.poisson(of_photons, known * peak).astype(image.dtype) / peak
    noise = photons - known + read_noise * jax.random.normal(of_reading, image.shape, image.dtype)
    noisy = image + noise
    return jnp.clip(noisy, 0.0, 1.0) if clip else noisy


def color_cast(image: jax.Array, gammas: jax.Array, *, num_bits: int | None = None) -> jax.Array:
    """Darkens each channel with a gamma of its own, which no single tone curve can undo.

    Args:
      image: `[..., h, w, c]` in [0, 1].
      gammas: `[c]` > 0, one for each channel, for example (2.2, 3.0, 4.2).
      num_bits: round to this many bits afterwards, None not to (static).

    Returns:
      `[..., h, w, c]`, as `darken` gives it.

    Raises:
      ValueError: the image is empty, or `gammas` is not one positive number for each channel.
      TypeError: the image holds integers.
    """
    if jnp.ndim(gammas) == 0:
        raise ValueError(f"gammas must hold one number for each channel, got gammas = {gammas}.")
    return darken(image, gammas, num_bits=num_bits)
