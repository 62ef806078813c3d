"""Epps-Pulley by 17 nodes, averaged over slices: SIGReg, as a training step with many features takes it.

Task `epps_pulley_quadrature` is ours beside LeJEPA's own class (where its checkout is on PYTHONPATH) and the same sums
written plainly in PyTorch and in jax.numpy, all on the same directions. Task `projection` is what no form can do
without: the products with the directions, and with their transposes for the gradient. Times are of the work of all
threads, where this is a CPU.
"""

import itertools

import numpy as np

from benchmarks import backends, harness, limits, sliced_bench
from benchmarks.backends import JAX, TORCH
from benchmarks.harness import OURS, Implementation, Size

TASK, PROJECTION, PEER = "epps_pulley_quadrature", "projection", "lejepa"
_NODES, _LAST = 17, 3.0


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case."""
    sweep = itertools.product((256, 1024), (256, 1024, 4096))
    sizes = [{"n": n, "d": 512, "slices": slices} for slices, n in sweep]
    sizes += [{"n": n, "d": 512, "slices": 256} for n in (64, 128, 512)]
    return harness.Case(
        name="sigreg",
        sizes=[{"n": 128, "d": 16, "slices": 32}] if quick else sizes,
        make_inputs=sliced_bench.make_inputs,
        implementations=_implementations(),
        least_work=_least_work,
        formula=(
            "sample and directions read, gradient written, once each; 2·n·d·slices operations for the projection and "
            "as many for its adjoint; for each projected value two special functions (sine and cosine), and 4·16 "
            "operations to turn it through the nodes, as many again for the gradient."
        ),
        weight=lambda size: 4 + 4e-6 * size["n"] * size["slices"],
        clock=backends.clock_of_work,
    )


def _least_work(task: str, mode: str, size: Size) -> limits.Work:
    n, d, slices = size["n"], size["d"], size["slices"]
    products = 1 if mode == "value" else 2
    nodes = 0 if task == PROJECTION else 4 * (_NODES - 1)
    return limits.Work(
        bytes=4 * (products * n * d + slices * d),
        flops=products * n * slices * (2 * d + nodes),
        exponentials=0 if task == PROJECTION else 2 * n * slices,
    )


def _rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, the normal characteristic function there, and weights of the trapezoid rule."""
    nodes = np.linspace(0, _LAST, _NODES)
    target = np.exp(-(nodes**2) / 2)
    weights = np.full(_NODES, 2 * _LAST / (_NODES - 1))
    weights[[0, -1]] /= 2
    return tuple(each.astype(np.float32) for each in (nodes, target, weights * target))  # type: ignore[return-value]


def _implementations() -> list[Implementation]:
    arguments = ("x", "directions")

    def ours(size: Size):
        from gentoolkit.distances import normality, sliced

        def loss(x, directions):
            return sliced.distance(normality.epps_pulley_quadrature, x, directions=directions)

        return backends.jax_modes(loss)

    def projection(size: Size):
        from gentoolkit.distances import sliced

        # A square, so that the gradient needs the product with the transposes and cannot be known beforehand.
        return backends.jax_modes(lambda x, directions: (sliced.project(x, directions) ** 2).mean())

    def xla(size: Size):
        import jax
        import jax.numpy as jnp

        nodes, target, weights = _rule()

        def loss(x, directions):
            y = jnp.matmul(directions, x.T, precision=jax.lax.Precision.HIGHEST)
            phase = y[..., None] * nodes
            real, imaginary = jnp.cos(phase).mean(-2) - target, jnp.sin(phase).mean(-2)
            return size["n"] * ((real**2 + imaginary**2) @ weights).mean()

        return backends.jax_modes(loss)

    def torch(size: Size):
        import torch

        nodes, target, weights = (torch.from_numpy(each).to(backends.torch_device()) for each in _rule())

        def loss(x, directions):
            phase = (directions @ x.T)[..., None] * nodes
            real, imaginary = torch.cos(phase).mean(-2) - target, torch.sin(phase).mean(-2)
            return size["n"] * ((real**2 + imaginary**2) @ weights).mean()

        return backends.torch_modes(loss)

    def lejepa(size: Size):
        import lejepa

        statistic = lejepa.univariate.EppsPulley().to(backends.torch_device())
        return backends.torch_modes(lambda x, projections: statistic(x @ projections).mean())

    def at_nodes(size: Size) -> float:
        return size["slices"] * size["n"] * (_NODES + size["d"] / 16)

    def memory(mode: str, size: Size) -> float:
        return 4 * size["slices"] * size["n"] * _NODES * (4 if mode == "value" else 7)

    plain = "all sines and cosines at once"
    return [
        Implementation(OURS, TASK, JAX, arguments, ours, at_nodes),
        Implementation("jax.numpy", TASK, JAX, arguments, xla, at_nodes, memory=memory, note=plain),
        Implementation("PyTorch", TASK, TORCH, arguments, torch, at_nodes, ("torch",), memory=memory, note=plain),
        Implementation(
            PEER,
            TASK,
            TORCH,
            ("x", "projections"),
            lejepa,
            at_nodes,
            ("torch", "lejepa"),
            memory=memory,
            note="its class",
        ),
        Implementation("jax.numpy", PROJECTION, JAX, arguments, projection, at_nodes, comparable=False),
    ]
