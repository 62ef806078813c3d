import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.classifier import Classifier


@pytest.mark.fast
@pytest.mark.parametrize("image_shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (7, 9, 2)])
def test_logits_and_features_have_the_announced_shapes(image_shape):
    def run():
        model = Classifier(image_shape=image_shape, num_classes=7, num_features=12, rngs=nnx.Rngs(0))
        return *model(jnp.zeros((3, *image_shape))), model.features(jnp.zeros((3, *image_shape)))

    logits, features, again = jax.eval_shape(run)
    assert (logits.shape, features.shape, again.shape) == ((3, 7), (3, 12), (3, 12))


def test_logits_are_a_linear_map_of_the_features(filled):
    model = filled(lambda: Classifier(image_shape=(8, 8, 1), num_features=12, rngs=nnx.Rngs(0)))
    logits, features = model(np.random.default_rng(0).random((4, 8, 8, 1), np.float32))
    np.testing.assert_allclose(logits, features @ model.out.kernel[...] + model.out.bias[...], atol=1e-5)
    assert float(features.min()) >= 0 and float(features.max()) > 0


@pytest.mark.fast
def test_wrong_channels_are_refused_by_name():
    model = nnx.eval_shape(lambda: Classifier(image_shape=(8, 8, 1), rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="1 channel.*3 channel"):
        model(jnp.zeros((2, 8, 8, 3)))
