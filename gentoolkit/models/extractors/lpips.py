"""Learned perceptual distances (LPIPS) of two images, by the trunks of AlexNet, VGG16 and SqueezeNet 1.1."""

import hashlib
import os
from typing import Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import _images, weights
from gentoolkit.models.extractors import _layers, normalization
from gentoolkit.models.extractors import alexnet as alexnet_lib
from gentoolkit.models.extractors import squeezenet as squeezenet_lib
from gentoolkit.models.extractors import vgg as vgg_lib

Trunk = alexnet_lib.AlexNet | vgg_lib.VGG16 | squeezenet_lib.SqueezeNet
Version = Literal["0.0", "0.1"]
# First digits of the SHA-256 of the published heads' numbers, in whatever format they are stored.
_HEADS = {
    "8a9f071221953c58": ("0.0", "alexnet"),
    "e60d8ee2c0926a5b": ("0.0", "vgg16"),
    "1a1c8db5a561a681": ("0.0", "squeezenet1.1"),
    "718a8b40b0d22f96": ("0.1", "alexnet"),
    "9153a2043dccf3b5": ("0.1", "vgg16"),
    "68f1b1752260e033": ("0.1", "squeezenet1.1"),
}
_TRUNKS = {alexnet_lib.AlexNet: "alexnet", vgg_lib.VGG16: "vgg16", squeezenet_lib.SqueezeNet: "squeezenet1.1"}


class Lpips(nnx.Module):
    """The perceptual distance of image pairs: a trunk, and weights of its channels fitted to the judgement of people.

    Features of each layer are divided by their length at every pixel; the squares of their differences are weighted and
    summed over channels, averaged over pixels, and summed over layers. Version 0.0 has its own heads and forgets to
    normalize images, as the figures of the first publications do; they are about half as large as those of 0.1.

    Attributes:
      trunk: the network, whose own `origin` says which weights it has.
      heads: the weights of the channels of each layer, `[c]`, at least 0.
      version: "0.1" or "0.0".
      origin: of the whole: `sha256` is that of the file of the heads, and `published` means trunk and heads.

    References:
      Zhang et al. (2018), "The unreasonable effectiveness of deep features as a perceptual metric".
    """

    def __init__(self, trunk: Trunk, *, version: Version = "0.1", origin: weights.Origin | None = None):
        """Makes the distance without learned heads: all channels have the weight 1.

        Args:
          trunk: the network.
          version: "0.1", or "0.0" for images that are not normalized.
          origin: of the whole.

        Raises:
          ValueError: another version.
        """
        if version not in ("0.0", "0.1"):
            raise ValueError(f'version must be "0.0" or "0.1", got version = {version!r}.')
        self.trunk, self.version = trunk, version
        self.origin = origin or weights.Origin(f"perceptual distance without heads on {trunk.origin.name}")
        self.heads = nnx.List(nnx.Param(jnp.ones(channels)) for channels in _channels(trunk))

    @classmethod
    def load(cls, trunk: Trunk, path: str | os.PathLike[str], *, version: Version = "0.1") -> Self:
        """Reads the heads.

        Args:
          trunk: the network, with its weights.
          path: of the published file of heads (`weights/v0.1/alex.pth` of the package lpips), or of an `.npz` with
            `lin0`, `lin1`, ...
          version: which the heads belong to.

        Returns:
          The distance.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, holds something else, negative weights, or the published
            heads of another version or trunk.
          ValueError: another version.
        """
        made = cls(trunk, version=version)
        file = weights.read(path)
        known = _HEADS.get(_digest(file))
        if known and known[0] != version:
            raise weights.WeightsError(f"{file.path!r} holds the heads of LPIPS {known[0]}, got version = {version!r}.")
        empty = nnx.eval_shape(lambda: Heads(_channels(trunk)))
        made.heads = weights.assign(empty, table(trunk, file), file).heads
        if any(float(jnp.min(head[...])) < 0 for head in made.heads):
            raise weights.WeightsError(f"{file.path!r} has negative weights, which no distance has.")
        ours = known is not None and known[1] == trunk.origin.name
        name = f"{'lpips' if ours else 'lpips-like'} v{version} on {trunk.origin.name}"
        made.origin = weights.Origin(name, file.sha256, ours and trunk.origin.published)
        return made

    @classmethod
    def random(cls, rngs: nnx.Rngs, *, trunk: type[Trunk] = alexnet_lib.AlexNet, version: Version = "0.1") -> Self:
        """The distance with random weights, for smoke tests.

        Args:
          rngs: of the weights.
          trunk: the class of the network.
          version: "0.1", or "0.0" for images that are not normalized.
        """
        made = cls(trunk.random(rngs), version=version)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(rngs.params())).tolist())
        made.heads = nnx.List(nnx.Param(jnp.asarray(rng.random(n), jnp.float32)) for n in _channels(made.trunk))
        made.origin = weights.of_random(f"lpips v{version} on {_TRUNKS[trunk]}")
        return made

    def __call__(self, first: jax.Array, second: jax.Array, *, image_range: tuple[float, float]) -> jax.Array:
        """Measures how different images look.

        Args:
          first: `[b, h, w, 3]`, RGB.
          second: images to compare with, of the same shape.
          image_range: the values of black and white: (0, 1), (-1, 1) or (0, 255).

        Returns:
          `[b]` distances, float32; 0 for equal images.

        Raises:
          ValueError: shapes that differ or are too small, or a range whose white is not above its black. Outside
            `jit` also values outside the range or not finite, and a warning where they look like those of another.
          TypeError: images of integers, unless the range is (0, 255).
        """
        means = [jnp.mean(x, (1, 2)) for x in self.layers(first, second, image_range=image_range)]
        return sum(means[1:], means[0])

    def maps(self, first: jax.Array, second: jax.Array, *, image_range: tuple[float, float]) -> jax.Array:
        """Measures where images look different; as `__call__`, whose distances are not quite the means of these.

        Args:
          first: `[b, h, w, 3]`, RGB.
          second: images to compare with, of the same shape.
          image_range: the values of black and white.

        Returns:
          `[b, h, w]`: the maps of all layers, enlarged bilinearly and summed.
        """
        layers = self.layers(first, second, image_range=image_range)
        shape = jnp.shape(first)[:3]
        enlarged = [jax.image.resize(x, shape, "bilinear", antialias=False, precision=_layers.HIGHEST) for x in layers]
        return sum(enlarged[1:], enlarged[0])

    def layers(self, first: jax.Array, second: jax.Array, *, image_range: tuple[float, float]) -> tuple[jax.Array, ...]:
        """Measures where the features of each layer differ.

        Args:
          first: `[b, h, w, 3]`, RGB.
          second: images to compare with, of the same shape.
          image_range: the values of black and white.

        Returns:
          For each layer of the trunk `[b, h', w']`.
        """
        if jnp.shape(first) != jnp.shape(second):
            raise ValueError(f"first and second must be of one shape, got {jnp.shape(first)} and {jnp.shape(second)}.")
        taps = [self.trunk(self._prepared(x, image_range, name)) for x, name in ((first, "first"), (second, "second"))]
        pairs = zip(taps[0].values(), taps[1].values(), self.heads, strict=True)
        return tuple(jnp.sum(head[...] * (_unit(a) - _unit(b)) ** 2, -1) for a, b, head in pairs)

    def _prepared(self, images: jax.Array, image_range: tuple[float, float], name: str) -> jax.Array:
        share = jnp.asarray(_images.as_share(images, image_range, name), jnp.float32)
        return normalization.imagenet(share) if self.version == "0.1" else 2 * share - 1


class Heads(nnx.Module):
    """Weights of the channels of each layer, as a file has them.

    Attributes:
      heads: `[c]` for each layer.
    """

    def __init__(self, channels: tuple[int, ...]):
        """Makes weights of 0.

        Args:
          channels: of each layer.
        """
        self.heads = nnx.List(nnx.Param(jnp.zeros(n)) for n in channels)


def table(trunk: Trunk, file: weights.Weights) -> weights.Table:
    """Which tensors of a file the heads are made of.

    Args:
      trunk: whose layers they weigh.
      file: it says whether the tensors are called `lin0` or, as published, `lin0.model.1.weight`.
    """

    def entry(i: int) -> weights.Entry:
        if "lin0" in file:
            return weights.same(f"lin{i}")
        return weights.Entry((f"lin{i}.model.1.weight",), lambda shape: ((1, *shape, 1, 1),), np.ravel)

    return {f"heads/{i}": entry(i) for i in range(len(_channels(trunk)))}


def _channels(trunk: Trunk) -> tuple[int, ...]:
    if isinstance(trunk, alexnet_lib.AlexNet):
        return alexnet_lib.TRUNK_CHANNELS
    return vgg_lib.TRUNK_CHANNELS if isinstance(trunk, vgg_lib.VGG16) else squeezenet_lib.TRUNK_CHANNELS


def _digest(file: weights.Weights) -> str:
    """The first digits of the SHA-256 of the numbers, which do not change with the format."""
    numbers = b"".join(np.asarray(file[name], np.float32).tobytes() for name in sorted(file))
    return hashlib.sha256(numbers).hexdigest()[:16]


def _unit(features: jax.Array) -> jax.Array:
    """Divides features by their length at each pixel; where all are 0 they stay so, and so does the gradient."""
    square = jnp.sum(features**2, -1, keepdims=True)
    some = square > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)
    return features / (length + 1e-10)
