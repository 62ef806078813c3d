"""Pictures: many small images in one PNG file, and any image as the bytes that a page holds."""

import io
import math
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from gentoolkit.report import files

_GAP = 2
# Small images are blown up, in whole steps and without blur, until their shorter side has so many pixels ...
_SMALLEST = 48
# ... or their longer side, which decides for a strip, so many.
_TALLEST = 480
# Of drawings a JPEG is no smaller than a PNG, of photographs it is a fraction: below this one it is taken.
_JPEG_SHARE = 0.5
_JPEG_QUALITY = 90
_SHOWN_AS_THEY_ARE = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


class Encoded(NamedTuple):
    """An image as a page holds it: its type, its bytes, and its size in pixels."""

    mime: str
    content: bytes
    width: int
    height: int


def encode(image: np.ndarray | str | pathlib.Path, *, longest: int | None = None) -> Encoded:
    """Returns an image as JPEG (photographs) or PNG (drawings, small images, transparency), by what it holds.

    Args:
      image: `[h, w]` or `[h, w, c]` with c = 1 (grey), 3 (RGB) or 4 (with alpha): floats in [0, 1], uint8, uint16 or
        bool. Or a file, whose bytes are kept where a browser shows them and nothing is to be won.
      longest: images with more pixels than this on a side are shrunk to it.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an image, or has a type or shape that none has.
    """
    kept = None
    if isinstance(image, str | pathlib.Path):
        path = pathlib.Path(image)
        if not path.is_file():
            raise FileNotFoundError(f"There is no picture {str(path)!r}.")
        try:
            with Image.open(path) as opened:
                opened.load()
                kept = _SHOWN_AS_THEY_ARE.get(opened.format or "")
                picture = _eight_bits(ImageOps.exif_transpose(opened))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error
    else:
        picture = Image.fromarray(_squeezed(_whole(image)))
    if longest is not None and max(picture.size) > longest:
        scale = longest / max(picture.size)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.convert("L" if picture.mode == "1" else picture.mode)
        picture, kept = picture.resize((width, height), Image.Resampling.BOX), None
    if kept in ("image/jpeg", "image/gif", "image/webp"):
        return Encoded(kept, path.read_bytes(), *picture.size)
    lossless = path.read_bytes() if kept else _saved(picture, format="PNG", optimize=True)
    if picture.mode in ("L", "RGB"):
        lossy = _saved(picture, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
        if len(lossy) < _JPEG_SHARE * len(lossless):
            return Encoded("image/jpeg", lossy, *picture.size)
    return Encoded("image/png", lossless, *picture.size)


def shown_width(width: int, height: int) -> int:
    """Returns how wide in pixels a page shows an image: small ones larger, tall ones no taller than a screen."""
    if height > _TALLEST and height > width:
        return max(1, round(width * _TALLEST / height))
    return width * _blow_up(width, height)


def save_grid(path: str | pathlib.Path, images: np.ndarray, *, columns: int | None = None) -> pathlib.Path:
    """Writes images as one PNG, row by row.

    Args:
      path: where to; folders are made.
      images: `[b, h, w, c]`, c = 1 or 3: floats in [0, 1] (clipped; NaN is black), uint8, uint16 or bool.
      columns: images in a row; by default about as many as rows.

    Returns:
      The path.

    Raises:
      ValueError: no images, a type or shape that is not that of images, or `columns` < 1.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(f"images must be [b, h, w, 1 or 3], at least one, got shape {images.shape}.")
    num, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(num)) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns must be >= 1, got {columns}.")
    columns = min(columns, num)
    rows = math.ceil(num / columns)
    scale = _blow_up(width, height)
    pixels = _whole(images).repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return files.write_bytes(path, _saved(Image.fromarray(_squeezed(sheet)), format="PNG", optimize=True))


def save_pairs(
    path: str | pathlib.Path, originals: np.ndarray, others: np.ndarray, *, columns: int = 16
) -> pathlib.Path:
    """Writes rows of images, each above its counterpart (a reconstruction, say).

    Args:
      path: where to.
      originals: `[b, h, w, c]`, as for `save_grid`.
      others: the same shape.
      columns: pairs in a row; the last row is filled up with white.

    Returns:
      The path.

    Raises:
      ValueError: shapes that differ, or anything that `save_grid` refuses.
    """
    originals, others = np.asarray(originals), np.asarray(others)
    if originals.shape != others.shape or originals.ndim != 4:
        raise ValueError(f"Shapes must agree and be [b, h, w, c]: originals {originals.shape}, others {others.shape}.")
    if columns < 1:
        raise ValueError(f"columns must be >= 1, got {columns}.")
    columns = min(columns, len(originals))
    missing = -len(originals) % columns if columns else 0
    rows = []
    for images in (_whole(originals), _whole(others)):
        white = np.full((missing, *images.shape[1:]), 255, np.uint8)
        rows.append(np.concatenate([images, white]).reshape(-1, columns, *images.shape[1:]))
    return save_grid(path, np.stack(rows, axis=1).reshape(-1, *originals.shape[1:]), columns=columns)


def _blow_up(width: int, height: int) -> int:
    """How many times larger a small image is shown."""
    wanted = math.ceil(_SMALLEST / min(width, height))
    return max(1, min(wanted, _TALLEST // max(width, height)))


def _whole(image: np.ndarray) -> np.ndarray:
    """An image of any type as uint8; NaN is black."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype == np.uint16:
        return np.round(image / 257.0).astype(np.uint8)
    if image.dtype.kind != "f" and image.dtype.name != "bfloat16":
        raise ValueError(f"Images are floats in [0, 1], uint8, uint16 or bool, got {image.dtype}.")
    return np.round(255 * np.clip(np.nan_to_num(image.astype(np.float32), nan=0.0), 0, 1)).astype(np.uint8)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of any mode as one that PNG and JPEG know."""
    if picture.mode.startswith("I"):
        return Image.fromarray(_whole(np.clip(np.asarray(picture), 0, 65535).astype(np.uint16)))
    if picture.mode == "F":
        return Image.fromarray(_whole(np.asarray(picture)))
    return picture if picture.mode in ("1", "L", "RGB", "RGBA") else picture.convert("RGBA")


def _squeezed(image: np.ndarray) -> np.ndarray:
    """An image as Pillow takes it: without an axis for its one channel."""
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if not image.size or not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (3, 4))):
        raise ValueError(f"An image must be [h, w] or [h, w, 1, 3 or 4] with pixels in it, got shape {image.shape}.")
    return np.ascontiguousarray(image)


def _saved(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()
