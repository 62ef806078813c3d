"""What the weights of a CLIP are called in files: by OpenAI and OpenCLIP, by Hugging Face, in Flax, and here."""

import dataclasses
import fnmatch
import os
from typing import Literal

import numpy as np
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.clip import architecture as sizes
from gentoolkit.models.clip.architecture import Architecture
from gentoolkit.models.clip.model import CLIP, shapes
from gentoolkit.models.weights import Entry, Table, convolution, linear, same, under

Naming = Literal["openai", "hugging_face", "hugging_face_flax", "gentoolkit"]

# Tensors that are no weights: sizes that OpenAI's archives keep, and numbers of places of older files.
IGNORED = ("input_resolution", "context_length", "vocab_size", "*position_ids")
# The first digits of the SHA-256 of OpenAI's files, which are part of their addresses in github.com/openai/CLIP.
# Beside them the size, which has the activation that these networks were trained with.
PUBLISHED = {
    "VIT_B_32": "40d365715913c9da",
    "VIT_B_16": "5806e77cd80f8b59",
    "VIT_L_14": "b8cca3fd41ae0c99",
    "VIT_L_14_336": "3035c92b35095992",
}
# A tensor that each naming has and no other, and the published sizes by the name to write.
_MARKS: dict[str, Naming] = {
    "visual.class_embedding": "openai",
    "vision_model.embeddings.class_embedding": "hugging_face",
    "vision_model/embeddings/class_embedding": "hugging_face_flax",
    "vision/class_token": "gentoolkit",
}
_SIZES = ("VIT_B_32", "VIT_B_16", "VIT_L_14", "VIT_L_14_336", "VIT_H_14", "VIT_SMALL_G_14", "MINI")


def load(path: str | os.PathLike[str], architecture: Architecture) -> CLIP:
    """Reads a CLIP from a file of weights: OpenAI's, OpenCLIP's, Hugging Face's, or `save`'s.

    Args:
      path: the file, in any format that `weights.read` reads; half precision is widened to float32.
      architecture: its sizes and its activation, which no file tells: see `Architecture.activation`.

    Returns:
      The network.

    Raises:
      FileNotFoundError: there is no such file.
      WeightsError: it cannot be read or holds another network; the tensors that are missing, surplus or of another
        shape are named, and the size that it has, if it is a published one.
    """
    return from_weights(weights.read(path), architecture)


def from_weights(read: weights.Weights, architecture: Architecture) -> CLIP:
    """Makes a CLIP of weights that have been read, as `load` does of a file.

    Args:
      read: the weights.
      architecture: its sizes and its activation.

    Returns:
      The network; its `origin` has the hash of the file, and says whether it begins as that of OpenAI's.

    Raises:
      WeightsError: they are those of another network.
    """
    naming = naming_of(read)
    if naming is None:
        raise weights.WeightsError(
            f"{read.path!r} does not hold a CLIP with two transformers: none of {', '.join(_MARKS)} is in it; it has "
            f"{', '.join(list(read)[:3])}, ... (The networks RN50 to RN50x64 are not built.)"
        )
    module = shapes(architecture, origin=_origin(read, architecture))
    table = table_of(architecture, naming)
    try:
        return weights.assign(module, table, read, ignore=IGNORED)
    except weights.WeightsError as error:
        fitting = next((name for name in _SIZES if _fits(getattr(sizes, name), naming, read)), None)
        if fitting is None or getattr(sizes, fitting) == architecture:
            raise
        hint = f" It has the shapes of {fitting}; which activation it had no file tells."
        raise weights.WeightsError(f"{error}{hint}") from None


def _origin(read: weights.Weights, architecture: Architecture) -> weights.Origin:
    """The origin of a CLIP of a file: OpenAI's with the activation that it was trained with, or not known."""
    other = dataclasses.replace(architecture, activation="gelu" if architecture.activation != "gelu" else "quick_gelu")
    sizes_here = {name: getattr(sizes, name) for name in _SIZES}
    name = next((name for name, size in sizes_here.items() if size in (architecture, other)), "of another size")
    published = (PUBLISHED[name],) if name in PUBLISHED and architecture == sizes_here[name] else ()
    return weights.of_file(f"CLIP {name}, {architecture.activation}", read, published=published)


def nearest_size(read: weights.Weights) -> str | None:
    """Which of our sizes a file has, or is nearest to in the names of its tensors.

    Args:
      read: weights of a file.

    Returns:
      The name of a size, such as "VIT_B_32", or None if it is no CLIP with two transformers.
    """
    naming = naming_of(read)
    if naming is None:
        return None
    fitting = next((name for name in _SIZES if _fits(getattr(sizes, name), naming, read)), None)

    def differing(name: str) -> int:
        table = table_of(getattr(sizes, name), naming)
        return len({tensor for entry in table.values() for tensor in entry.names} ^ set(read))

    return fitting or min(_SIZES, key=differing)


def save(path: str | os.PathLike[str], model: CLIP) -> None:
    """Writes the weights of a network as an `.npz` file, under its own names.

    Args:
      path: the file.
      model: the network.
    """
    flat = nnx.to_flat_state(nnx.as_pure(nnx.state(model, nnx.Param)))
    arrays = {"/".join(map(str, path)): np.asarray(value) for path, value in flat}
    np.savez(path, allow_pickle=False, **arrays)


def naming_of(read: weights.Weights) -> Naming | None:
    """Who named the tensors, or None if they are not those of a CLIP with two transformers."""
    return next((naming for mark, naming in _MARKS.items() if mark in read), None)


def table_of(architecture: Architecture, naming: Naming) -> Table:
    """Which tensors each parameter is made of.

    Args:
      architecture: its sizes.
      naming: "openai" (and OpenCLIP), "hugging_face" (PyTorch), "hugging_face_flax" or "gentoolkit".

    Returns:
      An entry for each parameter, by path.

    Raises:
      ValueError: another naming.
    """
    if naming == "gentoolkit":
        return {path: same(path) for path in _openai(architecture)}
    if naming == "openai":
        return _openai(architecture)
    if naming in ("hugging_face", "hugging_face_flax"):
        return _hugging_face(architecture, flax=naming == "hugging_face_flax")
    raise ValueError(f"naming must be one of {', '.join(_MARKS.values())}, got {naming!r}.")


def _fits(architecture: Architecture, naming: Naming, read: weights.Weights) -> bool:
    """Whether a file has the tensors of a size, and those that tell sizes apart in their shapes."""
    table = table_of(architecture, naming)
    names = {name for entry in table.values() for name in entry.names}
    if names != {name for name in read if not any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED)}:
        return False
    vision, text, patch = architecture.vision.num_features, architecture.text.num_features, architecture.patch_size
    telling = {
        "vision/patch_kernel": (patch, patch, 3, vision),
        "vision/positions": (architecture.grid_size**2 + 1, vision),
        "text/embedding": (architecture.vocabulary_size, text),
        "text/positions": (architecture.context_length, text),
        "text_projection": (text, architecture.embedding_features),
    }
    return all((read[table[path].names[0]].shape,) == table[path].shapes(shape) for path, shape in telling.items())


def _norm(name: str) -> dict[str, Entry]:
    return {"scale": same(f"{name}.weight"), "bias": same(f"{name}.bias")}


def _linear(name: str) -> dict[str, Entry]:
    return {"kernel": linear(f"{name}.weight"), "bias": same(f"{name}.bias")}


def _third(name: str, number: int, *, transposed: bool) -> Entry:
    """One of three arrays that lie behind each other in a tensor."""

    def shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return ((3 * shape[-1], *shape[:-1]),)

    def make(tensor: np.ndarray) -> np.ndarray:
        part = tensor[number * len(tensor) // 3 : (number + 1) * len(tensor) // 3]
        return part.T if transposed else part

    return Entry((name,), shapes, make)


def _openai(architecture: Architecture) -> dict[str, Entry]:
    def block(name: str) -> dict[str, Entry]:
        table = {
            **under("attention_norm", _norm(f"{name}.ln_1")),
            **under("attention/out", _linear(f"{name}.attn.out_proj")),
            **under("hidden_norm", _norm(f"{name}.ln_2")),
            **under("hidden", _linear(f"{name}.mlp.c_fc")),
            **under("out", _linear(f"{name}.mlp.c_proj")),
        }
        for number, part in enumerate(("query", "key", "value")):
            table[f"attention/{part}/kernel"] = _third(f"{name}.attn.in_proj_weight", number, transposed=True)
            table[f"attention/{part}/bias"] = _third(f"{name}.attn.in_proj_bias", number, transposed=False)
        return table

    def blocks(name: str, num_layers: int) -> dict[str, Entry]:
        each = (under(f"blocks/{i}", block(f"{name}.{i}")) for i in range(num_layers))
        return {path: entry for table in each for path, entry in table.items()}

    vision = {
        "patch_kernel": convolution("visual.conv1.weight"),
        "class_token": same("visual.class_embedding"),
        "positions": same("visual.positional_embedding"),
        **under("norm_before", _norm("visual.ln_pre")),
        **blocks("visual.transformer.resblocks", architecture.vision.num_layers),
        **under("norm_after", _norm("visual.ln_post")),
    }
    text = {
        "embedding": same("token_embedding.weight"),
        "positions": same("positional_embedding"),
        **blocks("transformer.resblocks", architecture.text.num_layers),
        **under("norm_after", _norm("ln_final")),
    }
    return {
        **under("vision", vision),
        **under("text", text),
        "image_projection": same("visual.proj"),
        "text_projection": same("text_projection"),
        "log_scale": same("logit_scale"),
    }


def _hugging_face(architecture: Architecture, *, flax: bool) -> dict[str, Entry]:
    def join(*names: str) -> str:
        return "/".join(name.replace(".", "/") for name in names) if flax else ".".join(names)

    def norm(name: str) -> dict[str, Entry]:
        if flax:
            return {"scale": same(join(name, "scale")), "bias": same(join(name, "bias"))}
        return _norm(name)

    def affine(name: str) -> dict[str, Entry]:
        if flax:
            return {"kernel": same(join(name, "kernel")), "bias": same(join(name, "bias"))}
        return _linear(name)

    def table_of_rows(name: str) -> Entry:
        return same(join(name, "embedding" if flax else "weight"))

    def projection(name: str) -> Entry:
        return same(join(name, "kernel")) if flax else linear(join(name, "weight"))

    def tower(name: str, num_layers: int, last_norm: str) -> dict[str, Entry]:
        table = {
            "positions": table_of_rows(f"{name}.embeddings.position_embedding"),
            **under("norm_after", norm(f"{name}.{last_norm}")),
        }
        for number in range(num_layers):
            layer = f"{name}.encoder.layers.{number}"
            for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
                table |= under(f"blocks/{number}/attention/{ours}", affine(f"{layer}.self_attn.{theirs}_proj"))
            table |= under(f"blocks/{number}/attention_norm", norm(f"{layer}.layer_norm1"))
            table |= under(f"blocks/{number}/hidden_norm", norm(f"{layer}.layer_norm2"))
            table |= under(f"blocks/{number}/hidden", affine(f"{layer}.mlp.fc1"))
            table |= under(f"blocks/{number}/out", affine(f"{layer}.mlp.fc2"))
        return table

    patches = "vision_model.embeddings.patch_embedding"
    vision = {
        "patch_kernel": same(join(patches, "kernel")) if flax else convolution(join(patches, "weight")),
        "class_token": same(join("vision_model.embeddings.class_embedding")),
        **under("norm_before", norm("vision_model.pre_layrnorm")),  # spelled so in the files
        **tower("vision_model", architecture.vision.num_layers, "post_layernorm"),
    }
    text = {
        "embedding": table_of_rows("text_model.embeddings.token_embedding"),
        **tower("text_model", architecture.text.num_layers, "final_layer_norm"),
    }
    return {
        **under("vision", vision),
        **under("text", text),
        "image_projection": projection("visual_projection"),
        "text_projection": projection("text_projection"),
        "log_scale": same("logit_scale"),
    }
