"""What translators read images with: content as a map, style as a short code."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models.autoencoder import Posterior
from gentoolkit.models.translation.blocks import Scheme, residual, stem
from gentoolkit.nn.convolution import Convolution

Share = Literal["weights", "activations", "none"]
_LOG_VARIANCE = 10.0  # codes may not become more certain, or less, than exp of this


class Content(nnx.Module):
    """A convolution of 7 x 7, convolutions of stride 2, and residual blocks: images to a map of features.

    Attributes:
      features: channels of the map.
      reduction: how many times smaller the map is than the image.
    """

    def __init__(self, channels: int, *, scheme: Scheme, num_halvings: int = 2, num_blocks: int, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          channels: of the images.
          scheme: widths, kernels, norms and initial weights.
          num_halvings: convolutions of stride 2; each doubles the channels.
          num_blocks: residual blocks after them.
          rngs: of the initial weights.
        """
        self.features = scheme.width << num_halvings
        self.reduction = 1 << num_halvings
        self.stem = stem(channels, scheme, rngs=rngs)
        self.down = nnx.List(
            Convolution(
                scheme.width << level,
                scheme.width << level + 1,
                scheme.down_kernel,
                strides=2,
                padding=1,
                reflect=scheme.reflect_down,
                kernel_init=scheme.kernel_init,
                rngs=rngs,
            )
            for level in range(num_halvings)
        )
        self.norms = nnx.List(scheme.norm(scheme.width << level, rngs=rngs) for level in range(num_halvings + 1))
        self.blocks = nnx.List(residual(self.features, scheme, rngs=rngs) for _ in range(num_blocks))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to `[b, h / reduction, w / reduction, features]`."""
        return self.rest(images, 0)

    def first(self, images: jax.Array, num_layers: int) -> jax.Array:
        """The first layers, the one of 7 x 7 among them."""
        x = images
        for layer, norm in self._layers()[:num_layers]:
            x = nnx.relu(norm(layer(x)))
        return x

    def rest(self, x: jax.Array, num_layers: int) -> jax.Array:
        """What stands behind the first layers."""
        for layer, norm in self._layers()[num_layers:]:
            x = nnx.relu(norm(layer(x)))
        for block in self.blocks:
            x = block(x)
        return x

    def first_without_norm(self, images: jax.Array, num_layers: int) -> jax.Array:
        """The first kernels without the norms, which would hide colour and contrast of the whole image."""
        x = images
        for layer, _ in self._layers()[:num_layers]:
            x = nnx.relu(layer(x))
        return x

    def _layers(self) -> list:
        return list(zip((self.stem, *self.down), self.norms, strict=True))


class Style(nnx.Module):
    """Convolutions of 4 x 4 and stride 2 without norm, a mean over space, and the law of a code."""

    def __init__(self, features: int, code_dim: int, *, num_halvings: int, scheme: Scheme, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          features: channels of the map that comes in, kept throughout.
          code_dim: features of a code.
          num_halvings: convolutions of stride 2.
          scheme: initial weights.
          rngs: of the initial weights.
        """
        self.layers = nnx.List(
            Convolution(features, features, 4, strides=2, padding=1, kernel_init=scheme.kernel_init, rngs=rngs)
            for _ in range(num_halvings)
        )
        heads = (nnx.Linear(features, code_dim, kernel_init=scheme.kernel_init, rngs=rngs) for _ in range(2))
        self.mean, self.log_variance = heads

    def __call__(self, x: jax.Array) -> Posterior:
        """Maps `[b, h, w, features]` to the laws of codes, `[b, code_dim]` each."""
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x), 0.2)
        x = jnp.mean(x, axis=(1, 2))
        return Posterior(self.mean(x), jnp.clip(self.log_variance(x), -_LOG_VARIANCE, _LOG_VARIANCE))


class ContentAndStyle(nnx.Module):
    """Both encoders of a domain, whose first layers may be the same.

    A norm over each image takes the image's own colour and contrast away. A style encoder behind such norms (`share =
    "activations"`, the paper's words read literally) is blind to both: by default the kernels are shared, and the style
    goes through them without norm.
    """

    def __init__(
        self,
        channels: int,
        code_dim: int,
        *,
        scheme: Scheme,
        share: Share = "weights",
        num_blocks: int = 3,
        num_style_halvings: int = 5,
        num_shared: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          channels: of the images.
          code_dim: features of a code.
          scheme: widths, kernels, norms and initial weights.
          share: what the style encoder has of the content encoder's first layers: their kernels, all that they make,
            or nothing (layers of its own).
          num_blocks: residual blocks of the content encoder.
          num_style_halvings: convolutions of stride 2 behind the first layers; 5 leave one pixel of 128.
          num_shared: the first layers: 3, that of 7 x 7 and both of stride 2, or 2, without the second of these.
          rngs: of the initial weights.
        """
        if num_shared not in (2, 3):
            raise ValueError(f"num_shared must be 2 or 3, got num_shared = {num_shared}.")
        if share not in ("weights", "activations", "none"):
            raise ValueError(f"share must be 'weights', 'activations' or 'none', got share = {share!r}.")
        self.share, self.num_shared = share, num_shared
        self.content_encoder = Content(channels, scheme=scheme, num_blocks=num_blocks, rngs=rngs)
        features = scheme.width << num_shared - 1
        self.own = (
            Content(channels, scheme=scheme, num_halvings=num_shared - 1, num_blocks=0, rngs=rngs)
            if share == "none"
            else None
        )
        self.style_encoder = Style(features, code_dim, num_halvings=num_style_halvings, scheme=scheme, rngs=rngs)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, Posterior]:
        """Maps images `[b, h, w, c]` in [-1, 1] to content `[b, h / 4, w / 4, features]` and the law of the style."""
        if self.share != "activations":
            return self.content(images), self.style(images)
        first = self.content_encoder.first(images, self.num_shared)
        return self.content_encoder.rest(first, self.num_shared), self.style_encoder(first)

    def content(self, images: jax.Array) -> jax.Array:
        """The content alone."""
        return self.content_encoder(images)

    def style(self, images: jax.Array) -> Posterior:
        """The law of the style alone."""
        if self.share == "activations":
            return self.style_encoder(self.content_encoder.first(images, self.num_shared))
        return self.style_encoder((self.own or self.content_encoder).first_without_norm(images, self.num_shared))
