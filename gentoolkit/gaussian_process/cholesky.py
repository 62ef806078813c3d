"""Cholesky factors of matrices that rounding has made slightly indefinite: the smallest jitter that works, reported."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _array, _lapack
from gentoolkit.gaussian_process import _blocks

# Jitters that are tried, as shares of each diagonal entry: none, then from here on by tenfold.
_FIRST = 10.0  # in units of eps
_LARGEST = 1e-3
# A pivot is what is left of a diagonal entry after squares have been taken off. Rounding makes up to 3 eps of that
# entry out of 0, as measured for rows that repeat another, among 10 to 2,000 rows: the partial sums of LAPACK's blocks
# become as small as what is left, so that their rounding does not add up.
_LEAST_PIVOT = 4.0  # in units of eps
# Powers of two between which diagonal entries lie whose pivots and products are normal numbers, in float32 as well.
_LEAST_EXPONENT, _LARGEST_EXPONENT = -84, 116

# Rows of a factor that are inverted as they are, and of the pieces whose products are taken whole: a matrix product
# takes a quarter of the time of a triangular solve with as many operations. No more than so many pieces, for compiling.
_SOLVED, _MULTIPLIED, _MOST_PIECES = 32, 64, 16
# Largest sum of a row of |L^-1| |L| up to which L^-1 is multiplied with as it is. Up to here the error of a posterior
# variance is up to 3 eps of the prior's instead of 1 from a solve; at a hundred times as much it is thousands.
_LARGEST_GROWTH = 32.0
# In so few rows it does not grow that far.
_FEW_ROWS = 8


class Factor(NamedTuple):
    """A Cholesky factor and what was added to the diagonal to have it.

    Attributes:
      lower: `[..., n, n]`, lower triangular L with L L^T = matrix + jitter diag(matrix); NaN where the matrix is not
        positive definite.
      jitter: `[...]`, the share of each diagonal entry that was added to it, without unit; NaN where none was enough.
    """

    lower: jax.Array
    jitter: jax.Array


def factorize(
    matrix: jax.Array, *, scale: jax.Array | None = None, min_jitter: float = 0.0, min_pivot: float | None = None
) -> Factor:
    """Cholesky factor of a symmetric matrix, with the smallest jitter of a fixed ladder that makes it one.

    Tried are 0, then 10 eps, 100 eps, ... 1e-3 of each diagonal entry. A factor is taken if it is finite and each pivot
    is above the rounding of the sum that it comes from, 4 eps times the diagonal entry of its row: a smaller one is
    noise, whatever its sign. A positive definite matrix is therefore factorized as LAPACK does it, and a covariance
    that is singular but for rounding (duplicates without noise) as if it had a little noise, which `jitter` tells.

    Nothing depends on the units of rows: the factor of D A D is D times that of A for every positive diagonal D, bit
    for bit for powers of two. A row that is 0 throughout has no unit of its own and takes the mean one.

    The jitter has no derivative. Every problem of a batch has its own, also under `jax.vmap`.

    Args:
      matrix: `[..., n, n]`; only the lower triangle is read.
      scale: `[..., n]`, what shares are taken of in place of the diagonal, >= 0: of a difference of matrices, the
        diagonal of the first, to whose rounding all entries are known.
      min_jitter: share that is always added (static).
      min_pivot: share of the diagonal entry of its row that a pivot must exceed (static), None for 4 eps; 0 where it
        is known that pivots are not small.

    Returns:
      `Factor(lower, jitter)`, float32 or wider. Both NaN where an entry is not finite, where all are 0, or where 1e-3
      is not enough: such a matrix is not a covariance with rounding errors but indefinite. Diagonal entries below the
      smallest normal number (1e-38 in float32) count as 0.

    Raises:
      ValueError: the matrix is not square or is empty.
    """
    shape = jnp.shape(matrix)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(f"matrix must be [..., n, n] with n >= 1, got matrix.shape = {shape}.")
    if scale is not None and jnp.shape(scale) != shape[:-1]:
        raise ValueError(f"scale must be [..., n] = {shape[:-1]}, got scale.shape = {jnp.shape(scale)}.")
    (matrix,) = _array.as_floating(matrix=matrix)
    if scale is not None:
        scale = jax.lax.stop_gradient(jnp.asarray(scale, matrix.dtype))
    lower, jitter = _factorize((min_jitter, min_pivot), matrix, scale)
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
    return _FEW_ROWS if n <= 2 * _FEW_ROWS else max(_SOLVED, -(-n // _MOST_PIECES))


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
        return _product_or_refined(lower, inverses[0, :n, :n])
    above, beside, below, of_above, of_below = _split(lower, inverses)
    first_half, second_half = _half_solver(above, of_above), _half_solver(below, of_below)
    row = above.shape[-1]

    def apply(b):
        first = first_half(b[:row])
        return jnp.concatenate([first, second_half(b[row:] - _blocks.matmul(beside, first))])

    return apply


def _product_or_refined(block, inverse):
    """The function b -> block^-1 b by products: one, or three where the inverse alone would lose digits.

    Where rows are near to combinations of those before them, the inverse has large entries of both signs.
    """
    size = jnp.linalg.norm(block, axis=1)
    growth = jax.lax.stop_gradient(jnp.max(_blocks.matmul(jnp.abs(inverse), size[:, None])))

    multiply = functools.partial(_blocks.matmul, inverse)
    if block.shape[0] <= _FEW_ROWS:
        return multiply

    def refine(b):
        first = multiply(b)
        return first + multiply(b - _blocks.matmul(block, first))

    def apply(b):
        return jax.lax.cond(growth > _LARGEST_GROWTH, refine, multiply, b)

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
def _factorize(limits, matrix, scale):
    return _search(matrix, scale, *limits)


@_factorize.defjvp
def _factorize_jvp(limits, primals, tangents):
    (matrix, scale), (tangent, _) = primals, tangents
    lower, jitter = _factorize(limits, matrix, scale)
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
@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)
def _search(matrix, scale, min_jitter, min_pivot):
    eps = float(jnp.finfo(matrix.dtype).eps)
    least = _LEAST_PIVOT * eps if min_pivot is None else min_pivot
    if scale is None:
        scale = jnp.abs(jnp.diagonal(matrix, axis1=-2, axis2=-1))
    scale = jnp.where(scale > 0, scale, jnp.mean(scale, axis=-1, keepdims=True))
    identity = _identity(matrix)

    def added(share, scale):
        return (share[..., None] * scale)[..., None] * identity

    def is_good(lower):
        pivots = jnp.square(jnp.diagonal(lower, axis1=-2, axis2=-1))
        # A NaN pivot compares as false.
        return jnp.all((pivots > least * scale) & (pivots < jnp.inf), axis=-1)

    def pending(state):
        return jnp.any(state[0])

    def again(state):
        going, tried, share, lower = state
        raised = jnp.where(tried, jnp.minimum(jnp.maximum(10.0 * share, _FIRST * eps), _LARGEST), share)
        # Rows in units that make all diagonals of order 1. The units hang on the state, or XLA would scale the matrix
        # before the loop, for those too that never enter it.
        _, exponent = jnp.frexp(jnp.where(scale > 0, scale, 1.0))
        unit = jnp.ldexp(jnp.where(raised >= 0, 1.0, jnp.nan)[..., None], -(exponent // 2))
        scaled = matrix * unit[..., :, None] * unit[..., None, :] + added(raised, scale * unit * unit)
        new = _lapack.cholesky(scaled) / unit[..., :, None]
        good = is_good(new)
        finite = jnp.isfinite(matrix).all(axis=(-2, -1))
        share = jnp.where(going, raised, share)
        lower = jnp.where(going[..., None, None], jnp.where(good[..., None, None], new, jnp.nan), lower)
        return going & ~good & finite & (share < _LARGEST), jnp.ones_like(tried), share, lower

    share = jnp.full(scale.shape[:-1], min_jitter, matrix.dtype)
    lower = _lapack.cholesky(matrix + added(share, scale) if min_jitter else matrix)
    in_range = (scale >= 2.0**_LEAST_EXPONENT) & (scale <= 2.0**_LARGEST_EXPONENT)
    tried = jnp.all(in_range, axis=-1)
    going, _, share, lower = jax.lax.while_loop(pending, again, (~(tried & is_good(lower)), tried, share, lower))
    return lower, jnp.where(jnp.isnan(lower[..., -1, -1]), jnp.nan, share)
