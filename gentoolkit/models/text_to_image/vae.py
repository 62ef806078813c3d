"""A variational auto-encoder of pictures given a sentence: what an adversarial system of the same size has to beat.

An encoder sees a picture and its sentence and gives the law of a code; a generator has a law of codes given a sentence
alone (the prior, to which the other is held in training), and paints from a code and a sentence. What the sentence says
may stand in codes too: the prior knows it. The generator is called as `dfgan.Generator` is, with N(0, I) for the noise.
Pictures are means of pixels: blurred where texts leave much open.

References:
  Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014.
  Sohn, Lee, Yan, Learning structured output representation using deep conditional generative models, NeurIPS 2015 (the
  conditional form and its prior). Layers and sizes are ours.
"""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images
from gentoolkit.models.autoencoder import Posterior
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution, ResizedConvolution
from gentoolkit.nn.residual import leaky_relu, tile

_ZEROS = nnx.initializers.zeros_init()
_FREQUENCIES = tuple(math.pi * 2.0**level for level in range(5))  # of the time of a flow, which goes from 0 to 1
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
    """A sentence to the law of a code, and both to a picture.

    A picture begins at 4 x 4 by a linear layer and is doubled by nearest neighbours; code and sentence also decide the
    scale and shift of every channel behind each norm, so that what is said reaches every size.
    """

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
        features, condition = _widths(image_size, width)[::-1], noise_dim + sentence_dim
        self.channels = features[0]
        self.prior_hidden = nnx.Linear(sentence_dim, 2 * noise_dim, rngs=rngs)
        self.prior_law = nnx.Linear(2 * noise_dim, 2 * noise_dim, kernel_init=_ZEROS, rngs=rngs)
        self.begin = nnx.Linear(condition, features[0] * _SMALLEST**2, use_bias=False, rngs=rngs)
        self.double = nnx.List(
            ResizedConvolution(a, b, use_bias=False, rngs=rngs) for a, b in pairwise((*features, width))
        )
        self.norms = nnx.List(
            normalization.Conditional.by_vector(
                normalization.batch(size, affine=False, rngs=rngs), size, condition, rngs=rngs
            )
            for size in (*features, width)
        )
        self.last = Convolution(width, channels, 3, rngs=rngs)

    def __call__(self, noise: jax.Array, sentence: jax.Array) -> jax.Array:
        """Paints pictures of texts.

        Args:
          noise: `[b, noise_dim]` of N(0, I).
          sentence: `[b, sentence_dim]`.

        Returns:
          `[b, image_size, image_size, channels]` in [-1, 1].

        Raises:
          ValueError: noise or sentences of another shape.
        """
        law = self.prior(sentence)
        return self.paint(law.mean + jnp.exp(law.log_variance / 2.0) * noise, sentence)

    def prior(self, sentence: jax.Array) -> Posterior:
        """The law of codes given sentences `[b, sentence_dim]` alone; at first N(0, I)."""
        _images.check_features(sentence, self.sentence_dim, "sentence")
        law = self.prior_law(leaky_relu(self.prior_hidden(sentence)))
        return Posterior(*jnp.split(law, 2, axis=-1))

    def paint(self, code: jax.Array, sentence: jax.Array) -> jax.Array:
        """Paints pictures from codes `[b, noise_dim]` and sentences; else as `__call__`."""
        _images.check_features(code, self.noise_dim, "noise")
        _images.check_features(sentence, self.sentence_dim, "sentence")
        condition = jnp.concatenate([code, sentence], axis=-1)
        first, *norms = self.norms
        x = self.begin(condition).reshape(-1, _SMALLEST, _SMALLEST, self.channels)
        x = nnx.relu(first(x, condition))
        for layer, norm in zip(self.double, norms, strict=True):
            x = nnx.relu(norm(layer(x), condition))
        return jnp.tanh(self.last(x))


class Flow(nnx.Module):
    """A velocity in the space of codes: it carries N(0, I) to the law that codes of pictures really have.

    The normal law of a generator's prior knows where codes lie, but not which numbers belong together: two halves of
    two layouts are no layout. Codes here are in units of that prior, their mean and deviation 0 and 1 by it, so that
    no motion at all is the prior itself.

    References:
      Lipman, Chen, Ben-Hamu, Nickel, Le, Flow matching for generative modeling, ICLR 2023.
    """

    def __init__(
        self, *, noise_dim: int = 100, sentence_dim: int = 256, width: int = 160, depth: int = 4, rngs: nnx.Rngs
    ):
        """Makes the layers.

        Args:
          noise_dim: features of a code.
          sentence_dim: features of a sentence.
          width: of the hidden layers.
          depth: residual blocks.
          rngs: of the initial weights.
        """
        self.noise_dim, self.sentence_dim = noise_dim, sentence_dim
        self.begin = nnx.Linear(noise_dim + sentence_dim + 2 * len(_FREQUENCIES), width, rngs=rngs)
        self.time = nnx.List(nnx.Linear(2 * len(_FREQUENCIES), width, rngs=rngs) for _ in range(depth))
        self.norms = nnx.List(nnx.LayerNorm(width, rngs=rngs) for _ in range(depth))
        self.hidden = nnx.List(nnx.Linear(width, width, rngs=rngs) for _ in range(depth))
        self.back = nnx.List(nnx.Linear(width, width, kernel_init=_ZEROS, rngs=rngs) for _ in range(depth))
        self.end = nnx.Linear(width, noise_dim, kernel_init=_ZEROS, rngs=rngs)

    def __call__(self, codes: jax.Array, times: jax.Array, sentence: jax.Array) -> jax.Array:
        """Gives velocities.

        Args:
          codes: `[b, noise_dim]` on their way.
          times: `[b]`, 0 at the noise and 1 at the codes of pictures.
          sentence: `[b, sentence_dim]`.

        Returns:
          `[b, noise_dim]`, per unit of time.
        """
        _images.check_features(codes, self.noise_dim, "codes")
        _images.check_features(sentence, self.sentence_dim, "sentence")
        angles = times[:, None] * jnp.asarray(_FREQUENCIES, times.dtype)
        when = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        x = self.begin(jnp.concatenate([codes, sentence, when], axis=-1))
        for norm, hidden, time, back in zip(self.norms, self.hidden, self.time, self.back, strict=True):
            x = x + back(nnx.silu(hidden(norm(x)) + time(when)))
        return self.end(nnx.silu(x))

    def carry(self, noise: jax.Array, sentence: jax.Array, *, num_steps: int = 24) -> jax.Array:
        """Carries noise `[b, noise_dim]` to codes in units of the prior, by the midpoint rule in `num_steps` steps."""
        width = 1.0 / num_steps

        def step(codes: jax.Array, start: jax.Array):
            times = jnp.full(len(codes), start)
            half = codes + width / 2.0 * self(codes, times, sentence)
            return codes + width * self(half, times + width / 2.0, sentence), None

        return jax.lax.scan(step, noise, width * jnp.arange(num_steps, dtype=noise.dtype))[0]


def _widths(image_size: int, width: int) -> list[int]:
    """Channels from half the full size down to 4 x 4."""
    return [width * min(2**level, 8) for level in range(_images.num_halvings(image_size, to=_SMALLEST))]
