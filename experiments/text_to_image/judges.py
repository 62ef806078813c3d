"""Detectors of objects as judges: which of several pictures shows most of what its text says."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.text_to_image import files, runs
from experiments.text_to_image.systems import detector
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.evaluation import objects


class Judge(NamedTuple):
    """A trained detector.

    Attributes:
      name: where it comes from.
      config: of its run.
      models: the detector.
    """

    name: str
    config: ConfigDict
    models: dict[str, Any]


def shipped() -> list[str]:
    """The presets of which a detector is shipped."""
    return list(files.shipped(("detector",)))


def load(source: str | pathlib.Path) -> Judge:
    """Loads a detector: from the folder of a run, a file that `export` wrote, or the name of one that is shipped.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds none.
    """
    known = files.shipped(("detector",))
    path = known.get(str(source), pathlib.Path(source))
    if path.suffix != ".npz":
        config = runs.read_config(path, systems=("detector",))
        return Judge(str(path), config, training.load(path, lambda rngs: detector.network(config, rngs)))
    config, arrays, _ = files.read(path)
    if config.system != "detector":
        raise ValueError(f"{path} holds a {config.system}; a detector is needed.")
    return Judge(path.stem, config, training.load(arrays, lambda rngs: detector.network(config, rngs)))


def of(config: ConfigDict, source: str = "", *, name: str) -> Judge:
    """Loads a judge of the pictures of a painter.

    Args:
      config: of the painter.
      source: as for `load`; if empty the shipped judge of such pictures.
      name: of the painter, for what is said.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no judge, or one of other pictures, or none is shipped.
    """
    known = f"detector_{config.dataset}{config.image_size}"
    if not source and known not in shipped():
        raise ValueError(f"No judge of {name}'s pictures is shipped; give --judge, or --best_of=1.")
    judge = load(source or known)
    if config.dataset != "scenes" or judge.config.image_size != config.image_size:
        raise ValueError(
            f"{judge.name} judges scenes of {judge.config.image_size} pixels; {name} paints {config.dataset} "
            f"of {config.image_size}. Give --best_of=1."
        )
    return judge


def best(judge: Judge, images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Chooses among pictures of the same texts.

    Args:
      judge: a detector of pictures of their size.
      images: `[n, k, h, w, 3]` in [-1, 1], k candidates of each of n pictures.
      texts: `n`, what each picture is to show.

    Returns:
      `[n]` which candidate shows most of what its text says (`objects.agreement`).

    Raises:
      ValueError: a text names no shape that the detector knows.
    """
    asked = [scenes.read(text) for text in texts]
    cells = detector.grid(judge.models, images.reshape(-1, *images.shape[2:]))
    cells = jax.tree.map(lambda x: x.reshape(*images.shape[:2], *x.shape[1:]), cells)
    found = np.empty(len(images), np.int64)
    for row, one in enumerate(asked):
        own = jax.tree.map(lambda x, row=row: x[row], cells)
        found[row] = objects.agreement(*own, one, directions=detector.DIRECTIONS).argmax()
    return found
