"""CLIP for the command: its file and vocabulary by their published names, embeddings of images and of captions."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from flax import nnx

from experiments.image_metrics.networks import CONVERTED, RANDOM, Extractor
from gentoolkit import training
from gentoolkit.data import clip_tokens
from gentoolkit.models import clip, weights

# OpenAI's file, Hugging Face's or OpenCLIP's folder (as their hub calls it), and the sizes.
KINDS = {
    "ViT-B-32": ("ViT-B-32.pt", "clip-vit-base-patch32", "VIT_B_32"),
    "ViT-B-16": ("ViT-B-16.pt", "clip-vit-base-patch16", "VIT_B_16"),
    "ViT-L-14": ("ViT-L-14.pt", "clip-vit-large-patch14", "VIT_L_14"),
    "ViT-L-14-336px": ("ViT-L-14-336px.pt", "clip-vit-large-patch14-336", "VIT_L_14_336"),
    "ViT-H-14": ("ViT-H-14.pt", "CLIP-ViT-H-14-laion2B-s32B-b79K", "VIT_H_14"),
    "ViT-g-14": ("ViT-g-14.pt", "CLIP-ViT-g-14-laion2B-s12B-b42K", "VIT_SMALL_G_14"),
}
_INSIDE = (
    *("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("pytorch_model.bin", "open_clip_pytorch_model.bin", "flax_model.msgpack"),
)
_BATCH = 64  # captions at a time


class Files(NamedTuple):
    """Where weights and vocabulary are; None for random weights with a vocabulary of bytes."""

    weights: pathlib.Path
    vocabulary: pathlib.Path


class Clip(NamedTuple):
    """A network that is ready.

    Attributes:
      extractor: of images; "features" are their embeddings.
      embed: captions to embeddings `[n, d]`, and how many were cut since they have too many tokens.
      vocabulary: name of the file of the vocabulary.
    """

    extractor: Extractor
    embed: Callable[[Sequence[str]], tuple[np.ndarray, int]]
    vocabulary: str


class Scaled(NamedTuple):
    """Pillow's scaling and cutting, with which the published networks are scored."""

    size: int
    name: str = "clip"

    def of_levels(self, images: np.ndarray, /) -> np.ndarray:
        """Grey levels `[b, h, w, 3]` uint8 to `[b, size, size, 3]` in [0, 1]."""
        return np.stack([clip.preprocess_bytes(image, size=self.size) for image in images])


def find(kind: str, place: str) -> Files | None:
    """Finds the files of a CLIP; None for random weights.

    Args:
      kind: one of `KINDS`.
      place: the folder, "random", or "".

    Raises:
      FileNotFoundError: one is missing; says in one line which one to put where.
    """
    if place == RANDOM:
        return None
    name, folder_name, size = KINDS[kind]
    folder = pathlib.Path(place).expanduser() if place else None
    beside = "into a folder and name it by --weights" if folder is None else f"into {folder}"
    names = [name, *(str(pathlib.PurePath(name).with_suffix(suffix)) for suffix in CONVERTED)]
    names += [f"{folder_name}/{inside}" for inside in _INSIDE]
    found = [folder / each for each in names if (folder / each).is_file()] if folder is not None else []
    if not found:
        digits = f" (SHA-256 {clip.PUBLISHED[size]}...)" if size in clip.PUBLISHED else ""
        raise FileNotFoundError(
            f"No weights of CLIP {kind}: put {name}{digits} or the folder {folder_name} {beside}; "
            "--weights=random takes a frozen random network, for smoke tests alone."
        )
    for parent in dict.fromkeys((found[0].parent, *([] if folder is None else [folder]))):
        try:
            return Files(found[0], clip_tokens.vocabulary_in(parent))
        except FileNotFoundError:
            continue
    raise FileNotFoundError(
        f"No vocabulary of CLIP: put bpe_simple_vocab_16e6.txt.gz (OpenAI's), tokenizer.json or vocab.json with "
        f"merges.txt (Hugging Face's) {beside}."
    )


def load(kind: str, files: Files | None) -> Clip:
    """Reads a CLIP and its vocabulary.

    Args:
      kind: one of `KINDS`.
      files: where they are; None for a small random network that reads bytes.

    Raises:
      ValueError: a file holds something else, or cannot be read.
      ImportError: the libraries of the tokenizer are not installed.
    """
    note = ""
    if files is None:
        merges: list[tuple[str, str]] = []
        tokenizer = clip_tokens.Tokenizer(clip_tokens.numbered(merges), merges)
        tower = clip.Tower(64, 2, 2)
        architecture = clip.Architecture(64, 16, tower, tower, 64, vocabulary_size=len(tokenizer), context_length=77)
        origin = weights.of_random("CLIP of two layers")
        network = clip.CLIP(architecture, origin=origin, rngs=nnx.Rngs(0))
        note = f"{kind} is a small random network: its CLIP score is for smoke tests alone and compares with nothing."
    else:
        tokenizer = clip_tokens.read(files.vocabulary)
        architecture = getattr(clip, KINDS[kind][2])
        network = clip.load(files.weights, architecture)
        origin = network.origin
        if len(tokenizer) != architecture.vocabulary_size:
            raise ValueError(
                f"{files.vocabulary.name} has {len(tokenizer)} tokens, and CLIP {kind} {architecture.vocabulary_size}."
            )
        if not origin.published:
            note = (
                f"{files.weights.name} has SHA-256 {origin.sha256[:16]}..., not that of a file of OpenAI's: figures "
                "need not be those of the published network."
            )
    models = {"clip": network}
    images = training.jit(lambda models, x: models["clip"].encode_image(x))
    texts = training.jit(lambda models, tokens: models["clip"].encode_text(tokens))

    def embed(captions: Sequence[str]) -> tuple[np.ndarray, int]:
        length = architecture.context_length
        tokens = tokenizer.encode(captions, context_length=length, too_long="cut")
        full = [text for text, row in zip(captions, tokens, strict=True) if row[-1]]
        cut = sum(len(tokenizer.tokens(text)) + 2 > length for text in full)
        found = []
        for start in range(0, len(tokens), _BATCH):
            part = tokens[start : start + _BATCH]
            filled = np.concatenate([part, np.repeat(part[-1:], _BATCH - len(part), axis=0)])
            found.append(np.asarray(texts(models, filled))[: len(part)])
        return np.concatenate(found), cut

    extractor = Extractor(
        origin.name, origin.sha256, note, Scaled(architecture.image_size), lambda x: {"features": images(models, x)}
    )
    return Clip(extractor, embed, files.vocabulary.name if files else "bytes")
