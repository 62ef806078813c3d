"""Cramér-von Mises, Kolmogorov-Smirnov, Anderson-Darling: identities, SciPy, tails in float32, gradients, bad input."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy import integrate, special, stats

from gentoolkit.distances import normality
from gentoolkit.distances.normality import _constants, ecdf, tails


# Few shapes ([4, n]), and values and gradients of all statistics in one compiled function, which sorts once.
@jax.jit
def everything(y):
    def both(statistic):
        value, back = jax.vjp(statistic, y)
        return value, back(jnp.ones_like(value))[0]

    return [both(getattr(normality, statistic.__name__)) for statistic in STATISTICS]


def cramer_von_mises(y):
    return everything(y)[0][0]


def kolmogorov_smirnov(y):
    return everything(y)[1][0]


def anderson_darling(y):
    return everything(y)[2][0]


STATISTICS = [cramer_von_mises, kolmogorov_smirnov, anderson_darling]
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
    values = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4]), st.floats(-40, 40, width=32))
    if draw(st.booleans()):
        return np.tile(draw(hypothesis.extra.numpy.arrays(np.float32, (4, 1), elements=values)), (1, n))
    return draw(hypothesis.extra.numpy.arrays(np.float32, (4, n), elements=values))


@pytest.mark.fast
@pytest.mark.parametrize("n", [3, 17, 256])
def test_cramer_von_mises_equals_scipy_over_n(n, x64):
    y = samples(n, seed=n) * 1.2
    expected = [stats.cramervonmises(row, "norm").statistic / n for row in y]
    np.testing.assert_allclose(cramer_von_mises(y), expected, atol=1e-14)


@pytest.mark.fast
@pytest.mark.parametrize("n", SIZES)
def test_kolmogorov_smirnov_equals_scipy(n, x64):
    y = samples(n, seed=n) + np.array([[-1.0], [-0.1], [0.0], [0.3]])
    expected = [stats.kstest(row, "norm").statistic for row in y]
    np.testing.assert_allclose(kolmogorov_smirnov(y), expected, atol=1e-14)


@pytest.mark.parametrize("n", [17, 256])
def test_anderson_darling_equals_scipy_over_n(n, x64):
    y = samples(n, seed=n) * 1.2
    options = {"known_params": {"loc": 0.0, "scale": 1.0}, "statistic": "ad", "n_mc_samples": 2, "rng": 0}
    expected = [stats.goodness_of_fit(stats.norm, row, **options).statistic / n for row in y]
    np.testing.assert_allclose(anderson_darling(y), expected, atol=1e-13)


@pytest.mark.fast
@pytest.mark.parametrize("n", SIZES)
def test_four_forms_of_cramer_von_mises(n, x64):
    y = samples(n, seed=n) + 0.2
    z = np.sort(special.ndtr(y))
    i = np.arange(n + 1)
    corrected = np.mean(z**2, -1) - np.sum((2 * i[1:] - 1) * z, -1) / n**2 + 1 / 3
    kernel = np.mean(z**2, -1) - np.mean(np.maximum(z[:, :, None], z[:, None]), (-1, -2)) + 1 / 3
    edges = np.pad(z, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    integral = np.sum((i / n - edges[:, :-1]) ** 3 - (i / n - edges[:, 1:]) ** 3, -1) / 3
    for form in (corrected, kernel, integral):
        np.testing.assert_allclose(cramer_von_mises(y), form, atol=1e-14)


@pytest.mark.fast
def test_the_plus_sign_and_the_one_sided_maximum_that_the_paper_prints_are_not_ours(x64):
    n = 256
    y = samples(n, seed=4)
    z = np.sort(special.ndtr(y))
    i = np.arange(1, n + 1)
    printed = np.mean(z**2, -1) + np.sum((2 * i - 1) * z, -1) / n**2 + 1 / 3
    assert np.all(printed - cramer_von_mises(y) > 1)
    short = kolmogorov_smirnov(y) - np.max(np.abs(i / n - z), -1)
    assert np.all((short >= -1e-15) & (short <= 1 / n))
    assert np.max(short) > 0


@pytest.mark.parametrize("n", [1, 3, 17])
def test_anderson_darling_equals_its_integral(n, x64):
    y = samples(n, seed=n) * 1.3
    edges = np.pad(np.sort(special.ndtr(y)), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    expected = [
        sum(
            integrate.quad(lambda u, p=i / n: (p - u) ** 2 / (u * (1 - u)), row[i], row[i + 1], epsabs=1e-13)[0]
            for i in range(n + 1)
        )
        for row in edges
    ]
    np.testing.assert_allclose(anderson_darling(y), expected, atol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_all_are_least_at_the_plotting_positions(n, x64):
    y = np.tile(special.ndtri((np.arange(n) + 0.5) / n), (4, 1))
    floors = {
        cramer_von_mises: 1 / (12 * n**2),
        kolmogorov_smirnov: 1 / (2 * n),
        anderson_darling: _constants.anderson_darling_floor(n),
    }
    for statistic, floor in floors.items():
        value, gradient = value_and_gradient(statistic)(y)
        np.testing.assert_allclose(value, floor, atol=1e-15)
        if statistic is not kolmogorov_smirnov:
            np.testing.assert_allclose(gradient, 0.0, atol=1e-14)


@pytest.mark.parametrize("n", SIZES)
def test_cramer_von_mises_is_bounded_by_the_others(n, x64):
    for seed in range(10):
        y = np.sinh(samples(n, seed=seed))
        cvm, ks = cramer_von_mises(y), kolmogorov_smirnov(y)
        assert np.all(cvm <= (ks - 1 / (2 * n)) ** 2 + 1 / (12 * n**2) + 1e-15)
        # The weight of Anderson-Darling, 1 / (u (1 - u)), is at least 4.
        assert np.all(4 * cvm <= anderson_darling(y) + 1e-15)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_value_depends_on_the_empirical_law_alone(statistic, x64):
    y = samples(128)
    np.testing.assert_allclose(statistic(np.concatenate([y, y], -1)), statistic(y), rtol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", SIZES)
def test_order_and_sign_do_not_matter(statistic, n):
    y = samples(n).astype(np.float32)
    value = statistic(y)
    np.testing.assert_array_equal(statistic(np.random.default_rng(1).permuted(y, axis=-1)), value)
    np.testing.assert_allclose(statistic(-y), value, rtol=2e-6)


@pytest.mark.parametrize("n", [3, 100])
def test_many_rows_at_once(n):
    # Beyond 2^15 elements jaxlib 0.10.2 miscompiles some row reductions (jax-ml/jax#39103).
    y = samples(n, rows=100_001 // n).astype(np.float32)
    p = (np.arange(n) + 0.5) / n
    ordered = np.sort(y.astype(np.float64))
    residual = special.ndtr(ordered) - p
    np.testing.assert_allclose(cramer_von_mises(y), np.mean(residual**2, -1) + 1 / (12 * n**2), rtol=1e-5)
    np.testing.assert_allclose(kolmogorov_smirnov(y), np.max(np.abs(residual), -1) + 1 / (2 * n), rtol=1e-5)
    logarithms = p * special.log_ndtr(ordered) + (1 - p) * special.log_ndtr(-ordered)
    np.testing.assert_allclose(anderson_darling(y), -1 - 2 * np.mean(logarithms, -1), rtol=1e-5)


@pytest.mark.fast
def test_gradient_formulas(x64):
    n = 256
    y = np.sort(samples(n) * 1.3)
    residual = special.ndtr(y) - (np.arange(n) + 0.5) / n
    density = stats.norm.pdf(y)
    np.testing.assert_allclose(value_and_gradient(cramer_von_mises)(y)[1], 2 / n * residual * density, atol=1e-16)
    worst = np.abs(residual) == np.abs(residual).max(-1, keepdims=True)
    expected = worst * np.sign(residual) * density
    np.testing.assert_allclose(value_and_gradient(kolmogorov_smirnov)(y)[1], expected, atol=1e-15)
    expected = 2 / n * residual * density / (special.ndtr(y) * special.ndtr(-y))
    np.testing.assert_allclose(value_and_gradient(anderson_darling)(y)[1], expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", SIZES)
def test_gradient_equals_central_differences(statistic, n, x64):
    y = np.sort(samples(n, seed=n) * 1.5 + 0.4) + 1e-4 * np.arange(n)  # no two within reach of the step
    y[:, : n // 4] *= 4  # some in the tails
    y = np.random.default_rng(n).permuted(y, axis=-1)
    gradient = value_and_gradient(statistic)(y)[1]
    step = 1e-6
    for seed in range(4):
        direction = samples(n, seed=50 + seed)
        expected = (statistic(y + step * direction) - statistic(y - step * direction)) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction, -1), expected, rtol=1e-6, atol=2e-9)


def test_own_derivatives_equal_central_differences_to_second_order(x64):
    # Of the elementwise functions themselves, on both sides of the switches at |y| = 0 and 5.
    y = np.array([-40.0, -9.0, -5.01, -4.99, -1.0, -1e-3, 1e-3, 0.3, 2.0, 4.99, 5.01, 9.0, 40.0])
    lower = np.full_like(y, 0.3)

    def divergence(y):
        return ecdf._bernoulli_divergence(y, lower, 1 - lower)

    step = 1e-5
    for function in (ecdf._signed_tail, divergence):
        first = jax.grad(lambda y, f=function: f(y).sum())
        second = jax.grad(lambda y, g=first: g(y).sum())
        expected = (function(y + step) - function(y - step)) / (2 * step)
        np.testing.assert_allclose(first(y), expected, rtol=1e-8, atol=1e-10)
        expected = (first(y + step) - first(y - step)) / (2 * step)
        np.testing.assert_allclose(second(y), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.fast
def test_kolmogorov_smirnov_subgradients():
    evaluate = value_and_gradient(kolmogorov_smirnov)
    np.testing.assert_array_equal(evaluate(np.zeros((4, 1), np.float32))[1], 0.0)  # the residual is zero
    shared = evaluate(np.tile(np.array([-1.0, 1.0], np.float32), (4, 1)))[1]  # two residuals equal in size
    half = 0.5 * stats.norm.pdf(1.0)
    np.testing.assert_allclose(shared, np.tile([-half, half], (4, 1)), rtol=1e-6)


@hypothesis.given(y=awkward_samples())
def test_any_finite_sample_has_a_finite_value_and_gradient_within_bounds(y):
    n = y.shape[-1]
    values = {}
    for statistic in STATISTICS:
        values[statistic], gradient = value_and_gradient(statistic)(y)
        assert np.all(np.isfinite(values[statistic])), statistic
        assert np.all(np.isfinite(gradient)), statistic
    rounding = 1 + 2**-22  # the mean of n squares near one rounds in float32
    assert np.all(values[cramer_von_mises] >= np.float32(1 / (12 * n**2)))
    assert np.all(values[cramer_von_mises] <= 1 / 3 * rounding)
    assert np.all(values[kolmogorov_smirnov] >= np.float32(1 / (2 * n)))
    assert np.all(values[kolmogorov_smirnov] <= 1)
    assert np.all(values[anderson_darling] >= np.float32(_constants.anderson_darling_floor(n)))


@pytest.mark.parametrize("n", SIZES)
def test_bounded_statistics_are_largest_far_out(n):
    y = np.stack([np.full(n, level, np.float32) for level in (np.inf, -np.inf, 1e4, -1e4)])
    ks, ks_gradient = value_and_gradient(kolmogorov_smirnov)(y)
    cvm, cvm_gradient = value_and_gradient(cramer_von_mises)(y)
    np.testing.assert_array_equal(ks, 1.0)
    np.testing.assert_allclose(cvm, 1 / 3, rtol=2e-7)
    np.testing.assert_array_equal(ks_gradient, 0.0)
    np.testing.assert_array_equal(cvm_gradient, 0.0)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [17, 256, 5000])
def test_float32_agrees_with_float64(statistic, n):
    y = tailed_samples(n)
    narrow, narrow_gradient = value_and_gradient(statistic)(y)
    with jax.enable_x64(True):
        wide, wide_gradient = value_and_gradient(statistic)(y.astype(np.float64))
    assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)
    # A residual has the absolute accuracy of float32, 6e-8, while the largest here is some 1e-2 in a normal row.
    scale = np.abs(wide_gradient).max(axis=-1, keepdims=True)
    np.testing.assert_allclose(narrow_gradient / scale, wide_gradient / scale, rtol=2e-5, atol=1e-5)


def test_float32_tails():
    tails = np.array([-1e4, -30.0, -13.0, -8.0, -6.0, 5.5, 6.0, 8.0, 13.0, 30.0, 1e4], np.float32)
    y = np.column_stack([np.tile(np.array([-1.0, -0.3, 0.1, 0.9], np.float32), (len(tails), 1)), tails])
    n = y.shape[-1]
    for statistic in STATISTICS:
        narrow, narrow_gradient = value_and_gradient(statistic)(y)
        with jax.enable_x64(True):
            wide, wide_gradient = value_and_gradient(statistic)(y.astype(np.float64))
        np.testing.assert_allclose(narrow, wide, rtol=1e-5)
        if statistic is anderson_darling:
            np.testing.assert_allclose(narrow_gradient, wide_gradient, rtol=1e-5)
            # The cdf at an outlier misses its plotting position by 1/(2n), and the hazard rate there is |y|.
            np.testing.assert_allclose(narrow_gradient[[0, -1], -1], np.array([-1e4, 1e4]) / n**2, rtol=1e-6)
        else:  # exp(-y²/2) magnifies the rounding of y² by y²/2
            np.testing.assert_allclose(narrow_gradient, wide_gradient, rtol=2e-5, atol=1e-37)


def test_anderson_darling_keeps_its_digits_near_normality_where_the_sum_of_logarithms_does_not():
    n = 5000
    positions = (np.arange(n) + 0.5) / n
    y = special.ndtri(positions).astype(np.float32) + np.float32(0.002) * np.sin(np.arange(n)).astype(np.float32)
    y = np.sort(np.tile(y, (4, 1)))
    with jax.enable_x64(True):
        wide = np.asarray(anderson_darling(y.astype(np.float64)))
    np.testing.assert_allclose(anderson_darling(y), wide, rtol=1e-5)
    p = positions.astype(np.float32)
    logarithms = p * special.log_ndtr(y) + (1 - p) * special.log_ndtr(-y)
    assert np.all(np.abs(-1 - 2 * np.mean(logarithms, -1) - wide) > 0.01 * wide)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tail_functions_agree_with_scipy(dtype):
    z = np.concatenate([np.linspace(0, 13, 521), [4.9999, 5.0, 5.0001, 20.0, 37.0, 1e2, 1e4]]).astype(dtype)
    exact = z.astype(np.float64)
    narrow = dtype == np.float32
    with jax.enable_x64(not narrow):
        hazard, log_tail = tails.hazard(jnp.asarray(z)), tails.log_tail(jnp.asarray(z))
    tolerance = 4e-6 if narrow else 1e-12  # at the switch the direct quotient has lost y² roundings
    np.testing.assert_allclose(hazard, np.sqrt(2 / np.pi) / special.erfcx(exact / np.sqrt(2)), rtol=tolerance)
    np.testing.assert_allclose(log_tail, special.log_ndtr(-exact), rtol=5e-7 if narrow else 1e-13)


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
    y[:, 4] = np.inf, -np.inf, 1e4, -1e4
    y[2:, :4], y[2:, 5:] = y[:2, :4], y[:2, 5:]
    for statistic in (cramer_von_mises, kolmogorov_smirnov):
        value, gradient = value_and_gradient(statistic)(y)
        np.testing.assert_array_equal(value[:2], value[2:])
        np.testing.assert_array_equal(gradient[:2], gradient[2:])
        np.testing.assert_array_equal(gradient[:, 4], 0.0)
    value, gradient = value_and_gradient(anderson_darling)(y)
    np.testing.assert_array_equal(value[:2], np.inf)
    np.testing.assert_array_equal(gradient[:2, 4], [np.inf, -np.inf])
    assert np.all(np.isfinite(np.delete(gradient, 4, axis=-1)))


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
def test_watson_is_the_best_rotation_of_cramer_von_mises():
    y = np.random.default_rng(8).standard_normal(40)
    turns = np.linspace(0, 1, 2001)
    u = np.sort((stats.norm.cdf(y) + turns[:, None]) % 1, axis=-1)
    lowest = np.mean((u - (np.arange(40) + 0.5) / 40) ** 2, axis=-1).min() + 1 / (12 * 40**2)
    assert normality.watson(y.astype(np.float32)) == pytest.approx(lowest, rel=1e-4)


@pytest.mark.fast
def test_watson_is_cramer_von_mises_less_the_squared_mean():
    y = (np.random.default_rng(9).standard_normal((3, 50)) + 0.3).astype(np.float32)
    off = np.mean(stats.norm.cdf(y), axis=-1) - 0.5
    np.testing.assert_allclose(normality.watson(y), normality.cramer_von_mises(y) - off**2, rtol=1e-4)
    assert normality.watson(jnp.float32([0.4])) == pytest.approx(1 / 12)  # one value can be rotated anywhere


def _log_likelihood(y):
    """Of each value as the order statistic that it is: of Beta(i, n + 1 - i) after the cdf."""
    y = np.sort(y)
    order = np.arange(1, len(y) + 1)
    return stats.beta.logpdf(stats.norm.cdf(y), order, len(y) + 1 - order) + stats.norm.logpdf(y)


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_likelihood_is_that_of_the_order_statistics(n):
    y = np.random.default_rng(n).standard_normal(n)
    expected = -_log_likelihood(y).mean()
    assert normality.likelihood(y.astype(np.float32)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.fast
def test_gradients_of_watson_and_likelihood_are_finite_differences(x64):
    y = 1.5 * np.random.default_rng(10).standard_normal(30)
    step = np.random.default_rng(11).standard_normal(30)
    for statistic in (normality.watson, normality.likelihood):
        difference = (statistic(y + 1e-6 * step) - statistic(y - 1e-6 * step)) / 2e-6
        np.testing.assert_allclose(jax.grad(statistic)(y) @ step, difference, rtol=1e-6)


@pytest.mark.fast
def test_likelihood_far_out_and_infinities():
    far = jnp.float32([-1e4, -30.0, 0.0, 30.0, 1e4])
    value, gradient = jax.value_and_grad(normality.likelihood)(far)
    assert np.isfinite(value)
    # The least of five: y for the density, and four times the hazard of the tail it has to have above; the last alike.
    assert gradient[1] * 5 == pytest.approx(-30 - stats.norm.pdf(30) / stats.norm.sf(30), rel=1e-3)
    assert jnp.isinf(normality.likelihood(far.at[0].set(-jnp.inf)))
    assert normality.watson(far.at[0].set(-jnp.inf)) == pytest.approx(float(normality.watson(far)))
