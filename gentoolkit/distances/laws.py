"""Other laws than the normal one: the distance of a 1-D sample to any law that gives quantiles, and such laws.

What a sample should look like need not be normal: sparse codes that are never negative, for one, are pulled to a
rectified generalized Gaussian (RDMReg of Rectified LpJEPA). Along the features themselves the law is known::

    law = laws.GeneralizedGaussian(shape=1.0, rectified=True)
    statistic = functools.partial(laws.wasserstein, quantile=law.quantile)
    loss = sliced.distance(statistic, codes, directions=jnp.eye(codes.shape[-1]))

Along other directions it is that of a weighted sum of such features, which only the normal law keeps; there compare
with a drawn sample, as RDMReg does::

    drawn = law.sample(key, codes.shape)
    loss = sliced.distance(two_sample.wasserstein, codes, drawn, directions=v)
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import as_floating, check_positive, check_univariate
from gentoolkit.distances import sorting

# Panels of Gauss-Legendre nodes over (0, 1), at least one for each bin: a kink within one is off by a part in millions.
_PANELS, _NODES = 4096, 8


def wasserstein(y: jax.Array, *, quantile: Callable[[np.ndarray], np.ndarray]) -> jax.Array:
    r"""Squared 2-Wasserstein distance between a sample and a law that is given by its quantiles.

    The i-th smallest value is carried to the i-th of the n parts of the law that hold probability 1/n each. With m_i
    the mean of that part and v_i its variance,

        d = mean_i (y_(i) - m_i)² + mean_i v_i,

    `normality.wasserstein` for any law. The means are integrals of the quantile function, taken once for each law and n
    on the host; the second term is the least value there is.

    An infinite entry gives `inf`, and an infinite gradient at that entry alone. NaN gives NaN.

    Args:
      y: samples `[..., n]`.
      quantile: static, a function of probabilities in (0, 1), a NumPy array of one axis, that returns as many finite
        numbers in ascending order: `GeneralizedGaussian(...).quantile` or `scipy.stats.laplace.ppf`, say. It is called
        once for each n. The law must have a variance; of one that has none the values mean nothing.

    Returns:
      Squared distances `[...]`, float32 or wider. Derivatives are for reverse mode.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1, or `quantile` returns another shape, infinite values or NaN, or
        values that descend.
      TypeError: y is not real.

    References:
      Bonneel, Rabin, Peyre, Pfister, "Sliced and Radon Wasserstein barycenters of measures", 2015.
      Kuang, Dagade, Rudner, Balestriero, LeCun, "Rectified LpJEPA", arXiv:2602.01456.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import laws
      >>> y = jnp.float32([0.25, 0.75])
      >>> round(float(laws.wasserstein(y, quantile=lambda u: u)), 6)  # to the uniform law: 1 / (12 n²)
      0.020833
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    means, least = _parts(quantile, y.shape[-1])
    residual = sorting.sort(y) - jnp.asarray(means, y.dtype).reshape((1,) * (y.ndim - 1) + means.shape)
    return jnp.sum(residual * (residual * (1 / y.shape[-1])), axis=-1) + least


@dataclasses.dataclass(frozen=True)
class GeneralizedGaussian:
    """A law of density proportional to exp(-|x - loc|^shape / (shape scale^shape)), rectified if asked for.

    Shape 2 is the normal law, 1 Laplace's, and a large one nearly uniform. Rectified, it is the law of max(x, 0): an
    atom at zero, of the probability that x is negative, and the positive half.

    Attributes:
      shape: > 0.
      loc: the center, before it is rectified.
      scale: > 0; None for variance 1, before it is rectified.
      rectified: whether negative values are set to zero.

    Raises:
      ValueError: a shape or a scale that is not positive.
    """

    shape: float = 2.0
    loc: float = 0.0
    scale: float | None = None
    rectified: bool = False

    def __post_init__(self):
        """Refuses what is no law."""
        check_positive(shape=self.shape)
        if self.scale is not None:
            check_positive(scale=self.scale)

    def quantile(self, u: np.ndarray) -> np.ndarray:
        """Quantiles at probabilities `[...]`, NumPy float64."""
        from scipy import special

        u = np.asarray(u, np.float64)
        outside = 2 * np.minimum(u, 1 - u)  # the probability of being further from the center on either side
        distance = (self.shape * special.gammainccinv(1 / self.shape, outside)) ** (1 / self.shape)
        value = self.loc + self._scale() * np.where(u < 0.5, -distance, distance)
        return np.maximum(value, 0.0) if self.rectified else value

    def sample(self, key: jax.Array, shape: tuple[int, ...], *, dtype=jnp.float32) -> jax.Array:
        """Independent draws of the given shape."""
        unit = jax.random.generalized_normal(key, self.shape, shape, dtype)
        value = self.loc + self._scale() * self.shape ** (1 / self.shape) * unit
        return jnp.maximum(value, 0) if self.rectified else value

    def _scale(self) -> float:
        from scipy import special

        if self.scale is not None:
            return self.scale
        log_variance = special.gammaln(3 / self.shape) - special.gammaln(1 / self.shape)
        return float(np.exp(-log_variance / 2) * self.shape ** (-1 / self.shape))


@functools.lru_cache(maxsize=64)
def _parts(quantile: Callable[[np.ndarray], np.ndarray], n: int) -> tuple[np.ndarray, float]:
    """Means of the n equal parts of a law, `[n]`, and the mean of their variances; float64, on the host."""
    panels = -(-_PANELS // n)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    inside = (np.arange(panels)[:, None] + (node + 1) / 2).reshape(-1) / panels  # of one part, in (0, 1)
    share = np.tile(weight / 2, panels) / panels
    # The quantile function may be singular at 0 and 1: in the outermost parts nodes that crowd there. At the right end
    # they stop at the last number below 1.
    t = np.linspace(-3.2, 3.2, 257)
    shrink = np.pi / 2 * np.sinh(t)
    from_end, end_share = 1 / (1 + np.exp(-2 * shrink)), np.cosh(t) / np.cosh(shrink) ** 2
    end_share = end_share / np.sum(end_share)
    if n == 1:
        return _moments(quantile, [np.minimum(from_end, 1 - 2.0**-53)], [end_share])
    first, last = from_end / n, 1 - np.maximum(from_end[::-1] / n, 2.0**-53)
    inner = (np.arange(1, n - 1)[:, None] + inside) / n
    return _moments(quantile, [first, *inner, last], [end_share, *[share] * (n - 2), end_share[::-1]])


def _moments(quantile: Callable, nodes, shares) -> tuple[np.ndarray, float]:
    u = np.concatenate(list(nodes))
    values = np.asarray(quantile(u), np.float64)
    if values.shape != u.shape:
        raise ValueError(f"quantile must return as many numbers as probabilities, {u.shape}, got {values.shape}.")
    if not np.isfinite(values).all():
        place = u[~np.isfinite(values)][0]
        raise ValueError(
            f"quantile must be finite inside of (0, 1), got {quantile(np.asarray([place]))[0]} at {place}."
        )
    if np.any(np.diff(values) < -1e-9 * np.max(np.abs(values))):
        raise ValueError("quantile must ascend with the probability, got values that descend.")
    parts = np.split(values, np.cumsum([len(each) for each in shares])[:-1])
    means = np.asarray([np.sum(part * share) for part, share in zip(parts, shares, strict=True)])
    variances = [np.sum((p - m) ** 2 * s) for p, m, s in zip(parts, means, shares, strict=True)]
    means.setflags(write=False)  # cached: the next caller must find it as it was
    return means, float(np.mean(variances))
