"""How well one layout of objects (classes and boxes) is another: the Layout Quality Score in its four parts.

    found = [layout.Layout(labels, boxes) for ...]          # what a network laid out, or a detector saw in its pictures
    scores = layout.quality(found, asked)                    # by name, each with its standard error
    scores["recall"], scores["precision"], scores["location"], scores["area"], scores["lqs_reimpl"]

Objects of one class are matched so that their centres lie near each other. The paper's constants were not to be had:
those here follow a re-implementation, with boxes as shares of the picture, so the sum is called `lqs_reimpl` and is not
to be set beside the paper's figures. Everything here runs on the host.

References:
  Liang et al., Layout-bridging text-to-image synthesis, 2022 (the score).
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation.objects import Share, intersection_over_union, pooled

RELATIONS = ("left", "right", "above", "below", "inside", "surrounding")
_ABSOLUTE, _RELATIVE = 0.25, 0.75  # weights of single boxes and of pairs, in location and area
_EQUAL = 1e-6  # areas that differ by less, as shares of the picture, are alike


class Layout(NamedTuple):
    """Objects of one picture.

    Attributes:
      labels: `[n]` integers, their classes.
      boxes: `[n, 4]` left, top, right, bottom as shares of width and height.
    """

    labels: np.ndarray
    boxes: np.ndarray


def quality(found: Sequence[Layout], asked: Sequence[Layout], *, sigma: float = 0.25) -> dict[str, Share]:
    """Scores layouts beside those that were asked for.

    Args:
      found: of each picture; objects may be missing, or none be there.
      asked: of the same pictures, an object each at least.
      sigma: distance of centres, in sides of the picture, at which `location` has fallen far: distances d count as
        `exp(-d / (2 sigma ** 2))`.

    Returns:
      By name, means over pictures, each from 0 to 1: `recall` (matched of those asked for), `precision` (matched of
      those found), `location` (1/4 by distances of matched centres, 3/4 by those of the offsets of pairs), `area` (1/4
      by differences of areas, 3/4 by whether the larger of a pair is the same), both 0 where nothing matches;
      `lqs_reimpl`, their sum, from 0 to 4. Beside them over all matched objects `iou`, the overlap of their boxes, and
      over all matched pairs `relations`, whether they stand to each other as asked (`RELATIONS`); NaN where there is
      none.

    Raises:
      ValueError: unequal numbers of pictures, no picture, one that asks for nothing, arrays that do not fit each other,
        a box that is not within its picture, or a sigma that is not positive.
    """
    if not found or len(found) != len(asked):
        raise ValueError(f"found and asked must be of the same pictures, got {len(found)} and {len(asked)}.")
    if not sigma > 0:
        raise ValueError(f"sigma must be > 0, got sigma = {sigma}.")
    parts, ious, relations = [], [], []
    for row, (one, other) in enumerate(zip(found, asked, strict=True)):
        here, there = _checked(one, f"found[{row}]"), _checked(other, f"asked[{row}]")
        if not len(there.labels):
            raise ValueError(f"asked[{row}] must have an object at least.")
        pairs = matched(here, there)
        parts.append(_parts(here, there, pairs, sigma))
        overlaps = [intersection_over_union(here.boxes[i], there.boxes[j]) for i, j in pairs]
        ious.append((sum(overlaps), len(overlaps)))
        alike = [
            relation(here.boxes[i], here.boxes[k]) == relation(there.boxes[j], there.boxes[m])
            for (i, j), (k, m) in combinations(pairs, 2)
        ]
        relations.append((sum(alike), len(alike)))
    rows = np.array(parts)
    rows = np.concatenate([rows, rows.sum(1, keepdims=True)], axis=1)
    names = ("recall", "precision", "location", "area", "lqs_reimpl")
    scores = {name: _mean(rows[:, place]) for place, name in enumerate(names)}
    shared = {"iou": ious, "relations": relations}
    return scores | {name: pooled(np.array(values, np.float64)) for name, values in shared.items()}


def matched(found: Layout, asked: Layout) -> list[tuple[int, int]]:
    """Pairs of an object that was found and one of its class that was asked for, each at most once.

    Args:
      found: a layout.
      asked: another.

    Returns:
      As many pairs of every class as both have, with the smallest sum of distances of centres.
    """
    from scipy.optimize import linear_sum_assignment

    pairs = []
    centres = [_centres(one.boxes) for one in (found, asked)]
    for label in np.intersect1d(found.labels, asked.labels):
        rows, columns = (np.flatnonzero(one.labels == label) for one in (found, asked))
        distances = np.linalg.norm(centres[0][rows][:, None] - centres[1][columns][None], axis=-1)
        chosen = linear_sum_assignment(distances)
        pairs += [(int(rows[i]), int(columns[j])) for i, j in zip(*chosen, strict=True)]
    return pairs


def relation(one: np.ndarray, other: np.ndarray) -> str:
    """How a box stands to another: `one` is left of `other`, above it, inside it, ...

    Args:
      one: `[4]` left, top, right, bottom.
      other: `[4]`.

    Returns:
      One of `RELATIONS`: containment first, else by the larger offset of the centres, sidewise where both are equal;
      "" where the centres coincide and neither box lies in the other.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    outwards = np.array([-1.0, -1.0, 1.0, 1.0]) * (other - one)  # how far each edge of the other is further out
    if outwards.min() >= 0 and outwards.max() > 0:
        return "inside"
    if outwards.max() <= 0 and outwards.min() < 0:
        return "surrounding"
    across, down = _centres(one[None])[0] - _centres(other[None])[0]
    if not across and not down:
        return ""
    if abs(across) >= abs(down):
        return "left" if across < 0 else "right"
    return "above" if down < 0 else "below"


def _parts(found: Layout, asked: Layout, pairs: list[tuple[int, int]], sigma: float) -> tuple[float, ...]:
    recall = len(pairs) / len(asked.labels)
    precision = len(pairs) / len(found.labels) if len(found.labels) else 0.0
    if not pairs:
        return recall, precision, 0.0, 0.0
    here, there = (one.boxes[[pair[side] for pair in pairs]] for side, one in enumerate((found, asked)))
    apart = _centres(here) - _centres(there)
    couples = list(combinations(range(len(pairs)), 2))
    first, second = (np.array([couple[side] for couple in couples], np.int64) for side in (0, 1))
    # Of one object alone there is no pair that could be wrong.
    offsets = float(np.linalg.norm(apart[first] - apart[second], axis=-1).mean()) if couples else 0.0
    width = 2 * sigma**2
    location = _ABSOLUTE * math.exp(-float(np.linalg.norm(apart, axis=-1).mean()) / width)
    location += _RELATIVE * math.exp(-offsets / width)
    sizes = [_areas(boxes) for boxes in (here, there)]
    larger = [_sign(area[first] - area[second]) for area in sizes]
    area = _ABSOLUTE * (1 - float(np.abs(sizes[0] - sizes[1]).mean()))
    area += _RELATIVE * (float((larger[0] == larger[1]).mean()) if couples else 1.0)
    return recall, precision, location, area


def _checked(layout: Layout, name: str) -> Layout:
    labels, boxes = np.asarray(layout.labels), np.asarray(layout.boxes, np.float64)
    if labels.ndim != 1 or boxes.size != 4 * len(labels):
        raise ValueError(f"{name} must have labels [n] and boxes [n, 4], got {labels.shape} and {boxes.shape}.")
    boxes = boxes.reshape(-1, 4)
    wrong = ~((boxes >= -_EQUAL) & (boxes <= 1 + _EQUAL)).all(1) | (boxes[:, 2:] < boxes[:, :2]).any(1)
    if wrong.any():
        shown = boxes[wrong][0].tolist()
        raise ValueError(
            f"{name}: boxes must be left, top, right and bottom as shares of the picture, from 0 to 1, got {shown}."
        )
    return Layout(labels, boxes)


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _sign(difference: np.ndarray) -> np.ndarray:
    return np.where(np.abs(difference) <= _EQUAL, 0, np.sign(difference))


def _mean(rows: np.ndarray) -> Share:
    error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else float("nan")
    return Share(float(rows.mean()), error, len(rows))
