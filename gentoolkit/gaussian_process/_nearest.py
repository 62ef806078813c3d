"""The two halves of a Lloyd iteration: nearest centres, and means of the points they were given."""

import functools

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# Centres that are compared in one loop over the points, all in registers; of more, so many at a time.
_MOST_AT_ONCE, _GROUP = 256, 64
# Scores of all points are taken at once while they are so few (20 MiB): the product and the loop are then shared out
# among the cores. Blocks of more points have fewer: they stay in the cache next to one core, and more would make XLA
# share out each block, at a loss.
_MOST_SCORES, _SCORES_OF_BLOCK = 5 << 20, 51_200
# So few features and centres have their distances taken within that loop: a product is not worth its result's place.
_FEW_FEATURES, _FEW_CENTERS = 12, 16


def rows_of_block(num_centers: int, num_rows: int, dim: int, block_size: int | None, *, scored: bool = False) -> int:
    """Points of a block, from the backend if `block_size` is None; `scored` for `best_scores`."""
    if block_size is not None or not _by_tournament():
        return _blocks.rows_of_block(num_centers, num_rows, block_size)
    columns = num_centers if num_centers <= _MOST_AT_ONCE else _GROUP
    if num_rows * columns <= _MOST_SCORES or (_few(num_centers, dim) and not scored):
        return num_rows
    least = -(-num_rows * columns // _SCORES_OF_BLOCK)
    # A number of blocks near that which leaves no block to be filled up, if there is one; else as even as can be.
    number = next((count for count in range(least, 2 * least) if num_rows % count == 0), least)
    return -(-num_rows // number)


def lay_out(x: jax.Array, size: int) -> jax.Array:
    """Points `[n, d]` as columns in blocks of `size`, each with a 1 below it, `[blocks, d + 1, size]`.

    That is what `assign` reads; the last point is repeated to fill the last block.
    """
    blocks = jnp.swapaxes(_blocks.split(x, size), 1, 2)
    return jnp.concatenate([blocks, jnp.ones_like(blocks[:, :1])], axis=1)


def assign(laid_out: jax.Array, num: int, centers: jax.Array, *, by_tournament: bool | None = None) -> jax.Array:
    """Labels `[n]` int32 of the nearest `centers` `[k, d]`; -1 where something is not finite.

    Args:
      laid_out: from `lay_out`.
      num: n, how many points these are.
      centers: `[k, d]`.
      by_tournament: compares two centres at a time (static), None to choose by the backend.
    """
    offered = _offered(centers)
    by_tournament = _by_tournament() if by_tournament is None else by_tournament
    compare = functools.partial(_tournament, directly=_few(*centers.shape)) if by_tournament else _largest

    def labels():
        best, label = _in_blocks(functools.partial(compare, offered), laid_out, num)
        return jnp.where(jnp.isfinite(best), label, -1)

    # A maximum may pass over a NaN: the centres are asked. By a branch, as XLA would otherwise fuse all comparisons
    # into each of the places where labels are read, four of a Lloyd iteration, and compare as often.
    finite = jnp.all(jnp.isfinite(offered[:, -1]))
    return jax.lax.cond(finite, labels, lambda: jnp.full((num,), -1, jnp.int32))


def best_scores(laid_out: jax.Array, num: int, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Scores `[n]` of the nearest `centers` `[k, d]`, and which they are: a point x is at distance |x|^2 - 2 score.

    Scores of several sets of centres can be compared with one another.
    """
    compare = _tournament if _by_tournament() else _largest
    return _in_blocks(functools.partial(compare, _offered(centers)), laid_out, num)


def _offered(centers: jax.Array) -> jax.Array:
    """Rows whose product with a point and the 1 below it is largest for the nearest centre."""
    return jnp.concatenate([centers, -0.5 * jnp.sum(centers * centers, axis=1, keepdims=True)], axis=1)


def _in_blocks(compare, laid_out, num):
    if laid_out.shape[0] == 1:
        return compare(laid_out[0])
    return jax.tree.map(lambda leaf: leaf.reshape(-1)[:num], jax.lax.map(compare, laid_out))


def _by_tournament() -> bool:
    # XLA's argmax on CPU goes entry by entry, and its maxima over the rows of a matrix are not much better: they take
    # longer than the product. Comparisons of whole rows with one another, in one loop over the points, take a third.
    return jax.default_backend() == "cpu"


def _largest(offered: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest scores of a block of points, and of which centres they are."""
    num = offered.shape[0]
    index = jnp.arange(num, dtype=jnp.int32)[:, None]
    # Centres run along the rows: both reductions are then of whole vectors.
    scores = _blocks.matmul(offered, points)
    best = jnp.max(scores, axis=0)
    return best, jnp.min(jnp.where(scores == best[None, :], index, num - 1), axis=0)


def _tournament(offered: jax.Array, points: jax.Array, *, directly: bool = False) -> tuple[jax.Array, jax.Array]:
    """The same, from comparisons of two centres at a time; `directly` of distances instead of scores."""
    num, width = offered.shape
    if num <= _MOST_AT_ONCE:
        best, label = _winner(_distances_one_by_one(offered, points) if directly else _blocks.matmul(offered, points))
    else:
        # Never the largest.
        filling = jnp.zeros_like(offered, shape=(-num % _GROUP, width)).at[:, -1].set(-jnp.inf)
        groups = jnp.concatenate([offered, filling]).reshape(-1, _GROUP, width)

        def compare(state, group):
            (best, label), (some, first) = state, group
            score, winner = _winner(_blocks.matmul(some, points))
            return (jnp.maximum(best, score), jnp.where(score > best, first + winner, label)), None

        start = (jnp.full_like(points[0], -jnp.inf), jnp.full_like(points[0], -1, jnp.int32))
        first = _GROUP * jnp.arange(groups.shape[0], dtype=jnp.int32)
        (best, label), _ = jax.lax.scan(compare, start, (groups, first))
    return best, label


def _few(num_centers: int, dim: int) -> bool:
    return dim <= _FEW_FEATURES and num_centers <= _FEW_CENTERS


def _distances_one_by_one(offered: jax.Array, points: jax.Array) -> list[jax.Array]:
    """Less squared distances from differences, which do not cancel however far out the points lie."""
    return [-sum((points[j] - one[j]) ** 2 for j in range(points.shape[0] - 1)) for one in offered]


def _winner(scores: jax.Array | list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The largest of rows of scores and its index, the first of several."""
    # In a chain every comparison would wait for the one before.
    left = [(score, jnp.full_like(score, i, jnp.int32)) for i, score in enumerate(scores)]
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        met = [(jnp.maximum(a, b), jnp.where(b > a, of_b, of_a)) for (a, of_a), (b, of_b) in pairs]
        left = met + left[2 * len(met) :]
    return left[0]


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


def means(x: jax.Array, weights: jax.Array, labels: jax.Array, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Centres `[k, d]` of the labelled points, and their weights `[k]`; empty ones move to the points worst off.

    Points must be finite; NaN among the centres makes all of them NaN. Each empty centre takes one point, the dearest
    first, out of the mean of the centre that had it. A centre that is empty while every point sits on its own stays
    where it was.
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
    return jnp.where(jnp.all(jnp.isfinite(centers)), new, jnp.nan), count
