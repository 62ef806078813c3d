"""CLIP as a whole: images and texts in one space, and how near they are."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.clip.architecture import VIT_B_32, Architecture
from gentoolkit.models.clip.towers import Features, TextTower, VisionTower

INITIAL = weights.Origin("CLIP with initial weights, or weights trained from them")


class CLIP(nnx.Module):
    """A vision tower and a text tower, trained so that an image and its caption have like embeddings.

    Products are those of float32 at full precision whatever JAX's own option says.

    Attributes:
      architecture: its sizes.
      origin: which weights it has: those of a file by its SHA-256, or initial ones.

    References:
      Radford et al. (2021), "Learning transferable visual models from natural language supervision".
    """

    def __init__(
        self,
        architecture: Architecture = VIT_B_32,
        *,
        dtype: jax.typing.DTypeLike | None = None,
        precision: str | None = "highest",
        origin: weights.Origin = INITIAL,
        rngs: nnx.Rngs,
    ):
        """Makes a network with random weights; `load` makes one with those of a file.

        Args:
          architecture: its sizes.
          dtype: to compute in; None leaves it to the parameters, which are float32.
          precision: of the products: "highest", "high", "default", or None for JAX's own option.
          origin: which weights it will have.
          rngs: of the initial weights.
        """
        self.architecture, self.precision, self.origin = architecture, precision, origin
        self.vision = VisionTower(architecture, dtype=dtype, precision=precision, rngs=rngs)
        self.text = TextTower(architecture, dtype=dtype, precision=precision, rngs=rngs)

        def projection(num_features: int) -> nnx.Param:
            draw = nnx.initializers.normal(num_features**-0.5)
            return nnx.Param(draw(rngs.params(), (num_features, architecture.embedding_features), jnp.float32))

        self.image_projection = projection(architecture.vision.num_features)
        self.text_projection = projection(architecture.text.num_features)
        self.log_scale = nnx.Param(jnp.full((), math.log(1 / 0.07), jnp.float32))

    def image_features(self, images: jax.Array, *, taps: Sequence[int] = ()) -> tuple[jax.Array, Features]:
        """Embeds images and keeps what the vision tower made of them.

        Args:
          images: `[b, image_size, image_size, 3]` in [0, 1], as `preprocess` makes them.
          taps: numbers of blocks, from 0, whose tokens are wanted too.

        Returns:
          Embeddings `[b, embedding_features]` that are not normalized, and the tower's features.

        Raises:
          ValueError: images of another size or of whole numbers, or a block that is not there.
        """
        features = self.vision(images, taps=taps)
        return self._project(features.pooled, self.image_projection), features

    def text_features(self, tokens: jax.Array, *, taps: Sequence[int] = ()) -> tuple[jax.Array, Features]:
        """Embeds texts and keeps what the text tower made of them.

        Args:
          tokens: `[b, n]` whole numbers, n up to `context_length`, each text with its end.
          taps: numbers of blocks, from 0, whose tokens are wanted too.

        Returns:
          Embeddings `[b, embedding_features]` that are not normalized, and the tower's features.

        Raises:
          ValueError: tokens of another shape or type, or a block that is not there.
        """
        features = self.text(tokens, taps=taps)
        return self._project(features.pooled, self.text_projection), features

    def encode_image(self, images: jax.Array) -> jax.Array:
        """Embeds images, `[b, image_size, image_size, 3]` in [0, 1]; `[b, embedding_features]`, not normalized."""
        return self.image_features(images)[0]

    def encode_text(self, tokens: jax.Array) -> jax.Array:
        """Embeds texts, `[b, n]` tokens, each text with its end; `[b, embedding_features]`, not normalized."""
        return self.text_features(tokens)[0]

    def logits(self, images: jax.Array, tokens: jax.Array) -> jax.Array:
        """How well each text fits each image: the cosine of their embeddings times the trained scale.

        Args:
          images: `[m, image_size, image_size, 3]` in [0, 1].
          tokens: `[n, k]`.

        Returns:
          `[m, n]`; softmax over the texts is the network's choice of one for each image.
        """
        of_images, of_texts = unit(self.encode_image(images)), unit(self.encode_text(tokens))
        return jnp.exp(self.log_scale[...]) * jnp.matmul(of_images, of_texts.T, precision=self.precision)

    def _project(self, pooled: jax.Array, projection: nnx.Param) -> jax.Array:
        found = jnp.matmul(pooled, projection[...].astype(pooled.dtype), precision=self.precision)
        return found.astype(jnp.promote_types(found.dtype, jnp.float32))


def unit(embeddings: jax.Array) -> jax.Array:
    """Scales embeddings to length 1, those of length 0 to 0.

    Args:
      embeddings: `[..., d]`.

    Returns:
      `[..., d]`.
    """
    square = jnp.sum(jnp.square(embeddings), axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny))


def shapes(architecture: Architecture, *, origin: weights.Origin = INITIAL) -> CLIP:
    """A network without numbers, to be filled: every parameter is a shape and a dtype, as of `nnx.eval_shape`.

    Args:
      architecture: its sizes.
      origin: which weights it will have.

    Returns:
      The network.
    """
    return nnx.eval_shape(lambda: CLIP(architecture, origin=origin, rngs=_OneKey()))  # type: ignore[arg-type]


class _OneKey:
    """Stands in for `nnx.Rngs`, whose count of keys takes most of the time to trace: seconds for a large network."""

    def params(self) -> jax.Array:
        return jax.random.key(0)
