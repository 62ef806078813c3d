"""The two towers of CLIP: images to tokens and texts to tokens, every layer within reach."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit import _array
from gentoolkit.models.clip.architecture import Architecture, Tower
from gentoolkit.nn import attention

# Of the pixels in [0, 1] that OpenAI's networks were trained on, red, green, blue.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STANDARD_DEVIATION = (0.26862954, 0.26130258, 0.27577711)

_OVERSHOOT = 0.3


class Features(NamedTuple):
    """What a tower makes of a batch.

    Attributes:
      pooled: `[b, num_features]`, the normalized token that the embedding is a projection of.
      tokens: `[b, n, num_features]`, all tokens behind the last block: of images not normalized, the class token
        first and then the patches row by row; of texts normalized.
      taps: `[b, n, num_features]` behind each block that was asked for.
    """

    pooled: jax.Array
    tokens: jax.Array
    taps: tuple[jax.Array, ...]


class VisionTower(nnx.Module):
    """A vision transformer with a class token and a norm in front of its blocks.

    `tower(images)` is `finish(blocks(embed(images)))`; systems that enter at the tokens call the parts.

    Attributes:
      image_size: height and width of the images.
      patch_size: height and width of what becomes a token.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        dtype: jax.typing.DTypeLike | None = None,
        precision: str | None = "highest",
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          architecture: its sizes.
          dtype: to compute in; None leaves it to images and parameters.
          precision: of the products: "highest", "high", "default", or None for JAX's own option.
          rngs: of the initial weights.
        """
        size, patch, tower = architecture.image_size, architecture.patch_size, architecture.vision
        self.image_size, self.patch_size, self.precision = size, patch, precision
        self.dtype = dtype
        width, std = tower.num_features, tower.num_features**-0.5
        draw = nnx.initializers.normal(std)
        kernel = nnx.initializers.lecun_normal()(rngs.params(), (patch, patch, 3, width), jnp.float32)
        self.patch_kernel = nnx.Param(kernel)
        self.class_token = nnx.Param(draw(rngs.params(), (width,), jnp.float32))
        self.positions = nnx.Param(draw(rngs.params(), (architecture.grid_size**2 + 1, width), jnp.float32))
        self.norm_before = _norm(width, dtype, rngs)
        self.blocks = _blocks(tower, architecture.activation, dtype, precision, rngs)
        self.norm_after = _norm(width, dtype, rngs)

    def __call__(self, images: jax.Array, *, taps: Sequence[int] = ()) -> Features:
        """Maps images to features.

        Args:
          images: `[b, image_size, image_size, 3]` in [0, 1].
          taps: numbers of blocks, from 0, whose output is wanted too.

        Returns:
          The features, n = 1 + the number of patches.

        Raises:
          ValueError: images of another size or of whole numbers, or a block that is not there.
        """
        tokens, tapped = run(self.blocks, self.embed(images), taps=taps)
        return Features(self.finish(tokens), tokens, tapped)

    def patches(self, images: jax.Array) -> jax.Array:
        """Maps images to one token for each patch, without class token and positions.

        Args:
          images: `[b, image_size, image_size, 3]` in [0, 1].

        Returns:
          `[b, grid^2, num_features]`, row by row.

        Raises:
          ValueError: images of another size, or of whole numbers; outside `jit` also images that are not finite, or
            farther outside [0, 1] than the overshoot of `preprocess`.
        """
        size, patch = self.image_size, self.patch_size
        if images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise ValueError(
                f"images must be [b, {size}, {size}, 3], as `preprocess` makes them, got images.shape = {images.shape}."
            )
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"images must be numbers in [0, 1], got {images.dtype}; divide bytes by 255.")
        # The cubic filter of `preprocess` overshoots beside sharp edges; other ranges lie farther outside.
        _array.check_image_range(images, (0, 1), name="images", slack=_OVERSHOOT)
        x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        x = (x - np.asarray(MEAN, np.float32)) / np.asarray(STANDARD_DEVIATION, np.float32)
        kernel = self.patch_kernel[...]
        x = x.astype(jnp.promote_types(kernel.dtype, jnp.float32) if self.dtype is None else self.dtype)
        # A product instead of a convolution, whose derivative for a stride is slow on CPUs.
        grid = size // patch
        x = x.reshape(-1, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, grid**2, patch**2 * 3)
        return jnp.matmul(x, kernel.reshape(-1, kernel.shape[-1]).astype(x.dtype), precision=self.precision)

    def with_positions(self, patches: jax.Array) -> jax.Array:
        """Puts the class token before the patches, adds positions and normalizes: what the first block takes.

        Args:
          patches: `[b, grid^2, num_features]`, of images or made up.

        Returns:
          `[b, 1 + grid^2, num_features]`.
        """
        first = jnp.broadcast_to(self.class_token[...], (patches.shape[0], 1, patches.shape[-1]))
        tokens = jnp.concatenate([first.astype(patches.dtype), patches], axis=1)
        return self.norm_before(tokens + self.positions[...].astype(patches.dtype))

    def embed(self, images: jax.Array) -> jax.Array:
        """Maps images to the tokens that the first block takes, `with_positions(patches(images))`."""
        return self.with_positions(self.patches(images))

    def finish(self, tokens: jax.Array) -> jax.Array:
        """Maps the tokens behind the last block, `[b, n, num_features]`, to the pooled one, `[b, num_features]`."""
        return self.norm_after(tokens[:, 0])


class TextTower(nnx.Module):
    """A transformer whose tokens look back only; the one that ends the text stands for all of it.

    Attributes:
      context_length: tokens that a text has room for.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        dtype: jax.typing.DTypeLike | None = None,
        precision: str | None = "highest",
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          architecture: its sizes.
          dtype: to compute in; None leaves it to the parameters.
          precision: of the products: "highest", "high", "default", or None for JAX's own option.
          rngs: of the initial weights.
        """
        tower, length = architecture.text, architecture.context_length
        self.context_length, self.dtype = length, dtype
        shape = (architecture.vocabulary_size, tower.num_features)
        self.embedding = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), shape, jnp.float32))
        shape = (length, tower.num_features)
        self.positions = nnx.Param(nnx.initializers.normal(0.01)(rngs.params(), shape, jnp.float32))
        self.blocks = _blocks(tower, architecture.activation, dtype, precision, rngs)
        self.norm_after = _norm(tower.num_features, dtype, rngs)

    def __call__(self, tokens: jax.Array, *, taps: Sequence[int] = ()) -> Features:
        """Maps texts to features.

        Args:
          tokens: `[b, n]` whole numbers with n up to `context_length`; what follows the end of a text has no influence
            on what is pooled. A number outside the vocabulary gives NaN.
          taps: numbers of blocks, from 0, whose output is wanted too.

        Returns:
          The features; pooled is the token with the highest number, the first of them, which ends the text.

        Raises:
          ValueError: tokens of another shape or type, or a block that is not there.
        """
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.context_length:
            raise ValueError(f"tokens must be [b, n <= {self.context_length}], got tokens.shape = {tokens.shape}.")
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise ValueError(f"tokens must be whole numbers, got {tokens.dtype}.")
        table, positions = self.embedding[...], self.positions[: tokens.shape[1]]
        x = table.at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False) + positions
        x, tapped = run(self.blocks, x if self.dtype is None else x.astype(self.dtype), taps=taps, causal=True)
        x = self.norm_after(x)
        end = jnp.argmax(tokens, axis=1)
        pooled = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
        return Features(pooled, x, tapped)


def run(
    blocks: Sequence[attention.TransformerBlock], tokens: jax.Array, *, taps: Sequence[int] = (), causal: bool = False
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Runs the blocks of a tower, or some of them, on tokens.

    Args:
      blocks: in their order.
      tokens: `[b, n, num_features]`.
      taps: numbers of blocks, from 0, whose output is wanted.
      causal: whether tokens look back only.

    Returns:
      The tokens behind the last block, and those behind each block of `taps`, in that order.

    Raises:
      ValueError: a block that is not there.
    """
    taps = tuple(taps)
    if any(not 0 <= tap < len(blocks) for tap in taps):
        raise ValueError(f"taps must be numbers of blocks, 0 to {len(blocks) - 1}, got taps = {taps}.")
    behind = {}
    for number, block in enumerate(blocks):
        tokens = block(tokens, causal=causal)
        if number in taps:
            behind[number] = tokens
    return tokens, tuple(behind[tap] for tap in taps)


def _norm(num_features: int, dtype: jax.typing.DTypeLike | None, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(num_features, epsilon=1e-5, use_fast_variance=False, dtype=dtype, rngs=rngs)


def _blocks(tower: Tower, activation: str, dtype, precision: str | None, rngs: nnx.Rngs) -> nnx.List:
    return nnx.List(
        attention.TransformerBlock(
            tower.num_features,
            tower.num_heads,
            hidden_features=tower.hidden_features,
            activation=attention.quick_gelu if activation == "quick_gelu" else attention.gelu,
            out_init=nnx.initializers.normal((2 * tower.num_layers * tower.num_features) ** -0.5),
            dtype=dtype,
            precision=precision,
            rngs=rngs,
        )
        for _ in range(tower.num_layers)
    )
