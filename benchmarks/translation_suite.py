"""The suite `translation`: image-to-image networks beside PyTorch, from their layers on.

Figures are ratios of CPU time to PyTorch's better layout, `--cores=1` for those of one core.
"""

from collections.abc import Sequence

from benchmarks import harness, layers_bench, report, targets, translators_bench
from benchmarks.harness import OURS, Row
from gentoolkit.training import cpu


def begin() -> None:
    """Keeps memory as `gentoolkit.training` does, for every implementation, before jax starts its threads."""
    cpu.keep_memory(cpu.expected_platform())


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns all cases; quick: small sizes."""
    return [*layers_bench.cases(quick=quick), *translators_bench.cases(quick=quick)]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each layer, network and step, with its target, and how far layers are from XLA's own."""
    del quick
    table = targets.Table(rows)
    lines = []
    for kind, size in layers_bench.tasks():
        start = f"{kind} {size['from']}->{size['to']} at {size['pixels']} px"
        ours = table.find(OURS, kind, "value_and_grad", size)
        names = layers_bench.CHANNELS_FIRST, layers_bench.CHANNELS_LAST
        peers = [row for name in names if (row := table.find(name, kind, "value_and_grad", size))]
        if ours is None or not peers:
            lines.append(f"{start}: not measured in this run")
            continue
        best = min(peers, key=lambda row: row["seconds"])
        ratio = ours["seconds"] / best["seconds"]
        times = f"{report.format_seconds(ours['seconds'])} against {report.format_seconds(best['seconds'])}"
        plain = table.find(layers_bench.XLA, kind, "value_and_grad", size)
        beside = f", {plain['seconds'] / ours['seconds']:.1f}× faster than {plain['implementation']}" if plain else ""
        most = layers_bench.TARGETS.get((kind, size["from"]), layers_bench.TARGETS.get((kind, None)))
        asked = f", at most {most:.2f}: {targets.verdict(ratio <= most)}" if most else ""
        lines.append(f"{start}: {ratio:.2f} of {best['implementation']} ({times}){beside}{asked}")
    found = [
        row.get("difference_from_ours") for row in report.measured(rows) if row["implementation"] == layers_bench.XLA
    ]
    found = [difference for difference in found if difference is not None]
    if found:
        furthest = max(found)
        lines.append(
            f"numbers of ours differ from {layers_bench.XLA} by at most {furthest:.1e}, at most 1e-05: "
            f"{targets.verdict(furthest <= 1e-5)}"
        )
    return lines + translators_bench.figures(rows)
