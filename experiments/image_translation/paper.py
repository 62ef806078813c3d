"""The figures of the paper, as printed, and how what it says is set against ours."""

import math
from collections.abc import Mapping, Sequence

from gentoolkit import report, study

SOURCE = (
    'Kazemi et al., "Unsupervised image-to-image translation using domain-specific variational information bound", '
    "NeurIPS 2018"
)
# Table 1: LPIPS on AlexNet (its version is not given; 0.0, by its size), mean of 2,000 pairs; fooling rate in percent;
# FID of 10,000 samples. Neither the size of the images nor the reference set of the FID is given.
_TABLE_1 = """
edges2shoes     real        0.290  -     -
edges2shoes     unit        -      22.0  90.32
edges2shoes     cyclegan    -      24.3  86.54
edges2shoes     bicyclegan  0.113  38.0  43.18
edges2shoes     dsvib       0.121  36.0  48.36
edges2handbags  real        0.369  -     -
edges2handbags  unit        -      19.2  84.36
edges2handbags  cyclegan    -      25.9  81.22
edges2handbags  bicyclegan  0.134  34.9  37.79
edges2handbags  dsvib       0.129  33.2  40.84
"""
# data set -> row -> "lpips", "fooling", "fid" -> value
TABLE_1: dict[str, dict[str, dict[str, float]]] = {}
for _line in _TABLE_1.split("\n")[1:-1]:
    _dataset, _row, *_values = _line.split()
    TABLE_1.setdefault(_dataset, {})[_row] = {
        name: float(value) for name, value in zip(("lpips", "fooling", "fid"), _values, strict=True) if value != "-"
    }
# Table 2, LPIPS: data set -> with and without the code cycle.
TABLE_2 = {"edges2shoes": (0.121, 0.095), "edges2handbags": (0.129, 0.113)}

LABELS = {
    "real": "real images",
    "dsvib": "DSVIB",
    "cyclegan": "CycleGAN",
    "unit": "UNIT",
    "bicyclegan": "BicycleGAN (pairs)",
    "munit": "MUNIT",
}

Values = Sequence[float | None] | None


def printed() -> report.Table:
    """Returns Table 1 as printed, both data sets side by side."""
    rows = []
    for name in TABLE_1["edges2shoes"]:
        cells = [TABLE_1[dataset][name].get(column) for dataset in TABLE_1 for column in ("lpips", "fooling", "fid")]
        rows.append([LABELS[name], *["-" if cell is None else f"{cell:g}" for cell in cells]])
    columns = [f"{dataset}: {column}" for dataset in ("shoes", "handbags") for column in ("LPIPS", "fooling %", "FID")]
    caption = f"As printed: Table 1 of {SOURCE}. LPIPS: its version, image size and pairs a content are not given."
    return report.Table(["", *columns], rows, caption)


def greater(
    statement: str, more: Values, less: Values, *, times: float = 1.0, told: str = "", digits: str = ".3g"
) -> str:
    """Returns what came of a claim of the paper that one figure is greater than another, over the seeds of both.

    It agrees where every seed of the one is above every seed of the other, as they are printed: one seed of each
    settles little, and what differs in digits that are not shown nothing.

    Args:
      statement: the claim.
      more: the figure that is said to be greater, of each seed; None where it was not measured.
      less: the other.
      times: how much of the other is to be exceeded.
      told: the paper's figures.
      digits: format of ours.
    """
    paper = f"; paper: {told}" if told else "; the paper gives no figure"
    if not more or not less or any(value is None or not math.isfinite(value) for value in (*more, *less)):
        return f"not decided: {statement} (not measured{paper})"
    pairs = [(a, b) for a in more for b in less]
    above = sum(float(f"{a:{digits}}") > float(f"{times * b:{digits}}") for a, b in pairs)
    figures = f"ours: {study.summary(more).text(digits)} against {study.summary(less).text(digits)}"
    verdict = "agrees" if above == len(pairs) else "not found"
    return f"{verdict}: {statement} ({figures}, so in {above} of {len(pairs)} pairs of seeds{paper})"


def asked(statement: str, values: Values, bound: float, *, at_least: bool = True, digits: str = ".3g") -> study.Claim:
    """Returns whether every seed keeps a bound."""
    sign = ">=" if at_least else "<="
    name = f"{statement} {sign} {bound:{digits}}"
    if not values or any(value is None for value in values):
        return study.Claim(name, None, "not measured")
    kept = [value >= bound if at_least else value <= bound for value in values if value is not None]
    return study.Claim(name, all(kept), f"{study.summary(values).text(digits)}, {sum(kept)} of {len(kept)} seeds")


def values(runs: Mapping[str, Sequence[Mapping[str, float | None]]], name: str, metric: str) -> Values:
    """Returns a metric of each seed of a run by its name; None where one has not got it."""
    found = [metrics.get(metric) for metrics in runs.get(name, ())]
    return None if not found or any(value is None for value in found) else found
