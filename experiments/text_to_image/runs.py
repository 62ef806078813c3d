"""Trained runs: their configuration, and the systems in their folders."""

import json
import pathlib
import sys
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib


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
    if not run.is_dir():
        raise FileNotFoundError(f"There is no folder {run}.")
    path = run / "config.json"
    if not path.is_file():
        raise ValueError(f"{run} is not the folder of a run: it has no config.json.")
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if not isinstance(stored, Mapping) or stored.get("system") not in config_lib.SYSTEMS:
        raise ValueError(f"{run} is not the folder of a run of text to picture; give the --workdir of its main.")
    if stored["system"] not in systems:
        raise ValueError(f"{run} is a run of {stored['system']}; one of {', '.join(systems)} is needed.")
    config = config_lib.get_config(stored["preset"])
    defaults = config.to_dict()
    if unknown := _only_in(stored, defaults):
        raise ValueError(f"{path} has options that this version does not know: {', '.join(unknown)}.")
    if missing := _only_in(defaults, stored):
        print(f"{run} is older than {', '.join(missing)}: the defaults are taken.", file=sys.stderr)
    config.update(stored)
    return config


def _only_in(tree: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "config") -> list[str]:
    found = []
    for name, value in tree.items():
        if name not in other:
            found.append(f"{prefix}.{name}")
        elif isinstance(value, Mapping) and isinstance(other[name], Mapping):
            found += _only_in(value, other[name], f"{prefix}.{name}")
    return found
