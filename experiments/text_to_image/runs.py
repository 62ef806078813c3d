"""Trained runs: their configuration, and the systems in their folders."""

import pathlib
from collections.abc import Collection

from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from gentoolkit import study


def read_config(run: str | pathlib.Path, *, systems: Collection[str] = config_lib.SYSTEMS) -> ConfigDict:
    """Reads the configuration of a run; options that have come since take their defaults, and a line says so.

    Args:
      run: its folder.
      systems: which of them it may be of.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it is not that of such a run, or has options that there are not.
    """
    run = pathlib.Path(run)
    stored = study.stored_config(run)
    if stored.get("system") not in config_lib.SYSTEMS or "preset" not in stored:
        raise ValueError(f"{run} is not the folder of a run of text to picture; give the --workdir of its main.")
    if stored["system"] not in systems:
        raise ValueError(f"{run} is a run of {stored['system']}; one of {', '.join(systems)} is needed.")
    return study.take_over(config_lib.get_config(stored["preset"]), stored, run)
