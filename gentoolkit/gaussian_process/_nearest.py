"""The two halves of a Lloyd iteration: nearest centres, and means of the points they were given."""

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks


def assign(x: jax.Array, centers: jax.Array, size: int) -> jax.Array:
    """Labels `[n]` int32 of the nearest `centers` `[k, d]`, `size` points at a time; -1 where a distance is NaN."""
    num = centers.shape[0]
    half_norms = 0.5 * jnp.sum(centers * centers, axis=1)[:, None]
    index = jnp.arange(num, dtype=jnp.int32)[:, None]

    def nearest(rows):
        # Centres run along the rows: both minima are then taken of whole vectors. XLA's argmin on CPU goes entry by
        # entry and takes 4 to 10 times as long.
        scores = half_norms - _blocks.matmul(centers, rows.T)
        best = jnp.min(scores, axis=0, keepdims=True)
        return jnp.min(jnp.where(scores == best, index, num), axis=0)

    label = _blocks.map_rows(nearest, x, size)
    return jnp.where(label < num, label, -1)


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
