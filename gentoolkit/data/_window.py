"""What is kept of a picture with annotations: a window of it, brought to a square; boxes and masks move with it.

Windows and boxes are left, top, right, bottom in pixels of the file, a pixel reaching from its number to the next one.
"""

import dataclasses
import os
from collections.abc import Sequence
from concurrent import futures
from typing import Literal, get_args

import numpy as np

from gentoolkit.data._decode import DAMAGED

Fit = Literal["cover", "stretch"]


def check(image_size: int, fit: Fit) -> None:
    """Refuses another size or way to fit (`ValueError`)."""
    if image_size < 1:
        raise ValueError(f"image_size must be >= 1, got image_size = {image_size}.")
    if fit not in get_args(Fit):
        raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got fit = {fit!r}.")


def sizes(paths: Sequence[str]) -> np.ndarray:
    """Width and height of each picture `[n, 2]`, by its header.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is no picture.
    """

    def size(path: str) -> tuple[int, int]:
        from PIL import Image as pillow

        try:
            with pillow.open(path) as image:
                return image.size
        except FileNotFoundError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{path!r} cannot be read as an image: {error}") from error

    with futures.ThreadPoolExecutor(8) as pool:
        return np.array(list(pool.map(size, paths, chunksize=64)), np.int64).reshape(-1, 2)


def fitted(whole: np.ndarray, fit: Fit) -> np.ndarray:
    """The windows of which squares are made.

    Args:
      whole: `[n, 4]`, what is to be seen of each picture.
      fit: "cover", the central square of it; "stretch", all of it.

    Returns:
      `[n, 4]` float64.
    """
    whole = np.asarray(whole, np.float64).reshape(-1, 4)
    if fit == "stretch":
        return whole
    middle = (whole[:, :2] + whole[:, 2:]) / 2
    side = (whole[:, 2:] - whole[:, :2]).min(1, keepdims=True)
    return np.concatenate([middle - side / 2, middle + side / 2], axis=1)


def clipped(boxes: np.ndarray, to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts off what sticks out.

    Args:
      boxes: `[..., 4]`.
      to: `[..., 4]`, the window of each box.

    Returns:
      The boxes, without area where nothing is left, and which of them stuck out by more than a pixel.
    """
    low, high = np.concatenate([to[..., :2]] * 2, -1), np.concatenate([to[..., 2:]] * 2, -1)
    cut = np.clip(boxes, low, high)
    return cut, (np.abs(cut - boxes) > 1).any(-1)


def within(box: Sequence[float], width: int, height: int) -> tuple[tuple[float, float, float, float], bool, float]:
    """The same of one box and a whole picture, in plain numbers: annotations hold millions. Its area comes third."""
    left, top, right, bottom = box
    found = (
        min(max(left, 0.0), width),
        min(max(top, 0.0), height),
        min(max(right, 0.0), width),
        min(max(bottom, 0.0), height),
    )
    out = left < -1 or top < -1 or right > width + 1 or bottom > height + 1
    return found, out, max(found[2] - found[0], 0.0) * max(found[3] - found[1], 0.0)


def area(boxes: np.ndarray) -> np.ndarray:
    """Of each box `[..., 4]`, in pixels; none where it is turned inside out."""
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def fractions(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Boxes `[..., 4]` as fractions of their windows `[..., 4]`, float32: what a field `Boxes` holds."""
    first = np.concatenate([window[..., :2]] * 2, -1)
    return ((boxes - first) / (np.concatenate([window[..., 2:]] * 2, -1) - first)).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """The windows of pictures, resized (bilinear, antialiased) to squares, in colour, transparent pixels over white.

    Attributes:
      paths: a file for each example.
      sizes: `[n, 2]`, width and height that annotations say each has.
      windows: `[n, 4]`.
      image_size: height and width of the result.
    """

    paths: Sequence[str | os.PathLike[str]] = dataclasses.field(repr=False)
    sizes: np.ndarray = dataclasses.field(repr=False)
    windows: np.ndarray = dataclasses.field(repr=False)
    image_size: int

    def __call__(self, index: int) -> np.ndarray:
        """Decodes one file to `[s, s, 3]` uint8 (`ValueError`, naming the file, if it cannot)."""
        from PIL import Image as pillow

        path, square = self.paths[index], (self.image_size, self.image_size)
        try:
            with pillow.open(path) as image:
                if image.size != tuple(self.sizes[index]):
                    raise ValueError(
                        f"{str(path)!r} is {image.height} x {image.width} (height x width), but its annotations were "
                        f"made of a picture of {self.sizes[index][1]} x {self.sizes[index][0]}."
                    )
                colour = image.convert("RGB")
                if image.has_transparency_data:  # what lies under transparent pixels is not to be seen
                    over = pillow.new("RGBA", image.size, "white")
                    colour = pillow.alpha_composite(over, image.convert("RGBA")).convert("RGB")
                return np.asarray(colour.resize(square, pillow.Resampling.BILINEAR, box=tuple(self.windows[index])))
        except FileNotFoundError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error


def classes(path: str, size: Sequence[int]) -> np.ndarray:
    """The number that a picture of one channel has at each pixel, `[h, w]` uint8.

    Args:
      path: a file of grey values or with a palette, whose numbers are taken.
      size: width and height that it must have.

    Returns:
      `[h, w]` uint8.

    Raises:
      ValueError: no such picture, or one of another size.
    """
    from PIL import Image as pillow

    try:
        with pillow.open(path) as image:
            if image.mode not in ("L", "P"):
                raise ValueError(f"{path!r} has pixels of mode {image.mode!r}; classes of pixels are one byte each.")
            if image.size != tuple(size):
                raise ValueError(
                    f"{path!r} is {image.height} x {image.width} (height x width), but its picture is "
                    f"{size[1]} x {size[0]}."
                )
            return np.asarray(image)
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(f"{path!r} cannot be read as an image: {error}") from error
