"""Images are scaled as Pillow scales them, and what CLIP sees in them pulls them towards a text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from gentoolkit.models import clip
from gentoolkit.models.clip import images

TINY = clip.Architecture(8, 4, clip.Tower(8, 1, 2), clip.Tower(6, 1, 3), 5, vocabulary_size=20, context_length=7)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    graphdef, state = nnx.split(clip.shapes(TINY))
    state = jax.tree.map(lambda p: jnp.asarray(RNG.normal(size=p.shape, scale=0.5), p.dtype), state)
    return nnx.merge(graphdef, state)


# Of both directions: shrunk and enlarged, odd borders of the middle (halves are rounded to even), one line of pixels.
@pytest.mark.parametrize(
    ("shape", "size", "scaled", "corner"),
    [
        ((30, 52), 11, (11, 19), (0, 4)),
        ((9, 7), 12, (15, 12), (2, 0)),
        ((40, 60), 10, (10, 15), (0, 2)),
        ((1, 3), 2, (2, 6), (0, 2)),
        ((8, 8), 8, (8, 8), (0, 0)),
    ],
)
def test_scaling_is_that_of_pillow_on_floats(shape, size, scaled, corner):
    image = RNG.uniform(size=(*shape, 3)).astype(np.float32)
    whole = np.stack(
        [np.asarray(Image.fromarray(image[..., c]).resize(scaled[::-1], Image.Resampling.BICUBIC)) for c in range(3)],
        -1,
    )
    (top, left), found = (
        corner,
        np.asarray(
            jax.jit(clip.preprocess, static_argnames=("image_range", "size"))(image, image_range=(0, 1), size=size)
        ),
    )
    np.testing.assert_allclose(found, whole[top : top + size, left : left + size], rtol=0, atol=1e-6)


@pytest.mark.fast
def test_bytes_are_scaled_by_pillow_with_its_rounding():
    image = RNG.integers(0, 256, (20, 31, 3), np.uint8)
    found = clip.preprocess_bytes(image, size=8)
    assert found.shape == (8, 8, 3) and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.round(found * 255).astype(np.float32) / 255)
    # The middle of 12 columns, by the other way round of the same filter.
    np.testing.assert_allclose(found, np.clip(clip.preprocess(image, image_range=(0, 255), size=8), 0, 1), atol=0.06)
    grey = Image.fromarray(image[..., 0])
    np.testing.assert_array_equal(clip.preprocess_bytes(grey, size=8), np.repeat(found[..., :1], 3, axis=2))


@pytest.mark.fast
def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"images must be \[..., h, w, 3\], got images.shape = .4, 4, 1."):
        clip.preprocess(jnp.zeros((4, 4, 1)), image_range=(0, 1))
    with pytest.raises(TypeError, match=r"got uint8; uint8 goes with image_range = .0, 255."):
        clip.preprocess(np.zeros((4, 4, 3), np.uint8), image_range=(0, 1))
    with pytest.raises(ValueError, match="size must be >= 1, got size = 0"):
        clip.preprocess(np.zeros((4, 4, 3), np.float32), image_range=(0, 1), size=0)
    with pytest.raises(ValueError, match=r"uint8 \[h, w, 3\], got float64 of shape .4, 4, 3."):
        clip.preprocess_bytes(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="8 bits, got mode 'I;16'"):
        clip.preprocess_bytes(Image.fromarray(np.zeros((4, 4), np.uint16)))


def test_guidance_is_the_angle_to_a_text_with_a_gradient_in_images_of_bfloat16(model):
    pictures = jnp.asarray(RNG.uniform(size=(2, 3, 12, 10, 3)), jnp.bfloat16)  # two views of three images

    @jax.jit
    def cosine(model, pictures, texts):
        seen = model.encode_image(clip.preprocess(pictures[0], image_range=(0, 1), size=8))
        return seen, clip.guidance(model, pictures, texts, image_range=(0, 1))

    seen = np.asarray(cosine(model, pictures, np.ones((3, 5), np.float32))[0])
    across = RNG.normal(size=5)
    across -= across @ seen[2] * seen[2] / (seen[2] @ seen[2])
    texts = np.stack([3 * seen[0], -seen[1], across]).astype(np.float32)  # the same, opposite, a right angle
    far = np.asarray(cosine(model, pictures, texts)[1])
    assert far.shape == (2, 3) and far.dtype == np.float32
    np.testing.assert_allclose(far[0], [0, 2, 1], atol=1e-5)

    def angle(model, pictures):
        found = jax.vmap(lambda view: clip.guidance(model, view, texts, image_range=(0, 1), distance="spherical"))(
            pictures
        )
        return found.mean(), found

    (of_model, of_images), angles = jax.jit(jax.grad(angle, argnums=(0, 1), has_aux=True))(model, pictures)
    np.testing.assert_allclose(angles[0], [0, np.pi**2, np.pi**2 / 4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(angles, np.arccos(np.clip(1 - far, -1, 1)) ** 2, rtol=1e-3, atol=1e-4)
    assert of_images.dtype == jnp.bfloat16 and np.isfinite(np.float32(of_images)).all()
    assert np.any(np.float32(of_images[0, 2])) and np.any(np.float32(of_images[1]), (1, 2, 3)).all()
    of_model = nnx.state(of_model)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_model))
    assert np.any(of_model["vision"]["patch_kernel"][...]) and not np.any(of_model["text"]["embedding"][...])


def test_the_angle_has_a_gradient_where_vectors_are_exactly_equal_or_opposite():
    a = jnp.float32([[0.6, 0.8], [0.6, 0.8], [1.0, 0.0]])
    b = jnp.float32([[0.6, 0.8], [-0.6, -0.8], [0.0, 1.0]])
    gradient = jax.jit(jax.grad(lambda a: images._squared_angle(a, b).sum()))(a)
    np.testing.assert_allclose(gradient, [[0, 0], [0, 0], [0, -np.pi]], atol=1e-5)


@pytest.mark.fast
def test_guidance_refuses_what_does_not_fit(model):
    pictures = jnp.zeros((2, 8, 8, 3))
    with pytest.raises(ValueError, match=r"text_embeddings must be \[..., 5\], got text_embeddings.shape = .2, 4."):
        clip.guidance(model, pictures, jnp.zeros((2, 4)), image_range=(0, 1))
    with pytest.raises(ValueError, match=r"must broadcast, got .2,. images and .3,. texts"):
        clip.guidance(model, pictures, jnp.zeros((3, 5)), image_range=(0, 1))
    with pytest.raises(ValueError, match="'cosine' or 'spherical', got 'angle'"):
        clip.guidance(model, pictures, jnp.zeros((2, 5)), image_range=(0, 1), distance="angle")


@pytest.mark.fast
def test_images_of_another_range_are_refused_wherever_they_come_in(model):
    pictures = RNG.uniform(size=(1, 8, 8, 3)).astype(np.float32)
    ways = [
        lambda x: clip.preprocess(x, image_range=(0, 1), size=8),
        lambda x: clip.guidance(model, x, np.ones(5, np.float32), image_range=(0, 1)),
        model.encode_image,
    ]
    for call in ways:
        for wrong in (2 * pictures - 1, 255 * pictures):
            with pytest.raises(ValueError, match=r"images must lie in image_range = \(0, 1\), got values from"):
                call(wrong)
        with pytest.raises(ValueError, match="images hold values that are not finite"):
            call(np.where(pictures > 0.5, np.nan, pictures))
    with pytest.warns(UserWarning, match=r"said to lie in \(-1, 1\): is it \[0, 1\]"):
        clip.preprocess(pictures, image_range=(-1, 1), size=8)
    for function in (clip.preprocess, clip.guidance):
        with pytest.raises(TypeError, match="image_range"):
            function(model, pictures, np.ones(5)) if function is clip.guidance else function(pictures)


@pytest.mark.fast
def test_ranges_are_ways_to_write_one_image():
    share = RNG.uniform(size=(9, 7, 3)).astype(np.float32)
    want = clip.preprocess(share, image_range=(0, 1), size=4)
    for image, image_range in ((2 * share - 1, (-1, 1)), (255 * share, (0, 255))):
        np.testing.assert_allclose(clip.preprocess(image, image_range=image_range, size=4), want, atol=1e-6)
