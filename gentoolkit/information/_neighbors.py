"""Neighbours of every row, and how many rows lie within a radius: by blocks in JAX, or by trees on the host.

Both searches hold the same functions, on one problem `[n, d]`, and are `Search`es. Distances are differences of the
coordinates, never of squared norms, so that a neighbour that defines a radius is at that radius in every subspace,
exactly: the strict inequalities of the KSG estimators depend on it.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit.distances import sorting

# Entries of the matrix of distances held at once.
_BLOCK_ENTRIES = 1 << 21


class Search(NamedTuple):
    """How neighbours are found.

    nearest: `(x [n, d], z [m, d] or None, k, metric) -> (distance [n, k] ascending, index [n, k])`; None searches x
      itself, without the row that asks.
    count: `(x [n, d], radius [n], strict) -> [n]`, the other rows of x closer than the radius, max norm, floating.
    xp: the array module whose arrays go in and out.
    """

    nearest: Callable
    count: Callable
    xp: Any


def choose(method: str) -> Search:
    """The search of a name, `ValueError` for another."""
    searches = {"blocks": BLOCKS, "tree": TREE}
    if method not in searches:
        raise ValueError(f'method must be "blocks" or "tree", got {method!r}.')
    return searches[method]


def distances(rows: jax.Array, z: jax.Array, metric: str) -> jax.Array:
    """`[b, m]` distances (Euclidean: squared) of `[b, d]` and `[m, d]`, one feature at a time: no `[b, m, d]`."""

    def add(total, features):
        difference = features[0][:, None] - features[1][None, :]
        if metric == "chebyshev":
            return jnp.maximum(total, jnp.abs(difference)), None
        return total + difference * difference, None

    start = jnp.zeros_like(rows[0, 0] + z[0, 0], shape=(rows.shape[0], z.shape[0]))
    return jax.lax.scan(add, start, (rows.T, z.T))[0]


def by_blocks(function, x: jax.Array, columns: int, *more: jax.Array):
    """`function(row numbers, rows, ...)` over blocks of rows of x, so that a block times `columns` stays small."""
    n = x.shape[0]
    size = min(n, max(1, _BLOCK_ENTRIES // columns))
    num = math.ceil(n / size)
    number = jnp.minimum(jnp.arange(num * size, dtype=jnp.int32), n - 1).reshape(num, size)
    out = jax.lax.map(lambda i: function(i, x[i], *(a[i] for a in more)), number)
    return jax.tree.map(lambda a: a.reshape((num * size, *a.shape[2:]))[:n], out)


def _nearest_by_blocks(x, z, k, metric):
    others = x if z is None else z
    unit = _usual_size(x if z is None else jnp.concatenate([x, z])) if metric == "euclidean" else jnp.ones_like(x[0, 0])
    largest = float(jnp.finfo(x.dtype).max)
    asking, asked = x / unit, others / unit

    def block(number, rows):
        distance = distances(rows, asked, metric)
        if z is None:
            columns = jnp.arange(others.shape[0], dtype=jnp.int32)
            # A square that overflows is far away, but the row that asks is further.
            itself = number[:, None] == columns[None, :]
            distance = jnp.where(itself, jnp.inf, jnp.where(distance > largest, largest, distance))
        negative, index = jax.lax.top_k(-distance, k)
        return -negative, index

    distance, index = by_blocks(block, asking, others.shape[0])
    if metric == "euclidean":
        # Of the neighbours that squares have found, without squares that vanish or overflow.
        distance = _length(jnp.take(others, index, axis=0) - x[:, None, :])
    return distance, index


def _usual_size(x):
    """A power of two near the geometric mean of the feature where that is largest, `[]`.

    In this unit differences from 1e-19 to 1e19 can be squared, however far away the outliers are.
    """
    size = jnp.abs(x)
    counted = jnp.isfinite(size) & (size > 0)
    exponent = jnp.where(counted, jnp.log2(jnp.where(counted, size, 1)), 0)
    mean = jnp.sum(exponent, axis=0) / jnp.maximum(jnp.sum(counted, axis=0, dtype=jnp.int32), 1).astype(x.dtype)
    mean = jnp.max(jnp.where(counted.any(axis=0), mean, -jnp.inf))
    exponent = jnp.round(jnp.clip(jnp.where(counted.any(), mean, 0), -126, 126)).astype(jnp.int32)
    return jnp.ldexp(jnp.ones_like(mean), exponent)


def _length(offset):
    unit = _scale.unit(offset, axes=-1)
    scaled = offset / unit
    return unit[..., 0] * jnp.sqrt(jnp.sum(scaled * scaled, axis=-1))


def _count_by_blocks(x, radius, strict):
    if x.shape[1] == 1:
        return _count_on_line(x[:, 0], radius, strict)

    def block(_, rows, radius):
        distance = distances(rows, x, "chebyshev")
        inside = distance < radius[:, None] if strict else distance <= radius[:, None]
        return jnp.sum(inside, axis=-1, dtype=jnp.int32)

    count = by_blocks(block, x, x.shape[0], radius).astype(x.dtype)
    return count - (_itself(radius) if strict else 1.0)


def _itself(radius):
    """1 where the row that asks was counted: it is not closer than a radius of 0."""
    return (radius > 0).astype(radius.dtype)


def _count_on_line(y, radius, strict, xp=jnp):
    """The same in one dimension, O(n log n): two binary searches by the sign of a difference."""
    ordered = sorting.sort(y) if xp is jnp else np.sort(y)
    n = y.shape[0]

    def first(after):
        """The first place at which `after(ordered value)` holds, n if it never does."""
        low, high = xp.zeros(y.shape, np.int32), xp.full(y.shape, n, np.int32)
        for _ in range(n.bit_length()):
            middle = (low + high) // 2
            holds = after(ordered[xp.minimum(middle, n - 1)]) | (low >= high)
            low, high = xp.where(holds, low, middle + 1), xp.where(holds, xp.maximum(middle, low), high)
        return low

    if strict:
        start, stop = first(lambda value: y - value < radius), first(lambda value: value - y >= radius)
    else:
        start, stop = first(lambda value: y - value <= radius), first(lambda value: value - y > radius)
    count = xp.maximum(stop - start, 0).astype(y.dtype)
    return count - (_itself(radius) if strict else xp.ones_like(radius))


def _nearest_by_tree(x, z, k, metric):
    from scipy.spatial import cKDTree

    others = x if z is None else z
    p = math.inf if metric == "chebyshev" else 2
    if z is not None:
        distance, index = cKDTree(others).query(x, k=np.arange(1, k + 1), p=p)
        return distance, index
    distance, index = cKDTree(others).query(x, k=np.arange(1, k + 2), p=p)
    # The row itself is among the first k + 1, or as many duplicates of it are: drop it, or else the last.
    itself = index == np.arange(len(x))[:, None]
    itself[:, -1] |= ~itself.any(axis=1)
    return distance[~itself].reshape(len(x), k), index[~itself].reshape(len(x), k)


def _count_by_tree(x, radius, strict):
    from scipy.spatial import cKDTree

    if x.shape[1] == 1:
        return _count_on_line(x[:, 0], radius, strict, xp=np)
    inside = np.nextafter(radius, -np.inf) if strict else radius
    count = cKDTree(x).query_ball_point(x, inside, p=math.inf, return_length=True)
    return np.asarray(count, np.float64) - (_itself(radius) if strict else 1.0)


BLOCKS = Search(_nearest_by_blocks, _count_by_blocks, jnp)
TREE = Search(_nearest_by_tree, _count_by_tree, np)
