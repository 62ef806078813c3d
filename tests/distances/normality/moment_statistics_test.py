"""Tests by moments: SciPy's, closed forms, what they do not see, constant samples, gradients, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gentoolkit.distances import normality

pytestmark = pytest.mark.fast

STATISTICS = [
    normality.mean_and_variance,
    normality.jarque_bera,
    normality.extended_jarque_bera,
    normality.moments,
]


@jax.jit
def everything(y):
    def both(statistic):
        value, back = jax.vjp(statistic, y)
        return value, back(jnp.ones_like(value))[0]

    return [both(statistic) for statistic in STATISTICS]


def sample(seed=0, rows=4, n=200):
    return (1.3 * np.random.default_rng(seed).standard_normal((rows, n)) + 0.2).astype(np.float32)


def test_jarque_bera_is_that_of_scipy():
    y = sample()
    expected = stats.jarque_bera(y.astype(np.float64), axis=-1).statistic
    np.testing.assert_allclose(everything(y)[1][0], expected, rtol=1e-4)


def test_mean_and_variance_are_the_two_tests():
    y = sample(1)
    wide = y.astype(np.float64)
    student = stats.ttest_1samp(wide, 0, axis=-1).statistic
    spread = (wide.var(axis=-1, ddof=1) - 1) ** 2 * (y.shape[-1] - 1) / 2
    np.testing.assert_allclose(everything(y)[0][0], student**2 + spread, rtol=1e-5)


def test_the_extension_adds_the_two():
    y = sample(2)
    wide = y.astype(np.float64)
    n, s = y.shape[-1], wide.std(axis=-1, ddof=1)
    z = (wide - wide.mean(axis=-1, keepdims=True)) / s[:, None]
    shape = n / 6 * ((z**3).mean(-1) ** 2 + ((z**4).mean(-1) - 3) ** 2 / 4)
    found = everything(y)
    np.testing.assert_allclose(found[2][0] - found[0][0], shape, rtol=1e-3)


def test_power_means_by_hand():
    y = jnp.float32([1.0, -1.0, 2.0, 0.0])
    by_hand = abs(0.5) + np.exp(-2) * abs(6 / 4 - 1) + np.exp(-3) * abs(8 / 4) + np.exp(-4) * abs(18 / 4 - 3)
    assert normality.moments(y) == pytest.approx(by_hand, rel=1e-6)
    assert normality.moments(y, num_moments=1) == pytest.approx(0.5)
    sixth = by_hand + np.exp(-5) * abs(32 / 4) + np.exp(-6) * abs(66 / 4 - 15)
    assert normality.moments(y, num_moments=6) == pytest.approx(sixth, rel=1e-6)


def test_two_points_of_the_right_moments_are_unseen():
    y = jnp.tile(jnp.float32([1.0, -1.0]), 500)
    assert normality.moments(y, num_moments=3) == 0
    assert normality.mean_and_variance(y) < 1e-3  # the variance is 1000/999
    assert normality.jarque_bera(y) > 100  # but the kurtosis is 1


def test_neither_origin_nor_unit_matters_to_skewness_and_kurtosis():
    y = sample(3)
    plain = everything(y)[1][0]
    for scale in (2.0**-60, 2.0**60):
        np.testing.assert_allclose(normality.jarque_bera(scale * y), plain, rtol=1e-5)
    seconds = y.astype(np.float64) + 1.7e9  # timestamps, which float32 would round to 128
    np.testing.assert_allclose(normality.jarque_bera(seconds), plain, rtol=1e-4)


@pytest.mark.parametrize("place", range(len(STATISTICS)))
def test_gradient_is_the_finite_difference(place):
    y, statistic = sample(4, rows=1, n=12)[0], STATISTICS[place]
    step = np.random.default_rng(5).standard_normal(12)
    with jax.enable_x64(True):
        wide = y.astype(np.float64)
        gradient = jax.grad(statistic)(wide)
        difference = (statistic(wide + 1e-6 * step) - statistic(wide - 1e-6 * step)) / 2e-6
        np.testing.assert_allclose(gradient @ step, difference, rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.7, -1e3])
def test_a_constant_sample_has_a_finite_value_and_gradient(level):
    y = np.full((4, 200), level, np.float32)
    for value, gradient in everything(y):
        assert np.isfinite(value).all() and np.isfinite(gradient).all()
    assert everything(y)[1][0] == pytest.approx(3 * 200 / 8)
    assert not np.any(everything(y)[1][1])


def test_nan_and_infinity_give_nan():
    y = sample(6)
    y[0, 3], y[1, 4] = np.nan, np.inf
    for value, _ in everything(y)[:3]:
        assert np.isnan(value).tolist() == [True, True, False, False]
    assert not np.isfinite(everything(y)[3][0][:2]).any()


@pytest.mark.parametrize("statistic", STATISTICS[:3])
def test_one_entry_has_no_variance(statistic):
    with pytest.raises(ValueError, match="y must hold at least two"):
        statistic(jnp.zeros((3, 1)))


def test_no_moment_is_refused():
    with pytest.raises(ValueError, match="num_moments"):
        functools.partial(normality.moments, num_moments=0)(jnp.zeros(3))
