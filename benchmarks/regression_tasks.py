"""What the regression benchmark asks of every library: its sizes, arrays, tasks and least work."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import limits
from benchmarks.backends import JAX
from benchmarks.harness import Implementation, Size

TASKS = ("fit", "search", "predict", "predict_variance", "batched", "batched_fit")
# Data: k-means centres of an image; features: a patch of 3 x 3 pixels of one channel, and of three.
CENTERS, FEATURES, LARGE = (10, 30, 100, 200), (9, 27), 1000
NUM_ROWS, NUM_PROBLEMS = 65_536, 64
NUM_STEPS, LEARNING_RATE = 40, 0.05
# Logarithms of lengthscale, variance and noise variance: where a fit starts, and what `predict` is given.
START = np.log([0.5, 1.0, 0.1])
FITTED = np.log([0.5, 1.0, 0.01])
# Largest n of the tasks that cost more than n^2 for each of many points, problems or evaluations.
_LARGEST = {"search": 200, "predict_variance": 200, "batched": 200, "batched_fit": 100}

Functions = dict[str, Callable[..., Any]]


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns patches and what a brightening curve makes of them: one problem, points to predict, and 64 problems."""
    rng = np.random.default_rng(0)
    n, d = size["n"], size["d"]

    def patches(*shape):
        brightness = rng.uniform(size=(*shape, 1)) ** 2
        return (brightness + 0.05 * rng.standard_normal((*shape, d))).astype(np.float32)

    def targets(x):
        mean = np.maximum(x.mean(-1), 0)
        return (np.cbrt(mean) - mean + 0.02 * rng.standard_normal(mean.shape)).astype(np.float32)

    x, rows, xs = patches(n), patches(NUM_ROWS), patches(NUM_PROBLEMS, n)
    blocks = rows.reshape(NUM_PROBLEMS, -1, d)
    return {"x": x, "y": targets(x), "rows": rows, "xs": xs, "ys": targets(xs), "blocks": blocks}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    n, d = size["n"], size["d"]
    problems = NUM_PROBLEMS if task.startswith("batched") else 1
    read = 4.0 * problems * n * (d + 1)
    if task in ("fit", "search", "batched_fit"):
        times = problems * (1 if task == "search" else NUM_STEPS)
        return limits.Work(bytes=read, flops=times * (n**3 + 2.0 * n * n * d), exponentials=times * n * n)
    flops = problems * n**3 / 3 + NUM_ROWS * n * (2.0 * d + 2)
    variance = task == "predict_variance"
    return limits.Work(
        bytes=read + 4.0 * NUM_ROWS * (d + 1 + variance),
        flops=flops + (NUM_ROWS * n * n if variance else 0),
        exponentials=NUM_ROWS * n,
    )


def implementation(name: str, task: str, backend: Any, build: Callable[[Size], Functions], **options: Any):
    """Returns the implementation of a task, which takes part up to the task's largest size."""
    arguments = {"batched": ("xs", "ys", "blocks"), "batched_fit": ("xs", "ys")}.get(
        task, ("x", "y", "rows") if task.startswith("predict") else ("x", "y")
    )

    def limited(size: Size) -> Functions:
        return build(size) if size["n"] <= _LARGEST.get(task, LARGE) else {}

    def work(size: Size) -> float:
        counts = least_work(task, "value", size)
        return counts.flops + 10 * counts.exponentials

    return Implementation(name, task, backend, arguments, limited, work, **options)


def always(function: Callable[..., Any]) -> Callable[[Size], Functions]:
    """Returns what builds one function at every size."""
    return lambda size: {"value": function}


def jax_tasks(
    name: str, evidence: Callable[..., Any], mean: Callable[..., Any], moments: Callable[..., Any], **options: Any
) -> list[Implementation]:
    """Returns the implementations of a library in JAX, but for `search`.

    Args:
      name: of the library.
      evidence: (logarithms of the hyper-parameters, x, y) → log evidence.
      mean: (hyper-parameters, x, y, points) → posterior mean.
      moments: the same → posterior mean and variance.
      **options: of every `Implementation`.
    """

    def descend(x, y):
        import jax
        import jax.numpy as jnp
        import optax

        optimizer = optax.adam(LEARNING_RATE)

        def step(state, _):
            theta, inner = state
            gradient = jax.grad(lambda theta: -evidence(theta, x, y) / x.shape[0])(theta)
            updates, inner = optimizer.update(gradient, inner)
            return (theta + updates, inner), None

        start = jnp.asarray(START, x.dtype)
        return jax.lax.scan(step, (start, optimizer.init(start)), None, length=NUM_STEPS)[0][0]

    def mapped(function):
        def run(*arrays):
            import jax

            return jax.vmap(function)(*arrays)

        return run

    def fitted(function):
        def run(x, y, rows):
            import jax.numpy as jnp

            return function(jnp.asarray(FITTED, x.dtype), x, y, rows)

        return run

    functions = {
        "fit": descend,
        "predict": fitted(mean),
        "predict_variance": fitted(moments),
        "batched": mapped(fitted(mean)),
        "batched_fit": mapped(descend),
    }
    return [implementation(name, task, JAX, always(function), **options) for task, function in functions.items()]
