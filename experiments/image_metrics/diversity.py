"""How different the outputs for one input are: files NAME_0, NAME_1, ... of one folder, a NAME for each input."""

import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from experiments.image_metrics import pairs
from experiments.image_metrics.pairs import AS_THEY_ARE, RANGE, Found, Measure, Picture
from experiments.image_metrics.pictures import Source, shown
from gentoolkit import report
from gentoolkit.evaluation import perceptual
from gentoolkit.evaluation.result import Result

# Which outputs of an input are compared: "disjoint" 0 with 1, 2 with 3, ... (two fresh codes for each pair), or
# "consecutive" 0 with 1, 1 with 2, ... as BicycleGAN does with 20 outputs.
PAIRINGS = ("disjoint", "consecutive")
_OUTPUT = re.compile(r"(.+?)[_\-/](\d+)")
_SHOWN, _OUTPUTS = 4, 6


def outputs(source: Source) -> dict[str, list[str]]:
    """The files of each input, in the order of their numbers.

    Args:
      source: images called `NAME_0.png`, `NAME_1.png`, ..., or `NAME/0.png`, `NAME/1.png`, ...

    Raises:
      ValueError: a file without a number, two with one, fewer than two inputs, or an input with one output.
    """
    found: dict[str, dict[int, str]] = {}
    for name in source.names:
        fitting = _OUTPUT.fullmatch(pathlib.PurePath(os.path.splitext(name)[0]).as_posix())
        if fitting is None:
            raise ValueError(f"--metrics=diversity: {shown(name)} does not end in _NUMBER, as NAME_0.png does.")
        own = found.setdefault(fitting[1], {})
        if int(fitting[2]) in own:
            raise ValueError(f"--metrics=diversity: {shown(own[int(fitting[2])])} and {shown(name)} are one output.")
        own[int(fitting[2])] = name
    if len(found) < 2:
        raise ValueError(
            f"--metrics=diversity: all images are outputs of one input, {shown(next(iter(found)))}: the files of each "
            "input must be called NAME_0.png, NAME_1.png, ..., with a NAME of its own."
        )
    alone = [names for names in found.values() if len(names) < 2]
    if alone:
        first = shown(next(iter(alone[0].values())))
        raise ValueError(f"--metrics=diversity: {len(alone)} inputs have one output, such as {first}; two are needed.")
    return {name: [own[number] for number in sorted(own)] for name, own in found.items()}


def paired(
    source: Source, files: Mapping[str, list[str]], pairing: str
) -> dict[str, dict[str, tuple[Picture, Picture]]]:
    """The pairs of each input.

    Args:
      source: of the images.
      files: of each input.
      pairing: one of `PAIRINGS`.
    """
    step = 2 if pairing == "disjoint" else 1
    return {
        name: {
            f"{own[i]} and {own[i + 1]}": (Picture(source, own[i]), Picture(source, own[i + 1]))
            for i in range(0, len(own) - 1, step)
        }
        for name, own in files.items()
    }


def measure(source: Source, by: Measure, *, pairing: str, batch_size: int) -> Found:
    """Takes the mean over inputs of the mean distance of their outputs.

    Args:
      source: of the images.
      by: the distance.
      pairing: one of `PAIRINGS`.
      batch_size: pairs at a time.

    Returns:
      The figure with error and interval by a bootstrap over inputs, and the mean of each input.

    Raises:
      ValueError: as `outputs`, or fewer than two inputs whose pairs can be measured.

    References:
      Zhu et al. (2017), "Toward multimodal image-to-image translation", section 5 (100 inputs).
    """
    files = outputs(source)
    by_input = paired(source, files, pairing)
    every = {name: pair for own in by_input.values() for name, pair in own.items()}
    each, failed = pairs.distances(every, by, batch_size=batch_size)
    found = {name: [each[pair] for pair in own if pair in each] for name, own in by_input.items()}
    means = {name: float(np.mean(values)) for name, values in found.items() if values}
    if len(means) < 2:
        raise ValueError("\n".join(["Fewer than two inputs have outputs that can be compared.", *pairs.said(failed)]))
    values = np.array(list(means.values()))
    error, interval = perceptual.bootstrap(values)
    told = pairs.said(failed)
    if not values.any():
        told.append("All outputs for one input are equal: the model does not heed its codes.")
    numbers = sorted({len(own) for own in by_input.values()})
    odd = sum(len(own) % 2 for own in files.values())
    if pairing == "disjoint" and odd:
        told.append(f"{odd} inputs have an odd number of outputs: the last one of each is in no pair.")
    if len(numbers) > 1:
        told.append(f"Inputs have between {numbers[0]} and {numbers[-1]} pairs; each input counts once.")
    extra = {
        "interval": interval,
        "per_input": means,
        "num_inputs": len(means),
        "num_pairs": numbers[0] if len(numbers) == 1 else numbers,
        "pairing": pairing,
        "image_range": list(RANGE),
        "resampling": "bootstrap of inputs",
    }
    result = Result(float(values.mean()), error, 0, len(each), by.name, AS_THEY_ARE, by.sha256, extra)
    return Found(result, means, told, len(failed))


def section(title: str, source: Source, found: Found) -> report.Html:
    """The inputs whose outputs differ most and least, for the page.

    Args:
      title: of the section.
      source: of the images.
      found: what came of it.
    """
    files = outputs(source)
    order = sorted(found.each, key=lambda name: -found.each[name])
    rows, labels = [], []
    for name in dict.fromkeys([*order[:_SHOWN], *order[-_SHOWN:]]):
        shown_files = files[name][:_OUTPUTS]
        row: list[report.Picture] = []
        for file in shown_files:
            try:
                row.append(report.Picture(pairs.small(source.read(file).levels), ""))
            except (OSError, ValueError):  # said already
                continue
        rows.append(row)
        labels.append(f"{shown(name)}: {found.each[name]:.4g}")
    return report.section(title, report.sheet(rows, labels=labels))
