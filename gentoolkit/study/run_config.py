"""The configuration of a run that a script goes on to use: read from its folder, filled up with what is new since."""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar


class Config(Protocol):
    """What `ml_collections.ConfigDict` does."""

    def to_dict(self) -> dict[str, Any]:
        """The options, nested."""
        ...

    def update(self, other: Any, /) -> None:
        """Takes over options."""
        ...


_Config = TypeVar("_Config", bound=Config)


def stored_config(run: pathlib.Path) -> Mapping[str, Any]:
    """Reads `config.json` of the folder of a run.

    Args:
      run: the folder.

    Returns:
      The options; none where the file holds something else than options by name.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no such file, or one that cannot be read.
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
    return stored if isinstance(stored, Mapping) else {}


def take_over(config: _Config, stored: Mapping[str, Any], run: pathlib.Path) -> _Config:
    """Sets the options of a run; those that have come since keep their defaults, and a line says so.

    Args:
      config: the defaults of its preset, which are changed.
      stored: from `stored_config`.
      run: its folder, for messages.

    Returns:
      `config`.

    Raises:
      ValueError: the run has options that there are not.
    """
    defaults = config.to_dict()
    if unknown := _only_in(stored, defaults):
        raise ValueError(f"{run / 'config.json'} has options that this version does not know: {', '.join(unknown)}.")
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
