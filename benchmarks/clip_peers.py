"""CLIP in PyTorch, with random weights that both sides are given, and texts that tokenizers differ about."""

import importlib.util
import pathlib
import random
from typing import Any

import numpy as np

from benchmarks import image_peers
from gentoolkit.models import clip


def random_state(architecture: clip.Architecture, naming: Any) -> dict[str, np.ndarray]:
    """Random tensors under the names of a kind of files, the same on every machine; norms scale by about 1."""
    state = image_peers.random_state(clip.shapes(architecture), clip.table_of(architecture, naming))
    norms = ("ln_1.weight", "ln_2.weight", "ln_pre.weight", "ln_post.weight", "ln_final.weight")
    norms += ("layer_norm1.weight", "layer_norm2.weight", "layrnorm.weight", "layernorm.weight", "layer_norm.weight")
    return {name: x + 1 if name.endswith(norms) else x for name, x in state.items()}


def open_clip(architecture: clip.Architecture, state: dict[str, np.ndarray] | None) -> Any:
    """OpenCLIP's network of these sizes, for inference; without a state only its shapes."""
    import torch
    from open_clip import model

    def config(tower: clip.Tower) -> dict[str, Any]:
        ratio = tower.hidden_features / tower.num_features if tower.hidden_features else 4.0
        return {"width": tower.num_features, "layers": tower.num_layers, "mlp_ratio": ratio}

    vision, text = architecture.vision, architecture.text
    with torch.device("meta"):
        network = model.CLIP(
            architecture.embedding_features,
            model.CLIPVisionCfg(
                **config(vision),
                head_width=vision.num_features // vision.num_heads,
                patch_size=architecture.patch_size,
                image_size=architecture.image_size,
            ),
            model.CLIPTextCfg(
                **config(text),
                heads=text.num_heads,
                context_length=architecture.context_length,
                vocab_size=architecture.vocabulary_size,
            ),
            quick_gelu=architecture.activation == "quick_gelu",
        )
    if state is None:
        return network
    network.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()}, assign=True)
    # A buffer that no state holds, and that `meta` has left without numbers.
    network.attn_mask = torch.full([architecture.context_length] * 2, -torch.inf).triu(1)
    return network.eval().requires_grad_(False)


def transformers(architecture: clip.Architecture, state: dict[str, np.ndarray]) -> Any:
    """The network of Hugging Face of these sizes, for inference."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    def config(tower: clip.Tower) -> dict[str, Any]:
        return {
            "hidden_size": tower.num_features,
            "num_hidden_layers": tower.num_layers,
            "num_attention_heads": tower.num_heads,
            "intermediate_size": tower.hidden_features or 4 * tower.num_features,
            "hidden_act": architecture.activation,
        }

    network = CLIPModel(
        CLIPConfig(
            vision_config={
                **config(architecture.vision),
                "image_size": architecture.image_size,
                "patch_size": architecture.patch_size,
            },
            text_config={
                **config(architecture.text),
                "vocab_size": architecture.vocabulary_size,
                "max_position_embeddings": architecture.context_length,
                "bos_token_id": architecture.vocabulary_size - 2,
                "eos_token_id": architecture.vocabulary_size - 1,
            },
            projection_dim=architecture.embedding_features,
        )
    )
    network.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()})
    return network.eval().requires_grad_(False)


def normalized(images: np.ndarray) -> np.ndarray:
    """Images `[b, h, w, 3]` in [0, 1] as PyTorch's networks take them, `[b, 3, h, w]` less mean over deviation."""
    from gentoolkit.models.clip import towers

    scaled = (images - np.float32(towers.MEAN)) / np.float32(towers.STANDARD_DEVIATION)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def texts(num: int) -> list[str]:
    """Texts of ten kinds, in turn: plain and odd ones, with what tokenizers stumble over."""
    draw = random.Random(0)
    plain = "a photo of the red cat on my old wooden table next to two small dogs in autumn rain".split()
    clitics = ["It's", "they'RE", "don't", "we'd", "I'LL", "'ve", "'s", "o'clock", "''", "rock'n'roll"]
    entities = ["&amp;", "&lt;b&gt;", "&amp;amp;", "&#39;", "&eacute;", "&nbsp;", "&#x1F600;", "&notanentity;", "&"]
    emoji = list("\U0001f600\U0001f44d\u2764\u2b50\U0001f431") + [
        "\U0001f44d\U0001f3fd",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ]
    accents = [
        "Caf\u00e9",
        "cafe\u0301",
        "\u00dcber",
        "stra\u00dfe",
        "\u0130stanbul",
        "\u00f1and\u00fa",
        "\ufb01sh",
        "\uff21\uff22",
    ]
    scripts = [
        "\u4f60\u597d",
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u0645\u0631\u062d\u0628\u0627",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\ud55c\uad6d",
        "\u03b1\u0345",
    ]
    broken = [
        "sch\u00c3\u00b6n",
        "\u00e2\u20ac\u0153so\u00e2\u20ac",
        "\u201cquoted\u201d",
        "it\u2019s",
        "\x85",
        "L\x92art",
    ]
    control = [
        "\x00",
        "\x07",
        "\t",
        "\n",
        "\r\n",
        "\x0b",
        "\x1b[31m",
        "\x7f",
        "\u200b",
        "\u2028",
        "\u00ad",
        "\ufeff",
        "\u3000",
    ]
    numbers = [
        "3.14",
        "1,000",
        "2024-01-01",
        "\u0664\u0662",
        "\u00bd",
        "x\u00b2",
        "#42",
        "$9.99",
        "...",
        "!?",
        "--",
        "a_b",
        "C++",
    ]
    special = [
        "<|endoftext|>",
        "<|startoftext|>",
        "!<|endoftext|>",
        "<|ENDOFTEXT|>",
        "<end_of_text",
        "</w>",
        "low</w>er",
    ]
    kinds = [plain, clitics, entities, emoji, accents, scripts, broken, control, numbers, special]
    found = []
    for row in range(num):
        words = kinds[row % 10] if row % 10 == 0 else kinds[row % 10] * 2 + plain
        length = 200 if row % 50 == 0 else draw.randint(0, 25)
        found.append(draw.choice(["", " ", "  "]).join(draw.choice(words) for _ in range(length)))
    return found


def openai_tokens(vocabulary: pathlib.Path, rows: list[str]) -> np.ndarray:
    """Tokens by OpenAI's own code (the file alone: its package asks for modules that newer setuptools lack)."""
    package = importlib.util.find_spec("clip")
    assert package is not None and package.submodule_search_locations is not None
    path = pathlib.Path(package.submodule_search_locations[0]) / "simple_tokenizer.py"
    spec = importlib.util.spec_from_file_location("openai_simple_tokenizer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    theirs = module.SimpleTokenizer(str(vocabulary))
    found = np.zeros((len(rows), 77), np.int64)
    for row, text in enumerate(rows):
        tokens = [theirs.encoder["<|startoftext|>"], *theirs.encode(text)][:76]
        found[row, : len(tokens) + 1] = [*tokens, theirs.encoder["<|endoftext|>"]]
    return found


def open_clip_tokens(vocabulary: pathlib.Path, rows: list[str]) -> np.ndarray:
    """Tokens by OpenCLIP, which knows start and end by other names; texts that write them out are not for it."""
    from open_clip import tokenizer

    return tokenizer.SimpleTokenizer(str(vocabulary))(rows, 77).numpy()


def transformers_tokens(folder: pathlib.Path, rows: list[str]) -> np.ndarray:
    """Tokens by Hugging Face from vocab.json and merges.txt in a folder; zeros behind the end, as OpenAI has them."""
    from transformers import CLIPTokenizer

    found = np.zeros((len(rows), 77), np.int64)
    for row, tokens in enumerate(
        CLIPTokenizer.from_pretrained(folder)(rows, truncation=True, max_length=77)["input_ids"]
    ):
        found[row, : len(tokens)] = tokens
    return found
