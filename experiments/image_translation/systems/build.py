"""The system of a configuration."""

import optax
from ml_collections import ConfigDict

from experiments.image_translation.config import METHODS
from experiments.image_translation.systems import bicyclegan, cyclegan, dsvib, munit, unit
from experiments.image_translation.systems.system import System
from gentoolkit import study

_SYSTEMS = {
    "dsvib": dsvib.system,
    "cyclegan": cyclegan.system,
    "unit": unit.system,
    "bicyclegan": bicyclegan.system,
    "munit": munit.system,
}


def build(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system that `config.method` names.

    Raises:
      ValueError: there is no such method, or `config.image_size` does not divide as its networks need.
    """
    study.choose("config.method", config.method, METHODS)
    system = _SYSTEMS[config.method](config, optimizer)
    if config.image_size % system.multiple:
        raise ValueError(
            f"config.image_size must divide by {system.multiple} for {config.method}, got {config.image_size}."
        )
    return system
