"""A small classifier of whole pictures with a head for each attribute: colour, kind of article, season, ..."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models.detector import Trunk, apart


class Probe(Trunk):
    """The trunk of the detector, means over its cells, and one linear map to the classes of all attributes."""

    def __init__(self, classes: Mapping[str, int], *, rngs: nnx.Rngs, **sizes: int):
        """Makes the layers.

        Args:
          classes: how many there are of each attribute.
          rngs: of the initial weights.
          **sizes: of the trunk.

        Raises:
          ValueError: no attribute, one of fewer than two classes, or as the trunk.
        """
        few = {name: count for name, count in classes.items() if count < 2}
        if not classes or few:
            raise ValueError(f"classes must name attributes of two classes and more, got classes = {dict(classes)}.")
        super().__init__(**sizes, rngs=rngs)
        self.kinds = tuple(classes.items())
        self.last = nnx.Linear(self.features, sum(classes.values()), rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Maps images `[b, h, w, c]` in [-1, 1] to logits `[b, classes]` of each attribute."""
        return apart(self.last(jnp.mean(nnx.relu(self.look(images)), axis=(1, 2))), self.kinds)
