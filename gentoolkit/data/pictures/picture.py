"""What a photograph is on its way from one file to another."""

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from gentoolkit.data.pictures import exif as exif_lib


class Unreadable(ValueError):
    """A file that is not understood, or broken; its message says why."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a file says about its photograph; each None or empty where it says nothing.

    Attributes:
      exif: the EXIF block, for pixels that are upright.
      icc_profile: colour profile of the pixels.
      xmp: the XMP packet, for pixels that are upright.
      dpi: pixels per inch across and down.
      comment: of a JPEG file.
      photoshop: segments of a JPEG file that hold Photoshop's resources, IPTC among them.
      chunks: of a PNG file, type and data: text, gamma, primaries, whatever holds for other pixels too.
      tags: of a TIFF file, all but those that say how its pixels are stored.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    photoshop: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    tags: exif_lib.Directory | None = None

    def chunk(self, name: bytes) -> bytes | None:
        """Returns the data of the first chunk of a type, None if there is none."""
        return next((data for kind, data in self.chunks if kind == name), None)


class Picture(NamedTuple):
    """An image and what must not get lost on the way.

    Attributes:
      pixels: `[h, w, 3]` RGB, upright: uint8 or uint16 of full range, or float32 in [0, 1].
      alpha: `[h, w]` of the same type, or None.
      grey: whether the file had one channel.
      lossless: whether the file held exactly these pixels.
      metadata: the rest.
      notes: what was changed or passed over, to be told.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    lossless: bool = True
    metadata: Metadata = Metadata()
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> str:
        """How fine the pixels are, in words."""
        bits = 8 * self.pixels.dtype.itemsize
        return f"{bits} bits" if np.issubdtype(self.pixels.dtype, np.integer) else "floats"

    @property
    def visible(self) -> np.ndarray | None:
        """`[h, w]` bool, None where there is no alpha."""
        return None if self.alpha is None else self.alpha > 0


def from_channels(channels: np.ndarray, *, num_colors: int) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Returns pixels, alpha and whether they are grey.

    Args:
      channels: `[h, w, num_colors]` or, with alpha, `[h, w, num_colors + 1]`.
      num_colors: 1 or 3.
    """
    alpha = np.ascontiguousarray(channels[..., num_colors]) if channels.shape[-1] > num_colors else None
    pixels = channels[..., :num_colors]
    return (np.repeat(pixels, 3, axis=-1) if num_colors == 1 else np.ascontiguousarray(pixels)), alpha, num_colors == 1


def to_channels(picture: Picture, *, alpha: bool = True) -> np.ndarray:
    """Returns the channels of a file, `[h, w, 1 to 4]`."""
    pixels = picture.pixels[..., :1] if picture.grey else picture.pixels
    if alpha and picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
    return np.ascontiguousarray(pixels)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation, 1 to 8, as `PIL.ImageOps.exif_transpose` does; others say nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def turned(picture: Picture, orientation: int) -> Picture:
    """Turns a picture upright, and what is said about its orientation and size with it."""
    pixels = upright(picture.pixels, orientation)
    alpha = None if picture.alpha is None else upright(picture.alpha, orientation)
    said = picture.metadata
    across = orientation in (5, 6, 7, 8)
    exif, xmp, dpi = said.exif, said.xmp, said.dpi
    if exif:
        height, width = pixels.shape[:2]
        try:
            exif = exif_lib.upright(exif, width=width, height=height, turned=across)
        except ValueError:
            exif = None
            picture = picture._replace(notes=(*picture.notes, "its EXIF block is broken and left out"))
    if xmp:  # some programs read the orientation here
        xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[1-8]", rb"\g<1>1", xmp)
    if dpi and across:
        dpi = dpi[::-1]
    return picture._replace(pixels=pixels, alpha=alpha, metadata=dataclasses.replace(said, exif=exif, xmp=xmp, dpi=dpi))
