"""Sorting and ranking rows: ours, XLA, NumPy and PyTorch.

The derivative that is timed is that of a weighted sum of the sorted values.
"""

import math

import numpy as np

from benchmarks import backends, harness, limits
from benchmarks.backends import JAX, NUMPY, TORCH
from benchmarks.harness import OURS, Implementation, Size


def sizes(*, quick: bool) -> list[Size]:
    """Returns the sweep; quick: two small sizes."""
    if quick:
        return [{"rows": 64, "n": 256}, {"rows": 64, "n": 1024}]
    few = [{"rows": 64, "n": n} for n in (256, 1024, 4096, 16384)]
    many = [{"rows": 1024, "n": n} for n in (256, 1024, 4096, 16384, 65536)]
    return few + many


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns normal rows and the weights of the loss."""
    rng = np.random.default_rng(0)
    shape = (size["rows"], size["n"])
    # Growing along the row, so that the weighted sum is not a small difference of large ones.
    weights = np.linspace(-1.0, 1.0, size["n"], dtype=np.float32) + 0.1 * rng.standard_normal(shape, np.float32)
    return {"y": rng.standard_normal(shape, np.float32), "weights": weights}


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case."""
    return harness.Case(
        name="sorting",
        sizes=sizes(quick=quick),
        make_inputs=make_inputs,
        implementations=[*_sort(), *_ranks()],
        least_work=least_work,
        formula=(
            "every value read and written once, 8·rows·n bytes (the gradient: the weights read and the gradient "
            "written besides, 16·rows·n); log2(n!) comparisons a row."
        ),
        weight=lambda size: 1 + 1.2e-6 * size["rows"] * size["n"],
        call_limit=40.0,
    )


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del task  # a rank is as wide as a value
    values = size["rows"] * size["n"]
    num_bytes = (8 if mode == "value" else 16) * values
    return limits.Work(bytes=num_bytes, comparisons=size["rows"] * limits.sort_comparisons(size["n"]))


def _work(size: Size) -> float:
    return size["rows"] * size["n"] * math.log2(size["n"])


def _sort() -> list[Implementation]:
    def with_loss(sort, value_and_grad):
        def loss(y, weights):
            return (sort(y) * weights).sum()

        return {"value": lambda y, weights: sort(y), "value_and_grad": value_and_grad(loss)}

    def ours(size: Size):
        from gentoolkit.distances import sorting

        return with_loss(sorting.sort, lambda loss: backends.jax_modes(loss)["value_and_grad"])

    def xla(size: Size):
        import jax.numpy as jnp

        modes = with_loss(jnp.sort, lambda loss: backends.jax_modes(loss)["value_and_grad"])
        # The largest size has a target for the value only, and the gradient would take a minute a call.
        return modes if size["n"] <= 16384 else {"value": modes["value"]}

    def numpy(size: Size):
        return {"value": lambda y, weights: np.sort(y, axis=-1)}

    def torch(size: Size):
        import torch

        return with_loss(
            lambda y: torch.sort(y, dim=-1).values, lambda loss: backends.torch_modes(loss)["value_and_grad"]
        )

    arguments = ("y", "weights")
    return [
        Implementation(OURS, "sort", JAX, arguments, ours, _work),
        Implementation("jax.numpy", "sort", JAX, arguments, xla, _work),
        Implementation("NumPy/SciPy", "sort", NUMPY, arguments, numpy, _work),
        Implementation("PyTorch", "sort", TORCH, arguments, torch, _work, requires=("torch",)),
    ]


def _ranks() -> list[Implementation]:
    def ours(size: Size):
        from gentoolkit.distances import sorting

        return {"value": sorting.ranks}

    def xla(size: Size):
        import jax.numpy as jnp

        # One sort: the largest size is left to `sort`.
        return {"value": lambda y: jnp.argsort(y, axis=-1)} if size["n"] <= 16384 else {}

    def numpy(size: Size):
        return {"value": lambda y: np.argsort(y, axis=-1)}

    def torch(size: Size):
        import torch

        return {"value": lambda y: torch.argsort(y, dim=-1)}

    note = "argsort only: the permutation, not its inverse, the ranks, which would cost more"
    return [
        Implementation(OURS, "ranks", JAX, ("y",), ours, _work),
        Implementation("jax.numpy", "ranks", JAX, ("y",), xla, _work, note=note, comparable=False),
        Implementation("NumPy/SciPy", "ranks", NUMPY, ("y",), numpy, _work, note=note, comparable=False),
        Implementation(
            "PyTorch", "ranks", TORCH, ("y",), torch, _work, requires=("torch",), note=note, comparable=False
        ),
    ]
