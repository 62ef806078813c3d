"""What networks of image translation have in common: the choices of a family, first and last layer, blocks."""

import dataclasses
from collections.abc import Callable

import jax
from flax import nnx
from flax.typing import Initializer

from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import NORMAL, Convolution
from gentoolkit.nn.residual import ResidualBlock

Norm = Callable[..., Callable[[jax.Array], jax.Array]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
    """The choices in which the families differ.

    Attributes:
      width: channels after the first layer; 64 in all published networks.
      down_kernel: side of the kernels of stride 2, 3 or 4.
      reflect: whether images are reflected at their borders at stride 1, instead of surrounded by zeros.
      reflect_down: the same at stride 2.
      norm: `(features, *, rngs)` to a module, of the encoder and of plain residual blocks.
      kernel_init: of convolutions.
    """

    width: int = 64
    down_kernel: int = 3
    reflect: bool = True
    reflect_down: bool = False
    norm: Norm = normalization.instance
    kernel_init: Initializer = NORMAL


DEFAULT = Scheme()


def stem(channels: int, scheme: Scheme, *, rngs: nnx.Rngs) -> Convolution:
    """The first layer: 7 x 7."""
    return Convolution(
        channels, scheme.width, 7, reflect=scheme.reflect, padding=3, kernel_init=scheme.kernel_init, rngs=rngs
    )


def to_image(channels: int, scheme: Scheme, *, rngs: nnx.Rngs) -> Convolution:
    """The last layer, before tanh: 7 x 7."""
    return Convolution(
        scheme.width, channels, 7, reflect=scheme.reflect, padding=3, kernel_init=scheme.kernel_init, rngs=rngs
    )


def residual(features: int, scheme: Scheme, *, rngs: nnx.Rngs) -> ResidualBlock:
    """A residual block: two convolutions of 3 x 3 with a norm each, added to what came in."""
    return ResidualBlock(features, norm=scheme.norm, reflect=scheme.reflect, kernel_init=scheme.kernel_init, rngs=rngs)
