"""The page: figures with intervals, generated images beside their nearest real ones, images that count most."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.image_metrics.pictures import Source, shown
from gentoolkit import report
from gentoolkit.evaluation import neighbors
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.frechet_inception import contributions
from gentoolkit.evaluation.result import Result

NAME = "report.html"
_SHOWN, _NEAREST, _SIDE = 8, 3, 160
_INTERVAL = 1.96
_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "Inception score",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "clip_score": "CLIP score",
    "lpips": "LPIPS",
    "diversity": "Diversity (LPIPS)",
}


class Side(NamedTuple):
    """A set of images whose features are known.

    Attributes:
      source: of the images; None where there are statistics alone.
      names: of the images, in the order of the rows.
      features: of them.
    """

    source: Source | None
    names: Sequence[str]
    features: Features | None


class Captioned(NamedTuple):
    """Images with captions.

    Attributes:
      names: of the images.
      texts: their captions.
      cosines: `[n]`, how well each fits.
    """

    names: Sequence[str]
    texts: Sequence[str]
    cosines: np.ndarray


def table(results: Mapping[str, Result]) -> report.Table:
    """The figures as a table: value, 95 % interval, numbers of images, network, preprocessing."""
    rows = []
    for name, found in results.items():
        title = _title(name)
        rows.append([title, *_figures(found.value, found.standard_error), *_about(found)])
        if "extrapolated" in found.extra:
            figures = _figures(found.extra["extrapolated"], found.standard_error)
            side = found.extra["extrapolated_sides"]
            more = "images" if side in ("both", "none") else f"{side} images"
            rows.append([f"{title}, for ever more {more}", *figures, *_about(found)])
        if "times_1000" in found.extra:
            figures = _figures(1000 * found.value, 1000 * found.standard_error)
            rows.append([f"{title} x 1000", *figures, *_about(found)])
    columns = ["metric", "value", "standard error", "95 % interval", "real", "generated", "network", "preprocessing"]
    return report.Table(columns, rows, "Intervals are 1.96 standard errors to either side.")


def write(
    folder: pathlib.Path,
    results: Mapping[str, Result],
    *,
    real: Side,
    generated: Side,
    said: Sequence[str],
    settings: Mapping[str, Any],
    random: bool,
    captioned: Captioned | None = None,
    sections: Sequence[report.Html] = (),
) -> pathlib.Path:
    """Writes the page.

    Args:
      folder: where to.
      results: by name.
      real: the real images.
      generated: the generated ones.
      said: sentences on images and figures.
      settings: what was asked for.
      random: whether the weights are random.
      captioned: images with their captions, where a CLIP score was taken.
      sections: what else stands behind the figures.

    Returns:
      Its path.
    """
    warning = (
        "Random weights: these figures are for smoke tests alone. None of them is FID, KID, IS, LPIPS or a CLIP score."
        if random
        else ""
    )
    return report.write_page(
        folder / NAME,
        warning,
        table(results),
        report.section("To know", report.bullets([line.strip() for line in said])),
        _nearest(real, generated),
        _heaviest(real, generated) if any(name.startswith(("fid", "frechet")) for name in results) else report.Html(),
        _captions(generated, captioned),
        *sections,
        report.section("How errors were found", report.values(_resampling(results))),
        report.provenance(report.command()),
        report.configuration(settings),
        title="Image metrics",
        subtitle=f"{settings['generated']} beside {settings['real']}",
    )


def _resampling(results: Mapping[str, Result]) -> dict[str, str]:
    return {_title(name): found.extra["resampling"] for name, found in results.items()}


def _title(name: str) -> str:
    """What a figure is called on the page: `lpips_v0.0` is LPIPS v0.0."""
    plain, version, number = name.partition("_v")
    return _NAMES.get(plain, plain.replace("_", " ")) + (f" v{number}" if version else "")


def _figures(value: float, error: float) -> list[str]:
    if not np.isfinite(error):
        return [f"{value:.5g}", "-", "-"]
    return [f"{value:.5g}", f"{error:.2g}", f"{value - _INTERVAL * error:.5g} to {value + _INTERVAL * error:.5g}"]


def _about(found: Result) -> list[str]:
    numbers = ["?" if num is None else str(num or "-") for num in (found.num_real, found.num_generated)]
    return [*numbers, found.network, found.preprocessing]


def _nearest(real: Side, generated: Side) -> report.Html:
    if real.source is None or real.features is None or generated.features is None:
        return report.Html()
    x, y = real.features.rows, generated.features.rows
    if x is None or y is None:
        return report.Html()
    chosen = np.unique(np.linspace(0, len(y) - 1, _SHOWN).astype(int))
    places, distances = neighbors.nearest(y[chosen], x, num=min(_NEAREST, len(x)))
    rows = [
        [
            _picture(generated, place),
            *(_picture(real, at, f"distance {d:.3g}") for at, d in zip(near, far, strict=True)),
        ]
        for place, near, far in zip(chosen, places, distances, strict=True)
    ]
    columns = ["generated", *(f"nearest {i + 1}" for i in range(places.shape[1]))]
    told = f"By the features of {generated.features.network}. A neighbour that is the same picture was learnt by heart."
    return report.section("Nearest real images", report.sheet(rows, columns=columns, caption=told))


def _heaviest(real: Side, generated: Side) -> report.Html:
    if real.features is None or generated.features is None or generated.features.rows is None:
        return report.Html()
    found = contributions(real.features, generated.features)
    blocks: list[report.Block] = [
        "Counting such an image once more would raise the Fréchet distance by about its number over the number of "
        "images; leaving it out would lower it. The mean over all images of a side is 0."
    ]
    for side, weights, what in ((generated, found[0], "Generated"), (real, found[1], "Real")):
        if weights is None or side.source is None:
            continue
        most = np.argsort(-weights, kind="stable")[:_SHOWN]
        row = [_picture(side, place, f"{weights[place]:+.3g}") for place in most]
        blocks.append(report.sheet([row], labels=[what]))
    return report.section("Images that count most", *blocks)


def _captions(generated: Side, captioned: Captioned | None) -> report.Html:
    if captioned is None:
        return report.Html()
    order, places = np.argsort(-captioned.cosines, kind="stable"), {name: i for i, name in enumerate(generated.names)}
    rows = [
        [
            _picture(generated, places[captioned.names[i]], f"{captioned.cosines[i]:.3f}: {captioned.texts[i][:120]}")
            for i in chosen[:_SHOWN]
        ]
        for chosen in (order, order[::-1])
    ]
    return report.section("Captions that fit best and least", report.sheet(rows, labels=["best", "least"]))


def _picture(side: Side, place: int, told: str = "") -> report.Picture:
    assert side.source is not None, "only sides with files are shown"
    name = side.names[place]
    levels = side.source.read(name).levels
    step = max(1, max(levels.shape[:2]) // (2 * _SIDE))
    label = shown(name)
    caption = label if len(label) <= 40 else f"...{label[-37:]}"
    small = levels[::step, ::step] if step > 1 else levels
    return report.Picture(small, f"{caption} {told}".strip())
