import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.gaussian_process import covariance, evidence, posterior

MODEL = covariance.matern52([0.9, 1.2], 1.4)
# Compiled whole: untraced, each operation is a program of its own.
condition, mean_and_variance, mean_of = map(jax.jit, (posterior.condition, posterior.mean_and_variance, posterior.mean))
elbo = jax.jit(evidence.elbo, static_argnames="block_size")
log_marginal_likelihood, leave_one_out = map(jax.jit, (evidence.log_marginal_likelihood, evidence.leave_one_out))


def data(seed=0, n=20, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 2))
    return x, np.sin(x.sum(axis=1)) + noise * rng.normal(size=n)


@pytest.mark.fast
def test_equals_the_normal_density_of_scipy(x64):
    x, y = data()
    noise = np.linspace(0.01, 0.2, 20)
    full = np.asarray(MODEL.gram(x, x)) + np.diag(noise)
    expected = scipy.stats.multivariate_normal(np.full(20, 0.3), full).logpdf(y)
    value = log_marginal_likelihood(MODEL, x, y, noise=noise, mean=0.3)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    both = log_marginal_likelihood(MODEL, x, np.stack([y, y], axis=1), noise=noise, mean=0.3)
    np.testing.assert_allclose(both, 2 * expected, rtol=1e-9)


@pytest.mark.fast
def test_the_bound_is_that_of_its_definition(x64):
    x, y = data()
    noise, inducing = np.linspace(0.01, 0.2, 20), x[:6]
    gram = np.asarray(MODEL.gram(x, x))
    cross = np.asarray(MODEL.gram(x, inducing))
    low = cross @ np.linalg.solve(np.asarray(MODEL.gram(inducing, inducing)), cross.T)
    expected = scipy.stats.multivariate_normal(np.zeros(20), low + np.diag(noise)).logpdf(y)
    expected -= 0.5 * np.sum(np.diag(gram - low) / noise)
    value = elbo(MODEL, x, y, inducing=inducing, noise=noise, block_size=6)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_the_bound_rises_with_inducing_points_to_the_evidence(x64):
    x, y = data()
    bounds = [float(elbo(MODEL, x, y, inducing=x[:num], noise=0.05)) for num in (1, 10, 20)]
    assert all(low <= high + 1e-9 for low, high in zip(bounds, bounds[1:], strict=False))
    exact = float(log_marginal_likelihood(MODEL, x, y, noise=0.05))
    assert bounds[-1] <= exact + 1e-9
    np.testing.assert_allclose(bounds[-1], exact, atol=1e-8)


@pytest.mark.parametrize("form", ["exact", "bound", "leave_one_out"])
def test_gradients_are_those_of_finite_differences(x64, form):
    x, y = data(n=12)

    def loss(log_scale, log_variance, noise):
        model = covariance.squared_exponential(jnp.exp(log_scale), jnp.exp(log_variance))
        if form == "exact":
            return evidence.log_marginal_likelihood(model, x, y, noise=noise)
        if form == "bound":
            return evidence.elbo(model, x, y, inducing=x[:4], noise=noise, block_size=5)
        return jnp.sum(evidence.leave_one_out(model, x, y, noise=noise).log_density)

    at = (0.1, 0.2, 0.05)
    ours, slope = jax.jit(loss), jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    for place in range(3):
        ways = [[value + sign * 1e-5 * (i == place) for i, value in enumerate(at)] for sign in (1, -1)]
        np.testing.assert_allclose(slope[place], (ours(*ways[0]) - ours(*ways[1])) / 2e-5, rtol=1e-5)


def test_gradients_by_points_values_and_noise_are_those_of_the_plain_formula(x64):
    """Of two targets at once, and in both modes: the derivative of the evidence is its own."""
    x, y = (jnp.asarray(a) for a in data(n=9))
    at = (x, jnp.stack([y, y**2], axis=1), jnp.linspace(0.05, 0.2, 9))

    def ours(x, y, noise):
        return evidence.log_marginal_likelihood(MODEL, x, y, noise=noise)

    def plain(x, y, noise):
        full = MODEL.gram(x, x) + jnp.diag(noise)
        return -0.5 * (
            jnp.sum(y * jnp.linalg.solve(full, y)) + 2 * jnp.linalg.slogdet(full)[1] + 18 * np.log(2 * np.pi)
        )

    def derivatives(f):
        return jax.jit(lambda *at: (jax.grad(f, (0, 1, 2))(*at), jax.jacfwd(f, (1, 2))(*at), jax.hessian(f, 2)(*at)))

    close = functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9)
    jax.tree.map(close, derivatives(ours)(*at), derivatives(plain)(*at))


def test_leave_one_out_is_refitting_without_each(x64):
    x, y = data(n=8)
    noise = np.linspace(0.01, 0.2, 8)
    found = leave_one_out(MODEL, x, y, noise=noise, mean=0.2)
    for place in range(8):
        rest = np.arange(8) != place
        p = condition(MODEL, x[rest], y[rest], noise=noise[rest], mean=0.2)
        mean, variance = mean_and_variance(p, x[place : place + 1])
        np.testing.assert_allclose(found.mean[place], mean[0], atol=1e-8)
        np.testing.assert_allclose(found.variance[place], variance[0] + noise[place], atol=1e-8)
        density = scipy.stats.norm(mean[0], (variance[0] + noise[place]) ** 0.5).logpdf(y[place])
        np.testing.assert_allclose(found.log_density[place], density, atol=1e-8)


# Outside `jit`, fits of data of one shape with noise weights are one program: in float64 60 points of two features, in
# float32 100 of one.


def tone_curve(gamma, num, seed, levels=255):
    """A brightening curve seen through 8 bits: from one start, fits of it end as pure noise.

    Filled up to 100 points with some that are left out: points, values, noise weights.
    """
    y = np.sort(np.random.default_rng(seed).uniform(size=num))
    x = (np.round(levels * y**gamma) / levels) ** (1 / 3)
    y = np.round(levels * y) / levels - y.mean()
    x, y = (np.float32(np.pad(leaf, (0, 100 - num))) for leaf in (x, y))
    return x[:, None], y, np.float32(np.where(np.arange(100) < num, 1.0, np.inf))


@pytest.mark.parametrize(("gamma", "num"), [(4.0, 30), (4.0, 100), (2.0, 30)])
def test_a_steep_curve_is_never_taken_for_noise(gamma, num):
    for seed in range(2):
        x, y, weights = tone_curve(gamma, num, seed)
        found = evidence.fit(jax.random.key(0), x, y, noise_weights=weights)
        p = condition(found.covariance, x, y, noise=found.noise * weights)
        error = (np.asarray(mean_of(p, x)) - y)[:num]
        # Pure noise would leave the whole deviation of 0.29; quantisation of the darkest tones leaves 0.05.
        assert np.sqrt(np.mean(error**2)) < 0.06, (gamma, num, seed)
        assert np.isfinite(found.log_marginal_likelihood)


def test_the_fit_is_a_maximum_and_the_evidence_its_own(x64):
    x, y = data(1, 60)
    found = evidence.fit(jax.random.key(0), x, y, noise_weights=np.ones(60))
    value = log_marginal_likelihood(found.covariance, x, y, noise=found.noise)
    np.testing.assert_allclose(found.log_marginal_likelihood, value, rtol=1e-8)
    scale, variance = float(found.covariance.lengthscale), float(found.covariance.variance)

    def at(t):
        model = covariance.squared_exponential(scale * jnp.exp(t[0]), variance * jnp.exp(t[1]))
        return log_marginal_likelihood(model, x, y, noise=found.noise * jnp.exp(t[2]))

    slope = jax.jit(jax.grad(at))(jnp.zeros(3))
    np.testing.assert_allclose(slope, 0.0, atol=1e-3)


def test_valleys_of_few_data_are_compared_on_all():
    # A slow wave and a fast one: to 16 of the 150 points the fast one looks like noise as often as not, which costs 216
    # nats. Their deepest valley alone leads to the maximum from five of these draws, the four deepest from seven.
    x = np.random.default_rng(0).uniform(0, 1, size=(150, 1)).astype(np.float32)
    noise = 0.05 * np.random.default_rng(1).normal(size=150)
    y = (np.sin(3.0 * x[:, 0]) + 0.5 * np.sin(60.0 * x[:, 0]) + noise).astype(np.float32)

    def found(key, max_grid_points):
        return evidence.fit(key, x, y, num_starts=1, max_grid_points=max_grid_points).log_marginal_likelihood

    few = jax.jit(functools.partial(found, max_grid_points=16))
    best = float(found(jax.random.key(0), 150))
    assert sum(float(few(jax.random.key(seed))) > best - 1.0 for seed in range(10)) > 5


def test_pure_noise_is_found_to_be_noise(x64):
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=(60, 2)), rng.normal(size=60)
    found = evidence.fit(jax.random.key(0), x, y, noise_weights=np.ones(60))
    p = condition(found.covariance, x, y, noise=found.noise)
    # Either all is noise, or a process that nothing can be learned from: as good an explanation as white noise.
    white = scipy.stats.norm(0, y.std()).logpdf(y).sum()
    assert found.log_marginal_likelihood >= white - 0.5
    assert np.std(mean_of(p, rng.uniform(size=(50, 2)))) < 0.7


def test_lengthscales_for_each_feature_find_the_one_that_matters(x64):
    rng = np.random.default_rng(4)
    x = rng.uniform(-2, 2, size=(50, 3))
    y = np.sin(2 * x[:, 1]) + 0.05 * rng.normal(size=50)
    found = evidence.fit(jax.random.key(0), x, y, ard=True)
    scale = np.asarray(found.covariance.lengthscale)
    assert scale.shape == (3,) and scale[1] * 5 < min(scale[0], scale[2])


def test_weights_of_the_noise_make_averages_worth_their_number(x64):
    x, y = data(5, 60)
    times = np.random.default_rng(6).integers(1, 6, 60).astype(float)
    found = evidence.fit(jax.random.key(0), x, y, noise_weights=1.0 / times)
    value = log_marginal_likelihood(found.covariance, x, y, noise=found.noise / times)
    np.testing.assert_allclose(found.log_marginal_likelihood, value, rtol=1e-8)


def test_a_sparse_fit_raises_the_bound(x64):
    x, y = data(7, 60)
    found = evidence.fit(jax.random.key(0), x, y, inducing=x[:15])
    value = elbo(found.covariance, x, y, inducing=x[:15], noise=found.noise)
    np.testing.assert_allclose(found.log_marginal_likelihood, value, rtol=1e-6)
    exact = evidence.fit(jax.random.key(0), x, y, noise_weights=np.ones(60))
    at_exact = elbo(exact.covariance, x, y, inducing=x[:15], noise=exact.noise)
    assert value >= at_exact - 1e-6


def test_many_fits_at_once_are_a_loop():
    xs, ys, weights = (np.stack(leaf) for leaf in zip(*(tone_curve(4.0, 20, seed) for seed in range(3)), strict=True))
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key, x, y, w: evidence.fit(key, x, y, noise_weights=w)))(keys, xs, ys, weights)
    for place in range(3):
        alone = evidence.fit(keys[place], xs[place], ys[place], noise_weights=weights[place])
        np.testing.assert_allclose(
            together.log_marginal_likelihood[place], alone.log_marginal_likelihood, rtol=1e-3, atol=1e-2
        )


def test_degenerate_data_are_finite():
    key = jax.random.key(0)
    x, y, weights = tone_curve(1.0, 6, 8)
    for given_x, given_y in ((x, 0 * y), (x, 0 * y + 3), (0 * x, y)):
        found = evidence.fit(key, given_x, given_y, noise_weights=weights)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    found = evidence.fit(key, x, y * np.float32(np.nan), noise_weights=weights)
    assert np.isnan(found.log_marginal_likelihood)


@pytest.mark.fast
def test_bad_input_is_named():
    x, y = data(n=5)
    for options, told in (
        ({"noise_weights": 0.0}, "noise"),
        ({"num_starts": 0}, "num_starts"),
        ({"min_noise_ratio": -1.0}, "min_noise_ratio"),
        ({"inducing": x[:, :1]}, "inducing.shape"),
    ):
        with pytest.raises(ValueError, match=told):
            evidence.fit(jax.random.key(0), x, y, **options)
    with pytest.raises(ValueError, match="noise"):
        evidence.elbo(MODEL, x, y, inducing=x, noise=0.0)
