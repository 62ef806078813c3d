"""Preconditioned conjugate gradients and Lanczos with a kernel matrix that is never formed."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _lapack, _scale
from gentoolkit.gaussian_process import _blocks, _data, _origin, cholesky
from gentoolkit.gaussian_process._composition import close_points
from gentoolkit.gaussian_process.covariance import Covariance

# Share of the largest noise that the unit of the matrix is at least: in it, the noise is no infinite number.
_LEAST_SHARE = 1e-30


class PivotedCholesky(NamedTuple):
    """A low-rank approximation `factor factor^T` of a covariance matrix.

    Attributes:
      factor: `[n, rank]`.
      pivots: `[rank]` int32, the points it was built from, the least explained one first (inducing points, if wanted).
      residual: `[]`, trace of what is left over.
    """

    factor: jax.Array
    pivots: jax.Array
    residual: jax.Array


class Solution(NamedTuple):
    """Solution of a linear system and how good it is.

    Attributes:
      value: `[n]` or `[n, p]`.
      residual: `[]`, the reached |b - A value| / |b|, the largest of the columns, computed from `value` itself.
      num_iterations: `[]` int32.
    """

    value: jax.Array
    residual: jax.Array
    num_iterations: jax.Array


class LogDet(NamedTuple):
    """A log determinant with its standard error over the probes, both `[]`."""

    value: jax.Array
    standard_error: jax.Array


def solve(
    covariance: Covariance,
    x: jax.Array,
    b: jax.Array,
    *,
    noise: ArrayLike,
    rank: int = 64,
    tolerance: float | None = None,
    max_iterations: int = 1000,
    block_size: int | None = None,
) -> Solution:
    """Solves (K + noise) v = b by conjugate gradients, preconditioned by a pivoted Cholesky factor of K.

    K is computed again in blocks of rows for every product: O(n block_size) memory. Differentiable in the covariance,
    the points, the noise and `b`, by a second solve instead of a walk back through the iterations; the derivative of
    `residual` is 0.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      b: `[n]` or `[n, p]` right-hand sides.
      noise: noise variance, scalar or `[n]`, > 0.
      rank: of the preconditioner (static), 0 for the diagonal only.
      tolerance: ends where |b - A v| <= tolerance |b| in every column (static); None for 1e-5 in float32, 1e-10 in
        float64.
      max_iterations: at most (static). Read `residual` to learn whether it was enough.
      block_size: rows at a time (static), None to choose.

    Returns:
      `Solution(value, residual, num_iterations)`; a column of zeros gives zeros, NaN gives NaN.

    Raises:
      ValueError: shapes disagree, the noise is not positive, or a count is out of range.
      TypeError: an argument is not a real array.

    References:
      Gardner, Pleiss, Bindel, Weinberger, Wilson, GPyTorch: blackbox matrix-matrix Gaussian process inference with GPU
      acceleration, NeurIPS 2018, section 4 and appendix C.
    """
    if not isinstance(noise, jax.core.Tracer) and np.any(np.asarray(noise) <= 0):
        raise ValueError(f"noise must be > 0 for conjugate gradients, got noise = {noise}.")
    _array.check_positive(max_iterations=max_iterations)
    given = _data.prepare(covariance, x, b, noise, 0.0)
    n = given.x.high.shape[0]
    if not 0 <= rank <= n:
        raise ValueError(f"rank must be in 0 ... n = {n}, got rank = {rank}.")
    if tolerance is None:
        tolerance = 1e-5 if given.x.high.dtype == jnp.float32 else 1e-10
    size = _blocks.rows_of_block(n, n, block_size)
    value, residual, steps = _solve(covariance, given, rank, float(tolerance), int(max_iterations), size)
    return Solution(value[:, 0] if given.single else value, residual, steps)


# An untraced caller would otherwise compile the loops of these at every call; to a traced one they are no boundaries.
@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5), inline=True)
def _solve(covariance, given, rank, tolerance, max_iterations, size):
    data = _data.ready(given)
    # In the units of the matrix and of each column, so that the squares of both are normal numbers.
    level = _scale.unit(covariance.diagonal(data.x))
    level = jax.lax.stop_gradient(jnp.maximum(level, _LEAST_SHARE * jnp.max(data.noise))[0])
    unit = _scale.unit(data.residual, axes=0)
    right = data.residual / unit
    product = _product(covariance, data.x, data.noise, level, size)
    precondition = _preconditioner(jax.lax.stop_gradient((covariance, data.x, data.noise)), level, rank)

    def iterate(matvec, right):
        return _iterate(matvec, precondition, right, tolerance, max_iterations)

    value, (steps,) = jax.lax.custom_linear_solve(product, right, iterate, symmetric=True, has_aux=True)
    left = jax.lax.stop_gradient(right - product(value))
    norm = jnp.sqrt(jnp.sum(jax.lax.stop_gradient(right) ** 2, axis=0))
    # A column of zeros is solved exactly.
    reached = jnp.sqrt(jnp.sum(left**2, axis=0)) / jnp.where(norm > 0, norm, 1.0)
    return value * (unit / level), jnp.max(reached), steps


def pivoted_cholesky(covariance: Covariance, x: jax.Array, *, rank: int) -> PivotedCholesky:
    """Low-rank factor of a covariance matrix, one column at a time for the point that is explained least.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      rank: number of columns (static), 1 to n.

    Returns:
      `PivotedCholesky(factor, pivots, residual)`, O(n rank^2) time. Columns beyond the numerical rank are 0.

    Raises:
      ValueError: shapes disagree or the rank is out of range.

    References:
      Harbrecht, Peters, Schneider, On the low-rank approximation by the pivoted Cholesky decomposition, Applied
      Numerical Mathematics 2012, algorithm 1.
    """
    (x,) = close_points(covariance._shift_invariant, x=x)
    n = x.shape[0]
    if not 1 <= rank <= n:
        raise ValueError(f"rank must be in 1 ... n = {n}, got rank = {rank}.")
    return _pivoted_cholesky(covariance, x, jnp.ones_like(x[:, 0]), rank)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _pivoted_cholesky(covariance, x, weights, rank):
    n = x.shape[0]
    diagonal = covariance.diagonal(x)
    # What is left of a diagonal entry below this is rounding.
    least = 4.0 * float(jnp.finfo(x.dtype).eps) * diagonal

    def add(step, state):
        factor, pivots, left = state
        pivot = jnp.argmax(jnp.where(left > least, left * weights, -1.0)).astype(jnp.int32)
        usable = left[pivot] > least[pivot]
        column = covariance.gram(x, x[pivot][None, :])[:, 0]
        column = column - _blocks.matmul(factor, factor[pivot][:, None])[:, 0]
        column = jnp.where(usable, column / jnp.sqrt(jnp.where(usable, left[pivot], 1.0)), 0.0)
        left = jnp.maximum(left - column * column, 0.0).at[pivot].set(jnp.where(usable, 0.0, left[pivot]))
        return factor.at[:, step].set(column), pivots.at[step].set(pivot), left

    start = (jnp.zeros((n, rank), x.dtype), jnp.zeros((rank,), jnp.int32), diagonal)
    factor, pivots, left = jax.lax.fori_loop(0, rank, add, start)
    return PivotedCholesky(factor, pivots, jnp.sum(left))


def log_det(
    covariance: Covariance,
    x: jax.Array,
    probes: jax.Array,
    *,
    noise: ArrayLike,
    num_steps: int = 50,
    block_size: int | None = None,
) -> LogDet:
    """Log determinant of K + noise by stochastic Lanczos quadrature.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      probes: `[q, n]` random vectors with independent entries of mean 0 and variance 1, such as
        `jax.random.rademacher(key, (q, n), jnp.float32)`. The rows of `sqrt(n) I` with n steps are exact.
      noise: noise variance, scalar or `[n]`, > 0.
      num_steps: Lanczos steps for each probe (static), at most n.
      block_size: rows at a time (static), None to choose.

    Returns:
      `LogDet(value, standard_error)`; the error is that of the probes, without the bias of few steps; NaN for one.

    Raises:
      ValueError: shapes disagree or a count is out of range.

    References:
      Ubaru, Chen, Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM J. Matrix Anal. 2017,
      algorithm 1.
    """
    x, probes = _origin.arrays(x=x, probes=probes)
    given = _data.prepare(covariance, x, jnp.zeros(jnp.shape(x)[:1], jnp.float32), noise, 0.0)
    n = given.x.high.shape[0]
    if jnp.ndim(probes) != 2 or jnp.shape(probes)[1] != n:
        raise ValueError(f"probes must be [q, n] with n = {n} points, got probes.shape = {jnp.shape(probes)}.")
    if not 1 <= num_steps <= n:
        raise ValueError(f"num_steps must be in 1 ... n = {n}, got num_steps = {num_steps}.")
    size = _blocks.rows_of_block(n, n, block_size)
    return _log_det(covariance, given, jnp.asarray(probes, given.x.high.dtype), num_steps, size)


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _log_det(covariance, given, probes, num_steps, size):
    data = _data.ready(given)
    dtype = data.x.dtype
    # Eigenvalues next to the largest one are lost to rounding: rows in units that make all diagonal entries of order 1,
    # powers of two, whose logarithms are added again.
    _, exponent = jnp.frexp(jax.lax.stop_gradient(covariance.diagonal(data.x) + data.noise))
    unit = jnp.ldexp(jnp.ones_like(data.noise), -(exponent // 2))[:, None]
    unscaled = _product(covariance, data.x, data.noise, jnp.ones((), dtype), size)

    def product(v):
        return unit * unscaled(unit * v)

    least = jnp.min(data.noise[:, None] * unit * unit)
    norms = jnp.sum(probes**2, axis=1)
    diagonal, beside = _lanczos(product, (probes / jnp.sqrt(norms)[:, None]).T, num_steps)
    middle = jax.vmap(jnp.diag)(diagonal)
    off = jax.vmap(lambda entries: jnp.diag(entries, 1))(beside)
    values, vectors = _lapack.eigh(middle + off + jnp.swapaxes(off, 1, 2))
    weight = vectors[:, 0, :] ** 2
    # No eigenvalue is below the smallest noise, but for rounding.
    logs = jnp.log(jnp.where(weight > 0, jnp.maximum(values, least), 1.0))
    estimates = norms * jnp.sum(weight * logs, axis=1) - 2.0 * jnp.sum(jnp.log(unit))
    error = jnp.std(estimates, ddof=1) / len(probes) ** 0.5 if len(probes) > 1 else jnp.full((), jnp.nan, dtype)
    return LogDet(jnp.mean(estimates), error)


def _product(covariance, x, noise, level, size):
    """The function v -> (K + noise) v / level."""

    def times(v):
        signal = _blocks.map_rows(lambda rows: _blocks.matmul(covariance.gram(rows, x), v), x, size)
        return (signal + noise[:, None] * v) / level

    return times


def _preconditioner(system, level, rank):
    """Inverse of `(factor factor^T + noise) / level` by the Woodbury identity."""
    covariance, x, noise = system
    if rank == 0:
        diagonal = (covariance.diagonal(x) + noise) / level
        return lambda v: v / diagonal[:, None]
    # Points are explained for the sake of their noise: what is left is to be small next to it.
    factor = _pivoted_cholesky(covariance, x, jnp.min(noise) / noise, rank).factor / jnp.sqrt(level)
    noise = noise / level
    scaled = factor / jnp.sqrt(noise)[:, None]
    inner = _blocks.matmul(scaled.T, scaled) + jnp.eye(rank, dtype=x.dtype)
    lower = cholesky.factorize(inner, min_pivot=0.0).lower

    def apply(v):
        v = v / jnp.sqrt(noise)[:, None]
        v = v - _blocks.matmul(scaled, cholesky.solve(lower, _blocks.matmul(scaled.T, v)))
        return v / jnp.sqrt(noise)[:, None]

    return apply


def _iterate(product, precondition, right, tolerance, max_iterations):
    """Conjugate gradients for all columns at once; a column that has converged stays as it is."""
    limit = (tolerance**2) * jnp.sum(right**2, axis=0)

    def open_columns(left):
        return jnp.sum(left**2, axis=0) > limit

    def pending(state):
        _, left, _, _, step = state
        return jnp.any(open_columns(left)) & (step < max_iterations)

    def advance(state):
        value, left, direction, power, step = state
        going = open_columns(left)
        image = product(direction)
        bend = jnp.sum(direction * image, axis=0)
        rate = jnp.where(going, power / jnp.where(going, bend, 1.0), 0.0)
        value = value + rate[None, :] * direction
        left = left - rate[None, :] * image
        better = precondition(left)
        new_power = jnp.sum(left * better, axis=0)
        ratio = jnp.where(going, new_power / jnp.where(going, power, 1.0), 0.0)
        return value, left, better + ratio[None, :] * direction, new_power, step + 1

    better = precondition(right)
    # 0 for numbers and NaN for NaN, so that a bad right-hand side does not pass for a solved one.
    start = jnp.zeros_like(right) + jnp.sum(0.0 * right, axis=0, keepdims=True)
    state = (start, right, better, jnp.sum(right * better, axis=0), jnp.zeros((), jnp.int32))
    value, _, _, _, steps = jax.lax.while_loop(pending, advance, state)
    return value, (steps,)


def _lanczos(product, start, num_steps):
    """Tridiagonal coefficients `[q, num_steps]` and `[q, num_steps - 1]` for unit columns of `start` `[n, q]`."""
    n, q = start.shape
    eps = float(jnp.finfo(start.dtype).eps)

    def advance(step, state):
        basis, diagonal, beside, current = state
        basis = basis.at[step].set(current)
        image = product(current)
        diagonal = diagonal.at[step].set(jnp.sum(current * image, axis=0))
        # Twice against the whole basis: the recurrence alone loses its orthogonality in a few dozen steps.
        for _ in range(2):
            overlap = jnp.einsum("snq,nq->sq", basis, image, precision=jax.lax.Precision.HIGHEST)
            image = image - jnp.einsum("snq,sq->nq", basis, overlap, precision=jax.lax.Precision.HIGHEST)
        norm = jnp.sqrt(jnp.sum(image**2, axis=0))
        # The space is used up: what follows is decoupled from the start and has no weight.
        left = norm > 4.0 * eps * jnp.abs(diagonal[step])
        beside = beside.at[step].set(jnp.where(left, norm, 0.0))
        return basis, diagonal, beside, jnp.where(left[None, :], image / jnp.where(left, norm, 1.0)[None, :], 0.0)

    zeros = jnp.zeros((num_steps, q), start.dtype)
    state = (jnp.zeros((num_steps, n, q), start.dtype), zeros, zeros, start)
    _, diagonal, beside, _ = jax.lax.fori_loop(0, num_steps, advance, state)
    return diagonal.T, beside[:-1].T
