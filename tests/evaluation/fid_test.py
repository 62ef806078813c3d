import warnings

import numpy as np
import pytest

from gentoolkit import evaluation
from gentoolkit.evaluation import features, fid, laws, statistics
from gentoolkit.evaluation.frechet_inception import contributions
from gentoolkit.evaluation.statistics import FeatureMoments
from gentoolkit.evaluation.statistics.blocks import dealt

pytestmark = pytest.mark.fast


def named(found, **names):
    return features.of(found, **({"network": "toy", "preprocessing": "clean"} | names))


def draw(n, d, *, seed=0, spread=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d) + spread * np.eye(d)
    return np.float32(rng.normal(size=(n, d)) @ mixing + shift)


def test_the_worked_example_is_27():
    real = FeatureMoments(100, np.float64([0, 0]), np.diag([1.0, 4.0]))
    generated = FeatureMoments(100, np.float64([3, 4]), np.diag([4.0, 9.0]))
    np.testing.assert_allclose(fid(named(real), named(generated)).value, 27, rtol=1e-14)


def test_equal_sets_are_at_distance_zero():
    rows = draw(200, 16)
    found = fid(named(rows), named(rows.copy()))
    trace = np.trace(np.cov(rows, rowvar=False))
    assert abs(found.value) < 1e-8 * trace
    few = named(rows[:10])
    with pytest.warns(UserWarning, match="10 images with 16 features is mostly bias"):
        assert abs(fid(few, few).value) < 1e-8 * trace


# Where a covariance is singular, matrices leave some 1e-16 in place of each eigenvalue 0, and its root is 1e-8.
@pytest.mark.parametrize(("n", "m", "d", "tolerance"), [(500, 400, 64, 1e-13), (40, 30, 64, 4e-8), (40, 300, 64, 4e-8)])
def test_four_formulas_agree(n, m, d, tolerance):
    x, y = draw(n, d), draw(m, d, seed=1, spread=1.5, shift=0.1)
    a, b = (laws.of_rows(np.float64(rows)) for rows in (x, y))
    covs = [np.cov(np.float64(rows), rowvar=False) for rows in (x, y)]
    rows = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    others = [f(*covs) for f in (laws.by_cholesky, laws.by_eigenvectors, laws.by_product)]
    if (
        min(n, m) < d
    ):  # the product's own eigenvalues are not real numbers any more: only a rough check of a singular one
        np.testing.assert_allclose(others.pop(), rows, rtol=1e-3)
    np.testing.assert_allclose([laws.trace_of_root(a, b), *others], rows, rtol=tolerance)
    # Moments of one and rows of the other.
    mixed = laws.squared_distance(laws.of_moments(FeatureMoments(n, a.mean, covs[0])), b)
    np.testing.assert_allclose(mixed, laws.squared_distance(a, b), rtol=max(tolerance, 1e-12))


def test_sums_of_roots_are_those_of_the_eigenvalues_at_any_size():
    for size in (1, 2, 70, 301):
        matrix = np.cov(draw(400, size), rowvar=False).reshape(size, size)
        expected = np.sqrt(np.linalg.eigvalsh(matrix)).sum()
        np.testing.assert_allclose(laws.sum_of_roots(matrix), expected, rtol=1e-12)


@pytest.mark.parametrize("sizes", [[103], [1, 2, 100], [7] * 14 + [5], [1] * 103])
def test_blocks_hold_all_rows_however_they_come(sizes):
    rows = np.float64(draw(103, 5))
    statistic = statistics.blocks("f", num_blocks=4)
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    state = statistic.init()
    for part in parts:
        state = statistic.update(state, {"f": part})
    found = statistic.finish(state)
    assert sum(block.num for block in found.blocks) == 103
    assert max(block.num for block in found.blocks) - min(block.num for block in found.blocks) <= 1
    half = len(parts) // 2
    states = []
    for some in (parts[:half], parts[half:]):
        states.append(statistic.init())
        for part in some:
            states[-1] = statistic.update(states[-1], {"f": part})
    for whole in (found.whole, statistic.finish(statistic.merge(*states)).whole):
        np.testing.assert_allclose(whole.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(whole.cov, np.cov(rows, rowvar=False), rtol=1e-12, atol=1e-15)


def test_blocks_of_many_batches_are_those_of_their_rows():
    rows = draw(2000, 3)
    batches = [{"f": part} for part in np.split(rows, 100)]
    found = evaluation.measure(batches, statistics={"f": statistics.blocks("f", num_blocks=3)})["f"]
    assert [block.num for block in found.blocks] == [667, 667, 666]
    np.testing.assert_allclose(found.whole.cov, np.cov(np.float64(rows), rowvar=False), rtol=1e-12)
    places = dealt(2000, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate(places)), np.arange(2000))
    for block, own in zip(found.blocks, places, strict=True):
        np.testing.assert_allclose(block.mean, np.float64(rows[own]).mean(axis=0), rtol=1e-12, atol=1e-14)
    left = statistics.without(statistics.merged(found.blocks), found.blocks[1])
    kept = [block for i, block in enumerate(found.blocks) if i != 1]
    np.testing.assert_allclose(left.scatter, statistics.merged(kept).scatter, rtol=1e-10, atol=1e-12)


def test_the_standard_error_is_the_spread_over_sets_and_the_extrapolated_value_has_no_bias():
    d, draws = 8, 80
    values, errors, lines, streamed = [], [], [], []
    for seed in range(draws):
        x, y = draw(160, d, seed=seed), draw(120, d, seed=1000 + seed, shift=0.3)
        found = fid(named(x), named(y))
        values.append(found.value)
        errors.append(found.standard_error)
        lines.append(found.extra["extrapolated"])
        if seed < 3:
            moments = [
                evaluation.measure([{"f": rows}], statistics={"f": statistics.blocks("f")})["f"] for rows in (x, y)
            ]
            streamed.append(fid(*map(named, moments)))
            np.testing.assert_allclose(streamed[-1].value, found.value, rtol=1e-10)
            np.testing.assert_allclose(streamed[-1].standard_error, found.standard_error, rtol=1e-6)
    ratio = np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1)
    assert 0.7 < ratio < 1.4  # 80 sets tell a deviation to some 8 %
    true = 0.3**2 * d
    spread = np.std(values) / np.sqrt(draws)
    assert abs(np.mean(lines) - true) < 4 * spread
    assert np.mean(values) - true > 8 * spread


@pytest.mark.parametrize("order", ["in turn", "one after the other"])
def test_an_order_by_class_spoils_neither_error_nor_extrapolated_value(order):
    n, d = 1000, 6
    labels = np.arange(n) % 8 if order == "in turn" else np.arange(n) * 8 // n
    centers = 2 * np.random.default_rng(7).normal(size=(8, d))
    found = {"rows": [], "streamed": []}
    law = np.cov(centers.T, ddof=0) + np.eye(d)
    real = named(FeatureMoments(50_000, centers.mean(axis=0) + 0.2, law))
    for seed in range(30):
        rows = centers[labels] + np.random.default_rng(seed).normal(size=(n, d))
        found["rows"].append(fid(real, named(rows)))
        batches = ({"f": part} for part in np.split(np.float32(rows), 50))
        of = evaluation.measure(batches, statistics={"f": statistics.blocks("f")})["f"]
        found["streamed"].append(fid(real, named(of)))
    values, lines, errors = (
        np.array([pick(each) for each in found["rows"]])
        for pick in (lambda r: r.value, lambda r: r.extra["extrapolated"], lambda r: r.standard_error)
    )
    # As many of each class in every set, so that the spread over sets is below that of sets with classes drawn anew.
    assert 0.7 < np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1) < 2.2
    assert abs(np.mean(lines) - 0.2**2 * d) < 3 * np.std(values)
    assert found["rows"][0].extra["extrapolated_sides"] == "generated"
    for one, other in zip(found["rows"], found["streamed"], strict=True):
        np.testing.assert_allclose(other.standard_error, one.standard_error, rtol=1e-5)


def test_contributions_are_the_derivative_by_the_weight_of_an_image():
    x, y = draw(60, 5), draw(50, 5, seed=1, shift=0.5)
    generated, real = contributions(named(x), named(y))
    assert generated.shape == (50,) and real.shape == (60,)
    np.testing.assert_allclose([generated.mean(), real.mean()], 0, atol=1e-10)

    def weighted(rows, index, step):
        weights = np.ones(len(rows))
        weights[index] += step
        weights /= weights.sum()
        mean = weights @ rows
        centered = rows - mean
        return laws.Law(mean, (weights[:, None] * centered).T @ centered * len(rows) / (len(rows) - 1))

    x, y = np.float64(x), np.float64(y)
    for index in (0, 17):
        apart = [laws.squared_distance(weighted(x, 0, 0.0), weighted(y, index, step)) for step in (1e-4, -1e-4)]
        slope = (apart[0] - apart[1]) / 2e-4 * len(y)
        np.testing.assert_allclose(generated[index], slope, rtol=0.05, atol=0.02 * np.abs(generated).max())
    # Fewer images than features go by their rows: the same numbers as by matrices.
    wide = [np.pad(rows[:4], ((0, 0), (0, 3))) + 0.1 * draw(4, 8, seed=5 + i) for i, rows in enumerate((x, y))]
    by_rows = contributions(*map(named, wide))
    matrices = [named(features.of(rows, network="toy", preprocessing="clean").moments) for rows in wide]
    by_matrices = contributions(matrices[0], named(wide[1]))[0]
    np.testing.assert_allclose(by_rows[0], by_matrices, rtol=1e-4, atol=1e-4 * np.abs(by_matrices).max())
    assert contributions(named(FeatureMoments(60, x.mean(0), np.cov(x.T))), named(y))[1] is None


def test_statistics_are_saved_and_read_and_those_of_other_tools_too(tmp_path):
    rows = draw(50, 6)
    generated = named(draw(40, 6, seed=1), sha256="ab")
    expected = fid(named(rows), generated).value
    path = features.save(tmp_path / "deep" / "real.npz", named(rows, sha256="ab"))
    read = features.load(path, network="toy", preprocessing="clean")
    assert (read.num, read.network, read.sha256) == (50, "toy", "ab")
    np.testing.assert_array_equal(read.rows, rows)
    small = features.load(features.save(path, named(rows), rows=False), network="toy", preprocessing="clean")
    assert small.rows is None and small.num == 50
    other = tmp_path / "pytorch_fid.npz"
    np.savez(other, mu=rows.mean(axis=0), sigma=np.cov(np.float64(rows), rowvar=False))
    with pytest.warns(UserWarning, match="does not say .* taken to be network toy and preprocessing clean"):
        told = features.load(other, network="toy", preprocessing="clean")
    assert told.num is None and told.assumed == ("network", "preprocessing")
    kid_file = tmp_path / "mine_clean_custom_na_kid.npz"
    np.savez_compressed(kid_file, feats=rows)
    with pytest.warns(UserWarning, match="taken to be network toy\\."):  # its name has the preprocessing
        kept = features.load(kid_file, network="toy", preprocessing="clean")
    for found in (read, small, told, kept):
        np.testing.assert_allclose(fid(found, generated).value, expected, rtol=1e-6)
    found = fid(told, generated)
    assert found.num_real is None and found.num_generated == 40 and "fixed" in found.extra["resampling"]
    assert found.as_json()["sha256"] == "ab" and found.as_json()["assumed_real"] == ["network", "preprocessing"]
    assert "assumed_real" not in fid(read, generated).extra


def test_features_of_several_networks_are_kept_in_one_file(tmp_path):
    one, two = named(draw(50, 6)), named(draw(50, 4, seed=2), network="other", preprocessing="imagenet")
    path = features.save(tmp_path / "real.npz", one, others=[two])
    for expected in (one, two):
        found = features.load(path, network=expected.network, preprocessing=expected.preprocessing)
        np.testing.assert_array_equal(found.rows, expected.rows)
        assert (found.network, found.preprocessing) == (expected.network, expected.preprocessing)
    with pytest.raises(ValueError, match="made with network 'toy, other', not 'third'"):
        features.load(path, network="third", preprocessing="clean")
    with pytest.raises(ValueError, match="preprocessing 'imagenet', not 'clean'"):
        features.load(path, network="other", preprocessing="clean")
    with pytest.raises(ValueError, match="Each network can have one set"):
        features.save(path, one, others=[one])


def test_what_does_not_compare_is_refused_by_name(tmp_path):
    rows = draw(20, 3)
    path = features.save(tmp_path / "real.npz", named(rows, sha256="ab"))
    for names, told in (
        ({"network": "vgg16", "preprocessing": "clean"}, "made with network 'toy', not 'vgg16'"),
        ({"network": "toy", "preprocessing": "legacy_pytorch"}, "preprocessing 'clean', not 'legacy_pytorch'"),
        ({"network": "toy", "preprocessing": "clean", "sha256": "cd"}, "sha256 'ab', not 'cd'"),
    ):
        with pytest.raises(ValueError, match=told):
            features.load(path, **names)
    known = tmp_path / "lsun_church_legacy_tensorflow_train_256.npz"
    np.savez(known, mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(ValueError, match="'legacy_tensorflow' by its name, not 'clean'; give it another name"):
        features.load(known, network="toy", preprocessing="clean")
    with pytest.warns(UserWarning, match="does not say"):  # no name of clean-fid's
        features.load(known.rename(tmp_path / "denoised_clean.npz"), network="toy", preprocessing="legacy_pytorch")
    for content, told in (
        ({"x": np.zeros(3)}, "holds x; statistics are mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"mu must be \[d\]"),
        ({"feats": np.full((3, 2), np.nan)}, "feats must be finite"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "mu must be finite"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "num": 1}, "num must be a number of images, two at least, got 1"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "mu must be finite numbers"),
        ({"mu": np.array([{}], dtype=object), "sigma": np.eye(1)}, "cannot be read as an npz"),
    ):
        np.savez(tmp_path / "bad.npz", **content)
        with pytest.raises(ValueError, match=told), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            features.load(tmp_path / "bad.npz", network="toy", preprocessing="clean")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cut.npz cannot be read as an npz"):
        features.load(tmp_path / "cut.npz", network="toy", preprocessing="clean")
    with pytest.raises(FileNotFoundError):
        features.load(tmp_path / "none.npz", network="toy", preprocessing="clean")
    with pytest.raises(ValueError, match="same network, got 'toy' and 'other'"):
        fid(named(rows), named(rows, network="other"))
    with pytest.raises(ValueError, match="same dim, got 3 and 2"):
        fid(named(rows), named(rows[:, :2]))
    with pytest.raises(ValueError, match="at least two images, got 1"):
        named(rows[:1])
    with pytest.raises(ValueError, match="not finite"):
        named(np.float32([[np.nan], [1]]))
    with pytest.raises(ValueError, match="num_blocks"):
        fid(named(rows), named(rows), num_blocks=1)


def test_few_images_have_an_error_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fid(named(draw(5, 12)), named(draw(4, 12, seed=1)))
    assert found.value > 0 and found.standard_error > 0
