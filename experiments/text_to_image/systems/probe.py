"""The probe by which pictures of real things are measured: it reads attributes that a table tells of each picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import attributes
from experiments.text_to_image.attributes import Known
from experiments.text_to_image.data import Captioned
from experiments.text_to_image.systems.system import Models, System, disturbed
from gentoolkit import training
from gentoolkit.models.probe import Probe
from gentoolkit.training import Player


def network(config: ConfigDict, known: Known, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds the probe of a configuration, for the values that it is to tell apart."""
    options, counts = config.probe, {column: len(values) for column, values in known.items()}
    return {
        "probe": Probe(
            counts, image_size=config.image_size, width=options.width, num_blocks=options.num_blocks, rngs=rngs
        )
    }


def system(config: ConfigDict, captioned: Captioned) -> System:
    """Builds the system of a configuration.

    Raises:
      ValueError: no attribute is named, or the data have none.
    """
    if config.dataset != "folder":
        raise ValueError(f"A probe is trained on a folder with a table of attributes; got {config.dataset!r}.")
    known = captioned.attributes
    if not known:
        raise ValueError(
            "config.folder.attributes must name columns of the table for the probe to read, with commas: "
            "--config.folder.attributes=colour,kind"
        )
    rate = training.learning_rate(config.probe.peak, num_steps=config.num_steps, decay="cosine")
    numbers = attributes.numbers(captioned.train, known)
    return System(
        models=functools.partial(network, config, known),
        players={"probe": Player(functools.partial(reading, numbers=numbers), optax.adam(rate))},
        columns=tuple(known),
    )


def reading(models: Models, batch, turn, *, numbers):
    """Objective: the cross-entropy of each attribute, over pictures whose value is told apart."""
    found, terms = models["probe"](disturbed(turn.key, batch["image"])), {}
    for column, table in numbers.items():
        asked = jnp.asarray(table)[batch[column]]
        loss = optax.softmax_cross_entropy_with_integer_labels(found[column].astype(jnp.float32), jnp.maximum(asked, 0))
        terms[column] = jnp.sum(jnp.where(asked >= 0, loss, 0.0)) / jnp.maximum(jnp.sum(asked >= 0), 1)
    return sum(terms.values()), terms


def read(models: Models, images: np.ndarray, *, batch_size: int = 200) -> dict[str, np.ndarray]:
    """The value that a trained probe reads of each attribute, `[n]`, in pictures `[n, h, w, 3]` in [-1, 1]."""
    parts = []
    for start in range(0, len(images), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(images) - 1)  # the last batch is filled up
        parts.append(_read(models, images[rows]))
    return jax.tree.map(lambda *columns: np.concatenate(columns)[: len(images)], *parts)


_read = training.jit(
    lambda models, images: {column: jnp.argmax(of, axis=-1) for column, of in models["probe"](images).items()}
)
