"""What a function gives for the images of a stream, without the rows that fill up the last batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

Batches = Iterable[Mapping[str, Any]]
Function = Callable[[Any], Any]


def rows(function: Function, batches: Batches, *, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields `(images, function(images))` of each batch, on the host, rows that do not count left out.

    Args:
      function: `[b, h, w, c]` to `[b, ...]`; sees whole batches, so that their shape never changes.
      batches: dicts with `image` and optional `counts`.
      name: of the function, for errors.

    Yields:
      Arrays with one row for each image that counts.

    Raises:
      ValueError: there are no images at all, or the function does not return one row for each image.
    """
    seen = 0
    for batch in batches:
        images = batch["image"]
        mask = np.ones(len(images), bool) if batch.get("counts") is None else np.asarray(batch["counts"], bool)
        if mask.shape != (len(images),):
            raise ValueError(f"counts must be [b] = ({len(images)},), got counts.shape = {mask.shape}.")
        result = np.asarray(function(images))
        if result.shape[:1] != mask.shape:
            raise ValueError(f"{name} must return one row for each of {len(images)} images, got shape {result.shape}.")
        seen += int(mask.sum())
        yield np.asarray(images)[mask], result[mask]
    if not seen:
        raise ValueError("batches hold no images; they must be iterable anew, so no iterator that has been used up.")
