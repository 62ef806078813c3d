"""Fréchet inception distance, with its doubt and its bias."""

import warnings

import numpy as np

from gentoolkit.evaluation import features, laws, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.laws import Law
from gentoolkit.evaluation.result import Result
from gentoolkit.evaluation.statistics.blocks import dealt, merged, moments_of, without
from gentoolkit.evaluation.statistics.moments import Sums

_TOLD = {
    "both": "of both sides",
    "generated": "of generated images, the real ones' statistics fixed",
    "real": "of real images, the generated ones' statistics fixed",
    "none": "none: statistics without parts",
}


def fid(real: Features, generated: Features, *, num_blocks: int = 8) -> Result:
    """Squared Fréchet distance between normal laws fitted to the features of real and of generated images.

    With Inception's pool features this is the FID. The standard error is a jackknife: images are left out block by
    block, on both sides at once where both are known by blocks or by rows, else on the generated side, the statistics
    of the other being fixed. Rows are dealt out to blocks at random, by a fixed seed, whatever their order. For fewer
    images than features the error is too large, up to twice.

    The distance is biased upward, the more so the fewer images, by some c / n: `extra["extrapolated"]` is where the
    straight line in 1/n through the value, and the mean of those with a block left out, meets 1/n = 0, where n is of
    the sides that images are left out of: `extra["extrapolated_sides"]` says "both", "generated" (the bias that the
    other side's statistics brought with them stays in), "real" or "none". For fewer images than features the bias is no
    such line, and that figure is to be doubted.

    Args:
      real: features of real images, or statistics that were saved.
      generated: features of generated images.
      num_blocks: into how many blocks rows are cut, at least 2; moments come with theirs. Costs one distance each.

    Returns:
      The distance. A warning where either set has no more images than there are features.

    Raises:
      ValueError: features of different networks or preprocessings, or `num_blocks` < 2.

    References:
      Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs trained by a two time-scale update rule", 2017, eq. (6).
      Chong and Forsyth, "Effectively unbiased FID and Inception score and where to find them", CVPR 2020 (1/n).
      Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 11 (the jackknife).
    """
    features.check_alike(real, generated)
    if num_blocks < 2:
        raise ValueError(f"num_blocks must be at least 2, got {num_blocks}.")
    least = min(num for num in (real.num, generated.num, np.inf) if num is not None)
    if least <= generated.dim:
        warnings.warn(
            f"The Fréchet distance of {least} images with {generated.dim} features is mostly bias: take more images, "
            "or KID.",
            stacklevel=2,
        )
    sides = [_Side(side, num_blocks) for side in (real, generated)]
    value = laws.squared_distance(*(side.law(None) for side in sides))
    num = min((side.num_blocks for side in sides if side.num_blocks > 1), default=0)
    parts = np.array([laws.squared_distance(*(side.law((b, num)) for side in sides)) for b in range(num)])
    error = result.jackknife_error(parts)
    extra = {
        "extrapolated": num * value - (num - 1) * parts.mean() if num else float("nan"),
        "extrapolated_sides": _resampled(sides),
        "resampling": f"jackknife of {num} blocks, {_TOLD[_resampled(sides)]}" if num else _TOLD["none"],
    }
    return result.of(value, error, real=real, generated=generated, extra=extra)


def contributions(real: Features, generated: Features) -> tuple[np.ndarray, np.ndarray | None]:
    """How much each image adds to the Fréchet distance: n times its derivative by the weight of that image.

    Of either side they have the mean 0 over its images; an image with a large one moves the distance by about that,
    over n, when it is counted once more.

    Args:
      real: features of real images.
      generated: features of generated images, with their rows.

    Returns:
      `[n]` for the generated images, and `[m]` for the real ones where their rows are there, else None.

    Raises:
      ValueError: features of different networks or preprocessings, or no rows on the generated side.
    """
    features.check_alike(real, generated)
    sides = [_law(side) for side in (generated, real)]
    own = _influence(features.rows_of(generated, "generated"), sides[0], sides[1])
    return own, None if real.rows is None else _influence(real.rows, sides[1], sides[0])


def _law(side: Features) -> Law:
    few = side.rows is not None and len(side.rows) <= side.dim
    return laws.of_rows(features.rows_of(side, "side")) if few else laws.of_moments(side.moments)


def _influence(rows: np.ndarray, own: Law, other: Law) -> np.ndarray:
    root = laws.transport_root(other, own)
    x = rows - own.mean
    carried = np.concatenate([np.square(part @ root).sum(axis=1) for part in _parts(x)])
    found = np.einsum("nd,nd->n", x, x) - carried + 2.0 * x @ (own.mean - other.mean)
    return found - found.mean()


def _parts(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + 4096] for start in range(0, len(x), 4096)]


class _Side:
    """One set of images, from which blocks can be left out."""

    def __init__(self, side: Features, num_blocks: int):
        self._rows = side.rows if side.rows is not None and len(side.rows) <= side.dim else None
        if self._rows is not None:
            self._sums: list[Sums] = []
            self.num_blocks = min(num_blocks, len(self._rows) // 2)  # so that two images are left
        else:
            self._sums = list(side.blocks) if side.rows is None else _summed(side.rows, num_blocks)
            self._total = merged(self._sums)
            largest = max(part.num for part in self._sums)
            self.num_blocks = len(self._sums) if self._total.num - largest > 1 else 1

    def law(self, left_out: tuple[int, int] | None) -> Law:
        """The law of all images, or of those that are not in a block of so many."""
        if left_out is None or self.num_blocks == 1:
            if self._rows is not None:
                return laws.of_rows(self._rows)
            return laws.of_moments(moments_of(self._total))
        block, num = left_out
        if self._rows is not None:
            return laws.of_rows(np.delete(self._rows, dealt(len(self._rows), num)[block], axis=0))
        return laws.of_moments(moments_of(without(self._total, merged(self._sums[block::num]))))


def _summed(rows: np.ndarray, num_blocks: int) -> list[Sums]:
    found = []
    for places in dealt(len(rows), min(num_blocks, len(rows))):
        part = rows[places].astype(np.float64)
        mean = part.mean(axis=0)
        part -= mean
        found.append(Sums(len(part), mean, part.T @ part))
    return found


def _resampled(sides: list[_Side]) -> str:
    real, generated = (side.num_blocks > 1 for side in sides)
    if real and generated:
        return "both"
    return "generated" if generated else "real" if real else "none"
