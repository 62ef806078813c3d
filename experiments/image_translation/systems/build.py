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
    if config.batch_size < 1:
        raise ValueError(f"config.batch_size must be at least 1, got {config.batch_size}.")
    bank = max(config.dsvib.bank, config.batch_size)
    if config.method == "dsvib" and config.dsvib.code_prior == "discrepancy" and bank < 2:
        raise ValueError(
            "The discrepancy of codes from N(0, I) takes two codes at least: "
            f"got config.dsvib.bank = {config.dsvib.bank} and config.batch_size = {config.batch_size}."
        )
    system = _SYSTEMS[config.method](config, optimizer)
    if config.image_size % system.multiple:
        raise ValueError(
            f"config.image_size must divide by {system.multiple} for {config.method}, got {config.image_size}."
        )
    return system
