"""Blocks with a way around: residual, with the activations first, and the levels of a U-Net."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer

from gentoolkit.nn import convolution, normalization
from gentoolkit.nn.convolution import NORMAL, Convolution, TransposedConvolution

Norm = Callable[..., Callable[[jax.Array], jax.Array]] | None
Activation = Callable[[jax.Array], jax.Array]

leaky_relu = partial(nnx.leaky_relu, negative_slope=0.2)


def identity(x: jax.Array) -> jax.Array:
    """Returns what it is given."""
    return x


class ResidualBlock(nnx.Module):
    """x plus two convolutions of it, each with a norm, an activation between them and none after the sum.

    References:
      Zhu, Park, Isola, Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV
      2017, appendix.
    """

    def __init__(
        self,
        num_features: int,
        *,
        norm: Norm = normalization.instance,
        activation: Activation = nnx.relu,
        reflect: bool = True,
        kernel_init: Initializer = NORMAL,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          num_features: channels, which stay as they are.
          norm: `(num_features, rngs=...)` to a norm, or None for none.
          activation: after the first convolution.
          reflect: whether images are reflected at their borders instead of surrounded by zeros.
          kernel_init: of the kernels.
          rngs: of the initial weights.
        """
        self.activation = activation
        self.first, self.second = (
            Convolution(num_features, num_features, 3, reflect=reflect, kernel_init=kernel_init, rngs=rngs)
            for _ in "ab"
        )
        self.first_norm, self.second_norm = (_made(norm, num_features, rngs) for _ in "ab")

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, c]` to the same shape."""
        y = self.activation(self.first_norm(self.first(x)))
        return x + self.second_norm(self.second(y))


class PreactivationBlock(nnx.Module):
    """Norm, activation, convolution, twice, and a shortcut; at half the size where asked, by means of 2 x 2.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016; Zhu et al., "Toward multimodal image-to-image
      translation", NeurIPS 2017, and its public code (the encoder).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        halve: bool = True,
        norm: Norm = normalization.instance,
        activation: Activation = leaky_relu,
        kernel_init: Initializer = NORMAL,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          in_features: channels of the input and between both convolutions.
          out_features: channels of the output.
          halve: whether height and width are halved.
          norm: `(num_features, rngs=...)` to a norm, or None for none.
          activation: before each convolution.
          kernel_init: of the kernels.
          rngs: of the initial weights.
        """
        made = partial(Convolution, in_features, kernel_init=kernel_init, rngs=rngs)
        self.activation = activation
        self.resize = convolution.halve if halve else identity
        self.first = made(in_features, 3)
        self.second = made(out_features, 3)
        self.shortcut = made(out_features, 1) if halve or in_features != out_features else identity
        self.first_norm, self.second_norm = (_made(norm, in_features, rngs) for _ in "ab")

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, in_features]` to `[b, h', w', out_features]`."""
        y = self.first(self.activation(self.first_norm(x)))
        y = self.second(self.activation(self.second_norm(y)))
        return self.resize(y) + self.shortcut(self.resize(x))


class UNetLevel(nnx.Module):
    """One level of a U-Net: down by two, what lies inside, up by two; returned beside its input.

    A network is made from the inside out::

        net = UNetLevel(512, 512, rngs=rngs)  # the innermost
        for width, inner in ((256, 512), (128, 256), (64, 128)):
            net = UNetLevel(width, inner, net, rngs=rngs)
        net = UNetLevel(3, 64, net, out_features=3, rngs=rngs)  # the outermost, which returns no input

    Neither the outermost level nor the innermost has a norm on the way down, nor has the outermost on the way up.

    References:
      Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, appendix; Zhu et al.,
      "Toward multimodal image-to-image translation", NeurIPS 2017 (codes at every level).
    """

    def __init__(
        self,
        in_features: int,
        num_features: int,
        inside: "UNetLevel | None" = None,
        *,
        out_features: int | None = None,
        code_features: int = 0,
        norm: Norm = normalization.instance,
        dropout: float = 0.0,
        kernel_init: Initializer = NORMAL,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          in_features: channels of the input; without `out_features` also those made beside it.
          num_features: channels at half the size.
          inside: the next level, which takes `num_features` channels and gives twice as many; None for the innermost.
          out_features: channels of the output of the outermost level; None for all others.
          code_features: of a code that is appended to every pixel before the way down, at every level; 0 for none.
          norm: `(num_features, rngs=...)` to a norm, or None for none.
          dropout: share of features that are set to 0 after the way up, in training mode.
          kernel_init: of the kernels.
          rngs: of the initial weights and of the dropout.
        """
        self.outermost, self.inside, self.code_features = out_features is not None, inside, code_features
        given = in_features if out_features is None else out_features
        self.down = Convolution(
            in_features + code_features, num_features, 4, strides=2, padding=1, kernel_init=kernel_init, rngs=rngs
        )
        self.down_norm = _made(None if self.outermost or inside is None else norm, num_features, rngs)
        inner = num_features if inside is None else 2 * num_features
        self.up = TransposedConvolution(
            inner, given, (4, 4), strides=(2, 2), padding=1, kernel_init=kernel_init, rngs=rngs
        )
        self.up_norm = _made(None if self.outermost else norm, given, rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else identity

    def __call__(self, x: jax.Array, code: jax.Array | None = None) -> jax.Array:
        """Maps `[b, h, w, in_features]`, h and w even, and codes `[b, code_features]` to images of the same size."""
        if (code is None) == bool(self.code_features) or (code is not None and code.shape[1:] != (self.code_features,)):
            got = None if code is None else code.shape
            raise ValueError(f"code must be [b, {self.code_features}], None for no features; got {got}.")
        y = x if code is None else tile(x, code)
        y = self.down_norm(self.down(y if self.outermost else leaky_relu(y)))
        if self.inside is not None:
            y = self.inside(y, code)
        y = self.dropout(self.up_norm(self.up(nnx.relu(y))))
        return y if self.outermost else jnp.concatenate([y, x], axis=-1)


def tile(x: jax.Array, code: jax.Array) -> jax.Array:
    """Appends codes `[b, d]` to every pixel of `[b, h, w, c]`: `[b, h, w, c + d]`."""
    if x.ndim != 4 or code.ndim != 2 or x.shape[0] != code.shape[0]:
        raise ValueError(f"x must be [b, h, w, c] and code [b, d], got shapes {x.shape} and {code.shape}.")
    everywhere = jnp.broadcast_to(code[:, None, None].astype(x.dtype), (*x.shape[:3], code.shape[1]))
    return jnp.concatenate([x, everywhere], axis=-1)


def _made(norm: Norm, num_features: int, rngs: nnx.Rngs) -> Callable[[jax.Array], jax.Array]:
    return identity if norm is None else norm(num_features, rngs=rngs)
