"""Error-free sums and products: exact in rational arithmetic, orthogonal to half as many digits again."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussianization import _compensated


@pytest.fixture(params=[np.float32, np.float64])
def numbers(request, x64):
    rng = np.random.default_rng(0)
    return [np.exp(3 * rng.normal(size=50)).astype(request.param) * rng.choice([-1, 1], 50) for _ in range(2)]


@pytest.mark.fast
def test_sum_of_two_loses_nothing(numbers):
    a, b = (np.asarray(one, numbers[0].dtype) for one in numbers)
    total, rest = map(np.asarray, jax.jit(_compensated.two_sum)(a, b))
    np.testing.assert_array_equal(total, a + b)
    for i in range(50):
        assert Fraction(float(total[i])) + Fraction(float(rest[i])) == Fraction(float(a[i])) + Fraction(float(b[i]))


@pytest.mark.fast
def test_products_of_halves_are_exact(numbers):
    a, b = (np.asarray(one, numbers[0].dtype) for one in numbers)
    (high, low), (other, _) = (tuple(map(np.asarray, jax.jit(_compensated.halves)(one))) for one in (a, b))
    np.testing.assert_array_equal(high + low, a)
    assert np.max(np.abs(low / a)) < 2.0 ** (-np.finfo(a.dtype).nmant // 2 + 2)
    for i in range(50):
        assert Fraction(float(high[i] * other[i])) == Fraction(float(high[i])) * Fraction(float(other[i]))


@pytest.mark.parametrize("dim", [2, 10])
def test_matrix_and_what_lies_beyond_its_rounding_are_orthogonal(x64, dim):
    matrix = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0].astype(np.float32)
    beyond = np.float64(_compensated.beyond_rounding(jnp.asarray(matrix)))
    assert 1e-8 < np.max(np.abs(matrix.astype(np.float64) @ matrix.T.astype(np.float64) - np.eye(dim)))
    whole = matrix + beyond
    np.testing.assert_allclose(whole @ whole.T, np.eye(dim), atol=dim * 2.0**-36)


@pytest.mark.parametrize("dim", [2, 10])
def test_rotation_is_known_to_half_as_many_digits_again(x64, dim):
    rng = np.random.default_rng(2)
    matrix = np.linalg.qr(rng.normal(size=(dim, dim)))[0].astype(np.float32)
    rows = rng.normal(size=(dim, 100)).astype(np.float32)
    beyond, rest = (1e-8 * rng.normal(size=shape).astype(np.float32) for shape in (matrix.shape, rows.shape))
    value, left = map(np.float64, jax.jit(_compensated.rotate)(matrix, np.float32(beyond), rows, np.float32(rest)))
    exact = (matrix.astype(np.float64) + np.float32(beyond)) @ (rows.astype(np.float64) + np.float32(rest))
    np.testing.assert_allclose(value + left, exact, atol=dim * 2.0**-34)
    assert np.max(np.abs(value - exact)) > 1e-8


@pytest.mark.fast
def test_derivative_of_a_rotation_is_its_matrix(x64):
    rng = np.random.default_rng(3)
    matrix = jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0], jnp.float32)
    zeros = jnp.zeros((3, 3), jnp.float32)

    def value(column):
        value, rest = _compensated.rotate(matrix, zeros, column[:, None], jnp.zeros_like(column)[:, None])
        return (value + rest)[:, 0]

    np.testing.assert_allclose(jax.jit(jax.jacobian(value))(jnp.ones(3, jnp.float32)), matrix, rtol=1e-6)
