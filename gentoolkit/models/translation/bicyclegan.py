"""BicycleGAN's networks, for pairs: a U-Net that sees the code at every level, a residual encoder, two discriminators.

References:
  Zhu et al., Toward multimodal image-to-image translation, NeurIPS 2017; sizes as in the authors' public code.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.autoencoder import Posterior
from gentoolkit.models.translation import patches
from gentoolkit.models.translation.patches import Patches, Scales
from gentoolkit.nn.convolution import Convolution
from gentoolkit.nn.residual import PreactivationBlock, UNetLevel

_INIT = nnx.initializers.variance_scaling(0.02**2, "fan_avg", "normal")


class Painter(nnx.Module):
    """A U-Net: halvings down to one pixel, and doublings that also see what their level had on the way down.

    The code is repeated over the input of every halving. It survives the norms because the first and the innermost
    convolution have none behind them.
    """

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        *,
        code_dim: int = 8,
        num_halvings: int = 8,
        width: int = 64,
        dropout: float = 0.5,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          channels_in: of the images that come in.
          channels_out: of the images that come out.
          code_dim: features of a code.
          num_halvings: 8 for 256 pixels, 7 for 128: log2 of the size at most.
          width: channels after the first halving, doubled by each up to eight times.
          dropout: share of features left out in training in the doublings between equal widths; as the published
            scripts set it.
          rngs: of the initial weights and of dropout.
        """
        if num_halvings < 2:
            raise ValueError(f"num_halvings must be at least 2, got num_halvings = {num_halvings}.")
        self.num_halvings = num_halvings
        widths = [width * min(8, 1 << level) for level in range(num_halvings)]

        def made(level: int, inside: UNetLevel | None) -> UNetLevel:
            outer, inner = widths[level - 1] if level else channels_in, widths[level]
            middle = inside is not None and outer == inner
            return UNetLevel(
                outer, inner, inside, out_features=None if level else channels_out, code_features=code_dim,
                dropout=dropout if middle else 0.0, kernel_init=_INIT, rngs=rngs,
            )  # fmt: skip

        net = made(num_halvings - 1, None)
        for level in reversed(range(num_halvings - 1)):
            net = made(level, net)
        self.net = net

    def __call__(self, images: jax.Array, code: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, channels_in]` in [-1, 1] and codes `[b, code_dim]` to images in [-1, 1]."""
        size = images.shape[1:3]
        if any(side % (1 << self.num_halvings) for side in size):
            raise ValueError(f"images must divide by {1 << self.num_halvings} in height and width, got {size}.")
        return jnp.tanh(self.net(images, code))


class Encoder(nnx.Module):
    """A residual network to the law of a code; blocks act before they convolve, and halve by means."""

    def __init__(self, channels: int = 3, *, code_dim: int = 8, num_blocks: int = 4, width: int = 64, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          channels: of the images.
          code_dim: features of a code.
          num_blocks: 4 for 256 pixels, 3 for 128.
          width: channels after the first convolution; blocks have up to four times as many.
          rngs: of the initial weights.
        """
        widths = [width * min(4, level + 1) for level in range(num_blocks + 1)]
        self.first = Convolution(channels, width, 4, strides=2, padding=1, kernel_init=_INIT, rngs=rngs)
        self.blocks = nnx.List(
            PreactivationBlock(a, b, kernel_init=_INIT, rngs=rngs) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        heads = (nnx.Linear(widths[-1], code_dim, kernel_init=_INIT, rngs=rngs) for _ in range(2))
        self.mean, self.log_variance = heads

    def __call__(self, images: jax.Array) -> Posterior:
        """Maps images `[b, h, w, c]` in [-1, 1] to the laws of codes, `[b, code_dim]` each."""
        x = self.first(images)
        for block in self.blocks:
            x = block(x)
        x = jnp.mean(nnx.leaky_relu(x, 0.2), axis=(1, 2))
        return Posterior(self.mean(x), self.log_variance(x))


def painter_table(num_halvings: int) -> weights.Table:
    """Where the parameters of a `Painter` stand in the authors' files (`latest_net_G.pth`).

    The painter to be filled is made with `dropout=0.0`: the stream of a dropout is no weight of the file.

    Args:
      num_halvings: of the painter.

    Returns:
      The table.
    """
    entries: dict[str, weights.Entry] = {}
    for level in range(num_halvings):
        path, name = "net" + "/inside" * level, "model" + ".submodule" * level
        entries |= weights.with_bias(weights.convolution, f"{path}/down", f"{name}.down.{1 if level else 0}")
        entries |= weights.with_bias(weights.transposed_convolution, f"{path}/up", f"{name}.up.1")
    return entries


def encoder_table(num_blocks: int) -> weights.Table:
    """Where the parameters of an `Encoder` stand in the authors' files (`latest_net_E.pth`).

    Args:
      num_blocks: of the encoder.

    Returns:
      The table.
    """
    entries = dict(weights.with_bias(weights.convolution, "first", "conv.0"))
    for block in range(num_blocks):
        for layer, name in (("first", "conv.2"), ("second", "conv.5.0"), ("shortcut", "shortcut.1")):
            entries |= weights.with_bias(weights.convolution, f"blocks/{block}/{layer}", f"conv.{1 + block}.{name}")
    for head, name in (("mean", "fc.0"), ("log_variance", "fcVar.0")):
        entries |= weights.with_bias(weights.linear, head, name)
    return entries


def judge_table(num_layers: int = 3) -> weights.Table:
    """Where the parameters of a discriminator of two scales stand in the authors' files.

    Args:
      num_layers: of stride 2.

    Returns:
      The table.
    """
    entries: dict[str, weights.Entry] = {}
    for scale in range(2):
        entries |= weights.under(f"networks/{scale}", patches.table(num_layers, f"model_{scale}"))
    return entries


def networks(
    rngs: nnx.Rngs,
    *,
    image_size: int = 256,
    channels: tuple[int, int] = (3, 3),
    code_dim: int = 8,
    width: int = 64,
    dropout: float = 0.5,
) -> dict[str, nnx.Module]:
    """Makes the networks that translate x to y.

    Args:
      rngs: of the initial weights and of dropout.
      image_size: a power of two. At 256 pixels: eight halvings, four blocks, discriminators of three layers and then of
        half the width at half the size; at 128 one less of each.
      channels: of the images of x and of y.
      code_dim: features of a code.
      width: channels after the first layers.
      dropout: of the painter.

    Returns:
      `paint_y`, `encode_y`, `judge_encoded` and `judge_drawn`: one discriminator for codes of images, one for codes
      drawn from N(0, I).

    Raises:
      ValueError: a size that is no power of two, or below 32.
    """
    halvings = image_size.bit_length() - 1
    if image_size < 32 or image_size != 1 << halvings:
        raise ValueError(f"image_size must be a power of two of at least 32, got image_size = {image_size}.")
    num_layers = 3 if image_size >= 256 else 2
    x, y = channels

    def judge() -> Scales:
        return Scales(
            [Patches(y, num_layers=num_layers, width=w, kernel_init=_INIT, rngs=rngs) for w in (width, width // 2)]
        )

    return {
        "paint_y": Painter(
            x, y, code_dim=code_dim, num_halvings=min(halvings, 8), width=width, dropout=dropout, rngs=rngs
        ),
        "encode_y": Encoder(y, code_dim=code_dim, num_blocks=min(4, halvings - 4), width=width, rngs=rngs),
        "judge_encoded": judge(),
        "judge_drawn": judge(),
    }
