"""Divergences and discrepancies against closed forms, and the order of the three bounds of a mixture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gentoolkit.distances import mmd
from gentoolkit.objectives import variational

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_divergence_from_the_standard_normal():
    np.testing.assert_allclose(
        variational.kl_to_standard(np.float32([1, -2]), np.log(np.float32([1, 4]))), 3.3068528, rtol=1e-7
    )
    np.testing.assert_array_equal(variational.kl_to_standard(np.zeros((2, 3)), np.zeros((2, 3))), 0)
    # Near the prior it is a quarter of the squared log variance, which 1 + v - exp(v) rounds away.
    np.testing.assert_allclose(variational.kl_to_standard(np.zeros(1), np.float32([1e-4])), 0.25e-8, rtol=5e-3)


def test_divergence_between_normals_is_the_integral():
    a, b = scipy.stats.norm(0.3, 0.7), scipy.stats.norm(-0.5, 1.4)
    expected = scipy.integrate.quad(lambda x: a.pdf(x) * (a.logpdf(x) - b.logpdf(x)), -8, 8)[0]
    laws = [np.float32([value]) for law in (a, b) for value in (law.mean(), np.log(law.var()))]
    np.testing.assert_allclose(variational.kl_between(*laws), expected, rtol=1e-5)
    mean, log_variance = draw(0, 4, 3), draw(1, 4, 3)
    standard = variational.kl_between(mean, log_variance, 0 * mean, 0 * mean)
    np.testing.assert_allclose(standard, variational.kl_to_standard(mean, log_variance), rtol=1e-6)


def test_a_mixture_lies_between_its_moments_and_its_parts():
    mean, log_variance = 1.5 * draw(0, 2, 3, 2), draw(1, 2, 3, 2) / 2 - 1
    draws = jax.jit(functools.partial(variational.kl_of_mixture, num_samples=4000))
    found = np.asarray(draws(jax.random.key(0), mean, log_variance))
    for row in range(2):  # two dimensions can be integrated on a grid
        grid = np.linspace(-9, 9, 361)
        points = np.stack(np.meshgrid(grid, grid), -1)[..., None, :]
        laws = scipy.stats.norm(mean[row], np.exp(log_variance[row] / 2)).pdf(points).prod(-1).mean(-1)
        prior = scipy.stats.norm.logpdf(points[..., 0, :]).sum(-1)
        exact = np.sum(laws * (np.log(laws + 1e-300) - prior)) * (grid[1] - grid[0]) ** 2
        np.testing.assert_allclose(found[row], exact, atol=0.025)  # four standard errors
        matched = variational.kl_of_matched_normal(mean[row], log_variance[row])
        assert matched < exact < np.mean(variational.kl_to_standard(mean[row], log_variance[row]))


def test_a_mixture_of_equal_laws_is_that_law():
    mean, log_variance = (np.repeat(draw(seed, 5, 1, 3), 4, axis=1) for seed in (0, 1))

    @jax.jit
    def three(key, mean, log_variance):
        exact = variational.kl_to_standard(mean[:, 0], log_variance[:, 0])
        drawn = variational.kl_of_mixture(key, mean, log_variance, num_samples=2000)
        return exact, variational.kl_of_matched_normal(mean, log_variance), drawn

    exact, matched, found = three(jax.random.key(1), mean, log_variance)
    np.testing.assert_allclose(matched, exact, rtol=1e-5)
    np.testing.assert_allclose(found, exact, rtol=0.05)


def test_draws_have_the_law_s_moments_and_its_slopes():
    mean, log_variance = np.float32([[0.5, -1]]), np.log(np.float32([[4, 0.25]]))
    many = [np.broadcast_to(values, (20000, 2)) for values in (mean, log_variance)]
    z = variational.sample(jax.random.key(0), *many)
    np.testing.assert_allclose(z.mean(0), mean[0], atol=5 * 2 / np.sqrt(20000))
    np.testing.assert_allclose(z.var(0), [4, 0.25], rtol=0.05)
    slopes = jax.grad(lambda *law: jnp.sum(variational.sample(jax.random.key(0), *law)), (0, 1))(mean, log_variance)
    np.testing.assert_allclose(slopes[0], 1)
    np.testing.assert_allclose(slopes[1], (variational.sample(jax.random.key(0), mean, log_variance) - mean) / 2, 1e-5)


def test_laplace_is_that_of_scipy():
    x, mean = draw(0, 3, 4), draw(1, 3, 4)
    expected = -scipy.stats.laplace(mean, 0.7).logpdf(x).mean(1)
    np.testing.assert_allclose(variational.laplace_nll(x, mean, scale=0.7), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("reading", "expected"), [("dim", 0.198), ("infovae", 0.785), ("literal_squared", 1.5e-4), ("literal", 8e-7)]
)
def test_readings_of_the_width(reading, expected):
    bandwidth = variational.prior_bandwidth(8, reading=reading)
    mean_kernel = (1 + 2 / bandwidth**2) ** -4.0  # of two draws of N(0, I)
    np.testing.assert_allclose(mean_kernel, expected, rtol=0.06)
    r2 = np.float32(3.0)
    np.testing.assert_allclose(mmd.gaussian(bandwidth)(r2), np.exp(-r2 / (2 * bandwidth**2)), rtol=1e-6)


def test_discrepancy_in_closed_form():
    found = jax.jit(variational.gaussian_mmd_to_standard)
    np.testing.assert_allclose(found(np.zeros((5, 8)), bandwidth=2.0), 0.3783309, rtol=1e-6)  # collapsed codes
    z0 = draw(0, 1, 8)
    point = 1 + 1.5**-4 - 2 * 1.25**-4 * np.exp(-np.sum(z0**2) / 10)
    np.testing.assert_allclose(found(z0, bandwidth=2.0), point, rtol=1e-5)
    z = draw(1, 7, 8)
    np.testing.assert_allclose(found(z[::-1], bandwidth=2.0), found(z, bandwidth=2.0), rtol=1e-5)


@jax.jit
def discrepancies(z):
    """With N(0, I) itself, and with draws of it."""
    drawn = variational.mmd_to_standard(jax.random.key(0), z, mmd.gaussian(2.0), estimator="unbiased")
    return variational.gaussian_mmd_to_standard(z, bandwidth=2.0), drawn


@pytest.mark.parametrize(("shift", "variance", "expected"), [(0, 1, 0), (1, 1, 0.0315874), (0, 0.25, 0.1478681)])
def test_discrepancy_of_normal_codes(shift, variance, expected):
    z = np.sqrt(variance) * draw(3, 1500, 8) + shift / np.sqrt(8)
    # With n pairs of a code with itself the mean is larger by (1 - E k(w, w')) / n.
    excess = (1 - (1 + 2 * variance / 4) ** -4.0) / 1500
    closed, drawn = discrepancies(z)
    np.testing.assert_allclose(closed - excess, expected, atol=4e-3)
    np.testing.assert_allclose(drawn, expected, atol=6e-3)


def test_drawn_discrepancy_is_that_of_distances():
    # The value of the brief's two points against one, with the draws left out of it.
    x, y = np.float32([[0, 0], [1, 0]]), np.float32([[0, 1]])
    np.testing.assert_allclose(mmd.squared(x, y, mmd.gaussian(1.0), estimator="biased"), 0.8288552, rtol=1e-6)

    @jax.jit
    def both(z, key):
        draws = jax.random.normal(key, (5, 2))
        drawn = variational.mmd_to_standard(key, z, mmd.laplacian(1.0), num_draws=5)
        return drawn, mmd.squared(z, draws, mmd.laplacian(1.0), estimator="biased")

    np.testing.assert_allclose(*both(draw(0, 9, 2), jax.random.key(4)), rtol=1e-6)


def test_gradients(x64):
    mean, log_variance = (np.float64(draw(seed, 3, 2)) for seed in (0, 1))
    key = jax.random.key(0)

    def all_terms(mean, log_variance):
        return (
            jnp.sum(variational.kl_between(mean, log_variance, log_variance, mean))
            + variational.kl_of_mixture(key, mean, log_variance)
            + variational.kl_of_matched_normal(mean, log_variance)
            + variational.gaussian_mmd_to_standard(mean, bandwidth=1.3)
            + jnp.sum(variational.laplace_nll(mean, log_variance))
        )

    steps = [1e-5 * np.float64(draw(seed, 3, 2)) for seed in (7, 8)]
    compiled = jax.jit(jax.value_and_grad(all_terms, (0, 1)))
    _, slopes = compiled(mean, log_variance)
    ends = (compiled(mean + s * steps[0], log_variance + s * steps[1])[0] for s in (1, -1))
    expected = np.subtract(*ends) / 2
    np.testing.assert_allclose(sum(np.sum(a * b) for a, b in zip(slopes, steps, strict=True)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: variational.kl_to_standard(x, x[:1]), "Shapes must agree: mean.shape"),
        (lambda x: variational.kl_of_matched_normal(x[0], x[0]), r"\[..., k, d\]"),
        (lambda x: variational.kl_of_mixture(jax.random.key(0), x, x, num_samples=0), "num_samples must be"),
        (lambda x: variational.prior_bandwidth(8, reading="sigma"), "reading must be one of"),
        (lambda x: variational.laplace_nll(x, x, scale=0.0), "scale must be > 0"),
        (lambda x: variational.gaussian_mmd_to_standard(x[0], bandwidth=1.0), r"\[..., n, d\]"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(draw(0, 2, 3))
