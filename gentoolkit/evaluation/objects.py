"""Whether pictures show what their texts ask for: objects found by a detector beside objects that were named.

    seen = objects.decode(grid.presence, grid.classes, grid.boxes)          # of a detector that is handed in
    scores = objects.accuracy(
        seen, asked, kind="shape", num_classes=8, bound=("shape", "colour"),
        directions=((-1, 0), (1, 0), (0, -1), (0, 1)),
    )
    scores["soa_c"].value, scores["soa_c"].standard_error

Everything here runs on the host. The detector's own recall on real pictures is the ceiling: print it beside.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gentoolkit.evaluation.result import jackknife_error

_BLOCKS = 50  # of the jackknife: whole pictures are left out, since objects of one are not independent
_FAINT = 0.1  # probability of an object from which `agreement` counts it as seen
_UNLIKELY = -7.0  # nats of a named object that is not there, and of a relation that does not hold
_CLEAR = 1.2  # how many times further along the asked axis than across it
_MOST = 4  # named objects up to which every way to say which is which is weighed


class Asked(Protocol):
    """What a text asks for, such as `gentoolkit.data.scenes.read` gives it."""

    @property
    def objects(self) -> Sequence[Mapping[str, int]]:
        """Classes of each object by kind, as far as they are said."""
        ...

    @property
    def relations(self) -> Sequence[tuple[int, int, int]]:
        """`(object, relation, object)`."""
        ...


class Found(NamedTuple):
    """Objects that were seen in one picture, the surest first.

    Attributes:
      classes: `[m]` by kind.
      boxes: `[m, 4]` left, top, right, bottom as shares of the side.
      scores: `[m]` probabilities.
    """

    classes: dict[str, np.ndarray]
    boxes: np.ndarray
    scores: np.ndarray


class Agreement(NamedTuple):
    """How well pictures show what one text asks for, and where.

    Attributes:
      nats: `[b]`, at most 0.
      boxes: `[b, m, 4]` of what was taken for each named object; NaN where it is not there.
    """

    nats: np.ndarray
    boxes: np.ndarray


class Share(NamedTuple):
    """A share with its doubt.

    Attributes:
      value: from 0 to 1; NaN where nothing asked for it.
      standard_error: by leaving out a part of the pictures at a time.
      num: how many things were asked for.
    """

    value: float
    standard_error: float
    num: int


def pooled(rows: np.ndarray) -> Share:
    """The share of what was asked for that is there, over all pictures.

    Args:
      rows: `[n, 2]`, of each picture how much is there and how much was asked for.

    Returns:
      The share, with an error by a jackknife over pictures.
    """

    def share(keep: Any) -> float:
        hits, num = rows[keep].sum(0)
        return hits / num if num else float("nan")

    everything = np.ones(len(rows), bool)
    return Share(share(everything), _jackknife(share, len(rows)), int(rows[:, 1].sum()))


def decode(
    presence: np.ndarray,
    classes: Mapping[str, np.ndarray],
    boxes: np.ndarray,
    *,
    threshold: float = 0.5,
    overlap: float = 0.4,
) -> list[Found]:
    """Takes objects from what a detector says of the cells of a grid.

    Args:
      presence: `[b, n]` logits.
      classes: `[b, n, k]` logits by kind.
      boxes: `[b, n, 4]`.
      threshold: least probability of an object.
      overlap: of two boxes whose intersection is a greater share of their union, the surer one stays.

    Returns:
      What is found in each picture.
    """
    probability = _sigmoid(presence)
    best = {name: np.asarray(logits).argmax(-1) for name, logits in classes.items()}
    boxes, found = np.asarray(boxes, np.float64), []
    for row, scores in enumerate(probability):
        kept = _kept(scores, boxes[row], threshold, overlap)
        found.append(Found({name: of[row, kept] for name, of in best.items()}, boxes[row, kept], scores[kept]))
    return found


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))


def _kept(scores: np.ndarray, boxes: np.ndarray, threshold: float, overlap: float) -> list[int]:
    """The places of a grid where an object is, the surest first."""
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        if scores[place] < threshold:
            break
        if all(intersection_over_union(boxes[place], boxes[other]) <= overlap for other in kept):
            kept.append(int(place))
    return kept


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> float:
    """The area that two boxes have in common, as a share of the area of both; 0 for a box without area."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(np.maximum(sides, 0.0)))
    both = sum(float(np.prod(np.maximum(box[2:] - box[:2], 0.0))) for box in (one, other)) - common
    return common / both if both > 0 else 0.0


def accuracy(
    found: Sequence[Found],
    asked: Sequence[Asked],
    *,
    kind: str,
    num_classes: int,
    bound: Sequence[str],
    directions: Sequence[tuple[int, int]],
    boxes: Sequence[Sequence[np.ndarray]] | None = None,
) -> dict[str, Share]:
    """Shares of what was asked for that is seen.

    Args:
      found: what a detector sees in each picture.
      asked: what the text of each picture asks for.
      kind: of classes by which objects are counted for Semantic Object Accuracy.
      num_classes: of that kind.
      bound: kinds that must be right together in one object for it to be the one that was named ("shape", "colour").
      directions: for each relation the direction, across and down, in which the first object lies from the second.
      boxes: for pictures painted from a layout, the boxes of each picture's objects, in the order of `asked`.

    Returns:
      By name: `soa_c` and `soa_i` (Semantic Object Accuracy, mean over classes and over all), `objects` (named objects
      that are there with all of `bound`, each found object standing for one), further kinds that are said of objects
      so found, `relations` (both objects there and clearly on the asked sides), `count` (as many objects as named), and
      with `boxes` `soa_iou`: of each picture and each class that is asked of it, the largest overlap of an object found
      of that class with a box asked for it; a class of which nothing is found is left out, as by the authors, so read
      it beside `soa_c`.

    Raises:
      ValueError: unequal numbers of pictures, or no picture.

    References:
      Hinz, Heinrich, Wermter, Semantic object accuracy for generative text-to-image synthesis, 2019, section 4.
    """
    if not found or len(found) != len(asked) or (boxes is not None and len(boxes) != len(found)):
        raise ValueError(f"found and asked must be of the same pictures, got {len(found)} and {len(asked)}.")
    parts: dict[str, list[Any]] = {}
    hits = np.zeros((len(found), num_classes))
    wanted = np.zeros((len(found), num_classes))
    for row, (seen, text) in enumerate(zip(found, asked, strict=True)):
        for value in {one[kind] for one in text.objects if kind in one}:
            wanted[row, value] = 1
            hits[row, value] = value in seen.classes[kind]
        match = _matched(seen, text, bound, directions)
        scores: dict[str, list[float]] = {"objects": [place is not None for place in match]}
        for name in {name for one in text.objects for name in one} - set(bound):
            scores[name] = [
                bool(seen.classes[name][place] == one[name])
                for place, one in zip(match, text.objects, strict=True)
                if place is not None and name in one
            ]
        middle = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2 if len(seen.boxes) else np.zeros((0, 2))
        scores["relations"] = [
            match[i] is not None and match[j] is not None and _lies(middle[match[i]] - middle[match[j]], directions[r])
            for i, r, j in text.relations
        ]
        scores["count"] = [len(seen.scores) == len(text.objects)]
        if boxes is not None:
            scores["soa_iou"] = _overlaps(seen, [one.get(kind) for one in text.objects], boxes[row], kind)
        for name, values in scores.items():
            parts.setdefault(name, [(0.0, 0)] * len(found))[row] = (float(np.sum(values)), len(values))
    shares = {name: pooled(np.array(rows, np.float64)) for name, rows in parts.items()}
    each = _jackknife(lambda keep: _mean_of_classes(hits[keep], wanted[keep]), len(found))
    shares["soa_c"] = Share(_mean_of_classes(hits, wanted), each, int(wanted.sum()))
    shares["soa_i"] = pooled(np.stack([hits.sum(1), wanted.sum(1)], axis=1))
    return shares


def agreement(
    presence: np.ndarray,
    classes: Mapping[str, np.ndarray],
    boxes: np.ndarray,
    asked: Asked,
    *,
    directions: Sequence[tuple[int, int]],
) -> Agreement:
    """How well pictures show what one text asks for: what the best of several is chosen by.

    The logarithm of the probability, by a detector, that the objects that it sees are the named ones and no others.
    Each named object is one of those seen, in the best of all ways to say which; one that is not there costs as much as
    an unlikely class, and so does a relation that does not hold. Where more than four are named, that way is chosen by
    the objects alone. No calibrated probability: compare pictures of one text.

    Args:
      presence: `[b, n]` logits of the cells of a grid, as for `decode`.
      classes: `[b, n, k]` logits by kind.
      boxes: `[b, n, 4]`.
      asked: what the text asks for.
      directions: as in `accuracy`.

    Returns:
      The logarithms, and the boxes of the named objects.

    References:
      Ramesh et al., Zero-shot text-to-image generation, ICML 2021, section 2.6: the best of several, there by CLIP.
    """
    logs = {name: _log_softmax(logits) for name, logits in classes.items()}
    boxes = np.asarray(boxes, np.float64)
    nats, where = np.empty(len(boxes)), np.full((len(boxes), len(asked.objects), 4), np.nan)
    for row, sure in enumerate(_sigmoid(presence)):
        own = {name: of[row] for name, of in logs.items()}
        nats[row], match = _agreement(sure, own, boxes[row], asked, directions)
        for one, place in enumerate(match):
            if place is not None:
                where[row, one] = boxes[row, place]
    return Agreement(nats, where)


def _agreement(sure, logs, boxes, asked: Asked, directions) -> tuple[float, list[int | None]]:
    """The value of one picture, and the cell of each named object."""
    kept = _kept(sure, boxes, _FAINT, 0.4)
    sure = np.clip(sure[kept], 1e-6, 1 - 1e-6)
    there, absent = np.log(sure), np.log1p(-sure)
    middle = (boxes[kept, :2] + boxes[kept, 2:]) / 2

    # Beside the surest of those seen, none for named objects that are not there.
    places = range(min(len(kept), len(asked.objects) + 2))

    def as_said(one: Mapping[str, int], i: int) -> float:
        """What it adds that a named object is the i-th of those seen, which else should not be there."""
        return max(there[i] - absent[i] + sum(logs[name][kept[i], value] for name, value in one.items()), _UNLIKELY)

    fits = [[as_said(one, i) for i in places] for one in asked.objects]
    holds = _holding(asked, middle, directions)
    best, match = _assigned(np.reshape(fits, (len(fits), len(places))), holds, missing=_UNLIKELY, broken=_UNLIKELY)
    return float(absent.sum() + best), [None if place is None else kept[place] for place in match]


Match = Sequence[int | None]  # for each named object the place of one that was seen, or none


def _holding(asked: Asked, middle: np.ndarray, directions) -> Callable[[Match], list[bool]]:
    """For a match, which relations hold among the matched: those of objects that are both there, clearly so."""

    def holds(match: Match) -> list[bool]:
        found = []
        for i, relation, j in asked.relations:
            one, other = match[i], match[j]
            there = one is not None and other is not None
            found.append(there and _lies(middle[one] - middle[other], directions[relation]))
        return found

    return holds


def _assigned(
    fits: np.ndarray, holds: Callable[[Match], list[bool]], *, missing: float, broken: float
) -> tuple[float, Match]:
    """The best way to say which of the seen objects each named one is, each seen one at most once.

    Args:
      fits: `[n, m]` gains; -inf where a seen object cannot be the named one.
      holds: which relations hold in a match.
      missing: gain of a named object that is none of those seen.
      broken: gain of a relation that does not hold, at most 0.

    Returns:
      The sum of gains and the match. Of more than `_MOST` named objects relations have no say in which is which.
    """
    from scipy.optimize import linear_sum_assignment

    num, seen = fits.shape
    whole = np.concatenate([fits, np.full((num, num), missing)], axis=1)
    # Solvers refuse infinite gains: one that is worse than all others together is never taken beside "none".
    _, columns = linear_sum_assignment(np.maximum(whole, -1e9), maximize=True)

    def value(match: Match) -> float:
        gains = sum(missing if place is None else float(row[place]) for row, place in zip(fits, match, strict=True))
        return gains + broken * holds(match).count(False)

    first = [int(column) if column < seen else None for column in columns]
    best, chosen = value(first), first
    most = np.append(whole.max(1, initial=missing)[::-1].cumsum()[::-1], 0.0)  # of the objects from each on
    if all(holds(first)) or num > _MOST:
        return best, chosen

    def further(match: list[int | None], gained: float) -> None:
        nonlocal best, chosen
        row = len(match)
        if gained + most[row] <= best:
            return
        if row == num:
            total = value(match)
            if total > best:
                best, chosen = total, match
            return
        for place in [*range(seen), None]:
            gain = missing if place is None else float(fits[row, place])
            if (place is None or place not in match) and gain > -np.inf:
                further([*match, place], gained + gain)

    further([], 0.0)
    return best, chosen


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    x = np.asarray(logits, np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _matched(seen: Found, text: Asked, bound: Sequence[str], directions) -> Match:
    """For each object that is named the place of one that was found and has all of `bound`, each at most once.

    As many as can be; of several ways to do so the one in which most of what else is said is right, then that of the
    surest, then of most relations.
    """
    fits = np.full((len(text.objects), len(seen.scores)), -np.inf)
    for row, one in enumerate(text.objects):
        for place in range(len(seen.scores)):
            if all(seen.classes[name][place] == one[name] for name in bound if name in one):
                right = sum(bool(seen.classes[name][place] == value) for name, value in one.items())
                fits[row, place] = 1 + 1e-3 * right - 1e-6 * place
    middle = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
    return _assigned(fits, _holding(text, middle, directions), missing=0.0, broken=-1e-9)[1]


def _overlaps(seen: Found, classes: Sequence[int | None], boxes: Sequence[np.ndarray], kind: str) -> list[float]:
    """The best overlap of a found and an asked box of each class that is both asked for and found."""
    best: dict[int, float] = {}
    for value, asked in zip(classes, boxes, strict=True):
        if value is None:
            continue
        for box in seen.boxes[seen.classes[kind] == value]:
            best[value] = max(best.get(value, 0.0), intersection_over_union(asked, box))
    return list(best.values())


def _lies(offset: np.ndarray, direction: tuple[int, int]) -> bool:
    along = float(offset @ np.array(direction))
    across = float(abs(offset @ np.array(direction[::-1])))
    return along > 0 and along >= _CLEAR * across


def _mean_of_classes(hits: np.ndarray, wanted: np.ndarray) -> float:
    num = wanted.sum(0)
    return float(np.mean(hits.sum(0)[num > 0] / num[num > 0])) if num.any() else float("nan")


def _jackknife(function: Any, num: int) -> float:
    blocks = np.arange(num) % min(_BLOCKS, num)
    return jackknife_error(np.array([function(blocks != block) for block in range(blocks.max() + 1)]))
