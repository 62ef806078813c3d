"""Convolutional encoders and decoders: a shallow pair without norms, and a deep pair of strides with batch norm."""

from collections.abc import Sequence

import jax
from flax import nnx

from gentoolkit.models import _images
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import TransposedConvolution


class ShallowEncoder(nnx.Module):
    """Four 2x2 convolutions with ReLU, the second with stride 2, then a hidden dense layer.

    The convolutions keep the size (one row and column of zeros at the lower right), so that the last one gives half the
    height and width of the image and `width` channels, which is where the decoder begins.
    """

    def __init__(
        self, image_shape: Sequence[int], num_outputs: int, *, width: int = 32, hidden: int = 128, rngs: nnx.Rngs
    ):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`, h and w even.
          num_outputs: features of the last layer.
          width: channels of the convolutions but the first, which has those of the image.
          hidden: units of the dense layer.
          rngs: of the initial weights.
        """
        height, wide, channels = _images.as_image_shape(image_shape, multiple_of=2)
        sizes, strides = [channels, channels, width, width, width], [1, 2, 1, 1]
        self.convolutions = nnx.List(
            nnx.Conv(a, b, (2, 2), strides=stride, padding="SAME", rngs=rngs)
            for a, b, stride in zip(sizes[:-1], sizes[1:], strides, strict=True)
        )
        self.hidden = nnx.Linear(height // 2 * (wide // 2) * width, hidden, rngs=rngs)
        self.out = nnx.Linear(hidden, num_outputs, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[b, h, w, c]` to `[b, num_outputs]`."""
        x = images
        for layer in self.convolutions:
            x = nnx.relu(layer(x))
        return self.out(nnx.relu(self.hidden(x.reshape(x.shape[0], -1))))


class ShallowDecoder(nnx.Module):
    """Two dense layers, two transposed 2x2 convolutions, one 3x3 of stride 2, a 2x2 convolution and a sigmoid."""

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int, *, width: int = 32, hidden: int = 128, rngs: nnx.Rngs
    ):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`, h and w even.
          latent_dim: features of a code.
          width: channels of the transposed convolutions.
          hidden: units of the first dense layer.
          rngs: of the initial weights.
        """
        height, wide, channels = _images.as_image_shape(image_shape, multiple_of=2)
        self.map_shape = (height // 2, wide // 2, width)
        self.dense = nnx.List(
            [
                nnx.Linear(latent_dim, hidden, rngs=rngs),
                nnx.Linear(hidden, height // 2 * (wide // 2) * width, rngs=rngs),
            ]
        )
        self.transposed = nnx.List(
            [
                TransposedConvolution(width, width, (2, 2), padding="SAME", rngs=rngs),
                TransposedConvolution(width, width, (2, 2), padding="SAME", rngs=rngs),
                TransposedConvolution(width, width, (3, 3), strides=(2, 2), padding="VALID", rngs=rngs),  # h + 1, w + 1
            ]
        )
        self.out = nnx.Conv(width, channels, (2, 2), padding="VALID", rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps `[b, latent_dim]` to `[b, h, w, c]` in [0, 1]."""
        for dense in self.dense:
            z = nnx.relu(dense(z))
        x = z.reshape(-1, *self.map_shape)
        for layer in self.transposed:
            x = nnx.relu(layer(x))
        return nnx.sigmoid(self.out(x))


class StridedEncoder(nnx.Module):
    """Four 4x4 convolutions of stride 2, each with batch norm and ReLU, then a linear layer."""

    def __init__(self, image_shape: Sequence[int], num_outputs: int, *, width: int = 128, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`, h and w multiples of 16.
          num_outputs: features of the last layer.
          width: channels of the first convolution; every other has twice those of the one before.
          rngs: of the initial weights.
        """
        height, wide, channels = _images.as_image_shape(image_shape, multiple_of=16)
        sizes = [channels, width, 2 * width, 4 * width, 8 * width]
        self.convolutions = nnx.List(
            nnx.Conv(a, b, (4, 4), strides=2, padding="SAME", use_bias=False, rngs=rngs)
            for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.norms = nnx.List(normalization.batch(size, rngs=rngs) for size in sizes[1:])
        self.out = nnx.Linear(height // 16 * (wide // 16) * 8 * width, num_outputs, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[b, h, w, c]` to `[b, num_outputs]`."""
        x = images
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return self.out(x.reshape(x.shape[0], -1))


class StridedDecoder(nnx.Module):
    """A linear layer, three transposed 4x4 convolutions of stride 2 with batch norm and ReLU, and a 3x3 one."""

    def __init__(self, image_shape: Sequence[int], latent_dim: int, *, width: int = 128, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`, h and w multiples of 16.
          latent_dim: features of a code.
          width: channels before the last layer; those of the layers before are 2, 4 and 8 times as many.
          rngs: of the initial weights.
        """
        height, wide, channels = _images.as_image_shape(image_shape, multiple_of=16)
        self.map_shape = (height // 8, wide // 8, 8 * width)
        self.dense = nnx.Linear(latent_dim, height // 8 * (wide // 8) * 8 * width, rngs=rngs)
        sizes = [8 * width, 4 * width, 2 * width, width]
        self.transposed = nnx.List(
            TransposedConvolution(a, b, (4, 4), strides=(2, 2), padding="SAME", use_bias=False, rngs=rngs)
            for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.norms = nnx.List(normalization.batch(size, rngs=rngs) for size in sizes[1:])
        self.out = TransposedConvolution(width, channels, (3, 3), padding="SAME", rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps `[b, latent_dim]` to `[b, h, w, c]` in [0, 1]."""
        x = self.dense(z).reshape(-1, *self.map_shape)
        for layer, norm in zip(self.transposed, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return nnx.sigmoid(2 * self.out(x))  # (1 + tanh) / 2
