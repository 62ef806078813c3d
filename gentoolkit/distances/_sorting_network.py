"""A sorting network in plain JAX: whole-row minimum and maximum, no data-dependent branch.

The rows to be sorted lie on the fast axis, so that one compare-exchange is one vectorised `minimum` and one `maximum`
over contiguous memory. Several stages are taken in one pass (Batcher's bitonic merge with the first half-cleaner
mirrored, so that every comparator points the same way): a pass of r stages moves 1/r of the bytes.
"""

import jax
import jax.numpy as jnp
from jax import lax

# Stages in one pass, by the number of columns. XLA evaluates each of the 2^r outputs separately (2^r - 1 exchanges
# each), so the work of a stage grows as 2^r / r while its traffic falls as 1 / r. A minimum is cheap; an exchange of
# pairs is not.
_STAGES_PER_PASS = {1: 3, 2: 1}

# Up to this length ranks come from counting smaller entries: n^2 comparisons, but in straight vector code.
_COUNTED_LENGTH = 256

# The 19-comparator network for eight keys (Knuth, The Art of Computer Programming 3, section 5.3.4).
_EIGHT = (
    ((0, 2), (1, 3), (4, 6), (5, 7)),
    ((0, 4), (1, 5), (2, 6), (3, 7)),
    ((0, 1), (2, 3), (4, 5), (6, 7)),
    ((2, 4), (3, 5)),
    ((1, 4), (3, 6)),
    ((1, 2), (3, 4), (5, 6)),
)

Columns = tuple[jax.Array, ...]  # keys first; the rest travels with them; each [rows, lanes]


def sort(y: jax.Array) -> jax.Array:
    """Sorts floats along the last axis; NaN last, as NumPy does. `[..., n]`, `n` >= 1."""
    return _from_keys(_run((_to_keys(y),))[0], y)


def sort_with_ranks(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the sorted values and the int32 ranks, ties in order of appearance; both `[..., n]`."""
    if y.shape[-1] <= _COUNTED_LENGTH:
        return sort(y), _count_smaller(_to_keys(y))
    index = lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1)
    keys, order = _run((_to_keys(y), index))
    # Sorting (order, position) pairs inverts the permutation. So would a scatter, but XLA runs that element by element.
    return _from_keys(keys, y), _run((order, index))[1]


def _count_smaller(keys: jax.Array) -> jax.Array:
    n = keys.shape[-1]
    mine, other = keys[..., None, :], keys[..., :, None]
    earlier = lax.broadcasted_iota(jnp.int32, (n, n), 0) < lax.broadcasted_iota(jnp.int32, (n, n), 1)
    before = (other < mine) | ((other == mine) & jnp.broadcast_to(earlier, (*keys.shape, n)))
    return jnp.sum(before, axis=-2, dtype=jnp.int32)


def _to_keys(y: jax.Array) -> jax.Array:
    """Maps floats to integers of the same order: one instruction compares those; a float minimum must mind NaN."""
    y = jnp.where(jnp.isnan(y), jnp.full_like(y, jnp.nan), y)  # a negative NaN would otherwise sort first
    integer = jnp.int64 if y.dtype == jnp.float64 else jnp.int32
    bits = lax.bitcast_convert_type(y, integer)
    return jnp.where(bits < 0, bits ^ jnp.iinfo(integer).max, bits)


def _from_keys(keys: jax.Array, like: jax.Array) -> jax.Array:
    bits = jnp.where(keys < 0, keys ^ jnp.iinfo(keys.dtype).max, keys)
    return lax.bitcast_convert_type(bits, like.dtype)


def _run(columns: Columns) -> Columns:
    """Sorts `[..., n]` columns by the first (ties by the second) along the last axis."""
    shape = columns[0].shape
    n = shape[-1]
    size = max(8, 1 << (n - 1).bit_length())
    padded = []
    for c in columns:
        c = c.reshape(-1, n)
        fill = jnp.full((c.shape[0], size - n), jnp.iinfo(c.dtype).max, c.dtype)
        padded.append(jnp.concatenate([c, fill], axis=1).T)
    rows = _sort_eights(tuple(padded))
    width = 16
    while width <= size:
        rows = _merge(rows, width)
        width *= 2
    return tuple(c[:n].T.reshape(shape) for c in rows)


def _sort_eights(rows: Columns) -> Columns:
    n, lanes = rows[0].shape
    parts = [tuple(c.reshape(n // 8, 8, lanes)[:, i] for c in rows) for i in range(8)]
    for layer in _EIGHT:
        for low, high in layer:
            parts[low], parts[high] = _exchange(parts[low], parts[high])
    return _stack(parts, n, lanes)


def _merge(rows: Columns, width: int) -> Columns:
    """Merges neighbouring sorted runs of `width / 2` rows."""
    n, lanes = rows[0].shape
    distance, stages, first = width // 2, width.bit_length() - 1, True
    while stages:
        taken = min(stages, _STAGES_PER_PASS[len(rows)])
        fan = 1 << taken
        step = 2 * distance // fan
        parts = [tuple(c.reshape(n // (2 * distance), fan, step, lanes)[:, i] for c in rows) for i in range(fan)]
        if first:  # the upper run backwards: both runs together are bitonic, and no comparator need be turned round
            parts[fan // 2 :] = [tuple(c[:, ::-1] for c in p) for p in reversed(parts[fan // 2 :])]
            first = False
        half = fan // 2
        while half:
            for start in range(0, fan, 2 * half):
                for i in range(start, start + half):
                    parts[i], parts[i + half] = _exchange(parts[i], parts[i + half])
            half //= 2
        rows = _stack(parts, n, lanes)
        distance >>= taken
        stages -= taken
    return rows


def _exchange(a: Columns, b: Columns) -> tuple[Columns, Columns]:
    if len(a) == 1:
        return (jnp.minimum(a[0], b[0]),), (jnp.maximum(a[0], b[0]),)
    swap = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] > b[1]))
    low = tuple(jnp.where(swap, q, p) for p, q in zip(a, b, strict=True))
    high = tuple(jnp.where(swap, p, q) for p, q in zip(a, b, strict=True))
    return low, high


def _stack(parts: list[Columns], n: int, lanes: int) -> Columns:
    return tuple(jnp.stack(column, axis=1).reshape(n, lanes) for column in zip(*parts, strict=True))
