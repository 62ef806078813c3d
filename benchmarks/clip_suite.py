"""The suite `clip`: embeddings of images by ViT-B/32, from host arrays, beside PyTorch's networks on the same weights.

Tasks: `embed` (images to embeddings) and `guide` (the cosine distance from a text, with its gradient in the images).
PyTorch's networks run eager with channels last, their fused attention, and without tracking gradients where none is
asked for. On CPUs the time is that of all threads (`--cores=1` leaves one, so that none waits for another), on a GPU
that on the wall.
"""

from collections.abc import Sequence

import jax
import numpy as np

from benchmarks import backends, clip_peers, harness, limits, targets
from benchmarks.backends import JAX_STEP, TORCH_STEP
from benchmarks.harness import OURS, Implementation, Row, Size
from gentoolkit.models import clip

_PEERS = ("open_clip", "transformers")
_BATCH = 32


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the one case; quick: one image."""
    return [
        harness.Case(
            name="clip_images",
            sizes=[{"batch": 1}] if quick else [{"batch": 1}, {"batch": _BATCH}],
            make_inputs=make_inputs,
            implementations=[make(task) for task in ("embed", "guide") for make in (_ours, _open_clip, _transformers)],
            least_work=least_work,
            formula=(
                "two operations for each weight of a product and token, four for each pair of tokens and feature; the "
                "gradient in the images takes as many again; every weight read once."
            ),
            weight=lambda size: float(size["batch"]),
            call_limit=120.0,
            sweep="batch",
            clock=backends.clock_of_work,
        )
    ]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met."""
    del quick
    table, size = targets.Table(rows), {"batch": _BATCH}
    lines = []
    for task in ("embed", "guide"):
        start = f"CLIP ViT-B/32, batch {_BATCH}, {task}, level with PyTorch"
        ours, peer = table.find(OURS, task, "value", size), table.best_peer(task, "value", size)
        if ours is None or peer is None:
            lines.append(f"{start}: not measured in this run")
            continue
        ratio = peer["seconds"] / ours["seconds"]
        rates = [f"{_BATCH / row['seconds']:.1f} images/s" for row in (ours, peer)]
        limit = f"{ours['times_limit']:.2f} times the least time by {ours['limit_from']}"
        lines.append(
            f"{start}: {ratio:.2f}× ({rates[0]}, {limit}, against {rates[1]}, {peer['implementation']}): "
            f"{targets.verdict(ratio >= 1)}"
        )
    return lines


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns images of noise and embeddings of made-up texts."""
    rng = np.random.default_rng(0)
    side = clip.VIT_B_32.image_size
    return {
        "images": rng.random((size["batch"], side, side, 3), np.float32),
        "texts": rng.standard_normal((size["batch"], clip.VIT_B_32.embedding_features), np.float32),
    }


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    sizes, tower = clip.VIT_B_32, clip.VIT_B_32.vision
    width, patches = tower.num_features, sizes.grid_size**2
    tokens = patches + 1
    weights = tower.num_layers * 12 * width**2
    flops = 2 * (tokens * weights + patches * width * sizes.patch_size**2 * 3 + width * sizes.embedding_features)
    flops += tower.num_layers * 4 * tokens**2 * width
    passes = 2 if task == "guide" else 1
    return limits.Work(bytes=4.0 * passes * weights, flops=float(size["batch"]) * passes * flops)


def _work(size: Size) -> float:
    return size["batch"]


def _ours(task: str) -> Implementation:
    def build(size: Size):
        from gentoolkit import training
        from gentoolkit.models import weights

        arrays = clip_peers.random_state(clip.VIT_B_32, "openai")
        read = weights.Weights(arrays, path="random", format="numpy", sha256="")
        model = clip.from_weights(read, clip.VIT_B_32)

        models = {"clip": model}

        def guide(images, models, texts):
            return clip.guidance(models["clip"], images, texts, image_range=(0, 1)).sum()

        # Compiled as evaluators and the command compile.
        embed = training.jit(lambda models, images, texts: models["clip"].encode_image(images))
        slope = training.jit(lambda models, images, texts: jax.value_and_grad(guide)(images, models, texts))
        call = embed if task == "embed" else slope
        return {"value": lambda images, texts: jax.block_until_ready(call(models, images, texts))}

    return Implementation(OURS, task, JAX_STEP, ("images", "texts"), build, _work)


def _open_clip(task: str) -> Implementation:
    def build(size: Size):
        network = clip_peers.open_clip(clip.VIT_B_32, clip_peers.random_state(clip.VIT_B_32, "openai"))
        return {"value": _torch(task, network, lambda network, pixels: network.encode_image(pixels))}

    requires = ("torch", "open_clip")
    return Implementation("open_clip", task, TORCH_STEP, ("images", "texts"), build, _work, requires=requires)


def _transformers(task: str) -> Implementation:
    def build(size: Size):
        network = clip_peers.transformers(clip.VIT_B_32, clip_peers.random_state(clip.VIT_B_32, "hugging_face"))

        def embed(network, pixels):
            return network.visual_projection(network.vision_model(pixels).pooler_output)

        return {"value": _torch(task, network, embed)}

    return Implementation(
        "transformers",
        task,
        TORCH_STEP,
        ("images", "texts"),
        build,
        _work,
        requires=("torch", "transformers"),
        comparable=False,
        note="random weights under its own names, so other numbers",
    )


def _torch(task: str, network, embed):
    """A function of host images and texts, with pixels normalized on the device as ours does."""
    import torch

    from gentoolkit.models.clip import towers

    device = backends.torch_device()
    network = network.to(device, memory_format=torch.channels_last)
    mean, deviation = (torch.tensor(x, device=device)[:, None, None] for x in (towers.MEAN, towers.STANDARD_DEVIATION))

    def pixels(images):
        return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)

    def run(images, texts):
        if task == "embed":
            with torch.inference_mode():
                return embed(network, (pixels(images) - mean) / deviation)
        given = pixels(images).requires_grad_(True)
        cosine = torch.nn.functional.cosine_similarity(
            embed(network, (given - mean) / deviation), torch.from_numpy(texts).to(device)
        )
        loss = (1 - cosine).sum()
        (slope,) = torch.autograd.grad(loss, given)
        return loss.detach(), slope.permute(0, 2, 3, 1).contiguous()

    return run
