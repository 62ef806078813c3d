"""DAMSM's image encoders: regions stand row by row and see their own part, the published one's names and sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.text_to_image import damsm

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def encoder():
    shapes = nnx.eval_shape(lambda: damsm.ImageEncoder(image_size=16, width=2, features=5, rngs=nnx.Rngs(0)))
    made = weights.random(shapes, nnx.Rngs(0))
    for norm in made.norms:
        norm.mean[...] = jnp.zeros(norm.mean.shape)
    parts = [factor * made.regions.kernel[...] for factor in (1, 10, 100)]  # means, and means weighted across and down
    made.picture.kernel[...], made.picture.bias[...] = jnp.concatenate(parts), jnp.zeros(5)
    made.eval()
    return made


def test_regions_stand_row_by_row_and_the_picture_is_of_their_mean_and_places(encoder):
    look = jax.jit(lambda images: encoder(images))
    images = np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)
    other = images.copy()
    other[0, 0, -1] += 5  # above, on the right: region 7
    one, two = look(images), look(other)
    moved = np.abs(one.regions - two.regions).max(-1).reshape(8, 8)
    assert moved[0, 7] > 1e-3 and not moved[4:].any() and not moved[:, :3].any()
    # By the same map: the mean of what regions are, and how it leans to the right and downwards.
    grid, edge = np.asarray(one.regions).reshape(8, 8, 5), np.linspace(-1, 1, 8)[:, None]
    want = grid.mean((0, 1)) + 10 * (grid * edge).mean((0, 1)) + 100 * (grid * edge[:, None]).mean((0, 1))
    np.testing.assert_allclose(one.picture[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_pictures_of_any_size_have_8_x_8_regions(size):
    made = nnx.eval_shape(lambda: damsm.ImageEncoder(image_size=size, features=7, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(made)
    seen = jax.eval_shape(lambda state, x: nnx.merge(graphdef, state)(x), state, jnp.ones((2, size, size, 3)))
    assert seen.regions.shape == (2, 64, 7) and seen.picture.shape == (2, 7)


def test_the_published_encoder_has_the_names_and_the_regions_of_the_authors():
    made = nnx.eval_shape(lambda: damsm.InceptionEncoder(rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(made)
    paths = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.as_pure(state))}
    table = damsm.inception_table()
    assert paths == table.keys()
    assert table["trunk/mixed_5b/branch1x1/kernel"].names[0] == "Mixed_5b.branch1x1.conv.weight"
    seen = jax.eval_shape(lambda state, x: nnx.merge(graphdef, state)(x), state, jnp.ones((2, 64, 64, 3)))
    assert seen.regions.shape == (2, 17 * 17, 256) and seen.picture.shape == (2, 256)


def test_bad_arguments(encoder):
    for size in (8, 48):
        with pytest.raises(ValueError, match="image_size must be a power of two and at least 16"):
            damsm.ImageEncoder(image_size=size, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="image_size must be at most 128"):
        damsm.ImageEncoder(image_size=256, rngs=nnx.Rngs(0))
    published = nnx.eval_shape(lambda: damsm.InceptionEncoder(rngs=nnx.Rngs(0)))
    for shape in ((64, 64), (1, 64, 64, 1)):
        with pytest.raises(ValueError, match=r"images must be \[b, h, w, 3\]"):
            published(jnp.ones(shape))
    with pytest.raises(ValueError, match="images must be of size 16 x 16"):
        encoder(jnp.ones((1, 8, 8, 3)))
