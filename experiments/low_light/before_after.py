"""The page of `enhance`: every photograph before and after."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.low_light import tiles
from gentoolkit import report
from gentoolkit.data.pictures import files

FOLDER, NAME = "report", "report.html"
_SIDE = 480


class Pair(NamedTuple):
    """A photograph before and after, small, and what is said of it.

    Attributes:
      name: of the file.
      before: `[h, w, 3]` in [0, 1].
      after: the same size.
      notes: sentences.
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    notes: Sequence[str]


def pair(
    name: str, before: np.ndarray, after: np.ndarray, notes: Sequence[str], *, alpha: np.ndarray | None = None
) -> Pair:
    """Reduces a photograph before and after so that its longer side is 480 pixels at most, and lays it over white."""
    scale = min(1.0, _SIDE / max(before.shape[:2]))
    shape = tuple(max(1, round(side * scale)) for side in before.shape[:2])
    small = [tiles.reduced(image, shape) for image in (before, after)]
    if alpha is not None:
        share = tiles.reduced(alpha[..., None], shape)
        small = [share * image + 1 - share for image in small]
    return Pair(name, small[0], small[1], notes)


def write(
    folder: pathlib.Path, settings: Mapping[str, str], shown: Sequence[Pair], failed: Mapping[str, str]
) -> pathlib.Path:
    """Writes the page; returns its path."""
    brightness = [
        [one.name, f"{one.before.mean():.3f}", f"{one.after.mean():.3f}", "; ".join(one.notes)] for one in shown
    ]
    arguments = " ".join(files.shown(argument) for argument in sys.argv[1:])
    return report.write_page(
        folder / NAME,
        report.section(
            "Photographs",
            report.sheet(
                [[one.before, one.after] for one in shown],
                columns=["as it was", "enhanced"],
                labels=[one.name for one in shown],
                longest=_SIDE,
            ),
        ),
        report.section(
            "Mean brightness",
            report.Table(
                ["photograph", "before", "after", ""],
                brightness,
                "Of all channels, in [0, 1], transparent parts as white.",
            ),
        ),
        report.section("Failed", report.bullets([f"{name}: {why}" for name, why in failed.items()])),
        report.provenance(f"python -m experiments.low_light.enhance {arguments}"),
        report.configuration(settings),
        title=f"Before and after: {settings['method']}",
    )
