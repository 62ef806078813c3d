"""Rows in blocks: O(rows * block_size) memory for anything that looks at all pairs of test and training points."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array

# Entries of one block. On CPU a block that stays in the cache next to the core is up to twice as fast as one that does
# not; elsewhere a block must be worth the launch of its kernels.
_ENTRIES_ON_CPU = 1 << 16
_ENTRIES = 1 << 23
_MIN_ROWS = 128


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Product in full precision: accelerators round float32 factors to 8-11 bits unless told otherwise."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def check_points(**arrays) -> None:
    """Refuses anything but `[n, d]` (`ValueError`): several problems go through `jax.vmap`."""
    _array.check_samples(**arrays)
    for name, array in arrays.items():
        if jnp.ndim(array) != 2:
            shape = jnp.shape(array)
            raise ValueError(
                f"{name} must be [n, d], got {name}.shape = {shape}: several problems go through jax.vmap."
            )


def rows_of_block(num_columns: int, num_rows: int, block_size: int | None) -> int:
    """Rows of a block against `num_columns` columns, from the backend if `block_size` is None."""
    if block_size is None:
        entries = _ENTRIES_ON_CPU if jax.default_backend() == "cpu" else _ENTRIES
        block_size = max(_MIN_ROWS, entries // max(num_columns, 1))
    elif not isinstance(block_size, int | np.integer) or block_size < 1:
        raise ValueError(f"block_size must be a positive integer or None, got block_size = {block_size!r}.")
    return min(int(block_size), num_rows)


def split(rows: jax.Array, size: int) -> jax.Array:
    """`[n, ...]` as `[blocks, size, ...]`; the last row is repeated to fill the last block."""
    missing = -rows.shape[0] % size
    if missing:
        filling = jnp.broadcast_to(rows[-1:], (missing, *rows.shape[1:]))
        rows = jnp.concatenate([rows, filling])
    return rows.reshape(-1, size, *rows.shape[1:])


def map_rows(function: Callable[..., Any], rows: Any, size: int) -> Any:
    """`function` of a pytree of `[n, ...]` in blocks of `size` rows; what it returns is joined along the rows.

    The derivative computes each block anew, so that it needs no more memory than the value.
    """
    num = jax.tree.leaves(rows)[0].shape[0]
    if size >= num:
        return function(rows)
    blocks = jax.tree.map(lambda leaf: split(leaf, size), rows)
    result = jax.lax.map(jax.checkpoint(function), blocks)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num], result)
