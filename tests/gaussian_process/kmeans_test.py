import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.cluster import kmeans_plusplus as theirs_plus_plus

from gentoolkit.gaussian_process import _means, _nearest, _seeding
from gentoolkit.gaussian_process import kmeans as room
from gentoolkit.gaussian_process.kmeans import assign, kmeans, kmeans_plus_plus, minibatch

KEY = jax.random.key(0)


def blobs(seed=0, n=300, dim=3, num=6, dtype=np.float32):
    rng = np.random.default_rng(seed)
    centers = 4 * rng.normal(size=(num, dim))
    return (centers[rng.integers(0, num, n)] + 0.5 * rng.normal(size=(n, dim))).astype(dtype)


def apart(places, spread=0.1):
    """Thirteen points around each of five places.

    65 points, five clusters: tests that do not need another size have this one, and share what was compiled for it.
    """
    return np.concatenate([np.random.default_rng(c).normal(c, spread, (13, 2)) for c in places])


FIVE = np.repeat(np.arange(5), 13)


@pytest.mark.fast
def test_labels_are_the_nearest_centres_in_any_block():
    x = blobs()
    centers = x[:7]
    exact = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1)
    for block_size in (1, 7, 1000, None):
        labels, distance = assign(x, centers, block_size=block_size)
        np.testing.assert_array_equal(labels, exact.argmin(1))
        np.testing.assert_allclose(distance, exact.min(1), rtol=1e-5)
    assert labels.dtype == jnp.int32 and distance.dtype == jnp.float32


# Differences at once, products at once, scores in registers; groups of which the last is filled up; elsewhere than on
# CPU. The last block is filled up.
WAYS = [(1, 3, True), (9, 3, True), (131, 3, True), (270, 14, True), (9, 14, False)]


@pytest.mark.parametrize(("num", "dim", "tournament"), WAYS)
def test_all_ways_to_the_nearest_centre_know_what_is_finite(num, dim, tournament):
    x = blobs(dim=dim)
    centers = x[:num].copy()
    exact = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1).argmin(1)

    @jax.jit
    def found(x, centers):
        points = _nearest.lay_out(x, num, block_size=128, tournament=tournament)
        return [_nearest.assign(points, centers, exactly=e, tournament=tournament)[0] for e in (True, False)]

    broken, broken_centers = x.copy(), centers.copy()
    broken[-1, 0] = broken_centers[-1, 0] = np.nan
    for way in (0, 1):
        np.testing.assert_array_equal(found(x, centers)[way], exact)
        np.testing.assert_array_equal(found(broken, centers)[way], np.where(np.arange(len(x)) == len(x) - 1, -1, exact))
        assert (found(x, broken_centers)[way] == -1).all()


def several_scales(dim, seed=0):
    """Clusters of clusters of clusters, a thousandfold smaller each time, off the origin, and a point far from all."""
    rng = np.random.default_rng(seed)
    centers = np.zeros((1, dim))
    for scale in (1e3, 1.0, 1e-3):
        centers = (centers[:, None] + scale * rng.normal(size=(1, 4, dim))).reshape(-1, dim)
    # Digits that float32 has next to 1e3 are 6e-5 apart: centres are put on them.
    centers = np.concatenate([centers, np.full((1, dim), 1e7)]).astype(np.float32)
    x = centers[rng.integers(0, len(centers), 1500)] + rng.normal(size=(1500, dim)) * 3e-4
    return x.astype(np.float32), centers


@pytest.mark.parametrize(("dim", "tournament"), [(1, True), (14, True), (14, False)])
def test_labels_are_right_to_the_rounding_of_differences_at_every_scale(dim, tournament):
    x, centers = several_scales(dim)
    squared = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1)
    least = squared.min(1)

    @jax.jit
    def found(x, centers):
        points = _nearest.lay_out(x, len(centers), tournament=tournament)
        return [_nearest.assign(points, centers, exactly=e, tournament=tournament)[0] for e in (True, False)]

    for labels in found(x, centers):
        assert (squared[np.arange(len(x)), labels] <= least * (1 + 1e-5)).all()
    if tournament:
        labels, distance = assign(x, centers)
        np.testing.assert_allclose(distance, least, rtol=1e-5)
        assert (squared[np.arange(len(x)), labels] <= least * (1 + 1e-5)).all()


@pytest.mark.parametrize("dim", [pytest.param(1, marks=pytest.mark.slow), 14])
def test_lloyd_stays_at_the_optimum_at_every_scale(dim):
    x, centers = several_scales(dim)
    start = float(((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1).min(1).sum())
    found = kmeans(KEY, x, len(centers), init=centers, tolerance=0.0)
    wide, labels = x.astype(np.float64), np.asarray(found.labels)
    inertia = ((wide - np.asarray(found.centers, np.float64)[labels]) ** 2).sum()
    means = np.stack([wide[labels == j].mean(0) for j in range(len(centers))])
    np.testing.assert_allclose(found.centers, means, rtol=2e-7, atol=1e-6)  # as float32 has them
    best = ((wide - means.astype(np.float32)[labels]) ** 2).sum()
    assert best <= start and inertia <= best * (1 + 3e-3)  # some centres lie a digit away
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-4)


@pytest.mark.fast
def test_near_duplicate_centres_and_many_features():
    rng = np.random.default_rng(1)
    x = (100 + rng.normal(size=(200, 300))).astype(np.float32)
    centers = np.repeat(x[:4], 2, axis=0)
    centers[1::2] += np.float32(1e-3)
    squared = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1)
    labels, distance = assign(x, centers)
    assert (squared[np.arange(200), labels] <= squared.min(1) * (1 + 1e-6) + 1e-12).all()
    np.testing.assert_allclose(distance, squared.min(1), rtol=1e-5)
    assert len(np.unique(np.asarray(labels)[:4])) == 4 and not np.asarray(distance)[:4].any()


@pytest.mark.parametrize("init", room.INITS)
def test_nothing_depends_on_the_unit(init):
    x = apart((1, 3, 6, 10, 15)).astype(np.float32)
    one = kmeans(KEY, x, 5, init=init)
    assert one.counts.sum() == 65 and (init == "plain" or (one.counts == 13).all())
    # Powers of two change no digit; 1e37 is near the end of float32.
    for exponent in (-110, -66, -3, 3, 66, 110, 122):
        there = kmeans(KEY, np.ldexp(x, exponent), 5, init=init)
        np.testing.assert_array_equal(there.labels, one.labels)
        np.testing.assert_array_equal(there.counts, one.counts)
        np.testing.assert_array_equal(np.ldexp(np.asarray(there.centers), -exponent), one.centers)
        with np.errstate(over="ignore"):
            inertia = np.ldexp(np.asarray(one.inertia), 2 * exponent)
        np.testing.assert_array_equal(there.inertia, inertia if inertia > 1e-37 else 0)
    seeds = kmeans_plus_plus(KEY, np.ldexp(x, 110), 5)
    np.testing.assert_array_equal(seeds, np.ldexp(np.asarray(kmeans_plus_plus(KEY, x, 5)), 110))
    labels, distance = assign(np.ldexp(x, -40), np.ldexp(x[::13], -40))
    np.testing.assert_array_equal(labels, FIVE)
    np.testing.assert_array_equal(distance, np.ldexp(np.asarray(assign(x, x[::13])[1]), -80))


@pytest.mark.fast
@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e-30, 1e30, 1e60])
def test_wide_host_data_of_any_size_and_offset(size):
    near = apart((0, 20, 40, 60, 80), spread=0.5)
    for x in (near * size, (near + 1e9) * size, [list(row) for row in near * size]):
        found = kmeans(KEY, x, 5)
        assert (np.ptp(np.asarray(found.labels).reshape(5, 13), axis=1) == 0).all()
        np.testing.assert_array_equal(found.counts, 13)


def test_timestamps_lose_their_origin_before_float32_rounds_it():
    stamps = 1.7e9 + apart((0, 10, 20, 30, 40), spread=0.5)
    near = stamps - 1.7e9  # as float64 has them
    one, there = kmeans(KEY, near, 5, init=near[::13]), kmeans(KEY, stamps, 5, init=stamps[::13])
    np.testing.assert_array_equal(there.labels, one.labels)
    np.testing.assert_allclose(there.inertia, one.inertia, rtol=1e-5)
    # The centres come back as float32 has them.
    np.testing.assert_allclose(there.centers, 1.7e9 + np.asarray(one.centers, np.float64), rtol=1e-7)
    truth = ((near[:, None] - near[None, ::13]) ** 2).sum(-1)
    labels, distance = assign(stamps, stamps[::13])
    np.testing.assert_array_equal(labels, truth.argmin(1))
    np.testing.assert_allclose(distance, truth.min(1), rtol=1e-4, atol=1e-6)  # 40 s in float32 have 4e-6
    whole = np.round(1e3 * stamps).astype(np.int64)
    np.testing.assert_array_equal(kmeans(KEY, whole, 5).counts, 13)
    np.testing.assert_array_equal(np.asarray(kmeans_plus_plus(KEY, stamps, 5)), np.float32(1.7e9))
    # A missing time is 0: it draws no origin away.
    missing = np.concatenate([stamps[:52], stamps[:12], [[0.0, 0.0]]])
    np.testing.assert_array_equal(np.sort(kmeans(KEY, missing, 5).counts), [1, 13, 13, 13, 25])


@pytest.mark.fast
@pytest.mark.parametrize("weight", [1e-300, 1e-42, 1e-30, 1.0, 1e30, 1e38, 1e300])
def test_weights_have_no_unit_either(weight):
    x = apart((1, 3, 6, 10, 15)).astype(np.float32)
    one = kmeans(KEY, x, 5)
    found = kmeans(KEY, x, 5, weights=np.full(65, weight))
    np.testing.assert_array_equal(found.labels, one.labels)
    np.testing.assert_allclose(found.centers, one.centers, rtol=3e-6)  # weights have other digits than 1
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_allclose(found.counts, np.full(5, 13 * weight).astype(np.float32), rtol=1e-3)
    mixed = np.where(np.arange(65) % 2 == 0, weight, 0.0)
    means = [x[::2][FIVE[::2] == j].mean(0, dtype=np.float64) for j in range(5)]
    np.testing.assert_allclose(kmeans(KEY, x, 5, weights=mixed, init=x[::13]).centers, means, rtol=3e-6)


def test_weights_of_zero_are_named_or_nan():
    x = blobs(n=60, dim=2)
    for function in (kmeans, minibatch, kmeans_plus_plus):
        with pytest.raises(ValueError, match="all be 0"):
            function(KEY, x, 3, weights=np.zeros(60))
    found = jax.jit(lambda w: kmeans(KEY, x, 3, weights=w, init="plain"))(jnp.zeros(60))
    assert np.isnan(found.centers).all() and np.isnan(found.inertia) and (np.asarray(found.labels) == -1).all()
    assert np.isnan(jax.jit(lambda w: kmeans_plus_plus(KEY, x, 3, weights=w, init="plain"))(jnp.zeros(60))).all()


@pytest.mark.fast
def test_sums_of_many_points_lose_nothing():
    # Sums are taken in blocks: one after the other, they would be 1e-3 off, and stand still at 2^24.
    labels = jnp.zeros(1 << 22, jnp.int32)
    columns = jnp.full((1 << 22, 1), 0.7)
    total = jax.jit(lambda columns, labels: _means._scattered(columns, labels, 2))(columns, labels)
    np.testing.assert_allclose(total[:, 0], [0.7 * 2**22, 0.0], rtol=2e-5)


def test_one_point_is_its_own_cluster_and_as_many_clusters_as_points():
    x = blobs(n=65, dim=2)
    alone = kmeans(KEY, x[:1], 1)
    np.testing.assert_array_equal(alone.centers, x[:1])
    assert alone.inertia == 0 and alone.counts[0] == 1 and alone.labels[0] == 0
    all_of_them = kmeans(KEY, x[:7], 7)
    assert all_of_them.inertia < 1e-9 and (np.asarray(all_of_them.counts) == 1).all()
    np.testing.assert_array_equal(kmeans(KEY, np.zeros((65, 2), np.float32), 5).centers, 0.0)


def test_ends_where_centres_are_means_and_points_at_their_nearest(x64):
    x = blobs(dtype=np.float64)
    found = kmeans(KEY, x, 6, init=x[:6], tolerance=0.0)
    labels = np.asarray(found.labels)
    for cluster in range(6):
        np.testing.assert_allclose(found.centers[cluster], x[labels == cluster].mean(0), atol=1e-12)
    np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=6))
    nearest, distance = assign(x, found.centers)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_allclose(found.inertia, distance.sum(), rtol=1e-12)
    assert found.num_iterations < 100


@pytest.mark.parametrize("start", ["points", "far away"])
def test_no_step_raises_the_objective(start):
    x = blobs(1, 400)
    # Far centres are empty at first: moving them must not raise the objective either.
    init = x[:12] if start == "points" else np.concatenate([x[:3], 100.0 + np.arange(27.0).reshape(9, 3)])
    init = np.float32(init)
    last = float(np.sum(assign(x, init)[1]))
    for _ in range(12):
        found = kmeans(KEY, x, 12, init=init, max_iterations=1)
        assert found.inertia <= last * (1 + 1e-6)
        init, last = found.centers, float(found.inertia)
    assert (found.counts > 0).all()


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_equals_scikit_learn_from_the_same_start(shift):
    x = blobs(2, 400, 3, 12) + np.float32(shift)
    init = x[:12]
    theirs = KMeans(12, init=init, n_init=1, tol=0.0, max_iter=100, algorithm="lloyd").fit(x)
    ours = kmeans(KEY, x, 12, init=init, tolerance=0.0)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-5)
    assert np.mean(np.asarray(ours.labels) == theirs.labels_) > 0.99


def test_weights_are_repetitions(x64):
    x = blobs(3, 40, dtype=np.float64)
    times = np.random.default_rng(0).multinomial(300, np.repeat([0.0, 1 / 30], [10, 30]))
    init = x[10:16]
    # Filled up to 300 points with some of no weight, far out.
    filled, weights = np.concatenate([x, np.full((260, 3), 50.0)]), np.concatenate([times, np.zeros(260)])
    weighted = kmeans(KEY, filled, 6, weights=weights, init=init, tolerance=0.0)
    repeated = kmeans(KEY, np.repeat(x, times, axis=0), 6, init=init, tolerance=0.0)
    np.testing.assert_allclose(weighted.centers, repeated.centers, atol=1e-12)
    np.testing.assert_allclose(weighted.inertia, repeated.inertia, rtol=1e-12)
    np.testing.assert_allclose(weighted.counts, repeated.counts)


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
    x = np.repeat(distinct, [50, 1, 7, 3, 4], axis=0)
    for seed in range(5):
        if init != "parallel":
            seeds = np.asarray(kmeans_plus_plus(jax.random.key(seed), x, 5, init=init))
            assert len(np.unique(seeds, axis=0)) == 5  # a point at distance 0 is never drawn while others exist
            assert (seeds[:, None] == distinct[None]).all(-1).any(1).all()  # and only points are drawn
        found = kmeans(jax.random.key(seed), x, 5, init=init)
        assert found.inertia < 1e-9 and sorted(np.asarray(found.counts)) == [1, 3, 4, 7, 50]


@pytest.mark.fast
@pytest.mark.parametrize("init", room.INITS)
def test_more_clusters_than_distinct_points_leave_some_empty(init):
    x = np.repeat(np.float32([[0, 0], [1, 0], [0, 1]]), [22, 22, 21], axis=0)
    found = kmeans(KEY, x, 5, init=init)
    assert found.inertia < 1e-9 and np.isfinite(found.centers).all()
    assert (np.asarray(found.counts) > 0).sum() == 3 and found.counts.sum() == 65
    same = kmeans(KEY, np.ones((65, 2), np.float32), 5, init=init)
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
    x = blobs(5, 65, 2, 12)
    cost = {}
    for init in ("greedy", "plain"):
        seeds = [np.asarray(kmeans_plus_plus(key, x, 5, init=init)) for key in jax.random.split(KEY, 40)]
        cost[init] = np.mean([((x[:, None] - one) ** 2).sum(-1).min(1).sum() for one in seeds])
    assert cost["greedy"] < 0.9 * cost["plain"]


def test_seeds_in_parallel_are_as_good_as_greedy_ones():
    x = blobs(5, 600, 2, 20)
    # What a cluster in a corner costs that has no seed shows after one step of Lloyd.
    ours = [float(kmeans(key, x, 20, init="parallel", max_iterations=1).inertia) for key in jax.random.split(KEY, 20)]
    theirs = []
    for seed in range(20):
        seeds = theirs_plus_plus(x, 20, random_state=seed)[0]
        labels = ((x[:, None] - seeds) ** 2).sum(-1).argmin(1)
        means = np.stack([x[labels == j].mean(0) for j in range(20)])
        theirs.append(((x[:, None] - means) ** 2).sum(-1).min(1).sum())
    assert np.mean(ours) < 1.05 * np.mean(theirs)


def test_seeds_in_parallel_know_weights(x64):
    @jax.jit
    def seeds_of(key, x, weights):
        return _seeding.in_parallel(key, _nearest.lay_out(x, 8), weights, 8, 4)

    # Points of no weight, however far out, are neither drawn nor in the mean of what was.
    x = np.concatenate([blobs(11, 200, dtype=np.float64), [[1e3, 0, 0], [0, 1e3, 0]]])
    weights = np.concatenate([np.ones(200), np.zeros(2)])
    for seed in range(5):
        assert np.abs(seeds_of(jax.random.key(seed), x, weights)).max() < 50
    # Drawn with the odds of their weights: the light half of a line far from the heavy one gets few seeds.
    x = np.linspace(-1, 1, 202)[:, None] * [1, 0, 0]
    weights = np.where(x[:, 0] > 0, 1000.0, 1.0)
    seeds = np.stack([seeds_of(key, x, weights) for key in jax.random.split(KEY, 10)])
    assert np.mean(seeds[..., 0] > 0) > 0.8
    found = minibatch(KEY, x, 2, weights=np.where(np.arange(202) < 3, 1.0, 0.0), init="parallel", batch_size=4)
    assert np.isfinite(found.centers).all()  # even if no point of the sample has weight


# At once; blocks, and more draws than a table has room for; groups.
@pytest.mark.parametrize(
    ("num", "block_size", "table"),
    [pytest.param(1, None, 1024, marks=pytest.mark.slow), (5, 64, 8), (300, None, 1024)],
)
def test_seeds_in_parallel_of_any_number_spread_over_the_points(monkeypatch, num, block_size, table):
    monkeypatch.setattr(_seeding, "_MOST_IN_TABLE", table)
    x = jnp.asarray(blobs(13, 700, 2, 30))
    points = _nearest.lay_out(x, num, block_size=block_size)
    seeds = jax.jit(lambda points: _seeding.in_parallel(KEY, points, jnp.ones(700), num, 3))(points)
    assert seeds.shape == (num, 2) and np.isfinite(seeds).all()
    x, seeds = np.asarray(x, np.float64), np.asarray(seeds, np.float64)
    greedy = theirs_plus_plus(x, num, random_state=0)[0]
    cost, greedy = (((x[:, None] - c) ** 2).sum(-1).min(1).sum() for c in (seeds, greedy))
    assert cost < 1.5 * greedy + 1e-2 * ((x - x.mean(0)) ** 2).sum()
    if block_size:  # the whole way at once
        whole = kmeans(KEY, jnp.asarray(x, jnp.float32), num, init="parallel", block_size=block_size)
        assert (np.asarray(whole.counts) > 0).all() and whole.counts.sum() == 700


def test_ends_where_a_step_gains_too_little():
    x = blobs(12, 400, 3, 12)
    init = x[:12]

    before, expected = init, 0
    for steps in range(1, 40):
        centers = np.asarray(kmeans(KEY, x, 12, init=np.float32(before), max_iterations=1).centers, np.float64)
        labels = np.asarray(assign(x, np.float32(before))[0])
        decrease = (np.bincount(labels, minlength=12)[:, None] * (centers - before) ** 2).sum()
        if decrease <= 0.01 * ((x - centers[labels]) ** 2).sum():
            expected = steps
            break
        before = centers
    found = kmeans(KEY, x, 12, init=init, tolerance=0.0, min_decrease=0.01)
    assert found.num_iterations == expected > 1
    assert kmeans(KEY, x, 12, init=init, tolerance=0.0).num_iterations > expected


def test_restarts_keep_the_best():
    x = blobs(6, 65, 2, 15)
    once = [float(kmeans(key, x, 5, init="plain").inertia) for key in jax.random.split(KEY, 4)]
    assert max(once) > 1.01 * min(once)
    best = kmeans(KEY, x, 5, init="plain", num_restarts=4).inertia
    np.testing.assert_allclose(best, min(once), rtol=1e-5)


def test_problems_at_once_are_a_loop():
    stack = np.stack([blobs(seed, 65, 2) for seed in range(4)])
    keys = jax.random.split(KEY, 4)
    together = jax.jit(jax.vmap(lambda key, x: kmeans(key, x, 5)))(keys, stack)
    for place in range(4):
        alone = kmeans(keys[place], stack[place], 5)
        np.testing.assert_allclose(together.inertia[place], alone.inertia, rtol=1e-5)
        np.testing.assert_allclose(together.centers[place], alone.centers, atol=1e-4)
    fixed = kmeans(KEY, stack[0], 5, init=stack[0, :5], max_iterations=17, tolerance=-1.0)
    assert fixed.num_iterations == 17


def test_minibatch_comes_near_the_whole():
    x = blobs(7, 2000)
    whole = KMeans(6, n_init=5, random_state=0).fit(x).inertia_
    found = minibatch(KEY, x, 6, batch_size=256, num_steps=60)
    # Means of the last batch alone, 43 points each, would be 2 % above.
    assert whole * 0.999 <= found.inertia < 1.01 * whole
    assert found.counts.sum() == 2000 and found.num_iterations == 60
    given = minibatch(KEY, x, 6, init=x[:6], batch_size=256, num_steps=60)
    assert np.isfinite(given.centers).all() and given.inertia < float(np.sum(assign(x, x[:6])[1]))
    x[7, 1] = np.nan
    broken = minibatch(KEY, x, 6, batch_size=256, num_steps=60)
    assert np.isnan(broken.inertia) and np.isnan(broken.centers).any() and (np.asarray(broken.labels) == -1).all()


@pytest.mark.fast
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_nan(bad):
    x = blobs(8, 65, 2)
    x[7, 1] = bad
    for init in ("greedy", "parallel", x[:5]):
        found = kmeans(KEY, x, 5, init=init)
        assert np.isnan(found.inertia) and np.isnan(found.centers).any() and (np.asarray(found.labels) == -1).all()
    assert np.isnan(kmeans_plus_plus(KEY, x, 5)).all()


def test_widths_and_gradients():
    x = blobs(9, 65, 2)
    assert kmeans(KEY, jnp.asarray(x, jnp.bfloat16), 5).centers.dtype == jnp.float32
    gradient = jax.grad(lambda x: kmeans(KEY, x, 5, init="plain").inertia)(jnp.asarray(x))
    np.testing.assert_array_equal(gradient, 0.0)
    # Distances have one, which follows the unit.
    slopes = jax.jit(jax.grad(lambda x, centers: jnp.sum(assign(x, centers)[1]), argnums=(0, 1)))
    for size in (1.0, 1e-6, 1e-30, 1e30):
        there, centers = np.float32(size) * x, np.float32(size) * x[:7] + np.float32(size)
        labels = np.asarray(assign(there, centers)[0])
        expected = 2 * (there.astype(np.float64) - centers[labels])
        of_points, of_centers = slopes(there, centers)
        np.testing.assert_allclose(of_points, expected, rtol=1e-6)
        of_all = np.stack([expected[labels == j].sum(0) for j in range(7)])
        np.testing.assert_allclose(of_centers, -of_all, rtol=1e-5, atol=1e-4 * size)


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
