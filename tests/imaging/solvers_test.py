import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from gentoolkit.imaging import solvers
from gentoolkit.imaging.retinex import lime


def draw(seed, *shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.1, 1.0, size=shape), dtype)


def sparse_matrix(diagonal, weights):
    """The system of `solve_weighted`, written again with SciPy."""
    h, w = diagonal.shape

    def difference(n):
        d = scipy.sparse.diags_array([-np.ones(n), np.ones(n - 1)], offsets=[0, 1]).tolil()
        d[n - 1, :] = 0
        return d.tocsr()

    down = scipy.sparse.kron(difference(h), scipy.sparse.eye_array(w))
    right = scipy.sparse.kron(scipy.sparse.eye_array(h), difference(w))
    weights = [scipy.sparse.diags_array(np.asarray(x, np.float64).reshape(-1)) for x in weights]
    return (
        scipy.sparse.diags_array(np.asarray(diagonal, np.float64).reshape(-1))
        + down.T @ weights[0] @ down
        + right.T @ weights[1] @ right
    ).tocsc()


@functools.partial(jax.jit, static_argnums=0, static_argnames="max_iterations")
def solve(preconditioner, b, diagonal, weights, initial=None, max_iterations=200):
    return solvers.solve_weighted(
        b,
        diagonal=diagonal,
        weights=weights,
        preconditioner=preconditioner,
        initial=initial,
        max_iterations=max_iterations,
    )


@pytest.mark.fast
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(6, 5), (1, 4), (1, 1)])
def test_adjoint(x64, shape, periodic):
    u, v = draw(0, 2, *shape, dtype=np.float64), draw(1, 2, 2, *shape, dtype=np.float64)
    left = jnp.sum(solvers.differences(u, periodic=periodic) * v)
    np.testing.assert_allclose(left, jnp.sum(u * solvers.adjoint_differences(v, periodic=periodic)), rtol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(7, 6), (1, 5), (1, 1), (8, 9)])
def test_transform_solves_are_exact(x64, shape):
    b = draw(0, 2, *shape, dtype=np.float64)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def there_and_back(exact, periodic, b):
        u = exact(b, identity=0.3, laplacian=2.5)
        slope = solvers.differences(u, periodic=periodic)
        return 0.3 * u + 2.5 * solvers.adjoint_differences(slope, periodic=periodic)

    for exact, periodic in ((solvers.solve_neumann, False), (solvers.solve_periodic, True)):
        np.testing.assert_allclose(there_and_back(exact, periodic, b), b, atol=1e-10)


@pytest.mark.parametrize("preconditioner", ["jacobi", "cosine", "multigrid"])
@pytest.mark.parametrize("shape", [(19, 14), (1, 300), (2, 2)])
def test_weighted_solve_against_scipy(x64, preconditioner, shape):
    b, diagonal = draw(0, 2, *shape, dtype=np.float64), draw(1, 2, *shape, dtype=np.float64)
    weights = 10.0 ** (4 * draw(2, 2, 2, *shape, dtype=np.float64) - 2)
    solution = solve(preconditioner, b, diagonal, weights, max_iterations=600)
    for i in range(2):
        expected = scipy.sparse.linalg.spsolve(sparse_matrix(diagonal[i], weights[i]), np.asarray(b[i]).reshape(-1))
        np.testing.assert_allclose(solution.value[i].reshape(-1), expected, rtol=1e-7)
    assert (solution.residual < 1e-8).all()
    assert (solution.num_iterations > 0).all()


@pytest.mark.fast
@pytest.mark.parametrize("preconditioner", ["jacobi", "cosine", "multigrid"])
def test_a_zero_residual_returns_its_start(preconditioner):
    ones = jnp.ones((9, 10))
    solution = solve(preconditioner, ones, 1.0, 3.0, ones)
    np.testing.assert_array_equal(solution.value, ones)
    assert solution.num_iterations == 0 and solution.residual == 0
    zero = solve(preconditioner, 0.0 * ones, 1.0, 3.0, 0.0 * ones)
    np.testing.assert_array_equal(zero.value, 0.0)


@pytest.mark.fast
@pytest.mark.parametrize("exponent", [-100, -70, 70, 100])
def test_a_solution_follows_the_unit_of_its_right_hand_side(exponent):
    b, weights = draw(0, 2, 9, 9), draw(1, 2, 2, 9, 9)
    one = solve("jacobi", b, 1.0, weights)
    there = solve("jacobi", jnp.ldexp(b, exponent), 1.0, weights)
    np.testing.assert_array_equal(np.ldexp(np.asarray(there.value), -exponent), one.value)
    np.testing.assert_array_equal(there.num_iterations, one.num_iterations)
    np.testing.assert_allclose(there.residual, one.residual, rtol=1e-3)


@pytest.mark.fast
def test_nan_makes_its_own_field_nan():
    b = draw(0, 2, 9, 9).at[1, 3, 3].set(jnp.nan)
    value = solve("multigrid", b, 1.0, 3.0).value
    assert np.isfinite(value[0]).all() and np.isnan(value[1]).all()


@pytest.mark.parametrize("preconditioner", ["jacobi", "multigrid"])
def test_gradient_against_differences(x64, preconditioner):
    shape = (9, 8)
    b, diagonal, c = (draw(i, *shape, dtype=np.float64) for i in range(3))
    weights = draw(3, 2, *shape, dtype=np.float64)

    @jax.jit
    def loss(b, diagonal, weights):
        solution = solvers.solve_weighted(
            b, diagonal=diagonal, weights=weights, preconditioner=preconditioner, initial=c
        )
        return jnp.sum(c * solution.value)

    arguments = (b, diagonal, weights)
    gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(*arguments)
    for i, gradient in enumerate(gradients):
        step = jnp.zeros_like(gradient).at[..., 3, 4].set(1e-5)
        up, down = (loss(*(a + s * step if i == j else a for j, a in enumerate(arguments))) for s in (1, -1))
        np.testing.assert_allclose(jnp.sum(gradient[..., 3, 4]), (up - down) / 2e-5, rtol=1e-6)


def test_the_illumination_of_a_photograph_against_a_direct_solve():
    data, transform = pytest.importorskip("skimage.data"), pytest.importorskip("skimage.transform")
    photo = transform.resize(data.astronaut(), (256, 256), anti_aliasing=True) ** 2
    rough = jnp.asarray(photo.max(-1), jnp.float32)
    solution = jax.jit(lambda rough: lime.refine_fast(rough))(rough)
    slope = np.abs(solvers.differences(rough))
    weights = 0.15 * lime.weights(rough) / (slope + 1e-3)
    assert weights.max() / weights.min() > 1e5
    matrix = sparse_matrix(np.ones((256, 256)), np.asarray(weights))
    expected = scipy.sparse.linalg.spsolve(matrix, np.asarray(rough, np.float64).reshape(-1)).reshape(256, 256)
    error = np.linalg.norm(solution.value - expected) / np.linalg.norm(expected)
    assert error < 1e-4
    assert solution.num_iterations < 80


@pytest.mark.fast
def test_shrink():
    x = jnp.asarray([-3.0, -1.0, -0.5, 0.0, 0.5, 2.0, jnp.nan])
    np.testing.assert_allclose(solvers.shrink(x, 1.0), [-2, 0, 0, 0, 0, 1, np.nan])


@pytest.mark.fast
def test_bad_options_are_refused():
    b = draw(0, 4, 5)
    with pytest.raises(ValueError, match="preconditioner"):
        solvers.solve_weighted(b, diagonal=1.0, weights=1.0, preconditioner="none")
    with pytest.raises(ValueError, match="diagonal"):
        solvers.solve_weighted(b, diagonal=0.0, weights=1.0)
    with pytest.raises(ValueError, match="weights"):
        solvers.solve_weighted(b, diagonal=1.0, weights=jnp.ones((3, 4, 5)))
    with pytest.raises(ValueError, match="identity"):
        solvers.solve_neumann(b, identity=0.0, laplacian=1.0)
    with pytest.raises(ValueError, match="2, h, w"):
        solvers.adjoint_differences(b)
    with pytest.raises(ValueError, match="non-empty"):
        solvers.differences(jnp.zeros((0, 3)))
