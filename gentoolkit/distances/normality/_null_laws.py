"""Survival functions of statistics under the null, on the host in float64."""

import functools
from collections.abc import Callable

import numpy as np

# Upper 0.1 % point of the limit law of n times the Cramér-von Mises distance, from where its tail is used.
_CRAMER_VON_MISES_TAIL = 1.1678609
# Cdf of the limit law of the Anderson-Darling statistic from where the finite-sample correction is relative.
_ANDERSON_DARLING_TAIL = 0.95


def kolmogorov_smirnov(value: np.ndarray, n: int) -> np.ndarray:
    """Returns P(D >= value), exact."""
    from scipy import stats

    return stats.kstwo.sf(value, n)


def cramer_von_mises(value: np.ndarray, n: int) -> np.ndarray:
    """Returns P(CvM >= value): exact for n = 1, else SciPy's O(1/n²) expansion, the limit law's shape in the far tail.

    SciPy's probabilities lose all relative accuracy beyond 1e-6 and rise again further out; the limit law, scaled to
    meet them where it is 1e-3, stays positive and decreasing.
    """
    if n == 1:
        return 1 - 2 * np.sqrt(np.clip(value - 1 / 12, 0.0, 0.25))
    floor, ceiling = 1 / (12 * n * n), 1 / 3
    value = np.clip(value, floor, ceiling)
    seam = min(_CRAMER_VON_MISES_TAIL / n, ceiling)
    body = _cramer_von_mises_expansion(np.minimum(value, seam), n)
    at_seam = _cramer_von_mises_expansion(np.asarray([seam]), n)[0]
    tail = (
        at_seam * _cramer_von_mises_limit(np.maximum(value, seam) * n) / _cramer_von_mises_limit(np.asarray(seam * n))
    )
    survival = np.where(value < seam, body, tail)
    return np.where(value >= ceiling, 0.0, np.where(value <= floor, 1.0, survival))


def anderson_darling(value: np.ndarray, n: int) -> np.ndarray:
    """Returns P(AD >= value): exact for n = 1, else the limit law with Marsaglia and Marsaglia's correction for n.

    Their correction is a polynomial that ends at -6e-4/n instead of 0 where the cdf is 1; from a cdf of 0.95 on it is
    replaced by one that shrinks in proportion to the tail.
    """
    if n == 1:
        return 1 - np.sqrt(np.clip(1 - 4 * np.exp(-1 - value), 0.0, 1.0))
    survival = _anderson_darling_limit(np.maximum(value * n, 0.05))  # P(A² < 0.05) is below 1e-10
    body = np.minimum(1 - survival, _ANDERSON_DARLING_TAIL)
    shrink = np.minimum(survival / (1 - _ANDERSON_DARLING_TAIL), 1.0)
    return np.clip(survival - _anderson_darling_correction(body, n) * shrink, 0.0, 1.0)


def watson(value: np.ndarray, n: int) -> np.ndarray:
    """Returns P(Watson >= value): the limit law with Stephens' modification for n."""
    scaled = (np.asarray(value) * n - 0.1 / n + 0.1 / n**2) * (1 + 0.8 / n)
    # The series alternates and is of no use near 0, where the probability is 1.
    orders = np.arange(1, 30)
    terms = 2 * (-1.0) ** (orders - 1) * np.exp(-2 * np.pi**2 * np.multiply.outer(np.maximum(scaled, 0.005), orders**2))
    return np.clip(np.sum(terms, axis=-1), 0.0, 1.0)


def shapiro_wilk(value: np.ndarray, n: int) -> np.ndarray:
    """Returns P(1 - W >= value), 3 <= n <= 5000: exact for n = 3, else Royston's normal law of a transform of 1 - W."""
    from scipy import special

    value = np.clip(value, 0.0, 1.0)
    if n == 3:
        return np.clip(1 - 6 / np.pi * np.arcsin(np.sqrt(np.minimum(value, 0.25))), 0.0, 1.0)
    polynomial = np.polynomial.polynomial.polyval
    with np.errstate(divide="ignore"):
        logarithm = np.log(value)
    if n <= 11:
        gap = polynomial(n, [-2.273, 0.459]) - logarithm
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithm = np.where(gap > 0, -np.log(gap), np.inf)
        mean = polynomial(n, [0.5440, -0.39978, 0.025054, -0.0006714])
        deviation = np.exp(polynomial(n, [1.3822, -0.77857, 0.062767, -0.0020322]))
    else:
        x = np.log(n)
        mean = polynomial(x, [-1.5861, -0.31082, -0.083751, 0.0038915])
        deviation = np.exp(polynomial(x, [-0.4803, -0.082676, 0.0030302]))
    return special.ndtr((mean - logarithm) / deviation)


def log_normal(value: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """Returns P(X >= value) for the log-normal law of a mean and a variance."""
    from scipy import special

    spread = np.log1p(variance / mean**2)
    with np.errstate(divide="ignore"):
        z = (np.log(np.maximum(value, 0.0)) - np.log(mean) + spread / 2) / np.sqrt(spread)
    return special.ndtr(-z)


def _cramer_von_mises_expansion(value: np.ndarray, n: int) -> np.ndarray:
    """Asks SciPy for the p-values of samples of uniforms that are made to have the given statistics."""
    from scipy import stats

    # Moving each (i - 1/2)/n a fraction of its way to one makes all residuals proportional to the way.
    way = (n - np.arange(n) - 0.5) / n
    floor = 1 / (12 * n * n)
    fraction = np.sqrt(np.clip((value - floor) / (1 / 3 - floor), 0.0, 1.0)).reshape(-1, 1)
    blocks = np.array_split(fraction, 1 + fraction.size * n // 2**22)
    p_values = [stats.cramervonmises(1 - way * (1 - each), "uniform", axis=-1).pvalue for each in blocks if each.size]
    return np.minimum(np.concatenate([np.zeros(0), *p_values]), 1.0).reshape(value.shape)  # up to 1e-5 above one


def _anderson_darling_correction(cdf: np.ndarray, n: int) -> np.ndarray:
    """Returns what to add to the limit cdf for n draws (Marsaglia and Marsaglia 2004, section 3)."""
    polynomial = np.polynomial.polynomial.polyval
    knot = 0.01265 + 0.1757 / n
    high = polynomial(cdf, [-130.2137, 745.2337, -1705.091, 1950.646, -1116.360, 255.7844]) / n
    t = np.clip((cdf - knot) / (0.8 - knot), 0.0, 1.0)
    middle = polynomial(t, [-0.00022633, 6.54034, -14.6538, 14.458, -8.259, 1.91864]) * (0.04213 + 0.01365 / n) / n
    t = np.clip(cdf / knot, 0.0, 1.0)
    low = np.sqrt(t) * (1 - t) * (49 * t - 102) * (0.0037 / n**2 + 0.00078 / n + 0.00006) / n
    return np.where(cdf > 0.8, high, np.where(cdf < knot, low, middle))


def _cramer_von_mises_limit(x: np.ndarray) -> np.ndarray:
    """Returns P(Σ_j Z_j²/(π j)² > x)."""
    return _tail_mixture(x, *_cramer_von_mises_rule())


def _anderson_darling_limit(x: np.ndarray) -> np.ndarray:
    """Returns P(Σ_j Z_j²/(j (j + 1)) > x)."""
    return _tail_mixture(x, *_anderson_darling_rule())


@functools.cache
def _cramer_von_mises_rule() -> tuple[np.ndarray, np.ndarray]:
    return _smirnov_rule(lambda j: (np.pi * j) ** 2, lambda u: np.sin(np.sqrt(u)) / np.sqrt(u))


@functools.cache
def _anderson_darling_rule() -> tuple[np.ndarray, np.ndarray]:
    return _smirnov_rule(lambda j: j * (j + 1.0), lambda u: -np.cos(np.pi / 2 * np.sqrt(1 + 4 * u)) / (np.pi * u))


def _tail_mixture(x: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * np.multiply.outer(x, rates)) @ weights


def _smirnov_rule(
    root: Callable[[int], float], determinant: Callable[[np.ndarray], np.ndarray], num_intervals: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rates and weights with P(Σ_j Z_j²/root(j) > x) = Σ_k weights_k exp(-rates_k x/2), for x >= 0.05.

    Smirnov's formula for D(u) = Π (1 - u/root(j)): the sum over k of (-1)^(k+1)/π times the integrals of
    exp(-x u/2) / (u sqrt(-D(u))) from root(2k - 1) to root(2k), here by Gauss-Chebyshev quadrature, which absorbs the
    square-root singularities at both ends. Accurate in relative terms too, down to where a float64 underflows.
    """
    rates, weights = [], []
    for k in range(1, num_intervals + 1):
        num_nodes = 256 if k == 1 else 32  # the far tail is made at the very left end of the first interval
        cosine = np.cos((np.arange(num_nodes) + 0.5) * np.pi / num_nodes)
        left, right = root(2 * k - 1), root(2 * k)
        u = 0.5 * (left + right) + 0.5 * (right - left) * cosine
        rates.append(u)
        weights.append((-1) ** (k + 1) / len(u) * np.sqrt((u - left) * (right - u) / -determinant(u)) / u)
    return np.concatenate(rates), np.concatenate(weights)
