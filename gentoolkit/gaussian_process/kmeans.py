"""k-means: seeding by k-means++ or k-means||, Lloyd's iteration and its minibatch form.

Labels are those of the nearest centres to the rounding of differences, whatever else lies how far out, and neither they
nor the centres depend on the unit of the points (`_nearest.py`, `_means.py`, `_units.py`).

Memory beyond the points: the points twice more, and the scores of one block of them, at most 20 MiB on CPU unless
`block_size` asks for more.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _scale, _sums
from gentoolkit.gaussian_process import _blocks, _means, _nearest, _seeding, _units

INITS = ("greedy", "plain", "parallel")
_SEQUENTIAL = INITS[:2]


class _Search(NamedTuple):
    """The static options of Lloyd's iteration."""

    max_iterations: int
    tolerance: float
    min_decrease: float
    block_size: int | None


class KMeans(NamedTuple):
    """A partition of points by their nearest centres.

    Attributes:
      centers: `[k, d]`.
      labels: `[n]` int32, the nearest centre of each point, the first of several; -1 where the input is not finite.
      counts: `[k]`, sum of the weights of the points of each centre (their number without weights), 0 if empty.
      inertia: `[]`, weighted sum of squared distances to the nearest centres, the objective. In squared units of the
        points: 0 or infinite where its dtype does not hold it, for float32 with coordinates near 1e-23 or 1e19.
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
      x: `[n, d]` points, in any unit. Of float64 host data (timestamps, say) that is to become float32 the median goes
        first, and the centres come back rounded to float32: labels, counts and inertia are those of the data.
      num_clusters: k (static). More than there are distinct points leaves clusters empty: their centres are copies of
        points, their counts 0, and the objective is 0.
      weights: `[n]`, >= 0, None for 1: a weight of 2 counts as two equal points, one of 0 as none. Of any size; one
        below 1e-38 of the largest may count as 0.
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
      (labels -1) where a point or weight is not finite, and where traced weights are all 0.

    Raises:
      ValueError: shapes disagree, a count is < 1, a weight is negative or all are 0, the init is unknown, or k > n.

    References:
      Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory 1982.
      Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, sections 2.2 and 5 (greedy).
      Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, Scalable k-means++, VLDB 2012, algorithm 2 (k-means||).

    Examples:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from gentoolkit.gaussian_process import kmeans
      >>> found = kmeans.kmeans(jax.random.key(0), jnp.float32([[0], [1], [10], [12]]), 2)
      >>> sorted(found.centers[:, 0].tolist()), float(found.inertia)
      ([0.5, 11.0], 2.5)
    """
    _check_counts(num_restarts=num_restarts, max_iterations=max_iterations)
    if not 0 <= min_decrease < 1:
        raise ValueError(f"min_decrease must be in [0, 1), got min_decrease = {min_decrease!r}.")
    x, weights, frame = _points(x, weights)
    _check_clusters(num_clusters, x)
    search = _Search(max_iterations, float(tolerance), float(min_decrease), block_size)
    if isinstance(init, str):
        _check_init(init)
        found = _from_seeds(key, x, weights, num_clusters, init, num_restarts, search)
    else:
        found = _from_centers(x, weights, _first(init, num_clusters, x, frame), search)
    return _as_given(found, frame)


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
      `[k, d]`, rows of `x`; copies where there are fewer than k distinct points. NaN where a point is not finite, or
      traced weights are all 0.

    Raises:
      ValueError: shapes disagree, a weight is negative or all are 0, the init is unknown, or k > n.

    References:
      Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, sections 2.2 and 5.
    """
    given = _array.as_array(x)
    x, weights, _ = _points(given, weights)
    if init not in _SEQUENTIAL:
        raise ValueError(f"init must be one of {_SEQUENTIAL}, got init = {init!r}.")
    _check_clusters(num_clusters, x)
    seeds = jax.lax.stop_gradient(jnp.asarray(given, x.dtype))[_choose(key, x, weights, num_clusters, init)]
    # A point that is not finite makes the draw meaningless: say so.
    return jnp.where(jnp.all(jnp.isfinite(x)) & _is_usable(weights), seeds, jnp.nan)


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
      ValueError: shapes disagree, a count is < 1, a weight is negative or all are 0, the init is unknown, or k > n.

    References:
      Sculley, Web-scale k-means clustering, WWW 2010, algorithm 1.
    """
    _check_counts(batch_size=batch_size, num_steps=num_steps)
    x, weights, frame = _points(x, weights)
    _check_clusters(num_clusters, x)
    if isinstance(init, str):
        _check_init(init)
    else:
        init = _first(init, num_clusters, x, frame)
    seeding, first = (init, None) if isinstance(init, str) else (None, init)
    found = _minibatch(key, x, weights, first, seeding, num_clusters, batch_size, num_steps, block_size)
    return _as_given(found, frame)


def assign(x: jax.Array, centers: jax.Array, *, block_size: int | None = None) -> tuple[jax.Array, jax.Array]:
    """Nearest centre of each point.

    Args:
      x: `[n, d]` points.
      centers: `[k, d]`.
      block_size: points at a time (static), None to choose.

    Returns:
      labels `[n]` int32 (the first of equally near centres, up to the rounding of differences; -1 where something is
      not finite), and squared distances `[n]`, of differences; 0 or infinite where their dtype does not hold them, for
      float32 with distances near 1e-23 or 1e19.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    x, centers = (_array.as_array(array) for array in (x, centers))
    _blocks.check_points(x=x, centers=centers)
    _array.check_samples(x=x, centers=centers)
    x, centers, exponent = _units.together(x, centers)
    x, centers = _array.as_floating(x=x, centers=centers)
    labels, squared = _assign(x, centers, block_size)
    return labels, jnp.asarray(_units.scaled_by(squared, 2 * exponent))


# Here and below: an untraced caller would otherwise compile the loops at every call; to a traced one these are no
# boundaries.
@functools.partial(jax.jit, static_argnums=2, inline=True)
def _assign(x, centers, block_size):
    fixed, fixed_centers = jax.lax.stop_gradient((x, centers))
    unit = _units.unit(fixed, fixed_centers)
    fixed, fixed_centers = unit.of(fixed), unit.of(fixed_centers)
    points = _nearest.lay_out(fixed, centers.shape[0], block_size=block_size, near=fixed_centers)
    labels, _ = _nearest.assign(points, fixed_centers, exactly=True)
    return labels, _squared_distance(x, centers, labels, unit)


# Its own derivative: on the way back autodiff would multiply by the squared unit of the points first, which is 0 in
# float32 for coordinates near 1e-5 already.
@jax.custom_jvp
def _squared_distance(x, centers, labels, unit):
    return unit.areas(_nearest.squared_distance(unit.of(x), unit.of(centers), labels))


@_squared_distance.defjvp
def _squared_distance_jvp(primals, tangents):
    x, centers, labels, unit = primals
    x_dot, centers_dot, _, _ = tangents
    label = jnp.maximum(labels, 0)
    tangent = jnp.sum(2.0 * (x - centers[label]) * (x_dot - centers_dot[label]), axis=1)
    return _squared_distance(x, centers, labels, unit), jnp.where(labels >= 0, tangent, jnp.nan)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _from_centers(x, weights, centers, search) -> KMeans:
    unit = _units.unit(x, centers)
    weights, heaviest = _in_unit(weights)
    points = _nearest.lay_out(unit.of(x), centers.shape[0], block_size=search.block_size)
    return _in_units(_lloyd(points, weights, unit.of(centers), search), unit, heaviest)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6), inline=True)
def _from_seeds(key, x, weights, num_clusters, init, num_restarts, search) -> KMeans:
    unit = _units.unit(x)
    weights, heaviest = _in_unit(weights)
    # Once for both: XLA would lay them out for the one and again for the other.
    points = _nearest.lay_out(unit.of(x), num_clusters, block_size=search.block_size)

    def once(key):
        return _lloyd(points, weights, _seed(key, points, weights, num_clusters, init), search)

    if num_restarts == 1:
        return _in_units(once(key), unit, heaviest)
    results = jax.lax.map(once, jax.random.split(key, num_restarts))
    best = jnp.argmin(results.inertia)
    return _in_units(jax.tree.map(lambda leaf: leaf[best], results), unit, heaviest)


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _choose(key, x, weights, num_clusters, init):
    x = _units.unit(x).of(x)
    return _seeding.choose(key, x, _in_unit(weights)[0], num_clusters, _num_candidates(init, num_clusters))


def _lloyd(points, weights, centers, search) -> KMeans:
    x = points.rows
    weighted = _means.weigh(points, weights)
    # Asked once, of the points: to ask their labels takes a pass over them in every step.
    is_finite = jnp.isfinite(jnp.sum(points.reach))
    centers = jnp.where(is_finite & _is_usable(weights), centers, jnp.nan)
    if search.tolerance > 0:
        total = jnp.sum(weights)
        mean = _sums.weighted(weights, x)[None, :] / total
        variance = jnp.mean(_sums.weighted(weights, (x - mean) ** 2) / total)
        enough = search.tolerance * variance
    else:
        enough = jnp.zeros((), x.dtype)

    def pending(state):
        iteration, _, _, moving = state
        return (iteration < search.max_iterations) & moving

    def step(state):
        iteration, centers, old_labels, _ = state
        labels, squared = _nearest.assign(points, centers, exactly=False)
        new, counts = _means.means(weighted, labels, centers)
        moving = jnp.ones((), bool)
        if search.tolerance >= 0:
            moving = jnp.sum((new - centers) ** 2) > enough
        if search.tolerance == 0:
            # Equal labels have equal means, but for rounding, which another tolerance is above.
            moving &= jnp.any(labels != old_labels)
        if search.min_decrease > 0:
            decrease = jnp.sum(counts[:, None] * (new - centers) ** 2)
            objective = jnp.sum(weights * squared) - decrease
            moving &= decrease > search.min_decrease * objective
        return iteration + 1, new, labels, moving

    start = (jnp.zeros((), jnp.int32), centers, jnp.full(x.shape[:1], -2, jnp.int32), jnp.ones((), bool))
    iteration, centers, _, _ = jax.lax.while_loop(pending, step, start)
    return _result(points, weights, centers, iteration)


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7, 8), inline=True)
def _minibatch(key, x, weights, first, seeding, num_clusters, batch_size, num_steps, block_size) -> KMeans:
    key_sample, key_seed, key_steps = jax.random.split(key, 3)
    unit = _units.unit(x) if first is None else _units.unit(x, first)
    x = unit.of(x)
    weights, heaviest = _in_unit(weights)
    points = _nearest.lay_out(x, num_clusters, block_size=block_size)
    if first is None:
        num = min(x.shape[0], max(3 * batch_size, 10 * num_clusters))
        chosen = jax.random.choice(key_sample, x.shape[0], (num,), replace=False)
        sample = _nearest.lay_out(x[chosen], num_clusters)
        centers = _seed(key_seed, sample, weights[chosen], num_clusters, seeding)
    else:
        centers = unit.of(first)

    def step(state, key):
        centers, counts = state
        chosen = jax.random.randint(key, (batch_size,), 0, x.shape[0])
        batch, share = x[chosen], weights[chosen]
        laid_out = _nearest.lay_out(batch, num_clusters, block_size=block_size, near=points.origin)
        labels, _ = _nearest.assign(laid_out, centers, exactly=False)
        total, added = _means.sums(_means.weigh(laid_out, share), labels, centers)
        counts = counts + added
        return (centers + total / jnp.where(counts > 0, counts, 1.0)[:, None], counts), None

    start = (centers, jnp.zeros((num_clusters,), x.dtype))
    (centers, _), _ = jax.lax.scan(step, start, jax.random.split(key_steps, num_steps))
    is_finite = jnp.all(jnp.isfinite(x)) & _is_usable(weights)
    centers = jnp.where(is_finite, centers, jnp.nan)
    found = _result(points, weights, centers, jnp.full((), num_steps, jnp.int32))
    return _in_units(found, unit, heaviest)


def _result(points, weights, centers, iterations) -> KMeans:
    labels, _ = _nearest.assign(points, centers, exactly=True)
    counts = _means.counts(weights, labels, centers.shape[0])
    inertia = jnp.sum(weights * _nearest.squared_distance(points.rows, centers, labels))
    return KMeans(centers, labels, counts, inertia, iterations)


def _seed(key, points, weights, num_clusters, init):
    num_candidates = _num_candidates(init, num_clusters)
    if init == "parallel":
        return _seeding.in_parallel(key, points, weights, num_clusters, num_candidates)
    return points.rows[_seeding.choose(key, points.rows, weights, num_clusters, num_candidates)]


def _num_candidates(init: str, num_clusters: int) -> int:
    # The best of several candidates at each step, except in the plain form.
    return 1 if init == "plain" else 2 + int(np.log(num_clusters))


def _points(x, weights) -> tuple[jax.Array, jax.Array, _units.Frame]:
    x = _array.as_array(x)
    _blocks.check_points(x=x)
    return _units.prepare(x, weights)


def _in_unit(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights of at most 1, and the power of two that they were divided by."""
    heaviest = _scale.unit(weights)[0]
    return weights / heaviest, heaviest


def _is_usable(weights: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(weights)) & jnp.any(weights > 0)


def _in_units(found: KMeans, unit: _units.Unit, heaviest: jax.Array) -> KMeans:
    """The result in the units of points and weights, instead of those that it was computed in."""
    return found._replace(
        centers=unit.lengths(found.centers),
        counts=found.counts * heaviest,
        inertia=unit.areas(found.inertia) * heaviest,
    )


def _as_given(found: KMeans, frame: _units.Frame) -> KMeans:
    """The result in the units and about the origin of the points and weights that were given."""
    return found._replace(
        centers=_units.moved_back(found.centers, frame),
        counts=jnp.asarray(_units.scaled_by(found.counts, frame.weight_exponent)),
        inertia=jnp.asarray(_units.scaled_by(found.inertia, 2 * frame.exponent + frame.weight_exponent)),
    )


def _first(init, num_clusters, x, frame) -> jax.Array:
    init = _array.as_array(init)
    if init.shape != (num_clusters, x.shape[1]):
        raise ValueError(f"init must be [k, d] = {(num_clusters, x.shape[1])}, got init.shape = {init.shape}.")
    return jax.lax.stop_gradient(_units.moved(init, frame, x.dtype))


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
