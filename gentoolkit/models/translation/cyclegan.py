"""CycleGAN's networks: a translator for each direction, a discriminator for each domain.

References:
  Zhu, Park, Isola, Efros, Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017;
  sizes as in the authors' public code, whose layers are twice as wide as those printed first.
"""

import jax
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.translation.blocks import DEFAULT, Scheme
from gentoolkit.models.translation.decoders import Upsample, Upward
from gentoolkit.models.translation.encoders import Content
from gentoolkit.models.translation.patches import Patches

STALE = ("*.running_mean", "*.running_var", "*.num_batches_tracked")


class Translator(nnx.Module):
    """Content encoder and painter in one: images of one domain to images of the other."""

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        *,
        num_blocks: int = 9,
        scheme: Scheme = DEFAULT,
        upsample: Upsample = "transposed",
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          channels_in: of the images that come in.
          channels_out: of the images that come out.
          num_blocks: residual blocks, 9 for 256 pixels (11,378,179 parameters), 6 for 128 (7,837,699).
          scheme: widths, norms and initial weights.
          upsample: as in `decoders.Upward`.
          rngs: of the initial weights.
        """
        self.encoder = Content(channels_in, scheme=scheme, num_blocks=num_blocks, rngs=rngs)
        self.painter = Upward(self.encoder.features, channels_out, scheme=scheme, upsample=upsample, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, channels_in]` to `[b, h, w, channels_out]`, both in [-1, 1]; h and w divide by 4."""
        return self.painter(self.encoder(images))


def table(num_blocks: int) -> weights.Table:
    """Where the parameters of a `Translator` stand in the authors' files (`latest_net_G_A.pth` and the like).

    Files of 2017 also hold running means of norms that the code never used: `ignore=STALE` in `weights.assign`.

    Args:
      num_blocks: residual blocks.

    Returns:
      The table.
    """
    entries = dict(weights.with_bias(weights.convolution, "encoder/stem", "model.1"))
    for level in range(2):
        entries |= weights.with_bias(weights.convolution, f"encoder/down/{level}", f"model.{4 + 3 * level}")
    for block in range(num_blocks):
        for layer, place in (("first", 1), ("second", 5)):
            entries |= weights.with_bias(
                weights.convolution, f"encoder/blocks/{block}/{layer}", f"model.{10 + block}.conv_block.{place}"
            )
    after = 10 + num_blocks
    for level in range(2):
        entries |= weights.with_bias(
            weights.transposed_convolution, f"painter/layers/{level}", f"model.{after + 3 * level}"
        )
    return entries | weights.with_bias(weights.convolution, "painter/last", f"model.{after + 7}")


def networks(
    rngs: nnx.Rngs,
    *,
    image_size: int = 256,
    channels: tuple[int, int] = (3, 3),
    width: int = 64,
    num_blocks: int | None = None,
    num_layers: int = 3,
    upsample: Upsample = "transposed",
) -> dict[str, nnx.Module]:
    """Makes the four networks.

    Args:
      rngs: of the initial weights.
      image_size: decides `num_blocks`, where that is not given.
      channels: of the images of x and of y.
      width: channels after the first layers.
      num_blocks: of the translators; 9 from 256 pixels on, else 6.
      num_layers: of the discriminators, as published at every size; from 32 pixels on.
      upsample: as in `decoders.Upward`.

    Returns:
      `to_y`, `to_x`, `judge_x`, `judge_y`.
    """
    num_blocks = (9 if image_size >= 256 else 6) if num_blocks is None else num_blocks
    scheme, (x, y) = Scheme(width=width), channels
    return {
        "to_y": Translator(x, y, num_blocks=num_blocks, scheme=scheme, upsample=upsample, rngs=rngs),
        "to_x": Translator(y, x, num_blocks=num_blocks, scheme=scheme, upsample=upsample, rngs=rngs),
        "judge_x": Patches(x, num_layers=num_layers, width=width, rngs=rngs),
        "judge_y": Patches(y, num_layers=num_layers, width=width, rngs=rngs),
    }
