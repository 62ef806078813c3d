"""Sliced distances: closed forms against the normal law, and the two-sample Wasserstein distance.

Tasks: `wasserstein`, `cramer_von_mises` and `kolmogorov_smirnov` are the mean over slices of the squared 2-Wasserstein,
Cramér-von Mises and Kolmogorov-Smirnov distance to N(0, 1); the peers write the same closed forms plainly (project,
sort, compare). `two_sample_wasserstein` compares with a drawn sample, which is what POT and OTT-JAX offer; those
timings stand as a yardstick in the tables of the closed forms too.
"""

import functools
import itertools

import numpy as np
import scipy.special

from benchmarks import backends, harness, limits
from benchmarks.backends import JAX, NUMPY, TORCH
from benchmarks.harness import OURS, Implementation, Size

_NORMAL_TASKS = ("wasserstein", "cramer_von_mises", "kolmogorov_smirnov")
_TWO_SAMPLE = "two_sample_wasserstein"


def sizes(*, quick: bool) -> list[Size]:
    """Returns the sweep, the sizes that figures are asked of first; quick: one small size."""
    if quick:
        return [{"n": 256, "d": 8, "slices": 64}]
    sweep = itertools.product((1024, 64), (64, 8), (256, 1024, 4096, 16384))
    # Then the batches that embeddings are trained with.
    small = [(1024, 64, n) for n in (64, 128, 512)] + [(1024, 512, n) for n in (64, 256, 1024)]
    return [{"n": n, "d": d, "slices": slices} for slices, d, n in (*sweep, *small)]


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns normal samples x and z, unit directions by rows and by columns, and the constants of the closed forms."""
    rng = np.random.default_rng(0)
    n, d, slices = size["n"], size["d"], size["slices"]
    directions = rng.standard_normal((slices, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return {
        # A little off the null, so that relative differences between implementations mean something.
        "x": (1.2 * rng.standard_normal((n, d)) + 0.1).astype(np.float32),
        "z": rng.standard_normal((n, d), np.float32),
        "directions": directions.astype(np.float32),
        "projections": np.ascontiguousarray(directions.T, np.float32),
        "bin_means": _bin_means(n).astype(np.float32),
        "midpoints": ((np.arange(n) + 0.5) / n).astype(np.float32),
    }


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case."""
    implementations = [implementation for task in _NORMAL_TASKS for implementation in _normal(task)]
    return harness.Case(
        name="sliced",
        sizes=sizes(quick=quick),
        make_inputs=make_inputs,
        implementations=implementations + _two_sample(),
        least_work=least_work,
        formula=(
            "samples and directions read, gradient written, once each; 2·n·d·slices operations for a projection and "
            "as many for its adjoint (Kolmogorov-Smirnov: the adjoint has one sample a slice); log2(n!) comparisons "
            "a slice and sample; one exponential for each normal cdf."
        ),
        weight=lambda size: 9 + 4e-6 * size["n"] * size["slices"],
    )


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    n, d, slices = size["n"], size["d"], size["slices"]
    samples = 2 if task == _TWO_SAMPLE else 1
    num_bytes = 4 * (samples * n * d + slices * d)
    flops = 2 * n * d * slices * samples
    if mode == "value_and_grad":
        num_bytes += 4 * n * d
        flops += 2 * d * slices * (1 if task == "kolmogorov_smirnov" else n)
    return limits.Work(
        bytes=num_bytes,
        flops=flops,
        comparisons=samples * slices * limits.sort_comparisons(n),
        exponentials=n * slices if task in ("cramer_von_mises", "kolmogorov_smirnov") else 0,
    )


def _work(size: Size) -> float:
    n, d, slices = size["n"], size["d"], size["slices"]
    return n * slices * (np.log2(n) + d / 16)


def _bin_means(n: int) -> np.ndarray:
    """The mean of N(0, 1) within each of its n bins of equal probability."""
    edges = scipy.special.ndtri(np.linspace(0.0, 1.0, n + 1))
    return n * -np.diff(np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi))


def _closed_form(task: str, n: int, ndtr, largest):
    """Returns the plain closed form of a task on sorted slices, for arrays of any library.

    Args:
      task: one of the three.
      n: samples.
      ndtr: the library's normal cdf.
      largest: the library's maximum along the last axis.

    Returns:
      (sorted slices [slices, n], constants [n]) → mean over slices.
    """
    if task == "wasserstein":
        floor = 1.0 - float(np.mean(_bin_means(n) ** 2))
        return lambda y, bin_means: ((y - bin_means) ** 2).mean() + floor
    if task == "cramer_von_mises":
        return lambda y, midpoints: ((ndtr(y) - midpoints) ** 2).mean() + 1 / (12 * n**2)
    return lambda y, midpoints: largest(abs(ndtr(y) - midpoints)).mean() + 1 / (2 * n)


def _normal(task: str) -> list[Implementation]:
    constants = "bin_means" if task == "wasserstein" else "midpoints"
    arguments = ("x", "directions", constants)

    def ours(size: Size):
        from gentoolkit.distances import normality, sliced

        statistic = getattr(normality, task)
        return backends.jax_modes(lambda x, directions: sliced.distance(statistic, x, directions=directions))

    def xla(size: Size):
        import jax
        import jax.numpy as jnp

        form = _closed_form(task, size["n"], jax.scipy.special.ndtr, functools.partial(jnp.max, axis=-1))

        def loss(x, directions, constants):
            slices = jnp.matmul(directions, x.T, precision=jax.lax.Precision.HIGHEST)
            return form(jnp.sort(slices, axis=-1), constants)

        return backends.jax_modes(loss)

    def numpy(size: Size):
        form = _closed_form(task, size["n"], scipy.special.ndtr, functools.partial(np.max, axis=-1))
        return {"value": lambda x, directions, constants: form(np.sort(directions @ x.T, axis=-1), constants)}

    def torch(size: Size):
        import torch

        form = _closed_form(task, size["n"], torch.special.ndtr, lambda y: torch.amax(y, dim=-1))

        def loss(x, directions, constants):
            return form(torch.sort(directions @ x.T, dim=-1).values, constants)

        return backends.torch_modes(loss)

    implementations = [
        Implementation(OURS, task, JAX, arguments[:2], ours, _work),
        Implementation("NumPy/SciPy", task, NUMPY, arguments, numpy, _work),
        Implementation("PyTorch", task, TORCH, arguments, torch, _work, requires=("torch",)),
    ]
    if task == "wasserstein":  # one is enough to show XLA's sort
        implementations.insert(1, Implementation("jax.numpy", task, JAX, arguments, xla, _work))
    return implementations


def _two_sample() -> list[Implementation]:
    def ours(size: Size):
        from gentoolkit.distances import sliced, two_sample

        return backends.jax_modes(
            lambda x, z, directions: sliced.distance(two_sample.wasserstein, x, z, directions=directions)
        )

    def numpy(size: Size):
        def value(x, z, directions):
            y, w = (np.sort(directions @ sample.T, axis=-1) for sample in (x, z))
            return ((y - w) ** 2).mean()

        return {"value": value}

    def torch(size: Size):
        import torch

        def loss(x, z, directions):
            y, w = (torch.sort(directions @ sample.T, dim=-1).values for sample in (x, z))
            return ((y - w) ** 2).mean()

        return backends.torch_modes(loss)

    def pot(size: Size):
        import ot

        def value(x, z, projections):
            return ot.sliced_wasserstein_distance(x, z, projections=projections) ** 2

        return {"value": value}

    def pot_jax(size: Size):
        import jax.numpy as jnp
        import ot

        def loss(x, z, projections):
            # Without explicit weights POT asks a traced array for its device, and fails.
            weights = jnp.full((size["n"],), 1 / size["n"])
            return ot.sliced_wasserstein_distance(x, z, weights, weights, projections=projections) ** 2

        return backends.jax_modes(loss)

    def ott(size: Size):
        from ott.tools import sliced

        def loss(x, z, projections):
            return sliced.sliced_wasserstein(x, z, proj_fn=lambda sample: sample @ projections)[0]

        return backends.jax_modes(loss)

    by_rows, by_columns = ("x", "z", "directions"), ("x", "z", "projections")
    return [
        Implementation(OURS, _TWO_SAMPLE, JAX, by_rows, ours, _work),
        Implementation("NumPy/SciPy", _TWO_SAMPLE, NUMPY, by_rows, numpy, _work),
        Implementation("PyTorch", _TWO_SAMPLE, TORCH, by_rows, torch, _work, requires=("torch",)),
        Implementation(
            "POT (NumPy)", _TWO_SAMPLE, NUMPY, by_columns, pot, _work, requires=("ot",), yardstick_for=_NORMAL_TASKS
        ),
        Implementation(
            "POT (JAX)",
            _TWO_SAMPLE,
            JAX,
            by_columns,
            pot_jax,
            _work,
            requires=("ot",),
            note="weights passed explicitly, without which it cannot be jitted",
            yardstick_for=_NORMAL_TASKS,
        ),
        Implementation(
            "OTT-JAX", _TWO_SAMPLE, JAX, by_columns, ott, _work, requires=("ott",), yardstick_for=_NORMAL_TASKS
        ),
    ]
