"""UNIT's networks in both of their public forms: the later one for edges, and that of 2017, whose domains share layers.

References:
  Liu, Breuel, Kautz, Unsupervised image-to-image translation networks, NeurIPS 2017; sizes as in the authors' public
  code of 2018 (`networks`) and of 2017 (`networks_2017`).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.translation import munit
from gentoolkit.models.translation.blocks import Scheme, residual, stem
from gentoolkit.models.translation.decoders import Plain, Upward
from gentoolkit.models.translation.encoders import Content
from gentoolkit.models.translation.patches import Scales, Steep
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution, TransposedConvolution


def networks(
    rngs: nnx.Rngs,
    *,
    channels: tuple[int, int] = (3, 3),
    width: int = 64,
    num_blocks: int = 4,
    num_scales: int = 3,
) -> dict[str, nnx.Module]:
    """Makes the networks of 2018. The code is the whole map of content, to which training adds N(0, I).

    Args:
      rngs: of the initial weights.
      channels: of the images of x and of y.
      width: channels after the first layers.
      num_blocks: residual blocks of each encoder and of each painter.
      num_scales: of the discriminators.

    Returns:
      `encode_x`, `encode_y`, `paint_x`, `paint_y`, `judge_x`, `judge_y`.
    """
    scheme, made = munit.scheme(width), dict[str, nnx.Module]()
    for domain, count in zip("xy", channels, strict=True):
        encoder = Content(count, scheme=scheme, num_blocks=num_blocks, rngs=rngs)
        upward = Upward(
            encoder.features,
            count,
            scheme=scheme,
            upsample="nearest",
            kernel=5,
            norm=normalization.LayerNorm,
            rngs=rngs,
        )
        made[f"encode_{domain}"] = encoder
        made[f"paint_{domain}"] = Plain(
            encoder.features, scheme=scheme, num_blocks=num_blocks, upward=upward, rngs=rngs
        )
        made[f"judge_{domain}"] = Scales([Steep(count, width=width, rngs=rngs) for _ in range(num_scales)])
    return made


Form2017 = Literal["leaky", "norms"]


class Encoder2017(nnx.Module):
    """An encoder up to where the domains meet: the stem, two halvings and three residual blocks."""

    def __init__(self, channels: int, *, scheme: Scheme, form: Form2017, rngs: nnx.Rngs):
        """Makes the layers; see `networks_2017`."""
        w, init = scheme.width, scheme.kernel_init
        self.form = form
        self.stem = stem(channels, scheme, rngs=rngs)
        self.down = nnx.List(
            Convolution(w << level, w << level + 1, 3, strides=2, padding=1, kernel_init=init, rngs=rngs)
            for level in range(2)
        )
        self.norms = nnx.List(scheme.norm(w << level + 1, rngs=rngs) for level in range(2))
        self.blocks = nnx.List(residual(4 * w, scheme, rngs=rngs) for _ in range(3))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[b, h, w, c]` in [-1, 1] to `[b, h / 4, w / 4, 4 width]`."""
        x = nnx.leaky_relu(self.stem(images), _SLOPE)
        for layer, norm in zip(self.down, self.norms, strict=True):
            x = _activated(layer(x), norm, self.form)
        for block in self.blocks:
            x = block(x)
        return x


class Painter2017(nnx.Module):
    """A painter from where the domains part: three residual blocks, two doublings, and a convolution of one pixel."""

    def __init__(self, channels: int, *, scheme: Scheme, form: Form2017, rngs: nnx.Rngs):
        """Makes the layers; see `networks_2017`."""
        w, init = scheme.width, scheme.kernel_init
        self.form = form
        self.blocks = nnx.List(residual(4 * w, scheme, rngs=rngs) for _ in range(3))
        self.up = nnx.List(
            TransposedConvolution(
                2 * narrow, narrow, (3, 3), strides=(2, 2), padding=1, output_padding=1, kernel_init=init, rngs=rngs
            )
            for narrow in (2 * w, w)
        )
        self.norms = nnx.List(scheme.norm(narrow, rngs=rngs) for narrow in (2 * w, w))
        self.last = Convolution(w, channels, 1, padding=0, kernel_init=init, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, 4 width]` to images `[b, 4 h, 4 w, c]` in [-1, 1]."""
        for block in self.blocks:
            x = block(x)
        for layer, norm in zip(self.up, self.norms, strict=True):
            x = _activated(layer(x), norm, self.form)
        return jnp.tanh(self.last(x))


def networks_2017(
    rngs: nnx.Rngs,
    *,
    channels: tuple[int, int] = (3, 3),
    width: int = 64,
    form: Form2017 = "leaky",
    num_layers: int = 4,
) -> dict[str, nnx.Module]:
    """Makes the networks of 2017: domains share the last block of encoders and the first of painters.

    Between those two, training adds N(0, I).

    Args:
      rngs: of the initial weights.
      channels: of the images of x and of y.
      width: channels after the first layers.
      form: what stands behind halvings and doublings, "leaky" ReLU without a norm or ReLU behind one ("norms").
      num_layers: of stride 2 in the discriminators.

    Returns:
      `encode_x`, `encode_y`, `shared_encode`, `shared_paint`, `paint_x`, `paint_y`, `judge_x`, `judge_y`.

    Raises:
      ValueError: another form.
    """
    if form not in ("leaky", "norms"):
        raise ValueError(f"form must be 'leaky' or 'norms', got form = {form!r}.")
    scheme = Scheme(width=width, reflect=False)
    made: dict[str, nnx.Module] = {
        name: residual(4 * width, scheme, rngs=rngs) for name in ("shared_encode", "shared_paint")
    }
    for domain, count in zip("xy", channels, strict=True):
        made[f"encode_{domain}"] = Encoder2017(count, scheme=scheme, form=form, rngs=rngs)
        made[f"paint_{domain}"] = Painter2017(count, scheme=scheme, form=form, rngs=rngs)
        judge = Steep(count, num_layers=num_layers, width=width, kernel=3, reflect=False, slope=_SLOPE, rngs=rngs)
        made[f"judge_{domain}"] = Scales([judge])
    return made


def tables_2017(domain: Literal["x", "y"] = "x", *, num_layers: int = 4) -> dict[str, weights.Table]:
    """Where the parameters of the networks of 2017 stand in files of the authors' public code.

    Args:
      domain: "x" is their A, "y" their B.
      num_layers: of stride 2 in the discriminators.

    Returns:
      Tables of `encode_DOMAIN`, `shared_encode`, `shared_paint` and `paint_DOMAIN`, which stand in the file of the
      generators, and of `judge_DOMAIN`, in that of the discriminators.
    """
    letter = {"x": "A", "y": "B"}[domain]

    def block(path: str, name: str) -> weights.Table:
        layers = (("first", 0), ("second", 3))
        tables = (weights.with_bias(weights.convolution, path + one, f"{name}.model.{at}") for one, at in layers)
        return {key: entry for table in tables for key, entry in table.items()}

    encoder = dict(weights.with_bias(weights.convolution, "stem", f"encode_{letter}.0.model.0"))
    painter: dict[str, weights.Entry] = {}
    judge: dict[str, weights.Entry] = {}
    for level in range(2):
        encoder |= weights.with_bias(weights.convolution, f"down/{level}", f"encode_{letter}.{1 + level}.model.0")
        painter |= weights.with_bias(
            weights.transposed_convolution, f"up/{level}", f"decode_{letter}.{3 + level}.model.0"
        )
    for place in range(3):
        encoder |= block(f"blocks/{place}/", f"encode_{letter}.{3 + place}")
        painter |= block(f"blocks/{place}/", f"decode_{letter}.{place}")
    # A transposed convolution of one pixel is one.
    painter |= weights.with_bias(weights.transposed_convolution, "last", f"decode_{letter}.5")
    for layer in range(num_layers):
        judge |= weights.with_bias(weights.convolution, f"networks/0/layers/{layer}", f"model_{letter}.{layer}.model.0")
    judge |= weights.with_bias(weights.convolution, "networks/0/last", f"model_{letter}.{num_layers}")
    return {
        f"encode_{domain}": encoder,
        "shared_encode": block("", "enc_shared.0"),
        "shared_paint": block("", "dec_shared.0"),
        f"paint_{domain}": painter,
        f"judge_{domain}": judge,
    }


_SLOPE = 0.01  # of leaky ReLU, PyTorch's own


def _activated(x: jax.Array, norm, form: Form2017) -> jax.Array:
    return nnx.leaky_relu(x, _SLOPE) if form == "leaky" else nnx.relu(norm(x))
