"""MUNIT's networks: content and a deterministic code of style, painted by adaptive norms; and its discriminators.

References:
  Huang, Liu, Belongie, Kautz, Multimodal unsupervised image-to-image translation, ECCV 2018; sizes as in the authors'
  public configurations for edges.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.translation.blocks import Scheme, stem
from gentoolkit.models.translation.decoders import Styled
from gentoolkit.models.translation.encoders import Content
from gentoolkit.models.translation.patches import Scales, Steep
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution


class StyleEncoder(nnx.Module):
    """Convolutions without norm, which would take style away, a mean over space and a code."""

    def __init__(self, channels: int, code_dim: int, *, scheme: Scheme, num_halvings: int = 4, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          channels: of the images.
          code_dim: features of a code.
          scheme: widths, kernels and initial weights.
          num_halvings: convolutions of stride 2; the first two double the channels.
          rngs: of the initial weights.
        """
        widths = [scheme.width << min(level, 2) for level in range(num_halvings + 1)]
        self.stem = stem(channels, scheme, rngs=rngs)
        self.layers = nnx.List(
            Convolution(
                a, b, scheme.down_kernel, strides=2, padding=1, reflect=True, kernel_init=scheme.kernel_init, rngs=rngs
            )
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.last = nnx.Linear(widths[-1], code_dim, kernel_init=scheme.kernel_init, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to codes `[b, code_dim]`."""
        x = nnx.relu(self.stem(images))
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return self.last(jnp.mean(x, axis=(1, 2)))


class Encoder(nnx.Module):
    """Both encoders of a domain."""

    def __init__(self, channels: int, code_dim: int, *, scheme: Scheme, num_blocks: int, rngs: nnx.Rngs):
        """Makes the encoders.

        Args:
          channels: of the images.
          code_dim: features of a code.
          scheme: widths, kernels, norms and initial weights.
          num_blocks: residual blocks of the content encoder.
          rngs: of the initial weights.
        """
        self.content = Content(channels, scheme=scheme, num_blocks=num_blocks, rngs=rngs)
        self.style = StyleEncoder(channels, code_dim, scheme=scheme, rngs=rngs)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps images `[b, h, w, c]` in [-1, 1] to content `[b, h / 4, w / 4, features]` and codes `[b, code_dim]`."""
        return self.content(images), self.style(images)


def content_table(num_blocks: int = 4, name: str = "enc_content") -> weights.Table:
    """Where the parameters of the content encoder stand in files of the authors' public code; UNIT's too.

    Args:
      num_blocks: residual blocks.
      name: what names in the file begin with; "enc" in UNIT's.

    Returns:
      The table.
    """
    entries = dict(weights.with_bias(weights.convolution, "stem", f"{name}.model.0.conv"))
    for level in range(2):
        entries |= weights.with_bias(weights.convolution, f"down/{level}", f"{name}.model.{1 + level}.conv")
    return entries | _blocks_table(num_blocks, f"{name}.model.3")


def style_table(num_halvings: int = 4) -> weights.Table:
    """Where the parameters of a `StyleEncoder` stand in files of the authors' public code.

    Args:
      num_halvings: of the encoder.

    Returns:
      The table.
    """
    entries = dict(weights.with_bias(weights.convolution, "stem", "enc_style.model.0.conv"))
    for level in range(num_halvings):
        entries |= weights.with_bias(weights.convolution, f"layers/{level}", f"enc_style.model.{1 + level}.conv")
    last = f"enc_style.model.{num_halvings + 2}"
    kernel = weights.Entry(
        (f"{last}.weight",), lambda shape: ((*shape[::-1], 1, 1),), lambda tensor: tensor[..., 0, 0].T
    )
    return entries | {"last/kernel": kernel, "last/bias": weights.same(f"{last}.bias")}


def painter_table(num_blocks: int = 4, *, styled: bool = True) -> weights.Table:
    """Where the parameters of a painter stand in files of the authors' public code.

    Args:
      num_blocks: residual blocks.
      styled: MUNIT's, whose norms come from a code; else UNIT's.

    Returns:
      The table.
    """
    entries = _blocks_table(num_blocks, "dec.model.0")
    for level in range(2):
        name, path = f"dec.model.{2 + 2 * level}", f"upward/norms/{level}"
        entries |= weights.with_bias(weights.convolution, f"upward/layers/{level}", f"{name}.conv")
        entries |= {
            f"{path}/scale": weights.same(f"{name}.norm.gamma"),
            f"{path}/bias": weights.same(f"{name}.norm.beta"),
        }
    entries |= weights.with_bias(weights.convolution, "upward/last", "dec.model.5.conv")
    if styled:
        for layer in range(3):
            entries |= weights.with_bias(weights.linear, f"affine/layers/{layer}", f"mlp.model.{layer}.fc")
    return entries


def _blocks_table(num_blocks: int, name: str) -> dict[str, weights.Entry]:
    entries: dict[str, weights.Entry] = {}
    for block in range(num_blocks):
        for place, layer in enumerate(("first", "second")):
            entries |= weights.with_bias(
                weights.convolution, f"blocks/{block}/{layer}", f"{name}.model.{block}.model.{place}.conv"
            )
    return entries


def judge_table(num_layers: int = 4, num_scales: int = 3) -> weights.Table:
    """Where the parameters of a discriminator stand in files of the authors' public code; UNIT's too.

    Args:
      num_layers: of stride 2.
      num_scales: of the discriminator.

    Returns:
      The table.
    """
    entries: dict[str, weights.Entry] = {}
    for scale in range(num_scales):
        for layer in range(num_layers):
            entries |= weights.with_bias(
                weights.convolution, f"networks/{scale}/layers/{layer}", f"cnns.{scale}.{layer}.conv"
            )
        entries |= weights.with_bias(weights.convolution, f"networks/{scale}/last", f"cnns.{scale}.{num_layers}")
    return entries


def scheme(width: int = 64) -> Scheme:
    """MUNIT's and UNIT's choices: kernels of 4 x 4 and reflections everywhere, He's initial weights."""
    return Scheme(width=width, down_kernel=4, reflect_down=True, kernel_init=nnx.initializers.kaiming_normal())


def networks(
    rngs: nnx.Rngs,
    *,
    channels: tuple[int, int] = (3, 3),
    code_dim: int = 8,
    width: int = 64,
    num_blocks: int = 4,
    num_scales: int = 3,
) -> dict[str, nnx.Module]:
    """Makes the networks: an encoder (of content and style), a painter and a discriminator for each domain.

    Args:
      rngs: of the initial weights.
      channels: of the images of x and of y.
      code_dim: features of a code of style.
      width: channels after the first layers.
      num_blocks: residual blocks of each encoder and of each painter.
      num_scales: of the discriminators.

    Returns:
      `encode_x`, `encode_y`, `paint_x`, `paint_y`, `judge_x`, `judge_y`.
    """
    chosen, made = scheme(width), dict[str, nnx.Module]()
    for domain, count in zip("xy", channels, strict=True):
        made[f"encode_{domain}"] = Encoder(count, code_dim, scheme=chosen, num_blocks=num_blocks, rngs=rngs)
        made[f"paint_{domain}"] = Styled(
            4 * width, code_dim, count, scheme=chosen, inject="adain", num_blocks=num_blocks, hidden=256,
            upsample="nearest", kernel=5, up_norm=normalization.LayerNorm, rngs=rngs,
        )  # fmt: skip
        made[f"judge_{domain}"] = Scales([Steep(count, width=width, rngs=rngs) for _ in range(num_scales)])
    return made
