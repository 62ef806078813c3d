"""Cholesky factors of matrices that rounding has made slightly indefinite: the smallest jitter that works, reported."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.gaussian_process import _blocks, _lapack

# Diagonal shifts that are tried, as shares of the mean diagonal entry: none, then from here on by tenfold.
_FIRST = 10.0  # in units of eps
_LARGEST = 1e-3

# Rows of a factor that are inverted as they are, and of the pieces whose products are taken whole: a matrix product
# takes a quarter of the time of a triangular solve with as many operations. No more than so many pieces, for compiling.
_SOLVED, _MULTIPLIED, _MOST_PIECES = 32, 64, 16


class Factor(NamedTuple):
    """A Cholesky factor and what was added to the diagonal to have it.

    Attributes:
      lower: `[..., n, n]`, lower triangular L with L L^T = matrix + jitter I; NaN where the matrix is not positive
        definite.
      jitter: `[...]`, in units of the matrix; NaN where no jitter was enough.
    """

    lower: jax.Array
    jitter: jax.Array


def factorize(matrix: jax.Array, *, min_jitter: float = 0.0, min_pivot: float | None = None) -> Factor:
    """Cholesky factor of a symmetric matrix, with the smallest jitter of a fixed ladder that makes it one.

    Tried are 0, then 10 eps, 100 eps, ... 1e-3 of the mean diagonal entry. A factor is taken if it is finite and its
    smallest pivot is above the rounding of the sum behind it, n eps times the largest diagonal entry: a smaller one is
    noise, whatever its sign. A positive definite matrix is therefore factorized as it is, and a covariance that is
    singular but for rounding (duplicates without noise) as if it had a little noise, which `jitter` tells.

    The jitter has no derivative. Every problem of a batch has its own, also under `jax.vmap`.

    Args:
      matrix: `[..., n, n]`; only the lower triangle is read.
      min_jitter: share of the mean diagonal entry that is always added (static).
      min_pivot: share of the largest diagonal entry that a pivot must exceed (static), None for n eps; 0 where it is
        known that pivots are not small.

    Returns:
      `Factor(lower, jitter)`, float32 or wider. Both NaN where an entry is not finite, or where 1e-3 is not enough:
      such a matrix is not a covariance with rounding errors but indefinite.

    Raises:
      ValueError: the matrix is not square or is empty.
    """
    shape = jnp.shape(matrix)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(f"matrix must be [..., n, n] with n >= 1, got matrix.shape = {shape}.")
    (matrix,) = _array.as_floating(matrix=matrix)
    lower, jitter = _factorize((min_jitter, min_pivot), matrix)
    return Factor(lower, jax.lax.stop_gradient(jitter))


def half_solve(lower: jax.Array, b: jax.Array) -> jax.Array:
    """Solves L v = b for one triangular factor.

    Args:
      lower: `[..., n, n]`.
      b: `[..., n, m]`.

    Returns:
      `[..., n, m]`.
    """
    return _lapack.triangular_solve(lower, b, transposed=False)


def half_solvers(*lowers: jax.Array) -> list[Callable[[jax.Array], jax.Array]]:
    """The functions b -> L^-1 b of triangular factors of one size, for more columns than L has rows.

    Blocks on the diagonal are inverted once; what is left to do for each b are products.

    Args:
      *lowers: `[n, n]` each.

    Returns:
      A function of `[n, m]` to `[n, m]` for each.
    """
    inverses = _diagonal_inverses(jnp.stack(lowers), _rows_solved(lowers[0].shape[-1]))
    return [_half_solver(lower, inverses[i]) for i, lower in enumerate(lowers)]


def transposed_half_solve(lower: jax.Array, b: jax.Array) -> jax.Array:
    """Solves L^T v = b for one triangular factor.

    Args:
      lower: `[..., n, n]`.
      b: `[..., n, m]`.

    Returns:
      `[..., n, m]`.
    """
    return _lapack.triangular_solve(lower, b, transposed=True)


def solve(lower: jax.Array, b: jax.Array) -> jax.Array:
    """Solves L L^T v = b.

    Args:
      lower: `[..., n, n]`.
      b: `[..., n, m]`.

    Returns:
      `[..., n, m]`.
    """
    return transposed_half_solve(lower, half_solve(lower, b))


def inverse(lower: jax.Array) -> jax.Array:
    """Inverse of L L^T, by halves: a third of the operations of two solves of the identity, most of them in products.

    Args:
      lower: `[..., n, n]`, zero above the diagonal.

    Returns:
      `[..., n, n]`, symmetric.
    """
    return product_with_transposed(half_inverse(lower))


def half_inverse(lower: jax.Array) -> jax.Array:
    """Inverse of one triangular factor L, most of it in products.

    Args:
      lower: `[..., n, n]`, zero above the diagonal.

    Returns:
      `[..., n, n]`.
    """
    inverses = _diagonal_inverses(lower, _rows_solved(lower.shape[-1]))
    return _half_inverse(lower, inverses)


def product_with_transposed(factor: jax.Array) -> jax.Array:
    """M^T M of a lower triangular M, without most of the products with its zeros.

    Args:
      factor: `[..., n, n]`.

    Returns:
      `[..., n, n]`.
    """
    return _product_with_transposed(factor, max(_MULTIPLIED, -(-factor.shape[-1] // _MOST_PIECES)))


def log_det(lower: jax.Array) -> jax.Array:
    """Log determinant of L L^T.

    Args:
      lower: `[..., n, n]`.

    Returns:
      `[...]`.
    """
    return 2.0 * jnp.sum(jnp.log(jnp.diagonal(lower, axis1=-2, axis2=-1)), axis=-1)


def _rows_solved(n):
    return max(_SOLVED, -(-n // _MOST_PIECES))


def _diagonal_inverses(lower, rows):
    """Inverses `[..., p, s, s]` of the p blocks on the diagonal, p a power of 2 and s <= `rows`, by one solve."""
    n = lower.shape[-1]
    num = 1
    while -(-n // num) > rows:
        num *= 2
    size = -(-n // num)
    start, missing = (num - 1) * size, num * size - n
    # The last block is filled up from the identity, whose inverse does not mix with it.
    last = jnp.pad(lower[..., start:, start:], [(0, 0)] * (lower.ndim - 2) + [(0, missing)] * 2)
    last += jnp.diag((jnp.arange(size) >= size - missing).astype(lower.dtype))[(None,) * (lower.ndim - 2)]
    blocks = [lower[..., i : i + size, i : i + size] for i in range(0, start, size)]
    stacked = jnp.stack([*blocks, last], axis=-3)
    return half_solve(stacked, jnp.broadcast_to(_identity(stacked), stacked.shape))


def _split(lower, inverses):
    """The halves of a factor, cut between two of its blocks: `above`, `beside`, `below` and the inverses of both."""
    half = inverses.shape[-3] // 2
    row = half * inverses.shape[-1]
    parts = lower[..., :row, :row], lower[..., row:, :row], lower[..., row:, row:]
    return *parts, inverses[..., :half, :, :], inverses[..., half:, :, :]


def _half_solver(lower, inverses):
    n = lower.shape[-1]
    if inverses.shape[-3] == 1:
        return functools.partial(_blocks.matmul, inverses[0, :n, :n])
    above, beside, below, of_above, of_below = _split(lower, inverses)
    first_half, second_half = _half_solver(above, of_above), _half_solver(below, of_below)
    row = above.shape[-1]

    def apply(b):
        first = first_half(b[:row])
        return jnp.concatenate([first, second_half(b[row:] - _blocks.matmul(beside, first))])

    return apply


def _half_inverse(lower, inverses):
    """L^-1, from the inverses of its diagonal blocks: [[A, 0], [B, C]] has [[A^-1, 0], [-C^-1 B A^-1, C^-1]]."""
    n = lower.shape[-1]
    if inverses.shape[-3] == 1:
        return inverses[..., 0, :n, :n]
    above, beside, below, of_above, of_below = _split(lower, inverses)
    first, last = _half_inverse(above, of_above), _half_inverse(below, of_below)
    product = -_blocks.matmul(last, _blocks.matmul(beside, first))
    return _assembled(first, jnp.zeros_like(jnp.swapaxes(beside, -1, -2)), product, last)


def _product_with_transposed(factor, rows):
    n = factor.shape[-1]
    if n <= rows:
        return _blocks.matmul(jnp.swapaxes(factor, -1, -2), factor)
    half = n // 2
    above, beside, below = factor[..., :half, :half], factor[..., half:, :half], factor[..., half:, half:]
    transposed = jnp.swapaxes(beside, -1, -2)
    first = _product_with_transposed(above, rows) + _blocks.matmul(transposed, beside)
    corner = _blocks.matmul(transposed, below)
    return _assembled(first, corner, jnp.swapaxes(corner, -1, -2), _product_with_transposed(below, rows))


def _assembled(first, second, third, fourth):
    """[[first, second], [third, fourth]]."""
    upper, under = jnp.concatenate([first, second], axis=-1), jnp.concatenate([third, fourth], axis=-1)
    return jnp.concatenate([upper, under], axis=-2)


# The search for the jitter is a loop without a reverse derivative, and the factor it ends with should not be computed
# twice. The derivative of the factor is the textbook one, linear in the tangent, so it serves both modes.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _factorize(limits, matrix):
    return _search(matrix, *limits)


@_factorize.defjvp
def _factorize_jvp(limits, primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    lower, jitter = _factorize(limits, matrix)
    strict = jnp.tril(tangent, -1)
    tangent = strict + jnp.swapaxes(strict, -1, -2) + tangent * _identity(tangent)
    # d(L L^T) = dA: L^-1 dL is the lower triangle, half its diagonal, of L^-1 dA L^-T.
    inner = half_solve(lower, jnp.swapaxes(half_solve(lower, tangent), -1, -2))
    half = jnp.tril(inner, -1) + 0.5 * inner * _identity(inner)
    return (lower, jitter), (_blocks.matmul(lower, half), jnp.zeros_like(jitter))


def _identity(matrix):
    """The identity in the shape of `matrix`, with as many axes (ones in front)."""
    return jnp.eye(matrix.shape[-1], dtype=matrix.dtype)[(None,) * (matrix.ndim - 2)]


# An untraced caller would otherwise compile the loop at every call; to a traced one this is no boundary.
@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _search(matrix, min_jitter, min_pivot):
    n, dtype = matrix.shape[-1], matrix.dtype
    eps = float(jnp.finfo(dtype).eps)
    diagonal = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    scale = jnp.mean(jnp.abs(diagonal), axis=-1)
    least_pivot = (n * eps if min_pivot is None else min_pivot) * jnp.max(jnp.abs(diagonal), axis=-1)
    finite = jnp.isfinite(matrix).all(axis=(-2, -1))
    identity = _identity(matrix)

    def attempt(share):
        shifted = matrix if share is None else matrix + (share * scale)[..., None, None] * identity
        lower = _lapack.cholesky(shifted)
        pivots = jnp.square(jnp.diagonal(lower, axis1=-2, axis2=-1))
        # A NaN pivot compares as false.
        return lower, jnp.all(pivots > least_pivot[..., None], axis=-1)

    def pending(state):
        share, _, good = state
        return jnp.any(~good & finite & (share < _LARGEST))

    def again(state):
        share, lower, good = state
        raised = jnp.where(good, share, jnp.minimum(jnp.maximum(10.0 * share, _FIRST * eps), _LARGEST))
        new, new_good = attempt(raised)
        return raised, jnp.where(good[..., None, None], lower, new), good | new_good

    start = jnp.full_like(scale, min_jitter)
    first = attempt(start if min_jitter else None)
    share, lower, good = jax.lax.while_loop(pending, again, (start, *first))
    good &= finite
    return jnp.where(good[..., None, None], lower, jnp.nan), jnp.where(good, share * scale, jnp.nan)
