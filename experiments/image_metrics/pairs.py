"""Pairs of images, the files of one name of two folders: which there are, how far they are apart, and where."""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from experiments.image_metrics import networks
from experiments.image_metrics.pictures import Source, shown
from gentoolkit import evaluation, report, study, training
from gentoolkit.evaluation import statistics
from gentoolkit.evaluation.result import Result
from gentoolkit.models.extractors import alexnet, lpips, squeezenet, vgg

RANGE = (0, 255)
_TRUNKS = {"alex": (alexnet, alexnet.AlexNet), "vgg": (vgg, vgg.VGG16), "squeeze": (squeezenet, squeezenet.SqueezeNet)}
_SHOWN, _SIDE = 4, 160


class Measure(NamedTuple):
    """A distance that is ready: of pairs `[b]`, and where they differ `[b, h, w]`; both take uint8 in [0, 255]."""

    name: str
    sha256: str
    distance: Callable[[Any, Any], Any]
    maps: Callable[[Any, Any], Any]


class Found(NamedTuple):
    """What came of it: the mean, the distance of each pair by name, and what is to be said and counted."""

    mean: Result
    each: dict[str, float]
    said: list[str]
    left_out: int


def find(trunk: str, version: str, weights: str) -> tuple[pathlib.Path, pathlib.Path] | None:
    """Finds the files of trunk and heads; None for random weights.

    Raises:
      FileNotFoundError: one is missing; says in one line which one to put where.
    """
    if weights == networks.RANDOM:
        return None
    module = _TRUNKS[trunk][0]
    wanted = {
        f"the trunk: put {module.FILE} (SHA-256 {module.PUBLISHED[0]}..., torchvision)": [module.FILE],
        f"the heads: put v{version}/{trunk}.pth (of the package lpips)": [
            f"v{version}/{trunk}.pth",
            f"lpips_v{version}_{trunk}.npz",
        ],
    }
    folder = pathlib.Path(weights).expanduser()
    found = []
    for what, names in wanted.items():
        there = [folder / name for name in names if weights and (folder / name).is_file()]
        if not there:
            place = f"into {weights}" if weights else "into a folder and name it by --weights"
            raise FileNotFoundError(
                f"No weights of {what} {place}; --weights=random takes a frozen random network, for smoke tests alone."
            )
        found.append(there[0])
    return found[0], found[1]


def load(trunk: str, version: lpips.Version, paths: tuple[pathlib.Path, pathlib.Path] | None) -> Measure:
    """Reads the networks.

    Raises:
      ValueError: a file holds something else, or cannot be read.
    """
    made = _TRUNKS[trunk][1]
    if paths is None:
        network = lpips.Lpips.random(nnx.Rngs(0), trunk=made, version=version)
    else:
        network = lpips.Lpips.load(made.load(paths[0]), paths[1], version=version)
    distance = training.jit(lambda models, a, b: models["lpips"](a, b, image_range=RANGE))
    maps = training.jit(lambda models, a, b: models["lpips"].maps(a, b, image_range=RANGE))
    models = {"lpips": network}
    name = str(network.origin.name if network.origin.published else f"{network.origin.name} (not the published files)")
    return Measure(
        name if paths else network.origin.name,
        network.origin.sha256,
        lambda a, b: distance(models, a, b),
        lambda a, b: maps(models, a, b),
    )


def measure(first: Source, second: Source, by: Measure, *, batch_size: int) -> Found:
    """Measures the pairs of two sets.

    Args:
      first: one set.
      second: the other.
      by: the distance.
      batch_size: pairs at a time, of one size; the last ones are filled up.

    Returns:
      The figures.

    Raises:
      ValueError: no pair that can be measured.
    """
    partners = _partners(first, second)
    lonely = [
        f"{what}: {len(names)} files have no partner ({_few(names)})."
        for what, names in zip(("first", "second"), partners.alone, strict=True)
        if names
    ]
    if not partners.pairs:
        raise ValueError("\n".join(["No file of --first has the name of one of --second.", *lonely]))
    used: list[str] = []
    failed: dict[str, str] = {}
    with study.Progress(len(partners.pairs)) as progress:

        def batches() -> Iterator[dict[str, np.ndarray]]:
            rows: list[tuple[np.ndarray, np.ndarray]] = []
            for name, (a, b) in partners.pairs.items():
                progress.begin(shown(name))
                try:
                    pair = first.read(a).levels, second.read(b).levels
                    if pair[0].shape != pair[1].shape:
                        raise ValueError(f"sizes differ: {_size(pair[0])} and {_size(pair[1])}")
                except (OSError, ValueError) as error:
                    failed[name] = str(error)
                    progress.end()
                    continue
                if rows and rows[0][0].shape != pair[0].shape:
                    yield _batch(rows, batch_size)
                    rows = []
                used.append(name)
                rows.append(pair)
                progress.end()
                if len(rows) == batch_size:
                    yield _batch(rows, batch_size)
                    rows = []
            if rows:
                yield _batch(rows, batch_size)

        try:
            found = evaluation.measure(
                batches(),
                extract=lambda batch: {"distance": by.distance(batch["first"], batch["second"])},
                statistics={"mean": statistics.mean("distance"), "each": statistics.rows("distance")},
            )
        except ValueError as error:
            if used:
                raise
            raise ValueError("\n".join(["No pair can be measured.", *_listed(failed)])) from error
    said = [
        *lonely,
        *([f"{len(failed)} pairs cannot be measured and are left out:"] if failed else []),
        *_listed(failed),
    ]
    extra = {"image_range": list(RANGE), "resampling": "pairs"}
    mean = Result(
        float(found["mean"].value),
        float(found["mean"].standard_error),
        0,
        found["mean"].num,
        by.name,
        "as they are",
        by.sha256,
        extra,
    )
    each = dict(zip(used, map(float, found["each"]), strict=True))
    return Found(mean, each, said, len(failed) + sum(map(len, partners.alone)))


def write(folder: pathlib.Path, first: Source, second: Source, by: Measure, found: Found) -> pathlib.Path:
    """Writes the page: the pairs that differ most and least, and where they do.

    Returns:
      Its path.
    """
    partners = _partners(first, second).pairs
    order = sorted(found.each, key=lambda name: -found.each[name])
    chosen = list(dict.fromkeys([*order[:_SHOWN], *order[-_SHOWN:]]))
    rows = []
    for name in chosen:
        a, b = (source.read(own).levels for source, own in zip((first, second), partners[name], strict=True))
        where = np.asarray(by.maps(a[None], b[None]))[0]
        bright = np.repeat((where / max(float(where.max()), 1e-12))[..., None], 3, axis=-1)
        rows.append([_small(a), _small(b), report.Picture(_small(bright), f"distance {found.each[name]:.4g}")])
    mean = found.mean
    table = report.Table(
        ["distance", "mean", "standard error", "pairs", "SHA-256 of the heads"],
        [
            [
                mean.network,
                f"{mean.value:.5g}",
                f"{mean.standard_error:.2g}",
                mean.num_generated,
                mean.sha256[:16] or "-",
            ]
        ],
        "Images in [0, 255].",
    )
    return report.write_page(
        folder / "pairs.html",
        table,
        report.section("To know", report.bullets([line.strip() for line in found.said])),
        report.section(
            "Pairs that differ most and least",
            report.sheet(
                rows,
                columns=["first", "second", "where they differ"],
                labels=[shown(name) for name in chosen],
                caption="Each map is scaled to its own largest value.",
            ),
        ),
        report.provenance(report.command()),
        title="Perceptual distances of pairs",
    )


class _Partners(NamedTuple):
    pairs: dict[str, tuple[str, str]]
    alone: tuple[list[str], list[str]]


def _partners(first: Source, second: Source) -> _Partners:
    sides = []
    for source in (first, second):
        named: dict[str, str] = {}
        for name in source.names:
            stem = os.path.splitext(name)[0]
            if stem in named:
                raise ValueError(
                    f"{shown(source.path)} has {shown(named[stem])} and {shown(name)}: which is the partner?"
                )
            named[stem] = name
        sides.append(named)
    a, b = sides
    both = [stem for stem in a if stem in b]
    alone = [a[stem] for stem in a if stem not in b], [b[stem] for stem in b if stem not in a]
    return _Partners({stem: (a[stem], b[stem]) for stem in both}, alone)


def _batch(rows: list[tuple[np.ndarray, np.ndarray]], size: int) -> dict[str, np.ndarray]:
    filled = [*rows, *[rows[-1]] * (size - len(rows))]
    first, second = (np.stack(side) for side in zip(*filled, strict=True))
    return {"first": first, "second": second, "counts": np.arange(size) < len(rows)}


def _listed(failed: dict[str, str]) -> list[str]:
    return [f"  {shown(name)}: {why}" for name, why in failed.items()]


def _few(names: list[str]) -> str:
    return ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _small(image: np.ndarray) -> np.ndarray:
    step = max(1, max(image.shape[:2]) // (2 * _SIDE))
    return image[::step, ::step]
