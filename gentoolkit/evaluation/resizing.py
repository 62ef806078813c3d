"""Resizing as published metric tools do it, each by two matrices that are made in float64 on the host."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Method = Literal["bilinear_tensorflow1", "bilinear_half_pixel", "bilinear_antialiased", "bicubic_antialiased"]


@functools.lru_cache(maxsize=64)
def matrix(num_in: int, num_out: int, *, method: Method) -> np.ndarray:
    """Weights that make an axis of another length: `out = matrix @ in`.

    Args:
      num_in: pixels of the axis as it is.
      num_out: as it shall be.
      method: "bilinear_tensorflow1" (place i of the result lies at i num_in / num_out), "bilinear_half_pixel" (centres
        of pixels lie at halves; PyTorch's `align_corners=False`), or "bilinear_antialiased" and "bicubic_antialiased"
        (Pillow's filters, as wide as a pixel of the result where that is the wider one; cubic with a = -0.5).

    Returns:
      `[num_out, num_in]` float64; rows sum to 1. It is shared between calls and cannot be written to.

    Raises:
      ValueError: a length below 1, or an unknown method.
    """
    if num_in < 1 or num_out < 1:
        raise ValueError(f"Lengths must be at least 1, got num_in = {num_in}, num_out = {num_out}.")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got method = {method!r}.")
    scale = num_in / num_out
    out, source = np.arange(num_out)[:, None], np.arange(num_in)[None]
    if method.endswith("antialiased"):
        widest = max(scale, 1.0)
        center = (out + 0.5) * scale
        kernel, reach = (_triangle, 1.0) if method.startswith("bilinear") else (_cubic, 2.0)
        weights = kernel((source + 0.5 - center) / widest)
        # Pillow takes the pixels whose centre lies in the support, whose ends it rounds.
        first = np.floor(np.maximum(center - reach * widest + 0.5, 0.0))
        last = np.floor(np.minimum(center + reach * widest + 0.5, num_in))
        weights = np.where((source >= first) & (source < last), weights, 0.0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    else:
        place = out * scale if method == "bilinear_tensorflow1" else np.maximum((out + 0.5) * scale - 0.5, 0.0)
        # Beyond the last pixel there is that pixel.
        weights = _triangle(source - np.minimum(place, num_in - 1.0))
    weights.flags.writeable = False
    return weights


def resize(images: np.ndarray | jax.Array, size: tuple[int, int], *, method: Method) -> np.ndarray | jax.Array:
    """Resizes images, those of the host by NumPy and those of a device there.

    Args:
      images: `[..., h, w, c]` in any unit.
      size: height and width of the result.
      method: as in `matrix`.

    Returns:
      `[..., *size, c]` float32; cubic weights overshoot the range of the images. Images of that size are unchanged.

    Raises:
      ValueError: as `matrix`, or images with fewer than three axes.
    """
    if images.ndim < 3:
        raise ValueError(f"images must be [..., h, w, c], got shape {images.shape}.")
    height, width = (
        np.float32(matrix(num_in, num_out, method=method))
        for num_in, num_out in zip(images.shape[-3:-1], size, strict=True)
    )
    if not isinstance(images, np.ndarray):
        images = images.astype(jnp.float32)
        return jnp.einsum("ih,...hwc,jw->...ijc", height, images, width, precision=jax.lax.Precision.HIGHEST)
    flat = images.reshape(-1, *images.shape[-3:])
    made = np.empty((len(flat), *size, images.shape[-1]), np.float32)
    for index, image in enumerate(flat):  # one at a time: two large products each, without a copy of all as floats
        down = height @ np.float32(image).reshape(len(image), -1)
        across = np.swapaxes(down.reshape(size[0], *image.shape[1:]), 0, 1).reshape(image.shape[1], -1)
        made[index] = np.swapaxes((width @ across).reshape(size[1], size[0], -1), 0, 1)
    return made.reshape(*images.shape[:-3], *size, images.shape[-1])


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
