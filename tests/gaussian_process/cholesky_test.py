import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import cholesky, covariance


def positive(seed, n, *, batch=()):
    root = np.random.default_rng(seed).normal(size=(*batch, n, n))
    return root @ np.swapaxes(root, -1, -2) / n + 0.1 * np.eye(n)


@pytest.mark.fast
def test_a_positive_definite_matrix_is_factorized_as_it_is(x64):
    matrix = positive(0, 6)
    lower, jitter = cholesky.factorize(matrix)
    assert jitter == 0.0
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=1e-13)
    b = np.random.default_rng(1).normal(size=(6, 2))
    np.testing.assert_allclose(cholesky.solve(lower, b), np.linalg.solve(matrix, b), rtol=1e-11)
    np.testing.assert_allclose(cholesky.log_det(lower), np.linalg.slogdet(matrix)[1], rtol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("matrix", [np.ones((5, 5)), np.diag([1.0, 1.0, 0.0]), 7e-9 * np.ones((3, 3))])
def test_a_singular_matrix_takes_the_jitter_it_reports(matrix):
    lower, jitter = cholesky.factorize(jnp.asarray(matrix, jnp.float32))
    assert 0 < jitter < 2e-3 * np.diag(matrix).mean()
    shifted = matrix + float(jitter) * np.eye(len(matrix))
    np.testing.assert_allclose(lower @ lower.T, shifted, atol=1e-6 * np.abs(matrix).max())
    gradient = jax.grad(lambda m: jnp.sum(cholesky.factorize(m).lower))(jnp.asarray(matrix, jnp.float32))
    assert np.isfinite(gradient).all()


@pytest.mark.fast
def test_a_smooth_covariance_of_many_points_takes_a_small_jitter_in_float32():
    x = np.linspace(0, 1, 60)[:, None].astype(np.float32)
    lower, jitter = cholesky.factorize(covariance.squared_exponential(0.2, 1.0).gram(x, x))
    assert np.isfinite(lower).all() and 0 < jitter <= 2e-4


@pytest.mark.fast
@pytest.mark.parametrize("matrix", [np.diag([1.0, -1.0]), np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((2, 2))])
def test_an_indefinite_matrix_is_nan_and_says_so(matrix):
    lower, jitter = cholesky.factorize(jnp.asarray(matrix, jnp.float32))
    assert np.isnan(lower).all() and np.isnan(jitter)


@pytest.mark.fast
def test_nan_is_nan():
    lower, jitter = cholesky.factorize(jnp.eye(3).at[1, 0].set(jnp.nan))
    assert np.isnan(lower).all() and np.isnan(jitter)


@pytest.mark.fast
def test_each_problem_has_its_own_jitter():
    good, singular, bad = jnp.eye(3), jnp.ones((3, 3)), -jnp.eye(3)
    stack = jnp.stack([good, singular, bad])
    alone = [cholesky.factorize(matrix) for matrix in stack]
    for together in (
        cholesky.factorize(stack),
        jax.vmap(cholesky.factorize)(stack),
        jax.jit(cholesky.factorize)(stack),
    ):
        for place, (lower, jitter) in enumerate(alone):
            np.testing.assert_array_equal(together.jitter[place], jitter)
            np.testing.assert_allclose(together.lower[place], lower, rtol=1e-6)
    assert together.jitter[0] == 0


@pytest.mark.parametrize("batch", [(), (2,)])
def test_the_derivative_is_that_of_finite_differences(x64, batch):
    matrix, way = positive(2, 5, batch=batch), positive(3, 5, batch=batch)
    weights = np.random.default_rng(4).normal(size=(*batch, 5, 5))

    def loss(t):
        return jnp.sum(cholesky.factorize(matrix + t * way).lower * weights)

    expected = (loss(1e-6) - loss(-1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(loss)(0.0), expected, rtol=1e-7)
    np.testing.assert_allclose(jax.jvp(loss, (0.0,), (1.0,))[1], expected, rtol=1e-7)
    second = (jax.grad(loss)(1e-5) - jax.grad(loss)(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(jax.grad(loss))(0.0), second, rtol=1e-6)


@pytest.mark.fast
def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match=r"matrix.shape = \(2, 3\)"):
        cholesky.factorize(np.ones((2, 3)))


@pytest.mark.fast
@pytest.mark.parametrize(("n", "batch"), [(1, ()), (31, ()), (33, (2,)), (65, ()), (130, (2, 1)), (530, ())])
def test_the_inverse_by_halves_is_the_inverse(x64, n, batch):
    matrix = positive(6, n, batch=batch)
    inverse = np.asarray(cholesky.inverse(jnp.linalg.cholesky(matrix)))
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(inverse, np.swapaxes(inverse, -1, -2))


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 7, 32, 33, 100, 700])
def test_solver_for_many_columns_solves(x64, n):
    rng = np.random.default_rng(n)
    lower = np.tril(rng.normal(size=(n, n)) / n) + np.eye(n)
    b = rng.normal(size=(n, 5))
    first, second = cholesky.half_solvers(lower, 2 * lower)
    got = first(b)
    np.testing.assert_allclose(lower @ got, b, atol=1e-12)
    np.testing.assert_allclose(2 * second(b), got, rtol=1e-12)
