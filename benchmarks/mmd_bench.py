"""Maximum mean discrepancy: a mixture of seven inverse multiquadrics (unbiased), and one Gaussian kernel (biased).

The dense form holds all n² pairs of each of its three matrices; ours goes block by block. geomloss has the Gaussian
kernel; its loss is half the squared discrepancy, and is doubled here.
"""

import functools

import numpy as np

from benchmarks import backends, harness, limits
from benchmarks.backends import JAX, NUMPY, TORCH
from benchmarks.harness import OURS, Implementation, Size

_MIXTURE, _GAUSSIAN = "mmd_inverse_multiquadric", "mmd_gaussian"
_FACTORS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def scales(d: int) -> tuple[float, ...]:
    """Returns the constants C of the seven kernels C / (C + |a - b|²), for a standard normal prior in d dimensions."""
    return tuple(2.0 * d * factor for factor in _FACTORS)


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns a sample a little off N(0, I), and one of it."""
    rng = np.random.default_rng(0)
    shape = (size["n"], size["d"])
    x = (1.2 * rng.standard_normal(shape) + 0.1).astype(np.float32)
    return {"x": x, "z": rng.standard_normal(shape, np.float32)}


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case; quick: one small size."""
    # d = 64 first, of which figures are asked: a budget that runs out then leaves out the others.
    sizes = [{"n": n, "d": d} for d in (64, 8) for n in (256, 1024, 4096, 16384)]
    if quick:
        sizes = [{"n": 256, "d": 8}]
    return harness.Case(
        name="mmd",
        sizes=sizes,
        make_inputs=make_inputs,
        implementations=[*_implementations(_MIXTURE), *_implementations(_GAUSSIAN), _geomloss()],
        least_work=least_work,
        formula=(
            "samples read, gradient written, once each; for each of the 2·n² pairs (n²/2 within each sample, n² "
            "across) 2·d operations for the distance and one special function for the kernel; for the gradient 4·d "
            "operations a pair within x and 2·d across."
        ),
        weight=lambda size: 4 + 2.5e-5 * size["n"] ** 1.5,
    )


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del task  # seven rational functions or one exponential: one special function is a lower bound of both
    n, d = size["n"], size["d"]
    flops, num_bytes = 4.0 * d * n**2, 8.0 * n * d
    if mode == "value_and_grad":
        flops += 4.0 * d * n**2
        num_bytes += 4.0 * n * d
    return limits.Work(bytes=num_bytes, flops=flops, exponentials=2.0 * n**2)


def _bandwidth(d: int) -> float:
    return float(np.sqrt(d))


def _dense(task: str, size: Size, exp, matmul, clamp):
    """Returns the dense form for arrays of any library.

    Args:
      task: which kernel and estimator.
      size: n and d.
      exp: the library's exponential.
      matmul: its matrix product.
      clamp: its maximum of an array and 0.

    Returns:
      (x, z) → squared discrepancy.
    """
    n, d = size["n"], size["d"]

    def squared_distances(a, b):
        lengths = (a**2).sum(-1)[:, None] + (b**2).sum(-1)[None, :]
        return clamp(lengths - 2 * matmul(a, b.T))

    def mixture(s):
        return sum(scale / (scale + s) for scale in scales(d))

    def gaussian(s):
        return exp(s * (-0.5 / _bandwidth(d) ** 2))

    kernel = mixture if task == _MIXTURE else gaussian
    diagonal = len(_FACTORS) if task == _MIXTURE else 1

    def within(a):
        total = kernel(squared_distances(a, a)).sum()
        return (total - n * diagonal) / (n * (n - 1)) if task == _MIXTURE else total / n**2

    return lambda x, z: within(x) + within(z) - 2 * kernel(squared_distances(x, z)).mean()


def _work(size: Size) -> float:
    return size["n"] ** 2 * (30 + size["d"])


def _matrices(value: float, value_and_grad: float):
    """Returns the memory of an implementation that holds so many n² matrices in each mode (as measured)."""
    return lambda mode, size: 4 * size["n"] ** 2 * (value if mode == "value" else value_and_grad)


def _implementations(task: str) -> list[Implementation]:
    arguments = ("x", "z")

    def ours(size: Size):
        from gentoolkit.distances import mmd

        if task == _MIXTURE:
            kernel, estimator = mmd.inverse_multiquadric(scales(size["d"])), "unbiased"
        else:
            kernel, estimator = mmd.gaussian(_bandwidth(size["d"])), "biased"
        return backends.jax_modes(lambda x, z: mmd.squared(x, z, kernel, estimator=estimator))

    def xla(size: Size):
        import jax
        import jax.numpy as jnp

        matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        return backends.jax_modes(_dense(task, size, jnp.exp, matmul, lambda s: jnp.maximum(s, 0)))

    def numpy(size: Size):
        return {"value": _dense(task, size, np.exp, np.matmul, lambda s: np.maximum(s, 0))}

    def torch(size: Size):
        import torch

        return backends.torch_modes(_dense(task, size, torch.exp, torch.matmul, lambda s: torch.clamp(s, min=0)))

    mixture = task == _MIXTURE
    return [
        Implementation(OURS, task, JAX, arguments, ours, _work),
        Implementation(
            "jax.numpy",
            task,
            JAX,
            arguments,
            xla,
            _work,
            memory=_matrices(11, 30) if mixture else _matrices(5, 9),
            note="dense",
        ),
        Implementation("NumPy/SciPy", task, NUMPY, arguments, numpy, _work, memory=_matrices(5, 5), note="dense"),
        Implementation(
            "PyTorch",
            task,
            TORCH,
            arguments,
            torch,
            _work,
            requires=("torch",),
            memory=_matrices(6, 22) if mixture else _matrices(4, 7),
            note="dense",
        ),
    ]


def _geomloss() -> Implementation:
    def build(size: Size):
        import geomloss

        loss = geomloss.SamplesLoss("gaussian", blur=_bandwidth(size["d"]), backend="tensorized")
        return backends.torch_modes(lambda x, z: 2 * loss(x, z))

    return Implementation(
        "geomloss",
        _GAUSSIAN,
        TORCH,
        ("x", "z"),
        build,
        _work,
        requires=("geomloss", "torch"),
        memory=_matrices(6, 6),
        note="tensorized back-end (dense), doubled",
    )
