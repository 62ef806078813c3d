"""Systems whose weights the authors of CycleGAN and BicycleGAN published, read from their files."""

import os
from collections.abc import Mapping, Sequence

from flax import nnx

from experiments.image_translation import config as config_lib
from experiments.image_translation.runs import Trained
from experiments.image_translation.systems import bicyclegan as bicyclegan_system
from experiments.image_translation.systems import cyclegan as cyclegan_system
from experiments.image_translation.systems.system import System
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan
from gentoolkit.models.translation.blocks import Scheme

METHODS = ("cyclegan", "bicyclegan")
_DEEPEST = 64  # layers; more than that is no network of this kind
_SIZE = 256  # of the pictures that the published networks were trained on


def load(method: str, paths: Sequence[str | os.PathLike[str]]) -> Trained:
    """Reads a system that paints y from x; how many layers and channels it has the files tell.

    Args:
      method: "cyclegan" or "bicyclegan".
      paths: of the generator (`latest_net_G_A.pth`, `latest_net_G.pth`), and, for styles of references with bicyclegan,
        of the encoder (`latest_net_E.pth`).

    Returns:
      The system, at step 0.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file holds other weights, or there are too many files.
    """
    most = {"cyclegan": 1, "bicyclegan": 2}[method]
    if len(paths) > most:
        raise ValueError(f"--weights takes {most} file{'s' * (most > 1)} for {method}, got {len(paths)}.")
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no file {path}.")
    read = [weights.read(path) for path in paths]
    try:
        models, system, channels = {"cyclegan": _cyclegan, "bicyclegan": _bicyclegan}[method](*read)
    except (IndexError, KeyError, StopIteration) as error:
        raise ValueError(
            f"{', '.join(map(str, paths))} cannot be read: not the weights of a generator of {method}."
        ) from error
    config = config_lib.get_config("folders")
    config.update(method=method, image_size=_SIZE, channels=channels, num_steps=0)
    return Trained(system, models, config, 0)


def _cyclegan(file: Mapping) -> tuple[dict[str, nnx.Module], System, tuple[int, int]]:
    blocks = _count(file, lambda block: f"model.{10 + block}.conv_block.1.weight")
    width, x = file["model.1.weight"].shape[:2]
    y = file[f"model.{17 + blocks}.weight"].shape[0]

    def make() -> cyclegan.Translator:
        return cyclegan.Translator(x, y, num_blocks=blocks, scheme=Scheme(width=width), rngs=nnx.Rngs(0))

    network = weights.assign(nnx.eval_shape(make), cyclegan.table(blocks), file, ignore=cyclegan.STALE)
    made = _still(to_y=network)
    return made, System(lambda rngs: made, {}, cyclegan_system.translate, directions=("y",)), (x, y)


def _bicyclegan(file: Mapping, encoder: Mapping | None = None) -> tuple[dict[str, nnx.Module], System, tuple[int, int]]:
    halvings = _count(file, lambda level: f"model{'.submodule' * level}.up.1.weight")
    width, inputs = file["model.down.0.weight"].shape[:2]
    code = file["model.submodule.down.1.weight"].shape[1] - width
    x, y = inputs - code, file["model.up.1.weight"].shape[1]

    def paint() -> bicyclegan.Painter:
        return bicyclegan.Painter(
            x, y, code_dim=code, num_halvings=halvings, width=width, dropout=0.0, rngs=nnx.Rngs(0)
        )

    ignore = cyclegan.STALE
    made: dict[str, nnx.Module] = {
        "paint_y": weights.assign(nnx.eval_shape(paint), bicyclegan.painter_table(halvings), file, ignore=ignore)
    }
    if encoder is not None:
        blocks = _count(encoder, lambda block: f"conv.{1 + block}.shortcut.1.weight")
        own = encoder["conv.0.weight"].shape[0]

        def encode() -> bicyclegan.Encoder:
            return bicyclegan.Encoder(y, code_dim=code, num_blocks=blocks, width=own, rngs=nnx.Rngs(0))

        table = bicyclegan.encoder_table(blocks)
        made["encode_y"] = weights.assign(nnx.eval_shape(encode), table, encoder, ignore=ignore)
    system = System(
        lambda rngs: made,
        {},
        bicyclegan_system.translate,
        style=bicyclegan_system.style if encoder is not None else None,
        code_dim=code,
        directions=("y",),
        multiple=1 << halvings,
    )
    return _still(**made), system, (x, y)


def _count(file: Mapping, name) -> int:
    """How many layers of a kind there are."""
    return next(number for number in range(_DEEPEST) if name(number) not in file)


def _still(**models: nnx.Module) -> dict[str, nnx.Module]:
    for model in models.values():
        model.eval()
    return models
