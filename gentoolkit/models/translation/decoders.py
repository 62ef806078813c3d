"""What translators paint images with, from a map of content and, where there is one, a code of style."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer

from gentoolkit.models.translation.blocks import Norm, Scheme, residual, to_image
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution, ResizedConvolution, TransposedConvolution
from gentoolkit.nn.residual import tile

Upsample = Literal["transposed", "nearest"]
Inject = Literal["fuse", "literal", "adain"]


class Upward(nnx.Module):
    """Doublings with a norm and ReLU each, then the last layer and tanh: a map of features to images."""

    def __init__(
        self,
        features: int,
        channels: int,
        *,
        scheme: Scheme,
        num_doublings: int = 2,
        upsample: Upsample = "transposed",
        kernel: int = 3,
        norm: Norm | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          features: channels of the map; each doubling halves them, down to the scheme's width.
          channels: of the images.
          scheme: widths, norms and initial weights.
          num_doublings: of height and width.
          upsample: by transposed convolutions, or nearest neighbours and a convolution, without checkerboards.
          kernel: side of their kernels.
          norm: another than the scheme's.
          rngs: of the initial weights.
        """
        if upsample not in ("transposed", "nearest"):
            raise ValueError(f"upsample must be 'transposed' or 'nearest', got upsample = {upsample!r}.")
        widths = [features, *(scheme.width << level for level in reversed(range(num_doublings)))]
        made: list[Any] = []
        for wide, narrow in zip(widths[:-1], widths[1:], strict=True):
            if upsample == "transposed":
                layer: Any = TransposedConvolution(
                    wide, narrow, (kernel, kernel), strides=(2, 2),
                    padding=(kernel - 1) // 2, output_padding=kernel % 2, kernel_init=scheme.kernel_init, rngs=rngs,
                )  # fmt: skip
            else:
                layer = ResizedConvolution(
                    wide, narrow, kernel, reflect=True, kernel_init=scheme.kernel_init, rngs=rngs
                )
            made.append(layer)
        self.layers = nnx.List(made)
        self.norms = nnx.List((norm or scheme.norm)(narrow, rngs=rngs) for narrow in widths[1:])
        self.last = to_image(channels, scheme, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, features]` to `[b, h 2 ** num_doublings, w 2 ** num_doublings, channels]`."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return jnp.tanh(self.last(x))


class Plain(nnx.Module):
    """Residual blocks and doublings: content alone to an image."""

    def __init__(self, features: int, *, scheme: Scheme, num_blocks: int, upward: Upward, rngs: nnx.Rngs):
        """Makes the blocks.

        Args:
          features: channels of the content.
          scheme: norms and initial weights.
          num_blocks: residual blocks.
          upward: what follows them.
          rngs: of the initial weights.
        """
        self.blocks = nnx.List(residual(features, scheme, rngs=rngs) for _ in range(num_blocks))
        self.upward = upward

    def __call__(self, content: jax.Array) -> jax.Array:
        """Maps `[b, h, w, features]` to images in [-1, 1]."""
        for block in self.blocks:
            content = block(content)
        return self.upward(content)


class Styled(nnx.Module):
    """Content and a code of style to an image, by one of three ways for the code to come in.

    A code that is repeated over the map and put beside the content adds, behind a convolution, one number to each
    channel, which a norm over the image takes off again. So:

    - "fuse": the first convolution that sees the code has no norm behind it (the default);
    - "literal": the code goes straight into the residual blocks, the paper's words read as they stand: it survives only
      in what their sums carry past the norms, and with "nearest" upsampling not at all;
    - "adain": the code decides scale and shift of the blocks' norms.
    """

    def __init__(
        self,
        features: int,
        code_dim: int,
        channels: int,
        *,
        scheme: Scheme,
        inject: Inject = "fuse",
        num_blocks: int = 3,
        hidden: int = 256,
        upsample: Upsample = "transposed",
        kernel: int = 3,
        up_norm: Norm | None = None,
        code_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          features: channels of the content.
          code_dim: features of a code.
          channels: of the images.
          scheme: widths, norms and initial weights (of convolutions).
          inject: as above.
          num_blocks: residual blocks.
          hidden: units of the two hidden layers that make scales and shifts of a code, for "adain".
          upsample: as in `Upward`.
          kernel: of the doublings, as in `Upward`.
          up_norm: of the doublings, if not the scheme's.
          code_init: for "fuse", of the part of the first kernel that reads the code, as of a kernel of its own; None:
            as the rest.
          rngs: of the initial weights.
        """
        if inject not in ("fuse", "literal", "adain"):
            raise ValueError(f"inject must be 'fuse', 'literal' or 'adain', got inject = {inject!r}.")
        self.inject, self.code_dim = inject, code_dim
        wide = features + code_dim if inject == "literal" else features
        init = scheme.kernel_init
        self.fuse = self.affine = nnx.data(None)
        if inject == "fuse":
            fusing = init if code_init is None else _last_rows_by(code_init, init, code_dim)
            self.fuse = Convolution(
                features + code_dim, features, 3, reflect=True, padding=1, kernel_init=fusing, rngs=rngs
            )
        if inject == "adain":
            self.affine = _Affine(code_dim, num_sites=2 * num_blocks, features=features, hidden=hidden, rngs=rngs)
        block = AdaptiveResidual if inject == "adain" else residual
        self.blocks: nnx.List[Any] = nnx.List(block(wide, scheme, rngs=rngs) for _ in range(num_blocks))
        self.upward = Upward(wide, channels, scheme=scheme, upsample=upsample, kernel=kernel, norm=up_norm, rngs=rngs)

    def __call__(self, content: jax.Array, code: jax.Array) -> jax.Array:
        """Maps content `[b, h, w, features]` and codes `[b, code_dim]` to images in [-1, 1]."""
        if code.shape != (content.shape[0], self.code_dim):
            raise ValueError(f"code must be [{content.shape[0]}, {self.code_dim}], got code.shape = {code.shape}.")
        if self.affine is not None:
            for block, sites in zip(self.blocks, self.affine(code), strict=True):
                content = block(content, sites)
            return self.upward(content)
        x = tile(content, code)
        if self.fuse is not None:
            x = nnx.relu(self.fuse(x))
        for block in self.blocks:
            x = block(x)
        return self.upward(x)


def _last_rows_by(last: Initializer, rest: Initializer, num: int) -> Initializer:
    """Weights of a kernel whose last `num` channels of input are drawn as a kernel of their own."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **options: Any) -> jax.Array:
        own = last(jax.random.fold_in(key, 1), (*shape[:-2], num, shape[-1]), dtype, **options)
        return rest(key, shape, dtype, **options).at[..., shape[-2] - num :, :].set(own)

    return draw


class AdaptiveResidual(nnx.Module):
    """A residual block whose norms take their scale and shift from outside."""

    def __init__(self, features: int, scheme: Scheme, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          features: channels in and out.
          scheme: initial weights.
          rngs: of the initial weights.
        """
        self.first, self.second = (
            Convolution(features, features, 3, reflect=True, kernel_init=scheme.kernel_init, rngs=rngs) for _ in "ab"
        )
        self.first_norm, self.second_norm = (normalization.instance(features, rngs=rngs) for _ in "ab")

    def __call__(self, x: jax.Array, sites: Sequence[tuple[jax.Array, jax.Array]]) -> jax.Array:
        """Maps `[b, h, w, features]` to the same shape; each norm with its `(scale, shift)`, `[b, features]` each."""
        one, two = sites
        y = nnx.relu(normalization.adaptive(self.first(x), *one, norm=self.first_norm))
        return x + normalization.adaptive(self.second(y), *two, norm=self.second_norm)


class _Affine(nnx.Module):
    """A code to scales and shifts: two hidden layers, which begin as large as MUNIT's.

    Three layers of N(0, 0.02) would let a thousandth of a code through, and a painter begins by passing codes over.
    """

    def __init__(self, code_dim: int, *, num_sites: int, features: int, hidden: int, rngs: nnx.Rngs):
        kernel_init = nnx.initializers.kaiming_normal()
        self.num_sites, self.features = num_sites, features
        sizes = (code_dim, hidden, hidden, 2 * num_sites * features)
        self.layers = nnx.List(
            nnx.Linear(a, b, kernel_init=kernel_init, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def __call__(self, code: jax.Array) -> list[list[tuple[jax.Array, jax.Array]]]:
        *hidden, last = self.layers
        x = code
        for layer in hidden:
            x = nnx.relu(layer(x))
        values = last(x).reshape(code.shape[0], self.num_sites, 2, self.features)
        sites = [(values[:, site, 1], values[:, site, 0]) for site in range(self.num_sites)]
        return [sites[first : first + 2] for first in range(0, self.num_sites, 2)]
