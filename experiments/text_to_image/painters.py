"""Trained painters with their encoder: from the folder of a run, or a small one that is shipped."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import encoders, published, runs, texts
from experiments.text_to_image.systems import build, system
from gentoolkit import models as models_room
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.recurrent import Encoded, Encoder

_SHIPPED = pathlib.Path(models_room.__file__).parent / "pretrained"
_CONFIG, _WORDS = "config.json", "vocabulary.json"  # entries of a shipped file beside its arrays


class Painter(NamedTuple):
    """A system that paints, with what it needs to read texts.

    Attributes:
      name: where it comes from.
      config: of its run.
      system: its functions.
      models: what paints.
      text: the encoder.
      vocabulary: words that the encoder knows.
      max_words: of a text.
    """

    name: str
    config: ConfigDict
    system: system.System
    models: dict[str, Any]
    text: Encoder
    vocabulary: Vocabulary
    max_words: int

    def read(self, said: Sequence[str]) -> tuple[Encoded, list[str]]:
        """Encodes texts; the lines say which words are not known.

        Raises:
          ValueError: as `texts.encode`.
        """
        passed_over = self.text.passed_over is not None
        tokens, lengths, told = texts.encode(said, self.vocabulary, max_words=self.max_words, passed_over=passed_over)
        return encoders.encode_texts(self.text, tokens, lengths), told


def shipped() -> list[str]:
    """The presets of which a small painter is shipped."""
    return sorted(path.stem for path in _SHIPPED.glob("*_scenes*.npz"))


def load(source: str | pathlib.Path, *, encoder: str = "") -> Painter:
    """Loads a painter.

    Args:
      source: the folder of a run, or of published files (`published`), or the name of one that is shipped.
      encoder: folder of its encoder's run, where that has moved.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: it holds no painter, or the encoder is missing or another one.
    """
    if str(source) in shipped():
        return _from_file(_SHIPPED / f"{source}.npz")
    if pathlib.Path(source).suffix == ".npz":
        return _from_file(pathlib.Path(source))
    if encoders.are_published(source):
        return Painter(*published.load(pathlib.Path(source), encoder=encoder))
    run = pathlib.Path(source)
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
        models = training.load(run, lambda rngs: _of_painting(made, made.models(rngs)), frozen=beside)
    except training.ConfigChangedError as error:
        raise ValueError(f"{run} was not trained beside the encoder in {where}, but beside another one.") from error
    text = models.pop("text", told.text)  # a painter may have trained its own
    return Painter(str(run), config, made, models, text, vocabulary, max_words)


def save(path: str | pathlib.Path, painter: Painter) -> None:
    """Writes a painter with its encoder to one file, in half precision: what is shipped is made so.

    Args:
      path: an .npz file.
      painter: a trained one.
    """
    arrays = {}
    for name, module in {**painter.models, "text": painter.text}.items():
        state = nnx.to_flat_state(nnx.as_pure(nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))))
        for place, leaf in state:
            arrays["/".join(map(str, (name, *place)))] = np.asarray(leaf).astype(np.float16)
    vocabulary = {"max_words": painter.max_words, "words": painter.vocabulary.words}
    told = {_CONFIG: json.loads(painter.config.to_json()), _WORDS: vocabulary}
    told[_CONFIG]["encoder"] = ""  # inside
    np.savez_compressed(path, **arrays, **{name: np.array(json.dumps(value)) for name, value in told.items()})


def _from_file(path: pathlib.Path) -> Painter:
    try:
        with np.load(path) as file:
            held = dict(file)
        stored = json.loads(str(held.pop(_CONFIG)))
        vocabulary, max_words = encoders.parse_vocabulary(str(held.pop(_WORDS)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a painter that `export` wrote: {error}") from error
    config = config_lib.get_config(stored["preset"])
    config.update(stored)
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
    return Painter(path.stem, config, made, models, text, vocabulary, max_words)


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
    rows = []
    for row in range(num):
        key = jax.random.fold_in(jax.random.key(seed), row)
        shape = (painter.system.noise_dim,)
        drawn = jax.random.truncated_normal(key, -2, 2, shape) * truncation if truncation else None
        rows.append(np.asarray(jax.random.normal(key, shape) if drawn is None else drawn))
    return np.stack(rows) if rows else np.zeros((0, painter.system.noise_dim), np.float32)
