"""The suite `image_metrics`: FID from moments, KID from features, networks of images, with their figures to reach."""

from collections.abc import Sequence

from benchmarks import harness, image_metrics_bench, image_networks_bench, targets
from benchmarks.harness import OURS, Row


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: small sizes, for a smoke test."""
    return [*image_metrics_bench.cases(quick=quick), *image_networks_bench.cases(quick=quick)]


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
    return lines + [_level(table, *which) for which in _LEVEL]


# Networks that are to be at least level with their peer: what, task, mode, peer, side of the images.
_LEVEL = (
    ("Inception features", "inception", "value", "pytorch-fid", 299),
    ("LPIPS on AlexNet", "lpips_alex", "value", "lpips", 64),
    ("LPIPS on AlexNet with gradient", "lpips_alex", "value_and_grad", "lpips", 64),
    ("LPIPS on VGG16", "lpips_vgg", "value", "lpips", 64),
    ("LPIPS on VGG16 with gradient", "lpips_vgg", "value_and_grad", "lpips", 64),
)


def _level(table: targets.Table, what: str, task: str, mode: str, peer: str, side: int) -> str:
    size = {"batch": 32, "side": side}
    start = f"{what}, batch 32, {side}x{side}, at least level with {peer} (channels_last)"
    ours, theirs = (table.find(name, task, mode, size) for name in (OURS, peer))
    if ours is None or theirs is None:
        return f"{start}: not measured in this run"
    ratio = theirs["seconds"] / ours["seconds"]
    rates = [32 / row["seconds"] for row in (ours, theirs)]
    limit = rates[0] * ours["times_limit"]
    return (
        f"{start}: {ratio:.2f}× ({rates[0]:,.1f} images/s against {rates[1]:,.1f}; "
        f"{limit:,.1f} by the operations alone): {targets.verdict(ratio >= 1)}"
    )
