"""Trained painters with their encoder: from the folder of a run, or a small one that is shipped."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import encoders, files, published, runs, texts, vocabularies
from experiments.text_to_image.systems import build, system
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.encoded import Encoded, TextEncoder
from gentoolkit.training import checkpoint

_BY_PICTURES = ("dfgan", "vae", "attngan")  # what the shipped ones show of their texts, the most first (README)
_WORDS = "vocabulary.json"  # entry of a file beside its arrays


class Painter(NamedTuple):
    """A system that paints, with what it needs to read texts.

    Attributes:
      name: where it comes from: the folder or file, or the name of one that is shipped.
      config: of its run.
      system: its functions.
      models: what paints.
      text: the encoder.
      vocabulary: words that the encoder knows.
      max_words: of a text.
      step: of its run, whose weights these are; 0 where a file does not say.
    """

    name: str
    config: ConfigDict
    system: system.System
    models: dict[str, Any]
    text: TextEncoder
    vocabulary: Vocabulary
    max_words: int
    step: int = 0

    def read(self, said: Sequence[str]) -> tuple[Encoded, list[str]]:
        """Encodes texts; the lines say which words are not known.

        Raises:
          ValueError: as `texts.encode`.
        """
        passed_over = self.text.passed_over is not None
        tokens, lengths, told = texts.encode(said, self.vocabulary, max_words=self.max_words, passed_over=passed_over)
        return encoders.encode_texts(self.text, tokens, lengths), told


def shipped() -> list[str]:
    """The presets of which a small painter is shipped, the one first that is taken where none is named."""
    return list(files.shipped(_BY_PICTURES))


def load(source: str | pathlib.Path, *, encoder: str = "") -> Painter:
    """Loads a painter.

    Args:
      source: the folder of a run, or of published files (`published`), or the name of one that is shipped.
      encoder: folder of its encoder's run, where that has moved.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: it holds no painter, or the encoder is missing or another one.
    """
    known = files.shipped(config_lib.PAINTERS)
    if encoder and (str(source) in known or pathlib.Path(source).suffix == ".npz"):
        raise ValueError(f"{source} has its encoder inside; --encoder={encoder} is for the folder of a run.")
    if str(source) in known:
        return _from_file(known[str(source)])._replace(name=str(source))
    if pathlib.Path(source).suffix == ".npz":
        return _from_file(pathlib.Path(source))
    if encoders.are_published(source):
        return Painter(*published.load(pathlib.Path(source), encoder=encoder))
    run = pathlib.Path(source)
    if not run.exists():
        raise FileNotFoundError(f"There is no folder {run}. These painters are shipped: {', '.join(known)}.")
    config = runs.read_config(run, systems=config_lib.PAINTERS)
    vocabulary, max_words = encoders.read_vocabulary(run)
    where = encoder or config.encoder
    try:
        told = encoders.find(where)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"The encoder of {run} cannot be loaded (--encoder=FOLDER if it has moved): {error}"
        ) from error
    encoders.check(told, vocabulary, image_size=config.image_size, source=str(where))
    made = build.painter(config, told)
    beside = {"text": told.text} if "text" in made.frozen else None
    try:
        with checkpoint.reading(run / "checkpoints") as checkpoints:
            step = checkpoints.resolve("latest")
        models = training.load(run, lambda rngs: _of_painting(made, made.models(rngs)), step=step, frozen=beside)
    except training.ConfigChangedError as error:
        raise ValueError(
            f"{run} was not trained beside the encoder in {where} ({told.features} features), but beside another one."
        ) from error
    text = models.pop("text", told.text)  # a painter may have trained its own
    return Painter(str(run), config, made, models, text, vocabulary, max_words, step)


def save(path: str | pathlib.Path, painter: Painter) -> None:
    """Writes a painter with its encoder to one file, in half precision: what is shipped is made so.

    Args:
      path: an .npz file.
      painter: a trained one.
    """
    words = vocabularies.written(painter.vocabulary, painter.max_words)
    config = painter.config.copy_and_resolve_references()
    config.text.update(encoders.settings(painter.text))  # those of its encoder's run, which may be others than its own
    files.write(path, config, {**painter.models, "text": painter.text}, {_WORDS: words})


def _from_file(path: pathlib.Path) -> Painter:
    config, held, beside = files.read(path)
    if config.system not in config_lib.PAINTERS:
        raise ValueError(f"{path} holds a {config.system}, which does not paint.")
    vocabulary, max_words = vocabularies.parse(beside[_WORDS])
    rngs = nnx.Rngs(0)
    told = encoders.Pretrained(
        encoders.networks(config, vocabulary, rngs)["text"], None, vocabulary, max_words,
        config.text.features, config.image_size,
    )  # fmt: skip
    made = build.painter(config, told)

    def networks(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        text = encoders.networks(config, vocabulary, rngs)["text"]
        return _of_painting(made, made.models(rngs)) | {"text": text}

    models = training.load(held, networks)
    text = models.pop("text")
    return Painter(str(path), config, made, models, text, vocabulary, max_words)


def _of_painting(made: system.System, models: dict[str, nnx.Module]) -> dict[str, nnx.Module]:
    return {name: module for name, module in models.items() if name in made.averaged}


def noise(painter: Painter, num: int, *, seed: int, truncation: float = 0.0) -> np.ndarray:
    """Draws the noise of pictures; row i depends on the seed and i alone.

    Args:
      painter: whose noise.
      num: rows.
      seed: non-negative.
      truncation: 0 draws N(0, 1) as training does; else normals within two deviations, times this (0.88 in DF-GAN's
        public code), which makes pictures more alike and often better.

    Returns:
      `[num, noise_dim]`.

    Raises:
      ValueError: a truncation that is not from 0 to 1.
    """
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation must be from 0 to 1, got {truncation}.")
    shape, key = (painter.system.noise_dim,), jax.random.key(seed)

    def one(row: jax.Array) -> jax.Array:
        own = jax.random.fold_in(key, row)
        return (
            jax.random.truncated_normal(own, -2, 2, shape) * truncation if truncation else jax.random.normal(own, shape)
        )

    return np.asarray(jax.vmap(one)(np.arange(num)))
