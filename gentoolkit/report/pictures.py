"""Contact sheets: many small images in one PNG."""

import math
import pathlib

import numpy as np
from PIL import Image

_GAP = 2
_SMALLEST_WIDTH = 48  # pixels an image is shown at, at least: 8x8 digits are blown up, in whole steps, without blur


def save_grid(path: str | pathlib.Path, images: np.ndarray, *, columns: int | None = None) -> pathlib.Path:
    """Writes images as one PNG, row by row.

    Args:
      path: where to; folders are made.
      images: `[b, h, w, c]` in [0, 1] (clipped), c = 1 or 3.
      columns: images in a row; by default about as many as rows.

    Returns:
      The path.

    Raises:
      ValueError: no images, or a shape that is not that of images.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(f"images must be [b, h, w, 1 or 3], at least one, got shape {images.shape}.")
    num, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    scale = max(1, math.ceil(_SMALLEST_WIDTH / width))
    pixels = np.round(255 * np.clip(np.nan_to_num(images), 0, 1)).astype(np.uint8)
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(path, optimize=True)
    return path


def save_pairs(
    path: str | pathlib.Path, originals: np.ndarray, others: np.ndarray, *, columns: int = 16
) -> pathlib.Path:
    """Writes rows of images, each above its counterpart (a reconstruction, say).

    Args:
      path: where to.
      originals: `[b, h, w, c]` in [0, 1].
      others: the same shape.
      columns: pairs in a row.

    Returns:
      The path.

    Raises:
      ValueError: shapes that differ.
    """
    originals, others = np.asarray(originals), np.asarray(others)
    if originals.shape != others.shape:
        raise ValueError(f"Shapes must agree: originals {originals.shape}, others {others.shape}.")
    columns = min(columns, len(originals))
    full = len(originals) // columns * columns  # whole rows only, so that every image stands above its own
    rows = [np.concatenate([a[:full].reshape(-1, 1, columns, *a.shape[1:]) for a in (originals, others)], axis=1)]
    return save_grid(path, rows[0].reshape(-1, *originals.shape[1:]), columns=columns)
