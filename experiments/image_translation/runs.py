"""Trained systems: the folder of a run, its configuration read and its networks restored."""

import pathlib
from typing import Literal, NamedTuple

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation import config as config_lib
from experiments.image_translation.systems import build
from experiments.image_translation.systems.system import Models, System
from gentoolkit import study, training
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
    stored = study.stored_config(run)
    if stored.get("method") not in config_lib.METHODS or stored.get("dataset") not in config_lib.PRESETS:
        raise ValueError(f"{run} is not the folder of a run of image translation; give the --workdir of its main.")
    return study.take_over(config_lib.get_config(stored["dataset"]), stored, run)
