"""Judges: how much of what its text says a picture shows.

A detector says what is there and how it lies. It was trained on drawn scenes alone, and of hundreds of painted pictures
some please it that no eye would take for what was said; so shapes are also drawn over what it found
(`scenes.misfits`).
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.text_to_image import files, runs
from experiments.text_to_image.systems import detector
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.evaluation import objects

RULE = 3  # changes with the way in which candidates are chosen, so that figures of another way are made anew
_DRAWN_OVER = 16  # pictures at least
_SPREAD = 0.02  # misfit of a drawn object, as a unit
_WORST = -20.0  # for a named object that is not there, or like nothing that was said


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


def scores(judge: Judge, images: np.ndarray, text: str) -> np.ndarray:
    """How much of what a text says pictures show.

    Args:
      judge: a detector of pictures of their size.
      images: `[k, h, w, 3]` in [-1, 1].
      text: what they are to show.

    Returns:
      `[k]` nats, by `objects.agreement` and how well the said shapes fit what was found; of many pictures -inf for
      the half of which the detector finds less.

    Raises:
      ValueError: the text names no shape that the detector knows.
    """
    asked = scenes.read(text)
    cells = detector.grid(judge.models, images)
    nats, boxes = objects.agreement(*cells, asked, directions=detector.DIRECTIONS)
    first = np.argsort(-nats, kind="stable")[: max(_DRAWN_OVER, len(images) // 2)]
    found = np.full(len(images), -np.inf)
    found[first] = nats[first] + _fits(images[first], boxes[first], asked.objects)
    return found


def _fits(images: np.ndarray, boxes: np.ndarray, named: Sequence[Mapping[str, int]]) -> np.ndarray:
    """How well the said shapes fit what is in the boxes: `[k]` nats, 0 where no shape is said.

    Of each the logarithm of its share among all shapes and, unless a pattern is said, which no drawing of an outline
    has, its own misfit.
    """
    total = np.zeros(len(images))
    if images.shape[1] % scenes.FITTED_SIDE:
        return total
    for place, one in enumerate(named):
        if "shape" not in one:
            continue
        there = np.flatnonzero(~np.isnan(boxes[:, place, 0]))
        apart = -scenes.misfits((images[there] + 1) / 2, boxes[there, place]) / _SPREAD
        own = apart[:, one["shape"]]
        value = own - np.logaddexp.reduce(apart, axis=1) + (0 if one.get("texture") else own)
        gained = np.full(len(images), _WORST)
        gained[there] = np.maximum(value, _WORST)
        total += gained
    return total
