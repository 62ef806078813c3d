"""Factors of many matrices and solves with them, in pieces that on CPU cannot wait for one another for ever."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# jaxlib on CPU shares out a batched call of at least so many multiplications among XLA's threads, and blocks the one it
# runs on until the others are done (jaxlib 0.10.2, lapack_kernels.cc). As many such calls at a time as there are
# threads, two on two cores, wait for ever. Calls of fewer, and of one matrix, are done where they are.
_SHARED_OUT = 200_000


@jax.custom_batching.custom_vmap
def cholesky(matrix: jax.Array) -> jax.Array:
    """Lower factors `[..., n, n]`, NaN where there is none; only the lower triangle is read. It has no derivative."""
    factor = functools.partial(jax.lax.linalg.cholesky, symmetrize_input=False)
    return _in_pieces(factor, matrix.shape[-1] ** 3, matrix)


@cholesky.def_vmap
def _cholesky_of_many(axis_size, in_batched, matrix):
    del axis_size, in_batched  # the new axis is in front, where there may be any number
    return cholesky(matrix), True


def triangular_solve(lower: jax.Array, b: jax.Array, *, transposed: bool) -> jax.Array:
    """Solves L v = b, or L^T v = b, for `lower` `[..., n, n]` and `b` `[..., n, m]`."""
    there, back = (_SOLVERS[transposed], _SOLVERS[not transposed])

    def product(v):
        matrix = jnp.tril(lower)
        return _blocks.matmul(jnp.swapaxes(matrix, -1, -2) if transposed else matrix, v)

    # That is where derivatives come from; those of the batched call would be batched calls again.
    return jax.lax.custom_linear_solve(
        product, b, solve=lambda _, b: there(lower, b), transpose_solve=lambda _, b: back(lower, b)
    )


def _solver(transposed: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    function = functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True, transpose_a=transposed)

    @jax.custom_batching.custom_vmap
    def solve(lower, b):
        return _in_pieces(function, b.shape[-2] ** 2 * b.shape[-1], lower, b)

    @solve.def_vmap
    def of_many(axis_size, in_batched, lower, b):
        if not in_batched[0] and lower.ndim == 2:  # one factor: more columns
            columns = jnp.moveaxis(b, 0, -2)
            solved = solve(lower, columns.reshape(columns.shape[0], -1))
            return jnp.moveaxis(solved.reshape(columns.shape), -2, 0), True
        lower, b = (
            leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            for leaf, batched in zip((lower, b), in_batched, strict=True)
        )
        return solve(lower, b), True

    return solve


_SOLVERS = {transposed: _solver(transposed) for transposed in (False, True)}


def _in_pieces(function, cost, *arrays):
    """`function` of matrices `[..., r, c]`; on CPU as many at a time as are not shared out, at `cost` each."""
    leading = arrays[0].shape[:-2]
    num = math.prod(leading)
    if jax.default_backend() != "cpu" or num <= 1 or num * cost < _SHARED_OUT:
        return function(*arrays)
    rows = [array.reshape(num, *array.shape[-2:]) for array in arrays]
    results = jax.lax.map(lambda some: function(*some), rows, batch_size=max(1, (_SHARED_OUT - 1) // cost))
    return results.reshape(*leading, *results.shape[1:])
