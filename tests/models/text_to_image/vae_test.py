"""The variational auto-encoder of pictures with sentences: every parameter has its part, rows are independent.

And the flow that carries noise to its codes: along a known field it ends where that ends.
"""

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


@pytest.fixture
def flow():
    return vae.Flow(noise_dim=3, sentence_dim=5, width=6, depth=2, rngs=nnx.Rngs(0))


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
        painted = paint.paint(variational.sample(jax.random.key(0), *law), sentence)
        return jnp.mean((painted - images) ** 2) + 0.1 * jnp.mean(variational.kl_between(*law, *paint.prior(sentence)))

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


def test_noise_stands_for_a_code_of_the_prior(networks):
    paint = nnx.clone(networks[1])
    paint.eval()

    @jax.jit
    def both(noise, sentence):
        mean, log_variance = paint.prior(sentence)
        return paint(noise, sentence), paint.paint(mean + jnp.exp(log_variance / 2) * noise, sentence), mean

    by_noise, by_code, mean = both(jax.random.normal(jax.random.key(0), (4, 3)), _given()[1])
    np.testing.assert_allclose(by_noise, by_code, atol=1e-6)
    assert np.abs(mean[0] - mean[1]).max() > 1e-3
    # Before training it is N(0, I) for every sentence.
    for numbers in vae.Generator(**_SMALL, rngs=nnx.Rngs(0)).prior(_given()[1]):
        np.testing.assert_array_equal(numbers, 0)


def test_a_flow_moves_nothing_at_first_and_by_a_constant_field_exactly(flow):
    noise, sentence = jax.random.normal(jax.random.key(0), (4, 3)), _given()[1]
    carry = nnx.jit(lambda flow, noise: flow.carry(noise, sentence))
    np.testing.assert_array_equal(carry(flow, noise), noise)
    flow.end.bias[...] = jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(carry(flow, noise), noise + flow.end.bias[...], atol=1e-5)


def test_a_flow_follows_a_field_of_second_order():
    """dx/dt = (1 + 2 t) x ends at e^2 x; the midpoint rule has an error of the square of its step."""

    class Field(vae.Flow):
        def __call__(self, codes, times, sentence):
            return (1 + 2 * times[:, None]) * codes

    field = Field(noise_dim=3, sentence_dim=5, width=2, depth=1, rngs=nnx.Rngs(0))
    noise, sentence = jax.random.normal(jax.random.key(0), (4, 3)), _given()[1]
    wrong = [
        np.abs(jax.jit(lambda x, n=n: field.carry(x, sentence, num_steps=n))(noise) / noise / np.exp(2) - 1).max()
        for n in (8, 16)
    ]
    assert 3.5 < wrong[0] / wrong[1] < 4.5 and wrong[1] < 0.01


def test_velocities_reach_every_parameter_and_depend_on_all_that_is_given(flow):
    flow = weights.random(nnx.eval_shape(lambda: flow), nnx.Rngs(0))
    graphdef, params = nnx.split(flow, nnx.Param)
    codes, sentence = jnp.ones((4, 3)), _given()[1]
    times = jnp.array([0.0, 0.3, 0.7, 1.0])

    @jax.jit
    def velocities(params, codes, times, sentence):
        return nnx.merge(graphdef, params, copy=True)(codes, times, sentence)

    slopes = jax.jit(jax.grad(lambda params: jnp.sum(velocities(params, codes, times, sentence) ** 2)))(params)
    for path, leaf in nnx.to_flat_state(slopes):
        assert np.abs(leaf[...]).max() > 1e-7, path
    first = velocities(params, codes, times, sentence)
    for other in ((2 * codes, times, sentence), (codes, times + 0.1, sentence), (codes, times, -sentence)):
        assert np.abs(velocities(params, *other) - first).max() > 1e-3


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
        paint.paint(jnp.ones((1, 4)), jnp.ones((1, 5)))
    with pytest.raises(ValueError, match="sentence must be"):
        paint(jnp.ones((1, 3)), jnp.ones((1, 4)))
