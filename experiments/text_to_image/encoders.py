"""Frozen encoders of texts and pictures: the two networks of a damsm run, with the words that they know."""

import json
import pathlib
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from gentoolkit import report, training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.recurrent import Encoded, Encoder
from gentoolkit.models.text_to_image.damsm import ImageEncoder, Seen

_WORDS = "vocabulary.json"
HOW = (
    "train one by `python -m experiments.text_to_image.main "
    "--config=experiments/text_to_image/config.py:damsm_scenes32`"
)


class Pretrained(NamedTuple):
    """Encoders that are trained no more.

    Attributes:
      text: of texts.
      images: of pictures; its features are compared with those of texts. None where only texts are read.
      vocabulary: what the numbers of words mean.
      max_words: of a text.
      features: of a word, a sentence, a region and a picture.
      image_size: of the pictures.
    """

    text: Encoder
    images: ImageEncoder | None
    vocabulary: Vocabulary
    max_words: int
    features: int
    image_size: int


def networks(config: ConfigDict, vocabulary: Vocabulary, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds both networks of a configuration."""
    text, options = config.text, config.damsm
    return {
        "text": Encoder(
            len(vocabulary), features=text.features, embedding=text.embedding, dropout=text.dropout, rngs=rngs
        ),
        "images": ImageEncoder(image_size=config.image_size, features=text.features, width=options.width, rngs=rngs),
    }


def save_vocabulary(run: pathlib.Path, vocabulary: Vocabulary, max_words: int) -> None:
    """Keeps the words of a run in its folder, and how many of them a text may have."""
    stored = {"max_words": max_words, "words": vocabulary.words}
    report.write_text(run / _WORDS, json.dumps(stored, ensure_ascii=False, indent=0))


def read_vocabulary(run: pathlib.Path) -> tuple[Vocabulary, int]:
    """Reads the words of a run, and how many of them a text may have.

    Raises:
      ValueError: there is no such file, or it holds no words.
    """
    path = run / _WORDS
    try:
        return parse_vocabulary(path.read_text())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} must hold the words of the run, which its first evaluation writes: {error}"
        ) from error


def parse_vocabulary(text: str) -> tuple[Vocabulary, int]:
    """What `save_vocabulary` wrote."""
    stored = json.loads(text)
    return Vocabulary(tuple(str(word) for word in stored["words"])), int(stored["max_words"])


def load(run: str | pathlib.Path, config: ConfigDict, *, mesh: jax.sharding.Mesh | None = None) -> Pretrained:
    """Loads the encoders of a damsm run.

    Args:
      run: its folder.
      config: of that run.
      mesh: where to put them; None uses the first device, which is refused where there are several processes.

    Returns:
      The encoders, in evaluation mode.
    """
    vocabulary, max_words = read_vocabulary(pathlib.Path(run))
    made = training.load(run, lambda rngs: networks(config, vocabulary, rngs), mesh=mesh)
    return Pretrained(made["text"], made["images"], vocabulary, max_words, config.text.features, config.image_size)


def check(encoders: Pretrained, vocabulary: Vocabulary, *, image_size: int, source: str) -> None:
    """Refuses encoders that were trained on other words, or on pictures of another size.

    Raises:
      ValueError: naming what differs.
    """
    if encoders.vocabulary != vocabulary:
        lacking = sorted(set(vocabulary.words) - set(encoders.vocabulary.words))
        told = f"it lacks {', '.join(lacking[:5])}" if lacking else "its words have other numbers"
        raise ValueError(f"The encoder in {source} was trained on another vocabulary than that of the data: {told}.")
    if encoders.image_size != image_size:
        raise ValueError(
            f"The encoder in {source} is of pictures of {encoders.image_size} pixels, those here have {image_size}."
        )


def encode_texts(encoder: Encoder, tokens: np.ndarray, lengths: np.ndarray, *, batch_size: int = 200) -> Encoded:
    """Encodes any number of texts in batches of one shape, and keeps them on the host.

    Args:
      encoder: in evaluation mode.
      tokens: `[n, t]`.
      lengths: `[n]`, at least 1 each.
      batch_size: of the compiled program.

    Returns:
      NumPy arrays.
    """
    run = training.jit(lambda models, tokens, lengths: models["text"](tokens, lengths))
    parts = [run({"text": encoder}, *part) for part in _batches(batch_size, tokens, lengths)]
    return Encoded(*(_joined(column, len(tokens)) for column in zip(*parts, strict=True)))


def encode_images(encoder: ImageEncoder, images: np.ndarray, *, batch_size: int = 200) -> Seen:
    """Encodes pictures `[n, h, w, c]` in [-1, 1], as `encode_texts` does texts."""
    run = training.jit(lambda models, images: models["images"](images))
    parts = [run({"images": encoder}, *part) for part in _batches(batch_size, images)]
    return Seen(*(_joined(column, len(images)) for column in zip(*parts, strict=True)))


def _batches(size: int, *columns: np.ndarray):
    """Parts of equal size, the last filled up with its first row."""
    for start in range(0, len(columns[0]), size):
        part = [column[start : start + size] for column in columns]
        yield [np.concatenate([rows, np.repeat(rows[:1], size - len(rows), axis=0)]) for rows in part]


def _joined(parts: tuple[jax.Array, ...], num: int) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])[:num]
