import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import conjugate_gradients, covariance

MODEL = covariance.matern32([0.9, 1.2], 1.4)
# Compiled whole: untraced, each operation is a program of its own.
gram_of = jax.jit(MODEL.gram)
solve = jax.jit(conjugate_gradients.solve, static_argnames=("rank", "tolerance", "max_iterations", "block_size"))
pivoted_cholesky = jax.jit(conjugate_gradients.pivoted_cholesky, static_argnames="rank")


def data(seed=0, n=60):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, size=(n, 2)), rng.normal(size=(n, 2))


@pytest.mark.parametrize("rank", [0, 20])
def test_equals_the_direct_solve(x64, rank):
    x, b = data()
    noise = np.linspace(0.01, 0.1, 60)
    found = solve(MODEL, x, b, noise=noise, rank=rank, block_size=17)
    full = np.asarray(gram_of(x, x)) + np.diag(noise)
    np.testing.assert_allclose(found.value, np.linalg.solve(full, b), atol=1e-6)
    left = b - full @ np.asarray(found.value)
    reached = (np.linalg.norm(left, axis=0) / np.linalg.norm(b, axis=0)).max()
    np.testing.assert_allclose(found.residual, reached, rtol=1e-2)
    assert found.residual < 1e-9 and 0 < found.num_iterations < 200


def test_the_preconditioner_saves_iterations(x64):
    x, b = data()
    steps = [int(solve(MODEL, x, b[:, 0], noise=1e-3, rank=rank, tolerance=1e-6).num_iterations) for rank in (0, 50)]
    assert steps[1] * 3 < steps[0]
    short = solve(MODEL, x, b[:, 0], noise=1e-3, rank=0, max_iterations=3)
    assert short.num_iterations == 3 and short.residual > 1e-3


def test_the_derivative_is_that_of_finite_differences(x64):
    x, b = data(1, 15)

    def loss(log_scale, noise, size):
        model = covariance.squared_exponential(jnp.exp(log_scale), 1.0)
        return jnp.sum(conjugate_gradients.solve(model, x, size * b, noise=noise, rank=5, tolerance=1e-12).value ** 2)

    at = (0.1, 0.3, 1.2)
    ours, slope = jax.jit(loss), jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    for place in range(3):
        ways = [[value + sign * 1e-5 * (i == place) for i, value in enumerate(at)] for sign in (1, -1)]
        np.testing.assert_allclose(slope[place], (ours(*ways[0]) - ours(*ways[1])) / 2e-5, rtol=1e-5)


def test_zeros_give_zeros_and_nan_gives_nan():
    x, b = (np.float32(leaf) for leaf in data(2, 20))
    found = solve(MODEL, x, np.stack([0 * b[:, 0], b[:, 0]], axis=1), noise=0.1, rank=4)
    np.testing.assert_array_equal(found.value[:, 0], 0.0)
    assert found.residual < 1e-4 and np.isfinite(found.value).all()
    b[3] = np.nan
    found = solve(MODEL, x, b, noise=0.1, rank=4)
    assert np.isnan(found.value).all() and np.isnan(found.residual)


@pytest.mark.fast
def test_pivoted_cholesky_of_full_rank_is_the_matrix(x64):
    x, _ = data(3, 12)
    gram = np.asarray(gram_of(x, x))
    full = pivoted_cholesky(MODEL, x, rank=12)
    np.testing.assert_allclose(full.factor @ full.factor.T, gram, atol=1e-10)
    assert sorted(np.asarray(full.pivots)) == list(range(12))
    part = pivoted_cholesky(MODEL, x, rank=5)
    np.testing.assert_allclose(part.residual, np.trace(gram - part.factor @ part.factor.T), rtol=1e-9)
    copies = pivoted_cholesky(MODEL, np.repeat(x[:3], 4, axis=0), rank=6)
    np.testing.assert_array_equal(copies.factor[:, 3:], 0.0)


@pytest.mark.fast
def test_the_log_determinant_is_exact_for_all_directions_and_steps(x64):
    x, _ = data(4, 12)
    exact = np.linalg.slogdet(np.asarray(gram_of(x, x)) + 0.05 * np.eye(12))[1]
    found = conjugate_gradients.log_det(MODEL, x, 12**0.5 * np.eye(12), noise=0.05, num_steps=12)
    np.testing.assert_allclose(found.value, exact, rtol=1e-9)


def test_the_log_determinant_is_within_its_standard_error():
    x, _ = data(5, 150)
    probes = jax.random.rademacher(jax.random.key(0), (64, 150), jnp.float32)
    found = conjugate_gradients.log_det(MODEL, np.float32(x), probes, noise=0.1, num_steps=40)
    exact = np.linalg.slogdet(np.asarray(gram_of(x, x), np.float64) + 0.1 * np.eye(150))[1]
    assert abs(found.value - exact) < 3 * found.standard_error < 0.2 * abs(exact)


@pytest.mark.fast
def test_bad_input_is_named():
    x, b = data(6, 10)
    for call, told in (
        (lambda: conjugate_gradients.solve(MODEL, x, b, noise=0.0), "noise"),
        (lambda: conjugate_gradients.solve(MODEL, x, b, noise=0.1, rank=11), "rank"),
        (lambda: conjugate_gradients.pivoted_cholesky(MODEL, x, rank=0), "rank"),
        (lambda: conjugate_gradients.log_det(MODEL, x, np.ones((3, 4)), noise=0.1), "probes"),
        (lambda: conjugate_gradients.log_det(MODEL, x, np.ones((3, 10)), noise=0.1, num_steps=11), "num_steps"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
