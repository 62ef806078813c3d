"""Multigrid preconditioner for diffusion on a grid of pixels whose weights jump by many decades.

Blocks of two by two pixels are merged from level to level: the coarse links are sums of fine ones, so every level is
again a graph of positive links, and nothing cancels in float32 (operator-dependent interpolation with a computed
Galerkin product does: over five decades its coarse levels became indefinite). Smoothing solves whole rows, then whole
columns, so that a chain of strong links is smoothed as one. One cycle is symmetric and positive definite.

References:
  Braess, Towards algebraic multigrid for elliptic problems of second order, Computing 1995 (merging with
    overcorrection, as a preconditioner).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _lapack

# Damping of the line solves; below 1 keeps the cycle positive definite.
_DAMPING = 0.9
# Piecewise constant corrections are too short: Braess lengthens them by a factor below 2.
_OVERCORRECTION = 1.7
# Grids with no more points than this are solved by their inverse.
_DIRECT = 256


def preconditioner(diagonal: jax.Array, down: jax.Array, right: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """One V-cycle for the matrix with these links.

    Args:
      diagonal: `[h, w]`, > 0: what a row of the matrix sums to.
      down: `[h - 1, w]`, >= 0: links between neighbours in a column.
      right: `[h, w - 1]`, >= 0: links between neighbours in a row.

    Returns:
      A symmetric positive definite linear function on `[h, w]`.
    """
    h, w = diagonal.shape
    whole = center(diagonal, down, right)

    def apply(u: jax.Array) -> jax.Array:
        across, along = right * (u[:, 1:] - u[:, :-1]), down * (u[1:] - u[:-1])
        u = diagonal * u + jnp.pad(across, [(0, 0), (1, 0)]) - jnp.pad(across, [(0, 0), (0, 1)])
        return u + jnp.pad(along, [(1, 0), (0, 0)]) - jnp.pad(along, [(0, 1), (0, 0)])

    if h * w <= _DIRECT:
        return _direct(apply, diagonal)

    def rows(r: jax.Array) -> jax.Array:
        return _DAMPING * _tridiagonal(whole, -right, r)

    def columns(r: jax.Array) -> jax.Array:
        return _DAMPING * _tridiagonal(whole.T, -down.T, r.T).T

    coarse = preconditioner(_merged(diagonal), _merged_links(down, 0), _merged_links(right, 1))

    def cycle(r: jax.Array) -> jax.Array:
        u = rows(r)
        u = u + columns(r - apply(u))
        u = u + _OVERCORRECTION * _spread(coarse(_merged(r - apply(u))), (h, w))
        u = u + columns(r - apply(u))
        return u + rows(r - apply(u))

    return cycle


def center(diagonal: jax.Array, down: jax.Array, right: jax.Array) -> jax.Array:
    """The diagonal of the matrix: what its row sums to, and every link of the pixel."""
    total = diagonal + jnp.pad(down, [(0, 1), (0, 0)]) + jnp.pad(down, [(1, 0), (0, 0)])
    return total + jnp.pad(right, [(0, 0), (0, 1)]) + jnp.pad(right, [(0, 0), (1, 0)])


def _merged(x: jax.Array) -> jax.Array:
    """Sums over blocks of two by two; blocks at the end may be smaller."""
    h, w = x.shape
    x = jnp.pad(x, [(0, h % 2), (0, w % 2)])
    return x.reshape((h + 1) // 2, 2, (w + 1) // 2, 2).sum(axis=(1, 3))


def _merged_links(links: jax.Array, axis: int) -> jax.Array:
    """Links between blocks: of the fine links along the axis, those from an odd to an even place."""
    links = links[1::2, :] if axis == 0 else links[:, 1::2]
    n = links.shape[1 - axis]
    links = jnp.pad(links, [(0, n % 2 if i == 1 - axis else 0) for i in (0, 1)])
    shape = (links.shape[0], (n + 1) // 2, 2) if axis == 0 else ((n + 1) // 2, 2, links.shape[1])
    return links.reshape(shape).sum(axis=2 if axis == 0 else 1)


def _spread(x: jax.Array, shape: tuple[int, int]) -> jax.Array:
    return jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)[: shape[0], : shape[1]]


def _tridiagonal(diagonal: jax.Array, links: jax.Array, b: jax.Array) -> jax.Array:
    # The solver of some backends needs three equations: short lines get rows of the identity.
    short = max(0, 3 - b.shape[-1])
    lower = jnp.pad(links, [(0, 0), (1, short)])
    upper = jnp.pad(links, [(0, 0), (0, 1 + short)])
    b = jnp.pad(b, [(0, 0), (0, short)])
    diagonal = jnp.pad(diagonal, [(0, 0), (0, short)], constant_values=1.0)
    x = jax.lax.linalg.tridiagonal_solve(lower, diagonal, upper, b[..., None])[..., 0]
    return x[:, : x.shape[-1] - short]


def _direct(apply: Callable[[jax.Array], jax.Array], like: jax.Array) -> Callable[[jax.Array], jax.Array]:
    num = like.size
    basis = jnp.asarray(np.eye(num).reshape(num, *like.shape), like.dtype)
    inverse = _lapack.solve(jax.vmap(apply)(basis).reshape(num, num), jnp.eye(num, dtype=like.dtype))
    inverse = (inverse + inverse.T) / 2

    def solve(r: jax.Array) -> jax.Array:
        return jnp.matmul(inverse, r.reshape(num), precision=jax.lax.Precision.HIGHEST).reshape(like.shape)

    return solve
