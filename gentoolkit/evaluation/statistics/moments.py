"""Means with their standard errors, and covariances, of any number of rows in constant memory."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gentoolkit.evaluation.measure import Statistic, Values

Of = str | Callable[[Values], np.ndarray]


class Mean(NamedTuple):
    """A mean over rows, float64.

    Attributes:
      num: how many rows.
      value: `[...]`.
      standard_error: `[...]`, of the mean over independent rows; NaN for one row.
    """

    num: int
    value: np.ndarray
    standard_error: np.ndarray


class FeatureMoments(NamedTuple):
    """Moments of features over a set of images, float64 NumPy.

    Attributes:
      num: how many images.
      mean: `[d]`.
      cov: `[d, d]`, divided by `num - 1`.
    """

    num: int
    mean: np.ndarray
    cov: np.ndarray


class Sums(NamedTuple):
    """Of rows `[n, ...]`: their number, mean, and the sum of squares (or outer products) about the mean."""

    num: int
    mean: np.ndarray
    scatter: np.ndarray


def chosen(of: Of, values: Values) -> np.ndarray:
    """The array that `of` names or computes."""
    if callable(of):
        return np.asarray(of(values))
    if of not in values:
        raise ValueError(f"There is no array {of!r} among {', '.join(values)}.")
    return np.asarray(values[of])


def mean(of: Of) -> Statistic:
    """Mean over rows and its standard error, entry by entry.

    Args:
      of: `[b, ...]`.

    Returns:
      A statistic whose result is a `Mean`.
    """

    def finish(sums: Sums) -> Mean:
        # A single row has no spread: 0 / 0, quietly.
        with np.errstate(invalid="ignore"):
            error = np.sqrt(sums.scatter / np.float64(sums.num - 1) / sums.num)
        return Mean(sums.num, sums.mean, error)

    return _summed(_Adder(lambda values: chosen(of, values), lambda x: np.sum(np.square(x), axis=0)), finish)


def moments(of: Of) -> Statistic:
    """Mean and covariance of features; memory is that of a batch and two d x d matrices, whatever the number of rows.

    Args:
      of: `[b, d]`.

    Returns:
      A statistic whose result is a `FeatureMoments`; `ValueError` for fewer than two rows, or no features `[b, d]`.
    """

    def finish(sums: Sums) -> FeatureMoments:
        if sums.num < 2:
            raise ValueError(f"A covariance needs at least two images, got {sums.num}.")
        return FeatureMoments(sums.num, sums.mean, sums.scatter / (sums.num - 1))

    return _summed(feature_sums(of), finish)


class _Adder(NamedTuple):
    """How rows are added up: what is taken of the values of a batch, and what rows about a mean add to the scatter."""

    chosen: Callable[[Values], np.ndarray]
    scatter: Callable[[np.ndarray], np.ndarray]

    def merge(self, a: Sums, b: Sums) -> Sums:
        """Sums over the rows of both."""
        if not a.num or not b.num:
            return a if a.num else b
        # Means and squares of two groups put together: nothing that would cancel.
        joint, row = _between(a, b.num, b.mean)
        return joint._replace(scatter=a.scatter + b.scatter + self.scatter(row))

    def add(self, sums: Sums, x: np.ndarray) -> Sums:
        """Sums with more rows."""
        if not len(x):
            return sums
        x = x.astype(np.float64)
        own = x.mean(axis=0)
        joint, row = _between(sums, len(x), own)
        return joint._replace(scatter=sums.scatter + self.scatter(np.concatenate([x - own, row])))


def feature_sums(of: Of) -> _Adder:
    """How features `[b, d]` are added up to mean and covariance; `ValueError` where there are none."""

    def features(values: Values) -> np.ndarray:
        x = chosen(of, values)
        if x.ndim != 2:
            raise ValueError(f"features must be [b, d], got shape {x.shape}.")
        return x

    return _Adder(features, lambda x: x.T @ x)


def _between(a: Sums, num: int, own: np.ndarray) -> tuple[Sums, np.ndarray]:
    """The joint number and mean with another group, and the row that the distance of the means adds to scatters."""
    total, step = a.num + num, own - a.mean
    return Sums(total, a.mean + step * (num / total), a.scatter), step[None] * math.sqrt(a.num * num / total)


def _summed(adder: _Adder, finish: Callable[[Sums], Any]) -> Statistic:
    def update(sums: Sums, values: Values) -> Sums:
        return adder.add(sums, adder.chosen(values))

    return Statistic(lambda: Sums(0, np.zeros(()), np.zeros(())), update, adder.merge, finish)
