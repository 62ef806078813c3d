"""Networks that training begins with: of another run, or of a painter, detector or encoders in one small file."""

import pathlib
from collections.abc import Mapping

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import files, runs
from experiments.text_to_image.systems.system import System
from gentoolkit import training


def initial(config: ConfigDict, system: System) -> training.Initial | None:
    """What `config.initial` names, else what the system begins with of its own.

    A network that the source lacks begins anew: the discriminator of what `export` wrote, which keeps only what paints,
    and a text encoder that the other run left as it was.

    Args:
      config: of the run that begins.
      system: built of it.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: it is of another system or of other sizes, or has read its texts by another encoder than the frozen
        one.
    """
    if not config.initial:
        return system.initial
    names = list(nnx.eval_shape(lambda: system.models(nnx.Rngs(0))))
    path = files.shipped(config_lib.SYSTEMS).get(config.initial, pathlib.Path(config.initial))
    if path.suffix == ".npz":
        stored, arrays, _ = files.read(path)
        if stored.system != config.system:
            raise ValueError(f"config.initial: {path} holds a {stored.system}, not a {config.system}.")
        _check_sizes(config, stored)
        _check_text(config, system, arrays)
        ours = {name: array for name, array in arrays.items() if name.partition("/")[0] in names}
        held = {name.partition("/")[0] for name in ours}
        return training.Initial(ours, into=[name for name in names if name in held])
    stored = runs.read_config(path, systems=(config.system,))
    _check_sizes(config, stored)
    left_as_it_was = {"text"} if config.system == "vae" and not stored.vae.trains_text else set()
    return training.Initial(path, into=[name for name in names if name not in left_as_it_was])


def _check_sizes(config: ConfigDict, stored: ConfigDict) -> None:
    """Refuses networks of other sizes; the options that say them are the whole numbers, unlike weights and rates."""
    sizes = {"image_size": (config.image_size, stored.image_size)}
    sizes |= {
        f"{config.system}.{name}": (ours, stored[stored.system][name]) for name, ours in config[config.system].items()
    }
    for name, (ours, theirs) in sizes.items():
        if type(ours) is int and ours != theirs:
            raise ValueError(
                f"config.initial = {config.initial} is of config.{name} = {theirs}, not {ours}; give the same, or "
                "begin without config.initial."
            )


def _check_text(config: ConfigDict, system: System, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses networks that understand the sentences of another encoder."""
    if "text" not in system.frozen:
        return
    state = nnx.to_flat_state(nnx.as_pure(nnx.state(system.frozen["text"], nnx.Param)))
    for place, leaf in state:
        held = arrays.get("/".join(map(str, ("text", *place))))
        if held is not None and (held.shape != leaf.shape or not np.allclose(held, leaf, atol=1e-2, rtol=1e-2)):
            raise ValueError(
                f"config.initial = {config.initial} has read its texts by another encoder than config.encoder = "
                f"{config.encoder}; give that one, or begin without config.initial."
            )
