"""What data say about a covariance: the evidence, a bound of it, leave-one-out, and a fit that starts everywhere."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _scale
from gentoolkit.gaussian_process import _blocks, _data, _descent, _inducing, cholesky
from gentoolkit.gaussian_process.covariance import Covariance, squared_exponential

Family = Callable[[jax.Array, jax.Array], Covariance]

# Lengthscales of the grid in units of the root mean squared distance of two points, and how many ratios of noise to
# signal. Six decades of one and three of the other, a few evaluations per decade: neighbouring cells share a basin.
_LENGTHSCALES = np.geomspace(0.02, 20.0, 10)
_NUM_RATIOS = 7
# Bounds of the refinement around the grid, in units as above.
_LEAST_LENGTHSCALE, _LARGEST_LENGTHSCALE = 5e-3, 100.0
_LARGEST_RATIO = 1e2
# Valleys of a grid of some of the data, at least, that are compared on all of them.
_VALLEYS = 4
# Logarithm of noise weights, in the mean, up to which they are taken as they are.
_USUAL_WEIGHTS = float(np.log(1e3))


class LeaveOneOut(NamedTuple):
    """Predictions of each datum by all the others.

    Attributes:
      mean: `[n]` or `[n, p]`.
      variance: `[n]`, of the measurement (noise included).
      log_density: `[n]`, of the measured value, summed over targets; 0 for data left out.
    """

    mean: jax.Array
    variance: jax.Array
    log_density: jax.Array


class Fit(NamedTuple):
    """Hyper-parameters of largest evidence.

    Attributes:
      covariance: ready for `posterior.condition`.
      noise: `[]`, the noise variance; to be multiplied by `noise_weights` where those were given.
      log_marginal_likelihood: `[]`, or the bound of a sparse fit.
    """

    covariance: Covariance
    noise: jax.Array
    log_marginal_likelihood: jax.Array


class _Search(NamedTuple):
    """The static options of a fit."""

    family: Family
    ard: bool
    min_noise_ratio: float
    num_starts: int
    num_steps: int
    max_grid_points: int
    size: int | None


class _Terms(NamedTuple):
    """Evidence of `num * outputs` values: -(quadratic + outputs * (log_det + missing + num log 2 pi)) / 2."""

    quadratic: jax.Array
    log_det: jax.Array
    missing: jax.Array
    num: jax.Array


def log_marginal_likelihood(
    covariance: Covariance, x: jax.Array, y: jax.Array, *, noise: ArrayLike, mean: _data.Mean = 0.0
) -> jax.Array:
    """Log evidence of the data under a covariance.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values; several targets are independent and their evidence is summed.
      noise: noise variance, scalar or `[n]`, >= 0; infinite for data left out.
      mean: prior mean as in `posterior.condition`.

    Returns:
      `[]`, in nats. NaN where an input is NaN or the covariance is indefinite beyond rounding.

    Raises:
      ValueError: shapes disagree or the noise is negative.
      TypeError: an argument is not a real array.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (2.30).
    """
    return _log_marginal_likelihood(covariance, _data.prepare(covariance, x, y, noise, mean))


def elbo(
    covariance: Covariance,
    x: jax.Array,
    y: jax.Array,
    *,
    inducing: jax.Array,
    noise: ArrayLike,
    mean: _data.Mean = 0.0,
    block_size: int | None = None,
) -> jax.Array:
    """Titsias' lower bound of the log evidence, with the best distribution of the inducing values.

    Never above `log_marginal_likelihood`, never lower for more inducing points, equal where they are all the data; up
    to the jitter of the inducing covariance. O(n m^2) time, O(m^2 + n) memory, value and gradient.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values; the bounds of several targets are summed.
      inducing: `[m, d]` inducing points, or `[m]` integers: which of the data they are.
      noise: noise variance, scalar or `[n]`, > 0; infinite for data left out.
      mean: prior mean as in `posterior.condition`.
      block_size: data at a time (static), None to choose.

    Returns:
      `[]`, in nats.

    Raises:
      ValueError: shapes disagree or the noise is not positive.
      TypeError: an argument is not a real array.

    References:
      Titsias, Variational learning of inducing variables in sparse Gaussian processes, AISTATS 2009, eq. (9).
    """
    given = _data.prepare(covariance, x, y, noise, mean, divides=True)
    places = _inducing.points(given, inducing)
    return _elbo(covariance, given, places, _inducing.block(given, places, block_size))


def leave_one_out(
    covariance: Covariance, x: jax.Array, y: jax.Array, *, noise: ArrayLike, mean: _data.Mean = 0.0
) -> LeaveOneOut:
    """Predictions of each datum by all the others, in closed form: one Cholesky factor instead of n.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values.
      noise: noise variance, scalar or `[n]`, >= 0; infinite for data left out.
      mean: prior mean as in `posterior.condition`.

    Returns:
      `LeaveOneOut(mean, variance, log_density)`. Data left out are predicted with an infinite variance.

    Raises:
      ValueError: shapes disagree or the noise is negative.
      TypeError: an argument is not a real array.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (5.12).
    """
    return _leave_one_out(covariance, _data.prepare(covariance, x, y, noise, mean))


# An untraced caller would otherwise compile the loops of these at every call; to a traced one they are no boundaries.
@functools.partial(jax.jit, inline=True)
def _log_marginal_likelihood(covariance, given):
    data = _data.ready(given)
    return _value(_exact_terms(covariance, data), data.residual.shape[1])


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _elbo(covariance, given, inducing, size):
    data = _data.ready(given)
    return _value(_sparse_terms(covariance, data, _inducing.located(data, inducing), size), data.residual.shape[1])


@functools.partial(jax.jit, inline=True)
def _leave_one_out(covariance, given):
    data = _data.ready(given)
    lower = cholesky.factorize(_data.system(covariance, data)).lower
    half = cholesky.half_inverse(lower)
    precision = jnp.sum(half * half, axis=0)
    error = _blocks.matmul(half.T, _blocks.matmul(half, data.residual)) / precision[:, None]
    density = -0.5 * jnp.sum(error**2 * precision[:, None] + jnp.log(2.0 * jnp.pi / precision)[:, None], axis=1)
    used = data.used > 0
    means = data.prior + data.residual - error
    return LeaveOneOut(
        mean=means[:, 0] if data.single else means,
        variance=jnp.where(used, 1.0 / precision, jnp.inf),
        log_density=jnp.where(used, density, 0.0),
    )


def fit(
    key: jax.Array,
    x: jax.Array,
    y: jax.Array,
    *,
    family: Family = squared_exponential,
    ard: bool = False,
    noise_weights: ArrayLike = 1.0,
    mean: _data.Mean = 0.0,
    inducing: jax.Array | None = None,
    min_noise_ratio: float | None = None,
    num_starts: int = 2,
    num_steps: int = 40,
    max_grid_points: int = 128,
    block_size: int | None = None,
) -> Fit:
    """Lengthscale, variance and noise of largest evidence, from a search that covers all scales first.

    The evidence of a Gaussian process has bad local optima: everything is noise, or every point is its own. From one
    start a descent often ends in one of them. Here the amplitude is profiled out in closed form, the evidence is taken
    on a grid over lengthscale (0.02 to 20 root mean squared distances) and ratio of noise to signal, and the best
    cells, one for each valley of the grid, are refined by a bounded quasi-Newton descent; the best end wins. If noise
    is what the data say, it is found as the best of them.

    Everything runs in lock-step with static shapes: many problems at once through `jax.vmap`. It has no derivative.

    Args:
      key: PRNG key; draws the data of the grid where there are more than `max_grid_points`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values; several targets share the hyper-parameters.
      family: function of lengthscale and variance that returns a covariance proportional to the variance, such as
        those of `covariance`.
      ard: one lengthscale for each feature (static).
      noise_weights: scalar or `[n]`, > 0: noise variances up to the factor that is fitted, such as 1 / cluster size;
        infinite for data left out.
      mean: prior mean as in `posterior.condition`.
      inducing: `[m, d]` points for the bound of a sparse approximation instead of the evidence, None for the evidence.
      min_noise_ratio: least ratio of noise to signal variance (static), None for 1e-6 in float32, 1e-9 in float64.
      num_starts: cells that are refined (static).
      num_steps: evaluations of a refinement, at most (static).
      max_grid_points: data that enter the grid at most (static). If there are more, its best valleys, four or
        `num_starts`, are compared on all of them.
      block_size: data at a time of a sparse fit (static), None to choose.

    Returns:
      `Fit(covariance, noise, log_marginal_likelihood)`, which follow the units of points and targets. For targets that
      are 0 throughout, a variance of rounding size. Variance and noise are NaN where one of them is no normal number in
      float32, for targets beyond about 1e-16 ... 1e18: give them in another unit.

    Raises:
      ValueError: shapes disagree, noise weights are not positive, or a count is < 1.
      TypeError: an argument is not a real array.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, section 5.4.1 and figure 5.5.
    """
    _array.check_positive(num_starts=num_starts, num_steps=num_steps, max_grid_points=max_grid_points)

    def of_any_scale():
        return family(np.ones(np.shape(x)[1]) if ard else np.ones(()), np.ones(()))

    given = _data.prepare(of_any_scale, x, y, noise_weights, mean, divides=True)
    if min_noise_ratio is None:
        min_noise_ratio = 1e-6 if given.x.high.dtype == jnp.float32 else 1e-9
    _array.check_positive(min_noise_ratio=min_noise_ratio)
    places, size = None, None
    if inducing is not None:
        places = _inducing.points(given, inducing)
        size = _inducing.block(given, places, block_size)
    search = _Search(family, ard, float(min_noise_ratio), num_starts, num_steps, max_grid_points, size)
    return _fit(key, given, places, search)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _fit(key, given, inducing, search):
    data = jax.lax.stop_gradient(_data.ready(given))
    if inducing is not None:
        inducing = jax.lax.stop_gradient(_inducing.located(data, inducing))
    n, dtype, outputs = data.x.shape[0], data.x.dtype, data.residual.shape[1]
    # Everything is searched for in units in which squares neither overflow nor vanish.
    unit = _lengthscale_unit(data, search.ard)
    of_targets, of_noise = _scale.unit(data.residual)[0, 0], _noise_unit(data)
    data = dataclasses.replace(data, residual=data.residual / of_targets, noise=data.noise / of_noise)
    # Four times the least at which the noise is a normal number: the product below may round down.
    least_variance = 4.0 * float(jnp.finfo(dtype).tiny) / search.min_noise_ratio

    def terms(theta, data, inducing):
        scale = unit * jnp.exp(theta[:-1])
        unscaled = search.family(scale if search.ard else scale[0], jnp.ones((), dtype))
        data = dataclasses.replace(data, noise=jnp.where(data.used > 0, data.noise * jnp.exp(theta[-1]), 1.0))
        if inducing is None:
            # Entries are known to eps each, whose sum over n points may be taken for signal: below some n eps / 4 of a
            # diagonal entry the evidence of float32 is nats too high where lengthscale and variance are large, and a
            # search would go there.
            least = max(4.0, n / 4) * float(jnp.finfo(dtype).eps)
            return _exact_terms(unscaled, data, min_pivot=least)
        return _sparse_terms(unscaled, data, inducing, search.size)

    def amplitude(found):
        power = found.quadratic / (jnp.maximum(found.num, 1.0) * outputs)
        return jnp.maximum(power, least_variance)

    def loss(theta, data=data, inducing=inducing):
        found = terms(theta, data, inducing)
        size = jnp.maximum(found.num, 1.0)
        # Per value, so that tolerances mean the same for any number of data.
        return 0.5 * (jnp.log(amplitude(found)) + (found.log_det + found.missing) / size)

    some, num_valleys = data, search.num_starts
    if n > search.max_grid_points:
        num_valleys = max(num_valleys, _VALLEYS)
        chosen = jax.random.choice(key, n, (search.max_grid_points,), replace=False)
        some = dataclasses.replace(
            data, x=data.x[chosen], residual=data.residual[chosen], noise=data.noise[chosen], used=data.used[chosen]
        )
    ratios = np.log(np.geomspace(search.min_noise_ratio, 1.0, _NUM_RATIOS))
    lengthscales = np.log(_LENGTHSCALES)
    num_scales = unit.shape[0]
    grid = np.stack(np.broadcast_arrays(lengthscales[:, None, None], ratios[None, :, None]), axis=-1)[:, :, 0]
    grid = np.concatenate([np.repeat(grid[..., :1], num_scales, axis=-1), grid[..., 1:]], axis=-1)
    cells = jnp.asarray(grid.reshape(-1, num_scales + 1), dtype)
    values = jax.lax.map(lambda theta: loss(theta, some, None), cells).reshape(grid.shape[:2])
    starts = _valleys(cells.reshape(grid.shape), values, num_valleys)
    if num_valleys > search.num_starts:
        # What is deepest to some of the data need not be to all.
        depths = jax.lax.map(loss, starts)
        starts = starts[jnp.argsort(depths)[: search.num_starts]]  # NaN comes last

    lower = jnp.asarray([np.log(_LEAST_LENGTHSCALE)] * num_scales + [np.log(search.min_noise_ratio)], dtype)
    upper = jnp.asarray([np.log(_LARGEST_LENGTHSCALE)] * num_scales + [np.log(_LARGEST_RATIO)], dtype)
    ends, losses = jax.lax.map(
        lambda start: _descent.minimize(loss, start, lower, upper, num_steps=search.num_steps), starts
    )
    best = ends[jnp.argmin(jnp.where(jnp.isnan(losses), jnp.inf, losses))]
    found = terms(best, data, inducing)
    variance = amplitude(found)
    scale = unit * jnp.exp(best[:-1])
    at_variance = found._replace(
        quadratic=found.quadratic / variance, log_det=found.log_det + found.num * jnp.log(variance)
    )
    value = _value(at_variance, outputs) - found.num * outputs * jnp.log(of_targets)
    variance = variance * of_targets * of_targets
    noise = variance * jnp.exp(best[-1]) / of_noise
    normal = (noise > 0) & (noise < jnp.inf) & (variance < jnp.inf)
    variance, noise = (jnp.where(normal, size, jnp.nan) for size in (variance, noise))
    return Fit(search.family(scale if search.ard else scale[0], variance), noise, value)


def _lengthscale_unit(data, ard):
    """Root mean squared distance of two points that are used, `[1]`, or what each feature adds to it, `[d]`."""
    x = jnp.where(data.used[:, None] > 0, data.x, 0.0)
    unit = _scale.unit(x, axes=0 if ard else None)
    share = (data.used / jnp.maximum(jnp.sum(data.used), 1.0))[:, None]
    from_mean = (x - jnp.sum(share * x, axis=0, keepdims=True)) / unit
    square = 2.0 * jnp.sum(share * from_mean * from_mean, axis=0, keepdims=True)
    square = square * x.shape[1] if ard else jnp.sum(square, axis=1, keepdims=True)
    return (unit * jnp.where(square > 0, jnp.sqrt(square), 1.0))[0]


def _noise_unit(data):
    """1 for noise weights around 1, else the power of two next to their harmonic mean."""
    precision = jnp.sum(data.used / data.noise, keepdims=True) / jnp.maximum(jnp.sum(data.used), 1.0)
    unit = 1.0 / _scale.unit(precision)[0]
    return jnp.where(jnp.abs(jnp.log(unit)) < _USUAL_WEIGHTS, 1.0, unit)


def _exact_terms(covariance, data, *, min_pivot=None):
    quadratic, log_det = _quadratic_and_log_det(min_pivot, _data.system(covariance, data), data.residual)
    # A datum left out has noise 1 and residual 0: no part in either term.
    return _Terms(quadratic, log_det, jnp.zeros((), quadratic.dtype), jnp.sum(data.used))


# Autodiff goes back through the factor, two triangular solves of a whole matrix and a product; the derivative of these
# two numbers needs no more than the inverse, and for the few points of an image the calls are what costs.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _quadratic_and_log_det(min_pivot, matrix, residual):
    """`sum r^T K^-1 r` over the columns of the residual `[n, p]`, and `log |K|`, of a symmetric K `[n, n]`."""
    lower = cholesky.factorize(matrix, min_pivot=min_pivot).lower
    return jnp.sum(cholesky.half_solve(lower, residual) ** 2), cholesky.log_det(lower)


@_quadratic_and_log_det.defjvp
def _quadratic_and_log_det_jvp(min_pivot, primals, tangents):
    (matrix, residual), (matrix_dot, residual_dot) = primals, tangents
    lower = cholesky.factorize(matrix, min_pivot=min_pivot).lower
    half = cholesky.half_inverse(lower)
    whitened = _blocks.matmul(half, residual)
    alpha = _blocks.matmul(half.T, whitened)
    quadratic_dot = 2.0 * jnp.sum(alpha * residual_dot) - jnp.sum(_blocks.matmul(alpha, alpha.T) * matrix_dot)
    log_det_dot = jnp.sum(cholesky.product_with_transposed(half) * matrix_dot)
    return (jnp.sum(whitened**2), cholesky.log_det(lower)), (quadratic_dot, log_det_dot)


def _sparse_terms(covariance, data, inducing, size):
    found = _inducing.statistics(covariance, data, inducing, size)
    quadratic = _inducing.quadratic(covariance, data, found, size)
    return _Terms(quadratic, cholesky.log_det(found.reduced) + found.log_noise, found.missing, found.num)


def _value(terms, outputs):
    constant = terms.num * float(np.log(2.0 * np.pi))
    return -0.5 * (terms.quadratic + outputs * (terms.log_det + terms.missing + constant))


def _valleys(cells, values, num):
    """The `num` best of: the best cell of each lengthscale that beats those of the lengthscales next to it."""
    values = jnp.where(jnp.isnan(values), jnp.inf, values)
    best = jnp.min(values, axis=1)
    cells = cells[jnp.arange(cells.shape[0]), jnp.argmin(values, axis=1)]
    beyond = jnp.full_like(best, jnp.inf, shape=(1,))
    around = jnp.minimum(jnp.concatenate([beyond, best[:-1]]), jnp.concatenate([best[1:], beyond]))
    # Cells that are no valley come after all valleys.
    order = jnp.lexsort((best, (best > around).astype(best.dtype)))
    return cells[order[: min(num, cells.shape[0])]]
