"""The rows themselves, for what needs a sample whole: sorted slices, neighbours, kernels between all pairs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gentoolkit.evaluation.measure import Statistic, Values
from gentoolkit.evaluation.statistics.moments import Of, chosen


def rows(of: Of, *, limit: int | None = None, finish: Callable[[np.ndarray], Any] | None = None) -> Statistic:
    """Keeps the rows of an array. This grows with the data: 4 n d bytes.

    Args:
      of: `[b, ...]`.
      limit: the most rows to keep, from the first on; None keeps all.
      finish: what to make of them at the end, such as `lambda z: evaluation.normality(z, directions)`; None returns
        them.

    Returns:
      A statistic whose result is `[n, ...]` float32 (or what `finish` gives). With several processes those of the first
      come first, so that the order is not that of the stream.

    Raises:
      ValueError: limit < 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be >= 1 or None, got limit = {limit}.")

    def update(parts: list[np.ndarray], values: Values) -> list[np.ndarray]:
        return [*parts, chosen(of, values).astype(np.float32)]

    def done(parts: list[np.ndarray]) -> Any:
        whole = np.concatenate(parts)[:limit]
        return whole if finish is None else finish(whole)

    def enough(parts: list[np.ndarray]) -> bool:
        return limit is not None and sum(map(len, parts)) >= limit

    return Statistic(list, update, lambda a, b: a + b, done, enough)
