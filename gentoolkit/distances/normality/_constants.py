"""Constants that depend on the sample size alone, built once on the host in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


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
