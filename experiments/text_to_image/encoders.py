"""Frozen encoders of texts and pictures: the two networks of a damsm run, with the words that they know.

They may also be in a file that `export` wrote of such a run (one is shipped: `damsm_scenes32`), or AttnGAN's published
ones: a folder with `text_encoder*.pth`, `captions*.pickle` (in DF-GAN `captions_DAMSM.pickle`) and, for what
compares pictures with texts, `image_encoder*.pth`.
"""

import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import files, runs, vocabularies
from gentoolkit import study, training
from gentoolkit.data import text as text_lib
from gentoolkit.data.text import Vocabulary
from gentoolkit.models import weights
from gentoolkit.models.text import recurrent, transformer
from gentoolkit.models.text.encoded import Encoded, TextEncoder
from gentoolkit.models.text_to_image.damsm import ImageEncoder, InceptionEncoder, Seen

_WORDS = "vocabulary.json"
HOW = (
    "train one by `python -m experiments.text_to_image.main "
    "--config=experiments/text_to_image/config.py:damsm_scenes32`"
)
TEXT, IMAGES, WORDS = "text_encoder*.pth", "image_encoder*.pth", "captions*.pickle"  # of published encoders
_PUBLISHED_WORDS = 32  # most words of a text for them; their authors train with up to 18 and paint with up to 25
_UNKNOWN = {"read": None, "pass over": text_lib.UNKNOWN}


class Pretrained(NamedTuple):
    """Encoders that are trained no more.

    Attributes:
      text: of texts.
      images: of pictures; its features are compared with those of texts. None where only texts are read.
      vocabulary: what the numbers of words mean.
      max_words: of a text.
      features: of a word, a sentence, a region and a picture.
      image_size: of the pictures; 0 where any will do.
      max_objects: of the scenes that they were trained on; 0 for other pictures.
    """

    text: TextEncoder
    images: ImageEncoder | InceptionEncoder | None
    vocabulary: Vocabulary
    max_words: int
    features: int
    image_size: int
    max_objects: int = 0


def networks(config: ConfigDict, vocabulary: Vocabulary, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds both networks of a configuration."""
    text, options = config.text, config.damsm
    passed_over = study.choose("config.text.unknown", text.unknown, _UNKNOWN)
    images: nnx.Module
    if study.choose("config.damsm.images", options.images, ("small", "inception")) == "inception":
        images = InceptionEncoder(features=text.features, rngs=rngs)
    else:
        images = ImageEncoder(image_size=config.image_size, features=text.features, width=options.width, rngs=rngs)
    sizes = {
        "features": text.features, "embedding": text.embedding, "dropout": text.dropout, "passed_over": passed_over,
    }  # fmt: skip
    reading: TextEncoder
    if study.choose("config.text.network", text.network, ("lstm", "transformer")) == "transformer":
        layers = {"num_layers": text.num_layers, "num_heads": text.num_heads}
        reading = transformer.Encoder(len(vocabulary), **sizes, **layers, rngs=rngs)
    else:
        reading = recurrent.Encoder(len(vocabulary), **sizes, rngs=rngs)
    return {"text": reading, "images": images}


def settings(text: TextEncoder) -> dict[str, Any]:
    """The options `config.text` of a network that reads texts, by which `networks` builds one of the same sizes."""
    found: dict[str, Any] = {
        "features": text.features, "embedding": text.embed.features, "dropout": 0.0,
        "unknown": "read" if text.passed_over is None else "pass over", "network": "lstm",
    }  # fmt: skip
    if isinstance(text, transformer.Encoder):
        found |= {"network": "transformer", "num_layers": text.num_layers, "num_heads": text.num_heads}
    return found


def save_vocabulary(run: pathlib.Path, vocabulary: Vocabulary, max_words: int) -> None:
    """Keeps the words of a run in its folder, and how many of them a text may have."""
    vocabularies.save(run / _WORDS, vocabulary, max_words)


def read_vocabulary(run: pathlib.Path) -> tuple[Vocabulary, int]:
    """Reads the words of a run, and how many of them a text may have.

    Raises:
      ValueError: there is no such file, or it holds no words.
    """
    path = run / _WORDS
    try:
        return parse_vocabulary(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} must hold the words of the run, which training writes at its beginning: {error}"
        ) from error


parse_vocabulary = vocabularies.parse


def find(source: str | pathlib.Path, *, mesh: jax.sharding.Mesh | None = None) -> Pretrained:
    """Loads encoders from the folder of a damsm run, a file that `export` wrote of one, or a folder of published files.

    Args:
      source: the folder or file, or the name of a file that is shipped.
      mesh: as in `load`.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds none of these.
    """
    path = files.shipped(("damsm",)).get(str(source), pathlib.Path(source))
    if path.suffix == ".npz":
        config, arrays, beside = files.read(path)
        if config.system != "damsm":
            raise ValueError(f"{path} holds a {config.system}; encoders of a damsm run are needed.")
        return _of_run(config, *vocabularies.parse(beside[_WORDS]), arrays, mesh)
    if are_published(source):
        return published(pathlib.Path(source))
    return load(source, runs.read_config(source, systems=("damsm",)), mesh=mesh)


def shipped(config: ConfigDict) -> str:
    """The name of the encoders that come with the package for the pictures of a configuration, "" for none."""
    name = f"damsm_{config.dataset}{config.image_size}"
    return name if name in files.shipped(("damsm",)) else ""


def are_published(source: str | pathlib.Path) -> bool:
    """Whether a folder holds files of AttnGAN's authors and not a run of ours."""
    folder = pathlib.Path(source)
    return bool(str(source)) and not (folder / "config.json").exists() and any(folder.glob(WORDS))


def published(folder: pathlib.Path) -> Pretrained:
    """Reads AttnGAN's published encoders.

    Args:
      folder: with their files, see the module.

    Returns:
      The encoders, in evaluation mode; words that they do not know are passed over, as by the authors.

    Raises:
      ValueError: a file is missing, there are several of a kind, or they do not belong to each other.
    """
    of_text = weights.read(only(folder, TEXT))
    vocabulary = text_lib.of_attngan(only(folder, WORDS))
    sizes = {name: of_text[name].shape for name in ("encoder.weight", "rnn.weight_hh_l0") if name in of_text}
    if len(sizes) < 2 or any(len(shape) != 2 for shape in sizes.values()):
        raise ValueError(f"{of_text.path} does not hold the text encoder of AttnGAN: encoder.weight, rnn.*.")
    (rows, embedding), (_, half) = sizes.values()
    if rows != len(vocabulary) - 1:
        raise ValueError(
            f"{of_text.path} reads {rows} words, the end of a text among them, and {only(folder, WORDS).name} beside "
            f"it has {len(vocabulary) - 1}: they are of two encoders."
        )

    def text() -> recurrent.Encoder:
        return recurrent.Encoder(
            len(vocabulary), features=2 * half, embedding=embedding, dropout=0.0, passed_over=text_lib.UNKNOWN,
            rngs=nnx.Rngs(0),
        )  # fmt: skip

    filled = weights.assign(nnx.eval_shape(text), recurrent.table(without_unknown=True), of_text)
    images = InceptionEncoder.load(only(folder, IMAGES)) if any(folder.glob(IMAGES)) else None
    for module in (filled, images):
        if module is not None:
            module.eval()
    if images is not None and images.picture.out_features != 2 * half:
        raise ValueError(f"{folder}: its text encoder has {2 * half} features, its image encoder others.")
    return Pretrained(filled, images, vocabulary, _PUBLISHED_WORDS, 2 * half, 0)


def only(folder: pathlib.Path, pattern: str, *, but: tuple[str, ...] = ()) -> pathlib.Path:
    """The one file of a pattern in a folder, those of other patterns left aside (`ValueError` for none or several)."""
    found = sorted(path for path in folder.glob(pattern) if not any(path.match(other) for other in but))
    if len(found) != 1:
        seen = f"it has {', '.join(path.name for path in found)}" if found else "there is none"
        raise ValueError(f"{folder} must have one file {pattern}; {seen}.")
    return found[0]


def load(run: str | pathlib.Path, config: ConfigDict, *, mesh: jax.sharding.Mesh | None = None) -> Pretrained:
    """Loads the encoders of a damsm run.

    Args:
      run: its folder.
      config: of that run.
      mesh: where to put them; None uses the first device, which is refused where there are several processes.

    Returns:
      The encoders, in evaluation mode.
    """
    return _of_run(config, *read_vocabulary(pathlib.Path(run)), run, mesh)


def save(path: str | pathlib.Path, run: str | pathlib.Path) -> None:
    """Writes the encoders of a damsm run to one file, in half precision.

    Args:
      path: an .npz file.
      run: the folder of the run.

    Raises:
      ValueError: its encoder of pictures is Inception.
    """
    config = runs.read_config(run, systems=("damsm",))
    if config.damsm.images == "inception":
        raise ValueError(f"{run} looks with Inception, which is too large for one small file; give the run's folder.")
    made = load(run, config)
    assert made.images is not None
    words = vocabularies.written(made.vocabulary, made.max_words)
    files.write(path, config, {"text": made.text, "images": made.images}, {_WORDS: words})


def _of_run(config: ConfigDict, vocabulary: Vocabulary, max_words: int, source, mesh) -> Pretrained:
    made = training.load(source, lambda rngs: networks(config, vocabulary, rngs), mesh=mesh)
    any_size = isinstance(made["images"], InceptionEncoder)
    size = 0 if any_size else config.image_size
    most = config.max_objects if config.dataset == "scenes" else 0
    return Pretrained(made["text"], made["images"], vocabulary, max_words, config.text.features, size, most)


def check(encoders: Pretrained, vocabulary: Vocabulary, *, image_size: int, source: str, max_objects: int = 0) -> None:
    """Refuses encoders that were trained on other words, on pictures of another size, or on scenes of fewer objects.

    Raises:
      ValueError: naming what differs.
    """
    if encoders.vocabulary != vocabulary:
        lacking = sorted(set(vocabulary.words) - set(encoders.vocabulary.words))
        told = f"it lacks {', '.join(lacking[:5])}" if lacking else "its words have other numbers"
        raise ValueError(f"The encoder in {source} was trained on another vocabulary than that of the data: {told}.")
    if encoders.image_size not in (0, image_size):
        raise ValueError(
            f"The encoder in {source} is of pictures of {encoders.image_size} pixels, those here have {image_size}."
        )
    if 0 < encoders.max_objects < max_objects:
        raise ValueError(
            f"The encoder in {source} is of scenes of at most {encoders.max_objects} objects, those here have up to "
            f"{max_objects}; give --config.max_objects={encoders.max_objects}, or another encoder."
        )


def encode_texts(encoder: TextEncoder, tokens: np.ndarray, lengths: np.ndarray, *, batch_size: int = 200) -> Encoded:
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


def encode_images(encoder: ImageEncoder | InceptionEncoder, images: np.ndarray, *, batch_size: int = 0) -> Seen:
    """Encodes pictures `[n, h, w, c]` in [-1, 1], as `encode_texts` does texts; `batch_size=0` chooses."""
    batch_size = batch_size or (20 if isinstance(encoder, InceptionEncoder) else 200)  # 299 x 299 pixels a picture
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
