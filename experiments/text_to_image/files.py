"""Trained networks in one small file, in half precision: what `export` writes, and what is shipped."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from gentoolkit import models as models_room

_SHIPPED = pathlib.Path(models_room.__file__).parent / "pretrained"
_CONFIG = "config.json"  # entry beside the arrays


def write(
    path: str | pathlib.Path, config: ConfigDict, models: Mapping[str, nnx.Module], beside: Mapping[str, str]
) -> None:
    """Writes networks.

    Args:
      path: an .npz file.
      config: of their run.
      models: by name; parameters and statistics are kept.
      beside: texts that belong to them, by names that end in .json.
    """
    arrays = {}
    for name, module in models.items():
        state = nnx.to_flat_state(nnx.as_pure(nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))))
        for place, leaf in state:
            arrays["/".join(map(str, (name, *place)))] = np.asarray(leaf).astype(np.float16)
    told = json.loads(config.to_json())
    # Folders of the machine that trained; the encoder is inside.
    told |= dict.fromkeys(("encoder", "initial", "data_dir", "prepared"), "")
    texts = {_CONFIG: json.dumps(told), **beside}
    np.savez_compressed(path, **arrays, **{name: np.array(text) for name, text in texts.items()})


def read(path: pathlib.Path) -> tuple[ConfigDict, dict[str, np.ndarray], dict[str, str]]:
    """Reads what `write` wrote: the configuration, arrays by path, and texts beside them.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: it is no such file.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with np.load(path) as file:
            held = dict(file)
        texts = {name: str(held.pop(name)) for name in list(held) if name.endswith(".json")}
        stored = json.loads(texts.pop(_CONFIG))
        config = config_lib.get_config(stored["preset"])
        config.update(stored)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a file that `export` wrote: {error}") from error
    return config, held, texts


def shipped(systems: tuple[str, ...]) -> dict[str, pathlib.Path]:
    """Files that come with the package, by their preset, in the order of these systems."""
    found = {path.stem: path for path in sorted(_SHIPPED.glob("*_*.npz")) if path.stem in config_lib.PRESETS}
    return {name: found[name] for system in systems for name in found if name.split("_")[0] == system}
