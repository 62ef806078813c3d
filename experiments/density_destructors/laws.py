"""Laws whose total correlation and mutual information are known, to measure estimators on."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.information import gaussian, student_t

# Draws for the truths that have no closed form: a standard error below 1 % of the truth at every d in use.
_MONTE_CARLO = 200_000
_CHUNK = 50_000  # of them at a time


class Law(NamedTuple):
    """A law and what its samples share.

    Attributes:
      name: for tables and files.
      dim: features d.
      draw: `(key, num) -> [num, d]`.
      total_correlation: of all features, nats.
      mutual_information: between the first d // 2 features and the rest, nats.
    """

    name: str
    dim: int
    draw: Callable[[jax.Array, int], jax.Array]
    total_correlation: float
    mutual_information: float


def student(dim: int, dof: float, *, correlated: bool = False) -> Law:
    """The Student t of the paper's figures 2 and 3; scatter I (the paper does not say) or correlated."""
    scatter = _correlation(dim) if correlated else np.eye(dim)
    with jax.enable_x64(True):
        total = float(student_t.total_correlation(scatter, dof=float(dof)))
        shared = float(student_t.mutual_information(scatter, dof=float(dof), split=dim // 2))
    name = f"t{dof:g}" + ("_correlated" if correlated else "")
    # In float32 whatever the truth was computed in.
    matrix = jnp.asarray(scatter, jnp.float32)
    return Law(name, dim, lambda key, num: student_t.sample(key, matrix, dof=dof, num=num), total, shared)


def skewed_copula(dim: int) -> Law:
    """A Gaussian copula with log-normal, exponential and uniform marginals in turn: T and I of the Gaussian."""
    correlation = _correlation(dim)
    factor = jnp.asarray(np.linalg.cholesky(correlation), jnp.float32)

    def draw(key, num):
        z = jax.random.normal(key, (num, dim)) @ factor.T
        u = jax.scipy.stats.norm.cdf(z)
        kind = jnp.arange(dim) % 3
        return jnp.where(kind == 0, jnp.exp(z), jnp.where(kind == 1, -jnp.log1p(-u * (1 - 1e-7)), u))

    with jax.enable_x64(True):
        total = float(gaussian.total_correlation(correlation))
        shared = float(gaussian.mutual_information(correlation, split=dim // 2))
    return Law("skewed_copula", dim, draw, total, shared)


def two_normals(dim: int) -> Law:
    """An even mixture of two normal laws, at +m and -m, with positive and negative correlation of neighbours."""
    mean = 0.8 * np.ones(dim)
    covariances = np.stack([_correlation(dim), _alternating(_correlation(dim))])
    factors = np.linalg.cholesky(covariances)

    def draw(key, num):
        which, noise = jax.random.split(key)
        first = jax.random.bernoulli(which, shape=(num, 1))
        z = jax.random.normal(noise, (num, dim))
        a, b = (z @ jnp.asarray(factor.T, jnp.float32) for factor in factors)
        center = jnp.asarray(mean, jnp.float32)
        return jnp.where(first, a + center, b - center)

    halves = (list(range(dim // 2)), list(range(dim // 2, dim)))
    rng = np.random.default_rng(0)
    totals, shared = [], []
    for _ in range(_MONTE_CARLO // _CHUNK):
        first = rng.integers(2, size=(_CHUNK, 1)) == 0
        z = rng.normal(size=(_CHUNK, dim))
        x = np.where(first, z @ factors[0].T + mean, z @ factors[1].T - mean)
        joint = _log_mixture(x, list(range(dim)), mean, covariances)
        totals.append(joint - sum(_log_mixture(x, [j], mean, covariances) for j in range(dim)))
        shared.append(joint - sum(_log_mixture(x, half, mean, covariances) for half in halves))
    return Law("two_normals", dim, draw, float(np.mean(totals)), float(np.mean(shared)))


def _log_mixture(x: np.ndarray, columns: list[int], mean: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Log-density of the chosen columns under the even mixture of N(mean, first) and N(-mean, second)."""
    parts = []
    for sign, covariance in zip((1, -1), covariances, strict=True):
        factor = np.linalg.cholesky(covariance[np.ix_(columns, columns)])
        white = np.linalg.solve(factor, (x[:, columns] - sign * mean[columns]).T)
        constant = np.log(np.diag(factor)).sum() + len(columns) / 2 * math.log(2 * math.pi)
        parts.append(-0.5 * (white**2).sum(0) - constant)
    return np.logaddexp(*parts) - math.log(2)


def circles(rng: np.random.Generator, num: int) -> np.ndarray:
    """Four concentric circles of radii 1 to 4, radial noise 0.1, points in proportion to the circumference.

    References:
      Inouye and Ravikumar (2018), "Deep density destructors" (the toy data; the destructor paper's figure 1).
    """
    radius = rng.choice([1.0, 2.0, 3.0, 4.0], size=num, p=np.array([1, 2, 3, 4]) / 10) + 0.1 * rng.normal(size=num)
    angle = rng.uniform(0, 2 * math.pi, size=num)
    return (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def _correlation(dim: int) -> np.ndarray:
    """Neighbours correlate by 0.5, features k apart by 0.5^k."""
    place = np.arange(dim)
    return 0.5 ** np.abs(place[:, None] - place[None, :])


def _alternating(correlation: np.ndarray) -> np.ndarray:
    sign = (-1.0) ** np.arange(len(correlation))
    return correlation * sign[:, None] * sign[None, :]
