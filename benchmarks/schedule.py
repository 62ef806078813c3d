"""Who is called when: equal time for each, taking turns, and a prediction of what would take too long."""

from collections.abc import Hashable, Sequence


def allot(seconds: Sequence[float], share: float, most: int, least: int = 3, short: float = 0.1) -> list[int]:
    """Returns how often to call each implementation, giving each about the same time.

    Args:
      seconds: of one call of each.
      share: seconds for all of them.
      most: of any count.
      least: of any count, given up one by one (down to 1) where the share does not reach.
      short: calls of at most so many seconds keep 5 (if `most` allows) even then: they cost little, and one timing of a
        short call on a shared machine says nothing.

    Returns:
      The counts.
    """
    floors = [min(most, 5) if call <= short else 1 for call in seconds]
    least = min(least, most)
    while least > 1 and least * sum(seconds) > share:
        least -= 1

    def counts(each: float) -> list[int]:
        return [
            int(min(most, max(least, floor, each // max(call, 1e-9))))
            for call, floor in zip(seconds, floors, strict=True)
        ]

    low, high = 0.0, max(share, 1e-9)
    for _ in range(50):
        middle = (low + high) / 2
        total = sum(count * call for count, call in zip(counts(middle), seconds, strict=True))
        low, high = (middle, high) if total <= share else (low, middle)
    return counts(low)


def rounds(counts: Sequence[int]) -> list[list[int]]:
    """Returns who is called in each round: the rare ones spread evenly, the order turning from round to round."""
    num_rounds = max(counts, default=0)
    schedule = []
    for turn in range(num_rounds):
        due = [i for i, count in enumerate(counts) if (turn + 1) * count // num_rounds > turn * count // num_rounds]
        schedule.append(due[turn % len(due) :] + due[: turn % len(due)])
    return schedule


class Predictor:
    """Predicts the seconds of a call from calls of the same thing at other sizes."""

    def __init__(self) -> None:
        """Starts with nothing known."""
        self._known: dict[Hashable, list[tuple[float, float]]] = {}

    def learn(self, key: Hashable, work: float, seconds: float) -> None:
        """Takes note of a call of `key` with so much work."""
        self._known.setdefault(key, []).append((work, seconds))

    def predict(self, key: Hashable, work: float) -> float | None:
        """Returns the least of the predictions from the known calls (fixed costs only raise them), None for none."""
        known = self._known.get(key, [])
        return min((seconds * work / known_work for known_work, seconds in known), default=None)
