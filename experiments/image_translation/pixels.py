"""Pictures of files as networks see them, and what a network paints as a picture of a file."""

import dataclasses

import numpy as np
from PIL import Image

from gentoolkit.data.pictures import Picture

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of BT.601, as training data are turned grey


def to_network(picture: Picture, channels: int) -> np.ndarray:
    """Returns `[h, w, channels]` in [-1, 1], transparent pixels laid over white as in training.

    Args:
      picture: of a file.
      channels: 1 or 3; colours become grey where the network has one channel.
    """
    pixels = _unit(picture.pixels)
    if picture.alpha is not None:
        alpha = _unit(picture.alpha)[..., None]
        pixels = pixels * alpha + (1 - alpha)
    if channels == 1:
        pixels = pixels[..., :1] if is_grey(picture) else (pixels @ _LUMA)[..., None]
    return pixels * 2 - 1


def to_picture(image: np.ndarray, source: Picture) -> Picture:
    """Returns what was painted with all that the file of its source says, 16 bits where that had more than 8.

    Args:
      image: `[h, w, 1 or 3]` in [-1, 1].
      source: the picture that it was painted from; transparent where that was.
    """
    most = 255 if source.pixels.dtype == np.uint8 else 65535
    levels = np.round((np.clip(image, -1, 1) + 1) / 2 * most).astype(np.uint8 if most == 255 else np.uint16)
    alpha, notes, said = source.alpha, (), source.metadata
    if alpha is not None and alpha.dtype == np.float32:
        alpha = np.round(alpha * most).astype(np.uint16)
    grey = levels.shape[-1] == 1
    if grey != source.grey and said.icc_profile:
        said, notes = dataclasses.replace(said, icc_profile=None), ("colour profile left out",)
    pixels = np.repeat(levels, 3, axis=-1) if grey else levels
    return source._replace(pixels=pixels, alpha=alpha, grey=grey, metadata=said, notes=notes)


def is_grey(picture: Picture) -> bool:
    """Whether all pixels of a picture are grey, however the file holds them."""
    return picture.grey or bool((picture.pixels == picture.pixels[..., :1]).all())


def fitted(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Returns `[size, size, c]`, as training data are brought to their size, to within half a pixel of what is cut off.

    Args:
      image: `[h, w, c]`.
      size: height and width wanted.
      fit: "stretch", or "cover": the central square alone.
    """
    if fit == "cover":
        side = min(image.shape[:2])
        top, left = ((whole - side) // 2 for whole in image.shape[:2])
        image = image[top : top + side, left : left + side]
    return resized(image, (size, size))


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns `[h, w, c]` stretched to another height and width, as training data are: bilinear, with antialiasing."""
    planes = [Image.fromarray(np.ascontiguousarray(plane), "F") for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(p.resize(shape[::-1], Image.Resampling.BILINEAR)) for p in planes], axis=-1)


def _unit(values: np.ndarray) -> np.ndarray:
    made = values.astype(np.float32)
    return made / np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else made
