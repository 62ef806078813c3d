"""Plug-in estimates under an exponential family fitted by maximum likelihood: here the Gaussian.

The estimator "expF" of the comparison in Johnson et al. (2019), after Nielsen and Nock. It sees second moments alone:
a lower bound of the dependence (in the limit, for Gaussian marginals), consistent for Gaussian data only.
"""

import math

import jax

from gentoolkit._array import check_samples
from gentoolkit.distances.gaussian import moments
from gentoolkit.information import gaussian
from gentoolkit.information.estimate import concatenated


def entropy(x: jax.Array) -> jax.Array:
    """Entropy of the Gaussian with the moments of a sample.

    Args:
      x: `[..., n, d]` samples, n > d for a finite value.

    Returns:
      `[...]` nats, float32 or wider: no smaller than the entropy of any law with these moments. NaN where the sample
      covariance is singular to rounding (n <= d, constant or duplicated columns) or an entry is not finite.

    Raises:
      ValueError: `x` is not `[..., n, d]` with n >= 2.

    References:
      Nielsen and Nock (2010), "Entropies and cross-entropies of exponential families". Johnson et al. (2019), fig. 2.
    """
    check_samples(x=x)
    n = x.shape[-2]
    cov = moments(x).cov
    return gaussian.entropy(cov) + 0.5 * x.shape[-1] * math.log((n - 1) / n)  # maximum likelihood divides by n


def total_correlation(x: jax.Array) -> jax.Array:
    """Total correlation `-log det(R) / 2`, R the sample correlation matrix.

    Args:
      x: `[..., n, d]` samples, n > d for a finite value.

    Returns:
      `[...]` nats, float32 or wider. Biased upward by about d (d - 1) / (4 n) under independence. NaN where R is
      singular to rounding (n <= d, constant or duplicated columns) or an entry is not finite.

    Raises:
      ValueError: `x` is not `[..., n, d]` with n >= 2.

    References:
      Nielsen and Nock (2010), "Entropies and cross-entropies of exponential families". Johnson et al. (2019), fig. 2.
    """
    return gaussian.total_correlation(moments(x).cov)


def mutual_information(x: jax.Array, z: jax.Array) -> jax.Array:
    """Mutual information of the Gaussian with the moments of a paired sample.

    Args:
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.

    Returns:
      `[...]` nats, float32 or wider. NaN as in `total_correlation`.

    Raises:
      ValueError: samples that are not `[..., n, d]` with the same n >= 2.

    References:
      Nielsen and Nock (2010), "Entropies and cross-entropies of exponential families". Johnson et al. (2019), fig. 3.
    """
    return gaussian.mutual_information(moments(concatenated(x, z)).cov, split=x.shape[-1])


def conditional_mutual_information(x: jax.Array, z: jax.Array, given: jax.Array) -> jax.Array:
    """Mutual information of `x` and `z` given a third variable, under the Gaussian with the sample's moments.

    Args:
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.
      given: `[..., n, f]` samples of the condition.

    Returns:
      `[...]` nats, float32 or wider. NaN as in `total_correlation`.

    Raises:
      ValueError: samples that are not `[..., n, d]` with the same n >= 2.
    """
    cov = moments(concatenated(x, z, given)).cov
    return gaussian.conditional_mutual_information(cov, split=(x.shape[-1], z.shape[-1]))


def kl_divergence(x: jax.Array, z: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence between the Gaussians with the moments of two samples.

    Args:
      x: `[..., n, d]` samples of p.
      z: `[..., m, d]` samples of q.

    Returns:
      `[...]` nats of KL(p to q), float32 or wider.

    Raises:
      ValueError: samples that are not `[..., n, d]` with one d, or of one row.
    """
    check_samples(x=x, z=z)
    p, q = moments(x), moments(z)
    return gaussian.kl_divergence(p.mean, p.cov, q.mean, q.cov)
