"""SqueezeNet 1.1 in two forms: torchvision's, a trunk of LPIPS, and that of keras-squeezenet, under its own name."""

import os
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers
from gentoolkit.models.extractors._layers import Convolution

TRUNK_TAPS = ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
TRUNK_CHANNELS = (64, 128, 256, 384, 384, 512, 512)
# Squeezed channels, then those of each expansion; a pool stands before fire2, fire4 and fire6.
_FIRES = {"fire2": (16, 64), "fire3": (16, 64), "fire4": (32, 128), "fire5": (32, 128)}
_FIRES |= {"fire6": (48, 192), "fire7": (48, 192), "fire8": (64, 256), "fire9": (64, 256)}
_POOLED = ("fire2", "fire4", "fire6")
_NUMBERS = dict(zip(_FIRES, (3, 4, 6, 7, 9, 10, 11, 12), strict=True))  # in torchvision's `features`
FILE = "squeezenet1_1-b8a52dc0.pth"
PUBLISHED = ("b8a52dc0", "f364aa15")
IGNORED = ("classifier.*",)
_BGR_MEAN = (103.939, 116.779, 123.68)


class _Fire(nnx.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int):
        self.squeeze1x1 = Convolution(inputs, squeezed, 1)
        self.expand1x1 = Convolution(squeezed, expanded, 1)
        self.expand3x3 = Convolution(squeezed, expanded, 3, padding=1)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.squeeze1x1(x))
        return nnx.relu(jnp.concatenate([self.expand1x1(x), self.expand3x3(x)], -1))


class SqueezeNet(nnx.Module):
    """SqueezeNet 1.1 without its head, as torchvision has it: pools also count windows over the far edge.

    For RGB images less ImageNet's mean and in units of its deviation, 17x17 and larger.

    Attributes:
      origin: which weights it has.

    References:
      Iandola et al. (2016), "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and < 0.5 MB model size".
    """

    ceil = True

    def __init__(self, *, origin: weights.Origin = weights.UNFILLED):
        """Makes the layers, with zeros for weights; `load` and `random` are what fills them.

        Args:
          origin: which weights it will have.
        """
        self.origin = origin
        self.conv1 = Convolution(3, 64, 3, stride=2)
        inputs = 64
        for name, (squeezed, expanded) in _FIRES.items():
            setattr(self, name, _Fire(inputs, squeezed, expanded))
            inputs = 2 * expanded

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads torchvision's weights.

        Args:
          path: of `squeezenet1_1-b8a52dc0.pth` or its forerunner with f364aa15, or of a conversion that keeps names.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        origin = weights.of_file("squeezenet1.1", file, published=PUBLISHED)
        return weights.assign(nnx.eval_shape(lambda: cls(origin=origin)), table(), file, ignore=IGNORED)

    @classmethod
    def random(cls, rngs: nnx.Rngs) -> Self:
        """The network with random weights, for smoke tests.

        Args:
          rngs: of the weights.
        """
        return weights.random(nnx.eval_shape(lambda: cls(origin=weights.of_random("squeezenet1.1"))), rngs)

    def __call__(self, images: jax.Array, taps: Sequence[str] = TRUNK_TAPS) -> dict[str, jax.Array]:
        """Maps images to features.

        Args:
          images: `[b, h, w, 3]`, normalized as the class says.
          taps: which of "relu1", "fire3", "fire5" to "fire9". The layers behind the last one are not run.

        Returns:
          For each tap maps `[b, h', w', c]`, float32.

        Raises:
          ValueError: images of another shape, or another tap.
          TypeError: images of integers.
        """
        wanted = _layers.check_taps(taps, TRUNK_TAPS)
        x = _layers.as_images(images, least=17 if self.ceil else 31, says="normalized as the network's class says")
        found = {"relu1": nnx.relu(self.conv1(x))}
        x = found["relu1"]
        for name in _FIRES:
            if not set(wanted) - found.keys():
                break
            x = _layers.max_pool(x, 3, 2, ceil=self.ceil) if name in _POOLED else x
            x = found[name] = getattr(self, name)(x)
        return {tap: found[tap] for tap in wanted}


class KerasSqueezeNet(SqueezeNet):
    """SqueezeNet 1.1 without its head, as keras-squeezenet has it: other weights, and pools inside the image alone.

    For images in BGR from 0 to 255 less a mean colour (`preprocess`), 31x31 and larger. Perceptual distances on it are
    not LPIPS, whose heads were fitted to torchvision's weights.
    """

    ceil = False

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads an `.npz` with `conv1` and `fireN/{squeeze1x1,expand1x1,expand3x3}`, kernels `[h, w, in, out]`.

        Args:
          path: of the file.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        empty = nnx.eval_shape(lambda: cls(origin=weights.of_file("keras-squeezenet1.1", file)))
        return weights.assign(empty, keras_table(), file)

    @staticmethod
    def preprocess(images: jax.Array) -> jax.Array:
        """Makes what the network takes.

        Args:
          images: `[..., 3]`, RGB in [0, 1].

        Returns:
          `[..., 3]`, BGR from 0 to 255 less the mean colour.
        """
        return 255 * jnp.asarray(images, jnp.float32)[..., ::-1] - jnp.asarray(_BGR_MEAN)


def table() -> weights.Table:
    """Which tensors of torchvision's file the network is made of."""
    layers = {"conv1": "features.0"}
    for name, number in _NUMBERS.items():
        layers[f"{name}/squeeze1x1"] = f"features.{number}.squeeze"
        layers |= {f"{name}/{part}": f"features.{number}.{part}" for part in ("expand1x1", "expand3x3")}
    entries = {}
    for ours, theirs in layers.items():
        entries[f"{ours}/kernel"] = weights.convolution(f"{theirs}.weight")
        entries[f"{ours}/bias"] = weights.same(f"{theirs}.bias")
    return entries


def keras_table() -> weights.Table:
    """Which arrays of keras-squeezenet's weights the network is made of: those of the same paths."""
    return {path: weights.same(path) for path in table()}
