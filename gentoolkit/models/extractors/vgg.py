"""VGG16 of torchvision: the trunk for perceptual distances, and its second dense layer for precision and recall."""

import os
from collections.abc import Sequence
from typing import Self

import jax
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers
from gentoolkit.models.extractors._layers import Convolution

# Channels of the convolutions, 0 for a pool; torchvision counts convolutions, ReLUs and pools alike.
_PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
TRUNK_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
TRUNK_CHANNELS = (64, 128, 256, 512, 512)
TAPS = (*TRUNK_TAPS, "fc2", "fc2_relu")
FILE = "vgg16-397923af.pth"
PUBLISHED = ("397923af",)


class VGG16(nnx.Module):
    """VGG16, for RGB images less ImageNet's mean and in units of its deviation (`normalization.imagenet`).

    The trunk takes any size from 16x16 on; the dense layers take 224x224 alone.

    Attributes:
      origin: which weights it has.
      dense: whether it has the first two dense layers (120 million of 134 million parameters).

    References:
      Simonyan, Zisserman (2015), "Very deep convolutional networks for large-scale image recognition".
      Kynkäänniemi et al. (2019), "Improved precision and recall metric for assessing generative models": fc2.
    """

    def __init__(self, *, dense: bool = False, origin: weights.Origin = weights.UNFILLED):
        """Makes the layers, with zeros for weights; `load` and `random` are what fills them.

        Args:
          dense: whether to have the dense layers.
          origin: which weights it will have.
        """
        self.origin, self.dense = origin, dense
        sizes = [3, *(c for c in _PLAN if c)]
        self.convolutions = nnx.List(Convolution(a, b, 3, padding=1) for a, b in zip(sizes, sizes[1:], strict=False))
        if dense:
            self.fc1 = _layers.Linear(7 * 7 * 512, 4096)
            self.fc2 = _layers.Linear(4096, 4096)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, dense: bool = False) -> Self:
        """Reads torchvision's weights.

        Args:
          path: of `vgg16-397923af.pth`, or of a conversion of it that keeps the names.
          dense: whether to have the dense layers.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        origin = weights.of_file("vgg16", file, published=PUBLISHED)
        empty = nnx.eval_shape(lambda: cls(dense=dense, origin=origin))
        return weights.assign(empty, table(dense=dense), file, ignore=ignored(dense=dense))

    @classmethod
    def random(cls, rngs: nnx.Rngs, *, dense: bool = False) -> Self:
        """The network with random weights, for smoke tests.

        Args:
          rngs: of the weights.
          dense: whether to have the dense layers.
        """
        return weights.random(nnx.eval_shape(lambda: cls(dense=dense, origin=weights.of_random("vgg16"))), rngs)

    def __call__(self, images: jax.Array, taps: Sequence[str] = TRUNK_TAPS) -> dict[str, jax.Array]:
        """Maps images to features.

        Args:
          images: `[b, h, w, 3]`, RGB, normalized as ImageNet's.
          taps: which: "relu1_2" to "relu5_3", "fc2", "fc2_relu". The layers behind the last one are not run.

        Returns:
          For each tap maps `[b, h', w', c]` or vectors `[b, 4096]`, float32.

        Raises:
          ValueError: images of another shape, or a tap that is not there.
          TypeError: images of integers.
        """
        wanted = _layers.check_taps(taps, TAPS if self.dense else TRUNK_TAPS)
        x = _layers.as_images(images, least=16, says="normalized as ImageNet's")
        found: dict[str, jax.Array] = {}
        layers = iter(self.convolutions)
        blocks = iter(TRUNK_TAPS)
        for channels in _PLAN:
            if not channels:
                found[next(blocks)] = x
                if not set(wanted) - found.keys():
                    return {tap: found[tap] for tap in wanted}
            x = nnx.relu(next(layers)(x)) if channels else _layers.max_pool(x, 2, 2)
        if x.shape[1:3] != (7, 7):
            raise ValueError(f"images must be 224 x 224 for the dense layers, got images.shape = {images.shape}.")
        found["fc2"] = self.fc2(nnx.relu(self.fc1(x.reshape(x.shape[0], -1))))
        found["fc2_relu"] = nnx.relu(found["fc2"])
        return {tap: found[tap] for tap in wanted}


def table(*, dense: bool = False) -> weights.Table:
    """Which tensors of torchvision's file the network is made of.

    Args:
      dense: whether it has the dense layers.
    """
    entries = {}
    numbers = [0]
    for channels in _PLAN:
        numbers.append(numbers[-1] + (2 if channels else 1))
    for i, number in enumerate(n for n, channels in zip(numbers, _PLAN, strict=False) if channels):
        entries[f"convolutions/{i}/kernel"] = weights.convolution(f"features.{number}.weight")
        entries[f"convolutions/{i}/bias"] = weights.same(f"features.{number}.bias")
    if dense:
        entries["fc1/kernel"] = weights.linear_of_image("classifier.0.weight", (7, 7, 512))
        entries["fc1/bias"] = weights.same("classifier.0.bias")
        entries["fc2/kernel"] = weights.linear("classifier.3.weight")
        entries["fc2/bias"] = weights.same("classifier.3.bias")
    return entries


def ignored(*, dense: bool = False) -> tuple[str, ...]:
    """Which tensors of torchvision's file are not wanted: the head, and all dense layers where there are none.

    Args:
      dense: whether the network has the dense layers.
    """
    return ("classifier.6.*",) if dense else ("classifier.*",)
