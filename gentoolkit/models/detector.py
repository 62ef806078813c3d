"""A small detector: in each cell of a grid, whether an object has its middle there, of which classes, in which box."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution
from gentoolkit.nn.residual import ResidualBlock


class Grid(NamedTuple):
    """What is seen in each cell, row by row from the top left one.

    Attributes:
      presence: `[b, g * g]` logits of "the middle of an object is here".
      classes: `[b, g * g, k]` logits for each kind of class (shape, colour, ...), by name.
      boxes: `[b, g * g, 4]` left, top, right and bottom as shares of the image's side.
    """

    presence: jax.Array
    classes: dict[str, jax.Array]
    boxes: jax.Array


class Trunk(nnx.Module):
    """Convolutions down to a grid of 8 x 8 cells, and residual blocks there; what reads the cells is added to it.

    Attributes:
      features: channels of the grid.
      grid_size: its cells along each side.
    """

    def __init__(
        self,
        *,
        image_size: int = 32,
        width: int = 32,
        num_blocks: int = 3,
        grid_size: int = 8,
        channels: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          image_size: height and width of the images; `grid_size` times a power of two.
          width: channels at full size, doubled by each halving, up to four times as many.
          num_blocks: residual blocks of the grid.
          grid_size: cells along each side.
          channels: of the images.
          rngs: of the initial weights.

        Raises:
          ValueError: another size.
        """
        halvings = round(math.log2(max(image_size, 1) / grid_size))
        if halvings < 0 or grid_size << halvings != image_size:
            raise ValueError(
                f"image_size must be grid_size = {grid_size} times a power of two, got image_size = {image_size}."
            )
        widths = [width * min(2**level, 4) for level in range(halvings + 1)]
        he = nnx.initializers.he_normal()
        self.grid_size, self.features = grid_size, widths[-1]
        self.first = Convolution(channels, width, 3, kernel_init=he, rngs=rngs)
        self.down = nnx.List(
            Convolution(a, b, 4, strides=2, padding=1, kernel_init=he, rngs=rngs)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.norms = nnx.List(normalization.batch(w, rngs=rngs) for w in widths)
        self.blocks = nnx.List(
            ResidualBlock(widths[-1], norm=normalization.batch, reflect=False, kernel_init=he, rngs=rngs)
            for _ in range(num_blocks)
        )

    def look(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to the features `[b, g, g, features]` that are told apart."""
        x = nnx.relu(self.norms[0](self.first(images)))
        for convolution, norm in zip(self.down, list(self.norms)[1:], strict=True):
            x = nnx.relu(norm(convolution(x)))
        for block in self.blocks:
            x = block(x)
        return x


class Detector(Trunk):
    """A trunk and one linear map in each cell; two objects need middles in different cells."""

    def __init__(self, classes: Mapping[str, int], *, rngs: nnx.Rngs, **sizes: int):
        """Makes the layers.

        Args:
          classes: how many classes there are of each kind.
          rngs: of the initial weights.
          **sizes: of the trunk.

        Raises:
          ValueError: as the trunk.
        """
        super().__init__(**sizes, rngs=rngs)
        self.kinds = tuple(classes.items())
        self.last = nnx.Linear(self.features, 5 + sum(classes.values()), rngs=rngs)

    def __call__(self, images: jax.Array) -> Grid:
        """Maps images `[b, h, w, c]` in [-1, 1] to what is seen in each cell."""
        x = self.last(nnx.relu(self.look(images)))
        x = x.reshape(x.shape[0], self.grid_size**2, -1)
        edges = jnp.linspace(0.0, 1.0, 2 * self.grid_size + 1)[1::2]
        across, down = jnp.meshgrid(edges, edges)
        middle = jnp.stack([across, down, across, down], axis=-1).reshape(1, -1, 4)
        return Grid(x[..., 0], apart(x[..., 5:], self.kinds), middle + x[..., 1:5])


def apart(logits: jax.Array, kinds: Sequence[tuple[str, int]]) -> dict[str, jax.Array]:
    """Cuts logits `[..., k]` of several kinds of classes apart, by the name and the number of classes of each."""
    found, at = {}, 0
    for name, count in kinds:
        found[name] = logits[..., at : at + count]
        at += count
    return found
