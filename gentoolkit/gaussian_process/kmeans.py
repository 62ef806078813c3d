"""k-means: seeding by k-means++ or k-means||, Lloyd's iteration and its minibatch form.

Memory beyond the points: the points once more, and the scores of one block of them, at most 20 MiB on CPU unless
`block_size` asks for more.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.gaussian_process import _blocks, _nearest, _seeding

INITS = ("greedy", "plain", "parallel")
_SEQUENTIAL = INITS[:2]


class _Search(NamedTuple):
    """The static options of Lloyd's iteration."""

    max_iterations: int
    tolerance: float
    min_decrease: float
    block_size: int


class KMeans(NamedTuple):
    """A partition of points by their nearest centres.

    Attributes:
      centers: `[k, d]`.
      labels: `[n]` int32, the nearest centre of each point, the first of several; -1 where the input is not finite.
      counts: `[k]`, sum of the weights of the points of each centre (their number without weights), 0 if empty.
      inertia: `[]`, weighted sum of squared distances to the nearest centres, the objective.
      num_iterations: `[]` int32.
    """

    centers: jax.Array
    labels: jax.Array
    counts: jax.Array
    inertia: jax.Array
    num_iterations: jax.Array


def kmeans(
    key: jax.Array,
    x: jax.Array,
    num_clusters: int,
    *,
    weights: ArrayLike | None = None,
    init: str | jax.Array = "greedy",
    num_restarts: int = 1,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
    min_decrease: float = 0.0,
    block_size: int | None = None,
) -> KMeans:
    """Partition into clusters of small squared distance: seeding by k-means++ or k-means||, then Lloyd's iteration.

    A cluster that becomes empty moves to the point that adds most to the objective, which lowers it. Several problems
    go through `jax.vmap` and then iterate until the slowest has converged (or give `max_iterations` and `tolerance`
    of -1 for a fixed number). There is no derivative: centres are constants to `jax.grad`.

    Args:
      key: PRNG key of the seeding.
      x: `[n, d]` points.
      num_clusters: k (static). More than there are distinct points leaves clusters empty: their centres are copies of
        points, their counts 0, and the objective is 0.
      weights: `[n]`, >= 0, None for 1: a weight of 2 counts as two equal points, one of 0 as none.
      init: `"greedy"` k-means++ (best of 2 + log k candidates for each centre), `"plain"` k-means++, `"parallel"` for
        k-means||, whose passes over the points are 4 instead of k (static), or the first centres `[k, d]` themselves.
        Greedy is the choice for clusters of several scales, a thousandfold apart: 4 passes do not see them all.
      num_restarts: seedings, of which the best result is kept (static).
      max_iterations: of Lloyd (static).
      tolerance: ends where the squared shift of all centres is at most this share of the mean variance of a feature; 0
        to end where no label changes, negative for neither (static).
      min_decrease: ends also where moving the centres to the means of their points lowers the objective by at most
        this share of it, 0 for never (static). The last half of Lloyd's steps often gains less than 2 % in all, while
        another seeding may gain or lose several.
      block_size: points at a time (static), None to choose.

    Returns:
      `KMeans(centers, labels, counts, inertia, num_iterations)`, labels and counts being those of these centres. NaN
      (labels -1) where a point or weight is not finite.

    Raises:
      ValueError: shapes disagree, a count is < 1, a weight is negative, the init is unknown, or k > n.

    References:
      Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory 1982.
      Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, sections 2.2 and 5 (greedy).
      Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, Scalable k-means++, VLDB 2012, algorithm 2 (k-means||).
    """
    _check_counts(num_restarts=num_restarts, max_iterations=max_iterations)
    if not 0 <= min_decrease < 1:
        raise ValueError(f"min_decrease must be in [0, 1), got min_decrease = {min_decrease!r}.")
    x, weights = _points(x, weights)
    _check_clusters(num_clusters, x)
    if isinstance(init, str):
        _check_init(init)
    else:
        if jnp.shape(init) != (num_clusters, x.shape[1]):
            raise ValueError(f"init must be [k, d] = {(num_clusters, x.shape[1])}, got init.shape = {jnp.shape(init)}.")
    size = _block(x, num_clusters, block_size)
    search = _Search(max_iterations, float(tolerance), float(min_decrease), size)
    if not isinstance(init, str):
        return _from_centers(x, weights, jax.lax.stop_gradient(jnp.asarray(init, x.dtype)), search)
    return _from_seeds(key, x, weights, (num_clusters, init, block_size), num_restarts, search)


def kmeans_plus_plus(
    key: jax.Array, x: jax.Array, num_clusters: int, *, weights: ArrayLike | None = None, init: str = "greedy"
) -> jax.Array:
    """Centres spread over the points: each is a point drawn with odds of its squared distance to those before.

    A point at distance 0 from a centre is not drawn as long as there are others. O(n d k) time, O(n) memory times the
    number of candidates. Its k passes come one after the other: `init="parallel"` of `kmeans` needs 4.

    Args:
      key: PRNG key.
      x: `[n, d]` points.
      num_clusters: k (static).
      weights: `[n]`, >= 0, None for 1.
      init: `"greedy"`: of 2 + log k draws the one that leaves the smallest objective; `"plain"`: the one draw (static).

    Returns:
      `[k, d]`, rows of `x`; copies where there are fewer than k distinct points. NaN where a point is not finite.

    Raises:
      ValueError: shapes disagree, a weight is negative, the init is unknown, or k > n.

    References:
      Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, sections 2.2 and 5.
    """
    x, weights = _points(x, weights)
    if init not in _SEQUENTIAL:
        raise ValueError(f"init must be one of {_SEQUENTIAL}, got init = {init!r}.")
    _check_clusters(num_clusters, x)
    seeds = _seed(key, x, weights, num_clusters, init, None)
    # A point that is not finite makes the draw meaningless: say so.
    return jnp.where(jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(weights)), seeds, jnp.nan)


def minibatch(
    key: jax.Array,
    x: jax.Array,
    num_clusters: int,
    *,
    weights: ArrayLike | None = None,
    init: str | jax.Array = "greedy",
    batch_size: int = 1024,
    num_steps: int = 100,
    block_size: int | None = None,
) -> KMeans:
    """Partition by stochastic steps: each centre moves to the running mean of the points it was given.

    For more points than Lloyd can visit often. Its objective does not fall with every step and ends a little higher.

    Args:
      key: PRNG key of the seeding and the batches.
      x: `[n, d]` points.
      num_clusters: k (static).
      weights: `[n]`, >= 0, None for 1.
      init: as in `kmeans`, of a sample of the points.
      batch_size: points of a step, drawn with replacement (static).
      num_steps: how many (static).
      block_size: points at a time of the last assignment (static), None to choose.

    Returns:
      `KMeans`, of all the points.

    Raises:
      ValueError: shapes disagree, a count is < 1, a weight is negative, the init is unknown, or k > n.

    References:
      Sculley, Web-scale k-means clustering, WWW 2010, algorithm 1.
    """
    _check_counts(batch_size=batch_size, num_steps=num_steps)
    x, weights = _points(x, weights)
    n, dim = x.shape
    key_sample, key_seed, key_steps = jax.random.split(key, 3)
    _check_clusters(num_clusters, x)
    x, shift = _centered(x, weights)
    if isinstance(init, str):
        _check_init(init)
        num = min(n, max(3 * batch_size, 10 * num_clusters))
        chosen = jax.random.choice(key_sample, n, (num,), replace=False)
        centers = _seed(key_seed, x[chosen], weights[chosen], num_clusters, init, block_size)
    else:
        if jnp.shape(init) != (num_clusters, dim):
            raise ValueError(f"init must be [k, d] = {(num_clusters, dim)}, got init.shape = {jnp.shape(init)}.")
        centers = jax.lax.stop_gradient(jnp.asarray(init, x.dtype)) - shift
    size = _block(x, num_clusters, block_size)
    return _minibatch(key_steps, x, weights, centers, shift, batch_size, num_steps, size)


def assign(x: jax.Array, centers: jax.Array, *, block_size: int | None = None) -> tuple[jax.Array, jax.Array]:
    """Nearest centre of each point.

    Args:
      x: `[n, d]` points.
      centers: `[k, d]`.
      block_size: points at a time (static), None to choose.

    Returns:
      labels `[n]` int32 (the first of equally near centres up to rounding; -1 where something is not finite), and
      squared distances `[n]`, exact to rounding.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    _blocks.check_points(x=x, centers=centers)
    _array.check_samples(x=x, centers=centers)
    x, centers = _array.as_floating(x=x, centers=centers)
    shift = jax.lax.stop_gradient(jnp.mean(centers, axis=0, keepdims=True))
    x, centers = x - shift, centers - shift
    laid_out = _nearest.lay_out(x, _block(x, centers.shape[0], block_size))
    labels = _nearest.assign(laid_out, x.shape[0], centers)
    return labels, _nearest.squared_distance(x, centers, labels)


# An untraced caller would otherwise compile the loops at every call; to a traced one these are no boundaries.
@functools.partial(jax.jit, static_argnums=3, inline=True)
def _from_centers(x, weights, centers, search) -> KMeans:
    x, shift = _centered(x, weights)
    return _lloyd(x, weights, centers - shift, shift, _nearest.lay_out(x, search.block_size), search)


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _from_seeds(key, x, weights, seeding, num_restarts, search) -> KMeans:
    x, shift = _centered(x, weights)
    # Once for both: XLA would lay them out for the one and again for the other.
    laid_out = _nearest.lay_out(x, search.block_size)

    def once(key):
        return _lloyd(x, weights, _seed(key, x, weights, *seeding, laid_out), shift, laid_out, search)

    if num_restarts == 1:
        return once(key)
    results = jax.lax.map(once, jax.random.split(key, num_restarts))
    best = jnp.argmin(results.inertia)
    return jax.tree.map(lambda leaf: leaf[best], results)


def _centered(x, weights):
    """Points less their mean, in which distances are differences of inner products of small numbers, and that mean."""
    shift = jnp.sum(weights[:, None] * x, axis=0, keepdims=True) / jnp.sum(weights)
    return x - shift, shift


def _lloyd(x, weights, centers, shift, laid_out, search) -> KMeans:
    total = jnp.sum(weights)
    norms = jnp.sum(x * x, axis=1)
    # Asked once, of the points: to ask their labels takes a pass over them in every step.
    centers = jnp.where(jnp.all(jnp.isfinite(norms)), centers, jnp.nan)
    spread = jnp.sum(weights * norms)
    enough = search.tolerance * spread / (total * x.shape[1])

    def pending(state):
        iteration, _, _, moving = state
        return (iteration < search.max_iterations) & moving

    def step(state):
        iteration, centers, old_labels, _ = state
        labels = _nearest.assign(laid_out, x.shape[0], centers)
        new, counts = _nearest.means(x, weights, labels, centers)
        moving = jnp.ones((), bool)
        if search.tolerance >= 0:
            moving = jnp.sum((new - centers) ** 2) > enough
        if search.tolerance == 0:
            # Equal labels have equal means, but for rounding, which another tolerance is above.
            moving &= jnp.any(labels != old_labels)
        if search.min_decrease > 0:
            # Both from the centres alone: no pass over the points.
            decrease = jnp.sum(counts[:, None] * (new - centers) ** 2)
            objective = spread - jnp.sum(counts[:, None] * new * new)
            moving &= decrease > search.min_decrease * objective
        return iteration + 1, new, labels, moving

    start = (jnp.zeros((), jnp.int32), centers, jnp.full(x.shape[:1], -2, jnp.int32), jnp.ones((), bool))
    iteration, centers, _, _ = jax.lax.while_loop(pending, step, start)
    return _result(x, weights, centers, shift, iteration, laid_out)


@functools.partial(jax.jit, static_argnums=(5, 6, 7), inline=True)
def _minibatch(key, x, weights, centers, shift, batch_size, num_steps, size) -> KMeans:
    num_clusters = centers.shape[0]

    def step(state, key):
        centers, counts = state
        chosen = jax.random.randint(key, (batch_size,), 0, x.shape[0])
        batch, share = x[chosen], weights[chosen]
        labels = _nearest.assign(_nearest.lay_out(batch, min(size, batch_size)), batch_size, centers)
        sums, added = _nearest.sums(batch, share, labels, num_clusters)
        counts = counts + added
        rate = 1.0 / jnp.where(counts > 0, counts, 1.0)[:, None]
        return (centers + rate * (sums - added[:, None] * centers), counts), None

    start = (centers, jnp.zeros((num_clusters,), x.dtype))
    (centers, _), _ = jax.lax.scan(step, start, jax.random.split(key, num_steps))
    iterations = jnp.full((), num_steps, jnp.int32)
    return _result(x, weights, centers, shift, iterations, _nearest.lay_out(x, size))


def _result(x, weights, centers, shift, iterations, laid_out) -> KMeans:
    labels = _nearest.assign(laid_out, x.shape[0], centers)
    counts = jax.ops.segment_sum(weights, labels, centers.shape[0])
    inertia = jnp.sum(weights * _nearest.squared_distance(x, centers, labels))
    return KMeans(centers + shift, labels, counts, inertia, iterations)


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _seed(key, x, weights, num_clusters, init, block_size, laid_out=None):
    """First centres; for `"parallel"` of points that are centred, and which may be laid out already."""
    # The best of several candidates at each step, except in the plain form.
    num_candidates = 1 if init == "plain" else 2 + int(np.log(num_clusters))
    if init == "parallel":
        return _seeding.in_parallel(key, x, weights, num_clusters, num_candidates, block_size, laid_out)
    return x[_seeding.choose(key, x, weights, num_clusters, num_candidates)]


def _points(x, weights) -> list[jax.Array]:
    _blocks.check_points(x=x)
    n = jnp.shape(x)[0]
    if weights is None:
        weights = np.ones(n, np.float32)
    if jnp.shape(weights) != (n,):
        raise ValueError(f"weights must be [n] with n = {n} points, got weights.shape = {jnp.shape(weights)}.")
    if not isinstance(weights, jax.core.Tracer) and np.any(np.asarray(weights) < 0):
        raise ValueError("weights must be >= 0.")
    (x,) = _array.as_floating(x=x)
    weights = jnp.asarray(weights, x.dtype)
    return [jax.lax.stop_gradient(x), jax.lax.stop_gradient(jnp.where(weights >= 0, weights, jnp.nan))]


def _check_init(init: str) -> None:
    if init not in INITS:
        raise ValueError(f"init must be one of {INITS} or centres [k, d], got init = {init!r}.")


def _check_clusters(num_clusters: int, x: jax.Array) -> None:
    _check_counts(num_clusters=num_clusters)
    if num_clusters > x.shape[0]:
        raise ValueError(f"num_clusters must be <= n, got num_clusters = {num_clusters} for x.shape = {x.shape}.")


def _check_counts(**counts) -> None:
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name} must be a positive integer, got {name} = {count!r}.")


def _block(x: jax.Array, num_clusters: int, block_size: int | None) -> int:
    num, dim = x.shape
    return _nearest.rows_of_block(num_clusters, num, dim, block_size)
