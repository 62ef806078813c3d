import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import coregionalization, covariance, evidence, posterior

MODEL = covariance.matern52([0.9, 1.2], 1.4)
NOISE = np.array([0.01, 0.1, 0.03])
# Compiled whole: untraced, each operation is a program of its own.
condition, mean_and_variance = map(jax.jit, (posterior.condition, posterior.mean_and_variance))
jointly = jax.jit(coregionalization.condition)
mean_of, variance_of = (
    jax.jit(f, static_argnames="block_size") for f in (coregionalization.mean, coregionalization.variance)
)


def data(seed=0, n=14):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 2))
    shared = np.sin(x.sum(axis=1))
    y = shared[:, None] * [1.0, -0.5, 0.2] + 0.1 * rng.normal(size=(n, 3))
    return x, y, rng.uniform(-2, 2, size=(5, 2))


def outputs():
    return np.asarray(coregionalization.outputs_covariance(np.array([[1.0], [-0.5], [0.2]]), np.array([0.1, 0.2, 0.3])))


def long(x, num):
    """Every output at every point, the output in the last column."""
    return np.concatenate([np.tile(x, (num, 1)), np.repeat(np.arange(num), len(x))[:, None]], axis=1)


@pytest.mark.fast
def test_equals_the_kronecker_product(x64):
    x, _, _ = data()
    model = coregionalization.coregionalized(MODEL, outputs())
    points = long(x, 3)
    gram, diagonal, plain = jax.jit(lambda: (model.gram(points, points), model.diagonal(points), MODEL.gram(x, x)))()
    dense = np.kron(outputs(), plain)
    np.testing.assert_allclose(gram, dense, atol=1e-13)
    np.testing.assert_allclose(diagonal, np.diag(dense), atol=1e-13)


def test_complete_data_equal_the_dense_process(x64):
    x, y, new = data()
    p = jointly(MODEL, x, y, outputs=outputs(), noise=NOISE, mean=np.array([0.1, 0.2, 0.3]))
    model = coregionalization.coregionalized(MODEL, outputs())
    flat = (y - [0.1, 0.2, 0.3]).T.reshape(-1)
    dense = condition(model, long(x, 3), flat, noise=np.repeat(NOISE, len(x)))
    mean, variance = mean_and_variance(dense, long(new, 3))
    expected = np.asarray(mean).reshape(3, -1).T + [0.1, 0.2, 0.3]
    np.testing.assert_allclose(mean_of(p, new, block_size=2), expected, atol=1e-8)
    np.testing.assert_allclose(variance_of(p, new), np.asarray(variance).reshape(3, -1).T, atol=1e-8)
    value = jax.jit(evidence.log_marginal_likelihood)(model, long(x, 3), flat, noise=np.repeat(NOISE, len(x)))
    np.testing.assert_allclose(p.log_marginal_likelihood, value, atol=1e-8)


def test_outputs_without_covariance_are_independent(x64):
    x, y, new = data()
    p = jointly(MODEL, x, y, outputs=np.eye(3), noise=NOISE)
    for place in range(3):
        alone = condition(MODEL, x, y[:, place], noise=NOISE[place])
        mean, variance = mean_and_variance(alone, new)
        np.testing.assert_allclose(mean_of(p, new)[:, place], mean, atol=1e-8)
        np.testing.assert_allclose(variance_of(p, new)[:, place], variance, atol=1e-8)


def test_the_evidence_has_a_derivative_by_the_outputs(x64):
    x, y, _ = data(n=6)
    flat, noise = y.T.reshape(-1), np.repeat(NOISE, 6)

    @jax.jit
    def loss(t):
        factor = jnp.asarray([[1.0], [-0.5], [0.2]]) + t
        model = coregionalization.coregionalized(MODEL, coregionalization.outputs_covariance(factor, 0.2))
        return evidence.log_marginal_likelihood(model, long(x, 3), flat, noise=noise)

    expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(loss)(0.0), expected, rtol=1e-6)


def test_an_unknown_output_is_nan_and_joint_samples_work():
    x, y, new = data()
    model = coregionalization.coregionalized(MODEL, jnp.asarray(outputs(), jnp.float32))
    points = np.float32(long(x, 3))
    assert np.isnan(model.gram(points[:2], np.float32([[0.0, 0.0, 3.0]]))).all()
    p = condition(model, points, np.float32(y.T.reshape(-1)), noise=0.1)
    sample = jax.jit(lambda p: posterior.sample(jax.random.key(0), p, long(new, 3), num_samples=2, method="joint"))
    draws = sample(p)
    assert draws.shape == (2, 15) and np.isfinite(draws).all()


@pytest.mark.fast
def test_bad_input_is_named():
    x, y, _ = data()
    for call, told in (
        (lambda: coregionalization.coregionalized(MODEL, np.ones((2, 3))), "outputs"),
        (lambda: coregionalization.condition(MODEL, x, y[:, :2], outputs=np.eye(3), noise=0.1), "y.shape"),
        (lambda: coregionalization.condition(MODEL, x, y, outputs=np.eye(3), noise=0.0), "noise"),
        (lambda: coregionalization.condition(MODEL, x, y, outputs=np.eye(3), noise=np.ones(2)), "noise"),
        (lambda: coregionalization.outputs_covariance(np.ones(3), 0.1), "factor"),
        (lambda: coregionalization.outputs_covariance(np.ones((3, 1)), -0.1), "variances"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
