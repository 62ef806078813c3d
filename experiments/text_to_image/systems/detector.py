"""The detector of objects by which pictures are measured: trained on drawn scenes, whose objects are known."""

import functools

import jax
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.systems.system import Models, System, disturbed, mean
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.evaluation import objects
from gentoolkit.models.detector import Detector, Grid
from gentoolkit.objectives import detection
from gentoolkit.training import Player

# Kinds of classes, the columns that have them, and how many there are.
KINDS = {
    "shape": ("objects", scenes.SHAPES),
    "colour": ("colours", scenes.COLOURS),
    "size": ("sizes", scenes.SIZES),
    "texture": ("textures", scenes.TEXTURES),
}
DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # of scenes.RELATIONS: across, down
_BOX_WEIGHT = 5.0


def network(config: ConfigDict, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds the detector of a configuration."""
    options = config.detector
    counts = {name: len(known) for name, (_, known) in KINDS.items()}
    return {
        "detector": Detector(
            counts, image_size=config.image_size, width=options.width, num_blocks=options.num_blocks, rngs=rngs
        )
    }


def system(config: ConfigDict) -> System:
    """Builds the system of a configuration.

    Raises:
      ValueError: the data set does not say where its objects are.
    """
    if config.dataset != "scenes":
        raise ValueError(f"A detector is trained on scenes, whose objects are known; got {config.dataset!r}.")
    rate = training.learning_rate(config.detector.peak, num_steps=config.num_steps, decay="cosine")
    return System(
        models=functools.partial(network, config),
        players={"detector": Player(detecting, optax.adam(rate))},
        columns=("boxes", *(column for column, _ in KINDS.values())),
    )


def detecting(models: Models, batch, turn):
    """Objective: where objects are, what they are, and their boxes."""
    found = detection.on_grid(
        *models["detector"](disturbed(turn.key, batch["image"])),
        true_classes={name: batch[column].values for name, (column, _) in KINDS.items()},
        true_boxes=batch["boxes"].values,
        valid=batch["boxes"].valid,
    )
    terms = {"presence": mean(found.presence), "boxes": mean(found.boxes)}
    terms |= {name: mean(rows) for name, rows in found.classes.items()}
    return sum(terms.values()) + (_BOX_WEIGHT - 1) * terms["boxes"], terms


def look(models: Models, images: np.ndarray, *, batch_size: int = 200) -> list[objects.Found]:
    """What a trained detector finds in pictures `[n, h, w, 3]` in [-1, 1]."""
    return objects.decode(*grid(models, images, batch_size=batch_size))


def grid(models: Models, images: np.ndarray, *, batch_size: int = 200) -> Grid:
    """What a trained detector says of each cell of pictures `[n, h, w, 3]` in [-1, 1]."""
    parts = []
    for start in range(0, len(images), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(images) - 1)  # the last batch is filled up
        parts.append(_look(models, images[rows]))
    return jax.tree.map(lambda *columns: np.concatenate(columns)[: len(images)], *parts)


_look = training.jit(lambda models, images: models["detector"](images))
