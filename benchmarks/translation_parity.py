r"""Networks of image translation beside their public code, on the same random weights.

    python -m benchmarks.translation_parity --peers=FOLDER

The folder holds checkouts of the public repositories, under their own names; none of them is part of this project:

| folder | networks |
|---|---|
| contrastive-unpaired-translation | CycleGAN's translator and discriminator (its options without antialiasing) |
| BicycleGAN | U-Net, encoder, discriminators |
| MUNIT | encoders, painter, discriminators |
| UNIT | encoder, painter, discriminators (of 2018) |

Random weights are written by PyTorch into files, which ours reads. A Markdown table of the largest difference of the
outputs over their largest value, and the number of parameters on both sides. What is missing is named as absent. Ends
with status 1 where a difference is larger than 1e-4 or numbers of parameters differ.
"""

import functools
import importlib.util
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from flax import nnx

from benchmarks import machine, targets
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan, munit, patches, unit

_PEERS = flags.DEFINE_string("peers", "", "Folder with checkouts of the public repositories.")
_LIMIT = 1e-4
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

Found = tuple[str, Any, Any, int, int]  # what, our output, theirs, our number of parameters, theirs


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    checks: dict[str, tuple[str, Callable[[Any], Iterator[Found]]]] = {
        "contrastive-unpaired-translation": ("models/networks.py", _cyclegan),
        "BicycleGAN": ("models/networks.py", _bicyclegan),
        "MUNIT": ("networks.py", _munit),
        "UNIT": ("networks.py", _unit),
    }
    print("| public code | what | parameters | theirs | largest difference, relative | |\n|---|---|---|---|---|---|")
    missed = 0
    for name, (file, check) in checks.items():
        path = pathlib.Path(_PEERS.value).expanduser() / name / file
        if not machine.installed("torch"):
            print(f"| {name} | absent: torch is not installed | | | | |")
            continue
        if not _PEERS.value or not path.is_file():
            print(f"| {name} | absent: {name}/{file} is not below --peers | | | | |")
            continue
        for what, ours, theirs, count, their_count in check(_module(path)):
            difference = _difference(ours, theirs)
            met = difference <= _LIMIT and count == their_count
            missed += not met
            print(f"| {name} | {what} | {count:,} | {their_count:,} | {difference:.1e} | {targets.verdict(met)} |")
    sys.exit(1 if missed else 0)


def _cyclegan(theirs: Any) -> Iterator[Found]:
    from torch import nn

    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    options = {"norm_layer": norm, "no_antialias": True}
    for blocks in (6, 9):
        peer = theirs.ResnetGenerator(3, 3, 64, n_blocks=blocks, no_antialias_up=True, **options)
        ours = functools.partial(cyclegan.Translator, num_blocks=blocks)
        yield _compared(
            f"CycleGAN, translator of {blocks} blocks, 72x64", peer, ours, cyclegan.table(blocks), _images(72, 64)
        )
    for layers in (2, 3):
        peer = theirs.NLayerDiscriminator(3, 64, n_layers=layers, **options)
        ours = functools.partial(patches.Patches, 3, num_layers=layers)
        yield _compared(f"PatchGAN of {layers} layers, 72x64", peer, ours, patches.table(layers), _images(72, 64))


def _bicyclegan(theirs: Any) -> Iterator[Found]:
    from torch import nn

    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    code = np.random.default_rng(1).standard_normal((2, 8), np.float32)
    for size, halvings in ((128, 7), (256, 8)):
        peer = theirs.G_Unet_add_all(
            1, 3, 8, halvings, norm_layer=norm, nl_layer=functools.partial(nn.ReLU, inplace=True), use_dropout=True
        )
        ours = functools.partial(bicyclegan.Painter, 1, 3, num_halvings=halvings, dropout=0.0)
        images = _images(size, size)[..., :1]
        yield _compared(f"U-Net, {size}", peer, ours, bicyclegan.painter_table(halvings), images, code)
        blocks = halvings - 4
        peer = theirs.E_ResNet(
            3, 8, 64, n_blocks=blocks + 1, norm_layer=norm, nl_layer=functools.partial(nn.LeakyReLU, 0.2), vaeLike=True
        )
        ours = functools.partial(bicyclegan.Encoder, num_blocks=blocks)
        yield _compared(f"encoder, {size}", peer, ours, bicyclegan.encoder_table(blocks), _images(size, size))
    peer = theirs.D_NLayersMulti(3, 64, n_layers=3, norm_layer=norm, num_D=2)

    def judge(*, rngs):
        return bicyclegan.networks(rngs)["judge_drawn"]

    yield _compared("discriminators, 144x128", peer, judge, bicyclegan.judge_table(), _images(144, 128))


def _munit(theirs: Any) -> Iterator[Found]:
    peer = theirs.AdaINGen(3, _MUNIT)
    scheme = munit.scheme()
    content = functools.partial(munit.Content, 3, scheme=scheme, num_blocks=4)
    style = functools.partial(munit.StyleEncoder, 3, 8, scheme=scheme)
    images = _images(72, 64)
    yield _compared("content encoder, 72x64", peer, content, munit.content_table(), images, part="enc_content")
    yield _compared("style encoder, 72x64", peer, style, munit.style_table(), images, part="enc_style", flat=True)

    def painter(*, rngs):
        return munit.networks(rngs)["paint_x"]

    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((2, 18, 16, 256), np.float32), rng.standard_normal((2, 8), np.float32)
    yield _compared("painter, 72x64", peer, painter, munit.painter_table(), *inputs, part=("dec", "mlp"), call="decode")
    yield _judge(theirs, images)


def _unit(theirs: Any) -> Iterator[Found]:
    peer, images = theirs.VAEGen(3, _MUNIT), _images(72, 64)
    content = functools.partial(munit.Content, 3, scheme=munit.scheme(), num_blocks=4)
    yield _compared("encoder, 72x64", peer, content, munit.content_table(name="enc"), images, part="enc")

    def painter(*, rngs):
        return unit.networks(rngs)["paint_x"]

    codes = np.random.default_rng(2).standard_normal((2, 18, 16, 256), np.float32)
    yield _compared("painter, 72x64", peer, painter, munit.painter_table(styled=False), codes, part="dec")
    yield _judge(theirs, images)


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
    """Writes a peer's weights, reads them into ours, and runs both: `part` of the peer, or its method `call`."""
    import torch

    torch.manual_seed(0)
    peer.eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            # Biases too: what begins at zero would hide what is left out.
            scale = 0.1 if parameter.ndim < 2 else np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.copy_(torch.randn_like(parameter) * scale + (name.endswith("gamma") and 1.0))
        parts = (part,) if isinstance(part, str) else part
        state = {n: p for n, p in peer.state_dict().items() if any(n.startswith(one) for one in parts)}
        state = {n: p for n, p in state.items() if "running_" not in n}
        run = getattr(peer, call) if call else getattr(peer, parts[0]) if parts[0] else peer
        theirs = run(*map(_torch, inputs))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, path := pathlib.Path(folder) / "weights.pth")
        module = weights.assign(nnx.eval_shape(lambda: ours(rngs=nnx.Rngs(0))), table, weights.read(path))
    graphdef, rest = nnx.split(module)
    found = jax.jit(lambda rest, *inputs: nnx.merge(graphdef, rest)(*inputs))(rest, *map(jnp.asarray, inputs))
    count = sum(x.size for x in jax.tree.leaves(nnx.state(module, nnx.Param)))
    if flat:
        theirs = theirs.flatten(1)
    return what, found, theirs, count, sum(p.numel() for p in state.values())


def _difference(ours: Any, theirs: Any) -> float:
    ours, theirs = jax.tree.leaves(ours), list(theirs) if isinstance(theirs, tuple | list) else [theirs]
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        other = other.numpy()
        other = other.transpose(0, 2, 3, 1) if other.ndim == 4 else other
        if one.shape != other.shape:
            raise AssertionError(f"shapes {one.shape} and {other.shape}")
        largest = max(largest, float(np.abs(np.asarray(one) - other).max() / np.abs(other).max()))
    return largest


def _images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, height, width, 3)).astype(np.float32)


def _torch(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x))


def _module(path: pathlib.Path) -> types.ModuleType:
    """Imports a file of public code by its path; a neighbour that it asks for is an empty stand-in."""
    package = types.ModuleType("peer")
    package.__path__ = []
    beside = types.ModuleType("peer.stylegan_networks")
    for name in ("StyleGAN2Discriminator", "StyleGAN2Generator", "TileStyleGAN2Discriminator"):
        setattr(beside, name, None)
    sys.modules |= {"peer": package, "peer.stylegan_networks": beside}
    spec = importlib.util.spec_from_file_location("peer.networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    app.run(main)
