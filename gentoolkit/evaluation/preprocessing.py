"""What published tools do to images before the network of FID: the same pictures give other numbers by each.

Three are known by name::

    prepare = preprocessing.clean()        # or legacy_tensorflow(), legacy_pytorch()
    x = prepare(images)                    # [b, h, w, c] uint8, or floats in [0, 1] -> [b, 299, 299, 3] for the network
    prepare.name                           # "clean", which every result carries; "clean+center_crop" with crop=True

Images are checked: what cannot be an image in its range is refused, what most likely is none is warned of.
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array
from gentoolkit.evaluation import resizing

SIZE = 299  # of Inception v3
_DARKEST = (1 + 1e-3) / 255  # of floats in [0, 1]; 1 of 255 with room for rounding


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How images become what a network takes; a callable.

    Attributes:
      name: what results call it.
      size: height and width of what the network takes; the sides of an image are stretched to it, whatever their ratio.
      method: of resizing, as in `resizing.matrix`.
      center: grey levels, of 255, that become 0; one for each channel.
      spread: grey levels that become 1.
      whole: whether floats are rounded to whole grey levels first, as a tool that takes bytes alone has them.
      clip: whether the result of resizing is cut to the range of grey levels.
      crop: whether the middle square of an image is cut out first, so that its sides keep their ratio.
    """

    name: str
    size: int
    method: resizing.Method
    center: tuple[float, float, float] = (127.5, 127.5, 127.5)
    spread: tuple[float, float, float] = (127.5, 127.5, 127.5)
    whole: bool = False
    clip: bool = False
    crop: bool = False

    def __call__(self, images: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
        """Prepares a batch, on the host if it is there and on its device otherwise.

        Args:
          images: `[b, h, w, c]`, c = 1 (grey, repeated) or 3 (RGB): uint8, or floats in [0, 1].

        Returns:
          `[b, size, size, 3]` float32.

        Raises:
          ValueError: as `levels`.
        """
        return self.of_levels(levels(images, whole=self.whole))

    def of_levels(self, images: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
        """Prepares images that have been checked.

        Args:
          images: `[b, h, w, 3]` grey levels, of 255.

        Returns:
          `[b, size, size, 3]` float32.
        """
        if self.crop:
            height, width = images.shape[1:3]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            images = images[:, top : top + side, left : left + side]
        x = resizing.resize(images, (self.size, self.size), method=self.method)
        xp = np if isinstance(x, np.ndarray) else jnp
        if self.clip:
            x = xp.clip(x, 0.0, 255.0)
        return (x - np.array(self.center, np.float32)) * (1 / np.array(self.spread)).astype(np.float32)


def legacy_tensorflow(*, size: int = SIZE, crop: bool = False) -> Preprocessing:
    """As TTUR and torch-fidelity: bytes, TensorFlow 1's bilinear, (x - 128) / 128.

    Args:
      size: height and width of what the network takes.
      crop: whether to cut out the middle square first; then the name says so.

    Returns:
      The preprocessing.
    """
    level = (128.0, 128.0, 128.0)
    return Preprocessing(
        _name("legacy_tensorflow", crop), size, "bilinear_tensorflow1", level, level, whole=True, crop=crop
    )


def legacy_pytorch(*, size: int = SIZE, crop: bool = False) -> Preprocessing:
    """As pytorch-fid: PyTorch's bilinear without antialiasing, 2 x - 1 of [0, 1].

    Args:
      size: height and width of what the network takes.
      crop: whether to cut out the middle square first; then the name says so.

    Returns:
      The preprocessing.
    """
    return Preprocessing(_name("legacy_pytorch", crop), size, "bilinear_half_pixel", crop=crop)


def clean(*, size: int = SIZE, crop: bool = False) -> Preprocessing:
    """As clean-fid: Pillow's antialiased bicubic on floats, cut to the range, (x - 128) / 128.

    Args:
      size: height and width of what the network takes.
      crop: whether to cut out the middle square first; then the name says so.

    Returns:
      The preprocessing.

    References:
      Parmar, Zhang, Zhu, "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022.
    """
    level = (128.0, 128.0, 128.0)
    return Preprocessing(_name("clean", crop), size, "bicubic_antialiased", level, level, clip=True, crop=crop)


def imagenet(*, size: int = 224, crop: bool = False) -> Preprocessing:
    """As torch-fidelity for networks of torchvision: TensorFlow 1's bilinear, then mean and deviation of ImageNet.

    Args:
      size: height and width of what the network takes.
      crop: whether to cut out the middle square first; then the name says so.

    Returns:
      The preprocessing.
    """
    mean, deviation = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # 255 (0.485, 0.456, 0.406) and so on
    return Preprocessing(_name("imagenet", crop), size, "bilinear_tensorflow1", mean, deviation, whole=True, crop=crop)


def _name(name: str, crop: bool) -> str:
    return f"{name}+center_crop" if crop else name


def levels(images: np.ndarray | jax.Array, *, whole: bool = False, name: str = "images") -> np.ndarray | jax.Array:
    """Checks images and returns them as grey levels.

    Nothing can be told of values that are traced: they pass.

    Args:
      images: `[b, h, w, c]`, c = 1 (grey, repeated) or 3 (RGB): uint8, or floats in [0, 1].
      whole: round floats to whole grey levels.
      name: what a message calls them.

    Returns:
      `[b, h, w, 3]` in [0, 255], float32, or uint8 as they came.

    Raises:
      ValueError: no images of that form; not-a-numbers; floats beyond [0, 1]. A warning: values that are in range but
        look like those of another one (bytes of 0 and 1, floats below 1/255).
    """
    images = images if isinstance(images, jax.Array) else np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        hint = " Drop the fourth channel, or lay the images over a colour." if images.shape[-1:] in ((2,), (4,)) else ""
        raise ValueError(f"{name} must be [b, h, w, 1 or 3] with pixels in them, got shape {images.shape}.{hint}")
    is_bytes = images.dtype == np.uint8
    if not is_bytes and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"{name} must be uint8 in [0, 255] or floats in [0, 1], got {images.dtype}.")
    _array.check_image_range(images, (0, 255) if is_bytes else (0, 1), name=name, stacklevel=4)
    if not is_bytes and not _array.is_traced(images) and 0 < float(images.max()) <= _DARKEST:
        warnings.warn(f"{name} reach no more than {_DARKEST:.3g} of 1: black, or divided by 255 twice?", stacklevel=3)
    xp = jnp if isinstance(images, jax.Array) else np
    if images.shape[-1] == 1:
        images = xp.repeat(images, 3, axis=-1)
    if is_bytes:
        return images
    scaled = xp.clip(images.astype(np.float32), 0.0, 1.0) * np.float32(255)
    return xp.round(scaled) if whole else scaled
