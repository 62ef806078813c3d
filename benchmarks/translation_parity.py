r"""Networks of image translation beside their public code, on the same random weights.

    python -m benchmarks.translation_parity --peers=FOLDER

The folder holds checkouts of the public repositories, under their own names; none of them is part of this project:

| folder | networks |
|---|---|
| contrastive-unpaired-translation | CycleGAN's translator and discriminator (its options without antialiasing) |
| BicycleGAN | U-Net, encoder, discriminators |
| MUNIT | encoders, painter, discriminators |
| UNIT | encoder, painter, discriminators (of 2018) |
| UNIT-2017 | the same of its branch `version_02`, both forms; what the domains share, too |

Random weights are written by PyTorch into files, which ours reads. A Markdown table of the largest difference of the
outputs over their largest value, and the number of parameters on both sides. What is missing is named as absent. Ends
with status 1 where a difference is larger than 1e-4 or numbers of parameters differ.
"""

import functools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import app
from flax import nnx

from benchmarks import public_code
from benchmarks.public_code import Check, Found
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan, munit, patches, unit

_MUNIT = {
    "dim": 64,
    "style_dim": 8,
    "n_downsample": 2,
    "n_res": 4,
    "activ": "relu",
    "pad_type": "reflect",
    "mlp_dim": 256,
}
_JUDGE = {
    "dim": 64,
    "n_layer": 4,
    "gan_type": "lsgan",
    "norm": "none",
    "activ": "lrelu",
    "num_scales": 3,
    "pad_type": "reflect",
}


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    checks = [
        Check("contrastive-unpaired-translation", "models/networks.py", lambda path: _cyclegan(_imported(path))),
        Check("BicycleGAN", "models/networks.py", lambda path: _bicyclegan(_imported(path))),
        Check("MUNIT", "networks.py", lambda path: _munit(_imported(path))),
        Check("UNIT", "networks.py", lambda path: _unit(_imported(path))),
        Check("UNIT-2017", "src/trainers/cocogan_nets.py", _unit_2017),
    ]
    sys.exit(1 if public_code.compare(checks) else 0)


def _cyclegan(theirs: Any) -> Iterator[Found]:
    from torch import nn

    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    options = {"norm_layer": norm, "no_antialias": True}
    for blocks in (6, 9):
        peer = theirs.ResnetGenerator(3, 3, 64, n_blocks=blocks, no_antialias_up=True, **options)
        ours = functools.partial(cyclegan.Translator, num_blocks=blocks)
        yield _compared(
            f"CycleGAN, translator of {blocks} blocks, 72x64",
            peer,
            ours,
            cyclegan.table(blocks),
            public_code.images(72, 64),
        )
    for layers in (2, 3):
        peer = theirs.NLayerDiscriminator(3, 64, n_layers=layers, **options)
        ours = functools.partial(patches.Patches, 3, num_layers=layers)
        yield _compared(
            f"PatchGAN of {layers} layers, 72x64", peer, ours, patches.table(layers), public_code.images(72, 64)
        )


def _bicyclegan(theirs: Any) -> Iterator[Found]:
    from torch import nn

    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    code = np.random.default_rng(1).standard_normal((2, 8), np.float32)
    for size, halvings in ((128, 7), (256, 8)):
        peer = theirs.G_Unet_add_all(
            1, 3, 8, halvings, norm_layer=norm, nl_layer=functools.partial(nn.ReLU, inplace=True), use_dropout=True
        )
        ours = functools.partial(bicyclegan.Painter, 1, 3, num_halvings=halvings, dropout=0.0)
        images = public_code.images(size, size)[..., :1]
        yield _compared(f"U-Net, {size}", peer, ours, bicyclegan.painter_table(halvings), images, code)
        blocks = halvings - 4
        peer = theirs.E_ResNet(
            3, 8, 64, n_blocks=blocks + 1, norm_layer=norm, nl_layer=functools.partial(nn.LeakyReLU, 0.2), vaeLike=True
        )
        ours = functools.partial(bicyclegan.Encoder, num_blocks=blocks)
        yield _compared(
            f"encoder, {size}", peer, ours, bicyclegan.encoder_table(blocks), public_code.images(size, size)
        )
    peer = theirs.D_NLayersMulti(3, 64, n_layers=3, norm_layer=norm, num_D=2)

    def judge(*, rngs):
        return bicyclegan.networks(rngs)["judge_drawn"]

    yield _compared("discriminators, 144x128", peer, judge, bicyclegan.judge_table(), public_code.images(144, 128))


def _munit(theirs: Any) -> Iterator[Found]:
    peer = theirs.AdaINGen(3, _MUNIT)
    scheme = munit.scheme()
    content = functools.partial(munit.Content, 3, scheme=scheme, num_blocks=4)
    style = functools.partial(munit.StyleEncoder, 3, 8, scheme=scheme)
    images = public_code.images(72, 64)
    yield _compared("content encoder, 72x64", peer, content, munit.content_table(), images, part="enc_content")
    yield _compared("style encoder, 72x64", peer, style, munit.style_table(), images, part="enc_style", flat=True)

    def painter(*, rngs):
        return munit.networks(rngs)["paint_x"]

    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((2, 18, 16, 256), np.float32), rng.standard_normal((2, 8), np.float32)
    yield _compared("painter, 72x64", peer, painter, munit.painter_table(), *inputs, part=("dec", "mlp"), call="decode")
    yield _judge(theirs, images)


def _unit(theirs: Any) -> Iterator[Found]:
    peer, images = theirs.VAEGen(3, _MUNIT), public_code.images(72, 64)
    content = functools.partial(munit.Content, 3, scheme=munit.scheme(), num_blocks=4)
    yield _compared("encoder, 72x64", peer, content, munit.content_table(name="enc"), images, part="enc")

    def painter(*, rngs):
        return unit.networks(rngs)["paint_x"]

    codes = np.random.default_rng(2).standard_normal((2, 18, 16, 256), np.float32)
    yield _compared("painter, 72x64", peer, painter, munit.painter_table(styled=False), codes, part="dec")
    yield _judge(theirs, images)


_UNIT_2017 = {
    "input_dim_a": 3,
    "input_dim_b": 3,
    "ch": 64,
    "n_enc_front_blk": 3,
    "n_enc_res_blk": 3,
    "n_enc_shared_blk": 1,
    "n_gen_shared_blk": 1,
    "n_gen_res_blk": 3,
    "n_gen_front_blk": 3,
}


def _unit_2017(path: pathlib.Path) -> Iterator[Found]:
    # Initial weights and Gaussian smoothing, which none of these networks needs, would ask for more.
    beside = {
        "peer.init": public_code.module_of("peer.init", gaussian_weights_init=lambda module: None),
        "cv2": public_code.module_of("cv2"),
    }
    common = public_code.imported(path.with_name("common_net.py"), beside)
    theirs = public_code.imported(path, {"peer.common_net": common})
    images = public_code.images(72, 64)
    code = np.random.default_rng(2).standard_normal((2, 18, 16, 256), np.float32)
    for form, name in (("leaky", "COCOResGen2"), ("norms", "COCOResGen")):
        peer, tables = getattr(theirs, name)(_UNIT_2017), unit.tables_2017()

        def part(which: str, form: str = form) -> Callable[..., nnx.Module]:
            return lambda *, rngs: unit.networks_2017(rngs, form=form)[which]

        for which, of_theirs, given in (
            ("encode_x", "encode_A", images), ("shared_encode", "enc_shared", code),
            ("shared_paint", "dec_shared", code), ("paint_x", "decode_A", code),
        ):  # fmt: skip
            yield _compared(f"{which}, {form}, 72x64", peer, part(which), tables[which], given, part=of_theirs)
    peer = theirs.COCODis({"ch": 64, "input_dim_a": 3, "input_dim_b": 3, "n_layer": 4})

    def judge(*, rngs: nnx.Rngs) -> nnx.Module:
        return unit.networks_2017(rngs)["judge_x"]

    yield _compared("discriminator, 72x64", peer, judge, unit.tables_2017()["judge_x"], images, part="model_A")


def _judge(theirs: Any, images: np.ndarray) -> Found:
    def judge(*, rngs):
        return munit.networks(rngs)["judge_x"]

    return _compared("discriminators, 72x64", theirs.MsImageDis(3, _JUDGE), judge, munit.judge_table(), images)


def _compared(
    what: str,
    peer: Any,
    ours: Callable[..., nnx.Module],
    table: weights.Table,
    *inputs: np.ndarray,
    part: str | tuple[str, ...] = "",
    call: str = "",
    flat: bool = False,
) -> Found:
    """Moves a peer's weights to ours and runs both: `part` of the peer, or its method `call`."""
    import torch

    public_code.restless(peer)
    parts = (part,) if isinstance(part, str) else part
    module, count, their_count = public_code.moved(peer, ours, table, parts=parts, ignore=("*running_*",))
    with torch.no_grad():
        run = getattr(peer, call) if call else getattr(peer, parts[0]) if parts[0] else peer
        theirs = run(*map(public_code.tensor, inputs))
    theirs = theirs.flatten(1) if flat else theirs
    return Found(what, public_code.run(module, *inputs), theirs, count, their_count)


def _imported(path: pathlib.Path) -> Any:
    """A file of networks; neighbours that it asks for and that nothing here uses are empty."""
    names = ("StyleGAN2Discriminator", "StyleGAN2Generator", "TileStyleGAN2Discriminator")
    beside = public_code.module_of("peer.stylegan_networks", **dict.fromkeys(names))
    return public_code.imported(path, {"peer.stylegan_networks": beside})


if __name__ == "__main__":
    app.run(main)
