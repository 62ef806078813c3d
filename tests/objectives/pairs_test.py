"""Reconstruction, diversity and contrast: known values, symmetries, and slopes at the places where they could break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.objectives import contrastive, diversity, reconstruction

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_reconstruction():
    x = draw(0, 2, 4, 4, 3)
    off = np.where(np.arange(x.size).reshape(x.shape) % 2, 0.1, -0.1).astype(np.float32)
    for distance, expected in (
        (reconstruction.absolute, 0.1),
        (reconstruction.squared, 0.01),
        (reconstruction.euclidean, 0.1 * np.sqrt(48)),
        (reconstruction.charbonnier, np.sqrt(0.01 + 1e-6)),
    ):
        np.testing.assert_allclose(distance(x, x + off), [expected] * 2, rtol=2e-5)
        slope = jax.jit(jax.grad(lambda y, distance=distance: jnp.sum(distance(x, y))))(x)
        np.testing.assert_array_equal(slope, 0)
        with pytest.raises(ValueError, match="Shapes must agree: x.shape"):
            distance(x, x[..., :1])
    black = np.zeros((1, 256 * 256 * 3), np.float32)
    np.testing.assert_allclose(reconstruction.euclidean(black, black + 0.1), 44.3405, rtol=1e-5)


def test_mode_seeking():
    images, codes = draw(0, 2, 3, 4, 4, 1), draw(1, 2, 3, 5)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean(
        [
            np.abs(codes[:, k] - codes[:, m]).mean(1) / (np.abs(images[:, k] - images[:, m]).mean((1, 2, 3)) + 0.05)
            for k, m in pairs
        ],
        axis=0,
    )
    np.testing.assert_allclose(diversity.mode_seeking(images, codes), expected, rtol=1e-5)
    np.testing.assert_allclose(diversity.mode_seeking(images[:, ::-1], codes[:, ::-1]), expected, rtol=1e-5)
    base = diversity.mode_seeking(images, codes, epsilon=0.0)
    np.testing.assert_allclose(diversity.mode_seeking(3 * images, codes, epsilon=0.0), base / 3, rtol=1e-5)
    np.testing.assert_array_equal(diversity.mode_seeking(images, codes[:, [0, 0, 0]]), 0)
    np.testing.assert_array_equal(diversity.mode_seeking(images[:, :1], codes[:, :1]), [0, 0])
    collapsed = np.repeat(images[:, :1], 3, axis=1)
    apart = np.mean([np.abs(codes[:, k] - codes[:, m]).mean(1) for k, m in pairs], axis=0)
    np.testing.assert_allclose(diversity.mode_seeking(collapsed, codes), apart / 0.05, rtol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(diversity.mode_seeking(x, codes)))(collapsed)
    assert np.all(np.isfinite(slope)) and np.abs(slope).max() > 1
    with pytest.raises(ValueError, match="a code for each image"):
        diversity.mode_seeking(images, codes[:, :2])


def test_matching():
    equal = contrastive.matching(np.zeros((4, 4), np.float32))
    np.testing.assert_allclose(equal, np.log(4) * np.ones((2, 4)), rtol=1e-6)
    logits = draw(0, 3, 3)
    rows = -np.diag(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    columns = -np.diag(logits - np.log(np.exp(logits).sum(0, keepdims=True)))
    matching = jax.jit(contrastive.matching)
    np.testing.assert_allclose(matching(logits), [rows, columns], rtol=1e-5)
    # Rows of one group are no negatives of each other: alone in it all is right.
    np.testing.assert_allclose(matching(logits, groups=np.array([7, 7, 7])), np.zeros((2, 3)), atol=1e-6)
    two = matching(logits, groups=np.array([0, 1, 0])).rows[0]
    np.testing.assert_allclose(two, np.log1p(np.exp(logits[0, 1] - logits[0, 0])), rtol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(matching(x, groups=np.array([0, 1, 0])).rows))(logits)
    assert np.all(np.isfinite(slope)) and slope[0, 2] == 0


def test_info_nce():
    a, b = draw(0, 4, 6), draw(1, 4, 6)
    cosines = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(contrastive.cosines(a, b), cosines, rtol=1e-5, atol=1e-6)
    loss = jax.jit(contrastive.info_nce)
    both = contrastive.matching(cosines / np.float32(0.5))
    np.testing.assert_allclose(loss(a, b, temperature=0.5), np.mean(both, 0), rtol=1e-4)
    np.testing.assert_allclose(loss(5 * a, b, temperature=0.5), np.mean(both, 0), rtol=1e-4)  # angles alone
    matched = np.eye(4, 6, dtype=np.float32)
    np.testing.assert_allclose(loss(matched, matched, temperature=0.02), 0, atol=1e-6)
    zero = jax.jit(jax.grad(lambda x, t: jnp.sum(contrastive.info_nce(x, b, temperature=t)), (0, 1)))(0 * a, 0.1)
    assert all(np.all(np.isfinite(slope)) for slope in zero)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: contrastive.matching(x), "logits must be a square"),
        (lambda x: contrastive.matching(x[:, :2], groups=np.zeros(3, int)), "groups must be of shape"),
        (lambda x: contrastive.info_nce(x, x[:1]), "rows.*must agree"),
        (lambda x: contrastive.info_nce(x, x, temperature=0.0), "temperature must be > 0"),
        (lambda x: contrastive.cosines(x[None], x), "a and b must have two axes"),
        (lambda x: reconstruction.charbonnier(x, x, epsilon=0.0), "epsilon must be > 0"),
        (lambda x: diversity.mode_seeking(x[0], x[0]), r"must be \[n, k, ...\]"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(draw(0, 2, 3))
