"""Rotations: orthogonal, inverted by the transpose, and each finds what it is for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussianization import rotation

VARIANTS = {
    "pca": rotation.pca(),
    "random": rotation.random(),
    "ica": rotation.ica(num_steps=10),
    "max_sliced": rotation.max_sliced(num_steps=5, num_candidates=2, num_samples=200),
    "max_sliced, one": rotation.max_sliced(num_directions=1, num_steps=5, num_candidates=2),
}
EACH = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())


def sample(n=300, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return np.float32(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)))


@EACH
@pytest.mark.parametrize("kind", ["plain", "few", "constant", "duplicated"])
def test_matrices_are_orthogonal_whatever_the_sample(variant, kind):
    x = sample()
    if kind == "few":
        x[3:] = x[:3].repeat(99, axis=0)  # three distinct samples in four dimensions
    elif kind == "constant":
        x[:, 1] = 2.0
    elif kind == "duplicated":
        x[:, 1] = x[:, 0]
    assert_orthogonal(_fit(variant, jax.random.key(0), x))


def assert_orthogonal(matrix):
    """To the rounding of its entries, half a unit in the last place each."""
    matrix = np.float64(np.asarray(matrix))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-7)


@EACH
def test_matrices_of_many_features_are_orthogonal(variant):
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(200, 50)) @ rng.normal(size=(50, 50)))
    assert_orthogonal(_fit(variant, jax.random.key(0), x))


_fit = jax.jit(lambda variant, key, x: variant.fit(key, x), static_argnums=0)


@pytest.mark.fast
def test_inverse_is_the_transpose():
    variant = rotation.pca()
    x = sample()
    matrix = _fit(variant, jax.random.key(0), x)
    z, log_det = variant.forward(matrix, x)
    assert log_det.shape == (300,) and (log_det == 0).all()
    np.testing.assert_allclose(z, x @ np.asarray(matrix).T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variant.inverse(matrix, z), x, rtol=1e-5, atol=1e-5)


@pytest.mark.fast
def test_pca_orders_and_decorrelates():
    x = sample() + np.float32(5)
    z, _ = rotation.rotate(_fit(rotation.pca(), jax.random.key(0), x), x)
    covariance = np.cov(np.asarray(z).T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-4)
    assert (np.diff(np.diag(covariance)) < 0).all()


@pytest.mark.fast
def test_random_follows_the_key_and_ignores_the_data():
    fit = functools.partial(_fit, rotation.random())
    np.testing.assert_array_equal(fit(jax.random.key(1), sample()), fit(jax.random.key(1), sample(seed=3)))
    assert np.abs(fit(jax.random.key(1), sample()) - fit(jax.random.key(2), sample())).max() > 0.1


def test_ica_undoes_a_rotation_of_independent_components():
    rng = np.random.default_rng(0)
    sources = np.stack([rng.uniform(-1, 1, 5000), rng.exponential(size=5000), rng.laplace(size=5000)], axis=-1)
    sources = (sources - sources.mean(axis=0)) / sources.std(axis=0)
    mixing, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    found = _fit(rotation.ica(), jax.random.key(0), np.float32(sources @ mixing))
    aligned = np.abs(np.asarray(found) @ mixing.T)
    np.testing.assert_allclose(np.sort(aligned.max(axis=0)), 1, atol=0.02)


def test_max_sliced_finds_the_direction_that_is_not_normal():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4))
    x[:, 0] = np.sign(x[:, 0]) * 1.3 + 0.2 * rng.normal(size=3000)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    variant = rotation.max_sliced(num_directions=1, num_steps=60)
    found = _fit(variant, jax.random.key(0), np.float32(x @ turn))
    assert abs(np.asarray(found)[0] @ turn[0]) > 0.97


@EACH
def test_nan_spreads_over_the_problem_and_vmap_is_a_loop(variant):
    x = np.stack([sample(), sample(seed=1), sample(seed=2)])
    x[1, 4, 2] = np.nan
    keys = jax.random.split(jax.random.key(0), 3)
    got = np.asarray(jax.jit(jax.vmap(variant.fit))(keys, x))
    if variant != rotation.random():
        assert np.isnan(got[1]).all()
    one = _fit(variant, keys[2], x[2])
    # Up to the signs of rows: the batched and the single factorization may choose others.
    np.testing.assert_allclose(np.abs(np.sum(got[2] * one, axis=-1)), 1, atol=1e-2)
    stacked = jax.eval_shape(variant.fit, keys[0], x[::2])
    assert stacked.shape == (2, 4, 4) and stacked.dtype == jnp.float32


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rotation.pca().fit(jax.random.key(0), jnp.ones(3)), r"x\.shape = \(3,\)"),
        (lambda: rotation.ica(num_steps=0), "num_steps"),
        (lambda: rotation.ica(num_samples=0), "num_samples"),
        (lambda: rotation.max_sliced(num_steps=-1), "num_steps = -1"),
        (lambda: rotation.max_sliced(num_directions=0), "num_directions"),
        (lambda: rotation.max_sliced(num_directions=9).fit(jax.random.key(0), sample()), "at most d = 4"),
        (lambda: rotation.rotate(jnp.eye(3), sample()), "features"),
    ],
)
def test_bad_options_are_refused_by_name(make, told):
    with pytest.raises(ValueError, match=told):
        make()
