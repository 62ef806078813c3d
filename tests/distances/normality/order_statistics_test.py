"""Squared W2 to N(0, 1) and Shapiro-Francia: identities, quadrature, gradients, bad input."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy import integrate, special, stats

from gentoolkit.distances import normality
from gentoolkit.distances.normality import _constants


# Few shapes ([4, n]), and values and gradients of all statistics in one compiled function, which sorts once.
@jax.jit
def everything(y):
    def both(statistic):
        value, back = jax.vjp(statistic, y)
        return value, back(jnp.ones_like(value))[0]

    return [both(getattr(normality, statistic.__name__)) for statistic in STATISTICS]


def wasserstein(y):
    return everything(y)[0][0]


def shapiro_francia(y):
    return everything(y)[1][0]


STATISTICS = [wasserstein, shapiro_francia]
SIZES = [1, 3, 17, 256]


def value_and_gradient(statistic):
    place = STATISTICS.index(statistic)
    return lambda y: tuple(map(np.asarray, everything(y)[place]))


def samples(n, rows=4, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, n))


def tailed_samples(n):
    y = samples(n, seed=3)
    y[0, :2] = 1e4, -1e4
    y[1] += 6.0
    y[2] = np.sinh(2 * y[2])
    y[3] = y[3] * 0.01 - 8.0
    return y.astype(np.float32)


@st.composite
def awkward_samples(draw):
    n = draw(st.sampled_from(SIZES))
    values = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4]), st.floats(-10, 10, width=32))
    if draw(st.booleans()):
        return np.tile(draw(hypothesis.extra.numpy.arrays(np.float32, (4, 1), elements=values)), (1, n))
    return draw(hypothesis.extra.numpy.arrays(np.float32, (4, n), elements=values))


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 2, 3, 32, 1024, 4097])
def test_bin_means_average_to_zero_and_split_the_unit_variance(n):
    m = _constants.bin_means(n)
    np.testing.assert_array_equal(m, -m[::-1])
    assert np.all(np.diff(m) > 0)
    assert np.mean(m**2) == pytest.approx(1 - _constants.transport_floor(n), abs=1e-14)


@pytest.mark.fast
def test_bin_means_equal_the_integral_of_the_quantile_function():
    m = _constants.bin_means(7)
    expected = [7 * integrate.quad(special.ndtri, i / 7, (i + 1) / 7)[0] for i in range(7)]
    np.testing.assert_allclose(m, expected, atol=1e-9)


@pytest.mark.fast
@pytest.mark.parametrize(("n", "floor"), [(1, 1.0), (32, 9.211e-3), (256, 7.432e-4), (65536, 1.481e-6)])
def test_transport_floor(n, floor):
    assert _constants.transport_floor(n) == pytest.approx(floor, rel=5e-4)


@pytest.mark.fast
def test_expected_order_statistics_closed_forms():
    np.testing.assert_allclose(_constants.expected_order_statistics(1), [0.0], atol=1e-14)
    np.testing.assert_allclose(_constants.expected_order_statistics(2)[1], np.pi**-0.5, rtol=1e-13)
    np.testing.assert_allclose(
        _constants.expected_order_statistics(3), 1.5 * np.pi**-0.5 * np.array([-1, 0, 1]), atol=1e-13
    )
    # Harter, "Expected values of normal order statistics", Biometrika 1961.
    np.testing.assert_allclose(
        _constants.expected_order_statistics(10)[-1:-4:-1], [1.53875, 1.00136, 0.65606], atol=6e-6
    )


@pytest.mark.fast
@pytest.mark.parametrize(
    ("n", "i"), [(17, 1), (17, 5), (256, 1), (256, 60), (256, 100), (5000, 1), (5000, 64), (5000, 65), (5000, 2000)]
)
def test_expected_order_statistics_equal_the_beta_integral(n, i):
    centre, width = i / (n + 1), np.sqrt(i * (n - i + 1) / (n + 1) ** 3)
    points = np.clip(centre + width * np.array([-8, -4, -2, 0, 2, 4, 8, 20, 40]), 0, 1)
    pieces = [
        integrate.quad(lambda u: special.ndtri(u) * stats.beta.pdf(u, i, n - i + 1), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in zip(np.concatenate([[0], points]), np.concatenate([points, [1]]), strict=True)
        if b > a
    ]
    assert _constants.expected_order_statistics(n)[i - 1] == pytest.approx(sum(pieces), abs=1e-8)


@pytest.mark.fast
def test_wasserstein_at_n_1_is_one_plus_the_square(x64):
    y = np.array([[-3.0], [0.0], [2.0], [1e4]])
    np.testing.assert_allclose(wasserstein(y), 1 + y[:, 0] ** 2, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 3, 17])
def test_wasserstein_equals_the_transport_integral(n, x64):
    y = np.sort(samples(n, seed=n) * 1.3 + 0.2)
    # Over the i-th bin of N(0, 1), the partner of y_(i), as an integral in z, regular at both ends.
    edges = special.ndtri(np.arange(n + 1) / n)
    expected = [
        sum(
            integrate.quad(lambda z, a=row[i]: (a - z) ** 2 * stats.norm.pdf(z), edges[i], edges[i + 1], epsabs=1e-14)[
                0
            ]
            for i in range(n)
        )
        for row in y
    ]
    np.testing.assert_allclose(wasserstein(y), expected, atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_wasserstein_equals_the_expanded_form_of_the_paper(n, x64):
    y = samples(n) * 1.4 - 0.3
    c = -np.diff(stats.norm.pdf(special.ndtri(np.arange(n + 1) / n)))
    expected = 1 + np.mean(y**2, axis=-1) - 2 * np.sum(c * np.sort(y), axis=-1)
    np.testing.assert_allclose(wasserstein(y), expected, atol=1e-12)


@pytest.mark.fast
def test_wasserstein_shift_and_scale_identities(x64):
    y, shift, scale = samples(17), 0.7, 1.9
    d = np.asarray(wasserstein(y))
    np.testing.assert_allclose(wasserstein(y + shift), d + shift**2 + 2 * shift * y.mean(-1), atol=1e-12)
    weighted = np.mean(_constants.bin_means(17) * np.sort(y), -1)
    expected = 1 + scale**2 * np.mean(y**2, -1) - 2 * scale * weighted
    np.testing.assert_allclose(wasserstein(scale * y), expected, atol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("n", SIZES)
def test_wasserstein_is_least_at_the_bin_means(n, x64):
    value, gradient = value_and_gradient(wasserstein)(np.tile(_constants.bin_means(n), (4, 1)))
    np.testing.assert_array_equal(value, _constants.transport_floor(n))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-15)


@pytest.mark.fast
def test_wasserstein_root_keeps_the_triangle_inequality(x64):
    for seed in range(10):
        y = samples(17, seed=seed) * np.array([[1.0], [1.5], [0.2], [3.0]])
        root = np.sqrt(np.asarray(wasserstein(y)))
        for i in range(3):
            between = np.sqrt(ot.wasserstein_1d(y[i], y[i + 1], p=2))
            assert abs(root[i] - root[i + 1]) <= between + 1e-12
            assert between <= root[i] + root[i + 1] + 1e-12


def test_wasserstein_depends_on_the_empirical_law_alone(x64):
    y = samples(128)
    np.testing.assert_allclose(wasserstein(np.concatenate([y, y], -1)), wasserstein(y), rtol=1e-12)


@pytest.mark.fast
def test_wasserstein_gradient_formula(x64):
    y = samples(256)
    gradient = value_and_gradient(wasserstein)(y)[1]
    rank = np.argsort(np.argsort(y, -1), -1)
    np.testing.assert_allclose(gradient, 2 / 256 * (y - _constants.bin_means(256)[rank]), atol=1e-15)
    np.testing.assert_allclose(gradient.sum(-1), 2 * y.mean(-1), atol=1e-14)


@pytest.mark.parametrize("n", [3, 17, 256])
def test_shapiro_francia_is_one_minus_a_squared_correlation(n, x64):
    y = np.sinh(samples(n))
    m = _constants.expected_order_statistics(n)
    expected = [1 - np.corrcoef(np.sort(row), m)[0, 1] ** 2 for row in y]
    np.testing.assert_allclose(shapiro_francia(y), expected, atol=1e-13)


@pytest.mark.parametrize("n", [3, 100])
def test_many_rows_at_once(n):
    # Beyond 2^15 elements jaxlib 0.10.2 miscompiles some row reductions (jax-ml/jax#39103).
    y = samples(n, rows=100_001 // n).astype(np.float32)
    ordered = np.sort(y.astype(np.float64))
    m = _constants.expected_order_statistics(n)
    centred = ordered - ordered.mean(axis=-1, keepdims=True)
    expected = 1 - (centred @ m) ** 2 / (m @ m) / np.sum(centred**2, axis=-1)
    np.testing.assert_allclose(shapiro_francia(y), expected, atol=5e-7)
    expected = np.mean((ordered - _constants.bin_means(n)) ** 2, axis=-1) + _constants.transport_floor(n)
    np.testing.assert_allclose(wasserstein(y), expected, rtol=1e-5)


def test_shapiro_francia_is_zero_on_a_straight_normal_plot():
    for n in (3, 17, 256):
        y = 3.0 - np.array([[5.0], [0.1], [1.0], [-2.0]]) * _constants.expected_order_statistics(n)
        assert np.max(shapiro_francia(y.astype(np.float32))) < 1e-11
    assert np.max(shapiro_francia(samples(2).astype(np.float32))) < 1e-11


@pytest.mark.fast
def test_shapiro_francia_ignores_location_and_scale(x64):
    y = samples(17) ** 3
    for shift, scale in [(5.0, 1.0), (0.0, 1e-12), (-1e3, 1e3), (0.0, 1e150), (0.0, 1e-150)]:
        np.testing.assert_allclose(shapiro_francia(shift + scale * y), shapiro_francia(y), rtol=1e-7)


@pytest.mark.parametrize("n", SIZES)
def test_shapiro_francia_of_a_constant_is_one_with_no_gradient(n):
    y = np.stack([np.full(n, level, np.float32) for level in (0.0, 0.1, -1e4, 3e30)])
    value, gradient = value_and_gradient(shapiro_francia)(y)
    np.testing.assert_array_equal(value, 1.0)
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.fast
def test_shapiro_francia_near_a_constant_is_finite():
    y = np.full((4, 17), 3.0, np.float32)
    y[:, 4] += 3e-7
    y[:, 9] += 6e-7
    value, gradient = value_and_gradient(shapiro_francia)(y)
    assert np.all((value > 0) & (value < 1))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [3, 17, 256])
def test_gradient_equals_central_differences(statistic, n, x64):
    y = np.sort(samples(n, seed=n) * 1.5 + 0.4) + 1e-4 * np.arange(n)  # no two within reach of the step
    y = np.random.default_rng(n).permuted(y, axis=-1)
    gradient = value_and_gradient(statistic)(y)[1]
    step = 1e-6
    for seed in range(4):
        direction = samples(n, seed=50 + seed)
        expected = (statistic(y + step * direction) - statistic(y - step * direction)) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction, -1), expected, atol=5e-9)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", SIZES)
def test_order_and_sign_do_not_matter(statistic, n):
    y = samples(n).astype(np.float32)
    value = statistic(y)
    np.testing.assert_array_equal(statistic(np.random.default_rng(1).permuted(y, axis=-1)), value)
    np.testing.assert_allclose(statistic(-y), value, rtol=2e-6, atol=1e-12)


@hypothesis.given(y=awkward_samples())
def test_any_finite_sample_has_a_finite_value_and_gradient_within_bounds(y):
    values = {}
    for statistic in STATISTICS:
        values[statistic], gradient = value_and_gradient(statistic)(y)
        assert np.all(np.isfinite(values[statistic])), statistic
        assert np.all(np.isfinite(gradient)), statistic
    assert np.all(values[wasserstein] >= np.float32(_constants.transport_floor(y.shape[-1])))
    assert np.all((values[shapiro_francia] >= 0) & (values[shapiro_francia] <= 1))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [17, 256, 5000])
def test_float32_agrees_with_float64(statistic, n):
    y = tailed_samples(n)
    narrow = np.asarray(statistic(y))
    with jax.enable_x64(True):
        wide = np.asarray(statistic(y.astype(np.float64)))
    assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32])
def test_result_is_float32(statistic, dtype):
    y = jnp.asarray(np.asarray(samples(3) * 3, dtype))
    value = jax.jit(getattr(normality, statistic.__name__))(y)  # integers have no gradient
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, statistic(np.asarray(y, np.float32)), rtol=1e-6)
    if dtype != jnp.int32:
        assert value_and_gradient(statistic)(y)[1].dtype == dtype


@pytest.mark.fast
@pytest.mark.parametrize("statistic", STATISTICS)
def test_nan_gives_nan(statistic):
    y = samples(17).astype(np.float32)
    y[1, 4] = np.nan
    np.testing.assert_array_equal(np.isnan(statistic(y)), [False, True, False, False])


@pytest.mark.fast
def test_infinite_entries():
    y = samples(17).astype(np.float32)
    y[:2, 4] = np.inf, -np.inf
    value, gradient = value_and_gradient(wasserstein)(y)
    np.testing.assert_array_equal(value[:2], np.inf)
    np.testing.assert_array_equal(gradient[:2, 4], [np.inf, -np.inf])
    assert np.all(np.isfinite(np.delete(gradient, 4, axis=-1)))
    np.testing.assert_array_equal(np.isnan(shapiro_francia(y)), [True, True, False, False])


def test_eager_calls_leading_axes_and_vmap_agree():
    y = samples(17).astype(np.float32)
    each = [getattr(normality, statistic.__name__) for statistic in STATISTICS]

    @jax.jit
    def ways(y):
        rows = [jax.vmap(jax.value_and_grad(plain))(y) for plain in each]
        return [plain(y.reshape(2, 2, 17)).reshape(4) for plain in each], rows

    for plain, statistic, leading, (values, gradients) in zip(each, STATISTICS, *ways(y), strict=True):
        value, gradient = value_and_gradient(statistic)(y)
        np.testing.assert_allclose(plain(y), value, rtol=1e-6)
        np.testing.assert_allclose(leading, value, rtol=1e-6)
        np.testing.assert_allclose(values, value, rtol=1e-6)
        np.testing.assert_allclose(gradients, gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("spread", [("data", None), (None, "data")])
def test_sharded_arrays_give_the_same_value_and_gradient(statistic, spread):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    y = samples(16, rows=32).astype(np.float32)
    evaluate = value_and_gradient(statistic)
    value, gradient = evaluate(jax.device_put(y, NamedSharding(mesh, PartitionSpec(*spread))))
    expected_value, expected_gradient = evaluate(y)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.fast
@pytest.mark.parametrize("statistic", STATISTICS)
def test_bad_input_is_named(statistic):
    statistic = getattr(normality, statistic.__name__)
    with pytest.raises(ValueError, match=r"y.*\(3, 0\)"):
        jax.eval_shape(statistic, jnp.zeros((3, 0)))
    with pytest.raises(ValueError, match=r"y.*\(\)"):
        jax.eval_shape(statistic, jnp.zeros(()))
    with pytest.raises(TypeError, match="y must be a real array"):
        jax.eval_shape(statistic, jnp.zeros(3, jnp.complex64))


@pytest.mark.fast
@pytest.mark.parametrize("n", [3, 4, 5, 6, 12, 200])
def test_shapiro_wilk_is_that_of_scipy(n):
    y = np.random.default_rng(n).gamma(3.0, size=(2, n)).astype(np.float32)
    expected = [stats.shapiro(row.astype(np.float64)) for row in y]
    found = normality.shapiro_wilk(y)
    np.testing.assert_allclose(found, [1 - each.statistic for each in expected], rtol=2e-5, atol=2e-7)
    p = normality.p_value(normality.shapiro_wilk, [1 - each.statistic for each in expected], n)
    np.testing.assert_allclose(p, [each.pvalue for each in expected], rtol=1e-6, atol=1e-9)


@pytest.mark.fast
@pytest.mark.parametrize("positions", ["elfving", "blom", "rahman"])
@pytest.mark.parametrize("weights", ["francia", "rahman"])
def test_normal_score_cosine_as_it_is_written(positions, weights):
    y = (2 * samples(31) + 0.3).astype(np.float32)
    order = np.arange(1, 32)
    p = {"elfving": (order - np.pi / 8) / 31.25, "blom": (order - 3 / 8) / 31.25, "rahman": order / 32}[positions]
    m = special.ndtri(p)
    if weights == "rahman":
        density = stats.norm.pdf(m)
        matrix = (
            np.diag(2 * density**2) - np.diag(density[1:] * density[:-1], 1) - np.diag(density[1:] * density[:-1], -1)
        )
        m = matrix @ m
    ordered = np.sort(y.astype(np.float64))
    expected = 1 - np.abs(ordered @ m) / np.linalg.norm(m) / np.linalg.norm(ordered, axis=-1)
    found = normality.normal_score_cosine(y, positions=positions, weights=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.fast
def test_normal_score_cosine_has_no_unit_but_an_origin():
    y = samples(31).astype(np.float32)
    plain = normality.normal_score_cosine(y)
    for scale in (2.0**-60, 2.0**60, -1.0):
        np.testing.assert_allclose(
            normality.normal_score_cosine(scale * y, positions="blom"),
            normality.normal_score_cosine(y, positions="blom"),
            rtol=1e-4,
        )
    assert (normality.normal_score_cosine(y + 3) > 5 * plain).all()
    value, gradient = jax.value_and_grad(normality.normal_score_cosine)(jnp.zeros(5))
    assert value == 1 and not np.any(gradient)
    assert normality.normal_score_cosine(jnp.full(6, 2.0)) == pytest.approx(1, abs=0.02)


@pytest.mark.fast
def test_gradients_of_the_normal_scores_are_finite_differences(x64):
    y, step = samples(20)[0] + 0.5, samples(20, seed=9)[0]
    for statistic in (normality.shapiro_wilk, normality.normal_score_cosine):
        difference = (statistic(y + 1e-6 * step) - statistic(y - 1e-6 * step)) / 2e-6
        np.testing.assert_allclose(jax.grad(statistic)(y) @ step, difference, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("option", ["positions", "weights"])
def test_unknown_scores_are_named(option):
    with pytest.raises(ValueError, match=option):
        normality.normal_score_cosine(jnp.zeros(4), **{option: "royston"})


@pytest.mark.fast
def test_shapiro_wilk_of_few_and_of_constant_samples():
    assert normality.shapiro_wilk(jnp.float32([1.0, 5.0])) == pytest.approx(0, abs=1e-6)
    for y in (jnp.zeros(1), jnp.full(7, 3.0)):
        value, gradient = jax.value_and_grad(normality.shapiro_wilk)(y)
        assert value == 1 and not np.any(gradient)
