"""A large picture in windows of one size: where they lie, and which of their pixels are used."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """A window of a picture; all numbers in pixels.

    Attributes:
      top: of the window.
      left: of the window.
      inside: rows and columns of the picture that this window answers for, `(top, bottom, left, right)`.
    """

    top: int
    left: int
    inside: tuple[int, int, int, int]

    def used(self) -> tuple[slice, slice]:
        """The same rows and columns, as those of the window."""
        top, bottom, left, right = self.inside
        return slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)

    def place(self) -> tuple[slice, slice]:
        """The same, as those of the picture."""
        top, bottom, left, right = self.inside
        return slice(top, bottom), slice(left, right)


def shape(size: tuple[int, int], *, side: int, reach: int, multiple: int) -> tuple[int, int]:
    """Height and width of the windows of a picture: at most side^2 pixels, the shorter way whole where it fits.

    They are no larger than their number asks for.
    """
    short, long = sorted(size)
    one = min(short, _floored(side, multiple))
    other = min(long, _floored(side * side // one, multiple))
    one, other = (_least(*lengths, reach, multiple) for lengths in ((short, one), (long, other)))
    return (one, other) if size[0] <= size[1] else (other, one)


def over(size: tuple[int, int], window: tuple[int, int], *, reach: int) -> Iterator[Window]:
    """Windows that lie inside of a picture, whose used parts make it up without overlap.

    A used pixel is `reach` or more away from each border of its window that is not one of the picture's.

    Args:
      size: height and width of the picture.
      window: height and width of the windows, no larger.
      reach: in pixels; more than 2 reach must fit into the window where it is smaller than the picture. If all these
        numbers divide by something, so do all places.

    Returns:
      The windows, row by row.
    """
    rows, columns = (list(_along(*lengths, reach)) for lengths in zip(size, window, strict=True))
    for top, *used_rows in rows:
        for left, *used_columns in columns:
            yield Window(top, left, (*used_rows, *used_columns))


def spread(size: tuple[int, int], *, side: int, num: int, multiple: int) -> list[tuple[int, int]]:
    """Top and left of at most `num` square windows, evenly spread over a picture.

    Args:
      size: height and width of the picture.
      side: of the windows, no larger than the picture.
      num: how many at most.
      multiple: what places divide by.

    Returns:
      The places, as many along each way as its length asks for.
    """
    height, width = size
    down = int(np.clip(round((num * height / width) ** 0.5), 1, num))
    down = min(down, -(-height // side))
    across = min(num // down, -(-width // side))

    def places(length: int, count: int) -> list[int]:
        # In the middle of equal shares.
        middles = (np.arange(count) + 0.5) * length / count - side / 2
        return [_floored(int(np.clip(middle, 0, length - side)), multiple) for middle in middles]

    return [(top, left) for top in places(height, down) for left in places(width, across)]


def _along(length: int, window: int, reach: int) -> Iterator[tuple[int, int, int]]:
    """Where windows begin along one way, and from where to where each is used."""
    if window >= length:
        yield 0, 0, length
        return
    step = window - 2 * reach
    if step < 1:
        raise ValueError(f"A window of {window} pixels has none that is {reach} away from its borders.")
    start = 0
    while start < length:
        begin = min(max(start - reach, 0), length - window)
        end = length if begin == length - window else begin + window - reach
        yield begin, start, end
        start = end


def _least(length: int, window: int, reach: int, multiple: int) -> int:
    """The shortest windows of which there are as many as of these."""
    if window >= length:
        return window
    num = len(list(_along(length, window, reach)))
    return -(-(length + 2 * (num - 1) * reach) // (num * multiple)) * multiple


def _floored(value: int, multiple: int) -> int:
    return value // multiple * multiple
