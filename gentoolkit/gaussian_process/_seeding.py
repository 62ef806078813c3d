"""k-means++: points drawn one after the other with odds of their squared distance to those drawn before."""

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks


def choose(key: jax.Array, x: jax.Array, weights: jax.Array, num: int, num_candidates: int) -> jax.Array:
    """Indices `[num]` of the seeds among `x` `[n, d]`; of several candidates a step keeps the best."""
    key_first, key_rest = jax.random.split(key)
    columns = x.T
    first = draw(key_first, weights, 1)[0]
    nearest = _squared(columns, first[None])[0]

    def add(nearest, key):
        odds = weights * nearest
        # Nothing is left to gain where points are fewer than seeds: any point will do.
        odds = jnp.where(jnp.any(odds > 0), odds, weights)
        candidates = draw(key, odds, num_candidates)
        after = jnp.minimum(nearest[None, :], _squared(columns, candidates))
        if num_candidates == 1:
            return after[0], candidates[0]
        # As a product: XLA on CPU takes longer for the sums of rows than for the distances in them.
        best = jnp.argmin(_blocks.matmul(after, weights[:, None])[:, 0])
        return after[best], candidates[best]

    _, rest = jax.lax.scan(add, nearest, jax.random.split(key_rest, num - 1))
    return jnp.concatenate([first[None], rest])


def draw(key: jax.Array, odds: jax.Array, num: int) -> jax.Array:
    """`num` indices with probabilities in proportion to `odds` `[n]`, with replacement; never one of odds 0.

    In two levels of about sqrt(n): one float32 running sum over a million entries would not see the small ones.
    """
    n = odds.shape[0]
    side = max(1, int(n**0.5))
    rows = jnp.concatenate([odds, jnp.zeros((-n % side,), odds.dtype)]).reshape(-1, side)
    key_row, key_column = jax.random.split(key)
    row = _invert(jnp.sum(rows, axis=1)[None, :], jax.random.uniform(key_row, (num, 1), odds.dtype))
    column = _invert(rows[row], jax.random.uniform(key_column, (num, 1), odds.dtype))
    return jnp.minimum(row * side + column, n - 1)


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
