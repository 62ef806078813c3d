"""Masks of objects as annotations hold them, polygons or runs, brought to the window that is kept of a picture.

A pixel of the result belongs to an object if its middle does; an object smaller than a pixel may have none.
"""

from collections.abc import Sequence

import numpy as np


def of_polygons(polygons: Sequence[Sequence[float]], window: np.ndarray, image_size: int) -> np.ndarray:
    """Fills polygons; what lies in any of them is inside, and holes of one that crosses itself are not.

    Args:
      polygons: x and y in turn, in pixels of the file.
      window: `[4]`, left, top, right, bottom.
      image_size: height and width of the result.

    Returns:
      `[s, s]` bool.
    """
    inside = np.zeros((image_size, image_size), bool)
    middle = np.arange(image_size) + 0.5
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        start = (corners - window[:2]) / (window[2:] - window[:2]) * image_size
        end = np.roll(start, -1, axis=0)
        low, high = (np.stack([start[:, 1], end[:, 1]]).min(0), np.stack([start[:, 1], end[:, 1]]).max(0))
        edge, row = np.nonzero((low[:, None] <= middle) & (middle < high[:, None]))
        share = (middle[row] - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
        x = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
        # Along a row, each edge that has been passed turns outside into inside or back.
        passed = np.zeros((image_size, image_size + 1), np.int64)
        np.add.at(passed, (row, np.clip(np.ceil(x - 0.5), 0, image_size).astype(np.int64)), 1)
        inside |= (np.cumsum(passed, axis=1)[:, :-1] % 2).astype(bool)
    return inside


def of_runs(runs: Sequence[int] | str | bytes, height: int, width: int) -> np.ndarray:
    """Lays out runs of pixels that are outside and inside in turn, column after column.

    Args:
      runs: the lengths, or COCO's text of them.
      height: of the picture.
      width: of the picture.

    Returns:
      `[height, width]` bool.

    Raises:
      ValueError: lengths that do not fill the picture, or a text that means none.
    """
    lengths = np.asarray(_lengths(runs) if isinstance(runs, str | bytes) else runs)
    if lengths.ndim != 1 or not lengths.size or lengths.dtype.kind not in "iu" or lengths.min() < 0:
        raise ValueError("runs must be whole numbers, none below 0")
    if lengths.sum() != height * width:
        raise ValueError(f"runs of {lengths.sum()} pixels in all do not fill {height} x {width} (height x width)")
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(width, height).T


def _lengths(text: str | bytes) -> list[int]:
    """The numbers in COCO's text: groups of five bits, the lowest first; from the fourth on less the last but one."""
    held = text.encode("latin-1", "replace") if isinstance(text, str) else text
    lengths: list[int] = []
    number = shift = 0
    for byte in held:
        group = byte - 48
        if not 0 <= group < 64 or shift > 60:
            raise ValueError(f"a text of runs has no {chr(byte)!r} there")
        number |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                number -= 1 << shift
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number = shift = 0
    if shift:
        raise ValueError("a text of runs is cut off")
    return lengths


def seen(pixels: np.ndarray, window: np.ndarray, image_size: int) -> np.ndarray:
    """The pixels `[h, w]` of a window that lie in the middles of those of the result, `[s, s]`."""
    step = (window[2:] - window[:2]) / image_size
    x, y = ((window[:2] + (np.arange(image_size)[:, None] + 0.5) * step).astype(np.int64)).T
    return pixels[np.clip(y, 0, pixels.shape[0] - 1)[:, None], np.clip(x, 0, pixels.shape[1] - 1)]
