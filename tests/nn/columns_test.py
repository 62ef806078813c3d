"""Sums, scales and shifts of the channels of maps against the plain ones, with derivatives of both orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gentoolkit.nn import _columns

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_sums_scales_and_shifts_are_the_plain_ones():
    with jax.enable_x64(True):
        x, by = draw(0, 3, 10, 4), draw(1, 3, 1, 4)
        np.testing.assert_allclose(_columns.sums(x), x.sum(1, keepdims=True), rtol=1e-14)
        np.testing.assert_array_equal(_columns.scaled(x, by), x * by)
        np.testing.assert_array_equal(_columns.shifted(x, by), x + by)
        np.testing.assert_array_equal(_columns.add_bias(x[:, :, None], by[0, 0]), (x + by[0, 0])[:, :, None])


def test_derivatives_of_both_orders_are_those_of_finite_differences():
    with jax.enable_x64(True):
        x, by = draw(0, 2, 5, 3), draw(1, 2, 1, 3)
        check_grads(lambda x: jnp.sin(_columns.sums(jnp.sin(x))), (x,), order=2, modes=["rev"])
        for task in (_columns.scaled, _columns.shifted):
            check_grads(lambda x, by: jnp.sin(task(x, by)), (x, by), order=2, modes=["rev"])  # noqa: B023


def test_half_precision_is_summed_in_single():
    x = jnp.full((1, 4096, 1), 0.1, jnp.bfloat16)
    total = _columns.sums(x)
    assert total.dtype == jnp.bfloat16
    # One after the other in half precision the sum would stop at 32, where a tenth no longer counts.
    np.testing.assert_allclose(np.float32(total), 4096 * np.float32(x[0, 0, 0]), rtol=4e-3)


@pytest.mark.parametrize("rows", [79_200, 65_537, 4093, 1024, 7, 1, 0])  # 65,537 and 4,093 have no divisors
def test_sums_of_many_rows_keep_their_digits(rows):
    x = np.float32(0.7 + 1e-3 * draw(0, 1, rows, 3))
    np.testing.assert_allclose(
        _columns.sums(x), np.float64(x).sum(1, keepdims=True), rtol=5e-6
    )  # of 4,093 rows one after another
