"""Sums of products over many rows, taken in blocks: the error of float32 does not grow with the number of rows.

`jnp.sum` and `jnp.mean` need no help: XLA adds in windows of 32, whatever is fused into the sum. A matrix product that
contracts the rows does: where few features are left, XLA's CPU backend (jax 0.10.2) adds one row after the other into
one float32 number, which is 0.6 % off at 5 million rows of two features and stands still at 2^24. `tests/sums_test.py`
holds both facts.
"""

import functools

import jax
import jax.numpy as jnp

# Rows of a block. Products of few features add them one after the other, which is good to 4e-6 at worst; those of many
# features are blocked further by the library that takes them, and a block must be worth a turn of the loop.
_FEW_FEATURES, _BLOCK_ROWS_OF_FEW, _BLOCK_ROWS = 8, 512, 2048


# Its own derivative: autodiff of the loop would hold one array as large as the sample for every block. The tangents are
# taken in blocks too, all at once, which has a transpose without a loop.
@jax.custom_jvp
def gram(x: jax.Array, z: jax.Array) -> jax.Array:
    """Sum over rows of the products of features, `x^T z`, in full precision and in blocks of rows.

    Args:
      x: `[..., n, d]`.
      z: `[..., n, e]`, the same leading axes and dtype.

    Returns:
      `[..., d, e]`; divided by n the second moment of the rows.
    """
    return _gram(x, z)


@gram.defjvp
def _gram_jvp(primals, tangents):
    (x, z), (x_dot, z_dot) = primals, tangents
    return gram(x, z), gram_of_tangents(x_dot, z) + gram_of_tangents(x, z_dot)


def gram_of_tangents(x: jax.Array, z: jax.Array) -> jax.Array:
    """`gram` in a form without a loop, whose transpose is a product: for derivatives written by hand."""
    # Products of many features are good to 1e-6 as they come, and their transposes need no copy.
    product = _blocks_at_once if min(x.shape[-1], z.shape[-1]) <= _FEW_FEATURES else _product
    return product(x, z)


def weighted(weights: jax.Array, x: jax.Array) -> jax.Array:
    """Sum over rows of `weights[..., n, None] * x[..., n, d]`, `[..., d]`, in full precision and in blocks of rows."""
    return gram(weights[..., None], x)[..., 0, :]


# Inlined: a traced caller sees no boundary. For one that is not, the loop would be compiled anew at every call.
@functools.partial(jax.jit, inline=True)
def _gram(x: jax.Array, z: jax.Array) -> jax.Array:
    if x.shape[-2] <= max(_BLOCK_ROWS, _block_rows(x, z)):
        return _product(x, z)
    # On CPU a loop that cuts each block out of the sample, since all blocks at once are a copy of it and take up to
    # three times as long. On accelerators, whose matrix units add row after row as well, blocks are for running at
    # once, and stay on the device that has them.
    return jax.lax.platform_dependent(x, z, cpu=_block_by_block, default=_blocks_at_once)


def _block_by_block(x: jax.Array, z: jax.Array) -> jax.Array:
    rows = _block_rows(x, z)
    num = x.shape[-2] // rows

    def block(index):
        return _product(*(jax.lax.dynamic_slice_in_dim(a, index * rows, rows, axis=a.ndim - 2) for a in (x, z)))

    total = jax.lax.map(block, jnp.arange(num, dtype=jnp.int32)).sum(axis=0)
    return _with_last_rows(total, x, z, num * rows)


def _blocks_at_once(x: jax.Array, z: jax.Array) -> jax.Array:
    rows = _block_rows(x, z)
    num = x.shape[-2] // rows
    if x.shape[-2] <= _BLOCK_ROWS or num <= 1:
        return _product(x, z)
    blocks = (a[..., : num * rows, :].reshape(*a.shape[:-2], num, rows, a.shape[-1]) for a in (x, z))
    return _with_last_rows(_product(*blocks).sum(axis=-3), x, z, num * rows)


def _with_last_rows(total: jax.Array, x: jax.Array, z: jax.Array, done: int) -> jax.Array:
    return total if done == x.shape[-2] else total + _product(x[..., done:, :], z[..., done:, :])


def _block_rows(x: jax.Array, z: jax.Array) -> int:
    sizes = x.shape[-1], z.shape[-1]
    # As many as there are features at least, so that the products of all blocks take no more memory than the sample.
    return max(_BLOCK_ROWS_OF_FEW if min(sizes) <= _FEW_FEATURES else _BLOCK_ROWS, *sizes)


def _product(x: jax.Array, z: jax.Array) -> jax.Array:
    return jnp.matmul(jnp.swapaxes(x, -1, -2), z, precision=jax.lax.Precision.HIGHEST)
