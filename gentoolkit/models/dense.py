"""Fully connected encoder and decoder: images as long vectors."""

import math
from collections.abc import Sequence

import jax
from flax import nnx

from gentoolkit.models import _images


class DenseEncoder(nnx.Module):
    """Images flattened, hidden layers with ReLU, one linear layer at the end."""

    def __init__(self, image_shape: Sequence[int], num_outputs: int, *, widths: Sequence[int], rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`.
          num_outputs: features of the last layer.
          widths: units of the hidden layers, first to last.
          rngs: of the initial weights.
        """
        sizes = [math.prod(_images.as_image_shape(image_shape)), *widths, num_outputs]
        self.layers = nnx.List(nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[b, h, w, c]` to `[b, num_outputs]`."""
        x = images.reshape(images.shape[0], -1)
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return last(x)


class DenseDecoder(nnx.Module):
    """Hidden layers with ReLU, then one sigmoid unit for each pixel and channel."""

    def __init__(self, image_shape: Sequence[int], latent_dim: int, *, widths: Sequence[int], rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`.
          latent_dim: features of a code.
          widths: units of the hidden layers, first to last.
          rngs: of the initial weights.
        """
        self.image_shape = _images.as_image_shape(image_shape)
        sizes = [latent_dim, *widths, math.prod(self.image_shape)]
        self.layers = nnx.List(nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps `[b, latent_dim]` to `[b, h, w, c]` in [0, 1]."""
        *hidden, last = self.layers
        for layer in hidden:
            z = nnx.relu(layer(z))
        return nnx.sigmoid(last(z)).reshape(-1, *self.image_shape)
