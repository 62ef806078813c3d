"""The networks of image translation that a file may hold; how many layers and channels they have the file tells."""

from collections.abc import Callable

from flax import nnx

from experiments.weights.network import Network
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan, munit, patches, unit
from gentoolkit.models.translation.blocks import Scheme
from gentoolkit.models.translation.decoders import Styled
from gentoolkit.nn import normalization

_DEEPEST = 64  # layers; more than that is no network of this kind
# What tensors lead to that have such names and not the axes of a convolution: they are of another network.
_OTHERS = (IndexError, KeyError, ValueError, StopIteration, ZeroDivisionError)


def networks(file: weights.Weights) -> list[Network]:
    """The networks that the names of a file speak for, with the sizes of its tensors; none for other files.

    Args:
      file: weights of a file.

    Returns:
      Translators of CycleGAN, painters, encoders and discriminators of BicycleGAN and pix2pix; what MUNIT's and UNIT's
      files hold of both domains (or of one, with `--within=a`).
    """
    found = []
    for mark, (what, parts) in _BOTH.items():
        prefixes = [prefix for prefix in ("", "a.", "b.") if f"{prefix}{mark}" in file]
        if prefixes:
            try:
                found.append(_of_domains(what, {prefix: parts(file, prefix) for prefix in prefixes}))
            except _OTHERS:
                continue
    for mark, describe in _MARKS.items():
        if mark in file:
            try:
                found.append(describe(file))
            except _OTHERS:
                continue
    return found


def _translator(file: weights.Weights) -> Network:
    blocks = next(i for i in range(_DEEPEST + 1) if f"model.{10 + i}.conv_block.1.weight" not in file)
    last = f"model.{17 + blocks}.weight"
    width, inputs = file["model.1.weight"].shape[:2]
    outputs = file[last].shape[0] if last in file else inputs
    return Network(
        f"translation.cyclegan.Translator({inputs}, {outputs}, num_blocks={blocks}, width {width})",
        lambda: cyclegan.Translator(inputs, outputs, num_blocks=blocks, scheme=Scheme(width=width), rngs=nnx.Rngs(0)),
        lambda file: cyclegan.table(blocks),
        cyclegan.STALE,
    )


def _painter(file: weights.Weights) -> Network:
    halvings = next(i for i in range(_DEEPEST + 1) if f"model{'.submodule' * i}.up.1.weight" not in file)
    width, inputs = file["model.down.0.weight"].shape[:2]
    code = file["model.submodule.down.1.weight"].shape[1] - width
    outputs = file["model.up.1.weight"].shape[1]
    return Network(
        f"translation.bicyclegan.Painter({inputs - code}, {outputs}, code_dim={code}, num_halvings={halvings}, "
        f"width={width}, dropout=0.0)",
        lambda: bicyclegan.Painter(
            inputs - code, outputs, code_dim=code, num_halvings=halvings, width=width, dropout=0.0, rngs=nnx.Rngs(0)
        ),
        lambda file: bicyclegan.painter_table(halvings),
        cyclegan.STALE,
    )


def _encoder(file: weights.Weights) -> Network:
    blocks = next(i for i in range(_DEEPEST + 1) if f"conv.{1 + i}.shortcut.1.weight" not in file)
    (width, channels), code = file["conv.0.weight"].shape[:2], file["fcVar.0.weight"].shape[0]
    return Network(
        f"translation.bicyclegan.Encoder({channels}, code_dim={code}, num_blocks={blocks}, width={width})",
        lambda: bicyclegan.Encoder(channels, code_dim=code, num_blocks=blocks, width=width, rngs=nnx.Rngs(0)),
        lambda file: bicyclegan.encoder_table(blocks),
        cyclegan.STALE,
    )


def _patches(file: weights.Weights) -> Network:
    layers = _layers(file, "model")
    width, channels = file["model.0.weight"].shape[:2]
    return Network(
        f"translation.patches.Patches({channels}, num_layers={layers}, width={width}) of CycleGAN or pix2pix",
        lambda: patches.Patches(channels, num_layers=layers, width=width, rngs=nnx.Rngs(0)),
        lambda file: patches.table(layers),
        cyclegan.STALE,
    )


def _judge(file: weights.Weights) -> Network:
    layers = _layers(file, "model_0")
    sizes = [file[f"model_{scale}.0.weight"].shape[:2] for scale in range(2)]

    def make() -> nnx.Module:
        rngs = nnx.Rngs(0)
        return patches.Scales([patches.Patches(c, num_layers=layers, width=w, rngs=rngs) for w, c in sizes])

    return Network(
        f"the discriminator of two scales of translation.bicyclegan, {layers} layers, widths {sizes[0][0]} "
        f"and {sizes[1][0]}",
        make,
        lambda file: bicyclegan.judge_table(layers),
        cyclegan.STALE,
    )


class _Parts(nnx.Module):
    """Networks that lie in one file, by name."""

    def __init__(self, parts: dict[str, nnx.Module]):
        for name, part in parts.items():
            setattr(self, name, part)


Parts = dict[str, tuple[Callable[[nnx.Rngs], nnx.Module], weights.Table]]


def _munit(file: weights.Weights, prefix: str) -> Parts:
    """Of `gen_*.pt` of MUNIT, the encoders of content and style and the painter of a domain."""
    width, channels = file[f"{prefix}enc_content.model.0.conv.weight"].shape[:2]
    blocks = _count(file, f"{prefix}enc_content.model.3.model.{{}}.model.0.conv.weight")
    painted = _count(file, f"{prefix}dec.model.0.model.{{}}.model.0.conv.weight")
    halvings = _count(file, f"{prefix}enc_style.model.{{}}.conv.weight") - 1
    code = file[f"{prefix}enc_style.model.{halvings + 2}.weight"].shape[0]
    hidden = file[f"{prefix}mlp.model.0.fc.weight"].shape[0]
    outputs = file[f"{prefix}dec.model.5.conv.weight"].shape[0]
    scheme = munit.scheme(width)

    def painter(rngs: nnx.Rngs) -> Styled:
        return Styled(
            4 * width, code, outputs, scheme=scheme, inject="adain", num_blocks=painted, hidden=hidden,
            upsample="nearest", kernel=5, up_norm=normalization.LayerNorm, rngs=rngs,
        )  # fmt: skip

    content, style = weights.under("content", munit.content_table(blocks)), munit.style_table(halvings)
    return {
        "encode": (
            lambda rngs: munit.Encoder(channels, code, scheme=scheme, num_blocks=blocks, rngs=rngs),
            content | weights.under("style", style),
        ),
        "paint": (painter, munit.painter_table(painted)),
    }


def _unit(file: weights.Weights, prefix: str) -> Parts:
    """Of `gen_*.pt` of UNIT (2018), the encoder and the painter of a domain."""
    width, channels = file[f"{prefix}enc.model.0.conv.weight"].shape[:2]
    blocks = _count(file, f"{prefix}enc.model.3.model.{{}}.model.0.conv.weight")

    def made(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        return unit.networks(rngs, channels=(channels, channels), width=width, num_blocks=blocks, num_scales=1)

    return {
        "encode": (lambda rngs: made(rngs)["encode_x"], munit.content_table(blocks, "enc")),
        "paint": (lambda rngs: made(rngs)["paint_x"], munit.painter_table(blocks, styled=False)),
    }


def _judge_of_scales(file: weights.Weights, prefix: str) -> Parts:
    """Of `dis_*.pt` of MUNIT and UNIT, the discriminator of several scales of a domain."""
    width, channels = file[f"{prefix}cnns.0.0.conv.weight"].shape[:2]
    scales = _count(file, f"{prefix}cnns.{{}}.0.conv.weight")
    layers = _count(file, f"{prefix}cnns.0.{{}}.conv.weight")

    def make(rngs: nnx.Rngs) -> patches.Scales:
        return patches.Scales(
            [patches.Steep(channels, num_layers=layers, width=width, rngs=rngs) for _ in range(scales)]
        )

    return {"judge": (make, munit.judge_table(layers, scales))}


def _of_domains(what: str, parts: dict[str, Parts]) -> Network:
    """One network of the parts of each domain, whose names in the file begin with `a.` and `b.`, or with nothing."""
    every = {
        name + ("_" + prefix.rstrip(".") if prefix else ""): (make, _begun(table, prefix))
        for prefix, of_domain in parts.items()
        for name, (make, table) in of_domain.items()
    }
    table = {path: entry for name, (_, one) in every.items() for path, entry in weights.under(name, one).items()}
    return Network(
        f"{what}, of {'one domain' if len(parts) == 1 else 'both domains'}",
        lambda: _Parts({name: make(nnx.Rngs(0)) for name, (make, _) in every.items()}),
        lambda file: table,
        cyclegan.STALE,
    )


def _begun(table: weights.Table, prefix: str) -> weights.Table:
    """The table with names in the file that begin with `prefix`."""
    return {path: entry._replace(names=tuple(prefix + name for name in entry.names)) for path, entry in table.items()}


def _count(file: weights.Weights, name: str) -> int:
    """How many tensors a file has whose names differ in a number, from 0."""
    return next(i for i in range(_DEEPEST + 1) if name.format(i) not in file)


def _layers(file: weights.Weights, name: str) -> int:
    """Layers of stride 2 of a discriminator: its convolutions but for the first that keeps the size, and the last."""
    return max(1, next(i for i in range(1, _DEEPEST) if f"{name}.{3 * i - 1}.weight" not in file) - 2)


# A tensor that each has and the others lack.
_MARKS: dict[str, Callable[[weights.Weights], Network]] = {
    "model.10.conv_block.1.weight": _translator,
    "model.down.0.weight": _painter,
    "fcVar.0.weight": _encoder,
    "model.0.weight": _patches,
    "model_0.0.weight": _judge,
}
# Those of which a file holds two domains: what they are called, and the parts of a domain.
_BOTH: dict[str, tuple[str, Callable[[weights.Weights, str], Parts]]] = {
    "enc_content.model.0.conv.weight": ("translation.munit.networks, encoders and painters", _munit),
    "enc.model.0.conv.weight": ("translation.unit.networks, encoders and painters", _unit),
    "cnns.0.0.conv.weight": ("the discriminators of translation.munit and translation.unit", _judge_of_scales),
}
