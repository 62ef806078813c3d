"""Random changes of images that gradients pass through, for both the real and the generated images that a critic sees.

References:
  Zhao, Liu, Lin, Zhu, Han, "Differentiable augmentation for data-efficient GAN training", NeurIPS 2020.
"""

import jax
import jax.numpy as jnp


def augment(
    key: jax.Array, images: jax.Array, *, color: bool = True, translation: float = 0.125, cutout: float = 0.5
) -> jax.Array:
    """Colour, then translation, then cutout, as the paper's strongest policy.

    Args:
      key: draws the changes; the same for real and generated images changes them alike.
      images: `[b, h, w, c]` in [-1, 1].
      color: whether brightness, saturation and contrast change.
      translation: the largest shift, as a share of height and width; 0 for none.
      cutout: the side of the square that is removed, as a share of height and width; 0 for none.

    Returns:
      `[b, h, w, c]`.
    """
    keys = jax.random.split(key, 3)
    images = jitter(keys[0], images) if color else images
    images = translate(keys[1], images, share=translation)
    return cut_out(keys[2], images, share=cutout)


def jitter(key: jax.Array, images: jax.Array) -> jax.Array:
    """Shifts the brightness by up to 1/2, then scales the saturation by 0 to 2 and the contrast by 1/2 to 3/2.

    Args:
      key: draws the changes, one of each for an image.
      images: `[b, h, w, c]` in [-1, 1].

    Returns:
      `[b, h, w, c]`, not clipped.
    """
    brightness, saturation, contrast = jax.random.uniform(key, (3, images.shape[0], 1, 1, 1), images.dtype)
    images = images + (brightness - 0.5)
    gray = images.mean(axis=3, keepdims=True)
    images = gray + (images - gray) * (2 * saturation)
    level = images.mean(axis=(1, 2, 3), keepdims=True)
    return level + (images - level) * (0.5 + contrast)


def translate(key: jax.Array, images: jax.Array, *, share: float = 0.125) -> jax.Array:
    """Shifts each image by whole pixels, with 0 (a middle gray) where nothing comes in.

    Args:
      key: draws the shifts.
      images: `[b, h, w, c]`.
      share: the largest shift, as a share of height and width.

    Returns:
      `[b, h, w, c]`.

    Raises:
      ValueError: a share that is not in [0, 1].
    """
    _check_share(share)
    for axis, axis_key in zip((1, 2), jax.random.split(key), strict=True):
        length = images.shape[axis]
        most = int(length * share + 0.5)
        shifts = jax.random.randint(axis_key, (images.shape[0], 1), -most, most + 1)
        # A product with a matrix of zeros and ones is exact, and its derivative is no scatter.
        rows, columns = jnp.arange(length)[None, :, None], jnp.arange(length)[None, None, :]
        shift = (rows - columns == shifts[:, :, None]).astype(images.dtype)
        equation = "brs,bswc->brwc" if axis == 1 else "brs,bhsc->bhrc"
        images = jnp.einsum(equation, shift, images, precision=jax.lax.Precision.HIGHEST)
    return images


def cut_out(key: jax.Array, images: jax.Array, *, share: float = 0.5) -> jax.Array:
    """Sets a square of each image to 0, anywhere, also partly outside.

    Args:
      key: draws the places.
      images: `[b, h, w, c]`.
      share: the side of the square, as a share of height and width.

    Returns:
      `[b, h, w, c]`.

    Raises:
      ValueError: a share that is not in [0, 1].
    """
    _check_share(share)
    inside = []
    for length, axis_key in zip(images.shape[1:3], jax.random.split(key), strict=True):
        side = int(length * share + 0.5)
        center = jax.random.randint(axis_key, (images.shape[0], 1), 0, length + (1 - side % 2))
        first = center - side // 2
        places = jnp.arange(length)[None]
        inside.append((places >= first) & (places < first + side))
    hidden = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return jnp.where(hidden, jnp.zeros((), images.dtype), images)


def _check_share(share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be in [0, 1], got share = {share}.")
