"""The small network that makes a rough bright image of a dark one, as reference for a Gaussian process."""

import math
import os
import pathlib
import zipfile
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import _images

BORDER = 8  # pixels that the unpadded convolutions of 9, 1, 5 and 5 lose on each side
_WEIGHTS = pathlib.Path(__file__).parent / "pretrained"


class ReferenceNetwork(nnx.Module):
    """Four convolutions, 9x9 to 64, 1x1 to 32, 5x5 to 16 and 5x5 to as many channels as came in; no pooling.

    ReLU behind the first two, the logistic function behind the last two, so that pixels lie in (0, 1). One channel
    (luminance) has 20,545 parameters, three (RGB) have 31,715.

    Attributes:
      channels: 1 or 3.

    References:
      Loh, Liang, Chan (2019), "Low-light image enhancement using Gaussian process for features retrieval", Signal
      Processing: Image Communication 74 (layers as in the network released with it).
      Loh, "A new framework for efficient low-light image enhancement using approximated Gaussian process".
    """

    def __init__(self, channels: int = 1, *, brightness: float = 0.45, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          channels: 1 for luminance, 3 for RGB.
          brightness: mean of bright images, where the output begins: a logistic unit far from it learns slowly.
          rngs: of the initial weights.

        Raises:
          ValueError: another number of channels, or a brightness outside (0, 1).
        """
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got channels = {channels}.")
        if not 0 < brightness < 1:
            raise ValueError(f"brightness must be in (0, 1), got brightness = {brightness}.")
        self.channels = channels
        glorot = nnx.initializers.glorot_uniform()
        start = nnx.initializers.constant(math.log(brightness / (1 - brightness)))
        zero = nnx.initializers.zeros

        def layer(inputs: int, outputs: int, size: int, bias_init=zero) -> nnx.Conv:
            return nnx.Conv(
                inputs, outputs, (size, size), padding="VALID", kernel_init=glorot, bias_init=bias_init, rngs=rngs
            )

        self.features = layer(channels, 64, 9)
        self.mapping = layer(64, 32, 1)
        self.narrowing = layer(32, 16, 5)
        self.image = layer(16, channels, 5, start)

    def __call__(self, images: jax.Array, *, padded: bool = True) -> jax.Array:
        """Brightens images.

        Args:
          images: `[b, h, w, channels]` in [0, 1].
          padded: whether to reflect the borders, so that the size stays; otherwise 8 pixels are lost on each side.

        Returns:
          `[b, h, w, channels]`, or `[b, h - 16, w - 16, channels]`, in (0, 1), float32 or wider.

        Raises:
          ValueError: another number of channels, or images too small.
        """
        shape = jnp.shape(images)
        least = BORDER + 1 if padded else 2 * BORDER + 1  # a reflection takes from the inside of the image
        if len(shape) != 4 or shape[-1] != self.channels or min(shape[1:3]) < least:
            raise ValueError(
                f"images must be [b, h >= {least}, w >= {least}, {self.channels}], got images.shape = {shape}."
            )
        if padded:
            border = (BORDER, BORDER)
            images = jnp.pad(images, ((0, 0), border, border, (0, 0)), mode="reflect")
        x = nnx.relu(self.features(images))
        x = nnx.relu(self.mapping(x))
        x = nnx.sigmoid(self.narrowing(x))
        return _images.at_least_float32(nnx.sigmoid(self.image(x)))


def pretrained(channels: int = 3) -> ReferenceNetwork:
    """The network with the weights that ship with the package; pretrained/README.md says how they were trained.

    Args:
      channels: 1 for luminance, 3 for RGB.

    Returns:
      The network.

    Raises:
      ValueError: another number of channels.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got channels = {channels}.")
    return load(_WEIGHTS / f"low_light_{'luminance' if channels == 1 else 'rgb'}.npz")


def save(path: str | os.PathLike[str], network: ReferenceNetwork) -> None:
    """Writes the weights of a network as an `.npz` file, one float32 array for each parameter."""
    arrays: dict[str, Any] = {name: np.asarray(value, np.float32) for name, value in _parameters(network).items()}
    np.savez(path, **arrays)


def load(path: str | os.PathLike[str]) -> ReferenceNetwork:
    """Reads a network that `save` wrote.

    Args:
      path: the file.

    Returns:
      The network.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds something else.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"There are no weights at {os.fspath(path)!r}.")
    wrong = f"{os.fspath(path)!r} does not hold the weights of a reference network"
    try:
        # Without pickles: a file of weights must not run code.
        with np.load(path, allow_pickle=False) as file:
            values = dict(file)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy calls whatever it does not know pickled, and advises to load it all the same.
        why = "" if "pickle" in str(error) else f" ({error})"
        raise ValueError(f"{wrong}: it is not an .npz file that can be read{why}.") from error
    if "features/kernel" not in values or values["features/kernel"].ndim != 4:
        raise ValueError(f"{wrong}: features/kernel is missing.")
    for name, value in values.items():
        if not np.issubdtype(value.dtype, np.floating) or not np.isfinite(value).all():
            raise ValueError(f"{wrong}: {name} holds {value.dtype}, or numbers that are not finite.")
    channels = values["features/kernel"].shape[2]
    if channels not in (1, 3):
        raise ValueError(f"{wrong}: it is of images with {channels} channels, and there are those with 1 and 3.")
    network = nnx.eval_shape(lambda: ReferenceNetwork(channels, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(network)
    wanted = {_name(path): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(state))}
    if {name: leaf.shape for name, leaf in wanted.items()} != {name: value.shape for name, value in values.items()}:
        raise ValueError(f"{wrong} with {channels} channel(s): names or shapes differ.")
    flat = [(path, jnp.asarray(values[_name(path)])) for path, _ in nnx.to_flat_state(nnx.as_pure(state))]
    return nnx.merge(graphdef, nnx.from_flat_state(flat))


def _parameters(network: ReferenceNetwork) -> dict[str, jax.Array]:
    return {_name(path): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(nnx.split(network)[1]))}


def _name(path: tuple) -> str:
    return "/".join(map(str, path))
