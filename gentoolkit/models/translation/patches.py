"""Discriminators that judge each patch of an image by itself, at one scale or at several."""

import jax
from flax import nnx
from flax.typing import Initializer

from gentoolkit.models import weights
from gentoolkit.models.translation.blocks import DEFAULT, Norm
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution


class Patches(nnx.Module):
    """Convolutions of 4 x 4 to a map of logits, each of one patch: with three layers of 70 x 70 pixels.

    | num_layers | strides | patch | map of 256 pixels | map of 128 pixels |
    |---|---|---|---|---|
    | 1 | 2, 1, 1 | 16 | 126 | 62 |
    | 2 | 2, 2, 1, 1 | 34 | 62 | 30 |
    | 3 | 2, 2, 2, 1, 1 | 70 | 30 | 14 |
    | 4 | 2, 2, 2, 2, 1, 1 | 142 | 14 | 6 |

    References:
      Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, section 3.2.2.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_layers: int = 3,
        width: int = 64,
        norm: Norm = normalization.instance,
        kernel_init: Initializer = DEFAULT.kernel_init,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          channels: of the images.
          num_layers: of stride 2.
          width: channels after the first layer, doubled by each up to eight times.
          norm: `(features, *, rngs)` to a module, after all layers but the first and the last.
          kernel_init: of convolutions.
          rngs: of the initial weights.
        """
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got num_layers = {num_layers}.")
        self.num_layers = num_layers
        widths = [channels, *(width * min(8, 1 << level) for level in range(num_layers + 1)), 1]
        strides = [2] * num_layers + [1, 1]
        self.layers = nnx.List(
            Convolution(a, b, 4, strides=stride, padding=1, kernel_init=kernel_init, rngs=rngs)
            for a, b, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.norms = nnx.List(norm(features, rngs=rngs) for features in widths[2:-1])

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to logits `[b, h', w', 1]`."""
        first, *inner, last = self.layers
        x = nnx.leaky_relu(first(images), 0.2)
        for layer, norm in zip(inner, self.norms, strict=True):
            x = nnx.leaky_relu(norm(layer(x)), 0.2)
        return last(x)


def table(num_layers: int = 3, name: str = "model") -> weights.Table:
    """Where the parameters of `Patches` stand in the files of CycleGAN, pix2pix and BicycleGAN.

    Args:
      num_layers: of stride 2.
      name: what names in the file begin with.

    Returns:
      The table.
    """
    entries: dict[str, weights.Entry] = {}
    for layer in range(num_layers + 2):
        place = 3 * layer - 1 if layer else 0
        entries |= weights.with_bias(weights.convolution, f"layers/{layer}", f"{name}.{place}")
    return entries


class Scales(nnx.Module):
    """One discriminator for each size of a pyramid of means: UNIT's, MUNIT's and BicycleGAN's.

    The logits of all scales come as a list, the full size first.
    """

    def __init__(self, networks):
        """Holds the networks, for the full size first; each next one sees half of it."""
        self.networks = nnx.List(networks)

    def __call__(self, images: jax.Array) -> list[jax.Array]:
        """Maps images `[b, h, w, c]` in [-1, 1] to a list of logits."""
        logits = []
        for scale, network in enumerate(self.networks):
            images = _half(images) if scale else images
            logits.append(network(images))
        return logits


class Steep(nnx.Module):
    """UNIT's and MUNIT's patches: convolutions of stride 2 without norm, then one of 1 x 1."""

    def __init__(
        self,
        channels: int,
        *,
        num_layers: int = 4,
        width: int = 64,
        kernel: int = 4,
        reflect: bool = True,
        slope: float = 0.2,
        kernel_init: Initializer = DEFAULT.kernel_init,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          channels: of the images.
          num_layers: of stride 2; each doubles the channels.
          width: channels after the first.
          kernel: side of the kernels, 3 or 4.
          reflect: whether images are reflected at their borders, instead of surrounded by zeros.
          slope: of leaky ReLU below 0.
          kernel_init: of convolutions.
          rngs: of the initial weights.
        """
        widths = [channels, *(width << level for level in range(num_layers))]
        self.layers = nnx.List(
            Convolution(a, b, kernel, strides=2, padding=1, reflect=reflect, kernel_init=kernel_init, rngs=rngs)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.slope = slope
        self.last = Convolution(widths[-1], 1, 1, padding=0, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to logits `[b, h / 16, w / 16, 1]`."""
        x = images
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x), self.slope)
        return self.last(x)


def _half(images: jax.Array) -> jax.Array:
    """Means over 3 x 3 at every second pixel; pixels beyond the border do not count."""
    return nnx.avg_pool(images, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)), count_include_pad=False)
