"""The detector: what it says of a cell stands where the cell is, and sizes that cannot be are refused."""

import jax
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.detector import Detector

pytestmark = pytest.mark.fast


def test_boxes_lie_about_the_middles_of_their_cells():
    detector = Detector({"shape": 3, "colour": 2}, image_size=16, width=2, num_blocks=1, grid_size=4, rngs=nnx.Rngs(0))
    detector.last.kernel[...] = np.zeros_like(detector.last.kernel[...])
    detector.last.bias[...] = np.float32([7, -0.1, -0.2, 0.3, 0.4, 1, 2, 3, 4, 5])
    detector.eval()
    grid = jax.jit(lambda x: detector(x))(np.zeros((2, 16, 16, 3), np.float32))
    assert grid.presence.shape == (2, 16) and (grid.presence == 7).all()
    np.testing.assert_array_equal(grid.classes["shape"][1, 5], [1, 2, 3])
    np.testing.assert_array_equal(grid.classes["colour"][1, 5], [4, 5])
    # Cell 6 is the third of the second row.
    np.testing.assert_allclose(grid.boxes[0, 6], [0.625 - 0.1, 0.375 - 0.2, 0.625 + 0.3, 0.375 + 0.4], rtol=1e-6)


@pytest.mark.parametrize("size", [4, 24, 20])
def test_sizes_that_cannot_be(size):
    with pytest.raises(ValueError, match=f"grid_size = 8 times a power of two, got image_size = {size}"):
        Detector({"shape": 3}, image_size=size, rngs=nnx.Rngs(0))
