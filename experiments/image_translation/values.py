"""What looks wrong with the pixels of two domains, before anything is trained on them."""

from collections.abc import Iterator

import numpy as np

from gentoolkit.data import aligned, columns
from gentoolkit.data.columns import Columns

_LOOKED_AT = 64
_DARK = 16  # of 255: no picture is meant to be as dark as that
_FEWEST = 16  # pictures of a domain by which kinds can be told apart
_NEAREST = 5  # pictures that decide on which side one is
_ALIKE = 0.2  # share of all pictures on the wrong side that is told
_SOME, _FEW = 0.2, 0.12  # or these of one domain, with so few of the other
_NEUTRAL = 3  # levels by which the colours of a grey picture differ after JPEG


def told(x: Columns, y: Columns) -> Iterator[str]:
    """Looks at some dozens of training pictures of each domain.

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
    """Says where pictures look like those of the other domain more than like their own: kinds are mixed in a folder.

    Each picture goes with most of its nearest ones, in edges, colours and levels of grey. Of drawings and photographs
    hardly one is nearer to the other domain. Domains that differ in little else than what is seen in them, winter and
    summer or shoes and handbags, are as near to each other as mixed ones: the line says what it may be.
    """
    if min(map(len, both.values())) < _FEWEST:
        return
    rows = np.concatenate([_looks(images) for images in both.values()])
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-6)
    apart = ((rows[:, None] - rows) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    of_y = np.arange(len(rows)) >= len(both["x"])
    astray = (of_y[np.argsort(apart, axis=1)[:, :_NEAREST]].mean(1) > 0.5) != of_y
    shares = {"x": astray[~of_y], "y": astray[of_y]}

    def more(num: int, usual: int) -> float:
        """What is added to a share of fewer pictures than usual, in which chance alone sends more astray."""
        return num**-0.5 - usual**-0.5

    seen = "pictures looked at are in edges, colours and levels of grey"
    if astray.mean() >= _ALIKE + more(len(astray), 2 * _LOOKED_AT):
        yield (
            f"{astray.sum()} of {len(rows)} {seen} more like those of the other domain than like their own. Are the "
            "domains mixed up, or do they differ in something else (as winter and summer)?"
        )
        return
    for (name, own), (other, theirs) in (tuple(shares.items()), tuple(shares.items())[::-1]):
        if own.mean() >= _SOME + more(len(own), _LOOKED_AT) and theirs.mean() <= _FEW:
            yield f"{name}: {own.sum()} of {len(own)} {seen} more like those of {other}. Are domains mixed up?"


def _looks(images: np.ndarray) -> np.ndarray:
    """Shares by which drawings differ from photographs, `[n, 16]`."""
    pixels = images.astype(np.float32) / 255
    grey = pixels.mean(-1)
    flat, colours = grey.reshape(len(grey), -1), np.ptp(pixels, axis=-1).reshape(len(grey), -1)
    across, down = (np.abs(np.diff(grey, axis=axis)).reshape(len(grey), -1) for axis in (2, 1))
    counts = np.stack([np.bincount(level.ravel(), minlength=16) for level in (grey * 15.99).astype(int)])
    levels = -np.sort(-counts, axis=1) / counts[0].sum()
    return np.column_stack(
        [
            across.mean(1) + down.mean(1),
            *((down > step).mean(1) for step in (0.05, 0.2, 0.5)),
            levels[:, 0],
            (np.cumsum(levels, axis=1) < 0.95).sum(axis=1),
            ((flat > 0.1) & (flat < 0.9)).mean(1),
            (flat < 0.15).mean(1),
            *np.quantile(flat, (0.02, 0.1, 0.25, 0.5), axis=1),
            colours.mean(1),
            *np.quantile(colours, (0.5, 0.9, 0.99), axis=1),
        ]
    )


def _some(source: Columns) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int))
    return np.asarray(source.select("image").take(chosen)["image"])
