import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import covariance, evidence, posterior, sparse

MODEL = covariance.matern52([0.9, 1.2], 1.4)
LOW_RANK = ("sor", "dtc", "fitc", "vfe")
# Compiled whole: untraced, each operation is a program of its own.
condition = jax.jit(posterior.condition)
mean_of, variance_of, mean_and_variance = map(
    jax.jit, (posterior.mean, posterior.variance, posterior.mean_and_variance)
)
sparsely = jax.jit(sparse.condition, static_argnames=("method", "block_size"))
elbo, log_marginal_likelihood = map(jax.jit, (evidence.elbo, evidence.log_marginal_likelihood))
gram_of = jax.jit(MODEL.gram)


def data(seed=0, n=30, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 2))
    y = np.sin(x.sum(axis=1)) + 0.1 * rng.normal(size=n)
    return x.astype(dtype), y.astype(dtype), rng.uniform(-3, 3, size=(11, 2)).astype(dtype)


def dense(method, x, y, new, inducing, noise):
    """Mean and covariance by the definition, with whole matrices."""
    gram = lambda a, b: np.asarray(gram_of(a, b))  # noqa: E731
    inverse = np.linalg.inv(gram(inducing, inducing))
    low = lambda a, b: gram(a, inducing) @ inverse @ gram(inducing, b)  # noqa: E731
    seen = low(x, x) + np.diag(np.broadcast_to(noise, len(x)))
    if method == "fitc":
        seen = seen + np.diag(np.diag(gram(x, x) - low(x, x)))
    prior = low(new, new) if method == "sor" else gram(new, new)
    gain = np.linalg.solve(seen, low(x, new)).T
    return gain @ y, prior - gain @ low(x, new), seen


@pytest.mark.parametrize("method", LOW_RANK)
def test_equals_the_definition(x64, method):
    x, y, new = data()

    @jax.jit
    def results(y, noise):
        p = sparse.condition(MODEL, x, y, inducing=x[:8], noise=noise, method=method, block_size=7)
        return posterior.mean(p, new), posterior.covariance(p, new), posterior.variance(p, new, block_size=3)

    for noise in (np.linspace(0.005, 0.1, 30), np.where(np.arange(30) < 27, 0.02, np.inf)):
        used = np.isfinite(noise)  # what has infinite noise fills up, whatever its value
        mean, full, _ = dense(method, x[used], y[used], new, x[:8], noise[used])
        got = results(np.where(used, y, np.where(np.arange(30) == 28, np.nan, 1e8)), noise)
        for ours, expected in zip(got, (mean, full, np.diag(full)), strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("method", ["dtc", "fitc", "vfe", "subset"])
def test_all_data_as_inducing_points_are_the_exact_process(x64, method):
    x, y, new = data()
    exact = mean_and_variance(condition(MODEL, x, y, noise=0.01), new)
    p = sparsely(MODEL, x, y, inducing=np.arange(len(x)), noise=0.01, method=method)
    np.testing.assert_allclose(mean_and_variance(p, new), exact, atol=2e-9)
    value = elbo(MODEL, x, y, inducing=x, noise=0.01)
    np.testing.assert_allclose(value, log_marginal_likelihood(MODEL, x, y, noise=0.01), atol=1e-7)


@pytest.mark.fast
def test_subset_discards_the_rest(x64):
    x, y, new = data()
    chosen, noise = np.array([3, 1, 7, 20]), np.linspace(0.01, 0.1, len(x))
    p = sparsely(MODEL, x, y, inducing=chosen, noise=noise, method="subset")
    alone = condition(MODEL, x[chosen], y[chosen], noise=noise[chosen])
    np.testing.assert_allclose(mean_and_variance(p, new), mean_and_variance(alone, new), atol=1e-12)


def test_dtc_has_the_mean_of_sor_and_more_variance(x64):
    x, y, new = data()
    sor, dtc = (sparsely(MODEL, x, y, inducing=x[:8], noise=0.01, method=m) for m in ("sor", "dtc"))
    np.testing.assert_allclose(mean_of(sor, new), mean_of(dtc, new), atol=1e-12)
    assert (variance_of(sor, new) <= variance_of(dtc, new) + 1e-12).all()
    assert variance_of(sor, np.full((1, 2), 1e3))[0] < 1e-12


def test_padding_does_not_change_the_bound(x64):
    x, y, new = data()
    padded_x, padded_y = np.concatenate([x, new[:3]]), np.concatenate([y, [np.nan, 1.0, 1e8]])
    noise = np.concatenate([np.full(len(x), 0.01), np.full(3, np.inf)])
    ours = elbo(MODEL, padded_x, padded_y, inducing=x[:8], noise=noise)
    np.testing.assert_allclose(ours, elbo(MODEL, x, y, inducing=x[:8], noise=0.01), rtol=1e-12)


@pytest.mark.parametrize("method", ["fitc", "vfe"])
def test_gradients_are_those_of_finite_differences(x64, method):
    x, y, new = data(n=12)

    def loss(log_scale, shift, noise):
        model = covariance.squared_exponential(jnp.exp(log_scale), 1.3)
        z = jnp.asarray(x[:4]) + shift
        p = sparse.condition(model, x, y, inducing=z, noise=noise, method=method, block_size=5)
        mean, variance = posterior.mean_and_variance(p, jnp.asarray(new))
        return jnp.sum(jnp.sin(mean)) + jnp.sum(variance**2)

    at = (0.1, 0.2, 0.05)
    ours, slope = jax.jit(loss), jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    for place in range(3):
        ways = [[value + sign * 1e-5 * (i == place) for i, value in enumerate(at)] for sign in (1, -1)]
        np.testing.assert_allclose(slope[place], (ours(*ways[0]) - ours(*ways[1])) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["fitc", "vfe"])  # sor and dtc take the same factors
def test_float32_stays_within_the_documented_bounds(method):
    x, y, new = data(1, 400)
    results = []
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            model = covariance.squared_exponential(0.7, 1.0)

            @jax.jit
            def predicted(x, y, new, model=model):
                p = sparse.condition(model, x, y, inducing=x[:60], noise=0.01, method=method)
                return posterior.mean_and_variance(p, new)

            mean, variance = predicted(*(array.astype(dtype) for array in (x, y, new)))
            results.append((np.asarray(mean, np.float64), np.sqrt(np.asarray(variance, np.float64))))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=5e-3)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=5e-3)


def test_problems_at_once_are_a_loop(x64):
    scales = np.linspace(0.5, 2.0, 5)
    x, y, new = data()

    def solve(scale):
        p = sparse.condition(covariance.matern32(scale, 1.0), x, y, inducing=x[:6], noise=0.02, block_size=8)
        return posterior.mean_and_variance(p, jnp.asarray(new))

    together = jax.jit(jax.vmap(solve))(scales)
    one = jax.jit(solve)
    for place, scale in enumerate(scales):
        for ours, expected in zip(together, one(scale), strict=True):
            np.testing.assert_allclose(ours[place], expected, atol=1e-10)


def test_duplicate_inducing_points_are_one():
    x, y, new = data(dtype=np.float32)
    twice = sparsely(MODEL, x, y, inducing=np.concatenate([x[:8], x[:8]]), noise=0.01)
    once = sparsely(MODEL, x, y, inducing=x[:8], noise=0.01)
    assert twice.jitter > 0
    # The second copy of a point adds what the jitter of about 1e-5 lets it.
    np.testing.assert_allclose(mean_of(twice, new), mean_of(once, new), atol=5e-3)


@pytest.mark.fast
def test_bad_input_is_named_or_nan():
    x, y, new = data(dtype=np.float32)
    for options, told in (
        ({"inducing": x[:3], "noise": 0.0}, "noise"),
        ({"inducing": x[:3, :1], "noise": 0.1}, "inducing.shape"),
        ({"inducing": x[:3], "noise": 0.1, "method": "best"}, "method"),
        ({"inducing": x[:3], "noise": 0.1, "method": "subset"}, "subset"),
        ({"inducing": x[:3], "noise": 0.1, "block_size": -1}, "block_size"),
    ):
        with pytest.raises(ValueError, match=told):
            sparse.condition(MODEL, x, y, **options)
    y[4] = np.nan
    assert np.isnan(mean_of(sparsely(MODEL, x, y, inducing=x[:8], noise=0.1), new)).all()
