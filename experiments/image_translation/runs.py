"""Trained systems: the folder of a run, its configuration read and its networks restored."""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation import config as config_lib
from experiments.image_translation.systems import build
from experiments.image_translation.systems.system import Models, System
from gentoolkit import training
from gentoolkit.training import checkpoint

# What only training needs: discriminators, past images, past codes.
_TRAINING_ALONE = ("judge_", "pool_", "bank_")


class Trained(NamedTuple):
    """A trained system.

    Attributes:
      system: how it is used: `trained.system.translate(trained.models, images, code, "y")`; compile it by
        `training.jit`, images are in [-1, 1].
      models: the networks that translate, by name, in evaluation mode.
      config: of the run; options that the run did not know have their defaults.
      step: of the checkpoint.
    """

    system: System
    models: Models
    config: ConfigDict
    step: int


def load(
    run: str | pathlib.Path,
    *,
    step: int | Literal["latest", "best"] = "latest",
    averaged: bool = True,
    everything: bool = False,
    mesh: jax.sharding.Mesh | None = None,
) -> Trained:
    """Restores the system of a run, which may still be going on.

    Args:
      run: the folder that `main` wrote to.
      step: which checkpoint, as in `training.load`.
      averaged: whether to take the moving averages, where the run kept some.
      everything: whether discriminators and what else only training needs are restored as well.
      mesh: where to put the networks; None uses the first device.

    Returns:
      The trained system.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it is not that of a run of image translation, or of one with other options.
      TrainingError: there is no checkpoint, or not of these networks.
    """
    run = pathlib.Path(run)
    config = read_config(run)
    system = build.build(config, optax.identity())
    with checkpoint.reading(run / "checkpoints") as checkpoints:
        number = checkpoints.resolve(step)

    def networks(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        made = system.models(rngs)
        return {name: module for name, module in made.items() if everything or not name.startswith(_TRAINING_ALONE)}

    models = training.load(run, networks, step=number, averaged=averaged, mesh=mesh)
    return Trained(system, models, config, number)


def read_config(run: pathlib.Path) -> ConfigDict:
    """Reads the configuration of a run; options that have come since take their defaults, and a line says so.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it is not that of a run of image translation, or has options that there are not.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"There is no folder {run}.")
    path = run / "config.json"
    if not path.is_file():
        raise ValueError(f"{run} is not the folder of a run: it has no config.json.")
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    ours = isinstance(stored, Mapping) and stored.get("method") in config_lib.METHODS
    if not ours or stored.get("dataset") not in config_lib.PRESETS:
        raise ValueError(f"{run} is not the folder of a run of image translation; give the --workdir of its main.")
    config = config_lib.get_config(stored["dataset"])
    defaults = config.to_dict()
    if unknown := _only_in(stored, defaults):
        raise ValueError(f"{path} has options that this version does not know: {', '.join(unknown)}.")
    if missing := _only_in(defaults, stored):
        print(f"{run} is older than {', '.join(missing)}: the defaults are taken.", file=sys.stderr)
    config.update(stored)
    return config


def _only_in(tree: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "config") -> list[str]:
    """The names of options of one configuration that another lacks."""
    found = []
    for name, value in tree.items():
        if name not in other:
            found.append(f"{prefix}.{name}")
        elif isinstance(value, Mapping) and isinstance(other[name], Mapping):
            found += _only_in(value, other[name], f"{prefix}.{name}")
    return found
