"""The eight networks of the domain-specific variational information bound, in every reading of the paper.

An encoder of a domain makes a map of content, which both domains share, and the law of a code of style, which only its
own domain has. A painter makes an image of its domain from content and code.

What the paper leaves open, and how it is read here by default:

- How the code comes in: `inject = "fuse"`, before the first norm, since a norm over the image takes a code that is
  repeated over it off again; or "literal" or "adain".
- What the encoder of style shares with that of content: `share = "weights"`, the kernels of the first layers but no
  norm, which would hide colour; or "activations" or "none".
- Which norm: `norm = "instance"`, CycleGAN's with one image a step; or "batch", which the paper does not exclude and
  under which a code that is repeated over the image survives.
- Which are "the first two convolution layers" that style and content share: `num_shared = 3`, those of stride 2 with
  that of 7 x 7 before them, so that seven halvings leave one pixel of 128; or 2, that one and the first of stride 2.
- What norm stands in the doublings: `up_norm = "instance"`, CycleGAN's, which leaves of a region of one colour little
  more than whether it is above or below the mean; or "layer", MUNIT's, which keeps the channels' ratios.
- The initial weights of the encoders: `init = "he"`, whose layers keep the size of what goes through them, or
  "normal", CycleGAN's N(0, 0.02) (which painters and discriminators always have): a style encoder has no norm, and
  where layers are narrow it begins as all but a constant. At width 16 its codes differ by 1e-5, and all that the bound
  asks of them is to stay that way.
- The initial weights of what reads the code in a painter ("fuse"): `code_init = "normal"`, as the rest of it, by which
  8 numbers say less than 64 channels of content at first; or "he", by which they say as much. On photographs codes are
  ignored for long by the first and soon in use by the second; of plain shapes the second forgets the outlines.
- The size of images: 128, where seven halvings leave one pixel, and which six residual blocks and a map of 30 x 30
  logits fit; or 256.
- The length of a code: 8, as in BicycleGAN, MUNIT and DRIT.

References:
  Kazemi, Soleymani, Taherkhani, Iranmanesh, Nasrabadi, Unsupervised image-to-image translation using domain-specific
  variational information bound, NeurIPS 2018, section 5.
"""

import dataclasses
import math
from typing import Literal

from flax import nnx

from gentoolkit.models.translation.blocks import Norm, Scheme
from gentoolkit.models.translation.decoders import Inject, Styled, Upsample
from gentoolkit.models.translation.encoders import ContentAndStyle, Share
from gentoolkit.models.translation.patches import Patches
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import NORMAL

TrunkNorm = Literal["instance", "batch"]
UpNorm = Literal["instance", "layer"]
Init = Literal["he", "normal"]
_INITS = {"he": nnx.initializers.kaiming_normal(), "normal": NORMAL}
_NORMS: dict[str, Norm] = {"instance": normalization.instance, "batch": normalization.batch}
_UP_NORMS: dict[str, Norm] = {"instance": normalization.instance, "layer": normalization.LayerNorm}


def num_judge_layers(image_size: int) -> int:
    """Layers of stride 2 of the discriminators, so that their logits are 30 x 30 at 128 and at 256 pixels."""
    return 3 if image_size >= 256 else 2


def networks(
    rngs: nnx.Rngs,
    *,
    image_size: int = 128,
    channels: tuple[int, int] = (3, 3),
    code_dim: int = 8,
    width: int = 64,
    num_blocks: int = 3,
    num_layers: int | None = None,
    inject: Inject = "fuse",
    share: Share = "weights",
    num_shared: int = 3,
    norm: TrunkNorm = "instance",
    upsample: Upsample = "transposed",
    up_norm: UpNorm = "instance",
    init: Init = "he",
    code_init: Init = "normal",
) -> dict[str, nnx.Module]:
    """Makes the networks: an encoder (of content and style), a painter and a discriminator for each domain.

    Args:
      rngs: of the initial weights.
      image_size: decides how often the style encoder halves (at most five times), and `num_layers`.
      channels: of the images of x and of y.
      code_dim: features of a code of style.
      width: channels after the first layers.
      num_blocks: residual blocks of each encoder and of each painter.
      num_layers: of the discriminators; 3 from 256 pixels on, else 2.
      inject: how a code comes into a painter, as in `decoders.Styled`.
      share: what the encoders of a domain share, as in `encoders.ContentAndStyle`.
      num_shared: how many first layers that is, as there.
      norm: of all layers that have one, but for the doublings.
      upsample: as in `decoders.Upward`.
      up_norm: the norm of each image in the doublings, over each channel or over all of them; where `norm` is "batch",
        "instance" means that too.
      init: the initial weights of the encoders.
      code_init: of the part of a painter's first kernel that reads the code, where it comes in by "fuse".

    Returns:
      `encode_x`, `encode_y`, `paint_x`, `paint_y`, `judge_x`, `judge_y`.

    Raises:
      ValueError: images too small to be halved twice and once more, or another norm, init or number of layers.
    """
    for name, value, known in (
        ("norm", norm, _NORMS),
        ("up_norm", up_norm, _UP_NORMS),
        ("init", init, _INITS),
        ("code_init", code_init, _INITS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {name} = {value!r}.")
    if num_shared not in (2, 3):
        raise ValueError(f"num_shared must be 2 or 3, got num_shared = {num_shared}.")
    halvings = min(5, int(math.log2(image_size >> num_shared - 1))) if image_size >= 8 else 0
    if halvings < 1:
        raise ValueError(f"image_size must be at least 8, got image_size = {image_size}.")
    num_layers = num_judge_layers(image_size) if num_layers is None else num_layers
    scheme = Scheme(width=width, norm=_NORMS[norm])
    doubling = scheme.norm if up_norm == "instance" else _UP_NORMS[up_norm]
    reading = dataclasses.replace(scheme, kernel_init=_INITS[init])
    made: dict[str, nnx.Module] = {}
    for domain, count in zip("xy", channels, strict=True):
        encoder = ContentAndStyle(
            count, code_dim, scheme=reading, share=share, num_blocks=num_blocks, num_style_halvings=halvings,
            num_shared=num_shared, rngs=rngs,
        )  # fmt: skip
        features = encoder.content_encoder.features
        made[f"encode_{domain}"] = encoder
        made[f"paint_{domain}"] = Styled(
            features, code_dim, count, scheme=scheme, inject=inject, num_blocks=num_blocks, upsample=upsample,
            up_norm=doubling, code_init=None if code_init == "normal" else _INITS[code_init], rngs=rngs,
        )  # fmt: skip
        made[f"judge_{domain}"] = Patches(count, num_layers=num_layers, width=width, norm=_NORMS[norm], rngs=rngs)
    return made
