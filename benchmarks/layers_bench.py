"""Layers of image-to-image networks, value and both gradients: ours, XLA's own, and PyTorch in both layouts.

Float32, batch 8. The loss is the mean square of the output. `penalty` layers are what a gradient penalty asks of one
layer: the gradient in the kernel of the mean squared gradient of tanh(output) in the input. What is timed is CPU time,
with `--cores=1` that of one pinned core: on a shared machine it says what a layer costs where time on the wall says who
else was at work. Ours and XLA's own are compiled with the options that `gentoolkit.training` compiles with.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, harness, limits
from benchmarks.backends import JAX_AS_TRAINING, TORCH
from benchmarks.harness import OURS, Implementation, Size

XLA, CHANNELS_FIRST, CHANNELS_LAST = "XLA's own", "PyTorch", "PyTorch, channels last"
_BATCH = 8
# Kind of layer: (kernel, stride, sizes as (pixels, input channels, output channels)).
_CONVOLUTIONS = {
    "3x3": (3, 1, [(16, 128, 128), (16, 256, 256), (32, 64, 64)]),
    "4x4": (4, 1, [(16, 128, 256), (16, 256, 1)]),
    "7x7": (7, 1, [(64, 3, 64), (64, 16, 3), (64, 64, 3)]),
    "strided_3x3": (3, 2, [(32, 64, 128)]),
    "strided_4x4": (4, 2, [(32, 64, 128)]),
    "transposed_3x3": (3, 2, [(32, 32, 16), (16, 256, 128), (32, 128, 64)]),
    "transposed_4x4": (4, 2, [(32, 64, 32), (16, 256, 128)]),
    "resized_3x3": (3, 1, [(16, 128, 64), (32, 64, 32)]),
    "penalty_3x3": (3, 2, [(32, 64, 128)]),
    "penalty_4x4": (4, 2, [(64, 3, 64), (32, 64, 128)]),
}
_NORM = "instance_norm"
# The most of PyTorch's better layout that is asked for, by kind and size of input channels (None: all).
TARGETS = {
    ("3x3", 256): 0.75,
    ("3x3", 128): 0.80,
    ("7x7", 64): 0.75,
    ("7x7", 16): 0.75,
    ("transposed_3x3", None): 1.20,
    ("transposed_4x4", None): 1.20,
    ("resized_3x3", None): 0.65,
    ("penalty_3x3", None): 1.00,
    ("penalty_4x4", None): 1.00,
}


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns a case for each kind of layer; quick: small images and few channels."""
    small = [(8, 4, 4)]
    found = [_convolution(kind, small if quick else sizes) for kind, (_, _, sizes) in _CONVOLUTIONS.items()]
    return [*found, _norm([(8, 4, 4)] if quick else [(64, 64, 64), (16, 256, 256)])]


def tasks() -> list[tuple[str, Size]]:
    """Returns every kind with each of its sizes, as the full suite has them."""
    return [(case.name.removeprefix("layers_"), size) for case in cases() for size in case.sizes]


def _sizes(sizes: Sequence[tuple[int, int, int]]) -> list[Size]:
    return [{"pixels": pixels, "from": ci, "to": co} for pixels, ci, co in sizes]


def _convolution(kind: str, sizes: Sequence[tuple[int, int, int]]) -> harness.Case:
    kernel, _, _ = _CONVOLUTIONS[kind]

    def make_inputs(size: Size) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((_BATCH, size["pixels"], size["pixels"], size["from"]), np.float32)
        w = rng.standard_normal((kernel, kernel, size["from"], size["to"]), np.float32)
        return {"x": x, "w": w / (kernel * size["from"] ** 0.5)}

    return harness.Case(
        name=f"layers_{kind}",
        sizes=_sizes(sizes),
        make_inputs=make_inputs,
        implementations=[
            Implementation(OURS, kind, JAX_AS_TRAINING, ("x", "w"), lambda size: _jax(kind, _ours(kind)), _work(kind)),
            Implementation(XLA, kind, JAX_AS_TRAINING, ("x", "w"), lambda size: _jax(kind, _xla(kind)), _work(kind)),
            _torch(kind, CHANNELS_FIRST),
            _torch(kind, CHANNELS_LAST),
        ],
        least_work=lambda task, mode, size: limits.Work(flops=_work(kind)(size)),
        formula=(
            "two operations for each product of the direct sum over the kernel, three times: value, gradient in the "
            "input, gradient in the kernel (a penalty: value and both gradients of two of them). Forms with fewer "
            "products may pass this limit."
        ),
        weight=lambda size: 1.0 + 3e-10 * _work(kind)(size),
        call_limit=3.0,
        sweep="from",
        clock=time.process_time,
    )


def _work(kind: str) -> Callable[[Size], float]:
    kernel, stride, _ = _CONVOLUTIONS[kind]

    def operations(size: Size) -> float:
        places = (size["pixels"] * (2 if kind.startswith("resized") else 1)) ** 2
        if not kind.startswith("transposed"):
            places //= stride**2
        passes = 6 if kind.startswith("penalty") else 3
        return passes * 2.0 * _BATCH * places * kernel**2 * size["from"] * size["to"]

    return operations


def _jax(kind: str, layer: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    def loss(x, w):
        return jnp.mean(jnp.square(layer(x, w)))

    def penalty(x, w):
        slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(layer(x, w))))(x)
        return jnp.mean(jnp.square(slopes))

    if kind.startswith("penalty"):
        return {"value_and_grad": jax.value_and_grad(penalty, 1)}

    def value_and_grad(x, w):
        value, slopes = jax.value_and_grad(loss, (0, 1))(x, w)
        return value, *slopes

    return {"value_and_grad": value_and_grad}


def _padding(kind: str) -> int:
    return 3 if kind == "7x7" else 1


def _ours(kind: str) -> Callable[..., Any]:
    from gentoolkit.nn import convolution

    _, stride, _ = _CONVOLUTIONS[kind]
    if kind.startswith("transposed"):
        return lambda x, w: convolution.transposed(
            x, w.swapaxes(2, 3), (2 * x.shape[1], 2 * x.shape[2]), strides=(2, 2), padding=1
        )
    if kind.startswith("resized"):
        return convolution.resized
    return lambda x, w: convolution.convolve(x, w, strides=(stride, stride), padding=_padding(kind))


def _xla(kind: str) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    _, stride, _ = _CONVOLUTIONS[kind]

    def convolve(x, w, stride, padding, dilation=1):
        return jax.lax.conv_general_dilated(
            x,
            w,
            (stride, stride),
            (padding, padding),
            lhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    if kind.startswith("transposed"):

        def transposed(x, w):
            after = w.shape[0] - 1 - 1 + w.shape[0] % 2  # the output has twice the size for odd kernels too
            return convolve(x, jnp.flip(w, (0, 1)), 1, (w.shape[0] - 2, after), 2)

        return transposed
    if kind.startswith("resized"):
        return lambda x, w: convolve(x.repeat(2, axis=1).repeat(2, axis=2), w, 1, (1, 1))
    return lambda x, w: convolve(x, w, stride, (_padding(kind),) * 2)


def _torch(kind: str, name: str) -> Implementation:
    def build(size: Size):
        import torch
        from torch.nn import functional

        _, stride, _ = _CONVOLUTIONS[kind]
        layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format

        def layer(x, w):
            if kind.startswith("transposed"):
                odd = w.shape[2] % 2
                return functional.conv_transpose2d(x, w.transpose(0, 1), stride=2, padding=1, output_padding=odd)
            if kind.startswith("resized"):
                return functional.conv2d(functional.interpolate(x, scale_factor=2), w, padding=1)
            return functional.conv2d(x, w, stride=stride, padding=_padding(kind))

        # Moved into the layout once, as a network's parameters and its batch would be.
        kept: dict[str, Any] = {}

        def prepared(x, w):
            if not kept:
                kept["x"] = x.permute(0, 3, 1, 2).contiguous(memory_format=layout).requires_grad_()
                kept["w"] = w.permute(3, 2, 0, 1).contiguous(memory_format=layout).requires_grad_()
            return kept["x"], kept["w"]

        def run(x, w):
            x, w = prepared(x, w)
            if kind.startswith("penalty"):
                (slopes,) = torch.autograd.grad(torch.tanh(layer(x, w)).sum(), x, create_graph=True)
                value = slopes.square().mean()
                (of_kernel,) = torch.autograd.grad(value, w)
                return value.detach(), of_kernel.permute(2, 3, 1, 0)
            value = layer(x, w).square().mean()
            of_input, of_kernel = torch.autograd.grad(value, (x, w))
            return value.detach(), of_input.permute(0, 2, 3, 1), of_kernel.permute(2, 3, 1, 0)

        return {"value_and_grad": run}

    return Implementation(name, kind, TORCH, ("x", "w"), build, _work(kind), requires=("torch",))


def _norm(sizes: Sequence[tuple[int, int, int]]) -> harness.Case:
    def make_inputs(size: Size) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        shape = (_BATCH, size["pixels"], size["pixels"], size["from"])
        return {"x": rng.standard_normal(shape, np.float32), "target": rng.standard_normal(shape, np.float32)}

    def work(size: Size) -> float:
        return _BATCH * size["pixels"] ** 2 * size["from"]

    def ours(size: Size):
        import jax.numpy as jnp
        from flax import nnx

        from gentoolkit.nn import normalization

        norm = normalization.instance(size["from"], rngs=nnx.Rngs(0))
        loss = lambda x, target: jnp.mean(jnp.square(norm(x) - target))  # noqa: E731
        return {"value_and_grad": backends.jax_modes(loss)["value_and_grad"]}

    def torch(name: str):
        def build(size: Size):
            import torch

            layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
            kept: list[Any] = []

            def run(x, target):
                if not kept:
                    kept.extend(a.permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in (x, target))
                    kept[0].requires_grad_()
                value = (torch.nn.functional.instance_norm(kept[0]) - kept[1]).square().mean()
                (slope,) = torch.autograd.grad(value, kept[0])
                return value.detach(), slope.permute(0, 2, 3, 1)

            return {"value_and_grad": run}

        return Implementation(name, _NORM, TORCH, ("x", "target"), build, work, requires=("torch",))

    return harness.Case(
        name=f"layers_{_NORM}",
        sizes=_sizes(sizes),
        make_inputs=make_inputs,
        implementations=[
            Implementation(OURS, _NORM, JAX_AS_TRAINING, ("x", "target"), ours, work),
            torch(CHANNELS_FIRST),
            torch(CHANNELS_LAST),
        ],
        least_work=lambda task, mode, size: limits.Work(bytes=12 * work(size)),
        formula="input and target read and the gradient written once.",
        weight=lambda size: 1.0,
        sweep="from",
        clock=time.process_time,
    )
