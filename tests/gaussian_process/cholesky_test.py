import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

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


@pytest.mark.parametrize("matrix", [np.ones((5, 5)), np.diag([1.0, 1.0, 0.0]), 7e-9 * np.ones((3, 3))])
def test_a_singular_matrix_takes_the_jitter_it_reports(matrix):
    lower, jitter = cholesky.factorize(jnp.asarray(matrix, jnp.float32))
    assert 0 < jitter < 1e-5
    # A row of zeros takes the mean unit.
    unit = np.where(np.diag(matrix) > 0, np.diag(matrix), np.diag(matrix).mean())
    shifted = matrix + float(jitter) * np.diag(unit)
    np.testing.assert_allclose(lower @ lower.T, shifted, atol=2e-7 * np.abs(matrix).max())
    gradient = jax.grad(lambda m: jnp.sum(cholesky.factorize(m).lower))(jnp.asarray(matrix, jnp.float32))
    assert np.isfinite(gradient).all()


GRADED = {
    "one large": np.array([1e8, 1, 1, 1, 1, 1]),
    "one tiny": np.array([1, 1, 1, 1, 1, 1e-14]),
    "over 60 decades": np.array([1e30, 1e-30, 1.0, 1e15, 1e-7, 1e20]),
    "nearly subnormal": np.full(6, 3e-37),
    "nearly infinite": np.full(6, 1e38),
    "equal": np.ones(6),
}


@pytest.mark.fast
@pytest.mark.parametrize("name", GRADED)
def test_units_of_rows_do_not_matter(name):
    correlations = 0.5 + 0.5 * np.eye(6)
    root = np.sqrt(GRADED[name])
    matrix = (correlations * np.outer(root, root)).astype(np.float32)
    lower, jitter = cholesky.factorize(matrix)
    assert jitter == 0
    # Rounding of the matrix and of six rows, in units of each row.
    np.testing.assert_allclose(lower / root[:, None], np.linalg.cholesky(correlations), atol=1e-6)
    expected = np.linalg.slogdet(correlations)[1] + np.sum(np.log(GRADED[name]))
    np.testing.assert_allclose(cholesky.log_det(lower), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("eigenvalues", [np.geomspace(1, 1e-3, 20), np.r_[np.geomspace(1, 1e-3, 16), np.zeros(4)]])
def test_powers_of_two_are_taken_through_bit_for_bit(eigenvalues):
    rng = np.random.default_rng(11)
    vectors = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    matrix = ((vectors * eigenvalues) @ vectors.T).astype(np.float32)
    unit = (2.0 ** rng.integers(-50, 50, 20)).astype(np.float32)
    lower, jitter = cholesky.factorize(matrix)
    scaled, scaled_jitter = cholesky.factorize(matrix * unit[:, None] * unit)
    np.testing.assert_array_equal(scaled, lower * unit[:, None])
    assert jitter == scaled_jitter and (jitter > 0) == (eigenvalues.min() == 0)


@pytest.mark.fast
@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
def test_little_noise_is_no_reason_for_jitter(noise):
    # The last pivots are the noise, 8 eps of the diagonal in the end: the factor is LAPACK's.
    x = np.linspace(0, 6, 120)[:, None].astype(np.float32)
    matrix = np.asarray(covariance.matern32(1.0, 1.0).gram(x, x)) + np.float32(noise) * np.eye(120, dtype=np.float32)
    lower, jitter = cholesky.factorize(matrix)
    assert jitter == 0
    np.testing.assert_array_equal(lower, jnp.linalg.cholesky(matrix, symmetrize_input=False))


@pytest.mark.fast
@pytest.mark.parametrize("scale", [1.0, 1e-10])
def test_rows_that_repeat_others_are_seen_whatever_their_unit(scale):
    # Of every pair one is singular; rounding leaves up to 3 eps of its diagonal entry as pivot, of either sign.
    rng = np.random.default_rng(12)
    root = rng.normal(size=(40, 60))
    root = np.concatenate([root, scale * root])[rng.permutation(80)].astype(np.float32)
    matrix = (root.astype(np.float64) @ root.T.astype(np.float64)).astype(np.float32)
    lower, jitter = cholesky.factorize(matrix)
    size = np.sqrt(np.diag(matrix).astype(np.float64))
    assert 1e-6 < jitter < 1e-4
    np.testing.assert_allclose(
        np.asarray(lower, np.float64) @ np.asarray(lower, np.float64).T / np.outer(size, size),
        matrix / np.outer(size, size) + float(jitter) * np.eye(80),
        atol=1e-6,
    )


@pytest.mark.fast
def test_a_difference_is_judged_by_what_it_was_taken_from():
    first = np.eye(3) + 0.5
    # Rounding of the first, to either side of nothing.
    left = np.float32([[3e-8, 1e-8, 0.0], [1e-8, -5e-8, 0.0], [0.0, 0.0, 0.5]])
    assert np.isnan(cholesky.factorize(left).jitter)
    lower, jitter = cholesky.factorize(left, scale=np.diag(first).astype(np.float32), min_pivot=0.0)
    assert 0 < jitter < 1e-5
    np.testing.assert_allclose(lower @ lower.T, left, atol=1e-5)
    with pytest.raises(ValueError, match=r"scale.shape = \(2,\)"):
        cholesky.factorize(left, scale=np.ones(2))


@pytest.mark.fast
def test_one_row_is_its_root():
    for value in (1e-37, 1e-20, 4.0, 1e38):
        lower, jitter = cholesky.factorize(np.full((1, 1), value, np.float32))
        np.testing.assert_allclose(lower[0, 0], value**0.5, rtol=1e-6)
        assert jitter == 0


@pytest.mark.fast
@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1.0, -1.0]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.zeros((2, 2)),
        np.array([[1e8, 15.0], [15.0, 1e-6]]),  # next to the largest entry the second row is nothing
        np.diag([np.inf, 1.0]),
    ],
)
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

    @jax.jit
    def all_of(t):
        return loss(t), jax.grad(loss)(t), jax.jvp(loss, (t,), (1.0,))[1], jax.grad(jax.grad(loss))(t)

    expected = (all_of(1e-6)[0] - all_of(-1e-6)[0]) / 2e-6
    _, backward, forward, second = all_of(0.0)
    np.testing.assert_allclose(backward, expected, rtol=1e-7)
    np.testing.assert_allclose(forward, expected, rtol=1e-7)
    np.testing.assert_allclose(second, (all_of(1e-5)[1] - all_of(-1e-5)[1]) / 2e-5, rtol=1e-6)


@pytest.mark.fast
def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match=r"matrix.shape = \(2, 3\)"):
        cholesky.factorize(np.ones((2, 3)))


@pytest.mark.parametrize(("n", "batch"), [(1, ()), (31, ()), (33, (2,)), (65, ()), (130, (2, 1)), (530, ())])
def test_the_inverse_by_halves_is_the_inverse(x64, n, batch):
    matrix = positive(6, n, batch=batch)
    inverse = np.asarray(cholesky.inverse(jnp.linalg.cholesky(matrix)))
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(inverse, np.swapaxes(inverse, -1, -2))


@pytest.mark.parametrize("n", [1, 7, 32, 33, 100, 700])
def test_solver_for_many_columns_solves(x64, n):
    rng = np.random.default_rng(n)
    lower = np.tril(rng.normal(size=(n, n)) / n) + np.eye(n)
    b = rng.normal(size=(n, 5))
    first, second = cholesky.half_solvers(lower, 2 * lower)
    got = first(b)
    np.testing.assert_allclose(lower @ got, b, atol=1e-12)
    np.testing.assert_allclose(2 * second(b), got, rtol=1e-12)


@pytest.mark.parametrize(("n", "noise"), [(10, 1e-4), (60, 1e-2), (60, 1e-6)])
def test_solver_for_many_columns_loses_no_more_digits_than_a_solve(n, noise):
    # Points close to one another: products with inverted blocks alone leave errors of up to 1e-2.
    x = 0.2 * np.arange(n)
    gram = np.exp(-0.5 * (x[:, None] - x) ** 2)
    lower = np.linalg.cholesky(gram + noise * np.eye(n)).astype(np.float32)
    b = np.exp(-0.5 * (x[:, None] - x[-1] * np.random.default_rng(0).uniform(size=50)) ** 2).astype(np.float32)
    exact = scipy.linalg.solve_triangular(lower.astype(np.float64), b.astype(np.float64), lower=True)
    (solver,) = cholesky.half_solvers(jnp.asarray(lower))
    np.testing.assert_allclose(jnp.sum(solver(b) ** 2, axis=0), np.sum(exact**2, axis=0), atol=1e-6)
