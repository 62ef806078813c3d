"""The probe: logits of each attribute, of the mean over the picture, and what cannot be told apart."""

import jax
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.probe import Probe

pytestmark = pytest.mark.fast


def test_logits_of_each_attribute_are_a_linear_map_of_the_mean_over_cells():
    probe = Probe({"colour": 3, "kind": 2}, image_size=8, width=2, num_blocks=0, grid_size=4, rngs=nnx.Rngs(0))
    probe.last.bias[...] = np.float32([1, 2, 3, 4, 5])
    probe.eval()
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    found, seen = jax.jit(lambda x: (probe(x), probe.look(x)))(images)
    want = np.maximum(seen, 0).mean((1, 2)) @ np.asarray(probe.last.kernel[...]) + [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["colour"], want[:, :3], rtol=1e-5)
    np.testing.assert_allclose(found["kind"], want[:, 3:], rtol=1e-5)


@pytest.mark.parametrize("classes", [{}, {"colour": 3, "kind": 1}])
def test_what_cannot_be_told_apart(classes):
    with pytest.raises(ValueError, match="classes must name attributes of two classes and more"):
        Probe(classes, image_size=8, rngs=nnx.Rngs(0))
