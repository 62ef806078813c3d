"""CLIP beside OpenCLIP, Hugging Face and OpenAI's own code: `python -m benchmarks.clip_parity --vocabulary=FILE`.

A Markdown table: parameters of the published sizes; embeddings on the same random weights, ViT-B/32 whole and the other
sizes with two layers in each tower (largest difference over the largest value of the peer's), through files that ours
reads as it reads the published ones; images scaled by torchvision; tokens of 1,000 texts. Peers that are not installed
are named as absent. Ends with status 1 where something differs by more than asked.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from flax import nnx

from benchmarks import clip_peers, machine, targets
from gentoolkit.data import clip_tokens
from gentoolkit.models import clip

_ONLY = flags.DEFINE_list("only", [], "Checks to run, by name or beginning of a name; all if empty.")
_VOCABULARY = flags.DEFINE_string("vocabulary", None, "OpenAI's bpe_simple_vocab_16e6.txt.gz; no tokens without it.")
_NUM_TEXTS = flags.DEFINE_integer("texts", 1000, "How many texts are compared.", lower_bound=1)
_EMBEDDINGS, _PIXELS = 1e-4, 1e-6  # relative differences that are asked for
_SIZES = {
    "ViT-B/32": (clip.VIT_B_32, 151_277_313),
    "ViT-B/16": (clip.VIT_B_16, 149_620_737),
    "ViT-L/14": (clip.VIT_L_14, 427_616_513),
    "ViT-L/14@336": (clip.VIT_L_14_336, 427_944_193),
    "ViT-H/14": (clip.VIT_H_14, 986_109_441),
    "ViT-g/14": (clip.VIT_SMALL_G_14, 1_366_678_273),
}


class Line(NamedTuple):
    """One comparison: what, its outcome, what was asked, and whether it is met; None where nothing was asked."""

    what: str
    found: str
    asked: str
    met: bool | None


Check = Callable[[pathlib.Path], Iterator[Line]]


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    checks: dict[str, tuple[tuple[str, ...], Check]] = {
        "parameters": (("torch", "open_clip"), _parameters),
        "open_clip": (("torch", "open_clip"), _open_clip),
        "transformers": (("torch", "transformers", "safetensors"), _transformers),
        "images": (("torch", "torchvision"), _images),
        "tokens of OpenAI": (("clip",), _tokens(clip_peers.openai_tokens)),
        "tokens of open_clip": (("open_clip",), _tokens(clip_peers.open_clip_tokens)),
        "tokens of transformers": (("transformers",), _tokens_of_transformers),
    }
    print("| peer | what | found | asked | |\n| --- | --- | --- | --- | --- |")
    missed = False
    for name, (modules, check) in checks.items():
        if _ONLY.value and not any(name.startswith(word) for word in _ONLY.value):
            continue
        missing = [module for module in modules if not machine.installed(module)]
        if missing:
            print(f"| {name} | absent: {', '.join(missing)} is not installed | | | |", flush=True)
            continue
        if name.startswith("tokens") and not _VOCABULARY.value:
            print(f"| {name} | not compared: give --vocabulary | | | |", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            for line in check(pathlib.Path(folder)):
                missed |= line.met is False
                verdict = "" if line.met is None else targets.verdict(line.met)
                print(f"| {name} | {line.what} | {line.found} | {line.asked} | {verdict} |", flush=True)
    sys.exit(1 if missed else 0)


def _parameters(folder: pathlib.Path) -> Iterator[Line]:
    del folder
    for name, (architecture, published) in _SIZES.items():
        ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(clip.shapes(architecture))))
        theirs = sum(p.numel() for p in clip_peers.open_clip(architecture, None).parameters())
        yield Line(f"{name}, parameters", f"{ours:,} and {theirs:,}", f"{published:,}", ours == theirs == published)


def _sizes() -> Iterator[tuple[str, clip.Architecture]]:
    """The whole of the smallest, and all widths and patches of the others in two layers and with a thousand tokens."""
    for name, (architecture, _) in _SIZES.items():
        if architecture == clip.VIT_B_32:
            yield name, architecture
            yield f"{name}, gelu, two layers", _two_layers(dataclasses.replace(architecture, activation="gelu"))
        else:
            yield f"{name}, two layers", _two_layers(architecture)


def _two_layers(architecture: clip.Architecture) -> clip.Architecture:
    towers = (dataclasses.replace(tower, num_layers=2) for tower in (architecture.vision, architecture.text))
    vision, text = towers
    return dataclasses.replace(architecture, vision=vision, text=text, vocabulary_size=1000)


def _inputs(architecture: clip.Architecture) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.random((2, architecture.image_size, architecture.image_size, 3), np.float32)
    tokens = np.zeros((3, architecture.context_length), np.int32)
    for row, length in enumerate((2, 20, architecture.context_length)):
        tokens[row, :length] = rng.integers(0, architecture.vocabulary_size - 2, length)
        tokens[row, [0, length - 1]] = architecture.vocabulary_size - 2, architecture.vocabulary_size - 1
    return images, tokens


def _ours(model: clip.CLIP, images: np.ndarray, tokens: np.ndarray) -> list[np.ndarray]:
    both = jax.jit(lambda model, images, tokens: (model.encode_image(images), model.encode_text(tokens)))
    return [np.asarray(found) for found in both(model, images, tokens)]


def _compare(name: str, ours: list[np.ndarray], theirs: list[Any]) -> Iterator[Line]:
    for what, found, expected in zip(("images", "texts"), ours, theirs, strict=True):
        expected = expected.numpy()
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        yield Line(
            f"{name}, embeddings of {what}", f"{difference:.1e}", f"{_EMBEDDINGS:.0e}", difference <= _EMBEDDINGS
        )


def _open_clip(folder: pathlib.Path) -> Iterator[Line]:
    import torch

    for name, architecture in _sizes():
        images, tokens = _inputs(architecture)
        network = clip_peers.open_clip(architecture, clip_peers.random_state(architecture, "openai"))
        torch.save(network.state_dict(), folder / "open_clip_pytorch_model.bin")
        ours = _ours(clip.load(folder / "open_clip_pytorch_model.bin", architecture), images, tokens)
        of_images = network.encode_image(torch.from_numpy(clip_peers.normalized(images)))
        yield from _compare(name, ours, [of_images, network.encode_text(torch.from_numpy(tokens))])


def _transformers(folder: pathlib.Path) -> Iterator[Line]:
    import torch
    from safetensors.torch import save_file

    for name, architecture in _sizes():
        images, tokens = _inputs(architecture)
        network = clip_peers.transformers(architecture, clip_peers.random_state(architecture, "hugging_face"))
        save_file(network.state_dict(), folder / "model.safetensors")
        ours = _ours(clip.load(folder / "model.safetensors", architecture), images, tokens)
        of_images = network.vision_model(torch.from_numpy(clip_peers.normalized(images))).pooler_output
        of_texts = network.text_model(torch.from_numpy(tokens)).pooler_output
        yield from _compare(name, ours, [network.visual_projection(of_images), network.text_projection(of_texts)])


def _images(folder: pathlib.Path) -> Iterator[Line]:
    del folder
    import torch
    from PIL import Image
    from torchvision import transforms

    theirs = transforms.Compose(
        [transforms.Resize(224, transforms.InterpolationMode.BICUBIC, antialias=True), transforms.CenterCrop(224)]
    )
    floats = byte = 0.0
    for height, width in ((300, 517), (64, 64), (100, 401), (1000, 333), (31, 224), (224, 224)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        as_floats = image.astype(np.float32) / 255
        expected = theirs(torch.from_numpy(as_floats.transpose(2, 0, 1).copy()).double()).numpy().transpose(1, 2, 0)
        floats = max(floats, float(np.abs(np.asarray(clip.preprocess(as_floats, image_range=(0, 1))) - expected).max()))
        rounded = np.asarray(theirs(Image.fromarray(image)), np.float32) / 255
        byte = max(byte, float(np.abs(clip.preprocess_bytes(image) - rounded).max()))
    yield Line("torchvision on floats, six sizes of noise to 224", f"{floats:.1e}", f"{_PIXELS:.0e}", floats <= _PIXELS)
    yield Line("torchvision on Pillow's images, the same", f"{byte:.0e}", "0", byte == 0)


def _tokens(peer: Callable[[pathlib.Path, list[str]], np.ndarray]) -> Check:
    def check(folder: pathlib.Path) -> Iterator[Line]:
        del folder
        rows, vocabulary = clip_peers.texts(_NUM_TEXTS.value), pathlib.Path(_VOCABULARY.value)
        ours = clip_tokens.read(vocabulary).encode(rows, too_long="cut")
        theirs = peer(vocabulary, rows)
        if peer is clip_peers.open_clip_tokens:
            written_out = [text for text in rows if "oftext|>" in text.lower()]
            yield Line(
                "texts with a start or end written out, which it calls otherwise", f"{len(written_out)}", "", None
            )
            kept = [row for row, text in enumerate(rows) if "oftext|>" not in text.lower()]
            ours, theirs = ours[kept], theirs[kept]
        yield _equal("texts with all tokens equal", ours, theirs, asked=True)

    return check


def _tokens_of_transformers(folder: pathlib.Path) -> Iterator[Line]:
    rows, tokenizer = clip_peers.texts(_NUM_TEXTS.value), clip_tokens.read(_VOCABULARY.value)
    (folder / "vocab.json").write_text(json.dumps(dict(tokenizer.vocabulary)), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in tokenizer.merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    if clip_tokens.read(folder) != tokenizer:
        yield Line("vocabulary read back from its files", "differs", "equal", False)
    ours = tokenizer.encode(rows, too_long="cut")
    theirs = clip_peers.transformers_tokens(folder, rows)
    yield _equal("texts with all tokens equal; it repairs and unescapes nothing", ours, theirs, asked=False)
    theirs = clip_peers.transformers_tokens(folder, [clip_tokens.clean(text) for text in rows])
    yield _equal("the same, with texts cleaned before", ours, theirs, asked=False)


def _equal(what: str, ours: np.ndarray, theirs: np.ndarray, *, asked: bool) -> Line:
    equal = int((ours == theirs).all(axis=1).sum())
    return Line(what, f"{equal} of {len(ours)}", "all" if asked else "", equal == len(ours) if asked else None)


if __name__ == "__main__":
    app.run(main)
