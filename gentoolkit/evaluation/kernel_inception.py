"""Kernel inception distance: an unbiased discrepancy of features, fit for few images."""

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result

_BLOCK = 2048  # rows of the matrix of all pairs at a time
_Chosen = Sequence[tuple[np.ndarray, np.ndarray]]  # the members of each subset, of either side


def kid(
    real: Features,
    generated: Features,
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
    degree: int = 3,
) -> Result:
    """Squared maximum mean discrepancy by the kernel (x . y / d + 1)^degree, unbiased, averaged over random subsets.

    Subsets are drawn without replacement by NumPy's `RandomState(seed)`, for real then for generated images, as
    torch-fidelity draws them: at equal seed both are the same number. Where one matrix of all pairs costs less than
    those of the subsets it serves all of them. The standard error is that of images and subsets drawn anew: what an
    image adds varies by s^2, by a jackknife over the images of each subset; of n images in S subsets of m it leaves
    s^2 (1/n + (1 - m/n) / (S m)). The second term is there because few subsets miss images. The deviation over
    subsets, which other tools print, is `extra["subset_std"]`: 0 where they are the whole set. KID can be negative.

    Args:
      real: features of real images, with their rows.
      generated: features of generated images, with their rows.
      num_subsets: how many subsets.
      subset_size: images of each side in a subset, at least 2. Where a set has fewer it is that number, with a warning.
      seed: of the subsets.
      degree: of the polynomial, at least 1.

    Returns:
      The mean over subsets; `extra["times_1000"]` is how it is often printed.

    Raises:
      ValueError: features of different networks or preprocessings, no rows, or a number out of range.

    References:
      Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, section 4 (the estimator of eq. 3).
      Efron and Stein, "The jackknife estimate of variance", 1981.
    """
    features.check_alike(real, generated)
    x, y = features.rows_of(real, "real"), features.rows_of(generated, "generated")
    for name, number, least in (
        ("num_subsets", num_subsets, 1),
        ("subset_size", subset_size, 2),
        ("degree", degree, 1),
    ):
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}.")
    size = min(subset_size, len(x), len(y))
    if size < subset_size:
        warnings.warn(
            f"subset_size is {size} instead of {subset_size}: there are {len(x)} real and {len(y)} generated images.",
            stacklevel=2,
        )
    draw = np.random.RandomState(seed)
    chosen = [
        (draw.choice(len(x), size, replace=False), draw.choice(len(y), size, replace=False)) for _ in range(num_subsets)
    ]
    found = np.array(list(_by_all_pairs(x, y, chosen, degree) or _by_subset(x, y, chosen, degree)))
    values, spread_x, spread_y = found.T
    value, deviation = float(values.mean()), float(values.std())
    # Subsets are independent of one another once the images are given: theirs is the error of m out of n, over S.
    shares = [1 / n + (1 - size / n) / (num_subsets * size) for n in (len(x), len(y))]
    error = 2.0 * math.sqrt(spread_x.mean() * shares[0] + spread_y.mean() * shares[1])
    extra = {
        "times_1000": 1000 * value,
        "subset_std": deviation,
        "num_subsets": num_subsets,
        "subset_size": size,
        "seed": seed,
        "resampling": "jackknife over the images of each subset, and the draw of subsets",
    }
    return result.of(value, error, real=real, generated=generated, extra=extra)


def _by_all_pairs(
    x: np.ndarray, y: np.ndarray, chosen: _Chosen, degree: int
) -> list[tuple[float, float, float]] | None:
    """One kernel matrix for all subsets, never whole in memory; None where that is the more work.

    What an image shares with all images of a subset is a product of the matrix with the subsets' members, 0 and 1.
    """
    num, size = len(chosen), len(chosen[0][0])
    n, m = len(x), len(y)
    # In float64 and in blocks, a pair costs some twice of what it does within a subset.
    if n * n + m * m + 2 * n * m > 2 * num * size * size:
        return None
    members = [np.zeros((rows, num)) for rows in (n, m)]
    for index, sides in enumerate(chosen):
        for member, places in zip(members, sides, strict=True):
            member[places, index] = 1.0
    sums = {pair: np.zeros((len((x, y)[pair[0]]), num)) for pair in ((0, 0), (1, 1), (0, 1), (1, 0))}
    for (i, a), (j, b) in (((0, x), (0, x)), ((1, y), (1, y)), ((0, x), (1, y))):
        for rows in _blocks(len(a)):
            for columns in _blocks(len(b)):
                if i == j and columns.start < rows.start:
                    continue
                kernel = _kernel(a[rows], b[columns], degree).astype(np.float64)
                sums[i, j][rows] += kernel @ members[j][columns]
                if i != j or rows.start != columns.start:
                    sums[j, i][columns] += kernel.T @ members[i][rows]
    own = [_of_itself(side, degree) for side in (x, y)]
    return [
        _discrepancy(
            [(sums[i, i][places, index] - own[i][places]) / (size - 1) for i, places in enumerate(sides)],
            [sums[i, 1 - i][places, index] / size for i, places in enumerate(sides)],
        )
        for index, sides in enumerate(chosen)
    ]


def _by_subset(x: np.ndarray, y: np.ndarray, chosen: _Chosen, degree: int) -> Iterator[tuple[float, float, float]]:
    for rows, columns in chosen:
        a, b = x[rows], y[columns]
        size = len(rows)
        within = [
            (_kernel(side, side, degree).sum(axis=1, dtype=np.float64) - _of_itself(side, degree)) / (size - 1)
            for side in (a, b)
        ]
        between = _kernel(a, b, degree)
        yield _discrepancy(within, [between.sum(axis=axis, dtype=np.float64) / size for axis in (1, 0)])


def _discrepancy(within: list[np.ndarray], between: list[np.ndarray]) -> tuple[float, float, float]:
    """The unbiased estimate of a subset, and how what each image of either side adds to it varies.

    Args:
      within: for either side, the mean kernel of each image with the others of its side.
      between: and with those of the other side.
    """
    value = within[0].mean() + within[1].mean() - 2.0 * between[0].mean()
    spreads = [(own - other).var(ddof=1) for own, other in zip(within, between, strict=True)]
    return float(value), float(spreads[0]), float(spreads[1])


def _of_itself(x: np.ndarray, degree: int) -> np.ndarray:
    return (np.einsum("nd,nd->n", x, x, dtype=np.float64) / x.shape[1] + 1.0) ** degree


def _blocks(num: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, num)) for start in range(0, num, _BLOCK)]


def _kernel(a: np.ndarray, b: np.ndarray, degree: int) -> np.ndarray:
    """Float32 as the features: what products round off averages out over the pairs. Sums are float64."""
    inner = a @ b.T
    inner *= np.float32(1.0 / a.shape[1])
    inner += np.float32(1.0)
    if degree == 1:
        return inner
    power = inner * inner
    for _ in range(degree - 2):
        power *= inner
    return power
