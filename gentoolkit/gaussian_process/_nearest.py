"""The two halves of a Lloyd iteration: nearest centres, and means of the points they were given."""

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# Centres that are compared in one loop over the points, all in registers; of more, so many at a time.
_MOST_AT_ONCE, _GROUP = 256, 64
# Scores of all points are taken at once while they are so few (20 MiB): the product and the loop are then shared out
# among the cores. Blocks of more points have fewer: they stay in the cache next to one core, and more would make XLA
# share out each block, at a loss.
_MOST_SCORES, _SCORES_OF_BLOCK = 5 << 20, 1 << 16
# XLA fuses the comparisons into every place where labels are read, four of a Lloyd iteration, and compares as often.
# With more centres than this a branch, into which it does not fuse, costs less.
_MOST_REPEATED = 50
# So few features and centres have their products taken within that loop: a product is not worth its result's place.
_FEW_FEATURES, _FEW_CENTERS = 12, 16


def rows_of_block(num_centers: int, num_rows: int, dim: int, block_size: int | None) -> int:
    """Points of a block, from the backend if `block_size` is None."""
    if block_size is not None or not _by_tournament():
        return _blocks.rows_of_block(num_centers, num_rows, block_size)
    columns = num_centers if num_centers <= _MOST_AT_ONCE else _GROUP
    if num_rows * columns <= _MOST_SCORES or _few(num_centers, dim):
        return num_rows
    # Blocks of equal size: none is filled up with points that do not count.
    return -(-num_rows // -(-num_rows * columns // _SCORES_OF_BLOCK))


def assign(x: jax.Array, centers: jax.Array, size: int, *, by_tournament: bool | None = None) -> jax.Array:
    """Labels `[n]` int32 of the nearest `centers` `[k, d]`, `size` points at a time; -1 where something is not finite.

    `by_tournament` (static) compares two centres at a time, None to choose by the backend.
    """
    half_norms = 0.5 * jnp.sum(centers * centers, axis=1)
    by_tournament = _by_tournament() if by_tournament is None else by_tournament
    function = (_tournament if by_tournament else _least)(centers, half_norms)
    # A minimum may pass over a NaN: the centres are asked.
    finite = jnp.all(jnp.isfinite(half_norms))
    none = jnp.full(x.shape[:1], -1, jnp.int32)
    if centers.shape[0] <= _MOST_REPEATED:
        return jnp.where(finite, _blocks.map_rows(function, x, size), none)
    return jax.lax.cond(finite, lambda: _blocks.map_rows(function, x, size), lambda: none)


def _by_tournament() -> bool:
    # XLA's argmin on CPU goes entry by entry, and its minima over the rows of a matrix are not much better: they take
    # longer than the product. Comparisons of whole rows with one another, in one loop over the points, take a third.
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


def _tournament(centers, half_norms):
    """Function of points `[b, d]` that returns the same, from comparisons of two centres at a time."""
    num, dim = centers.shape
    if num <= _MOST_AT_ONCE:
        offered = jnp.concatenate([centers, -half_norms[:, None]], axis=1)

        def nearest(rows):
            return _label(*_winner(_scores(offered, rows.T, one_by_one=_few(num, dim))))

        return nearest
    missing = -num % _GROUP
    # A score of minus infinity is never the largest.
    norms = jnp.concatenate([-half_norms, jnp.full((missing,), -jnp.inf, half_norms.dtype)])
    padded = jnp.concatenate([centers, jnp.zeros((missing, dim), centers.dtype)])
    offered = jnp.concatenate([padded, norms[:, None]], axis=1).reshape(-1, _GROUP, dim + 1)
    first = _GROUP * jnp.arange(offered.shape[0], dtype=jnp.int32)

    def nearest_of_groups(rows):
        columns = rows.T

        def compare(state, group):
            (best, label), (some, offset) = state, group
            score, winner = _winner(_scores(some, columns))
            return (jnp.maximum(best, score), jnp.where(score > best, offset + winner, label)), None

        start = (jnp.full(rows.shape[:1], -jnp.inf, rows.dtype), jnp.full(rows.shape[:1], -1, jnp.int32))
        return _label(*jax.lax.scan(compare, start, (offered, first))[0])

    return nearest_of_groups


def _few(num_centers: int, dim: int) -> bool:
    return dim <= _FEW_FEATURES and num_centers <= _FEW_CENTERS


def _scores(offered: jax.Array, columns: jax.Array, *, one_by_one: bool = False) -> jax.Array | list[jax.Array]:
    """Products with centres less half their norms, which stand behind them: largest for the nearest."""
    if one_by_one:
        return [sum((one[j] * column for j, column in enumerate(columns)), one[-1]) for one in offered]
    return _blocks.matmul(offered, jnp.concatenate([columns, jnp.ones_like(columns[:1])]))


def _winner(scores: jax.Array | list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The largest of rows of scores and its index, the first of several."""
    # In a chain every comparison would wait for the one before.
    left = [(score, jnp.full_like(score, i, jnp.int32)) for i, score in enumerate(scores)]
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        met = [(jnp.maximum(a, b), jnp.where(b > a, of_b, of_a)) for (a, of_a), (b, of_b) in pairs]
        left = met + left[2 * len(met) :]
    return left[0]


def _label(best: jax.Array, label: jax.Array) -> jax.Array:
    return jnp.where(jnp.isfinite(best), label, -1)


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
