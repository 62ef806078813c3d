"""What looks wrong with the pixels of two domains, before anything is trained on them."""

from collections.abc import Iterator

import numpy as np

from gentoolkit.data import aligned, columns
from gentoolkit.data.columns import Columns

_LOOKED_AT = 24
_DARK = 16  # of 255: no picture is meant to be as dark as that
_FEWEST = 8  # pictures of a domain by which kinds can be told apart
_TWO_KINDS = 0.8  # share of the variance between two groups: a normal law has 0.64, a uniform one 0.75
_MIXED = (0.15, 0.85)  # share of one kind in a domain of two
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
    yield from _mixed(both)


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


def _mixed(both: dict[str, np.ndarray]) -> Iterator[str]:
    """Says where a domain has two kinds of pictures, such as drawings and photographs.

    All pictures of both domains fall into two groups along the direction in which they differ most. Where these are
    clearly apart, a domain should be of one of them. What differs plainly is found (label maps among photographs of
    fronts always, edges of shoes among photographs in two of three cases or more), not what differs little: edges of
    handbags, whose photographs are as white, or winter and summer.
    """
    if min(map(len, both.values())) < _FEWEST:
        return
    looks = {name: _looks(images) for name, images in both.items()}
    every = np.concatenate(list(looks.values()))
    _, _, axes = np.linalg.svd(every - every.mean(0), full_matrices=False)
    along = {name: (rows - every.mean(0)) @ axes[0] for name, rows in looks.items()}
    border, share = _two_groups(np.concatenate(list(along.values())))
    if share < _TWO_KINDS:
        return
    for name, places in along.items():
        of_one = int((places > border).sum())
        if _MIXED[0] <= of_one / len(places) <= _MIXED[1]:
            fewer = min(of_one, len(places) - of_one)
            yield (
                f"{name}: {fewer} of {len(places)} pictures looked at are of another kind than the others, in edges, "
                "colours and levels of grey. Are domains mixed up?"
            )


def _looks(images: np.ndarray) -> np.ndarray:
    """Five shares by which drawings differ from photographs, `[n, 5]`."""
    pixels = images.astype(np.float32) / 255
    grey = pixels.mean(-1)
    edges = sum(np.abs(np.diff(grey, axis=axis)).mean((1, 2)) for axis in (1, 2))
    counts = np.stack([np.bincount(level.ravel(), minlength=16) for level in (grey * 15.99).astype(int)])
    levels = -np.sort(-counts, axis=1) / counts[0].sum()
    several = 1 + (np.cumsum(levels, axis=1) < 0.95).sum(axis=1)
    between = ((grey > 0.1) & (grey < 0.9)).mean((1, 2))
    return np.stack([4 * edges, levels[:, 0], 2 * np.ptp(pixels, axis=-1).mean((1, 2)), several / 16, between], axis=1)


def _two_groups(values: np.ndarray) -> tuple[float, float]:
    """The border of the two groups that explain most of the variance of numbers, and the share that they do."""
    order = np.sort(values)
    sizes = np.arange(1, len(order))
    before = np.cumsum(order)[:-1] / sizes
    after = (order.sum() - np.cumsum(order)[:-1]) / (len(order) - sizes)
    shares = sizes * (len(order) - sizes) / len(order) ** 2 * (before - after) ** 2 / max(order.var(), 1e-12)
    place = int(shares.argmax())
    return (order[place] + order[place + 1]) / 2, float(shares[place])


def _some(source: Columns) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int))
    return np.asarray(source.select("image").take(chosen)["image"])
