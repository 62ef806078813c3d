"""A detector's losses on a grid: by hand on two cells, nothing for what is not there, and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.objectives import detection

pytestmark = pytest.mark.fast


def _softplus(x):
    return np.logaddexp(0, x)


def test_losses_are_those_of_the_cells_of_middles():
    """On 2 x 2 cells, one object with its middle in the lower left one."""
    presence = np.float32([[0.3, -0.2, 1.5, 0.1], [0.0, 1.0, 2.0, 3.0]])
    shape = np.zeros((2, 4, 3), np.float32)
    shape[0, 2] = [0.5, 2.0, -1.0]
    boxes = np.zeros((2, 4, 4), np.float32)
    boxes[0, 2] = [0.1, 0.6, 0.4, 0.8]
    true_boxes = np.float32([[[0.1, 0.5, 0.5, 0.9], [0.9, 0.9, 1.0, 1.0]], [[0.0] * 4] * 2])
    valid = np.array([[True, False], [False, False]])
    found = jax.jit(detection.on_grid)(
        presence, {"shape": shape}, boxes,
        true_classes={"shape": np.array([[1, 2], [0, 0]])}, true_boxes=true_boxes, valid=valid,
    )  # fmt: skip
    signs = np.array([[1, 1, -1, 1], [1, 1, 1, 1]])
    np.testing.assert_allclose(found.presence, _softplus(signs * presence).sum(1), rtol=1e-6)
    want = np.log(np.exp(shape[0, 2]).sum()) - 2.0
    np.testing.assert_allclose(found.classes["shape"], [want, 0.0], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [0.1 + 0.1 + 0.1, 0.0], rtol=1e-5)


def test_a_middle_on_the_far_border_is_in_the_last_cell():
    shapes = {"presence": (1, 9), "boxes": (1, 9, 4)}
    presence, boxes = (np.zeros(shape, np.float32) for shape in shapes.values())

    def loss(presence):
        return detection.on_grid(
            presence, {}, boxes, true_classes={}, true_boxes=np.ones((1, 1, 4), np.float32), valid=np.ones((1, 1), bool)
        ).presence[0]

    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(presence))[0], [0.5] * 8 + [-0.5])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"presence": np.zeros((1, 3))}, r"presence must be \[b, g \* g\]"),
        ({"boxes": np.zeros((1, 4, 3))}, r"boxes \[b, g \* g, 4\]"),
        ({"true_boxes": np.zeros((1, 3, 4))}, r"valid must be \[1, m\] and true_boxes \[1, m, 4\]"),
        ({"true_classes": {}}, r"Kinds of classes must agree, got \['shape'\] and \[\]"),
    ],
)
def test_what_cannot_be(changed, message):
    arguments = {
        "presence": np.zeros((1, 4)),
        "classes": {"shape": np.zeros((1, 4, 2))},
        "boxes": np.zeros((1, 4, 4)),
        "true_classes": {"shape": np.zeros((1, 2), int)},
        "true_boxes": np.zeros((1, 2, 4)),
        "valid": np.ones((1, 2), bool),
    } | changed
    positional = [arguments.pop(name) for name in ("presence", "classes", "boxes")]
    with pytest.raises(ValueError, match=message):
        detection.on_grid(*positional, **arguments)
