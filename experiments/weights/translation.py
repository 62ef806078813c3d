"""The networks of image translation that a file may hold; how many layers and channels they have the file tells."""

from collections.abc import Callable

from flax import nnx

from experiments.weights.network import Network
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan, patches
from gentoolkit.models.translation.blocks import Scheme

_DEEPEST = 64  # layers; more than that is no network of this kind


def networks(file: weights.Weights) -> list[Network]:
    """The networks that the names of a file speak for, with the sizes of its tensors; none for other files.

    Args:
      file: weights of a file.

    Returns:
      Translators of CycleGAN, painters, encoders and discriminators of BicycleGAN and pix2pix.
    """
    found = []
    for mark, describe in _MARKS.items():
        if mark in file:
            try:
                found.append(describe(file))
            except (IndexError, KeyError, ValueError):  # tensors without the axes of a convolution: another network
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
