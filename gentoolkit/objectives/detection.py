"""What a detector on a grid loses: where objects are, what they are, and how far their boxes reach."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.objectives import _rows


class Detection(NamedTuple):
    """Losses of each image.

    Attributes:
      presence: `[b]` cross-entropy of where middles of objects are, summed over the cells.
      classes: `[b]` cross-entropy of the classes in the cells of objects, summed over objects, by kind.
      boxes: `[b]` absolute differences of the four sides of boxes, summed over sides and objects.
    """

    presence: jax.Array
    classes: dict[str, jax.Array]
    boxes: jax.Array


def on_grid(
    presence: jax.Array,
    classes: Mapping[str, jax.Array],
    boxes: jax.Array,
    *,
    true_classes: Mapping[str, jax.Array],
    true_boxes: jax.Array,
    valid: jax.Array,
) -> Detection:
    """Losses of a grid whose cells say whether an object has its middle there.

    Args:
      presence: `[b, g * g]` logits, row by row from the top left cell.
      classes: `[b, g * g, k]` logits by kind.
      boxes: `[b, g * g, 4]` left, top, right, bottom as shares of the side.
      true_classes: `[b, m]` integers by kind, those of `classes`.
      true_boxes: `[b, m, 4]`. Of two objects with their middle in one cell both are asked of that cell.
      valid: `[b, m]` bool, which objects are there.

    Returns:
      The losses; zero for the classes and boxes of an image without objects.

    Raises:
      ValueError: shapes that disagree, a grid that is not square, or a kind without logits.
    """
    shape, count = _array.shape(presence), _array.shape(valid)
    side = round(shape[-1] ** 0.5) if len(shape) == 2 else 0
    if len(shape) != 2 or side * side != shape[1] or _array.shape(boxes) != (*shape, 4):
        raise ValueError(f"presence must be [b, g * g] and boxes [b, g * g, 4], got {shape} and {_array.shape(boxes)}.")
    if len(count) != 2 or count[0] != shape[0] or _array.shape(true_boxes) != (*count, 4):
        raise ValueError(
            f"valid must be [{shape[0]}, m] and true_boxes [{shape[0]}, m, 4], "
            f"got {count} and {_array.shape(true_boxes)}."
        )
    if set(true_classes) != set(classes):
        raise ValueError(f"Kinds of classes must agree, got {sorted(classes)} and {sorted(true_classes)}.")
    valid = jnp.asarray(valid, bool)
    presence, boxes, true_boxes = _array.as_floating(presence=presence, boxes=boxes, true_boxes=true_boxes)
    middle = (true_boxes[..., :2] + true_boxes[..., 2:]) / 2.0
    place = jnp.clip(jnp.floor(middle * side), 0, side - 1).astype(jnp.int32)
    cell = place[..., 1] * side + place[..., 0]  # [b, m]
    there = jnp.any((cell[..., None] == jnp.arange(side * side)[None, None]) & valid[..., None], axis=1)
    of_presence = jnp.sum(jax.nn.softplus(jnp.where(there, -presence, presence)), axis=1)
    zero = jnp.zeros((), presence.dtype)

    def of_objects(losses: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(valid, losses, zero), axis=1)

    def of_class(name: str) -> jax.Array:
        logits = jnp.take_along_axis(classes[name].astype(presence.dtype), cell[..., None], axis=1)
        chosen = jnp.take_along_axis(logits, jnp.asarray(true_classes[name])[..., None], axis=-1)[..., 0]
        return of_objects(jax.nn.logsumexp(logits, axis=-1) - chosen)

    seen = jnp.take_along_axis(boxes, cell[..., None], axis=1)
    return Detection(
        of_presence,
        {name: of_class(name) for name in classes},
        of_objects(jnp.sum(_rows.absolute(seen - true_boxes), axis=-1)),
    )
