"""A variational auto-encoder of pictures given a sentence: what an adversarial system of the same size has to beat.

An encoder sees a picture and its sentence and gives the law of a code; a generator paints from a code and a sentence.
The code is left with what the sentence does not say, where the law is held to N(0, I) in training. The generator is
called as `dfgan.Generator` is, with N(0, I) for the noise. Pictures are means of pixels: blurred where texts leave much
open.

References:
  Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014.
  Sohn, Lee, Yan, Learning structured output representation using deep conditional generative models, NeurIPS 2015 (the
  conditional form). Layers and sizes are ours.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images
from gentoolkit.models.autoencoder import Posterior
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution, ResizedConvolution
from gentoolkit.nn.residual import leaky_relu, tile

_SMALLEST = 4  # height and width where a picture meets its sentence


class Encoder(nnx.Module):
    """A picture and a sentence to the law of a code: strided convolutions down to 4 x 4, and there the sentence."""

    def __init__(
        self,
        *,
        image_size: int = 64,
        width: int = 32,
        noise_dim: int = 100,
        sentence_dim: int = 256,
        channels: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          image_size: a power of two, 8 or more.
          width: channels after the first convolution, doubled by the others up to eight times as many.
          noise_dim: features of a code.
          sentence_dim: features of a sentence.
          channels: of the pictures.
          rngs: of the initial weights.

        Raises:
          ValueError: another size.
        """
        self.image_shape, self.sentence_dim = (image_size, image_size, channels), sentence_dim
        features = _widths(image_size, width)
        self.first = Convolution(channels, features[0], 4, strides=2, rngs=rngs)
        self.halve = nnx.List(Convolution(a, b, 4, strides=2, use_bias=False, rngs=rngs) for a, b in pairwise(features))
        self.joint = Convolution(features[-1] + sentence_dim, features[-1], 3, use_bias=False, rngs=rngs)
        self.norms = nnx.List(normalization.batch(size, rngs=rngs) for size in (*features[1:], features[-1]))
        self.law = nnx.Linear(features[-1] * _SMALLEST**2, 2 * noise_dim, rngs=rngs)

    def __call__(self, images: jax.Array, sentence: jax.Array) -> Posterior:
        """Gives laws of codes.

        Args:
          images: `[b, image_size, image_size, channels]` in [-1, 1].
          sentence: `[b, sentence_dim]`.

        Returns:
          `Posterior(mean [b, noise_dim], log_variance [b, noise_dim])`.

        Raises:
          ValueError: pictures or sentences of another shape.
        """
        _images.check_images(images, self.image_shape)
        _images.check_features(sentence, self.sentence_dim, "sentence")
        *norms, last = self.norms
        x = leaky_relu(self.first(images))
        for layer, norm in zip(self.halve, norms, strict=True):
            x = leaky_relu(norm(layer(x)))
        x = leaky_relu(last(self.joint(tile(x, sentence))))
        return Posterior(*jnp.split(self.law(x.reshape(x.shape[0], -1)), 2, axis=-1))


class Generator(nnx.Module):
    """A code and a sentence to a picture: a linear layer to 4 x 4, and doublings by nearest neighbours."""

    def __init__(
        self,
        *,
        image_size: int = 64,
        width: int = 32,
        noise_dim: int = 100,
        sentence_dim: int = 256,
        channels: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the layers; arguments as those of `Encoder`, `width` those before the last doubling."""
        self.noise_dim, self.sentence_dim = noise_dim, sentence_dim
        features = _widths(image_size, width)[::-1]
        self.channels = features[0]
        self.begin = nnx.Linear(noise_dim + sentence_dim, features[0] * _SMALLEST**2, use_bias=False, rngs=rngs)
        self.begin_norm = normalization.batch(features[0], rngs=rngs)
        self.double = nnx.List(
            ResizedConvolution(a, b, use_bias=False, rngs=rngs) for a, b in pairwise((*features, width))
        )
        self.norms = nnx.List(normalization.batch(size, rngs=rngs) for size in (*features[1:], width))
        self.last = Convolution(width, channels, 3, rngs=rngs)

    def __call__(self, noise: jax.Array, sentence: jax.Array) -> jax.Array:
        """Paints pictures.

        Args:
          noise: `[b, noise_dim]` codes, N(0, I) where no picture is at hand.
          sentence: `[b, sentence_dim]`.

        Returns:
          `[b, image_size, image_size, channels]` in [-1, 1].

        Raises:
          ValueError: codes or sentences of another shape.
        """
        _images.check_features(noise, self.noise_dim, "noise")
        _images.check_features(sentence, self.sentence_dim, "sentence")
        x = self.begin(jnp.concatenate([noise, sentence], axis=-1))
        x = nnx.relu(self.begin_norm(x.reshape(-1, _SMALLEST, _SMALLEST, self.channels)))
        for layer, norm in zip(self.double, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return jnp.tanh(self.last(x))


def _widths(image_size: int, width: int) -> list[int]:
    """Channels from half the full size down to 4 x 4."""
    return [width * min(2**level, 8) for level in range(_images.num_halvings(image_size, to=_SMALLEST))]
