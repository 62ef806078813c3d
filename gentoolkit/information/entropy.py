"""Entropy and negentropy by density destructors."""

import functools
import math

import jax
import jax.numpy as jnp

from gentoolkit import _lapack, _scale
from gentoolkit._array import is_traced
from gentoolkit.distances.gaussian import moments
from gentoolkit.gaussianization import univariate_entropy
from gentoolkit.information import _flow, gaussian
from gentoolkit.information._checks import check_count
from gentoolkit.information._measures import (
    Progress,
    check_options,
    null_key,
    over_problems,
    with_null,
    with_shortfall,
)
from gentoolkit.information._samples import centered, in_units
from gentoolkit.information.estimate import Estimate


def entropy(
    key: jax.Array,
    x: jax.Array,
    *,
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
) -> Estimate:
    """Differential entropy `sum_j H(x_j) - T(x)`.

    The marginal entropies are estimated by spacings, the total correlation by its likelihood form (see
    `total_correlation`), which also runs on one feature, where it is 0.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples.
      num_layers: layers of RBIG after the start (static); None takes 6.
      num_folds: folds of the cross-fitting (static).
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.

    Returns:
      `Estimate` in nats, with a standard error (of the mean over rows and of the shortfall, see `total_correlation`)
      and the trace over layers; entropy has no null. Scaling a feature by c adds log |c|. Ties have no entropy: the
      value is then low by as much as rounding allows (dither first). What the destructor misses makes it high.

    Raises:
      ValueError: `x` is not `[..., n, d]`, too few rows, or a bad count.

    References:
      Johnson et al. (2019), "Information theory in density destructors", section 3.2.
    """
    (x,), (log_unit,) = in_units(*centered(x=x))
    num_layers = check_options("likelihood", num_layers, num_folds, 0, x.shape[-2], max_components)
    found = over_problems(lambda key, x: _entropy(key, x, num_layers, num_folds, max_components)[0], key, x)
    if log_unit is None:
        return found
    more = jnp.asarray(log_unit.sum(axis=-1), found.value.dtype)
    return found._replace(value=found.value + more, trace=jnp.asarray(found.trace) + more[..., None])


def negentropy(
    key: jax.Array,
    x: jax.Array,
    *,
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
    num_draws: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Negentropy: how much less entropy a sample has than the Gaussian with its mean and covariance.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples, n > d.
      num_layers: layers of RBIG after the start (static); None takes 6.
      num_folds: folds of the cross-fitting (static).
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.
      num_draws: B (static) samples of that Gaussian, as the null, computed as in `total_correlation`: `p_value` is then
        one of normality; 0 for no null.
      progress: static; called on the host after each estimate with how many are done, how many there will be, and the
        `Estimate` on the data (without its null), if nothing is traced and `x` is one problem.

    Returns:
      `Estimate` in nats, at least 0 in truth, not clipped. NaN where the sample covariance is singular.

    Raises:
      ValueError: `x` is not `[..., n, d]`, too few rows, or a bad count.

    References:
      Johnson et al. (2019), "Information theory in density destructors", section 3.2. Comon (1994), "Independent
      component analysis, a new concept?", eq. (2.14).
    """
    (x,), _ = in_units(*centered(x=x))
    num_layers = check_options("likelihood", num_layers, num_folds, 0, x.shape[-2], max_components)
    check_count(0, num_draws=num_draws)

    def one(key, x):
        x = x / _scale.unit(x, axes=-2)  # changes nothing, and covariances of it are numbers

        def estimate(x):
            return _negentropy(key, x, num_layers, num_folds, max_components)

        def draws():
            mean, cov = moments(x)
            # Negentropy is invariant under affine maps, but its estimate is so only nearly: the same moments.
            return jax.random.multivariate_normal(null_key(key), mean, cov, (num_draws, x.shape[0]), x.dtype)

        return with_null(estimate, x, draws, num_draws, progress, traced=is_traced((null_key(key), x)))

    return over_problems(one, key, x)


def _entropy(key, x, num_layers, num_folds, max_components):
    """The estimate, the log-densities of the rows `[rows]`, and the rows."""
    scores_key, fit_key, density_key = jax.random.split(key, 3)
    scores = _flow.normal_scores(scores_key, x)
    found = _flow.dependence(fit_key, [(1.0, scores)], num_layers, num_folds, max_components)

    def marginal_log_density(_, train, test):
        return _flow.marginal_log_density(train, test)

    train, test = _flow.folds(jax.random.split(fit_key)[0], x.shape[0], num_folds)  # those that `dependence` draws
    keys = jax.random.split(density_key, num_folds)
    alone = _flow.cross_fit(marginal_log_density, x, train, test, keys).reshape(-1)
    return _summary(x, alone, found)


@functools.partial(jax.jit, inline=True)
def _summary(x, alone, found):
    single = univariate_entropy.spacing(x.T).sum()
    log_density = alone + found.terms
    error = with_shortfall(jnp.std(log_density, ddof=1) / log_density.size**0.5, found.shortfall)
    value = Estimate(single - found.terms.mean(), error, trace=single - found.trace, shortfall=-found.shortfall)
    bad = jnp.isnan(x).any()
    return jax.tree.map(lambda a: jnp.where(bad, jnp.nan, a), value), log_density, found.rows


def _negentropy(key, x, num_layers, num_folds, max_components) -> Estimate:
    return _less_than_normal(x, *_entropy(key, x, num_layers, num_folds, max_components))


@functools.partial(jax.jit, inline=True)
def _less_than_normal(x, estimate, log_density, rows) -> Estimate:
    mean, cov = moments(x)
    whitened = _lapack.triangular_solve(_lapack.cholesky(cov), (x - mean[None, :]).T)
    log_normal = -0.5 * jnp.sum(whitened * whitened, axis=0)[rows]
    normal = gaussian.entropy(cov) + 0.5 * x.shape[1] * math.log((x.shape[0] - 1) / x.shape[0])
    error = with_shortfall(jnp.std(log_density - log_normal, ddof=1) / log_density.size**0.5, estimate.shortfall)
    return Estimate(
        normal - estimate.value,
        error + 0 * estimate.value,
        trace=normal - estimate.trace,
        shortfall=-estimate.shortfall,
    )
