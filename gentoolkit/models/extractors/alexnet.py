"""AlexNet of torchvision, the trunk of the perceptual distance that is used most."""

import os
from collections.abc import Sequence
from typing import Self

import jax
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers
from gentoolkit.models.extractors._layers import Convolution

TRUNK_TAPS = ("relu1", "relu2", "relu3", "relu4", "relu5")
TRUNK_CHANNELS = (64, 192, 384, 256, 256)
_NUMBERS = (0, 3, 6, 8, 10)  # of the convolutions in torchvision's `features`
FILE = "alexnet-owt-7be5be79.pth"
PUBLISHED = ("7be5be79", "4df8aa71")
IGNORED = ("classifier.*",)


class AlexNet(nnx.Module):
    """The convolutions of AlexNet, for RGB images less ImageNet's mean and in units of its deviation, 31x31 and larger.

    Attributes:
      origin: which weights it has.

    References:
      Krizhevsky (2014), "One weird trick for parallelizing convolutional neural networks".
    """

    def __init__(self, *, origin: weights.Origin = weights.UNFILLED):
        """Makes the layers, with zeros for weights; `load` and `random` are what fills them.

        Args:
          origin: which weights it will have.
        """
        self.origin = origin
        self.convolutions = nnx.List(
            [
                Convolution(3, 64, 11, stride=4, padding=2),
                Convolution(64, 192, 5, padding=2),
                Convolution(192, 384, 3, padding=1),
                Convolution(384, 256, 3, padding=1),
                Convolution(256, 256, 3, padding=1),
            ]
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads torchvision's weights.

        Args:
          path: of `alexnet-owt-7be5be79.pth` or its forerunner with 4df8aa71, or of a conversion that keeps the names.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        origin = weights.of_file("alexnet", file, published=PUBLISHED)
        return weights.assign(nnx.eval_shape(lambda: cls(origin=origin)), table(), file, ignore=IGNORED)

    @classmethod
    def random(cls, rngs: nnx.Rngs) -> Self:
        """The network with random weights, for smoke tests.

        Args:
          rngs: of the weights.
        """
        return weights.random(nnx.eval_shape(lambda: cls(origin=weights.of_random("alexnet"))), rngs)

    def __call__(self, images: jax.Array, taps: Sequence[str] = TRUNK_TAPS) -> dict[str, jax.Array]:
        """Maps images to features.

        Args:
          images: `[b, h, w, 3]`, RGB, normalized as ImageNet's (`normalization.imagenet`).
          taps: which of "relu1" to "relu5". The layers behind the last one are not run.

        Returns:
          For each tap maps `[b, h', w', c]`, float32.

        Raises:
          ValueError: images of another shape, or another tap.
          TypeError: images of integers.
        """
        wanted = _layers.check_taps(taps, TRUNK_TAPS)
        x = _layers.as_images(images, least=31, says="normalized as ImageNet's")
        found: dict[str, jax.Array] = {}
        for tap, layer in zip(TRUNK_TAPS, self.convolutions, strict=True):
            if tap in ("relu2", "relu3"):
                x = _layers.max_pool(x, 3, 2)
            x = found[tap] = nnx.relu(layer(x))
            if not set(wanted) - found.keys():
                break
        return {tap: found[tap] for tap in wanted}


def table() -> weights.Table:
    """Which tensors of torchvision's file the network is made of."""
    entries = {}
    for i, number in enumerate(_NUMBERS):
        entries[f"convolutions/{i}/kernel"] = weights.convolution(f"features.{number}.weight")
        entries[f"convolutions/{i}/bias"] = weights.same(f"features.{number}.bias")
    return entries
