"""The suite `text_to_image`: training steps, sampling, DAMSM's word scores, and the drawing of scenes.

Times are those of the work (`--cores=1` for one core), beside PyTorch's better layout.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, damsm_bench, harness, limits, painters_bench, targets
from benchmarks.backends import NUMPY
from benchmarks.harness import OURS, Implementation, Row, Size
from gentoolkit.training import cpu

_DRAWN = {
    "scenes_training": ("image", "captions"),  # what training reads
    "scenes_all": None,
}
_A_SECOND = 2000  # scenes that one core should draw


def begin() -> None:
    """Keeps memory as `gentoolkit.training` does, for every implementation, before jax starts its threads."""
    cpu.keep_memory(cpu.expected_platform())


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns all cases; quick: small sizes."""
    return [*painters_bench.cases(quick=quick), damsm_bench.case(quick=quick), _scenes(quick=quick)]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met."""
    del quick
    table, (size,) = targets.Table(rows), _scenes().sizes
    lines = [*painters_bench.figures(rows), *damsm_bench.figures(rows)]
    for task, names in _DRAWN.items():
        start = f"scenes of {size['pixels']} px, {' and '.join(names) if names else 'all columns'}"
        row = table.find(OURS, task, "value", size)
        if row is None:
            lines.append(f"{start}: not measured in this run")
            continue
        rate = size["scenes"] / row["seconds"]
        asked = f", at least {_A_SECOND:,}: {targets.verdict(rate >= _A_SECOND)}" if names else ""
        lines.append(f"{start}: {rate:,.0f} scenes a second of work{asked}")
    return lines


def _scenes(*, quick: bool = False) -> harness.Case:
    def make_inputs(size: Size) -> dict[str, np.ndarray]:
        return {"rows": np.random.default_rng(0).integers(100_000, size=size["scenes"])}

    def drawing(names: Sequence[str] | None) -> Callable[[Size], dict[str, Any]]:
        def build(size: Size) -> dict[str, Any]:
            from gentoolkit.data import scenes

            source = scenes.load("train", 100_000, image_size=size["pixels"])
            chosen = source if names is None else source.select(*names)
            return {"value": lambda rows: np.asarray(chosen.take(rows)["image"])}

        return build

    def work(size: Size) -> float:
        return size["scenes"] * size["pixels"] ** 2

    return harness.Case(
        name="scenes",
        sizes=[{"scenes": 8 if quick else 256, "pixels": 32}],
        make_inputs=make_inputs,
        implementations=[
            Implementation(OURS, task, NUMPY, ("rows",), drawing(names), work) for task, names in _DRAWN.items()
        ],
        least_work=lambda task, mode, size: limits.Work(bytes=3.0 * work(size)),
        formula="the bytes of the pictures written once.",
        weight=lambda size: 2.0,
        sweep="scenes",
        clock=backends.clock_of_work,
    )
