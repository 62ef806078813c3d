"""The exact posterior as an immutable value: made by `condition`, read by `mean`, `variance` and `sample` in blocks."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks, _data, _origin, _pathwise, cholesky
from gentoolkit.gaussian_process.covariance import Covariance

Mean = _data.Mean

# Entries of float32 that a core of today takes at a time.
_VECTOR = 8
# On CPU the mean at this many new points or more, of up to so many features, is summed over the data, up to so many,
# one after the other, ten in each pass over the new points: no block of the covariance is written and read again.
_MANY_ROWS, _FEW_FEATURES, _MOST_DATA, _IN_A_PASS = 1 << 15, 16, 512, 10
# Squares that are summed in one go.
_SUMMED = 64


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Posterior:
    """What is known of a process after some of its values were seen; a pytree, batched by `jax.vmap`.

    The values at new points are governed by `points`: n data of an exact posterior, m inducing points of a sparse one.
    Those that came as float64 or integers of the host are held less an origin, so that 1.7e9 s and 1.7e9 s + 1 stay two
    points in float32, where the covariance does not change with it.

    Attributes:
      covariance: of the prior.
      prior_mean: function of points `[n, d]`, a pytree.
      centered: `[n, d]`, the points less `origin`; `points` has them whole.
      origin: None, or `[2, d]`, a number and what its rounding leaves, whose sum was taken off the points.
      lower: `[n, n]` Cholesky factor of the covariance at the points, noise included if exact.
      reduced: None if exact, else `[n, n]` Cholesky factor of what the data add, in whitened coordinates.
      whitened: `[n, p]` whitened targets; `weights` `[n, p]` is what the covariance with the points is multiplied by.
      weights: `[n, p]`.
      noise: `[n]` noise variances if exact, else None.
      used: `[n]` of 0 and 1: points with infinite noise are left out.
      jitter: `[]`, the share of each diagonal entry that was added to it for the factors (see `cholesky.factorize`),
        the larger one of two; NaN where it failed.
      single: whether targets came as `[n]` (static).
      degenerate: whether the prior at new points is the low-rank one too, as in SoR (static).
    """

    covariance: Covariance
    prior_mean: Any
    centered: jax.Array
    origin: jax.Array | None
    lower: jax.Array
    reduced: jax.Array | None
    whitened: jax.Array
    weights: jax.Array
    noise: jax.Array | None
    used: jax.Array
    jitter: jax.Array
    single: bool = dataclasses.field(metadata={"static": True})
    degenerate: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def points(self) -> jax.Array:
        """`[n, d]` points, rounded to the dtype computed in."""
        return _origin.restored(self.centered, self.origin)


def condition(covariance: Covariance, x: jax.Array, y: jax.Array, *, noise: ArrayLike, mean: Mean = 0.0) -> Posterior:
    """Posterior of a Gaussian process after noisy values of it were seen; one Cholesky factor, O(n^3).

    Several targets `[n, p]` share the factor: independent processes with one covariance.

    In float32, for unit prior variance, up to 300 points and data that the noise explains, mean and standard deviation
    are within 5e-5 of the same in float64 at a noise variance of 1e-2, and within 5e-4 at 1e-4. The error is that of
    rounding the covariance, about 1e-7 times the root of the sum of squares of `weights`: data that miss the mean by
    ten times the noise cost ten times as much.

    Points and values that come as float64 or integers of the host, NumPy's or lists, are rounded to float32 (without
    x64) after an origin, or a constant prior mean, was taken off them, points if the covariance is stationary. Their
    differences keep their digits, timestamps may come as they are. What is traced or on a device is taken as it is,
    and a prior mean that is a function, or another covariance, is handed the rounded points.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values at the points.
      noise: noise variance, scalar or `[n]`, >= 0, in squared units of `y`. Infinite for a point that is left out,
        exactly, whatever its `y` (padding). Without noise, duplicates make the covariance singular: it is factorized
        with the smallest jitter that works, told in `Posterior.jitter`, and duplicates that disagree are averaged.
      mean: prior mean, scalar, `[p]`, or a function of points `[n, d]` that returns `[n]` or `[n, p]`. A function with
        parameters of its own is a `jax.tree_util.Partial`.

    Returns:
      A `Posterior`; NaN throughout where an input is NaN or where the covariance is indefinite beyond rounding.

    Raises:
      ValueError: shapes disagree, or the noise is negative.
      TypeError: an argument is not a real array.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, algorithm 2.1.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.gaussian_process import covariance, posterior
      >>> x, y = jnp.float32([[0], [1]]), jnp.float32([1, 3])
      >>> p = posterior.condition(covariance.squared_exponential(1.0, 1.0), x, y, noise=1e-6)
      >>> posterior.mean(p, x).round(2).tolist()
      [1.0, 3.0]
    """
    return _condition(covariance, _data.prepare(covariance, x, y, noise, mean))


# An untraced caller would otherwise compile the loops of this and what follows at every call; to a traced one these
# are no boundaries.
@functools.partial(jax.jit, inline=True)
def _condition(covariance, given):
    data = _data.ready(given)
    factor = cholesky.factorize(_data.system(covariance, data))
    whitened = cholesky.half_solve(factor.lower, data.residual)
    return Posterior(
        covariance=covariance,
        prior_mean=data.prior_mean,
        centered=data.x,
        origin=data.origin,
        lower=factor.lower,
        reduced=None,
        whitened=whitened,
        weights=cholesky.transposed_half_solve(factor.lower, whitened),
        noise=data.noise,
        used=data.used,
        jitter=factor.jitter,
        single=data.single,
    )


def mean(p: Posterior, x: jax.Array, *, block_size: int | None = None) -> jax.Array:
    """Posterior mean at new points.

    Args:
      p: from `condition` (exact or sparse).
      x: `[m, d]` points.
      block_size: points at a time (static), None to choose: memory O(n block_size).

    Returns:
      `[m]`, or `[m, p]` for several targets, in units of the targets.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    rows, size = _new_points(p, x, block_size)
    (num, num_features), few = rows.high.shape, p.centered.shape[0] <= _MOST_DATA and p.single
    if block_size is None and few and num_features <= _FEW_FEATURES and num >= _MANY_ROWS:
        if jax.default_backend() == "cpu":
            return _means_by_passes(p, rows)
    return _means(p, rows, size)


def variance(p: Posterior, x: jax.Array, *, block_size: int | None = None) -> jax.Array:
    """Posterior variance of the process (without the noise of a new measurement) at new points.

    Args:
      p: from `condition` (exact or sparse).
      x: `[m, d]` points.
      block_size: points at a time (static), None to choose: memory O(n block_size).

    Returns:
      `[m]`, the same for every target, >= 0, in squared units of the targets.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    x, size = _new_points(p, x, block_size)
    return _map(p, x, (_variance,), size)[0]


def mean_and_variance(p: Posterior, x: jax.Array, *, block_size: int | None = None) -> tuple[jax.Array, jax.Array]:
    """Posterior mean and variance at new points, the covariance with the data computed once.

    Args:
      p: from `condition` (exact or sparse).
      x: `[m, d]` points.
      block_size: points at a time (static), None to choose: memory O(n block_size).

    Returns:
      `mean` and `variance` at `x`.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    x, size = _new_points(p, x, block_size)
    means, variances = _map(p, x, (_mean, _variance), size)
    return means, variances


def covariance(p: Posterior, x: jax.Array) -> jax.Array:
    """Posterior covariance of the process between all pairs of new points.

    Args:
      p: from `condition` (exact or sparse).
      x: `[m, d]` points.

    Returns:
      `[m, m]`, in squared units of the targets.

    Raises:
      ValueError: shapes disagree.
    """
    x, _ = _new_points(p, x, None)
    return _covariance(p, x)


@functools.partial(jax.jit, inline=True)
def _covariance(p, rows):
    x = _origin.less(rows, p.origin)
    explained = cholesky.half_solve(p.lower, _cross(p, rows).T)
    result = _blocks.matmul(explained.T, explained)
    result = jnp.zeros_like(result) if p.degenerate else p.covariance.gram(x, x) - result
    if p.reduced is not None:
        uncertain = cholesky.half_solve(p.reduced, explained)
        result = result + _blocks.matmul(uncertain.T, uncertain)
    return result


def sample(
    key: jax.Array,
    p: Posterior,
    x: jax.Array,
    *,
    num_samples: int = 1,
    method: str = "pathwise",
    num_features: int = 1024,
    block_size: int | None = None,
) -> jax.Array:
    """Draws functions from the posterior and evaluates them at new points.

    `"pathwise"` draws the prior as a sum of `num_features` random waves and adds the exact update by the data: O(m) in
    the number of new points, and one key is one function, wherever it is evaluated. Variances are exact but for Monte
    Carlo error where data dominate; away from them a prior of F waves has relative error of order 1 / sqrt(F) in its
    covariances. `"joint"` factorizes the exact covariance of the values at `x`, O(m^3), for any covariance.

    Args:
      key: PRNG key.
      p: from `condition` (exact or sparse).
      x: `[m, d]` points.
      num_samples: how many functions (static).
      method: `"pathwise"` or `"joint"` (static). Pathwise needs a stationary covariance.
      num_features: random waves of the prior of a pathwise draw (static).
      block_size: points at a time of a pathwise draw (static), None to choose.

    Returns:
      `[num_samples, m]`, or `[num_samples, m, p]` for several targets (independent given the data).

    Raises:
      ValueError: shapes disagree, a count is < 1, the method is unknown, or the covariance is not stationary.

    References:
      Wilson, Borovitskiy, Terenin, Mostowsky, Deisenroth, Efficiently sampling functions from Gaussian process
      posteriors, ICML 2020, eq. (13).
      Rahimi, Recht, Random features for large-scale kernel machines, NeurIPS 2007, algorithm 1.
    """
    if method not in ("pathwise", "joint"):
        raise ValueError(f"method must be 'pathwise' or 'joint', got method = {method!r}.")
    _array.check_positive(num_samples=num_samples, num_features=num_features)
    x, size = _new_points(p, x, block_size, num_features)
    return _sample(key, p, x, num_samples, None if method == "joint" else num_features, size)


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _sample(key, p, x, num_samples, num_features, size):
    outputs = p.whitened.shape[1]
    if num_features is None:
        # A difference: what is left near the data is known to the rounding of the prior.
        scale = None if p.degenerate else p.covariance.diagonal(_origin.less(x, p.origin))
        lower = cholesky.factorize(_covariance(p, x), scale=scale, min_pivot=0.0).lower
        normal = jax.random.normal(key, (lower.shape[0], num_samples * outputs), lower.dtype)
        draws = _blocks.matmul(lower, normal).reshape(-1, num_samples, outputs)
        result = _mean(p)(x, _cross(p, x))[:, None, :] + draws
    else:
        function = _pathwise.draw(key, p, num_samples, num_features)

        def evaluate(rows):
            waves = _pathwise.prior(function, _origin.less(rows, p.origin)) if not p.degenerate else 0.0
            update = _blocks.matmul(_cross(p, rows), function.update)
            values = (waves + update).reshape(rows.high.shape[0], num_samples, outputs)
            return values + _prior_mean(p, rows)[:, None, :]

        result = _blocks.map_rows(evaluate, x, size)
    result = jnp.swapaxes(result, 0, 1)
    return result[..., 0] if p.single else result


@functools.partial(jax.jit, static_argnums=(2,), inline=True)
def _means(p, x, size):
    # Points of no weight fill the rows of the covariance up to whole vectors: what is left over at the end of a row is
    # computed entry by entry, exponentials too.
    missing = -p.centered.shape[0] % _VECTOR
    points = jnp.concatenate([p.centered, jnp.broadcast_to(p.centered[:1], (missing, p.centered.shape[1]))])
    weights = jnp.pad(p.used[:, None] * p.weights, ((0, missing), (0, 0)))

    def block(rows):
        return _prior_mean(p, rows) + _blocks.matmul(p.covariance.gram(_origin.less(rows, p.origin), points), weights)

    values = _blocks.map_rows(block, x, size)
    return values[:, 0] if p.single else values


@functools.partial(jax.jit, inline=True)
def _means_by_passes(p, x):
    num = p.centered.shape[0]
    # One pass alone would not be a loop, and XLA on CPU would then compute the features anew in it.
    passes = max(2, -(-num // _IN_A_PASS))
    in_a_pass = -(-num // passes)
    missing = passes * in_a_pass - num
    points = jnp.concatenate([p.centered, jnp.broadcast_to(p.centered[:1], (missing, p.centered.shape[1]))])
    weights = jnp.pad(p.used * p.weights[:, 0], (0, missing))

    covariances = p.covariance._from_one(_origin.less(x, p.origin))

    # The derivative computes the covariances anew, so that it needs no more memory than the value.
    @jax.checkpoint
    def add(total, datum):
        point, weight = datum
        return total + weight * covariances(point), None

    return jax.lax.scan(add, _prior_mean(p, x)[:, 0], (points, weights), unroll=in_a_pass)[0]


def _prior_mean(p, x):
    return _data.evaluate(p.prior_mean, x.high, p.whitened.shape[1])


def _new_points(p, x, block_size, num_columns=0):
    x = _origin.new_points(x, p.centered, p.origin)
    return x, _blocks.rows_of_block(max(p.centered.shape[0], num_columns), x.high.shape[0], block_size)


def _cross(p, x):
    """Covariance `[m, n]` of new points with those that govern the posterior."""
    return p.covariance.gram(_origin.less(x, p.origin), p.centered) * p.used[None, :]


def _mean(p):
    return lambda x, cross: _prior_mean(p, x) + _blocks.matmul(cross, p.weights)


def _variance(p):
    half_solve, *of_reduced = cholesky.half_solvers(p.lower, *([] if p.reduced is None else [p.reduced]))

    def variance(x, cross):
        explained = half_solve(cross.T)
        result = 0.0 if p.degenerate else p.covariance.diagonal(_origin.less(x, p.origin)) - _sum_of_squares(explained)
        for reduced_half_solve in of_reduced:
            result = result + _sum_of_squares(reduced_half_solve(explained))
        # Rounding may go below 0; jnp.maximum keeps NaN.
        return jnp.maximum(result, 0.0)

    return variance


def _sum_of_squares(columns):
    # A product with ones: XLA on CPU takes a sum over the first axis entry by entry. In pieces, or the squares of many
    # rows are rounded away next to those of a few.
    n = columns.shape[0]
    if n <= _SUMMED:
        return _blocks.matmul(jnp.ones_like(columns[:, 0]), columns * columns)
    pieces = np.repeat(np.eye(-(-n // _SUMMED)), _SUMMED, axis=1)[:, :n]
    return jnp.sum(_blocks.matmul(jnp.asarray(pieces, columns.dtype), columns * columns), axis=0)


@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)
def _map(p, x, quantities, size):
    functions = [quantity(p) for quantity in quantities]

    def block(rows):
        cross = _cross(p, rows)
        return [function(rows, cross) for function in functions]

    results = _blocks.map_rows(block, x, size)
    return [values[:, 0] if values.ndim == 2 and p.single else values for values in results]
