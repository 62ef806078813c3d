"""Photographs from and to files of every kind: 8 and 16 bits, grey, palette, CMYK, alpha, whichever way up."""

import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_ORIENTATION = 0x0112
_DEEP = (".png", ".tif", ".tiff")  # what 16 bits are read from and written to


class Picture(NamedTuple):
    """An image and what must not get lost on the way.

    Attributes:
      pixels: `[h, w, 3]` uint8 or uint16 RGB, upright.
      alpha: `[h, w]` of the same type, or None.
      grey: whether the file had one channel.
      exif: to be written again, without the orientation, which the pixels now have; None if there was none.
      icc_profile: the colour profile, or None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    exif: bytes | None
    icc_profile: bytes | None

    @property
    def num_bits(self) -> int:
        """8 or 16."""
        return 8 * self.pixels.dtype.itemsize


def read(path: pathlib.Path) -> Picture:
    """Reads a photograph and turns it upright.

    CMYK and other colour spaces become RGB. A palette is looked up.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an image, or broken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with Image.open(path) as image:
            image.load()
            orientation = image.getexif().get(_ORIENTATION, 1)
            profile = image.info.get("icc_profile") if image.mode != "CMYK" else None
            upright = ImageOps.exif_transpose(image)
            exif = upright.getexif()
            exif.pop(_ORIENTATION, None)
            kept = exif.tobytes() if len(exif) else None
            deep = _read_deep(path, image, orientation)
            if deep is not None:
                return deep._replace(exif=kept, icc_profile=profile)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error
    grey = upright.mode in ("1", "L", "LA", "La")
    transparent = "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info
    alpha = np.asarray(upright.convert("RGBA"))[..., 3] if transparent else None
    pixels = np.asarray(upright.convert("RGBA").convert("RGB") if transparent else upright.convert("RGB"))
    return Picture(pixels, alpha, grey, kept, profile)


def write(path: pathlib.Path, picture: Picture) -> None:
    """Writes a photograph in the format of the suffix, as deep as it is; alpha and EXIF where the format has them.

    Raises:
      ValueError: the suffix is unknown, or the format cannot hold 16 bits.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name!r} must end in one of {', '.join(SUFFIXES)}.")
    pixels = picture.pixels[..., :1] if picture.grey else picture.pixels
    if picture.alpha is not None and suffix not in (".jpg", ".jpeg", ".bmp"):
        pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
    if picture.num_bits == 16:
        if suffix not in _DEEP:
            raise ValueError(f"{path.name!r} cannot hold 16 bits; write a {' or '.join(_DEEP)} file.")
        _write_deep(path, pixels)
        return
    options = {"exif": picture.exif, "icc_profile": picture.icc_profile}
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": 95}
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        path, **{name: value for name, value in options.items() if value is not None}
    )


def _read_deep(path: pathlib.Path, image: Image.Image, orientation: int) -> Picture | None:
    """The picture if it holds 16 bits, which Pillow reads for one channel only; None if it does not."""
    if path.suffix.lower() not in _DEEP:
        return None
    import cv2

    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.shape[:2] != image.size[::-1]:
        return None
    raw = raw if raw.ndim == 3 else raw[..., None]
    if raw.shape[-1] >= 3:
        raw = np.concatenate([raw[..., 2::-1], raw[..., 3:]], axis=-1)  # OpenCV has blue first
    raw = _upright(raw, orientation)
    grey = raw.shape[-1] < 3
    alpha = raw[..., -1] if raw.shape[-1] in (2, 4) else None
    return Picture(np.repeat(raw[..., :1], 3, axis=-1) if grey else raw[..., :3], alpha, grey, None, None)


def _write_deep(path: pathlib.Path, pixels: np.ndarray) -> None:
    import cv2

    if pixels.shape[-1] == 2:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=-1), pixels[..., 1:]], axis=-1)
    if pixels.shape[-1] >= 3:
        pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=-1)
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels)):
        raise ValueError(f"{str(path)!r} could not be written.")


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation, 1 to 8, as `ImageOps.exif_transpose` does."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
