import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as reference

from gentoolkit.gaussian_process import covariance, evidence, posterior, sparse

MODEL = covariance.squared_exponential([0.9, 1.2], 1.4)
# Compiled whole: untraced, each operation is a program of its own. Some tests here, and origin_test.py, go without.
condition = jax.jit(posterior.condition)
mean_of, variance_of, mean_and_variance = (
    jax.jit(f, static_argnames="block_size") for f in (posterior.mean, posterior.variance, posterior.mean_and_variance)
)
covariance_of = jax.jit(posterior.covariance)
sample = jax.jit(posterior.sample, static_argnames=("num_samples", "num_features", "method", "block_size"))


def data(seed=0, n=25, outputs=None, dtype=np.float64, error=0.1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 2))
    y = np.sin(x.sum(axis=1)) + error * rng.normal(size=n)
    if outputs:
        y = np.stack([np.roll(y, shift) for shift in range(outputs)], axis=1)
    return x.astype(dtype), y.astype(dtype), rng.uniform(-2, 2, size=(11, 2)).astype(dtype)


def test_equals_scikit_learn(x64):
    x, y, new = data()
    each = np.linspace(0.005, 0.05, len(x))

    @jax.jit
    def results(model, noise):
        p = posterior.condition(model, x, y, noise=noise)
        value = evidence.log_marginal_likelihood(model, x, y, noise=noise)
        return p.jitter, *posterior.mean_and_variance(p, new), posterior.covariance(p, new), value

    for ours, theirs, noise in (
        (MODEL, 1.4 * reference.RBF([0.9, 1.2]), each),
        (MODEL, 1.4 * reference.RBF([0.9, 1.2]), 0.01),
        (covariance.matern32(0.7, 1.1), 1.1 * reference.Matern(0.7, nu=1.5), each),
        (covariance.matern52(0.7, 1.1), 1.1 * reference.Matern(0.7, nu=2.5), each),
        (covariance.rational_quadratic(0.7, 1.1, alpha=0.6), 1.1 * reference.RationalQuadratic(0.7, 0.6), each),
    ):
        regressor = GaussianProcessRegressor(theirs, alpha=noise, optimizer=None).fit(x, y)
        mean, deviation = regressor.predict(new, return_std=True)
        jitter, ours_mean, ours_variance, ours_covariance, value = results(ours, noise)
        assert jitter == 0
        np.testing.assert_allclose(ours_mean, mean, atol=1e-8)
        np.testing.assert_allclose(np.sqrt(ours_variance), deviation, atol=1e-8)
        _, full = regressor.predict(new, return_cov=True)
        np.testing.assert_allclose(ours_covariance, full, atol=1e-8)
        np.testing.assert_allclose(value, regressor.log_marginal_likelihood_value_, atol=1e-8)


@pytest.mark.fast
def test_interpolates_without_noise_and_knows_nothing_far_away(x64):
    x = np.linspace(0, 6, 7)[:, None]
    y = np.cos(x[:, 0])
    p = condition(covariance.matern52(1.0, 2.0), x, y, noise=0.0, mean=0.3)
    mean, variance = mean_and_variance(p, x)
    np.testing.assert_allclose(mean, y, atol=1e-6)
    np.testing.assert_allclose(variance, 0.0, atol=1e-6)
    mean, variance = mean_and_variance(p, np.array([[1e4]]))
    np.testing.assert_allclose([mean[0], variance[0]], [0.3, 2.0], rtol=1e-12)


@pytest.mark.fast
def test_one_datum_is_shrunk_by_the_ratio_of_variances(x64):
    for noise in (0.1, 10.0, 1e6):
        p = condition(covariance.squared_exponential(1.0, 2.0), np.zeros((1, 1)), np.ones(1), noise=noise)
        mean, variance = mean_and_variance(p, np.zeros((1, 1)))
        np.testing.assert_allclose(mean, 2.0 / (2.0 + noise), rtol=1e-12)
        np.testing.assert_allclose(variance, 2.0 * noise / (2.0 + noise), rtol=1e-9)


def test_replicates_are_one_mean_with_less_noise(x64):
    x, y, new = data(1, 6)
    times = np.array([1, 3, 2, 5, 1, 4])
    many_x = np.repeat(x, times, axis=0)
    many_y = np.repeat(y, times) + 0.1 * np.random.default_rng(2).normal(size=times.sum())
    means = np.array([group.mean() for group in np.split(many_y, np.cumsum(times)[:-1])])
    whole = mean_and_variance(condition(MODEL, many_x, many_y, noise=0.04), new)
    short = mean_and_variance(condition(MODEL, x, means, noise=0.04 / times), new)
    np.testing.assert_allclose(short, whole, atol=1e-10)


def test_does_not_depend_on_order_or_padding(x64):
    x, y, new = data()
    p = mean_and_variance(condition(MODEL, x, y, noise=0.01), new)
    order = np.random.default_rng(3).permutation(len(x))
    turned = condition(MODEL, x[order], y[order], noise=0.01)
    np.testing.assert_allclose(mean_and_variance(turned, new), p, atol=1e-12)
    padded_x = np.concatenate([x, new[:4]])
    padded_y = np.concatenate([y, [np.nan, 1e9, -3.0, 0.0]])
    noise = np.concatenate([np.full(len(x), 0.01), np.full(4, np.inf)])
    padded = condition(MODEL, padded_x, padded_y, noise=noise)
    np.testing.assert_allclose(mean_and_variance(padded, new), p, atol=1e-12)
    log_marginal_likelihood = jax.jit(evidence.log_marginal_likelihood)
    value = log_marginal_likelihood(MODEL, padded_x, padded_y, noise=noise)
    np.testing.assert_allclose(value, log_marginal_likelihood(MODEL, x, y, noise=0.01), rtol=1e-12)


def test_several_targets_are_each_on_its_own(x64):
    x, y, new = data(outputs=3)
    p = condition(MODEL, x, y, noise=0.01, mean=np.array([0.0, 1.0, -1.0]))
    assert mean_of(p, new).shape == (11, 3) and variance_of(p, new).shape == (11,)
    for place, prior in enumerate((0.0, 1.0, -1.0)):
        alone = condition(MODEL, x, y[:, place], noise=0.01, mean=prior)
        np.testing.assert_allclose(mean_of(p, new)[:, place], mean_of(alone, new), atol=1e-12)


@pytest.mark.fast
def test_the_prior_mean_may_be_a_function(x64):
    x, y, new = data()
    slope = Partial(lambda weights, x: x @ weights, jnp.asarray([0.5, -1.0]))
    p = condition(MODEL, x, y, noise=0.01, mean=slope)
    plain = condition(MODEL, x, y - slope(x), noise=0.01)
    np.testing.assert_allclose(mean_of(p, new), mean_of(plain, new) + slope(new), atol=1e-12)
    with pytest.raises(ValueError, match="mean"):
        posterior.condition(MODEL, x, y, noise=0.01, mean=lambda x: x)


def test_blocks_change_nothing(x64):
    x, y, new = data(outputs=2)
    p = condition(MODEL, x, y, noise=0.01)
    whole = mean_and_variance(p, new)
    for block_size in (1, 4, 100):
        for ours, expected in zip(mean_and_variance(p, new, block_size=block_size), whole, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-13)
    slope = jax.jit(
        jax.grad(lambda z, size: jnp.sum(posterior.mean(p, z, block_size=size) ** 2)), static_argnames="size"
    )
    np.testing.assert_allclose(slope(new, size=4), slope(new, size=11), atol=1e-12)


@pytest.mark.parametrize("num", [1, 25])  # in two passes with a datum repeated, in three passes
def test_the_mean_at_very_many_points_is_the_same(num, x64):
    x, y, _ = data(n=num)
    noise = np.where(np.arange(num) == num // 2, np.inf, 0.05) if num > 1 else 0.05  # one left out
    p = condition(MODEL, x, y, noise=noise, mean=0.3)
    new = np.random.default_rng(1).uniform(-3, 3, size=(1 << 15, 2))

    def total(p, new):
        mean = posterior.mean(p, new)
        return jnp.sum(jnp.sin(mean)), mean

    slopes = jax.jit(jax.grad(total, argnums=(0, 1), allow_int=True, has_aux=True))
    (slope, of_new), mean = slopes(p, jnp.asarray(new))
    parts, means = zip(*(slopes(p, part) for part in np.split(new, 4)), strict=True)
    np.testing.assert_allclose(mean, np.concatenate(means), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(of_new, np.concatenate([part[1] for part in parts]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(slope.weights, sum(part[0].weights for part in parts), rtol=1e-9, atol=1e-9)


def test_sixty_four_problems_at_once_are_a_loop(x64):
    xs, ys, scales = [], [], np.linspace(0.5, 2.0, 64)
    for seed in range(64):
        x, y, new = data(seed, 8)
        xs.append(x), ys.append(y)

    def solve(scale, x, y):
        p = posterior.condition(covariance.matern52(scale, 1.0), x, y, noise=0.01)
        return posterior.mean_and_variance(p, jnp.asarray(new))

    together = jax.jit(jax.vmap(solve))(scales, np.stack(xs), np.stack(ys))
    one = jax.jit(solve)
    for place in range(64):
        alone = one(scales[place], xs[place], ys[place])
        for ours, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours[place], expected, atol=1e-10)


@pytest.mark.fast
def test_a_posterior_is_a_value(x64):
    x, y, new = data()
    p = posterior.condition(MODEL, x, y, noise=0.01)
    np.testing.assert_allclose(jax.jit(posterior.mean)(p, new), posterior.mean(p, new), atol=1e-13)
    p = jax.tree.unflatten(jax.tree.structure(p), jax.tree.leaves(p))
    assert posterior.variance(p, new).shape == (11,)


def test_gradients_are_those_of_finite_differences(x64):
    x, y, new = data(n=10)

    @jax.jit
    def loss(log_scale, shift, noise):
        model = covariance.matern52(jnp.exp(log_scale), 1.3)
        p = posterior.condition(model, x + shift * jnp.cos(x), y, noise=noise)
        mean, variance = posterior.mean_and_variance(p, jnp.asarray(new))
        return jnp.sum(jnp.sin(mean)) + jnp.sum(variance**2)

    at = (0.1, 0.2, 0.05)
    ours = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    for place in range(3):
        ways = [[value + sign * 1e-5 * (i == place) for i, value in enumerate(at)] for sign in (1, -1)]
        np.testing.assert_allclose(ours[place], (loss(*ways[0]) - loss(*ways[1])) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize(("noise", "bound"), [(1e-4, 5e-4), (1e-2, 5e-5)])
def test_float32_stays_within_the_documented_bounds(noise, bound):
    x, y, new = data(4, 300, error=noise**0.5)
    results = {}
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            model = covariance.squared_exponential(dtype(0.5), dtype(1.0))
            p = condition(model, x.astype(dtype), y.astype(dtype), noise=noise)
            mean, variance = mean_and_variance(p, new.astype(dtype))
            results[dtype] = np.asarray(mean, np.float64), np.sqrt(np.asarray(variance, np.float64))
    (mean, deviation), (exact, exact_deviation) = results[np.float32], results[np.float64]
    np.testing.assert_allclose(mean, exact, atol=bound)
    np.testing.assert_allclose(deviation, exact_deviation, atol=bound)


@pytest.mark.parametrize(
    "form", ["exact", "vfe", *(pytest.param(form, marks=pytest.mark.slow) for form in ("fitc", "sor")), "joint"]
)
def test_samples_have_the_moments_of_the_posterior(form):
    x, y, new = data(5, 12, dtype=np.float32)
    new = new[:4]
    if form in ("exact", "joint"):
        p = condition(MODEL, x, y, noise=0.05, mean=0.5)
    else:
        fit = jax.jit(functools.partial(sparse.condition, method=form))
        p = fit(MODEL, x, y, inducing=x[:6], noise=0.05, mean=0.5)
    method = "joint" if form == "joint" else "pathwise"
    draw = functools.partial(posterior.sample, num_samples=4000, num_features=4000, method=method)
    draws = np.asarray(jax.jit(draw)(jax.random.key(0), p, new), np.float64)
    assert draws.shape == (4000, 4)
    mean, full = mean_of(p, new), np.asarray(covariance_of(p, new), np.float64)
    np.testing.assert_allclose(np.diag(full), variance_of(p, new), atol=1e-5)
    # 5 standard errors; the waves, shared by all draws, add as much again to covariances of the prior's 1.4.
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=5 * (np.diag(full).max() / 4000) ** 0.5 + 1e-3)
    waves = 5 * 1.4 / 4000**0.5 if method == "pathwise" else 0.0
    np.testing.assert_allclose(np.cov(draws.T), full, atol=5 * 1.5 * np.diag(full).max() / 4000**0.5 + waves)


def test_a_sample_is_one_function(x64):
    x, y, new = data(6, 7, outputs=2)
    p = condition(MODEL, x, y, noise=0.0)
    key = jax.random.key(3)
    new = new[:7]
    whole = sample(key, p, new, num_samples=3, num_features=64)
    assert whole.shape == (3, 7, 2)
    part = sample(key, p, new[2:5], num_samples=3, num_features=64, block_size=2)
    np.testing.assert_allclose(part, whole[:, 2:5], atol=1e-10)
    at_data = sample(key, p, x, num_samples=3, num_features=64)
    np.testing.assert_allclose(at_data, np.broadcast_to(y, (3, 7, 2)), atol=1e-5)
    one = jax.eval_shape(lambda y: posterior.sample(key, posterior.condition(MODEL, x, y, noise=0.1), new), y[:, 0])
    assert one.shape == (1, 7)


@pytest.mark.fast
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_duplicates_without_noise_are_averaged(dtype):
    x = jnp.asarray([[0.0], [0.0], [1.0]], dtype)
    p = condition(covariance.squared_exponential(1.0, 1.0), x, np.float32([1.0, 2.0, 0.0]), noise=0.0)
    assert 0 < p.jitter < 1e-2
    mean = mean_of(p, jnp.asarray([[0.0], [1.0]], jnp.float32))
    # The jitter of about 1e-6 over the gap of the duplicates.
    np.testing.assert_allclose(mean, [1.5, 0.0], atol=1e-2)
    assert mean.dtype == jnp.float32


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Indefinite(covariance.Covariance):
    def _gram(self, x, z):
        return -(x @ z.T)

    def _diagonal(self, x):
        return -jnp.sum(x * x, axis=1)


def test_an_indefinite_covariance_and_nan_are_nan():
    x, y, new = data(dtype=np.float32)
    bad_model = condition(_Indefinite(), x, y, noise=0.01)
    bad_data = condition(MODEL, x, np.where(np.arange(25) == 3, np.nan, y), noise=0.01)
    bad_noise = jax.jit(lambda noise: condition(MODEL, x, y, noise=noise))(-1.0)
    for p in (bad_model, bad_data, bad_noise):
        assert np.isnan(mean_of(p, new)).all()
    assert np.isnan(bad_model.jitter) and np.isnan(variance_of(bad_model, new)).all()


@pytest.mark.fast
def test_bad_input_is_named():
    x, y, new = data()
    for call, told in (
        (lambda: posterior.condition(MODEL, x, y[:3], noise=0.1), r"y.shape = \(3,\)"),
        (lambda: posterior.condition(MODEL, x, y, noise=-0.1), "noise"),
        (lambda: posterior.condition(MODEL, x, y, noise=np.ones(3)), "noise.shape"),
        (lambda: posterior.condition(MODEL, x[None], y, noise=0.1), "vmap"),
        (lambda: posterior.mean(posterior.condition(MODEL, x, y, noise=0.1), new[:, :1]), "x.shape"),
        (lambda: posterior.mean(posterior.condition(MODEL, x, y, noise=0.1), new, block_size=0), "block_size"),
        (lambda: posterior.sample(jax.random.key(0), None, new, method="slow"), "method"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(TypeError, match="x"):
        posterior.condition(MODEL, x + 0j, y, noise=0.1)
