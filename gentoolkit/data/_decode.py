"""One image file to one uint8 array of the wanted shape, by explicit conversions only."""

import dataclasses
import pathlib
import struct
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

Fit = Literal["exact", "stretch", "cover"]
_MODES = {1: "L", 3: "RGB"}
# Modes of 8 bits a channel: Pillow turns these into grey or RGB without clipping.
_CONVERTIBLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
# Of 16 bits, whose low ones are left out.
_SIXTEEN = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
# What Pillow raises for a damaged file, by format.
DAMAGED = (OSError, EOFError, SyntaxError, struct.error, Image.DecompressionBombError)
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Decodes images into `image_shape`; what it was not told to convert, it refuses.

    Attributes:
      image_shape: `(h, w, c)` wanted, c = 1 (grey) or 3 (RGB).
      center_crop: side in pixels of the central square to cut out first, or None.
      fit: "exact" (the image must be h x w), "stretch" (resized to h x w, whatever its proportions), or "cover"
        (resized until it covers h x w, and the overhang cut off on both sides alike). Resizing is bilinear with
        antialiasing.
      convert_channels: whether grey and colour may be turned into each other, transparent pixels laid over white,
        palettes resolved and 16 bits a channel made 8.
      first_frame: whether to take the first picture of an animation or of a file of several pages.

    Raises:
      ValueError: an option outside these.
    """

    image_shape: tuple[int, int, int]
    center_crop: int | None = None
    fit: Fit = "exact"
    convert_channels: bool = False
    first_frame: bool = False

    def __post_init__(self):
        shape = tuple(self.image_shape)
        object.__setattr__(self, "image_shape", shape)
        if len(shape) != 3 or min(shape) < 1 or shape[2] not in _MODES:
            raise ValueError(f"image_shape must be (height, width, 1 or 3), got image_shape = {shape}.")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got fit = {self.fit!r}.")
        if self.center_crop is not None and self.center_crop < 1:
            raise ValueError(f"center_crop must be >= 1, got center_crop = {self.center_crop}.")

    def __call__(self, path: pathlib.Path) -> np.ndarray:
        """Decodes one file into `image_shape` uint8 (`ValueError`, naming the file, if it cannot)."""
        try:
            with Image.open(path) as image:
                self._check_frames(image, str(path))
                ImageOps.exif_transpose(image, in_place=True)
                return self.convert(image, str(path))
        except FileNotFoundError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error

    def check(self, path: pathlib.Path) -> None:
        """Refuses a file whose header already shows that it does not fit (`ValueError`); decodes nothing."""
        try:
            with Image.open(path) as image:
                self._check_frames(image, str(path))
                width, height = image.size
                # Pillow decodes a whole PNG to look for an orientation that its header does not hold: not here.
                oriented = image.format != "PNG" or "exif" in image.info
                if oriented and image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                    width, height = height, width
                self._check(image.mode, height, width, str(path))
        except FileNotFoundError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error

    def convert(self, image: Image.Image, name: str) -> np.ndarray:
        """Brings a decoded image to `image_shape`.

        Args:
          image: any Pillow image.
          name: what to call it in an error.

        Returns:
          `[h, w, c]` uint8.

        Raises:
          ValueError: size or channels differ and the option that would convert them is not set.
        """
        height, width, channels = self.image_shape
        self._check(image.mode, image.height, image.width, name)
        if image.mode in _SIXTEEN:
            image = _eight_bits(image)
        if image.has_transparency_data:
            # What lies under transparent pixels is not to be seen: often black, or left over from drawing.
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        if image.mode != _MODES[channels]:
            image = image.convert(_MODES[channels])
        if self.center_crop is not None:
            left, top = (image.width - self.center_crop) // 2, (image.height - self.center_crop) // 2
            image = image.crop((left, top, left + self.center_crop, top + self.center_crop))
        if image.size != (width, height):
            if self.fit == "cover":
                image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
            else:
                image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.array(image, np.uint8).reshape(self.image_shape)

    def _check_frames(self, image: Image.Image, name: str) -> None:
        # A photograph of a telephone may hold a preview as a second picture (MPO): it is one picture all the same.
        if not self.first_frame and getattr(image, "is_animated", False) and image.format != "MPO":
            number = getattr(image, "n_frames", "several")
            raise ValueError(f"{name!r} holds {number} pictures. Set first_frame=True to take the first.")

    def _check(self, mode: str, height: int, width: int, name: str) -> None:
        wanted_height, wanted_width, channels = self.image_shape
        if mode != _MODES[channels]:
            if mode not in _CONVERTIBLE | _SIXTEEN:
                raise ValueError(
                    f"{name!r} has pixels of mode {mode!r}; only images of 8 or 16 bits a channel are read."
                )
            if not self.convert_channels:
                raise ValueError(
                    f"{name!r} has pixels of mode {mode!r} ({Image.getmodebands(mode)} channels)"
                    f", but image_shape = {self.image_shape} needs {channels} ({_MODES[channels]!r}). "
                    "Set convert_channels=True to convert."
                )
        if self.center_crop is not None:
            if min(height, width) < self.center_crop:
                raise ValueError(f"{name!r} is {height} x {width}, too small for center_crop = {self.center_crop}.")
            height = width = self.center_crop
        if self.fit == "exact" and (height, width) != (wanted_height, wanted_width):
            raise ValueError(
                f"{name!r} is {height} x {width} (height x width)"
                f", but image_shape = {self.image_shape} needs {wanted_height} x {wanted_width}. "
                "Set fit='cover' or fit='stretch' to resize."
            )


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8; one value of it may be transparent."""
    pixels = np.asarray(image)
    grey = Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.putalpha(Image.fromarray(np.where(pixels == hidden, 0, 255).astype(np.uint8)))
    return grey
