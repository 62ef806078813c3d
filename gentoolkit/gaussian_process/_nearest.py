"""The two halves of a Lloyd iteration: nearest centres, and means of the points they were given."""

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# Centres whose scores are compared within one loop over the points: more at a time leave the cache, fewer spend their
# time on reading and writing the best so far. Up to the second number there is no loop over groups at all, with few
# features up to the third: their products are made in the same loop.
_GROUP, _MOST_IN_ONE_GROUP, _MOST_OF_FEW_FEATURES = 8, 32, 16
# Up to so many features their products are taken entry by entry within the comparisons' own loop, which XLA shares out
# among the cores when all points are there at once. With more of them a matrix product is worth its result's place, and
# the points go in blocks: the scores of a group and the best so far then stay in the cache next to the core.
_FEW_FEATURES = 12
_ROWS_ON_CPU = 1 << 10


def rows_of_block(num_centers: int, num_rows: int, dim: int, block_size: int | None) -> int:
    """Points of a block, from the backend if `block_size` is None."""
    if block_size is None and _by_groups():
        if dim <= _FEW_FEATURES:
            return num_rows
        # Blocks of equal size: none is filled up with points that do not count.
        return -(-num_rows // -(-num_rows // _ROWS_ON_CPU))
    return _blocks.rows_of_block(num_centers, num_rows, block_size)


def assign(x: jax.Array, centers: jax.Array, size: int, *, by_groups: bool | None = None) -> jax.Array:
    """Labels `[n]` int32 of the nearest `centers` `[k, d]`, `size` points at a time; -1 where something is not finite.

    `by_groups` (static) keeps the scores of a few centres at a time, None to choose by the backend.
    """
    half_norms = 0.5 * jnp.sum(centers * centers, axis=1)
    by_groups = _by_groups() if by_groups is None else by_groups
    function = (_running_least if by_groups else _least)(centers, half_norms)
    # A minimum may pass over a NaN: the centres are asked.
    return jnp.where(jnp.all(jnp.isfinite(half_norms)), _blocks.map_rows(function, x, size), -1)


def _by_groups() -> bool:
    # XLA's argmin on CPU goes entry by entry, and its minima over the rows of a matrix are not much better: they take
    # longer than the product. Comparisons of whole rows, one after the other in one loop, take a third of that.
    return jax.default_backend() == "cpu"


def _least(centers, half_norms):
    """Function of points `[b, d]` that returns their labels, -1 where all distances are NaN."""
    num = centers.shape[0]
    index = jnp.arange(num, dtype=jnp.int32)[:, None]

    def nearest(rows):
        # Centres run along the rows: both minima are then taken of whole vectors.
        scores = half_norms[:, None] - _blocks.matmul(centers, rows.T)
        best = jnp.min(scores, axis=0, keepdims=True)
        label = jnp.min(jnp.where(scores == best, index, num), axis=0)
        return jnp.where(label < num, label, -1)

    return nearest


def _running_least(centers, half_norms):
    """Function of points `[b, d]` that returns the same, the best so far carried from centre to centre."""
    num, dim = centers.shape
    most = _MOST_OF_FEW_FEATURES if dim <= _FEW_FEATURES else _MOST_IN_ONE_GROUP
    group = num if num <= most else _GROUP
    missing = -num % group
    # An infinite score is never the least.
    padded = jnp.concatenate([half_norms, jnp.full((missing,), jnp.inf, half_norms.dtype)]).reshape(-1, group)
    grouped = jnp.concatenate([centers, jnp.zeros((missing, dim), centers.dtype)]).reshape(-1, group, dim)
    first = group * jnp.arange(padded.shape[0], dtype=jnp.int32)

    def nearest(rows):
        columns = rows.T

        def compare(state, one):
            (best, label), (some, norms, offset) = state, one
            products = _products(some, columns)
            for i in range(group):
                score = norms[i] - products[i]
                label = jnp.where(score < best, offset + i, label)
                best = jnp.minimum(best, score)
            return (best, label), None

        state = (jnp.full(rows.shape[:1], jnp.inf, rows.dtype), jnp.full(rows.shape[:1], -1, jnp.int32))
        if padded.shape[0] == 1:
            (best, label), _ = compare(state, (grouped[0], padded[0], first[0]))
        else:
            (best, label), _ = jax.lax.scan(compare, state, (grouped, padded, first))
        return jnp.where(jnp.isfinite(best), label, -1)

    return nearest


def _products(some: jax.Array, columns: jax.Array) -> list[jax.Array] | jax.Array:
    if columns.shape[0] > _FEW_FEATURES:
        return _blocks.matmul(some, columns)
    return [sum(some[i, j] * column for j, column in enumerate(columns)) for i in range(some.shape[0])]


def squared_distance(x: jax.Array, centers: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distances `[n]` to the labelled centres; NaN where there is none.

    The scores say which centre is near; how near is taken from the difference, which does not cancel.
    """
    distance = jnp.sum((x - centers[jnp.maximum(labels, 0)]) ** 2, axis=1)
    return jnp.where(labels >= 0, distance, jnp.nan)


def sums(x: jax.Array, weights: jax.Array, labels: jax.Array, num: int) -> tuple[jax.Array, jax.Array]:
    """Weighted sums `[k, d]` of the points of each label, and sums of their weights `[k]`."""
    # One scatter of the rows with their weight behind them.
    columns = jnp.concatenate([x * weights[:, None], weights[:, None]], axis=1)
    totals = jax.ops.segment_sum(columns, labels, num)
    return totals[:, :-1], totals[:, -1]


def means(x: jax.Array, weights: jax.Array, labels: jax.Array, centers: jax.Array) -> jax.Array:
    """Centres `[k, d]` of the labelled points; empty ones move to the points that are worst off.

    Each empty centre takes one point, the dearest first, out of the mean of the centre that had it. A centre that is
    empty while every point sits on its own stays where it was.
    """
    num = centers.shape[0]
    total, count = sums(x, weights, labels, num)

    def relocate(state):
        total, count, centers = state
        cost, worst = jax.lax.top_k(weights * squared_distance(x, centers, labels), num)
        empty = count == 0
        rank = jnp.where(empty, jnp.cumsum(empty) - 1, num - 1)
        taken = empty & (cost[rank] > 0)
        point = worst[rank]
        weight = jnp.where(taken, weights[point], 0.0)
        donor = labels[point]
        moved = weight[:, None] * x[point]
        total = total.at[donor].add(-moved) + moved
        count = count.at[donor].add(-weight) + weight
        return total, count, centers

    total, count, centers = jax.lax.cond(jnp.any(count == 0), relocate, lambda state: state, (total, count, centers))
    # A donor whose only point was taken is left with rounding.
    kept = count > 0
    new = jnp.where(kept[:, None], total / jnp.where(kept, count, 1.0)[:, None], centers)
    return jnp.where(jnp.all(labels >= 0), new, jnp.nan)
