"""Sizes as published, a whole network against NumPy, and what each input has influence on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import clip
from gentoolkit.models.clip import towers

TINY = clip.Architecture(8, 4, clip.Tower(8, 2, 2), clip.Tower(6, 2, 3), 5, vocabulary_size=20, context_length=7)
IMAGES = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype(np.float32)
TOKENS = np.array([[18, 3, 19, 0, 0, 0, 0], [18, 5, 6, 7, 19, 0, 0], [18, 3, 19, 19, 4, 18, 2]], np.int32)


@pytest.fixture(scope="module")
def model():
    graphdef, state = nnx.split(clip.shapes(TINY))
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape, scale=0.5), p.dtype), state)
    return nnx.merge(graphdef, state)


@pytest.fixture(scope="module")
def found(model):
    """Everything that the network makes of both inputs, by one program."""

    @jax.jit
    def everything(model, images, tokens):
        of_images = model.image_features(images, taps=(1, 0))
        return of_images, model.text_features(tokens, taps=(0,)), model.logits(images, tokens)

    return jax.tree.map(np.asarray, everything(model, IMAGES, TOKENS))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (clip.VIT_B_32, 151_277_313),  # as PyTorch counts the parameters of the public code
        (clip.VIT_B_16, 149_620_737),
        (clip.VIT_L_14, 427_616_513),
        (clip.VIT_L_14_336, 427_944_193),
        (clip.MINI, 3_688_961),
    ],
)
def test_parameters_are_as_many_as_published(architecture, count):
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(clip.shapes(architecture)))) == count


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * np.float64(layer.scale[...]) + np.float64(layer.bias[...])


def test_images_are_cut_into_patches_row_by_row_behind_the_class_token(model, found):
    vision = model.vision
    pixels = (np.float64(IMAGES) - towers.MEAN) / towers.STANDARD_DEVIATION
    kernel = np.float64(vision.patch_kernel[...])
    tokens = [np.broadcast_to(np.float64(vision.class_token[...]), (3, 8))]
    for row, column in np.ndindex(2, 2):
        patch = pixels[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        tokens.append(np.einsum("bhwc,hwcd->bd", patch, kernel))
    first = norm(vision.norm_before, np.stack(tokens, 1) + np.float64(vision.positions[...]))
    (embedding, features), *_ = found
    expected, (second_tap, first_tap) = jax.jit(lambda blocks, x: clip.run(blocks, x, taps=(1, 0)))(
        vision.blocks, jnp.asarray(first, jnp.float32)
    )
    np.testing.assert_allclose(features.tokens, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(features.taps[0], features.tokens)  # behind the last block, asked for first
    np.testing.assert_allclose(features.taps[1], first_tap, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(features.pooled, norm(vision.norm_after, features.tokens[:, 0]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        embedding, features.pooled @ np.asarray(model.image_projection[...]), rtol=1e-4, atol=1e-5
    )


def test_texts_end_at_the_first_token_with_the_highest_number(model, found):
    _, (embedding, features), _ = found
    ends = features.tokens[np.arange(3), [2, 4, 2]]
    np.testing.assert_array_equal(features.pooled, ends)
    np.testing.assert_allclose(embedding, ends @ np.asarray(model.text_projection[...]), rtol=1e-5, atol=1e-5)
    # Texts 0 and 2 are the same up to their end; tokens look back only.
    np.testing.assert_allclose(embedding[0], embedding[2], rtol=1e-5)
    assert np.abs(embedding[0] - embedding[1]).max() > 0.1
    assert features.taps[0].shape == (3, 7, 6)


def test_logits_are_scaled_cosines(model, found):
    (of_images, _), (of_texts, _), logits = found
    cosines = of_images @ of_texts.T
    cosines /= np.linalg.norm(of_images, axis=1)[:, None] * np.linalg.norm(of_texts, axis=1)
    np.testing.assert_allclose(logits, np.exp(model.log_scale[...]) * cosines, rtol=1e-5, atol=1e-6)


@pytest.mark.fast
def test_what_cannot_be_seen_or_read_is_refused_by_name(model):
    with pytest.raises(ValueError, match=r"images must be \[b, 8, 8, 3\], as `preprocess` makes them, got .*9"):
        model.encode_image(jnp.zeros((2, 9, 8, 3)))
    with pytest.raises(ValueError, match="numbers in .0, 1., got uint8; divide bytes by 255"):
        model.encode_image(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"tokens must be \[b, n <= 7\], got tokens.shape = .1, 8."):
        model.encode_text(np.zeros((1, 8), np.int32))
    with pytest.raises(ValueError, match="tokens must be whole numbers, got float32"):
        model.encode_text(np.zeros((1, 7), np.float32))
    with pytest.raises(ValueError, match="0 to 1, got taps = .2,."):
        towers.run(model.vision.blocks, jnp.zeros((1, 5, 8)), taps=(2,))
    with pytest.raises(ValueError, match="patch_size must divide image_size = 8, got patch_size = 3"):
        dataclasses.replace(TINY, patch_size=3)
    with pytest.raises(ValueError, match="'quick_gelu' or 'gelu', got 'relu'"):
        dataclasses.replace(TINY, activation="relu")


def test_a_token_outside_the_vocabulary_gives_nan_and_not_another_word(model):
    found = jax.jit(lambda model, tokens: model.encode_text(tokens))(model, np.array([[18, 20], [-1, 19], [18, 19]]))
    assert np.isnan(found[:2]).all() and np.isfinite(found[2]).all()
