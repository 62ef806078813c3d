"""Photographs to the pictures that CLIP looks at, and the distance of what it sees from a text."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.models import _images
from gentoolkit.models.clip.model import CLIP, unit

_CUBIC = -0.5  # the derivative of Pillow's (and PyTorch's antialiased) cubic at 1


def preprocess(images: jax.Array, *, image_range: tuple[float, float], size: int = 224) -> jax.Array:
    """Scales the shorter side to `size` by an antialiased bicubic filter and cuts out the middle, differentiably.

    The same numbers as torchvision's on floats, which are Pillow's without its rounding and clipping to bytes between
    the two directions and behind them: beside sharp edges they lie a little outside [0, 1].

    Args:
      images: `[..., h, w, 3]` of floats, or of bytes in (0, 255).
      image_range: the values of black and white: (0, 1), (-1, 1) as generators give them, or (0, 255).
      size: height and width of what comes out, the network's `image_size`.

    Returns:
      `[..., size, size, 3]`, black 0 and white 1, float32 or wider.

    Raises:
      ValueError: an array of another shape, a size below 1, or a range whose white is not above its black. Outside
        `jit` also values outside the range or not finite, and a warning where they look like those of another.
      TypeError: images of integers, unless the range is (0, 255).
    """
    shape = jnp.shape(images)
    if len(shape) < 3 or shape[-1] != 3 or min(shape[-3:]) < 1:
        raise ValueError(f"images must be [..., h, w, 3], got images.shape = {shape}.")
    images = _images.as_share(images, image_range, "images")
    rows, columns = (matrix.astype(images.dtype) for matrix in _matrices(shape[-3], shape[-2], size))
    images = jnp.einsum("...hwc,vw->...hvc", images, columns, precision="highest")
    return jnp.einsum("...hvc,uh->...uvc", images, rows, precision="highest")


def preprocess_bytes(image: Any, *, size: int = 224) -> np.ndarray:
    """Scales and cuts one image by Pillow, as the published networks were trained and are scored; on the host.

    Args:
      image: a Pillow image of 8 bits, or bytes `[h, w, 3]`; grey and palettes become RGB, transparency is dropped, as
        `Image.convert("RGB")` does.
      size: height and width of what comes out, the network's `image_size`.

    Returns:
      `[size, size, 3]` float32 in [0, 1], multiples of 1/255.

    Raises:
      ImportError: Pillow is not installed.
      ValueError: an array that is not bytes `[h, w, 3]`, or an image of more than 8 bits.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("Pillow scales the images: pip install pillow.") from None
    if isinstance(image, Image.Image):
        if image.mode[0] in "IF":
            raise ValueError(f"image must be of 8 bits, got mode {image.mode!r}, which Pillow would clip at 255.")
    else:
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"image must be a Pillow image or uint8 [h, w, 3], got {image.dtype} of shape {image.shape}."
            )
        image = Image.fromarray(image)
    scaled = _scaled_size(image.height, image.width, size)
    image = image.resize(scaled[::-1], Image.Resampling.BICUBIC).convert("RGB")
    top, left = (_middle(side, size) for side in scaled)
    return np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255


def guidance(
    model: CLIP,
    images: jax.Array,
    text_embeddings: jax.Array,
    *,
    image_range: tuple[float, float],
    distance: Literal["cosine", "spherical"] = "cosine",
) -> jax.Array:
    """How far images are from texts for a network: a loss with a gradient in the images.

    Several augmented views of an image are a leading axis more: `[k, b, h, w, 3]` beside `[b, d]` gives `[k, b]`, and
    the caller takes the mean.

    Args:
      model: the network; hold it constant where its weights are not to learn.
      images: `[..., h, w, 3]` of any size and float dtype; they go through `preprocess`.
      text_embeddings: of `encode_text` (or `encode_image`), `[d]` or leading axes that broadcast with those of the
        images; their length does not matter.
      image_range: the values of black and white in the images, (-1, 1) as most generators give them, or (0, 1).
      distance: "cosine" is 1 - cos, in [0, 2]; "spherical" the squared angle, in [0, pi^2], whose pull does not fade
        where they are far apart.

    Returns:
      `[...]`, one value for each image and text.

    Raises:
      ValueError: arrays of other shapes, another distance, or images that `preprocess` refuses.

    References:
      Tao et al. (2023), "GALIP: Generative adversarial CLIPs for text-to-image synthesis" (cosine).
      Sauer et al. (2023), "StyleGAN-T: Unlocking the power of GANs for fast large-scale text-to-image synthesis"
        (squared angle).
    """
    if distance not in ("cosine", "spherical"):
        raise ValueError(f"distance must be 'cosine' or 'spherical', got {distance!r}.")
    num_features = model.architecture.embedding_features
    if jnp.ndim(text_embeddings) < 1 or jnp.shape(text_embeddings)[-1] != num_features:
        raise ValueError(
            f"text_embeddings must be [..., {num_features}], got text_embeddings.shape = {jnp.shape(text_embeddings)}."
        )
    lead, of = jnp.shape(images)[:-3], jnp.shape(text_embeddings)[:-1]
    try:
        np.broadcast_shapes(lead, of)
    except ValueError:
        raise ValueError(f"images and text_embeddings must broadcast, got {lead} images and {of} texts.") from None
    seen = preprocess(images, image_range=image_range, size=model.architecture.image_size)
    of_images = unit(model.encode_image(seen.reshape(-1, *seen.shape[-3:]))).reshape(*lead, num_features)
    of_texts = unit(jnp.asarray(text_embeddings, of_images.dtype))
    if distance == "cosine":
        return 1 - jnp.sum(of_images * of_texts, axis=-1)
    return _squared_angle(of_images, of_texts)


def _squared_angle(a: jax.Array, b: jax.Array) -> jax.Array:
    """The squared angle of unit vectors; arccos has no derivative where they are equal, and this one has 0."""
    apart, together = (_length(v) for v in (a - b, a + b))
    return jnp.square(2 * jnp.arctan2(apart, together))


def _length(v: jax.Array) -> jax.Array:
    square = jnp.sum(jnp.square(v), axis=-1)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _scaled_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with the shorter side scaled to `size`; the longer one is rounded down, as torchvision does."""
    short = min(height, width)
    return (size, size * width // short) if height <= width else (size * height // short, size)


def _middle(side: int, size: int) -> int:
    return int(round((side - size) / 2))  # halves to even, as torchvision does


@functools.lru_cache(maxsize=64)
def _matrices(height: int, width: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of rows `[size, height]` and columns `[size, width]` that scale and cut, in float64."""
    if size < 1:
        raise ValueError(f"size must be >= 1, got size = {size}.")
    scaled = _scaled_size(height, width, size)
    return _resampling(height, scaled[0], size), _resampling(width, scaled[1], size)


def _resampling(side: int, scaled: int, size: int) -> np.ndarray:
    """Bicubic weights `[size, side]` of the middle of `scaled` samples; the filter is as wide as their step is."""
    step = side / scaled
    width = max(step, 1.0)
    center = (np.arange(size)[:, None] + _middle(scaled, size) + 0.5) * step
    # Pillow takes the pixels from round(center - 2 width) up to round(center + 2 width).
    pixel = np.arange(side)[None, :]
    inside = (pixel >= np.floor(center - 2 * width + 0.5)) & (pixel < np.floor(center + 2 * width + 0.5))
    x = np.abs(pixel + 0.5 - center) / width
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = _CUBIC * (((x - 5) * x + 8) * x - 4)
    weights = np.where(inside, np.where(x < 1, near, np.where(x < 2, far, 0.0)), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
