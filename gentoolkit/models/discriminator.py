"""A discriminator of codes, for auto-encoders trained against an adversary in the latent space."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images


class LatentDiscriminator(nnx.Module):
    """A dense network with ReLU that tells draws of the prior (large logits) from codes of images (small ones).

    Attributes:
      latent_dim: features of a code.
      add_log_prior: whether log N(z; 0, I) is added to the logit, so that the network has to learn the density of the
        codes only.

    References:
      Tolstikhin, Bousquet, Gelly, Schölkopf, "Wasserstein auto-encoders", 2018, algorithm 1 and appendix C (four hidden
      layers of 512 units and no prior in the logit for MNIST; 1024 units and the prior for CelebA).
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int] = (512, 512, 512, 512),
        add_log_prior: bool = False,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          latent_dim: features of a code.
          widths: units of the hidden layers, first to last.
          add_log_prior: whether to add the log density of the prior N(0, I) to the logit.
          rngs: of the initial weights.
        """
        self.latent_dim = latent_dim
        self.add_log_prior = add_log_prior
        sizes = [latent_dim, *widths, 1]
        self.layers = nnx.List(nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Returns logits.

        Args:
          z: codes `[b, latent_dim]`.

        Returns:
          `[b]`, float32 or wider; positive where a draw of the prior is more likely.

        Raises:
          ValueError: the codes have another dimension.
        """
        _images.check_features(z, self.latent_dim, "z")
        x = z
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        logits = _images.at_least_float32(last(x)[:, 0])
        if not self.add_log_prior:
            return logits
        z = _images.at_least_float32(z)
        return logits - (jnp.sum(z * z, axis=-1) + self.latent_dim * math.log(2 * math.pi)) / 2
