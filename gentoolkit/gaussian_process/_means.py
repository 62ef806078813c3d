"""The second half of a Lloyd iteration: means of the points that each centre was given."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _nearest

# Rows whose sums are taken one after the other: float32 adds so many with little loss, and those of blocks as well.
_ROWS_AT_ONCE = 1 << 10
# Sums about the origin are off by up to so much of the points' distance to it. The square of that is to be less than
# this share of the squared distance of two centres: then it costs a millionth of the objective.
_LOSS, _HARMLESS = 1e-5, 1e-6


class Weighted(NamedTuple):
    """Points with their weights, as their sums are taken.

    Attributes:
      points: from `_nearest.lay_out`.
      weights: `[n]`.
      columns: `[n, d + 1]`, weighted points less the origin, the weight behind them.
    """

    points: _nearest.Points
    weights: jax.Array
    columns: jax.Array


def weigh(points: _nearest.Points, weights: jax.Array) -> Weighted:
    """Made once, before the iteration: XLA scatters from arrays that are there, and would make these in every step."""
    # Set into ones: to put a column behind rows takes twice as long.
    columns = jnp.ones_like(points.rows, shape=(points.rows.shape[0], points.rows.shape[1] + 1))
    columns = columns.at[:, :-1].set(points.rows - points.origin) * weights[:, None]
    return Weighted(points, weights, columns)


def sums(weighted: Weighted, labels: jax.Array, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted sums `[k, d]` of the differences of points to their centres, and sums of their weights `[k]`.

    Sums of the points themselves are rounded at their size: a mean of points far out would leave the place where it is
    right already. They are quicker, and taken where that does no harm.
    """
    points, weights, columns = weighted
    moved = centers - points.origin

    def about_origin():
        total = _scattered(columns, labels, centers.shape[0])
        return total.at[:, :-1].add(-total[:, -1:] * moved)

    def about_centers():
        return _scattered(_with_weights(points.rows - centers[labels], weights), labels, centers.shape[0])

    loss = (_LOSS * jnp.max(points.reach)) ** 2
    harmless = loss <= _HARMLESS * jnp.min(_nearest.apart(moved))
    total = jax.lax.cond(harmless, about_origin, about_centers)
    return total[:, :-1], total[:, -1]


def counts(weights: jax.Array, labels: jax.Array, num: int) -> jax.Array:
    """Sums of the weights of each of `num` labels."""
    return _scattered(weights[:, None], labels, num)[:, 0]


def means(weighted: Weighted, labels: jax.Array, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Centres `[k, d]` of the labelled points, and their weights `[k]`; empty ones move to the points worst off.

    Points must be finite; NaN among the centres makes all of them NaN. Each empty centre takes one point, the dearest
    first, out of the mean of the centre that had it. A centre that is empty while every point sits on its own stays
    where it was.
    """
    num, x, weights = centers.shape[0], weighted.points.rows, weighted.weights

    def relocate(state):
        total, count, centers = state
        cost, worst = jax.lax.top_k(weights * _nearest.squared_distance(x, centers, labels), num)
        empty = count == 0
        rank = jnp.where(empty, jnp.cumsum(empty) - 1, num - 1)
        taken = empty & (cost[rank] > 0)
        point = worst[rank]
        weight = jnp.where(taken, weights[point], 0.0)
        donor = labels[point]
        total = total.at[donor].add(-weight[:, None] * (x[point] - centers[donor]))
        left = count.at[donor].add(-weight)
        # A donor all of whose points were taken is left with rounding, which is not to be divided by.
        left = jnp.where(left > 16 * jnp.finfo(left.dtype).eps * count, left, 0.0)
        count = left + weight
        return total, count, jnp.where(taken[:, None], x[point], centers)

    state = (*sums(weighted, labels, centers), centers)
    total, count, centers = jax.lax.cond(jnp.any(state[1] == 0), relocate, lambda state: state, state)
    kept = count > 0
    new = jnp.where(kept[:, None], centers + total / jnp.where(kept, count, 1.0)[:, None], centers)
    return jnp.where(jnp.all(jnp.isfinite(centers)), new, jnp.nan), count


def _with_weights(rows: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.concatenate([rows * weights[:, None], weights[:, None]], axis=1)


def _scattered(columns: jax.Array, labels: jax.Array, num: int) -> jax.Array:
    """Sums `[num, c]` of the rows of each label, taken block by block in one scatter."""
    rows = max(_ROWS_AT_ONCE, 8 * num)  # so that sums of blocks take little memory beside the rows
    blocks = -(-labels.shape[0] // rows)
    if blocks == 1:
        return jax.ops.segment_sum(columns, labels, num)
    block = jnp.arange(labels.shape[0], dtype=jnp.int32) // rows
    total = jax.ops.segment_sum(columns, jnp.where(labels >= 0, labels + num * block, -1), blocks * num)
    return jnp.sum(total.reshape(blocks, num, -1), axis=0)
