"""Which painters of a comparison are runs of one system, a row of its table, and how that row is called."""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import runs
from experiments.text_to_image.painters import Painter
from gentoolkit.report import run_files
from gentoolkit.training import frozen

_PLACES = ("data_dir", "prepared")  # where things lie on a machine, which no picture depends on
_OTHERS = ("encoder", "initial")  # of a configuration: other runs
_MOST = 3  # settings that a row is called by


def weights(modules: Mapping[str, Any]) -> str:
    """A short number that changes with any weight of these modules."""
    return _short(json.dumps(frozen.fingerprints(modules), sort_keys=True).encode())


def arrays(*parts: Any) -> str:
    """A short number that changes with any of these arrays, texts, and lists and mappings of them."""
    return _short(*(_bytes(part) for part in parts))


def labels(painters: Sequence[Painter]) -> dict[str, str]:
    """The row of each painter, by its name: one for those that differ in their seed alone.

    Runs of one system that differ in anything else (a setting, the steps that they were trained for, their encoder)
    have rows of their own, called by what differs, or by their names where that is much or nothing.

    Raises:
      ValueError: two painters have one name, or the same weights.
    """
    own = {}
    for painter in painters:
        number = weights({**painter.models, "text": painter.text})
        for name, other in own.items():
            if name == painter.name or other == number:
                raise ValueError(f"{name} and {painter.name} are the same painter; name each once.")
        own[painter.name] = number
    groups: list[tuple[dict[str, Any], list[Painter]]] = []
    for painter in painters:
        recipe = _recipe(painter)
        for other, members in groups:
            if other == recipe and all(painter.config.seed != one.config.seed for one in members):
                members.append(painter)
                break
        else:
            groups.append((recipe, [painter]))
    found = {}
    for recipe, members in groups:
        beside = [other for other, _ in groups if other["system"] == recipe["system"]]
        called = _called(recipe, beside)
        if [_called(other, beside) for other in beside].count(called) > 1:
            called = f"{recipe['system']} ({', '.join(one.name for one in members)})"
        found |= {painter.name: called for painter in members}
    return found


def ends(folders: Sequence[str]) -> dict[str, str]:
    """Folders by the ends of their paths, as much of them as tells the folders apart."""
    parts = {folder: pathlib.PurePath(folder).parts for folder in folders}
    for length in range(1, max(map(len, parts.values())) + 1):
        short = {folder: str(pathlib.PurePath(*part[-length:])) for folder, part in parts.items()}
        if len(set(short.values())) == len(short):
            return short
    return {folder: folder for folder in parts}


def _called(recipe: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> str:
    """The system, and in which settings it is another than those beside it; without them where they are too many."""
    names = sorted({name for one in beside for name in one})
    differing = [name for name in names if len({json.dumps(one.get(name)) for one in beside}) > 1]
    if not 1 <= len(differing) <= _MOST:
        return recipe["system"]
    return f"{recipe['system']} ({', '.join(f'{name}={recipe.get(name)}' for name in differing)})"


def _recipe(painter: Painter) -> dict[str, Any]:
    """All that made a painter but its seed: its settings, flat, those of its encoder, and the steps it was trained."""
    told = _settings(painter.config)
    if not painter.config.encoder:  # a file, which has its encoder inside
        told["encoder"] = weights({"text": painter.text})
    return run_files.flatten(told) | {"steps": painter.step}


def _settings(config: Any) -> dict[str, Any]:
    told = {name: value for name, value in config.to_dict().items() if name not in ("seed", *_PLACES)}
    for name in _OTHERS:
        if told[name]:
            try:
                told[name] = _settings(runs.read_config(told[name], systems=config_lib.SYSTEMS))
            except (OSError, ValueError):
                pass  # a file, one that is shipped or published, or a folder that has moved: its name must do
    return told


def _bytes(part: Any) -> bytes:
    if isinstance(part, np.ndarray):
        return f"{part.dtype.name} {part.shape}\n".encode() + np.ascontiguousarray(part).tobytes()
    if isinstance(part, Mapping):
        return b"".join(_bytes(name) + _bytes(part[name]) for name in sorted(part))
    if isinstance(part, list | tuple):
        return b"".join(map(_bytes, part))
    return f"{part!r}\n".encode()


def _short(*content: bytes) -> str:
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return digest.hexdigest()[:12]
