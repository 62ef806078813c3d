import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.low_light import ReferenceNetwork


@pytest.mark.fast
@pytest.mark.parametrize(("channels", "parameters"), [(1, 20_545), (3, 31_715)])
def test_parameters_are_those_of_the_released_network(channels, parameters):
    model = nnx.eval_shape(lambda: ReferenceNetwork(channels, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == parameters


@pytest.mark.fast
def test_sizes():
    image = jax.ShapeDtypeStruct((2, 256, 256, 1), jnp.float32)

    def sizes(image):
        model = ReferenceNetwork(rngs=nnx.Rngs(0))
        return model(image, padded=False), model(image)

    unpadded, padded = jax.eval_shape(sizes, image)
    assert unpadded.shape == (2, 240, 240, 1) and padded.shape == (2, 256, 256, 1)


def test_padding_changes_the_border_only(filled):
    model = filled(lambda: ReferenceNetwork(3, rngs=nnx.Rngs(0)))
    image = jax.random.uniform(jax.random.key(0), (1, 24, 20, 3))
    inner = model(image, padded=False)
    assert inner.shape == (1, 8, 4, 3) and inner.min() > 0 and inner.max() < 1
    np.testing.assert_allclose(model(image)[:, 8:-8, 8:-8], inner, rtol=1e-5)


def test_it_begins_at_the_brightness_given():
    model = ReferenceNetwork(1, brightness=0.3, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(model.image.bias[...], np.log(0.3 / 0.7), rtol=1e-6)


@pytest.mark.fast
def test_bad_input_is_named():
    with pytest.raises(ValueError, match="channels must be 1 or 3, got channels = 4"):
        ReferenceNetwork(4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="brightness must be in"):
        ReferenceNetwork(1, brightness=1.0, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: ReferenceNetwork(3, rngs=nnx.Rngs(0)))
    with pytest.raises(
        ValueError, match=r"images must be \[b, h >= 9, w >= 9, 3\], got images.shape = \(1, 20, 20, 1\)"
    ):
        model(jnp.zeros((1, 20, 20, 1)))
    with pytest.raises(ValueError, match="h >= 17"):
        model(jnp.zeros((1, 16, 30, 3)), padded=False)
