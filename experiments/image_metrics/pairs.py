"""Perceptual distances of pairs of images: files of one name of two folders, and how far they are apart, and where."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from experiments.image_metrics import networks
from experiments.image_metrics.pictures import Source, shown
from gentoolkit import report, study, training
from gentoolkit.evaluation.result import Result
from gentoolkit.models.extractors import alexnet, lpips, squeezenet, vgg

RANGE = (0, 255)
AS_THEY_ARE = "as they are"  # the preprocessing: images are measured in their own size
TRUNKS = {"alex": (alexnet, alexnet.AlexNet), "vgg": (vgg, vgg.VGG16), "squeeze": (squeezenet, squeezenet.SqueezeNet)}
_SHOWN, _SIDE = 4, 160


class Measure(NamedTuple):
    """A distance that is ready: of pairs `[b]`, and where they differ `[b, h, w]`; both take uint8 in [0, 255].

    Attributes:
      name: of version and trunk.
      sha256: of the file of the heads.
      note: what is to be said of the weights; "" for the published files.
      distance: of pairs.
      maps: where they differ.
    """

    name: str
    sha256: str
    note: str
    distance: Callable[[Any, Any], Any]
    maps: Callable[[Any, Any], Any]


class Picture(NamedTuple):
    """An image of a set, by its name."""

    source: Source
    name: str


Pairs = Mapping[str, tuple[Picture, Picture]]


class Found(NamedTuple):
    """What came of it.

    Attributes:
      result: the figure.
      each: distance of each pair by its name, or mean of each input's outputs.
      said: what is to be said.
      left_out: how many files, or pairs, are not in the figure.
    """

    result: Result
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
    module = TRUNKS[trunk][0]
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
    made = TRUNKS[trunk][1]
    if paths is None:
        network = lpips.Lpips.random(nnx.Rngs(0), trunk=made, version=version)
    else:
        network = lpips.Lpips.load(made.load(paths[0]), paths[1], version=version)
    distance = training.jit(lambda models, a, b: models["lpips"](a, b, image_range=RANGE))
    maps = training.jit(lambda models, a, b: models["lpips"].maps(a, b, image_range=RANGE))
    models = {"lpips": network}
    name, note = network.origin.name, ""
    if paths is None:
        note = f"{name}: its figures compare with nothing."
    elif not network.origin.published:
        note = f"{name}: trunk or heads are not the published files, so that figures need not be theirs."
    return Measure(
        name, network.origin.sha256, note, lambda a, b: distance(models, a, b), lambda a, b: maps(models, a, b)
    )


def measure(real: Source, generated: Source, by: Measure, *, batch_size: int) -> Found:
    """Measures the pairs of two sets, files of one name whatever their endings.

    Args:
      real: one set.
      generated: the other.
      by: the distance.
      batch_size: pairs at a time, of one size; the last ones are filled up.

    Returns:
      The mean over pairs with its standard error, and the distance of each.

    Raises:
      ValueError: no pair that can be measured.
    """
    pairs, alone = partners(real, generated)
    lonely = [
        f"{what}: {len(names)} files have no partner ({_few(names)})."
        for what, names in zip(("real", "generated"), alone, strict=True)
        if names
    ]
    if not pairs:
        raise ValueError("\n".join(["No file of --real has the name of one of --generated.", *lonely]))
    each, failed = distances(pairs, by, batch_size=batch_size)
    values = np.array(list(each.values()), np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    extra = {"image_range": list(RANGE), "resampling": "pairs"}
    result = Result(float(values.mean()), float(error), len(each), len(each), by.name, AS_THEY_ARE, by.sha256, extra)
    return Found(result, each, [*lonely, *said(failed)], len(failed) + sum(map(len, alone)))


def distances(pairs: Pairs, by: Measure, *, batch_size: int) -> tuple[dict[str, float], dict[str, str]]:
    """Measures pairs.

    Args:
      pairs: by name.
      by: the distance.
      batch_size: pairs at a time, of one size; the last ones are filled up.

    Returns:
      Distances by name, and why others could not be measured.

    Raises:
      ValueError: none could.
    """
    each: dict[str, float] = {}
    failed: dict[str, str] = {}
    waiting: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def flush() -> None:
        if waiting:
            rows = [*waiting.values()]
            rows += [rows[-1]] * (batch_size - len(rows))
            found = np.asarray(by.distance(*(np.stack(side) for side in zip(*rows, strict=True))), np.float64)
            each.update(zip(waiting, map(float, found), strict=False))
            waiting.clear()

    with study.Progress(len(pairs)) as progress:
        for name, pair in pairs.items():
            progress.begin(shown(name))
            try:
                a, b = (picture.source.read(picture.name).levels for picture in pair)
                if a.shape != b.shape:
                    raise ValueError(f"sizes differ: {_size(a)} and {_size(b)}")
            except (OSError, ValueError) as error:
                failed[name] = str(error)
            else:
                if waiting and next(iter(waiting.values()))[0].shape != a.shape:
                    flush()
                waiting[name] = a, b
                if len(waiting) == batch_size:
                    flush()
            progress.end()
        flush()
    if not each:
        raise ValueError("\n".join(["No pair can be measured.", *said(failed)]))
    return each, failed


def said(failed: Mapping[str, str]) -> list[str]:
    """Sentences on pairs that could not be measured."""
    if not failed:
        return []
    return [
        f"{len(failed)} pairs cannot be measured and are left out:",
        *(f"  {shown(name)}: {why}" for name, why in failed.items()),
    ]


def section(title: str, pairs: Pairs, by: Measure, found: Found) -> report.Html:
    """The pairs that differ most and least, and where they do, for the page.

    Args:
      title: of the section.
      pairs: by name.
      by: the distance.
      found: what came of it.
    """
    order = sorted(found.each, key=lambda name: -found.each[name])
    chosen = list(dict.fromkeys([*order[:_SHOWN], *order[-_SHOWN:]]))
    rows = []
    for name in chosen:
        a, b = (picture.source.read(picture.name).levels for picture in pairs[name])
        where = np.asarray(by.maps(a[None], b[None]))[0]
        bright = np.repeat((where / max(float(where.max()), 1e-12))[..., None], 3, axis=-1)
        rows.append([small(a), small(b), report.Picture(small(bright), f"distance {found.each[name]:.4g}")])
    told = "Each map is scaled to its own largest value."
    columns = ["real", "generated", "where they differ"]
    return report.section(title, report.sheet(rows, columns=columns, labels=list(map(shown, chosen)), caption=told))


def partners(real: Source, generated: Source) -> tuple[dict[str, tuple[Picture, Picture]], tuple[list[str], list[str]]]:
    """The files of one name whatever their endings, and those of either side that have no partner.

    Raises:
      ValueError: two files of a side have one name.
    """
    sides = []
    for source in (real, generated):
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
    pairs = {stem: (Picture(real, a[stem]), Picture(generated, b[stem])) for stem in a if stem in b}
    return pairs, ([a[stem] for stem in a if stem not in b], [b[stem] for stem in b if stem not in a])


def small(image: np.ndarray) -> np.ndarray:
    """An image with every so many pixels left out, for a page."""
    step = max(1, max(image.shape[:2]) // (2 * _SIDE))
    return image[::step, ::step]


def _few(names: list[str]) -> str:
    return ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
