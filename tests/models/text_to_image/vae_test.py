"""The variational auto-encoder of pictures with sentences: every parameter has its part, rows are independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.text_to_image import vae
from gentoolkit.objectives import variational

pytestmark = pytest.mark.fast
_SMALL = {"image_size": 16, "width": 2, "noise_dim": 3, "sentence_dim": 5}


@pytest.fixture(scope="module")
def networks():
    return [
        weights.random(nnx.eval_shape(lambda make=make: make(**_SMALL, rngs=nnx.Rngs(0))), nnx.Rngs(0))
        for make in (vae.Encoder, vae.Generator)
    ]


def _given(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32), rng.standard_normal((4, 5)).astype(np.float32)


def test_a_bound_reaches_every_parameter(networks):
    """Batch norm in training mode, as a step has it."""
    split = [nnx.split(network, nnx.Param, ...) for network in networks]

    @jax.jit
    @jax.grad
    def slopes(params):
        whole = zip(split, params, strict=True)
        encode, paint = (nnx.merge(graphdef, given, rest, copy=True) for (graphdef, _, rest), given in whole)
        images, sentence = _given()
        law = encode(images, sentence)
        painted = paint(variational.sample(jax.random.key(0), *law), sentence)
        return jnp.mean((painted - images) ** 2) + 0.1 * jnp.mean(variational.kl_to_standard(*law))

    for slope in slopes([params for _, params, _ in split]):
        for path, leaf in nnx.to_flat_state(slope):
            assert np.abs(leaf[...]).max() > 1e-7, path


def test_laws_and_pictures_are_each_of_their_own_row(networks):
    encode, paint = (nnx.clone(network) for network in networks)
    for network in (encode, paint):
        network.eval()

    @jax.jit
    def both(images, sentence):
        law = encode(images, sentence)
        return *law, paint(law.mean, sentence)

    images, sentence = _given()
    mean, log_variance, painted = found = both(images, sentence)
    assert mean.shape == log_variance.shape == (4, 3)
    assert painted.shape == images.shape and np.abs(painted).max() < 1
    for one, other in zip(both(images[::-1], sentence[::-1]), found, strict=True):
        np.testing.assert_allclose(one, other[::-1], rtol=1e-4, atol=1e-5)
    for one, other in zip(both(images, sentence[::-1]), found, strict=True):  # and sentences count
        assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("size", [32, 64])
def test_sizes(size):
    images, sentence = jnp.ones((2, size, size, 3)), jnp.ones((2, 256))

    def rebuilt():
        encode, paint = (make(image_size=size, rngs=nnx.Rngs(0)) for make in (vae.Encoder, vae.Generator))
        law = encode(images, sentence)
        return law.mean, paint(law.mean, sentence)

    code, painted = jax.eval_shape(rebuilt)
    assert code.shape == (2, 100) and painted.shape == images.shape


def test_bad_arguments(networks):
    encode, paint = networks
    with pytest.raises(ValueError, match="image_size must be a power of two"):
        vae.Generator(image_size=24, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="images must be of size"):
        encode(jnp.ones((1, 8, 8, 3)), jnp.ones((1, 5)))
    with pytest.raises(ValueError, match="noise must be"):
        paint(jnp.ones((1, 4)), jnp.ones((1, 5)))
