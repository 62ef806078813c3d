"""Features of Inception v3 and perceptual distances beside pytorch-fid and lpips, on the same random weights.

Tasks: `inception` (2,048 features of images of 299x299), `lpips_alex` and `lpips_vgg` (pairs of 64x64; value, and value
with the gradient in the first image; without learned heads, whose cost is nil). PyTorch's networks and images are
`channels_last`, its best setting. Ours is compiled by `training.jit`, as evaluators compile. On CPU the timings are of
processor time; with `--cores=1` the physical limit is that of one core, and no thread waits busily for another.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from benchmarks import harness, limits
from benchmarks.backends import JAX_STEP, TORCH, clock_of_work, torch_device, torch_modes
from benchmarks.harness import OURS, Implementation, Size

_TRUNKS = {"lpips_alex": "alex", "lpips_vgg": "vgg"}


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: one image."""
    batch = 1 if quick else 32
    common: dict[str, Any] = {
        "make_inputs": make_inputs,
        "least_work": least_work,
        "weight": lambda size: 2.0 * size["batch"],
        "call_limit": 60.0,
        "sweep": "batch",
        "clock": clock_of_work,
    }
    return [
        harness.Case(
            name="image_networks_inception",
            sizes=[{"batch": batch, "side": 107 if quick else 299}],
            implementations=[_ours("inception"), _pytorch_fid()],
            formula="two operations for each weight of a convolution and pixel of its output",
            **common,
        ),
        harness.Case(
            name="image_networks_lpips",
            sizes=[{"batch": batch, "side": 64}],
            implementations=[made for task in _TRUNKS for made in (_ours(task), _lpips(task))],
            formula=(
                "two operations for each weight of a convolution and pixel of its output, for both images; as many "
                "again for one of them with the gradient"
            ),
            **common,
        ),
    ]


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns smooth images in [0, 1] with some noise, and others beside them."""
    rng = np.random.default_rng(0)
    shape = (size["batch"], size["side"], size["side"], 3)
    step = -(-size["side"] // 8)
    coarse = rng.random((2, size["batch"], 8, 8, 3), np.float32).repeat(step, 2).repeat(step, 3)
    coarse = coarse[:, :, : size["side"], : size["side"]]
    images = np.clip(coarse + 0.1 * rng.standard_normal((2, *shape), np.float32), 0, 1)
    return {"images": images[0], "others": images[1]}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    flops, weights = _flops(task, size["side"])
    passes = 1 if task == "inception" else (3 if mode == "value_and_grad" else 2)
    pixels = 3 * size["side"] ** 2 * size["batch"]
    return limits.Work(bytes=4.0 * (weights + passes * pixels), flops=flops * size["batch"] * passes)


@functools.cache
def _flops(task: str, side: int) -> tuple[float, int]:
    """Operations of the convolutions for one image, and the number of parameters."""
    import jax
    from flax import nnx

    graphdef, state = nnx.split(nnx.eval_shape(_network(task)))
    x = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    traced = jax.make_jaxpr(lambda state, x: nnx.merge(graphdef, state)(x))(state, x)
    total = 0.0
    for equation in traced.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel, made = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
            total += 2.0 * np.prod(kernel) * np.prod(made[:3])
    return total, sum(leaf.size for leaf in jax.tree.leaves(state))


def _network(task: str):
    from gentoolkit.models.extractors import alexnet, inception, vgg

    return {"inception": inception.InceptionV3, "lpips_alex": alexnet.AlexNet, "lpips_vgg": vgg.VGG16}[task]


@functools.cache
def _state(task: str) -> dict[str, np.ndarray]:
    """The random weights of a task's network, by the names of the published file."""
    from flax import nnx

    from benchmarks import image_peers
    from gentoolkit.models.extractors import alexnet, inception, vgg

    table = {"inception": inception.table, "lpips_alex": alexnet.table, "lpips_vgg": vgg.table}[task]()
    return image_peers.random_state(nnx.eval_shape(_network(task)), table)


def _ours(task: str) -> Implementation:
    def build(size: Size):
        import jax
        from flax import nnx

        from gentoolkit import training
        from gentoolkit.models import weights
        from gentoolkit.models.extractors import alexnet, inception, lpips, vgg

        del size
        table = {"inception": inception.table, "lpips_alex": alexnet.table, "lpips_vgg": vgg.table}[task]()
        file = weights.Weights(_state(task), path="random", format="npz", sha256="")
        network = weights.assign(nnx.eval_shape(_network(task)), table, file)
        if task == "inception":
            features = training.jit(lambda models, x: models["network"](2 * x - 1)["2048"])
            return {"value": lambda x, y: jax.block_until_ready(features({"network": network}, x))}
        models = {"distance": lpips.Lpips(network)}

        def total(x, models, y):
            return models["distance"](x, y, image_range=(0, 1)).mean()

        value = training.jit(lambda models, x, y: total(x, models, y))
        both = training.jit(lambda models, x, y: jax.value_and_grad(total)(x, models, y))
        return {
            "value": lambda x, y: jax.block_until_ready(value(models, x, y)),
            "value_and_grad": lambda x, y: jax.block_until_ready(both(models, x, y)),
        }

    return Implementation(OURS, task, _backend(), ("images", "others"), build, lambda size: float(size["batch"]))


def _backend():
    """What compiles itself at its first call, with arrays that lie on the device."""
    import jax

    return dataclasses.replace(JAX_STEP, put=jax.device_put)


def _pytorch_fid() -> Implementation:
    def build(size: Size):
        import torch

        from benchmarks import image_peers

        del size
        network = image_peers.pytorch_fid(_state("inception"))
        network.output_blocks = [3]
        network = network.to(torch_device()).to(memory_format=torch.channels_last)
        # Pixels beside one another in all channels are `channels_last`: a permuted view of what comes in.
        features = torch_modes(lambda x, y: network(2 * x.permute(0, 3, 1, 2) - 1)[0][:, :, 0, 0])
        return {"value": features["value"]}

    return Implementation(
        "pytorch-fid",
        "inception",
        TORCH,
        ("images", "others"),
        build,
        lambda size: float(size["batch"]),
        requires=("torch", "torchvision", "pytorch_fid"),
        note="channels_last",
    )


def _lpips(task: str) -> Implementation:
    def build(size: Size):
        import lpips as theirs
        import torch

        del size
        distance = theirs.LPIPS(net=_TRUNKS[task], pnet_rand=True, lpips=False, verbose=False).eval()
        state = _state(task)
        own = {name: torch.from_numpy(state[f"features.{name.split('.', 1)[1]}"]) for name in distance.net.state_dict()}
        distance.net.load_state_dict(own)
        distance = distance.requires_grad_(False).to(torch_device()).to(memory_format=torch.channels_last)
        return torch_modes(lambda x, y: distance(x.permute(0, 3, 1, 2), y.permute(0, 3, 1, 2), normalize=True).mean())

    return Implementation(
        "lpips",
        task,
        TORCH,
        ("images", "others"),
        build,
        lambda size: float(size["batch"]),
        requires=("torch", "torchvision", "lpips"),
        note="channels_last",
    )
