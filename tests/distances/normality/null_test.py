"""Null means and p-values: exact formulas, SciPy, seeded simulation within five standard errors, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gentoolkit.distances import normality
from gentoolkit.distances.normality import _null_laws

STATISTICS = [
    normality.wasserstein,
    normality.cramer_wold,
    functools.partial(normality.cramer_wold, bandwidth=0.3),
    normality.cramer_von_mises,
    normality.kolmogorov_smirnov,
    normality.anderson_darling,
    normality.epps_pulley,
    normality.epps_pulley_quadrature,
    functools.partial(normality.epps_pulley_quadrature, num_nodes=9, last_node=2.0),
    normality.watson,
]
# Of samples of two and more.
OF_MOMENTS = [normality.mean_and_variance, normality.jarque_bera, normality.extended_jarque_bera, normality.likelihood]


evaluate = functools.cache(jax.jit)


# Of 4000 samples all statistics in one program, which each size compiles once.
@jax.jit
def everything(y):
    return [statistic(y) for statistic in [*STATISTICS, normality.shapiro_francia]]


def under_the_null(statistic, n, seed):
    values = everything(normal_samples(4000, n, seed))
    return np.asarray(values[[*STATISTICS, normality.shapiro_francia].index(statistic)], np.float64)


def normal_samples(rows, n, seed):
    return np.random.default_rng(seed).standard_normal((rows, n)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 32])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_mean_is_within_five_standard_errors_of_simulation(statistic, n):
    values = under_the_null(statistic, n, seed=n)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - normality.null_mean(statistic, n)) < 5 * error + 1e-8  # of one value Watson is constant
    assert error < 0.05 * values.mean()  # or the line above says nothing


@pytest.mark.fast
@pytest.mark.parametrize(("n", "mean"), [(32, 8.832e-2), (64, 4.606e-2), (256, 1.234e-2), (1024, 3.260e-3)])
def test_wasserstein_mean(n, mean):
    assert normality.null_mean(normality.wasserstein, n) == pytest.approx(mean, rel=2e-4)


@pytest.mark.fast
def test_wasserstein_mean_closed_forms():
    assert normality.null_mean(normality.wasserstein, 1) == pytest.approx(2.0, abs=1e-15)
    # Two bins have the means ±sqrt(2/π), two draws the expected order ±1/sqrt(π).
    assert normality.null_mean(normality.wasserstein, 2) == pytest.approx(2 - 2 * np.sqrt(2) / np.pi, abs=1e-14)


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_kolmogorov_smirnov_mean_is_the_integral_of_its_law(n):
    start = 1 / (2 * n)
    points = [start + width for width in (0.3 / np.sqrt(n), 1 / np.sqrt(n), 3 / np.sqrt(n)) if start + width < 1]
    edges = [start, *points, 1.0]
    pieces = [integrate.quad(stats.kstwo.sf, a, b, args=(n,))[0] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    assert normality.null_mean(normality.kolmogorov_smirnov, n) == pytest.approx(start + sum(pieces), rel=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 7, 100])
def test_other_means(n):
    assert normality.null_mean(normality.cramer_von_mises, n) == pytest.approx(1 / (6 * n))
    assert normality.null_mean(normality.anderson_darling, n) == pytest.approx(1 / n)
    for statistic, weight in [
        (normality.epps_pulley, lambda t: np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)),
        (functools.partial(normality.cramer_wold, bandwidth=0.3), lambda t: np.exp(-0.3 * t**2) / (2 * np.pi)),
        (normality.cramer_wold, lambda t: np.exp(-((4 / (3 * n)) ** 0.4) * t**2) / (2 * np.pi)),
    ]:
        expected = integrate.quad(lambda t, w=weight: (1 - np.exp(-(t**2))) / n * w(t), -60, 60, limit=200)[0]
        assert normality.null_mean(statistic, n) == pytest.approx(expected, rel=1e-8)


@pytest.mark.fast
def test_debiased_loss_under_jit():
    @jax.jit
    def excess(y):
        return normality.wasserstein(y) - normality.null_mean(normality.wasserstein, y.shape[-1])

    values = np.asarray(excess(normal_samples(2000, 32, seed=5)))
    assert abs(values.mean()) < 5 * values.std() / np.sqrt(2000)
    assert values.min() < 0


def test_simulated_mean_may_be_asked_for_while_tracing():
    @jax.jit
    def excess(y):
        return normality.shapiro_francia(y) - normality.null_mean(normality.shapiro_francia, 8, num_simulations=500)

    assert np.isfinite(excess(jnp.arange(8.0)))


@pytest.mark.fast
def test_shapiro_francia_mean_of_three_in_closed_form():
    # For n = 3, W' = cos²(angle) with the angle uniform on [-π/6, π/6].
    expected = 1 - (0.5 + np.sin(np.pi / 3) / (2 * np.pi / 3))
    assert normality.null_mean(normality.shapiro_francia, 3) == pytest.approx(expected, rel=0.03)


def test_simulation_of_any_function_is_seeded_and_agrees_with_the_formula():
    mean = functools.partial(normality.null_mean, num_simulations=5000)
    assert mean(normality.anderson_darling, 10) == pytest.approx(0.1, rel=0.06)
    assert mean(normality.anderson_darling, 10) == mean(normality.anderson_darling, 10)
    assert mean(normality.anderson_darling, 10, seed=1) != mean(normality.anderson_darling, 10)
    assert mean(lambda y: jnp.mean(y * y, axis=-1), 10) == pytest.approx(1.0, abs=5 * np.sqrt(0.2 / 5000))


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_kolmogorov_smirnov_p_value_is_scipy_s(n):
    with jax.enable_x64(True):
        y = np.random.default_rng(n).standard_normal((4, n)) + 0.1
        p = normality.p_value(normality.kolmogorov_smirnov, evaluate(normality.kolmogorov_smirnov)(y), n)
    expected = [stats.kstest(row, "norm", method="exact").pvalue for row in y]
    np.testing.assert_allclose(p, expected, rtol=1e-9)


@pytest.mark.fast
@pytest.mark.parametrize("n", [5, 17, 200])
def test_cramer_von_mises_p_value_is_scipy_s_above_a_thousandth(n):
    with jax.enable_x64(True):
        y = np.random.default_rng(n).standard_normal((6, n)) * 1.2
        p = normality.p_value(normality.cramer_von_mises, evaluate(normality.cramer_von_mises)(y), n)
    expected = [stats.cramervonmises(row, "norm").pvalue for row in y]
    assert min(expected) > 1e-3
    np.testing.assert_allclose(p, expected, rtol=1e-9)


@pytest.mark.fast
def test_limit_laws_equal_published_points():
    # Anderson and Darling 1952, table 1 (Cramér-von Mises); percentage points of A² as tabulated since Lewis 1961.
    for point, survival in [(0.34730, 0.1), (0.46136, 0.05), (0.74346, 0.01), (1.16786, 0.001)]:
        assert _null_laws._cramer_von_mises_limit(np.asarray(point)) == pytest.approx(survival, rel=2e-4)
    for point, survival in [(1.933, 0.1), (2.492, 0.05), (3.878, 0.01)]:
        assert _null_laws._anderson_darling_limit(np.asarray(point)) == pytest.approx(survival, rel=2e-3)


@pytest.mark.fast
def test_limit_laws_keep_relative_accuracy_in_the_far_tail():
    # The leading term of Smirnov's formula is c x^(-1/2) exp(-r_1 x/2), with a constant c.
    for law, rate in [(_null_laws._cramer_von_mises_limit, np.pi**2), (_null_laws._anderson_darling_limit, 2.0)]:
        x = np.array([50.0, 100.0])
        log_survival = np.log(law(x)) + rate * x / 2 + 0.5 * np.log(x)
        assert abs(log_survival[1] - log_survival[0]) < 0.02


@pytest.mark.fast
@pytest.mark.parametrize("statistic", [normality.cramer_von_mises, normality.anderson_darling])
def test_p_values_of_one_draw_are_exact(statistic):
    y = np.array([[0.0], [0.5], [-1.0], [2.5]], np.float32)
    expected = 2 * stats.norm.sf(np.abs(y[:, 0]))  # both statistics grow with |y|
    # The value has a flat bottom at y = 0, where float32 leaves the square root of its rounding.
    np.testing.assert_allclose(normality.p_value(statistic, evaluate(statistic)(y), 1), expected, atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize("statistic", [normality.cramer_von_mises, normality.anderson_darling])
@pytest.mark.parametrize("n", [1, 3, 5, 8, 64, 1000])
def test_p_values_fall_from_one_to_nearly_zero(statistic, n):
    values = np.concatenate([[0.0], np.geomspace(1e-2, 60, 400) / n])
    p = normality.p_value(statistic, values, n)
    assert p[0] == 1.0
    assert np.all(np.diff(p) <= 1e-12)
    assert np.all((p >= 0) & (p <= 1))
    assert p[-1] < 1e-4


@pytest.mark.parametrize("n", [3, pytest.param(5, marks=pytest.mark.slow), 32])
@pytest.mark.parametrize("statistic", [*STATISTICS[3:6], normality.wasserstein, normality.shapiro_francia])
def test_p_values_are_uniform_under_the_null(statistic, n):
    values = under_the_null(statistic, n, seed=100 + n)
    p = normality.p_value(statistic, values, n)
    assert p.shape == (4000,) and p.dtype == np.float64
    # One in 1e5 at a distance of 2.4/sqrt(4000); the laws are off by less than 0.002, the simulated ones by 0.006.
    assert stats.kstest(p, "uniform").statistic < 2.4 / np.sqrt(4000) + 0.006


@pytest.mark.parametrize(
    "statistic", [normality.kolmogorov_smirnov, normality.cramer_von_mises, normality.anderson_darling]
)
def test_law_agrees_with_simulation(statistic):
    n, num = 5, 200_000  # the smallest size for which the expansions are used
    values = normality.null_mean(statistic, n) * np.array([0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0])
    law = normality.p_value(statistic, values, n)
    simulated = normality.p_value(statistic, values, n, num_simulations=num)
    error = np.sqrt(law * (1 - law) / num)
    assert np.all(np.abs(law - simulated) < 5 * error + 0.002)


@pytest.mark.fast
def test_simulated_p_value_counts_itself():
    p = normality.p_value(normality.wasserstein, np.array([[0.0, 1e6, np.nan]]), 4, num_simulations=99)
    np.testing.assert_allclose(p, [[1.0, 0.01, np.nan]])
    assert normality.p_value(normality.wasserstein, 1e6, 4, num_simulations=99).shape == ()
    tied = normality.p_value(lambda y: jnp.sign(y[..., 0]), np.array([-1.0, 1.0]), 1, num_simulations=999)
    np.testing.assert_allclose(tied, [1.0, 0.5], atol=0.1)  # a tie counts as at least as large


@pytest.mark.fast
@pytest.mark.parametrize("statistic", STATISTICS[3:6])
def test_nan_value_gives_nan(statistic):
    p = normality.p_value(statistic, np.array([np.nan, 0.2, np.inf]), 8)
    np.testing.assert_array_equal(np.isnan(p), [True, False, False])
    assert p[2] == 0


def test_equal_partials_share_one_simulation():
    from gentoolkit.distances.normality import null

    before = null._simulated_null.cache_info().misses
    for _ in range(3):
        statistic = functools.partial(normality.cramer_wold, bandwidth=jnp.float32(0.25))
        normality.p_value(statistic, 0.1, 6, num_simulations=50)
    assert null._simulated_null.cache_info().misses == before + 1


@pytest.mark.fast
def test_cauchy_combination_identities():
    p = np.array([0.03, 0.4, 0.2])
    np.testing.assert_allclose(normality.cauchy_combination(p[:1]), 0.03, rtol=1e-12)
    np.testing.assert_allclose(normality.cauchy_combination(np.full((5, 2), 0.07)), np.full(5, 0.07), rtol=1e-12)
    np.testing.assert_allclose(normality.cauchy_combination(p), normality.cauchy_combination(p[::-1]), rtol=1e-12)
    expected = stats.cauchy.sf(np.mean(stats.cauchy.isf(p)))
    np.testing.assert_allclose(normality.cauchy_combination(p), expected, rtol=1e-10)
    # A tiny one of k counts as Bonferroni's k p.
    np.testing.assert_allclose(normality.cauchy_combination(np.array([1e-80, 0.5, 0.9, 0.3])), 4e-80, rtol=1e-10)
    assert normality.cauchy_combination(np.array([0.0, 0.5])) == 0.0
    assert np.isnan(normality.cauchy_combination(np.array([np.nan, 0.5])))
    assert normality.cauchy_combination(np.ones((3, 4)), axis=0).shape == (4,)
    assert normality.cauchy_combination(np.array([1e-4, 1.0])) < 1e-3  # a single one does not outweigh the rest


def test_cauchy_combination_of_dependent_slices_keeps_its_level():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((16, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    y = (rng.standard_normal((1000, 20, 3)) @ directions.T).transpose(0, 2, 1).astype(np.float32)
    values = [evaluate(normality.kolmogorov_smirnov)(z) for z in (y, y + 1)]
    combined = [
        normality.cauchy_combination(normality.p_value(normality.kolmogorov_smirnov, part, 20))
        for part in (values[0], values[1][:100])  # exact p-values take a while, and power is no close call
    ]
    assert combined[0].shape == (1000,)
    assert 0.01 < np.mean(combined[0] < 0.05) < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(combined[1] < 0.05) > 0.5


@pytest.mark.fast
def test_bad_input_is_named():
    with pytest.raises(ValueError, match="n must be >= 1, got n = 0"):
        normality.null_mean(normality.wasserstein, 0)
    with pytest.raises(ValueError, match="num_simulations must be >= 1"):
        normality.p_value(normality.wasserstein, 1.0, 5, num_simulations=0)
    for call in (normality.null_mean, functools.partial(normality.p_value, value=0.1)):
        with pytest.raises(ValueError, match=r"anderson_darling, .*wasserstein.*num_simulations"):
            call(jnp.mean, n=3)
    with pytest.raises(ValueError, match=r"\[..., n\]"):
        normality.null_mean(lambda y: y, 3, num_simulations=5)
    with pytest.raises(ValueError, match="bandwidth must be > 0"):
        normality.null_mean(functools.partial(normality.cramer_wold, bandwidth=-1.0), 3)
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        normality.cauchy_combination(np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="at least one"):
        normality.cauchy_combination(np.zeros((3, 0)))


@pytest.mark.parametrize("n", [12, 48])
@pytest.mark.parametrize("statistic", OF_MOMENTS)
def test_means_of_moments_and_likelihood_are_within_five_standard_errors(statistic, n):
    values = np.asarray(jax.jit(statistic)(normal_samples(40_000, n, seed=n)), np.float64)
    error = values.std() / np.sqrt(len(values))
    expected = normality.null_mean(statistic, n)
    assert abs(values.mean() - expected) < 5 * error
    assert error < 0.05 * abs(expected)


@pytest.mark.fast
def test_the_mean_of_the_quadrature_does_not_depend_on_n_nor_on_where_samples_are():
    statistic = functools.partial(normality.epps_pulley_quadrature, axis_name="data")
    assert normality.null_mean(statistic, 10) == normality.null_mean(normality.epps_pulley_quadrature, 10_000)
    assert normality.null_mean(normality.mean_and_variance, 3) == np.inf


@pytest.mark.parametrize("n", [5, 60])
def test_watson_p_values_agree_with_simulation(n):
    values = np.asarray(everything(normal_samples(4000, n, seed=n))[STATISTICS.index(normality.watson)], np.float64)
    p = normality.p_value(normality.watson, values, n)
    for level in (0.01, 0.05, 0.15) if n < 10 else (0.01, 0.05, 0.3, 0.7):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * (level * (1 - level) / 4000) ** 0.5 + 0.005)


@pytest.mark.fast
def test_statistics_of_which_no_formula_is_known_are_simulated():
    for statistic in (normality.negentropy, normality.moments, normality.normal_score_cosine):
        mean = normality.null_mean(statistic, 16)
        assert 0 < normality.p_value(statistic, mean, 16) < 1
