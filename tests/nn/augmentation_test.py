"""Augmentations: what they keep, what they move, how far, and that gradients pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.nn import augmentation

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_translation_is_a_shift_by_whole_pixels():
    images = draw(0, 64, 8, 8, 2)
    moved = np.asarray(jax.jit(augmentation.translate)(jax.random.key(0), images))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = []
    for image, before in zip(moved, padded, strict=True):
        fits = [(i, j) for i in range(3) for j in range(3) if np.array_equal(image, before[i : i + 8, j : j + 8])]
        assert len(fits) == 1
        places.extend(fits)
    assert set(places) == {(i, j) for i in range(3) for j in range(3)}  # 8 pixels by an eighth: one each way


def test_a_square_is_removed():
    hidden = np.asarray(jax.jit(augmentation.cut_out)(jax.random.key(0), jnp.ones((200, 8, 8, 1)))) == 0
    sides = hidden.any(2).sum(1), hidden.any(1).sum(1)
    for lengths in sides:
        assert lengths.max() == 4 and lengths.min() >= 1
    np.testing.assert_array_equal(hidden.sum((1, 2)), sides[0] * sides[1])
    assert hidden.any(0).all()  # anywhere


def test_colours_keep_what_they_should():
    images = draw(0, 32, 4, 4, 3)
    changed = np.asarray(jax.jit(augmentation.jitter)(jax.random.key(0), images))
    shift = (changed - images).mean((1, 2, 3))
    assert -0.5 <= shift.min() < -0.3 and 0.3 < shift.max() <= 0.5  # only brightness moves the mean
    gray = images.mean(3), changed.mean(3)
    contrast = gray[1].std((1, 2)) / gray[0].std((1, 2))
    assert 0.5 <= contrast.min() < 0.7 and 1.3 < contrast.max() <= 1.5
    chroma = (changed - gray[1][..., None]).std((1, 2, 3)) / (images - gray[0][..., None]).std((1, 2, 3)) / contrast
    assert 0 <= chroma.min() < 0.2 and 1.8 < chroma.max() <= 2


def test_gradients_pass_and_a_key_changes_pairs_alike():
    images, key = draw(0, 4, 8, 8, 3), jax.random.key(3)

    @jax.jit
    def both(images):
        changed = augmentation.augment(key, images)
        return (
            changed,
            augmentation.augment(key, images + 1e-3),
            jax.grad(lambda x: jnp.sum(augmentation.augment(key, x) ** 2))(images),
        )

    changed, near, slope = both(images)
    assert np.all(np.isfinite(slope)) and np.mean(slope != 0) > 0.3
    assert np.abs(changed - near).max() < 0.01
    with pytest.raises(ValueError, match="share must be in"):
        augmentation.translate(key, images, share=2.0)
