"""Augmentations for `pipeline.Stream(transforms=...)`: a whole batch and one random number for each row, to a batch.

A transform is any function `(fields, batch, words) -> (fields, batch)`: it moves every column as its field says, so
that boxes, masks and targets go with their picture, and returns the fields of what it made (of no rows too: so a stream
knows its shapes). It may add, merge or drop columns. Randomness is handed in, drawn for the global batch of a step: so
an augmented stream is as reproducible, and as independent of the number of processes, as a plain one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gentoolkit.data.fields import Field, Image, Mask

Fields = Mapping[str, Field]
Batch = dict[str, Any]


def horizontal_flip(fields: Fields, batch: Batch, words: np.ndarray) -> tuple[Fields, Batch]:
    """Mirrors each example, left to right, with probability one half, all of its columns alike.

    A text that says "left" stays as it is: do not mirror pictures that come with such texts.

    Args:
      fields: of the columns.
      batch: the columns.
      words: `[b]` uint64, uniform; the lowest bit decides.

    Returns:
      The same fields, and the batch.
    """
    flipped = (words & np.uint64(1)).astype(bool)
    return fields, {name: field.flip(batch[name], flipped) for name, field in fields.items()}


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Cuts a window out of each example, at a place drawn uniformly, out of all of its columns alike.

    Attributes:
      size: height and width of the window.
    """

    size: tuple[int, int]

    def __call__(self, fields: Fields, batch: Batch, words: np.ndarray) -> tuple[Fields, Batch]:
        """Crops a batch.

        Args:
          fields: of the columns; all pictures and masks are of one size.
          batch: the columns.
          words: `[b]` uint64, uniform; the low half decides the row, the high half the column.

        Returns:
          The fields of the window, and the batch.

        Raises:
          ValueError: pictures of different sizes, none at all, or smaller than the window.
        """
        sizes = {name: field.size for name, field in fields.items() if isinstance(field, Image | Mask)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"Cropping needs pictures and masks of one size, got {sizes}.")
        whole = next(iter(sizes.values()))
        room = whole[0] - self.size[0], whole[1] - self.size[1]
        if min(room) < 0 or min(self.size) < 1:
            raise ValueError(f"A window of {self.size} does not fit into pictures of {whole}.")
        # A multiplication and a shift, instead of the remainder, which would prefer small numbers.
        halves = words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)
        top, left = (
            ((half * np.uint64(places + 1)) >> np.uint64(32)).astype(int)
            for half, places in zip(halves, room, strict=True)
        )
        moved = {name: field.crop(batch[name], top, left, self.size, whole) for name, field in fields.items()}
        return {name: field.cropped(self.size) for name, field in fields.items()}, moved


def load_size(image_size: int, load_scale: float, *, name: str = "load_scale") -> int:
    """Height and width at which pictures are read out of which `RandomCrop` is to cut windows.

    Args:
      image_size: height and width of the windows.
      load_scale: how many times larger pictures are, from 1 (no room to cut) to 4.
      name: what the message calls it.

    Returns:
      A whole number of pixels.

    Raises:
      ValueError: another scale.
    """
    if not 1 <= load_scale <= 4:
        raise ValueError(f"{name} must be from 1 to 4, got {load_scale}.")
    return int(image_size * load_scale)
