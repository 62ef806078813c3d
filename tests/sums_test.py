"""Sums over many rows under jit: in blocks, so that float32 holds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import _sums

# A sum that adds 1 to one float32 number stands still at 2^24.
MANY = 2**24 + 2**22


@pytest.fixture(scope="module")
def ones():
    return jnp.ones((MANY, 2), jnp.float32)


def test_gram_of_more_rows_than_float32_counts(ones):
    np.testing.assert_array_equal(jax.jit(_sums.gram)(ones, ones), np.full((2, 2), MANY, np.float32))


def test_weighted_of_more_rows_than_float32_counts(ones):
    np.testing.assert_array_equal(jax.jit(lambda x: _sums.weighted(x[:, 0], x))(ones), np.full(2, MANY, np.float32))


@pytest.mark.parametrize(
    "total",
    [
        lambda x: jnp.sum(x, axis=-2),
        lambda x: jnp.sum(x * x, axis=-2),
        lambda x: jnp.sum((x - jnp.mean(x, axis=-2, keepdims=True) + 1) ** 2, axis=-2),
        lambda x: jnp.sum(x.reshape(2, -1), axis=-1),
        lambda x: jnp.sum(jnp.exp(x.reshape(-1)[: x.shape[0]] - 1)),
    ],
    ids=["rows", "squares of rows", "centred rows", "last axis", "one axis"],
)
def test_plain_sums_are_taken_in_windows_by_the_compiler(ones, total):
    np.testing.assert_array_equal(jax.jit(total)(ones), np.float32(MANY))


@pytest.mark.parametrize("shape", [(5, 3), (512, 2), (2, 1300, 3), (5000, 9)], ids=str)
def test_gram_is_the_product(shape):
    x = np.random.default_rng(0).normal(size=(*shape[:-1], shape[-1] + 1)).astype(np.float32)
    x, z = x[..., :-1], x[..., 1:]
    truth = np.swapaxes(x.astype(float), -1, -2) @ z.astype(float)
    np.testing.assert_allclose(_sums.gram(x, z), truth, atol=1e-6 * shape[-2])
    np.testing.assert_allclose(jax.jit(_sums._blocks_at_once)(x, z), truth, atol=1e-6 * shape[-2])
    np.testing.assert_allclose(_sums.weighted(x[..., 0], z), truth[..., 0, :], atol=1e-6 * shape[-2])


def test_derivatives_in_both_modes_and_of_second_order():
    x, z, x_dot, bar = (
        np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        for seed, shape in enumerate([(5000, 2), (5000, 3), (5000, 2), (2, 3)])
    )

    def value(x):
        return jnp.sum(_sums.gram(x, jnp.asarray(z)) * bar)

    exact = z.astype(float) @ bar.astype(float).T
    np.testing.assert_allclose(jax.jit(jax.grad(value))(x), exact, rtol=1e-5, atol=1e-5)
    _, tangent = jax.jit(lambda x, d: jax.jvp(value, (x,), (d,)))(x, x_dot)
    np.testing.assert_allclose(tangent, np.sum(exact * x_dot), rtol=1e-5)
    _, curvature = jax.jvp(jax.grad(lambda x: jnp.sum(_sums.gram(x, x) ** 2)), (jnp.asarray(x),), (jnp.asarray(x_dot),))
    y, d = x.astype(float), x_dot.astype(float)
    np.testing.assert_allclose(curvature, 4 * (d @ (y.T @ y) + y @ (d.T @ y + y.T @ d)), rtol=1e-4, atol=1e-1)


def test_vmap_is_a_loop_and_an_eager_call_compiles_once():
    x = np.random.default_rng(0).normal(size=(2, 5000, 2)).astype(np.float32)
    looped = np.stack([_sums.gram(rows, rows) for rows in x])
    np.testing.assert_allclose(jax.vmap(_sums.gram)(x, x), looped, rtol=1e-6)
    np.testing.assert_allclose(looped, _sums.gram(x, x), rtol=1e-6)
