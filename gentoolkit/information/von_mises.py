"""The first-order von Mises expansion of entropies, with a Gaussian kernel density estimate.

For an estimate p of the density, the entropy of the true law expanded about p to first order is `-E log p(x)`: with p
from other data than the mean (`"split"`), or from all other rows (`"leave_one_out"`), its error is of second order in
that of p. The estimator "vME" of the comparison in Johnson et al. (2019). The kernel density needs n to grow
exponentially with d, and on heavy tails the log-density of a lone row is very negative: the estimates of entropy come
out too high, those of dependence too low.

Bandwidths are in units of each feature's standard deviation: the unit of the data changes nothing but entropy, by its
logarithm. All pairs are taken, a block of rows at a time: O(n^2 d)
time, O(n) memory. Entries that are not finite give NaN, and so do constant features.
"""

import functools
import math

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_positive
from gentoolkit.information import _neighbors, _samples
from gentoolkit.information.estimate import concatenated


def entropy(x: jax.Array, *, bandwidth: float | jax.Array | None = None, form: str = "leave_one_out") -> jax.Array:
    """Differential entropy `-mean log p(x_i)`, p a kernel density estimate that has not seen x_i.

    Args:
      x: `[..., n, d]` samples.
      bandwidth: of the Gaussian kernel, in standard deviations of each feature; None takes `n^(-1 / (d + 4))` (Scott).
      form: `"leave_one_out"`, or `"split"`: p from the first half of the rows for the mean over the second, and the
        other way round, averaged (static).

    Returns:
      `[...]` nats, float32 or wider.

    Raises:
      ValueError: `x` is not `[..., n, d]`, n < 2 (4 for `"split"`), `bandwidth <= 0`, or an unknown form.

    References:
      Kandasamy, Krishnamurthy, Poczos, Wasserman, Robins (2015), "Nonparametric von Mises estimators for entropies,
      divergences and mutual informations", eqs. (3), (4) and table 1.
    """
    (x,) = _samples.centered(x=x)
    if form not in ("leave_one_out", "split"):
        raise ValueError(f'form must be "leave_one_out" or "split", got {form!r}.')
    if x.shape[-2] < (2 if form == "leave_one_out" else 4):
        raise ValueError(f"Too few rows for {form}: x.shape = {x.shape}.")
    if bandwidth is not None:
        check_positive(bandwidth=bandwidth)
    (x,), (log_unit,) = _samples.in_units(x)
    (x,) = as_floating(x=x)
    value = _entropies(x, bandwidth, form)
    return value if log_unit is None else value + jnp.asarray(log_unit.sum(axis=-1), value.dtype)


def total_correlation(
    x: jax.Array, *, bandwidth: float | jax.Array | None = None, form: str = "leave_one_out"
) -> jax.Array:
    """Total correlation: the entropies of the features, less that of the sample.

    Args:
      x: `[..., n, d]` samples.
      bandwidth: as in `entropy`, the same for all; None takes Scott's rule for 1 and for d features.
      form: as in `entropy`.

    Returns:
      `[...]` nats, float32 or wider. Not clipped: it may be negative.

    Raises:
      ValueError: as `entropy`.

    References:
      Kandasamy et al. (2015), table 1. Johnson et al. (2019), figure 2.
    """
    (x,), _ = _samples.in_units(*_samples.centered(x=x))
    (x,) = as_floating(x=x)
    features = jnp.swapaxes(x, -1, -2)[..., None]
    single = entropy(features, bandwidth=bandwidth, form=form).sum(axis=-1)
    return single - entropy(x, bandwidth=bandwidth, form=form)


def mutual_information(
    x: jax.Array, z: jax.Array, *, bandwidth: float | jax.Array | None = None, form: str = "leave_one_out"
) -> jax.Array:
    """Mutual information of a paired sample: H(x) + H(z) - H(x, z).

    Args:
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.
      bandwidth: as in `entropy`, the same for all; None takes Scott's rule for each.
      form: as in `entropy`.

    Returns:
      `[...]` nats, float32 or wider. Not clipped: it may be negative.

    Raises:
      ValueError: as `entropy`, or samples that are not paired.

    References:
      Kandasamy et al. (2015), table 1. Johnson et al. (2019), figure 3.
    """
    (x, z), _ = _samples.in_units(*_samples.centered(x=x, z=z))
    joint = concatenated(x, z)
    entropies = [entropy(sample, bandwidth=bandwidth, form=form) for sample in (x, z, joint)]
    return entropies[0] + entropies[1] - entropies[2]


def kl_divergence(
    x: jax.Array, z: jax.Array, *, bandwidth: float | jax.Array | None = None, form: str = "leave_one_out"
) -> jax.Array:
    """Kullback-Leibler divergence of p to q: the cross-entropy of `x` under a density of `z`, less the entropy of `x`.

    The density of q is estimated on all of `z`, the entropy of p as `form` says.

    Args:
      x: `[..., n, d]` samples of p.
      z: `[..., m, d]` samples of q.
      bandwidth: as in `entropy`, for both; None takes Scott's rule for each.
      form: as in `entropy`, for the entropy of p.

    Returns:
      `[...]` nats, float32 or wider.

    Raises:
      ValueError: as `entropy`, or samples with different features.

    References:
      Kandasamy et al. (2015), table 1, without the terms of second order.
    """
    (x, z), _ = _samples.in_units(*_samples.centered_alike(x=x, z=z), alike=True)
    x, z = as_floating(x=x, z=z)
    cross = _cross_entropies(x, z, bandwidth)
    return cross - entropy(x, bandwidth=bandwidth, form=form)


def likeliest_bandwidth(x: jax.Array, candidates: jax.Array) -> jax.Array:
    """The bandwidth whose leave-one-out density gives the sample the largest likelihood.

    Args:
      x: `[..., n, d]` samples.
      candidates: `[c]` bandwidths in standard deviations, for instance `jnp.geomspace(1e-2, 10, 20)`.

    Returns:
      `[...]`, one of the candidates for each problem.

    Raises:
      ValueError: `x` is not `[..., n, d]` with n >= 2, or candidates are not `[c]` and > 0.

    References:
      Kandasamy et al. (2015), section 5 (cross-validated bandwidths; here the folds are single rows).
    """
    (x,), _ = _samples.in_units(*_samples.centered(x=x))
    check_positive(candidates=candidates)
    (x,) = as_floating(x=x)
    candidates = jnp.asarray(candidates, x.dtype)
    if candidates.ndim != 1:
        raise ValueError(f"candidates must be [c], got shape {candidates.shape}.")
    score = jax.lax.map(lambda bandwidth: _entropies(x, bandwidth, "leave_one_out"), candidates)
    return candidates[jnp.argmin(score, axis=0)]


# Compiled once for a shape, where nothing is traced.
@functools.partial(jax.jit, inline=True, static_argnames="form")
def _entropies(x: jax.Array, bandwidth, form: str) -> jax.Array:
    return _problems(lambda x: _entropy(x, bandwidth, form), x)


@functools.partial(jax.jit, inline=True)
def _cross_entropies(x: jax.Array, z: jax.Array, bandwidth) -> jax.Array:
    return _problems(lambda x, z: -_log_density(x, z, bandwidth).mean(), x, z)


def _entropy(x: jax.Array, bandwidth, form: str) -> jax.Array:
    if form == "leave_one_out":
        return -_log_density(x, None, bandwidth).mean()
    half = x.shape[0] // 2
    first, second = x[:half], x[half:]
    return -(_log_density(first, second, bandwidth).mean() + _log_density(second, first, bandwidth).mean()) / 2


def _log_density(x: jax.Array, z: jax.Array | None, bandwidth) -> jax.Array:
    """Log of the kernel density of `z` `[m, d]` (None: of the other rows of x) at each row of `x` `[n, d]`."""
    others = x if z is None else z
    m, dim = others.shape
    if bandwidth is None:
        bandwidth = m ** (-1.0 / (dim + 4))
    bandwidth = jnp.asarray(bandwidth, x.dtype)
    center = others.mean(axis=0, keepdims=True)
    unit = _scale.unit(others - center, axes=0)
    scale = unit * jnp.std((others - center) / unit, axis=0, ddof=1, keepdims=True)
    width = scale * bandwidth
    points = (others - center) / width

    def block(number, rows):
        exponent = -0.5 * _neighbors.distances(rows, points, "euclidean")
        if z is None:
            columns = jnp.arange(m, dtype=jnp.int32)
            exponent = jnp.where(number[:, None] == columns[None, :], -jnp.inf, exponent)
        return jax.scipy.special.logsumexp(exponent, axis=-1)

    log_sum = _neighbors.by_blocks(block, (x - center) / width, m)
    num = m - 1 if z is None else m
    return log_sum - math.log(num) - jnp.log(width).sum() - 0.5 * dim * math.log(2 * math.pi)


def _problems(one, *samples: jax.Array) -> jax.Array:
    batch = samples[0].shape[:-2]
    if any(x.shape[:-2] != batch for x in samples):
        raise ValueError(f"Leading axes must agree, got {[x.shape for x in samples]}.")
    flat = tuple(x.reshape(-1, *x.shape[-2:]) for x in samples)
    return jax.lax.map(lambda problem: one(*problem), flat).reshape(batch)
