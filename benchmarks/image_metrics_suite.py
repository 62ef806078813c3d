"""The suite `image_metrics`: FID from moments and KID from features, with their figures to reach."""

from collections.abc import Sequence

from benchmarks import harness, image_metrics_bench, targets
from benchmarks.harness import OURS, Row


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: small sizes, for a smoke test."""
    return image_metrics_bench.cases(quick=quick)


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met."""
    if quick:
        return ["the targets on time need the full sizes: not measured in this run"]
    table = targets.Table(rows)
    lines = []
    for name in ("NumPy/SciPy", "pytorch-fid"):
        lines.append(
            table.at_least(
                f"FID from two sets of moments, d = 2048, at least 20× faster than {name}",
                (name, "frechet", "value"),
                (OURS, "frechet", "value"),
                20,
                {"d": 2048},
            )
        )
    for n in (1000, 3000, 10_000):
        lines.append(
            table.at_least(
                f"KID of {n:,} images, 100 subsets, at least 5× faster than torch-fidelity",
                ("torch-fidelity", "kid", "value"),
                (OURS, "kid", "value"),
                5,
                {"n": n, "d": 2048},
            )
        )
    return lines
