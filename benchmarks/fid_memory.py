r"""The memory of a FID: 2,048 features of so many images a side in one pass, above that of the network and its batch.

    python -m benchmarks.fid_memory --num=50000

Images are noise of 16 x 16 pixels, and the network is one random product with as many features as Inception has:
what it costs does not matter here. Prints the peak memory of the process before and after, as the operating system
counts it, and ends with status 1 where it grew by a gibibyte or more.
"""

import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from gentoolkit import evaluation, training
from gentoolkit.evaluation import features, fid, statistics

_NUM = flags.DEFINE_integer("num", 50_000, "Images a side.", lower_bound=2)
_BATCH, _SIDE, _FEATURES = 500, 16, 2048
_LIMIT = 2**30


def main(argv: list[str]) -> None:
    """Prints memory, value and time."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    kernel = np.random.default_rng(0).standard_normal((_SIDE * _SIDE * 3, _FEATURES), np.float32) / 28
    network = training.jit(lambda models, images: jnp.tanh(images.reshape(len(images), -1) @ kernel))

    def batches(seed: int, shift: float):
        rng = np.random.default_rng(seed)
        for start in range(0, _NUM.value, _BATCH):
            images = rng.random((_BATCH, _SIDE, _SIDE, 3), np.float32) + np.float32(shift)
            yield {"images": images, "counts": np.arange(start, start + _BATCH) < _NUM.value}

    def side(seed: int, shift: float) -> features.Features:
        found = evaluation.measure(
            batches(seed, shift),
            extract=lambda batch: {"pool": network({}, batch["images"])},
            statistics={"pool": statistics.blocks("pool")},
        )["pool"]
        return features.of(found, network="one random product", preprocessing="none")

    jax.block_until_ready(network({}, next(batches(0, 0.0))["images"]))
    before, started = _peak(), time.perf_counter()
    found = fid(side(1, 0.0), side(2, 0.05))
    grown = _peak() - before
    value = f"{found.value:.5g} +- {found.standard_error:.2g}"
    print(f"FID of {found.num_real:,} and {found.num_generated:,} images: {value}")
    network, whole, more = (f"{size / 2**20:,.0f} MiB" for size in (before, before + grown, grown))
    print(f"Peak: {network} with the network alone, {whole} in all, {more} more.")
    print(f"Time: {time.perf_counter() - started:.0f} s")
    sys.exit(1 if grown >= _LIMIT else 0)


def _peak() -> int:
    """The largest memory of the process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    app.run(main)
