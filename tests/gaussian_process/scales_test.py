"""Noise, amplitudes and lengths over many orders of magnitude: float32 beside the formulas in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from gentoolkit.gaussian_process import (
    conjugate_gradients,
    coregionalization,
    covariance,
    evidence,
    posterior,
    sparse,
)

LENGTH, VARIANCE = 1.0, 1.3
MODEL = covariance.matern32(LENGTH, VARIANCE)
N = 24


def data():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 12, N)[:, None]
    return x, np.sin(x[:, 0]) + 0.1 * rng.normal(size=N), rng.uniform(0, 12, (6, 1))


def gram(x, z, length=LENGTH):
    a = 3**0.5 * np.abs(x - z.T) / length
    return VARIANCE * (1 + a) * np.exp(-a)


def truth(x, y, new, noise):
    """Mean and variance at new points, and log evidence, from a factor that no unit of rows matters to."""
    lower = np.linalg.cholesky(gram(x, x) + np.diag(noise))
    whitened = scipy.linalg.solve_triangular(lower, np.column_stack([y, gram(x, new)]), lower=True)
    y, cross = whitened[:, 0], whitened[:, 1:]
    value = -0.5 * np.sum(y**2) - np.sum(np.log(np.diag(lower))) - 0.5 * len(x) * np.log(2 * np.pi)
    return cross.T @ y, VARIANCE - np.sum(cross**2, axis=0), value


def some_large(large, every):
    return np.where(np.arange(N) % every == 1, large, 1e-2)


NOISE = {
    "one noisy": some_large(1e3, N),
    "every fourth noisy": some_large(1e6, 4),
    "every third said nothing of": some_large(1e30, 3),
    "over 60 decades": np.random.default_rng(1).permutation(np.geomspace(1e-30, 1e30, N)),
    "all much": np.full(N, 1e30),
    "next to none": np.full(N, 1e-30),
}


@jax.jit
def _of_noise(noise):
    x, y, new = data()
    p = posterior.condition(MODEL, x, y, noise=noise)
    value = evidence.log_marginal_likelihood(MODEL, x, y, noise=noise)
    return p.jitter, *posterior.mean_and_variance(p, new), value


@pytest.mark.fast
@pytest.mark.parametrize("name", NOISE)
def test_noise_may_differ_from_point_to_point(name):
    (x, y, new), noise = data(), NOISE[name]
    mean, variance, value = truth(x, y, new, noise)
    jitter, *ours = _of_noise(noise)
    assert jitter == 0
    np.testing.assert_allclose(ours[0], mean, atol=5e-6)
    np.testing.assert_allclose(ours[1], variance, atol=2e-6)
    np.testing.assert_allclose(ours[2], value, rtol=2e-5)


@jax.jit
def _slopes_and_predictions(noise):
    x, y, _ = data()

    def ours(t):
        model = covariance.matern32(LENGTH * jnp.exp(t[0]), VARIANCE)
        return evidence.log_marginal_likelihood(model, x, y, noise=noise * jnp.exp(t[1]))

    return jax.grad(ours)(jnp.zeros(2)), evidence.leave_one_out(MODEL, x, y, noise=noise)


@pytest.mark.fast
@pytest.mark.parametrize("name", ["one noisy", "every third said nothing of", "over 60 decades"])
def test_slopes_and_predictions_of_each_are_those_of_float64(name):
    (x, y, _), noise = data(), NOISE[name]
    slopes, found = _slopes_and_predictions(noise)
    full = gram(x, x) + np.diag(noise)
    # The inverse from a factor: a general one loses the rows of little noise next to those of much.
    root = np.sqrt(np.diag(full))
    inverse = np.linalg.inv(full / np.outer(root, root)) / np.outer(root, root)
    alpha = inverse @ y
    of_length = (gram(x, x, LENGTH * np.exp(1e-5)) - gram(x, x, LENGTH * np.exp(-1e-5))) / 2e-5
    expected = [0.5 * (alpha @ way @ alpha - np.sum(inverse * way)) for way in (of_length, np.diag(noise))]
    np.testing.assert_allclose(slopes, expected, rtol=1e-3, atol=1e-4)
    precision = np.diag(inverse)
    np.testing.assert_allclose(found.variance, 1 / precision, rtol=1e-3)
    np.testing.assert_allclose(found.mean, y - alpha / precision, atol=2e-4)


@jax.jit
def _of_amplitude(model, y, noise):
    x, _, new = data()
    exact = posterior.condition(model, x, y, noise=noise)
    few = sparse.condition(model, x, y, inducing=x[::3], noise=noise)
    outputs = np.array([[1.0, 0.5], [0.5, 2.0]])
    two = coregionalization.condition(model, x, jnp.stack([y, -y], 1), outputs=outputs, noise=noise)
    means = [posterior.mean(exact, new), posterior.mean(few, new), coregionalization.mean(two, new)]
    means.append(posterior.sample(jax.random.key(0), exact, new, num_features=16))
    means.append(posterior.sample(jax.random.key(0), exact, new, method="joint"))
    means.append(evidence.leave_one_out(model, x, y, noise=noise).mean)
    variances = [posterior.variance(exact, new), posterior.variance(few, new), coregionalization.variance(two, new)]
    bound = evidence.elbo(model, x, y, inducing=x[::3], noise=noise)
    solved = conjugate_gradients.solve(model, x, y, noise=noise, rank=8)
    probes = N**0.5 * np.eye(N)
    log_det = conjugate_gradients.log_det(model, x, probes, noise=noise, num_steps=N).value
    return means, variances, bound, solved.value, log_det


@pytest.mark.parametrize("exponent", [-98, 98])
def test_the_amplitude_is_a_unit(exponent):
    _, y, _ = data()
    size, square = 2.0 ** (exponent // 2), 2.0**exponent
    model = covariance.matern32(LENGTH, VARIANCE * square)

    def same(ours, expected, rtol=2e-5):
        np.testing.assert_allclose(ours, expected, rtol=rtol, atol=rtol * np.abs(expected).max())

    ours, expected = _of_amplitude(model, size * y, 0.01 * square), _of_amplitude(MODEL, y, 0.01)
    for place in range(len(expected[0])):
        same(ours[0][place] / size, expected[0][place])
    for place in range(len(expected[1])):
        same(ours[1][place] / square, expected[1][place])
    np.testing.assert_allclose(ours[2] + N * np.log(size), expected[2], atol=1e-3)
    same(ours[3] * size, expected[3], rtol=1e-3)
    # A sum of 1,630, in float32.
    np.testing.assert_allclose(ours[4] - N * np.log(square), expected[4], atol=1e-3)


@pytest.mark.fast
def test_a_log_determinant_by_lanczos_has_rows_of_all_sizes():
    x, _, _ = data()
    for noise in (NOISE["over 60 decades"], NOISE["every fourth noisy"]):
        expected = np.linalg.slogdet(gram(x, x) + np.diag(noise))[1]
        if np.ptp(np.log(noise)) > 50:
            root = np.sqrt(VARIANCE + noise)
            scaled = (gram(x, x) + np.diag(noise)) / np.outer(root, root)
            expected = np.linalg.slogdet(scaled)[1] + 2 * np.sum(np.log(root))
        found = conjugate_gradients.log_det(MODEL, x, N**0.5 * np.eye(N), noise=noise, num_steps=N)
        np.testing.assert_allclose(found.value, expected, rtol=1e-4, atol=1e-2)


def test_conjugate_gradients_take_noise_of_all_sizes():
    x, y, _ = data()
    noise = NOISE["every fourth noisy"]
    found = conjugate_gradients.solve(MODEL, x, y, noise=noise, rank=N // 2)
    expected = np.linalg.solve(gram(x, x) + np.diag(noise), y)
    np.testing.assert_allclose(found.value, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    # Rows that are small next to others still have pivots.
    model = coregionalization.coregionalized(MODEL, np.diag([1e10, 1.0]))
    points = np.concatenate([np.hstack([x[:3], np.full((3, 1), output)]) for output in (0, 1)])
    factor = np.asarray(conjugate_gradients.pivoted_cholesky(model, points, rank=6).factor, np.float64)
    full = scipy.linalg.block_diag(1e10 * gram(x[:3], x[:3]), gram(x[:3], x[:3]))
    root = np.sqrt(np.diag(full))
    np.testing.assert_allclose(factor @ factor.T / np.outer(root, root), full / np.outer(root, root), atol=1e-5)


@jax.jit
def _grams_and_slopes(scale, x):
    def gram(scale, x, family):
        gram = family(scale, VARIANCE).gram(x, x)
        return jnp.sum(gram), gram

    families = (covariance.squared_exponential, covariance.matern32, covariance.matern52)
    return [jax.grad(gram, has_aux=True)(scale, x, family) for family in families]


@pytest.mark.fast
@pytest.mark.parametrize("far", [1e8, 1e20, 1e30])
@pytest.mark.parametrize("ard", [False, True])
def test_a_point_far_away_leaves_the_others_alone(far, ard):
    x, _, _ = data()
    scale = jnp.asarray([LENGTH] if ard else LENGTH)
    beside, near = np.float32(np.concatenate([x, [[far]]])), np.float32(np.concatenate([x, [[0]]]))
    for (slope, ours), (_, one) in zip(_grams_and_slopes(scale, beside), _grams_and_slopes(scale, near), strict=True):
        np.testing.assert_allclose(ours[:N, :N], one[:N, :N], atol=1e-6)
        np.testing.assert_allclose(ours[N], np.r_[np.zeros(N), VARIANCE], rtol=1e-6)
        assert np.isfinite(slope).all()


@pytest.mark.fast
def test_a_point_far_away_in_many_features():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 20)).astype(np.float32)
    beside = np.concatenate([x, np.full((1, 20), 1e6, np.float32)])
    exact = ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(covariance.squared_distance(beside, beside)[:30, :30], exact, atol=1e-4)
    beside[30, 3] = np.nan
    np.testing.assert_allclose(covariance.squared_distance(beside, beside)[:30, :30], exact, atol=1e-4)


# Outside `jit`, fits of 60 points of one feature with noise weights are one program.
fit = evidence.fit


def targets():
    rng = np.random.default_rng(3)
    x = np.linspace(0, 6, 60)[:, None].astype(np.float32)
    noise = rng.normal(size=60)
    return x, np.float32(np.sin(2 * x[:, 0]) + 0.1 * noise), noise


def test_a_fit_follows_the_units_of_points_and_targets():
    x, y, _ = targets()
    expected = fit(jax.random.key(0), x, y, noise_weights=np.ones(60, np.float32))
    for of_x, of_y, of_noise in ((1e-30, 1, 1), (1e30, 1, 1), (1, 1e-15, 1), (1, 1e17, 1), (1, 1, 1e-20), (1, 1, 1e20)):
        weights = np.full(60, of_noise, np.float32)
        found = fit(jax.random.key(0), np.float32(of_x * x), np.float32(of_y * y), noise_weights=weights)
        np.testing.assert_allclose(
            float(found.covariance.lengthscale) / of_x, expected.covariance.lengthscale, rtol=1e-2
        )
        np.testing.assert_allclose(float(found.covariance.variance) / of_y**2, expected.covariance.variance, rtol=2e-2)
        np.testing.assert_allclose(float(found.noise) * of_noise / of_y**2, expected.noise, rtol=1e-2)
        value = float(found.log_marginal_likelihood) + 60 * np.log(of_y)
        np.testing.assert_allclose(value, expected.log_marginal_likelihood, atol=1e-2)
    # 1e-21, the variance of the noise would be 1e-44: no number of float32 any more, and said to be none.
    found = fit(jax.random.key(0), x, np.float32(1e-21 * y), noise_weights=np.ones(60, np.float32))
    assert np.isnan(found.noise) and np.isnan(found.covariance.variance)


def test_a_fit_of_timestamps_is_that_of_their_differences():
    x, y, _ = targets()
    weights = np.ones(60, np.float32)
    expected = evidence.fit(jax.random.key(0), x.astype(np.float64), y, noise_weights=weights)
    found = evidence.fit(jax.random.key(0), x.astype(np.float64) + 1.7e9, y, noise_weights=weights)
    np.testing.assert_allclose(found.covariance.lengthscale, expected.covariance.lengthscale, rtol=1e-2)
    np.testing.assert_allclose(found.log_marginal_likelihood, expected.log_marginal_likelihood, atol=1e-3)


def test_each_feature_has_its_unit():
    x, y, _ = targets()
    both = np.stack([x[:, 0], np.random.default_rng(4).normal(size=60)], axis=1).astype(np.float32)
    expected = fit(jax.random.key(0), both, y, ard=True)
    found = fit(jax.random.key(0), both * np.float32([1e25, 1e-25]), y, ard=True)
    np.testing.assert_allclose(found.log_marginal_likelihood, expected.log_marginal_likelihood, atol=1e-2)
    np.testing.assert_allclose(found.covariance.lengthscale[0] / 1e25, expected.covariance.lengthscale[0], rtol=2e-2)


def test_data_of_huge_noise_are_fitted_as_in_float64():
    x, y, noise = targets()
    weights = np.where(np.arange(60) % 6 == 0, 1e8, 1.0).astype(np.float32)
    y = np.where(weights > 1, y + 50 * np.float32(noise), y).astype(np.float32)
    found = fit(jax.random.key(0), x, y, noise_weights=weights)
    with jax.enable_x64(True):
        exact = evidence.fit(jax.random.key(0), *(a.astype(np.float64) for a in (x, y)), noise_weights=weights)
    left_out = fit(jax.random.key(0), x, y, noise_weights=np.where(weights > 1, np.inf, 1.0).astype(np.float32))
    for ours, expected in ((found, exact), (left_out, exact)):
        # Data left out have no part in the evidence; huge noise has a little, as its size is known but for the factor.
        rtol = 2e-2 if ours is found else 0.25
        np.testing.assert_allclose(ours.covariance.lengthscale, expected.covariance.lengthscale, rtol=rtol)
        np.testing.assert_allclose(ours.covariance.variance, expected.covariance.variance, rtol=rtol)
        np.testing.assert_allclose(ours.noise, expected.noise, rtol=rtol + (0 if ours is found else 0.2))
