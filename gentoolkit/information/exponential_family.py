"""Plug-in estimates under an exponential family fitted by maximum likelihood: here the Gaussian.

The estimator "expF" of the comparison in Johnson et al. (2019), after Nielsen and Nock. It sees second moments alone:
a lower bound of the dependence (in the limit, for Gaussian marginals), consistent for Gaussian data only.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_floating
from gentoolkit.distances.gaussian import moments
from gentoolkit.information import _samples, gaussian
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
    cov, log_unit, n = _covariance(x)
    of_units = gaussian.entropy(cov) + 0.5 * cov.shape[-1] * math.log((n - 1) / n)  # maximum likelihood divides by n
    return of_units + log_unit.sum(axis=-1)


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
    return gaussian.total_correlation(_covariance(x)[0])


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
    x, z = _samples.centered(x=x, z=z)
    return gaussian.mutual_information(_covariance(x, z)[0], split=x.shape[-1])


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
    x, z, given = _samples.centered(x=x, z=z, given=given)
    cov = _covariance(x, z, given)[0]
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
    (x, z), _ = _samples.in_units(*_samples.centered_alike(x=x, z=z), alike=True)
    x, z = as_floating(x=x, z=z)
    # Both by the same: a divergence does not depend on the unit, and squares of it need not be numbers.
    unit = jnp.maximum(_scale.unit(x, axes=-2), _scale.unit(z, axes=-2))
    p, q = moments(x / unit), moments(z / unit)
    return gaussian.kl_divergence(p.mean, p.cov, q.mean, q.cov)


def _covariance(*samples: Any) -> tuple[jax.Array, jax.Array, int]:
    """Sample covariance `[..., d, d]` of paired samples, each feature in its own unit; logs of the units `[..., d]`."""
    arrays = _samples.centered(**{f"samples[{i}]": x for i, x in enumerate(samples)})
    scaled, log_units = _samples.in_units(*arrays)
    x = concatenated(*scaled)
    unit = _scale.unit(x, axes=-2)
    widths = [array.shape[-1] for array in arrays]
    host = np.concatenate(
        [np.zeros((*x.shape[:-2], d)) if log is None else log for d, log in zip(widths, log_units, strict=True)],
        axis=-1,
    )
    return moments(x / unit).cov, jnp.log(unit[..., 0, :]) + jnp.asarray(host, x.dtype), x.shape[-2]
