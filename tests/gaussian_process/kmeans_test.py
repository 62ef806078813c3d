import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

from gentoolkit.gaussian_process import _nearest, _seeding
from gentoolkit.gaussian_process import kmeans as room
from gentoolkit.gaussian_process.kmeans import assign, kmeans, kmeans_plus_plus, minibatch

KEY = jax.random.key(0)


def blobs(seed=0, n=300, dim=3, num=6, dtype=np.float32):
    rng = np.random.default_rng(seed)
    centers = 4 * rng.normal(size=(num, dim))
    return (centers[rng.integers(0, num, n)] + 0.5 * rng.normal(size=(n, dim))).astype(dtype)


@pytest.mark.fast
def test_labels_are_the_nearest_centres_in_any_block():
    x = blobs()
    centers = x[:7]
    exact = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1)
    for block_size in (1, 7, 300, 1000, None):
        labels, distance = assign(x, centers, block_size=block_size)
        np.testing.assert_array_equal(labels, exact.argmin(1))
        np.testing.assert_allclose(distance, exact.min(1), rtol=1e-5)
    assert labels.dtype == jnp.int32 and distance.dtype == jnp.float32


@pytest.mark.fast
@pytest.mark.parametrize(
    "num", [1, 9, 131, 270]
)  # entry by entry, odd ones left over, groups of which the last is filled up
@pytest.mark.parametrize("size", [128, 300])  # in blocks, the last filled up, and all at once
@pytest.mark.parametrize("by_tournament", [True, False])  # on CPU, elsewhere
def test_both_ways_to_the_nearest_centre_know_what_is_finite(num, size, by_tournament):
    x = blobs()
    centers = x[:num]
    exact = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1).argmin(1)

    def found(points):
        laid_out = _nearest.lay_out(jnp.asarray(points), size)
        return _nearest.assign(laid_out, len(points), jnp.asarray(centers), by_tournament=by_tournament)

    np.testing.assert_array_equal(found(x), exact)
    broken = x.copy()
    broken[-1, 0] = np.nan
    np.testing.assert_array_equal(found(broken), np.where(np.arange(len(x)) == len(x) - 1, -1, exact))
    centers[-1, 0] = np.nan
    assert (found(x) == -1).all()


@pytest.mark.fast
def test_ends_where_centres_are_means_and_points_at_their_nearest(x64):
    x = blobs(dtype=np.float64)
    found = kmeans(KEY, x, 6, tolerance=0.0)
    labels = np.asarray(found.labels)
    for cluster in range(6):
        np.testing.assert_allclose(found.centers[cluster], x[labels == cluster].mean(0), atol=1e-12)
    np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=6))
    nearest, distance = assign(x, found.centers)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_allclose(found.inertia, distance.sum(), rtol=1e-12)
    assert found.num_iterations < 100


@pytest.mark.fast
@pytest.mark.parametrize("start", ["points", "far away"])
def test_no_step_raises_the_objective(start):
    x = blobs(1, 200)
    # Far centres are empty at first: moving them must not raise the objective either.
    init = x[:8] if start == "points" else np.concatenate([x[:3], 100.0 + np.arange(15.0).reshape(5, 3)])
    init = np.float32(init)
    last = float(np.sum(assign(x, init)[1]))
    for steps in range(1, 12):
        found = kmeans(KEY, x, 8, init=init, max_iterations=steps, tolerance=0.0)
        assert found.inertia <= last * (1 + 1e-6)
        last = float(found.inertia)
    assert (found.counts > 0).all()


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_equals_scikit_learn_from_the_same_start(shift):
    x = blobs(2, 500, 5, 12) + np.float32(shift)
    init = x[:12]
    theirs = KMeans(12, init=init, n_init=1, tol=0.0, max_iter=200, algorithm="lloyd").fit(x)
    ours = kmeans(KEY, x, 12, init=init, tolerance=0.0, max_iterations=200)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-5)
    assert np.mean(np.asarray(ours.labels) == theirs.labels_) > 0.99


@pytest.mark.fast
def test_weights_are_repetitions(x64):
    x = blobs(3, 40, dtype=np.float64)
    times = np.random.default_rng(0).integers(0, 4, 40)
    init = x[times > 0][:5]
    weighted = kmeans(KEY, x, 5, weights=times, init=init, tolerance=0.0)
    repeated = kmeans(KEY, np.repeat(x, times, axis=0), 5, init=init, tolerance=0.0)
    np.testing.assert_allclose(weighted.centers, repeated.centers, atol=1e-12)
    np.testing.assert_allclose(weighted.inertia, repeated.inertia, rtol=1e-12)
    np.testing.assert_allclose(weighted.counts, repeated.counts)


@pytest.mark.fast
def test_the_order_of_the_first_centres_does_not_matter(x64):
    x = blobs(4, dtype=np.float64)
    one = kmeans(KEY, x, 6, init=x[:6], tolerance=0.0)
    other = kmeans(KEY, x, 6, init=x[5::-1], tolerance=0.0)
    np.testing.assert_allclose(one.centers, other.centers[::-1], atol=1e-12)
    np.testing.assert_array_equal(one.labels, 5 - other.labels)


@pytest.mark.fast
@pytest.mark.parametrize("init", room.INITS)
def test_as_many_clusters_as_distinct_points_leave_nothing(init):
    distinct = np.float32([[0, 0], [1, 0], [0, 1], [5, 5], [5.001, 5]])
    x = np.repeat(distinct, [50, 1, 7, 3, 2], axis=0)
    for seed in range(5):
        if init != "parallel":
            seeds = np.asarray(kmeans_plus_plus(jax.random.key(seed), x, 5, init=init))
            assert len(np.unique(seeds, axis=0)) == 5  # a point at distance 0 is never drawn while others exist
            assert (seeds[:, None] == distinct[None]).all(-1).any(1).all()  # and only points are drawn
        found = kmeans(jax.random.key(seed), x, 5, init=init)
        assert found.inertia < 1e-9 and sorted(np.asarray(found.counts)) == [1, 2, 3, 7, 50]


@pytest.mark.fast
@pytest.mark.parametrize("init", room.INITS)
def test_more_clusters_than_distinct_points_leave_some_empty(init):
    x = np.repeat(np.float32([[0, 0], [1, 0], [0, 1]]), 10, axis=0)
    found = kmeans(KEY, x, 7, init=init)
    assert found.inertia < 1e-9 and np.isfinite(found.centers).all()
    assert (np.asarray(found.counts) > 0).sum() == 3 and found.counts.sum() == 30
    same = kmeans(KEY, np.ones((5, 2), np.float32), 3, init=init)
    np.testing.assert_allclose(same.centers, 1.0)


@pytest.mark.fast
def test_an_empty_cluster_moves_to_the_worst_point():
    x = np.float32([[0.0], [0.1], [0.2], [10.0]])
    found = kmeans(KEY, x, 2, init=np.float32([[0.0], [1000.0]]), tolerance=0.0)
    np.testing.assert_allclose(np.sort(found.centers[:, 0]), [0.1, 10.0], atol=1e-6)


def test_seeds_are_drawn_with_odds_of_their_squared_distance():
    x = np.float32([[0.0], [1.0], [3.0], [4.0]])
    weights = np.float32([1.0, 2.0, 1.0, 0.0])
    draw = jax.jit(jax.vmap(lambda key: kmeans_plus_plus(key, x, 2, weights=weights, init="plain")[:, 0]))
    pairs = np.asarray(draw(jax.random.split(KEY, 20_000)))
    first = {0.0: 0.25, 1.0: 0.5, 3.0: 0.25}
    for a, odds in first.items():
        seen = pairs[:, 0] == a
        assert abs(seen.mean() - odds) < 5 * 0.5 / 20_000**0.5
        second = weights * (x[:, 0] - a) ** 2
        for b, expected in zip(x[:, 0], second / second.sum(), strict=True):
            assert abs((pairs[seen, 1] == b).mean() - expected) < 5 * 0.5 / seen.sum() ** 0.5
    assert not (pairs == 4.0).any()


def test_greedy_seeds_are_better_than_plain_ones():
    x = blobs(5, 400, 2, 20)
    cost = {}
    for init in ("greedy", "plain"):
        seeds = jax.jit(jax.vmap(functools.partial(kmeans_plus_plus, x=x, num_clusters=20, init=init)))(
            jax.random.split(KEY, 20)
        )
        cost[init] = np.mean([float(jnp.sum(assign(x, centers)[1])) for centers in seeds])
    assert cost["greedy"] < cost["plain"]


def test_seeds_in_parallel_are_as_good_as_greedy_ones():
    x = blobs(5, 2000, 2, 20)
    keys = jax.random.split(KEY, 20)
    # What a cluster in a corner costs that has no seed shows after one step of Lloyd.
    cost = {
        init: np.mean(jax.vmap(lambda key, init=init: kmeans(key, x, 20, init=init, max_iterations=1).inertia)(keys))
        for init in room.INITS
    }
    assert cost["parallel"] < 1.05 * cost["greedy"] < cost["plain"]


def test_seeds_in_parallel_know_weights(x64):
    # Points of no weight, however far out, are neither drawn nor in the mean of what was.
    x = np.concatenate([blobs(11, 200, dtype=np.float64), [[1e3, 0, 0], [0, 1e3, 0]]])
    weights = np.concatenate([np.ones(200), np.zeros(2)])
    for seed in range(5):
        seeds = _seeding.in_parallel(jax.random.key(seed), jnp.asarray(x), jnp.asarray(weights), 8, 4, None)
        assert np.abs(seeds).max() < 50
    # Drawn with the odds of their weights: the light half of a line far from the heavy one gets few seeds.
    x = np.linspace(-1, 1, 400)[:, None]
    weights = np.where(x[:, 0] > 0, 1000.0, 1.0)
    seeds = jax.vmap(lambda key: _seeding.in_parallel(key, jnp.asarray(x), jnp.asarray(weights), 8, 4, None))(
        jax.random.split(KEY, 10)
    )
    assert np.mean(seeds > 0) > 0.8
    found = minibatch(KEY, x, 2, weights=np.where(np.arange(400) < 3, 1.0, 0.0), init="parallel", batch_size=4)
    assert np.isfinite(found.centers).all()  # even if no point of the sample has weight


@pytest.mark.parametrize(
    ("num", "block_size"), [(1, None), (5, 64), (300, None), (700, 128)]
)  # at once, blocks, groups
def test_seeds_in_parallel_of_any_number_spread_over_the_points(num, block_size):
    x = jnp.asarray(blobs(13, 700, 2, 30))
    seeds = _seeding.in_parallel(KEY, x - x.mean(0, keepdims=True), jnp.ones(700), num, 3, block_size)
    assert seeds.shape == (num, 2) and np.isfinite(seeds).all()
    cost = float(jnp.sum(assign(x - x.mean(0, keepdims=True), seeds)[1]))
    greedy = kmeans_plus_plus(KEY, x, num)
    assert cost < 1.5 * float(jnp.sum(assign(x, greedy)[1])) + 1e-2 * float(
        jnp.sum((x - x.mean(0, keepdims=True)) ** 2)
    )
    whole = kmeans(KEY, x, num, init="parallel", block_size=block_size)
    assert (np.asarray(whole.counts) > 0).all() and whole.counts.sum() == 700


@pytest.mark.fast
def test_ends_where_a_step_gains_too_little():
    x = blobs(12, 400, 3, 12)
    init = x[:12]

    def after(steps):
        return kmeans(KEY, x, 12, init=init, max_iterations=steps, tolerance=-1.0).centers

    before, expected = init, 0
    for steps in range(1, 40):
        centers = np.asarray(after(steps), np.float64)
        labels = np.asarray(assign(x, before)[0])
        decrease = (np.bincount(labels, minlength=12)[:, None] * (centers - before) ** 2).sum()
        if decrease <= 0.01 * ((x - centers[labels]) ** 2).sum():
            expected = steps
            break
        before = centers.astype(np.float32)
    found = kmeans(KEY, x, 12, init=init, tolerance=0.0, min_decrease=0.01)
    assert found.num_iterations == expected > 1
    assert kmeans(KEY, x, 12, init=init, tolerance=0.0).num_iterations > expected


@pytest.mark.fast
def test_restarts_keep_the_best():
    x = blobs(6, 200, 2, 15)
    once = [kmeans(key, x, 15, init="plain").inertia for key in jax.random.split(KEY, 4)]
    best = kmeans(KEY, x, 15, init="plain", num_restarts=4).inertia
    np.testing.assert_allclose(best, min(once), rtol=1e-5)


def test_problems_at_once_are_a_loop():
    stack = np.stack([blobs(seed, 60) for seed in range(4)])
    keys = jax.random.split(KEY, 4)
    together = jax.jit(jax.vmap(lambda key, x: kmeans(key, x, 9)))(keys, stack)
    for place in range(4):
        alone = kmeans(keys[place], stack[place], 9)
        np.testing.assert_allclose(together.inertia[place], alone.inertia, rtol=1e-5)
        np.testing.assert_allclose(together.centers[place], alone.centers, atol=1e-4)
    fixed = kmeans(KEY, stack[0], 4, max_iterations=17, tolerance=-1.0)
    assert fixed.num_iterations == 17


def test_minibatch_comes_near_the_whole():
    x = blobs(7, 2000)
    whole = kmeans(KEY, x, 6).inertia
    found = minibatch(KEY, x, 6, batch_size=256, num_steps=60)
    assert whole * 0.999 <= found.inertia < 1.1 * whole
    assert found.counts.sum() == 2000 and found.num_iterations == 60
    given = minibatch(KEY, x, 6, init=x[:6], batch_size=64, num_steps=5)
    assert np.isfinite(given.centers).all()


@pytest.mark.fast
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_nan(bad):
    x = blobs(8, 50)
    x[7, 1] = bad
    for found in (
        kmeans(KEY, x, 4),
        kmeans(KEY, x, 4, init="parallel"),
        kmeans(KEY, x, 4, init=x[:4]),
        minibatch(KEY, x, 4, num_steps=3),
    ):
        assert np.isnan(found.inertia) and np.isnan(found.centers).any() and (np.asarray(found.labels) == -1).all()
    assert np.isnan(kmeans_plus_plus(KEY, x, 3)).all()


@pytest.mark.fast
def test_widths_and_gradients():
    x = blobs(9, 50)
    assert kmeans(KEY, jnp.asarray(x, jnp.bfloat16), 4).centers.dtype == jnp.float32
    gradient = jax.grad(lambda x: kmeans(KEY, x, 4).inertia)(jnp.asarray(x))
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.fast
def test_bad_input_is_named():
    x = blobs(10, 20)
    for call, told in (
        (lambda: kmeans(KEY, x, 21), "num_clusters"),
        (lambda: kmeans(KEY, x, 0), "num_clusters"),
        (lambda: kmeans(KEY, x, 3, init="best"), "init"),
        (lambda: kmeans(KEY, x, 3, init=x[:2]), "init.shape"),
        (lambda: kmeans(KEY, x, 3, weights=np.ones(4)), "weights.shape"),
        (lambda: kmeans(KEY, x, 3, weights=-np.ones(20)), "weights"),
        (lambda: kmeans(KEY, x, 3, max_iterations=0), "max_iterations"),
        (lambda: kmeans(KEY, x, 3, block_size=0), "block_size"),
        (lambda: kmeans(KEY, x, 3, min_decrease=1.0), "min_decrease"),
        (lambda: kmeans_plus_plus(KEY, x, 3, init="parallel"), "init"),
        (lambda: kmeans(KEY, x[None], 3), "vmap"),
        (lambda: minibatch(KEY, x, 3, batch_size=0), "batch_size"),
        (lambda: assign(x, x[:, :2]), "centers.shape"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
