"""How close a photograph is to its reference: PSNR, SSIM, and the input that LPIPS networks expect."""

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array
from gentoolkit.imaging import _images, filters

# Scaling layer in front of the networks of LPIPS, for images in [-1, 1].
_LPIPS_SHIFT = (-0.030, -0.088, -0.188)
_LPIPS_SCALE = (0.458, 0.448, 0.450)


def psnr(image: jax.Array, reference: jax.Array, *, smallest_error: float = 0.5 / 255) -> jax.Array:
    """Peak signal-to-noise ratio over all pixels and channels.

    Args:
      image: `[..., h, w, c]` in [0, 1]. Leading axes are independent images.
      reference: `[..., h, w, c]` in [0, 1].
      smallest_error: root mean squared errors below it count as it, so that equal images have a finite ratio: 54.2 dB
        with the default, the error that rounding to 8 bits can make. 0 lets equal images be infinite (static).

    Returns:
      `[...]` in dB, float32 or wider. The gradient is zero at the cap. NaN where an image holds one.

    Raises:
      ValueError: shapes disagree or an image is empty.
      TypeError: an image holds integers.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.imaging import quality
      >>> round(float(quality.psnr(jnp.full((4, 4, 1), 0.6), jnp.full((4, 4, 1), 0.5))), 2)
      20.0
    """
    image, reference = _pair(image, reference)
    error = jnp.mean((image - reference) ** 2, axis=(-3, -2, -1))
    return -10.0 / float(np.log(10.0)) * jnp.log(jnp.maximum(error, smallest_error**2))


def ssim(
    image: jax.Array, reference: jax.Array, *, sigma: float = 1.5, k1: float = 0.01, k2: float = 0.03
) -> jax.Array:
    """Structural similarity with a Gaussian window of 11 pixels, averaged over pixels and channels.

    Args:
      image: `[..., h, w, c]` in [0, 1], h and w at least the window. Leading axes are independent images.
      reference: `[..., h, w, c]` in [0, 1].
      sigma: standard deviation of the window in pixels; its radius is round(3.5 * sigma), 5 by default (static).
      k1: stabiliser of the means (static).
      k2: stabiliser of the variances (static).

    Returns:
      `[...]` in [-1, 1], 1 for equal images, float32 or wider. Only windows inside the image count, each channel
      alone. NaN where an image holds one.

    Raises:
      ValueError: shapes disagree, an image is smaller than the window, or an option is out of range.
      TypeError: an image holds integers.

    References:
      Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural similarity, IEEE
        Trans. Image Processing 2004, eq. (13) to (17), range of values 1.
    """
    image, reference = _pair(image, reference)
    _array.check_positive(sigma=sigma, k1=k1, k2=k2)
    radius = int(3.5 * sigma + 0.5)
    if min(image.shape[-3:-1]) < 2 * radius + 1:
        raise ValueError(f"SSIM needs images of at least {2 * radius + 1} pixels a side, got shape {image.shape}.")

    def mean(x: jax.Array) -> jax.Array:
        smooth = filters.gaussian(x, sigma, truncate=3.5)
        h, w = x.shape[-3:-1]
        return smooth[..., radius : h - radius, radius : w - radius, :]

    # Moments about a common constant, exact in theory and better in float32.
    center = jax.lax.stop_gradient(jnp.mean(reference, axis=(-3, -2), keepdims=True))
    x, y = image - center, reference - center
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + center, mean_y + center
    c1, c2 = k1**2, k2**2
    index = (2.0 * mean_x * mean_y + c1) * (2.0 * covariance + c2)
    index = index / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return jnp.mean(index, axis=(-3, -2, -1))


def lpips_input(image: jax.Array, *, scaling_layer: bool = False) -> jax.Array:
    """What a network of LPIPS is fed: RGB moved from [0, 1] to [-1, 1].

    The network and its weights are not part of this toolkit; the published one scales its channels itself.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1].
      scaling_layer: also subtract the shift and divide by the scale of the published scaling layer, for a bare
        feature network (static).

    Returns:
      `[..., h, w, 3]`, channels last; PyTorch networks want them first.

    Raises:
      ValueError: the image is empty or has not three channels.
      TypeError: the image holds integers.

    References:
      Zhang, Isola, Efros, Shechtman, Wang, The unreasonable effectiveness of deep features as a perceptual metric,
        CVPR 2018.
    """
    image = 2.0 * _images.as_image(image, channels=3) - 1.0
    if not scaling_layer:
        return image
    shape = (1,) * (image.ndim - 1) + (3,)
    shift, scale = (jnp.asarray(np.reshape(x, shape), image.dtype) for x in (_LPIPS_SHIFT, _LPIPS_SCALE))
    return (image - shift) / scale


def _pair(image: jax.Array, reference: jax.Array) -> tuple[jax.Array, ...]:
    image, reference = _images.same_dtype(_images.as_image(image), _images.as_image(reference, name="reference"))
    _images.check_same_shape(image=image, reference=reference)
    return image, reference
