"""Univariate entropy: laws with a closed form, the uniform law without bias, derivative, ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.gaussianization import univariate_entropy

# Compiled once a shape; heavy_tails_test.py calls them outside jit.
spacing = jax.jit(univariate_entropy.spacing, static_argnames=("num_spacings", "is_sorted"))
histogram = jax.jit(univariate_entropy.histogram, static_argnames=("num_bins", "is_sorted"))

LAWS = {
    "normal": scipy.stats.norm(1, 3),
    "uniform": scipy.stats.uniform(-2, 5),
    "exponential": scipy.stats.expon(scale=2),
    "student": scipy.stats.t(3),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_spacings_find_the_entropy_of_a_law(law):
    y = np.float32(law.rvs(size=(100, 2000), random_state=0))
    got = np.asarray(spacing(y))
    # Three standard errors of the mean over 100 samples, and a bias below a tenth of one sample's own error; in power
    # tails the density falls within the outer spacings, and the bias is half of that error.
    bias = 0.5 if law is LAWS["student"] else 0.1
    assert abs(got.mean() - law.entropy()) < 3 * got.std() / 10 + bias * got.std() + 1e-3


def test_histograms_find_the_entropy_of_a_normal_law():
    y = np.float32(LAWS["normal"].rvs(size=(100, 2000), random_state=0))
    got = np.asarray(histogram(y))
    assert abs(got.mean() - LAWS["normal"].entropy()) < 3 * got.std() / 10 + 2e-3


@pytest.mark.fast
@pytest.mark.parametrize(("n", "m"), [(2, 1), (5, 4), (20, 1), (20, 7)])
def test_a_uniform_law_leaves_no_bias_however_small_the_sample(n, m):
    y = np.float32(np.random.default_rng(0).uniform(size=(20000, n)))
    got = np.asarray(spacing(y, num_spacings=m))
    assert abs(got.mean()) < 4 * got.std() / np.sqrt(20000)


@pytest.mark.fast
def test_a_histogram_is_its_definition():
    y = np.float32(np.random.default_rng(0).gamma(2.0, size=500))
    counts, edges = np.histogram(y, 13)
    share = counts[counts > 0] / 500
    want = -np.sum(share * np.log(share)) + np.log(edges[1] - edges[0]) + (len(share) - 1) / 1000
    np.testing.assert_allclose(histogram(y, num_bins=13), want, rtol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize("estimate", [spacing, histogram])
def test_scale_shift_and_order(estimate):
    y = np.float32(np.random.default_rng(0).normal(size=(2, 3, 200)))
    want = estimate(y)
    assert want.shape == (2, 3)
    np.testing.assert_allclose(estimate(4 * y + 8), want + np.log(4), atol=3e-3)
    np.testing.assert_allclose(estimate(y[..., ::-1]), want, rtol=1e-6)
    np.testing.assert_allclose(estimate(np.sort(y), is_sorted=True), want, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(estimate))(y), want, rtol=1e-5)
    assert jax.eval_shape(estimate, jnp.bfloat16(y)).dtype == jnp.float32


@pytest.mark.fast
@pytest.mark.parametrize("m", [None, 1, 3])
def test_gradient_agrees_with_central_differences(x64, m):
    y = np.random.default_rng(0).normal(size=11)

    def entropy(y):
        return spacing(y, num_spacings=m)

    bumps = 1e-6 * np.eye(11)
    want = (entropy(y + bumps) - entropy(y - bumps)) / 2e-6
    got = jax.jit(jax.grad(entropy))(y)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(np.sum(got), 0, atol=1e-12)  # a shift changes nothing,
    np.testing.assert_allclose(np.sum(got * y), 1, rtol=1e-10)  # a scale its logarithm


@pytest.mark.fast
def test_ties_are_finite_and_nan_stays():
    y = np.float32(np.stack([np.ones(50), np.arange(50) // 10, np.zeros(50)]))
    value, gradient = jax.jit(jax.value_and_grad(lambda y: jnp.sum(spacing(y))))(y)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    y[1, 7] = np.nan
    for estimate in (spacing, histogram):
        assert np.isnan(estimate(y)[1])


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: univariate_entropy.spacing(jnp.ones(1)), r"y\.shape = \(1,\)"),
        (lambda: univariate_entropy.histogram(jnp.float32(0)), r"y\.shape"),
        (lambda: univariate_entropy.spacing(jnp.ones(5), num_spacings=5), "num_spacings = 5"),
        (lambda: univariate_entropy.spacing(jnp.ones(5), num_spacings=0), "num_spacings = 0"),
        (lambda: univariate_entropy.histogram(jnp.ones(5), num_bins=0), "num_bins = 0"),
    ],
)
def test_bad_options_are_refused_by_name(make, told):
    with pytest.raises(ValueError, match=told):
        make()
