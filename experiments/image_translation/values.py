"""What looks wrong with the pixels of two domains, before anything is trained on them."""

from collections.abc import Iterator

import numpy as np

from gentoolkit.data import aligned, columns
from gentoolkit.data.columns import Columns

_LOOKED_AT = 24
_DARK = 16  # of 255: no picture is meant to be as dark as that
_NEUTRAL = 3  # levels by which the colours of a grey picture differ after JPEG


def told(x: Columns, y: Columns) -> Iterator[str]:
    """Looks at two dozen training pictures of each domain.

    Args:
      x: pictures in the column `image`, which should be the plainer ones: drawings, edges, labels.
      y: pictures in the column `image`.

    Yields:
      A line for each thing that is probably a mistake.
    """
    both = {name: _some(source) for name, source in (("x", x), ("y", y))}
    for name, images in both.items():
        for line in _of_domain(images):
            yield f"{name}: {line}"
    num = min(map(len, both.values()))
    rows = columns.from_values(
        {"x": x.fields["image"], "y": y.fields["image"]}, {name: images[:num] for name, images in both.items()}
    )
    if aligned.looks_swapped(rows, drawing="x", photograph="y"):
        yield "x has more levels of grey than y, as if photographs stood where drawings should. Swapped?"


def _of_domain(images: np.ndarray) -> Iterator[str]:
    num = len(images)
    if num > 1 and (images == images[:1]).all():
        yield f"all of {num} pictures looked at are the same: there is nothing to learn."
    plain = int((images == images[:, :1, :1]).all(axis=(1, 2, 3)).sum())
    if 2 * plain > num:
        yield f"{plain} of {num} pictures looked at are of one colour throughout."
    if (brightest := int(images.max())) < _DARK:
        yield (
            f"no pixel of {num} pictures looked at is brighter than {brightest} of 255. Shares from 0 to 1, or numbers "
            "of classes, saved as if they were grey levels?"
        )
    grey = int((np.ptp(images.astype(np.int16), axis=-1) <= _NEUTRAL).all(axis=(1, 2)).sum())
    if images.shape[-1] > 1 and 0 < grey < num:
        yield f"{grey} of {num} pictures looked at are grey, the others in colour; all are read alike, in colour."


def _some(source: Columns) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int))
    return np.asarray(source.select("image").take(chosen)["image"])
