"""Squared W2 to any law: the normal and uniform closed forms, rectified laws, quantiles and draws, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gentoolkit.distances import directions, laws, normality, sliced, two_sample

pytestmark = pytest.mark.fast

LAPLACE = laws.GeneralizedGaussian(shape=1.0, rectified=True)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_the_normal_law_is_that_of_normality(n):
    y = (1.2 * np.random.default_rng(n).standard_normal((3, n)) + 0.4).astype(np.float32)
    value, back = jax.vjp(functools.partial(laws.wasserstein, quantile=special.ndtri), y)
    expected, expected_back = jax.vjp(normality.wasserstein, y)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(back(jnp.ones(3))[0], expected_back(jnp.ones(3))[0], atol=1e-6)
    own = laws.GeneralizedGaussian().quantile
    np.testing.assert_allclose(laws.wasserstein(y, quantile=own), value, rtol=1e-5)


def test_the_uniform_law_in_closed_form():
    y = jnp.float32([0.9, 0.1, 0.4])
    means = np.asarray([1, 3, 5]) / 6
    expected = np.mean((np.sort(y) - means) ** 2) + 1 / (12 * 9)
    assert laws.wasserstein(y, quantile=lambda u: u) == pytest.approx(expected, rel=1e-6)


def test_a_point_is_the_mean_square_of_the_law():
    for law, mean_square in ((stats.laplace, 2.0), (stats.expon, 2.0), (stats.uniform, 1 / 3)):
        found = laws.wasserstein(jnp.zeros(9), quantile=law.ppf)
        assert found == pytest.approx(mean_square, rel=1e-5)


def test_the_ordered_parts_have_the_least_distance():
    y = jnp.asarray(laws._parts(stats.gumbel_r.ppf, 40)[0], jnp.float32)
    value, gradient = jax.value_and_grad(functools.partial(laws.wasserstein, quantile=stats.gumbel_r.ppf))(y)
    np.testing.assert_allclose(value, laws._parts(stats.gumbel_r.ppf, 40)[1], rtol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize(("shape", "law"), [(1.0, stats.laplace), (2.0, stats.norm)])
def test_known_generalized_gaussians(shape, law):
    u = np.linspace(0.001, 0.999, 21)
    plain = laws.GeneralizedGaussian(shape=shape, loc=0.3, scale=1.7).quantile(u)
    np.testing.assert_allclose(plain, law.ppf(u, loc=0.3, scale=1.7), rtol=1e-9)
    unit = laws.GeneralizedGaussian(shape=shape).quantile(u)
    np.testing.assert_allclose(unit, law.ppf(u) / law.std(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [0.7, 1.0, 4.0])
def test_draws_have_the_quantiles(shape):
    law = laws.GeneralizedGaussian(shape=shape, loc=0.5)
    drawn = np.sort(law.sample(jax.random.key(0), (20_000,)))
    assert np.var(drawn) == pytest.approx(1, abs=0.1)
    u = np.asarray([0.05, 0.3, 0.5, 0.8, 0.95])
    np.testing.assert_allclose(np.quantile(drawn, u), law.quantile(u), atol=0.05)


def test_rectified_draws_are_zero_or_positive():
    drawn = LAPLACE.sample(jax.random.key(1), (2000, 3))
    assert drawn.min() == 0 and np.mean(drawn == 0) == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(LAPLACE.quantile(np.asarray([0.1, 0.5])), 0)
    # Mean square of the positive half of a law of variance 1.
    statistic = functools.partial(laws.wasserstein, quantile=LAPLACE.quantile)
    assert statistic(jnp.zeros(64)) == pytest.approx(0.5, rel=1e-4)
    assert statistic(drawn.T).max() < 0.02


def test_features_and_slices_of_sparse_codes():
    codes = LAPLACE.sample(jax.random.key(2), (512, 4))
    statistic = functools.partial(laws.wasserstein, quantile=LAPLACE.quantile)
    along = sliced.distance(statistic, codes, directions=jnp.eye(4))
    assert along < 0.05 < sliced.distance(statistic, codes + 0.5, directions=jnp.eye(4))
    v = directions.random(jax.random.key(3), 8, 4)
    drawn = LAPLACE.sample(jax.random.key(4), (512, 4))
    assert sliced.distance(two_sample.wasserstein, codes, drawn, directions=v) < 0.05


def test_nan_and_infinity():
    statistic = functools.partial(laws.wasserstein, quantile=special.ndtri)
    assert jnp.isnan(statistic(jnp.float32([0, jnp.nan])))
    assert jnp.isinf(statistic(jnp.float32([0, jnp.inf])))


@pytest.mark.parametrize(
    ("quantile", "told"),
    [
        (lambda u: np.full_like(u, np.inf), "finite inside"),
        (lambda u: np.where(u > 0.9, np.inf, u), "finite inside"),
        (lambda u: np.full_like(u, np.nan), "finite inside"),
        (lambda u: -u, "ascend"),
        (lambda u: u[:-1], "as many numbers"),
    ],
)
def test_bad_quantiles_are_named(quantile, told):
    with pytest.raises(ValueError, match=f"quantile must.*{told}"):
        laws.wasserstein(jnp.zeros(5), quantile=quantile)


def test_bad_laws_are_named():
    with pytest.raises(ValueError, match="shape"):
        laws.GeneralizedGaussian(shape=0.0)
    with pytest.raises(ValueError, match="scale"):
        laws.GeneralizedGaussian(scale=-1.0)
    with pytest.raises(ValueError, match="y must be"):
        laws.wasserstein(jnp.zeros((2, 0)), quantile=special.ndtri)
