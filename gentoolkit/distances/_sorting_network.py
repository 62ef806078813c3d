"""A sorting network in plain JAX: whole-row minimum and maximum, no data-dependent branch.

The rows to be sorted lie on the fast axis, so that one compare-exchange is one vectorised `minimum` and one `maximum`
over contiguous memory. Several stages are taken in one pass (Batcher's bitonic merge with the first half-cleaner
mirrored, so that every comparator points the same way): a pass of r stages moves 1/r of the bytes.
"""

import jax
import jax.numpy as jnp
from jax import lax

# XLA evaluates each of the 2^r outputs of a pass separately (2^r - 1 exchanges each), so the work of a stage grows as
# 2^r / r while its traffic falls as 1 / r; 3 was the best, or level with it, for 256 to 4096 entries a row on AVX-512.
_STAGES_PER_PASS = 3

# The 19-comparator network for eight keys (Knuth, The Art of Computer Programming 3, section 5.3.4).
_EIGHT = (
    ((0, 2), (1, 3), (4, 6), (5, 7)),
    ((0, 4), (1, 5), (2, 6), (3, 7)),
    ((0, 1), (2, 3), (4, 5), (6, 7)),
    ((2, 4), (3, 5)),
    ((1, 4), (3, 6)),
    ((1, 2), (3, 4), (5, 6)),
)


def sort(y: jax.Array) -> jax.Array:
    """Sorts floats `[..., n]` along the last axis; NaN last, as NumPy does."""
    n = y.shape[-1]
    size = max(8, 1 << (n - 1).bit_length())
    keys = _to_keys(y).reshape(-1, n)
    fill = jnp.full((keys.shape[0], size - n), jnp.iinfo(keys.dtype).max, keys.dtype)
    rows = _sort_eights(jnp.concatenate([keys, fill], axis=1).T)
    width = 16
    while width <= size:
        rows = _merge(rows, width)
        width *= 2
    return _from_keys(rows[:n].T.reshape(y.shape), y.dtype)


def _to_keys(y: jax.Array) -> jax.Array:
    """Maps floats to integers of the same order: one instruction compares those; a float minimum must mind NaN."""
    y = jnp.where(jnp.isnan(y), jnp.full_like(y, jnp.nan), y)  # a negative NaN would otherwise sort first
    integer = jnp.int64 if y.dtype == jnp.float64 else jnp.int32
    bits = lax.bitcast_convert_type(y, integer)
    return jnp.where(bits < 0, bits ^ jnp.iinfo(integer).max, bits)


def _from_keys(keys: jax.Array, dtype: jnp.dtype) -> jax.Array:
    bits = jnp.where(keys < 0, keys ^ jnp.iinfo(keys.dtype).max, keys)
    return lax.bitcast_convert_type(bits, dtype)


def _sort_eights(rows: jax.Array) -> jax.Array:
    n, lanes = rows.shape
    parts = [rows.reshape(n // 8, 8, lanes)[:, i] for i in range(8)]
    for layer in _EIGHT:
        for i, j in layer:
            parts[i], parts[j] = jnp.minimum(parts[i], parts[j]), jnp.maximum(parts[i], parts[j])
    return jnp.stack(parts, axis=1).reshape(n, lanes)


def _merge(rows: jax.Array, width: int) -> jax.Array:
    """Merges neighbouring sorted runs of `width / 2` rows."""
    n, lanes = rows.shape
    distance, stages, first = width // 2, width.bit_length() - 1, True
    while stages:
        taken = min(stages, _STAGES_PER_PASS)
        fan = 1 << taken
        step = 2 * distance // fan
        parts = [rows.reshape(n // (2 * distance), fan, step, lanes)[:, i] for i in range(fan)]
        if first:  # the upper run backwards: both runs together are bitonic, and no comparator need be turned round
            parts[fan // 2 :] = [p[:, ::-1] for p in reversed(parts[fan // 2 :])]
            first = False
        half = fan // 2
        while half:
            for i in (start + k for start in range(0, fan, 2 * half) for k in range(half)):
                j = i + half
                parts[i], parts[j] = jnp.minimum(parts[i], parts[j]), jnp.maximum(parts[i], parts[j])
            half //= 2
        rows = jnp.stack(parts, axis=1).reshape(n, lanes)
        distance >>= taken
        stages -= taken
    return rows
