"""KID, inception score, precision and recall: hand-worked values, and what is refused."""

import numpy as np
import pytest

from gentoolkit.evaluation import features, kid, neighbors
from gentoolkit.evaluation.class_score import inception_score

pytestmark = pytest.mark.fast


def named(rows, **names):
    return features.of(np.float32(rows), **({"network": "toy", "preprocessing": "clean"} | names))


def column(*values):
    return named(np.float32(values)[:, None])


def test_kid_of_the_worked_example():
    x, y = named([[1, 0], [0, 1]]), named([[1, 1], [0, 0]])
    found = kid(x, y, subset_size=2, num_subsets=3)
    np.testing.assert_allclose(found.value, -2.375, rtol=1e-7)
    assert found.extra["times_1000"] == 1000 * found.value and found.extra["subset_std"] == 0


def test_kid_is_that_of_the_subsets_that_other_tools_draw_by_either_way():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(70, 6)), rng.normal(0.5, 1, size=(50, 6))
    draws, values = np.random.RandomState(7), []
    for _ in range(20):
        a = np.float32(x)[draws.choice(70, 30, replace=False)].astype(float)
        b = np.float32(y)[draws.choice(50, 30, replace=False)].astype(float)
        aa, bb, ab = ((p @ q.T / 6 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
        off = [k.sum() - np.trace(k) for k in (aa, bb)]
        values.append(sum(off) / (30 * 29) - 2 * ab.mean())
    few = kid(named(x), named(y), num_subsets=20, subset_size=30, seed=7)
    np.testing.assert_allclose([few.value, few.extra["subset_std"]], [np.mean(values), np.std(values)], rtol=1e-5)
    one = kid(named(x), named(y), num_subsets=1, subset_size=30, seed=7)  # its own matrices, not those of all pairs
    np.testing.assert_allclose(one.value, values[0], rtol=1e-5)


# Many subsets that overlap, and few that leave most images unseen.
@pytest.mark.parametrize(("n", "m", "num_subsets", "size"), [(80, 60, 10, 40), (400, 300, 1, 30), (400, 300, 4, 30)])
def test_the_standard_error_of_kid_is_the_spread_over_sets(n, m, num_subsets, size):
    values, errors = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(n, 4)), rng.normal(0.7, 1, size=(m, 4))
        found = kid(named(x), named(y), num_subsets=num_subsets, subset_size=size, seed=seed)
        values.append(found.value)
        errors.append(found.standard_error)
    assert 0.75 < np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1) < 1.4


def test_inception_score_is_the_number_of_classes_that_are_filled():
    sure = named(1e4 * np.eye(2))
    np.testing.assert_allclose(inception_score(sure, num_splits=1).value, 2, rtol=1e-6)
    np.testing.assert_allclose(inception_score(named(np.zeros((8, 5))), num_splits=2).value, 1, rtol=1e-12)
    logits = np.random.default_rng(0).normal(size=(23, 7))
    shuffled = np.float32(logits)[np.random.RandomState(3).permutation(23)].astype(float)
    scores = []
    for start, end in ((0, 4), (4, 9), (9, 13), (13, 18), (18, 23)):
        p = np.exp(shuffled[start:end])
        p /= p.sum(axis=1, keepdims=True)
        scores.append(np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()))
    found = inception_score(named(logits), num_splits=5, seed=3)
    np.testing.assert_allclose([found.value, found.extra["split_std"]], [np.mean(scores), np.std(scores)], rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, np.std(scores, ddof=1) / np.sqrt(5), rtol=1e-10)
    assert found.num_real == 0 and found.num_generated == 23
    assert np.isnan(inception_score(named(logits), num_splits=1).standard_error)


def test_precision_and_recall_of_the_worked_example():
    real, generated = column(0, 1, 2, 10), column(0.5, 20)
    found = neighbors.precision_recall(real, generated, num_neighbors=1)
    assert (found.precision.value, found.recall.value) == (0.5, 1.0)
    assert found.precision.num_real == 4 and found.precision.num_generated == 2
    # Balls of 0, 1, 2 and 10 have radii 1, 1, 1 and 8: 0.5 is in two, 20 in none.
    both = neighbors.density_coverage(real, generated, num_neighbors=1)
    assert (both.density.value, both.coverage.value) == (1.0, 0.5)


def test_neighbours_are_those_of_brute_force_duplicates_and_rims_included():
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(60, 12)) + 300)
    x[7] = x[8]
    y = np.concatenate([x[:20], np.float32(rng.normal(size=(25, 12)) + 299.5)])
    for k in (1, 3):
        apart = [np.square(a[:, None].astype(float) - b[None]).sum(-1) for a, b in ((x, x), (y, y), (x, y))]
        radii = [np.sort(d, axis=1)[:, k] for d in apart[:2]]
        inside = apart[2] <= radii[0][:, None]
        expected = inside.any(axis=0).mean(), (apart[2] <= radii[1][None]).any(axis=1).mean()
        found = neighbors.precision_recall(named(x), named(y), num_neighbors=k)
        np.testing.assert_allclose([each.value for each in found], expected, rtol=1e-12)
        both = neighbors.density_coverage(named(x), named(y), num_neighbors=k)
        np.testing.assert_allclose(both.density.value, inside.sum(axis=0).mean() / k, rtol=1e-12)
        np.testing.assert_allclose(both.coverage.value, inside.any(axis=1).mean(), rtol=1e-12)
    places, distances = neighbors.nearest(y, x, num=3)
    np.testing.assert_array_equal(places[20:], np.argsort(apart[2].T[20:], axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(apart[2].T, axis=1)[:, :3]), rtol=1e-6)


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4])
def test_neighbours_in_narrow_clusters_far_apart_are_those_of_brute_force(spread):
    rng = np.random.default_rng(0)

    def draw(n):
        far = np.where(np.arange(n) % 2, 10.0, -10.0)[:, None]
        return np.float32(far * (1 + spread * rng.normal(size=(n, 16))))

    x, y = draw(400), draw(300)
    apart = [np.square(a[:, None].astype(float) - b[None]).sum(-1) for a, b in ((x, x), (y, y), (x, y))]
    radii = [np.sort(d, axis=1)[:, 3] for d in apart[:2]]
    for rows, expected in ((x, radii[0]), (y, radii[1])):
        found = neighbors.nearest(rows, rows, num=4)[1][:, 3]
        np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-12)
    found = neighbors.precision_recall(named(x), named(y))
    inside = apart[2] <= radii[0][:, None], apart[2] <= radii[1][None]
    assert found.precision.value == inside[0].any(axis=0).mean()
    assert found.recall.value == inside[1].any(axis=1).mean()
    both = neighbors.density_coverage(named(x), named(y), num_neighbors=3)
    np.testing.assert_allclose(both.density.value, inside[0].sum(axis=0).mean() / 3, rtol=1e-12)


def test_copies_count_among_the_neighbours_of_others():
    # 0 has its two copies at 0, 5 the copies of 4 at 1, 9 the three at 4 before the two of 0.
    real = column(0, 0, 0, 4, 4, 5, 9)
    apart = np.abs(real.rows - real.rows.T)
    for k in range(1, 7):
        radii = np.sort(apart, axis=1)[:, k]
        inside = np.abs(real.rows - np.float32([[1, 4.5, 20]])) <= radii[:, None]
        found = neighbors.density_coverage(real, column(1, 4.5, 20), num_neighbors=k)
        np.testing.assert_allclose(found.density.value, inside.sum(axis=0).mean() / k)
        assert found.coverage.value == inside.any(axis=1).mean()


def test_a_set_of_one_image_many_times_over_is_told_at_once():
    same = np.full((3000, 8), 0.3)
    real = np.concatenate([same[:1500], np.random.default_rng(0).normal(size=(20, 8))])
    found = neighbors.precision_recall(named(real), named(same))
    assert found.precision.value == 1 and found.recall.value == 1500 / 1520
    assert neighbors.density_coverage(named(real), named(same)).coverage.value > 1500 / 1521


def test_what_cannot_be_told_is_refused():
    x = named(np.random.default_rng(0).normal(size=(6, 3)))
    moments = features.of(x.moments, network="toy", preprocessing="clean")
    with pytest.raises(ValueError, match="num_neighbors must be between 1 and 5 for 6 real images, got 6"):
        neighbors.precision_recall(x, x, num_neighbors=6)
    with pytest.raises(ValueError, match="between 1 and 1 for 2 generated images"):
        neighbors.precision_recall(x, named(x.rows[:2]), num_neighbors=3)
    with pytest.raises(ValueError, match="real must have rows"):
        kid(moments, x)
    with pytest.raises(ValueError, match="generated must have rows"):
        neighbors.density_coverage(x, moments)
    with pytest.raises(ValueError, match="same preprocessing"):
        kid(x, named(x.rows, preprocessing="legacy_pytorch"))
    with pytest.raises(ValueError, match="subset_size must be at least 2"):
        kid(x, x, subset_size=1)
    with pytest.warns(UserWarning, match="subset_size is 6 instead of 1000: there are 6 real and 6"):
        kid(x, x)
    with pytest.raises(ValueError, match="num_splits must be between 1 and the number of images, 6"):
        inception_score(x, num_splits=7)
