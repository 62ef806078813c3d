"""Seeds of k-means: points drawn with odds of their squared distance to those drawn before.

One after the other, which is k-means++, or many at a time, which is k-means||.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks, _means, _nearest

# Rounds of k-means||, each of as many draws as there are clusters, and steps of Lloyd over what was drawn. Bahmani et
# al. find five rounds enough for draws of half to twice that number; with three, and these steps, what Lloyd ends with
# on pairs of patches is as good as from greedy k-means++.
_ROUNDS, _STEPS = 3, 5
# Up to so many draws have all their distances taken at once.
_MOST_IN_TABLE = 1024


def choose(
    key: jax.Array,
    x: jax.Array,
    weights: jax.Array,
    num: int,
    num_candidates: int,
    *,
    squared: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Indices `[num]` of the seeds among `x` `[n, d]`; of several candidates a step keeps the best.

    `squared` gives the squared distances `[c, n]` of c chosen points to all, None to take them from differences.
    """
    key_first, key_rest = jax.random.split(key)
    squared = functools.partial(_squared, x.T) if squared is None else squared
    first = draw(_uniforms(key_first, (1,), weights.dtype), weights)[0]
    nearest = squared(first[None])[0]

    def add(nearest, uniforms):
        odds = weights * nearest
        # Nothing is left to gain where points are fewer than seeds: any point will do.
        odds = jnp.where(jnp.any(odds > 0), odds, weights)
        candidates = draw(uniforms, odds)
        after = jnp.minimum(nearest[None, :], squared(candidates))
        if num_candidates == 1:
            return after[0], candidates[0]
        # As a product: XLA on CPU takes longer for the sums of rows than for the distances in them.
        best = jnp.argmin(_blocks.matmul(after, weights[:, None])[:, 0])
        return after[best], candidates[best]

    # All random numbers at once: few at a time cost many short calls in each step.
    _, rest = jax.lax.scan(add, nearest, _uniforms(key_rest, (num - 1, num_candidates), weights.dtype))
    return jnp.concatenate([first[None], rest])


def in_parallel(
    key: jax.Array, points: _nearest.Points, weights: jax.Array, num: int, num_candidates: int
) -> jax.Array:
    """Seeds `[num, d]` by k-means||: a few rounds of many draws, and the best of these by weighted k-means.

    Args:
      key: PRNG key.
      points: `[n, d]` of them, from `_nearest.lay_out`.
      weights: `[n]`.
      num: k.
      num_candidates: of each step of k-means++ over the draws.
    """
    key_first, key_rounds, key_choice = jax.random.split(key, 3)
    x = points.rows
    first = draw(_uniforms(key_first, (1,), x.dtype), weights)

    def add(state, round_):
        squared, label = state
        uniforms, before = round_
        odds = weights * squared
        # Where points are fewer than draws nothing is left to gain, and any point will do.
        drawn = draw(uniforms, jnp.where(jnp.any(odds > 0), odds, weights))
        winner, distance = _nearest.assign(points, x[drawn], exactly=False)
        return (jnp.minimum(squared, distance), jnp.where(distance < squared, before + winner, label)), drawn

    start = jnp.sum((x - x[first]) ** 2, axis=1), jnp.zeros(x.shape[:1], jnp.int32)
    before = 1 + num * jnp.arange(_ROUNDS, dtype=jnp.int32)
    (_, label), drawn = jax.lax.scan(add, start, (_uniforms(key_rounds, (_ROUNDS, num), x.dtype), before))
    drawn = x[jnp.concatenate([first, drawn.reshape(-1)])]
    # Each stands for the points next to it; of equal ones the first does.
    shares = _means.counts(weights, label, drawn.shape[0])
    squared = None
    if drawn.shape[0] <= _MOST_IN_TABLE:
        squared = _squared(drawn.T, jnp.arange(drawn.shape[0])).__getitem__
    seeds = drawn[choose(key_choice, drawn, shares, num, num_candidates, squared=squared)]
    weighted = _means.weigh(_nearest.lay_out(drawn, num), shares)

    def step(_, seeds):
        labels, _ = _nearest.assign(weighted.points, seeds, exactly=False)
        return _means.means(weighted, labels, seeds)[0]

    return jax.lax.fori_loop(0, _STEPS, step, seeds)


def draw(uniforms: tuple[jax.Array, jax.Array], odds: jax.Array) -> jax.Array:
    """Indices `[num]` with probabilities in proportion to `odds` `[n]`, with replacement; never one of odds 0.

    From `uniforms`, two of `[num]`, in two levels of about sqrt(n): one float32 running sum over a million entries
    would not see the small ones.
    """
    n = odds.shape[0]
    side = max(1, int(n**0.5))
    rows = jnp.concatenate([odds, jnp.zeros((-n % side,), odds.dtype)]).reshape(-1, side)
    of_row, of_column = uniforms
    row = _invert(jnp.sum(rows, axis=1)[None, :], of_row[:, None])
    column = _invert(rows[row], of_column[:, None])
    return jnp.minimum(row * side + column, n - 1)


def _uniforms(key, shape, dtype):
    return tuple(jax.random.uniform(one, shape, dtype) for one in jax.random.split(key))


def _invert(odds, uniform):
    """The first entry of each row whose running sum exceeds `uniform` times the whole."""
    running = jnp.cumsum(odds, axis=1)
    index = jnp.sum(running <= uniform * running[:, -1:], axis=1, dtype=jnp.int32)
    # Rounding may make `uniform` times the whole the whole: the last entry that can be drawn, then.
    last = jnp.max(jnp.where(odds > 0, jnp.arange(odds.shape[1], dtype=jnp.int32)[None, :], 0), axis=1)
    return jnp.minimum(index, last)


def _squared(columns, chosen):
    """Squared distances `[c, n]` of the chosen points to all, from differences: exactly 0 for equal points."""

    # Feature by feature: one pass over vectors, where XLA on CPU takes a sum over [d, c, n] entry by entry.
    def add(total, feature):
        difference = feature[None, :] - feature[chosen][:, None]
        return total + difference * difference, None

    start = jnp.zeros_like(columns, shape=(chosen.shape[0], columns.shape[1]))
    return jax.lax.scan(add, start, columns, unroll=min(16, columns.shape[0]))[0]
