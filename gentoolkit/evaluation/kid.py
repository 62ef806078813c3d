"""Kernel inception distance: an unbiased discrepancy of features, fit for few images."""

import math
import warnings

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result


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
    those of the subsets it serves all of them. The standard error is that of images drawn anew (a jackknife over the
    images of each subset, scaled to all images); the deviation over subsets, which other tools print, is
    `extra["subset_std"]`: subsets of one set overlap, and where they are the whole set it is 0. KID can be negative.

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
    error = 2.0 * math.sqrt(spread_x.mean() / len(x) + spread_y.mean() / len(y))
    extra = {
        "times_1000": 1000 * value,
        "subset_std": deviation,
        "num_subsets": num_subsets,
        "subset_size": size,
        "seed": seed,
        "resampling": "jackknife over the images of each subset",
    }
    return result.of(value, error, real=real, generated=generated, extra=extra)


def _by_all_pairs(x, y, chosen, degree):
    """One kernel matrix for all subsets; None where that is the more work, or more than fits."""
    num, size = len(chosen), len(chosen[0][0])
    n, m = len(x), len(y)
    # The own pairs of a side are half a product.
    if 0.5 * n * n + 0.5 * m * m + n * m > 2.0 * num * size * size or n * n + m * m + n * m > 2**28:
        return None
    xx, yy, xy = (_kernel(*pair, degree) for pair in ((x, x), (y, y), (x, y)))
    return [
        _discrepancy(xx[np.ix_(rows, rows)], yy[np.ix_(columns, columns)], xy[np.ix_(rows, columns)])
        for rows, columns in chosen
    ]


def _by_subset(x, y, chosen, degree):
    for rows, columns in chosen:
        a, b = x[rows], y[columns]
        yield _discrepancy(_kernel(a, a, degree), _kernel(b, b, degree), _kernel(a, b, degree))


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


def _discrepancy(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> tuple[float, float, float]:
    """The unbiased estimate, and how what each image of either side adds to it varies."""
    size = len(xx)
    means = []
    for own in (xx, yy):
        means.append((own.sum(axis=1, dtype=np.float64) - np.diagonal(own).astype(np.float64)) / (size - 1))
    across = xy.sum(axis=1, dtype=np.float64) / size, xy.sum(axis=0, dtype=np.float64) / size
    value = means[0].mean() + means[1].mean() - 2.0 * across[0].mean()
    spreads = [(own - other).var(ddof=1) for own, other in zip(means, across, strict=True)]
    return value, *spreads
