"""The least time a task can take on this machine: its bytes and operations over the rates measured here.

A limit is the largest of four quotients, each a lower bound under the assumption that the rest is free: bytes that
must be read and written over the copy bandwidth, floating-point operations over the matrix-product rate, comparisons
over the rate of elementwise minima, and exponentials (or another special function) over the rate of `exp`. Which
counts a task has, and why, stands beside each case.
"""

import concurrent.futures
import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine


@dataclasses.dataclass(frozen=True)
class Work:
    """The least work of a task.

    Attributes:
      bytes: to be read from and written to memory: inputs and outputs, once each.
      flops: floating-point operations of the matrix products.
      comparisons: elementwise minima, maxima or comparisons.
      exponentials: evaluations of a special function, each counted as one `exp`.
    """

    bytes: float = 0.0
    flops: float = 0.0
    comparisons: float = 0.0
    exponentials: float = 0.0


@dataclasses.dataclass(frozen=True)
class Rates:
    """What this machine does in a second, all its cores (or its accelerator) at work, in float32.

    Attributes:
      bandwidth: (working set in bytes, bytes read and written in a second), by growing working set.
      flops: of a large matrix product in full float32 (no TF32 or bfloat16 passes).
      comparisons: elementwise minima and maxima, on data in cache.
      exponentials: elementwise `exp`, on data in cache.
    """

    bandwidth: tuple[tuple[int, float], ...]
    flops: float
    comparisons: float
    exponentials: float

    def bytes_per_second(self, num_bytes: float) -> float:
        """Returns the bandwidth for a working set: the best measured at this size or any larger one."""
        fitting = [rate for size, rate in self.bandwidth if size >= num_bytes]
        return max(fitting) if fitting else self.bandwidth[-1][1]


def least_seconds(work: Work, rates: Rates) -> tuple[float, str]:
    """Returns the least time for the work, and the resource that sets it."""
    quotients = {
        "bytes": work.bytes / rates.bytes_per_second(work.bytes),
        "flops": work.flops / rates.flops,
        "comparisons": work.comparisons / rates.comparisons,
        "exponentials": work.exponentials / rates.exponentials,
    }
    resource = max(quotients, key=lambda name: quotients[name])
    return quotients[resource], resource


def sort_comparisons(n: int) -> float:
    """Returns log2(n!), the comparisons that any comparison sort of n values needs on average."""
    return math.lgamma(n + 1) / math.log(2)


def measure(*, quick: bool = False) -> Rates:
    """Measures the rates on JAX's default device; on a CPU also with NumPy, and keeps the better of the two.

    Args:
      quick: smaller arrays and fewer repeats, for a smoke test.
    """
    seconds = 0.05 if quick else 0.3
    on_cpu = jax.default_backend() == "cpu"
    sizes = (2**20, 2**23, 2**26) if quick else (2**20, 2**23, 2**26, 2**29)
    bandwidth = tuple((size, _bandwidth(size, seconds, on_cpu)) for size in sizes)
    return Rates(
        bandwidth=bandwidth,
        flops=_matmul_rate(512 if quick else 2048, seconds, on_cpu),
        comparisons=_comparison_rate(2**20, seconds),
        exponentials=_exponential_rate(2**20, seconds, on_cpu),
    )


def _fastest(call: Callable[[], Any], seconds: float) -> float:
    """Returns the shortest of repeated calls within the given time: a rate is what the machine can do, not its mean."""
    call()
    best, deadline = math.inf, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        best = min(best, end - start)
        if end > deadline:
            return best


def _jitted(function: Callable[..., Any], *arrays: Any) -> Callable[[], Any]:
    compiled = jax.jit(function).lower(*arrays).compile()
    return lambda: jax.block_until_ready(compiled(*arrays))


def _threaded(function: Callable[[Any], Any], pieces: list[Any]) -> Callable[[], Any]:
    """Runs a NumPy function on one piece a core; NumPy lets go of the interpreter inside its loops."""
    pool = concurrent.futures.ThreadPoolExecutor(len(pieces))
    return lambda: list(pool.map(function, pieces))


def _bandwidth(size: int, seconds: float, on_cpu: bool) -> float:
    """`size` is the whole working set: half is read, half written."""
    source = np.ones(size // 8, np.float32)
    best = _fastest(_jitted(lambda x: x + 1, jnp.asarray(source)), seconds)
    if on_cpu:
        target = np.empty_like(source)
        cores = machine.num_cores()
        pieces = list(zip(np.array_split(target, cores), np.array_split(source, cores), strict=True))
        best = min(best, _fastest(lambda: np.copyto(target, source), seconds))
        best = min(best, _fastest(_threaded(lambda piece: np.copyto(*piece), pieces), seconds))
    return size / best


def _matmul_rate(n: int, seconds: float, on_cpu: bool) -> float:
    rate = 0.0
    while True:
        host = np.random.default_rng(0).standard_normal((n, n), np.float32)
        product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        best = _fastest(_jitted(product, jnp.asarray(host), jnp.asarray(host)), seconds)
        if on_cpu:
            best = min(best, _fastest(functools.partial(np.matmul, host, host), seconds))
        rate = max(rate, 2.0 * n**3 / best)
        if best > 0.01 or n >= 16384:  # long enough that the call itself no longer counts
            return rate
        n *= 2


def _comparison_rate(size: int, seconds: float) -> float:
    bounds = jnp.linspace(0.5, 1.0, 32)

    def clamp(y, bounds):
        # Thirty-two minima and maxima with bounds known only at run time: one pass over memory, nothing to simplify.
        for i in range(16):
            y = jnp.maximum(jnp.minimum(y, bounds[31 - i]), bounds[i])
        return y

    return 32.0 * size / _fastest(_jitted(clamp, jnp.linspace(0.0, 1.0, size), bounds), seconds)


def _exponential_rate(size: int, seconds: float, on_cpu: bool) -> float:
    host = np.linspace(-4.0, 0.0, size, dtype=np.float32)
    best = _fastest(_jitted(jnp.exp, jnp.asarray(host)), seconds)
    if on_cpu:
        pieces = np.array_split(host, machine.num_cores())
        best = min(best, _fastest(_threaded(np.exp, pieces), seconds))
    return size / best
