"""Factorizations of many matrices, and solves, in pieces that on CPU cannot wait for one another for ever.

Every kernel takes them from here. Derivatives are those of the same function of each matrix, in pieces too.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# jaxlib on CPU shares out a batched call among XLA's threads, and blocks the one it runs on until the others are done
# (jaxlib 0.10.2, lapack_kernels.cc). As many such calls at a time as there are threads, two on two cores, wait for
# ever: seen with solves, `eigh`, `svd` and `qr`. Factors and solves of fewer multiplications than these, and single
# matrices, are done where they are; of the others single matrices alone are sure to be, but for the smallest ones.
_SHARED_OUT = 200_000
_ALONE_FROM = 8  # rows
_PASSES = 30  # multiplications of a decomposition, in units of the cube of its rows


def cholesky(matrix: jax.Array, *, symmetrize: bool = False) -> jax.Array:
    """Lower factors `[..., n, n]`, NaN where there is none.

    Args:
      matrix: `[..., n, n]`. Only the lower triangle is read, and the derivative takes it for both.
      symmetrize: read the mean with the transpose, which has a symmetric derivative (static).
    """
    return _cholesky((matrix + _transpose(matrix)) / 2 if symmetrize else matrix)


def triangular_solve(lower: jax.Array, b: jax.Array, *, transposed: bool = False) -> jax.Array:
    """Solves L v = b, or L^T v = b, for `lower` `[..., n, n]` and `b` `[..., n, m]`."""
    there, back = (_SOLVERS[transposed], _SOLVERS[not transposed])

    def product(v):
        matrix = jnp.tril(lower)
        return _matmul(_transpose(matrix) if transposed else matrix, v)

    # That is where derivatives come from; those of the batched call would be batched calls again.
    return jax.lax.custom_linear_solve(
        product, b, solve=lambda _, b: there(lower, b), transpose_solve=lambda _, b: back(lower, b)
    )


def solve(matrix: jax.Array, b: jax.Array) -> jax.Array:
    """Solves A v = b for any regular A `[..., n, n]` and b `[..., n, m]`, of the same leading axes."""
    return jax.lax.custom_linear_solve(
        lambda v: _matmul(matrix, v),
        b,
        solve=lambda _, b: _solve(matrix, b),
        transpose_solve=lambda _, b: _solve(_transpose(matrix), b),
    )


@jax.custom_jvp
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues `[..., n]`, ascending, and eigenvectors `[..., n, n]` in columns; the lower triangle is read."""
    return _eigh(matrix)


@eigh.defjvp
def _eigh_jvp(primals, tangents):
    values, vectors = eigh(*primals)
    turned = _matmul(_transpose(vectors), _matmul(tangents[0], vectors))
    gap = values[..., None, :] - values[..., :, None]
    same = jnp.eye(values.shape[-1], dtype=bool)
    share = jnp.where(same, 0.0, turned / jnp.where(same, 1.0, gap))
    return (values, vectors), (jnp.diagonal(turned, axis1=-2, axis2=-1), _matmul(vectors, share))


@jax.custom_jvp
def qr(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Q `[..., m, n]` with orthonormal columns and triangular R `[..., n, n]`, of `[..., m, n]` with m >= n."""
    return _qr(matrix)


@qr.defjvp
def _qr_jvp(primals, tangents):
    q, r = qr(*primals)
    relative = _transpose(triangular_solve(_transpose(r), _transpose(tangents[0])))
    turned = _matmul(_transpose(q), relative)
    below = jnp.tril(turned, -1)
    skew = below - _transpose(below)
    return (q, r), (_matmul(q, skew - turned) + relative, _matmul(turned - skew, r))


@jax.custom_jvp
def nearest_orthogonal(matrix: jax.Array) -> jax.Array:
    """The orthogonal factor `[..., n, n]` of the polar decomposition of `[..., n, n]`."""
    u, _, vt = svd(matrix)
    return _matmul(u, vt)


@nearest_orthogonal.defjvp
def _nearest_orthogonal_jvp(primals, tangents):
    u, singular, vt = svd(*primals)
    turned = _matmul(_transpose(u), _matmul(tangents[0], _transpose(vt)))
    share = (turned - _transpose(turned)) / (singular[..., None, :] + singular[..., :, None])
    return _matmul(u, vt), _matmul(u, _matmul(share, vt))


def svd(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """U `[..., m, k]`, singular values `[..., k]`, descending, and V^T `[..., k, n]`; it has no derivative."""
    return _svd(matrix)


def _in_pieces(function: Callable, cost: int, *arrays: jax.Array) -> Any:
    """`function` of matrices `[..., r, c]`; on CPU as many at a time as are not shared out, at `cost` each."""
    leading = arrays[0].shape[:-2]
    num = math.prod(leading)
    if jax.default_backend() != "cpu" or num <= 1 or num * cost < _SHARED_OUT:
        return function(*arrays)
    rows = [array.reshape(num, *array.shape[-2:]) for array in arrays]
    size = max(1, (_SHARED_OUT - 1) // cost)
    results = jax.lax.map(lambda some: function(*some), rows, batch_size=size if size > 1 else None)
    return jax.tree.map(lambda a: a.reshape(*leading, *a.shape[1:]), results)


def _of_many(function: Callable, cost: Callable[[int], int]) -> Callable:
    """`function` in pieces, under `vmap` too: that brings a new axis in front, where there may be any number."""

    @jax.custom_batching.custom_vmap
    def call(matrix):
        return _in_pieces(function, cost(max(matrix.shape[-2:])), matrix)

    @call.def_vmap
    def of_many(axis_size, in_batched, matrix):
        del axis_size, in_batched
        result = call(matrix)
        return result, jax.tree.map(lambda _: True, result)

    return call


def _cost_of_decomposition(rows: int) -> int:
    return _SHARED_OUT if rows >= _ALONE_FROM else _PASSES * rows**3


_factor = _of_many(functools.partial(jax.lax.linalg.cholesky, symmetrize_input=False), lambda rows: rows**3)
_eigh = _of_many(lambda matrix: tuple(jnp.linalg.eigh(matrix, symmetrize_input=False)), _cost_of_decomposition)
_qr = _of_many(lambda matrix: tuple(jnp.linalg.qr(matrix)), _cost_of_decomposition)
_svd = _of_many(lambda matrix: tuple(jnp.linalg.svd(matrix, full_matrices=False)), _cost_of_decomposition)


@jax.custom_jvp
def _cholesky(matrix: jax.Array) -> jax.Array:
    return _factor(matrix)


@_cholesky.defjvp
def _cholesky_jvp(primals, tangents):
    lower = _cholesky(*primals)
    below = jnp.tril(tangents[0])
    half = triangular_solve(lower, below + _transpose(jnp.tril(below, -1)))
    turned = jnp.tril(triangular_solve(lower, _transpose(half)))
    identity = jnp.eye(lower.shape[-1], dtype=lower.dtype)
    return lower, _matmul(lower, turned * (1 - identity / 2))


def _solver(function: Callable, factoring: Callable[[int], int]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`function` of matrices and right-hand sides in pieces, under `vmap` too; `factoring` is its cost before them."""

    @jax.custom_batching.custom_vmap
    def solve(matrix, b):
        return _in_pieces(function, factoring(b.shape[-2]) + b.shape[-2] ** 2 * b.shape[-1], matrix, b)

    @solve.def_vmap
    def of_many(axis_size, in_batched, matrix, b):
        if not in_batched[0] and matrix.ndim == 2:  # one matrix: more columns
            columns = jnp.moveaxis(b, 0, -2)
            solved = solve(matrix, columns.reshape(columns.shape[0], -1))
            return jnp.moveaxis(solved.reshape(columns.shape), -2, 0), True
        matrix, b = (
            leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            for leaf, batched in zip((matrix, b), in_batched, strict=True)
        )
        return solve(matrix, b), True

    return solve


_solve = _solver(jnp.linalg.solve, _cost_of_decomposition)
_SOLVERS = {
    transposed: _solver(
        functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True, transpose_a=transposed),
        lambda rows: 0,
    )
    for transposed in (False, True)
}


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _transpose(matrix: jax.Array) -> jax.Array:
    return jnp.swapaxes(matrix, -1, -2)
