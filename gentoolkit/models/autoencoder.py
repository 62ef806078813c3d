"""Auto-encoders behind one interface, encode and decode, and the networks of the published experiments.

    model = autoencoder.dense(image_shape=(28, 28, 1), latent_dim=20, rngs=nnx.Rngs(0))
    z = model.encode(images)          # [b, latent_dim]
    rebuilt = model.decode(z)         # [b, h, w, c] in [0, 1]

| function | network | images |
|---|---|---|
| `dense` | hidden dense layers, three of 200 by default | any size |
| `shallow` | 2x2 convolutions, one of them of stride 2, and a dense layer of 128 | even height and width |
| `strided` | four 4x4 convolutions of stride 2 with batch norm | multiples of 16 |
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images
from gentoolkit.models.convolutional import ShallowDecoder, ShallowEncoder, StridedDecoder, StridedEncoder
from gentoolkit.models.dense import DenseDecoder, DenseEncoder

Encoder = Callable[[jax.Array], jax.Array]
Decoder = Callable[[jax.Array], jax.Array]


class Posterior(NamedTuple):
    """Independent normal laws of codes, given images or texts.

    Attributes:
      mean: `[b, latent_dim]`.
      log_variance: `[b, latent_dim]`, natural logarithm.
    """

    mean: jax.Array
    log_variance: jax.Array


class Autoencoder(nnx.Module):
    """An encoder and a decoder, both deterministic.

    Attributes:
      image_shape: `(h, w, c)` of the images that it was made for.
      latent_dim: features of a code.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, *, image_shape: Sequence[int], latent_dim: int):
        """Puts the two networks together.

        Args:
          encoder: a module of its own, `[b, h, w, c]` to `[b, latent_dim]`.
          decoder: a module of its own, `[b, latent_dim]` to `[b, h, w, c]` in [0, 1].
          image_shape: `(h, w, c)`.
          latent_dim: features of a code.
        """
        self.image_shape = _images.as_image_shape(image_shape)
        self.latent_dim = _at_least_one(latent_dim)
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: jax.Array) -> jax.Array:
        """Maps images to codes.

        Args:
          images: `[b, h, w, c]` in [0, 1].

        Returns:
          Codes `[b, latent_dim]`, float32 or wider.

        Raises:
          ValueError: the images have another size or number of channels.
        """
        _images.check_images(images, self.image_shape)
        return _images.at_least_float32(self.encoder(images))

    def decode(self, z: jax.Array) -> jax.Array:
        """Maps codes to images.

        Args:
          z: codes `[b, latent_dim]`.

        Returns:
          Images `[b, h, w, c]` in [0, 1], float32 or wider.

        Raises:
          ValueError: the codes have another dimension.
        """
        _images.check_features(z, self.latent_dim, "z")
        return _images.at_least_float32(self.decoder(z))

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns codes and what is rebuilt from them, `[b, latent_dim]` and `[b, h, w, c]`."""
        z = self.encode(images)
        return z, self.decode(z)


class VariationalAutoencoder(Autoencoder):
    """An auto-encoder whose codes are normal laws; its encoder gives `2 latent_dim` numbers, means first.

    References:
      Kingma and Welling, "Auto-encoding variational Bayes", 2014, section 3.
    """

    def posterior(self, images: jax.Array) -> Posterior:
        """Returns the law of the code of each image.

        Args:
          images: `[b, h, w, c]` in [0, 1].

        Returns:
          `Posterior(mean [b, latent_dim], log_variance [b, latent_dim])`, float32 or wider.

        Raises:
          ValueError: the images have another size or number of channels.
        """
        _images.check_images(images, self.image_shape)
        return Posterior(*jnp.split(_images.at_least_float32(self.encoder(images)), 2, axis=-1))

    def encode(self, images: jax.Array) -> jax.Array:
        """Maps images to the means of their codes, `[b, latent_dim]`."""
        return self.posterior(images).mean

    def sample(self, key: jax.Array, images: jax.Array) -> tuple[jax.Array, Posterior]:
        """Draws one code for each image, differentiable in the parameters of its law.

        Args:
          key: random key of the draws.
          images: `[b, h, w, c]` in [0, 1].

        Returns:
          Codes `[b, latent_dim]` and the laws that they were drawn from.

        Raises:
          ValueError: the images have another size or number of channels.
        """
        law = self.posterior(images)
        noise = jax.random.normal(key, law.mean.shape, law.mean.dtype)
        return law.mean + jnp.exp(law.log_variance / 2) * noise, law


def dense(
    *,
    image_shape: Sequence[int],
    latent_dim: int,
    widths: Sequence[int] = (200, 200, 200),
    variational: bool = False,
    rngs: nnx.Rngs,
) -> Autoencoder:
    """A fully connected auto-encoder; the published one for MNIST has three hidden layers of 200 and 20 latent units.

    Args:
      image_shape: `(h, w, c)`, of any size.
      latent_dim: features of a code.
      widths: units of the encoder's hidden layers, first to last; the decoder has them in reverse.
      variational: whether to return a `VariationalAutoencoder`.
      rngs: of the initial weights.

    Returns:
      The auto-encoder.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (which gives the kind of network and the latent
      dimension; widths as in the same group's "Cramer-Wold auto-encoder", JMLR 2020).
    """
    encoder = DenseEncoder(image_shape, _num_outputs(latent_dim, variational), widths=widths, rngs=rngs)
    decoder = DenseDecoder(image_shape, latent_dim, widths=tuple(widths)[::-1], rngs=rngs)
    return _kind(variational)(encoder, decoder, image_shape=image_shape, latent_dim=latent_dim)


def shallow(
    *, image_shape: Sequence[int], latent_dim: int = 64, variational: bool = False, rngs: nnx.Rngs
) -> Autoencoder:
    """A convolutional auto-encoder that halves the image once; the published one for CIFAR-10, 32x32x3.

    Args:
      image_shape: `(h, w, c)`, h and w even.
      latent_dim: features of a code.
      variational: whether to return a `VariationalAutoencoder`.
      rngs: of the initial weights.

    Returns:
      The auto-encoder.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (layers as in the same group's "Cramer-Wold
      auto-encoder", JMLR 2020).
    """
    encoder = ShallowEncoder(image_shape, _num_outputs(latent_dim, variational), rngs=rngs)
    decoder = ShallowDecoder(image_shape, latent_dim, rngs=rngs)
    return _kind(variational)(encoder, decoder, image_shape=image_shape, latent_dim=latent_dim)


def strided(
    *, image_shape: Sequence[int], latent_dim: int = 64, variational: bool = False, rngs: nnx.Rngs
) -> Autoencoder:
    """A convolutional auto-encoder that halves the image four times, with batch statistics; published for CelebA at 64.

    Args:
      image_shape: `(h, w, c)`, h and w multiples of 16.
      latent_dim: features of a code.
      variational: whether to return a `VariationalAutoencoder`.
      rngs: of the initial weights.

    Returns:
      The auto-encoder.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (layers as in the same group's "Cramer-Wold
      auto-encoder", JMLR 2020, after Tolstikhin et al., "Wasserstein auto-encoders", 2018).
    """
    encoder = StridedEncoder(image_shape, _num_outputs(latent_dim, variational), rngs=rngs)
    decoder = StridedDecoder(image_shape, latent_dim, rngs=rngs)
    return _kind(variational)(encoder, decoder, image_shape=image_shape, latent_dim=latent_dim)


def _kind(variational: bool) -> type[Autoencoder]:
    return VariationalAutoencoder if variational else Autoencoder


def _num_outputs(latent_dim: int, variational: bool) -> int:
    return _at_least_one(latent_dim) * (2 if variational else 1)


def _at_least_one(latent_dim: int) -> int:
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be >= 1, got latent_dim = {latent_dim}.")
    return int(latent_dim)
