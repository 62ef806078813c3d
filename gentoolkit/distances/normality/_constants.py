"""Constants that depend on the sample size alone, built once on the host in float64."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Positions = Literal["elfving", "blom", "rahman"]


def along_last(constants: np.ndarray | jax.Array, y: jax.Array) -> jax.Array:
    """Returns constants `[n]` as an array of the dtype and the number of axes of `y`."""
    return jnp.asarray(constants, y.dtype).reshape((1,) * (y.ndim - 1) + constants.shape)


@functools.lru_cache(maxsize=64)
def plotting_positions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(i - 1/2)/n` and its complement `(n - i + 1/2)/n` for i = 1 … n, neither a difference from one."""
    lower = (np.arange(n) + 0.5) / n
    return _frozen(lower), _frozen(lower[::-1].copy())


@functools.lru_cache(maxsize=64)
def bin_means(n: int) -> np.ndarray:
    """Returns the means of N(0, 1) within its n bins of probability 1/n, antisymmetric to the last bit.

    In float32 they would be off by 7e-3 at n = 65,536, hence float64.
    """
    from scipy import special

    lower_half = (n + 1) // 2
    edges = special.ndtri(np.arange(lower_half + 1) / n)
    density = np.exp(-0.5 * edges * edges) / np.sqrt(2 * np.pi)
    return _frozen(_antisymmetric(n * (density[:-1] - density[1:]), n))


@functools.lru_cache(maxsize=64)
def transport_floor(n: int) -> float:
    """Returns the least squared W2 between n equal atoms and N(0, 1): the mean variance within the bins."""
    return float(1.0 - np.mean(np.square(bin_means(n))))


@functools.lru_cache(maxsize=64)
def anderson_darling_floor(n: int) -> float:
    """Returns twice the mean binary entropy of the plotting positions less one: the least Anderson-Darling value."""
    lower, upper = plotting_positions(n)
    return float(-2.0 * np.mean(lower * np.log(lower) + upper * np.log(upper)) - 1.0)


@functools.lru_cache(maxsize=64)
def ranks_between_zero_and_one(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(i - 1)/(n - 1)` and its complement `(n - i)/(n - 1)` for i = 1 … n, n > 1."""
    lower = np.arange(n) / (n - 1)
    return _frozen(lower), _frozen(lower[::-1].copy())


@functools.lru_cache(maxsize=64)
def likelihood_constant(n: int) -> float:
    """Returns the mean of n - 1 entropies of the rank, less log n!/((i - 1)! (n - i)!), plus log(2 pi)/2."""
    from scipy import special

    orders = np.arange(n)
    counts = special.gammaln(n + 1) - special.gammaln(orders + 1) - special.gammaln(n - orders)
    lower = orders / max(n - 1, 1)
    entropies = (n - 1) * (special.entr(lower) + special.entr(1 - lower))
    return float(np.mean(entropies - counts) + 0.5 * np.log(2 * np.pi))


@functools.lru_cache(maxsize=64)
def expected_order_statistics(n: int) -> np.ndarray:
    """Returns E[Z_(i:n)] for i = 1 … n, the expected ordered sample of n draws of N(0, 1).

    The density of each is integrated by the trapezoid rule on nodes about its mode, in steps of a fraction of its own
    width. The densities are analytic and log-concave, so that the rule converges to rounding error. Extreme order
    statistics have one long tail (Gumbel's) and take more nodes.
    """
    orders = np.arange(1, (n + 1) // 2 + 1)
    extreme, central = orders[orders <= 64], orders[orders > 64]
    means = [_order_statistic_means(extreme, n, reach=50.0, num_nodes=600)]
    for block in np.array_split(central, 1 + len(central) // 4096):
        means.append(_order_statistic_means(block, n, reach=14.0, num_nodes=80))
    return _frozen(_antisymmetric(np.concatenate(means), n))


@functools.lru_cache(maxsize=64)
def royston_weights(n: int) -> np.ndarray:
    """Returns Royston's weights of the Shapiro-Wilk statistic, ascending, of unit length; of n = 1 a zero.

    Blom's scores, of which the outermost one or two are corrected by polynomials in 1/sqrt(n).
    """
    from scipy import special

    if n == 1:
        return _frozen(np.zeros(1))
    if n <= 3:
        ends = np.zeros(n)
        ends[[0, -1]] = -(0.5**0.5), 0.5**0.5
        return _frozen(ends)
    m = special.ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    total, u = float(np.sum(m * m)), n**-0.5
    polynomial = np.polynomial.polynomial.polyval
    last = m[-1] / total**0.5 + polynomial(u, [0, 0.221157, -0.147981, -2.071190, 4.434685, -2.706056])
    if n <= 5:
        corrected = [last]
    else:
        corrected = [polynomial(u, [0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633]) + m[-2] / total**0.5, last]
    outer = len(corrected)
    rest = total - 2 * float(np.sum(m[-outer:] ** 2))
    left = 1 - 2 * float(np.sum(np.square(corrected)))
    half = np.concatenate([m[n // 2 : n - outer] * (left / rest) ** 0.5, corrected])
    return _frozen(_antisymmetric(-half[::-1], n))


@functools.lru_cache(maxsize=64)
def normal_scores(n: int, positions: str, weights: str) -> np.ndarray:
    """Returns the weights of `normal_score_cosine`, of unit length; a zero for n = 1."""
    from scipy import special

    order = np.arange(1, n + 1)
    if positions not in get_args(Positions):
        raise ValueError(f"positions must be one of {get_args(Positions)}, got positions = {positions!r}.")
    probabilities = {
        "elfving": (order - np.pi / 8) / (n + 0.25),
        "blom": (order - 0.375) / (n + 0.25),
        "rahman": order / (n + 1),
    }
    m = special.ndtri(probabilities[positions])
    if weights == "rahman":
        density = np.exp(-0.5 * m * m) / np.sqrt(2 * np.pi)
        outer = np.concatenate([[0], m * density, [0]])
        m = density * (2 * m * density - outer[2:] - outer[:-2])
    elif weights != "francia":
        raise ValueError(f'weights must be "francia" or "rahman", got weights = {weights!r}.')
    return _frozen(m / max(float(np.linalg.norm(m)), 1e-300))


def _order_statistic_means(orders: np.ndarray, n: int, *, reach: float, num_nodes: int) -> np.ndarray:
    from scipy import special

    below, above = (orders - 1)[:, None], (n - orders)[:, None]
    mode = special.ndtri((orders - 0.375) / (n + 0.25))[:, None]
    # Curvature of the log-density at the (near) mode; it is at least one, so that the width is at most one.
    log_density = -0.5 * mode * mode - 0.5 * np.log(2 * np.pi)
    hazard_below = np.exp(log_density - special.log_ndtr(mode))
    hazard_above = np.exp(log_density - special.log_ndtr(-mode))
    curvature = 1 + below * hazard_below * (hazard_below + mode) + above * hazard_above * (hazard_above - mode)
    offset = np.linspace(-reach, reach, num_nodes) / np.sqrt(curvature)
    z = mode + offset
    log_weight = below * special.log_ndtr(z) + above * special.log_ndtr(-z) - 0.5 * z * z
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return mode[:, 0] + np.sum(offset * weight, axis=1) / np.sum(weight, axis=1)


def _antisymmetric(lower_half: np.ndarray, n: int) -> np.ndarray:
    if n % 2:
        lower_half = lower_half.copy()
        lower_half[-1] = 0.0
    return np.concatenate([lower_half, -lower_half[::-1][n % 2 :]])


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)  # cached: the next caller must find it as it was
    return array
