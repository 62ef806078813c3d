"""MobileNetV2 of Keras: a small classifier of ImageNet whose features serve where Inception's are not at hand."""

import os
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers
from gentoolkit.models.extractors._layers import Convolution

TAPS = ("1280", "logits")
# Factor of expansion, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
IGNORED = ("plan.json",)


class MobileNetV2(nnx.Module):
    """MobileNetV2 (width 1.0) with batch normalizations multiplied in, for RGB images in [-1, 1], 224x224.

    A Fréchet distance or a score on it goes by its own name: it is no FID and no Inception score.

    Attributes:
      origin: which weights it has.

    References:
      Sandler et al. (2018), "MobileNetV2: inverted residuals and linear bottlenecks".
    """

    def __init__(self, *, origin: weights.Origin = weights.UNFILLED):
        """Makes the layers, with zeros for weights; `load` and `random` are what fills them.

        Args:
          origin: which weights it will have.
        """
        self.origin = origin
        # A stride pads at the far edge alone, as TensorFlow does for even sizes.
        layers = [Convolution(3, 32, 3, stride=2, padding=((0, 1), (0, 1)))]
        inputs, blocks = 32, []
        for factor, channels, repeats, first in _STAGES:
            for i in range(repeats):
                stride, inner = first if i == 0 else 1, factor * inputs
                padding = 1 if stride == 1 else ((0, 1), (0, 1))
                layers += [Convolution(inputs, inner, 1)] if factor > 1 else []
                layers.append(Convolution(inner, inner, 3, stride=stride, padding=padding, groups=inner))
                layers.append(Convolution(inner, channels, 1))
                blocks.append((2 if factor == 1 else 3, stride == 1 and inputs == channels))
                inputs = channels
        layers.append(Convolution(inputs, 1280, 1))
        self.blocks = tuple(blocks)  # number of layers, and whether the input is added
        self.layers = nnx.List(layers)
        self.head = _layers.Linear(1280, 1000)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads an `.npz` whose arrays are called `NN_kind/{kernel,bias,scale}` in the order of the layers.

        Args:
          path: of the file; kernels `[h, w, in, out]` in float32, or int8 with a scale for each output channel or
            for all.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        empty = nnx.eval_shape(lambda: cls(origin=weights.of_file("mobilenet-v2-keras", file)))
        return weights.assign(empty, table(file), file, ignore=IGNORED)

    @classmethod
    def random(cls, rngs: nnx.Rngs) -> Self:
        """The network with random weights, for smoke tests.

        Args:
          rngs: of the weights.
        """
        return weights.random(nnx.eval_shape(lambda: cls(origin=weights.of_random("mobilenet-v2"))), rngs)

    def __call__(self, images: jax.Array, taps: Sequence[str] = ("1280",)) -> dict[str, jax.Array]:
        """Maps images to features.

        Args:
          images: `[b, h, w, 3]`, RGB in [-1, 1], h and w multiples of 32; meant for 224x224.
          taps: which: "1280" (the mean over pixels of the last layer), "logits" (of the 1,000 classes of ImageNet).

        Returns:
          For each tap `[b, 1280]` or `[b, 1000]`, float32.

        Raises:
          ValueError: images of another shape, or another tap.
          TypeError: images of integers.
        """
        wanted = _layers.check_taps(taps, TAPS)
        x = _layers.as_images(images, least=32, says="in [-1, 1]")
        if x.shape[1] % 32 or x.shape[2] % 32:
            raise ValueError(f"images must have sides that are multiples of 32, got images.shape = {x.shape}.")
        x = jax.nn.relu6(self.layers[0](x))
        at = 1
        for count, adds in self.blocks:
            y = x
            for layer in self.layers[at : at + count - 1]:
                y = jax.nn.relu6(layer(y))
            y = self.layers[at + count - 1](y)
            x, at = x + y if adds else y, at + count
        features = jnp.mean(jax.nn.relu6(self.layers[at](x)), (1, 2))
        found = {"1280": features, "logits": self.head(features) if "logits" in wanted else features}
        return {tap: found[tap] for tap in wanted}


def table(file: weights.Weights) -> weights.Table:
    """Which arrays of a file the network is made of.

    Args:
      file: it says which kernels have a scale.
    """
    entries = {}
    network = nnx.eval_shape(MobileNetV2)
    names = {}
    for i, layer in enumerate(network.layers):
        names[f"layers/{i}"] = f"{i:02d}_{'conv' if layer.groups == 1 else 'depthwise'}"
    names["head"] = f"{len(network.layers):02d}_dense"
    for ours, theirs in names.items():
        entries[f"{ours}/kernel"] = _quantized(theirs, file)
        entries[f"{ours}/bias"] = weights.same(f"{theirs}/bias")
    return entries


def _quantized(name: str, file: weights.Weights) -> weights.Entry:
    scale = f"{name}/scale"
    if scale not in file:
        return weights.same(f"{name}/kernel")
    one = file[scale].shape == (1,)
    return weights.Entry(
        (f"{name}/kernel", scale),
        lambda shape: (shape, (1,) if one else shape[-1:]),
        lambda kernel, scales: kernel.astype(np.float32) * scales.astype(np.float32),
        quantized=True,
    )
