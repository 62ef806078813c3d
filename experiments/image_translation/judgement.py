"""What is measured of a system: what its codes do, and, where content and style are known, what it gets right."""

from collections.abc import Mapping, Sequence

import numpy as np

_WHITE = 0.85  # a pixel that is darker in some channel is painted
CONTENTS = {"contents": "y", "x_contents": "x"}  # how images of two contents differ: by name of the metric, the domain
ACTIVE = 0.1  # standard deviation from image to image above which a feature of a code counts as in use
SAME = 0.005  # below that images are nearly the same whatever their content


def of_codes(painted: np.ndarray) -> dict[str, float]:
    """How images of one content differ from code to code, and from content to content.

    Args:
      painted: `[n, k, h, w, c]` in [0, 1]: n contents, each with the same k codes.

    Returns:
      `diversity`: mean absolute difference of two images of one content; `contents`: of two images with one code. Where
      the first is near 0 codes are ignored, where the second is, all images are the same. One of a single code or of a
      single content is left out.
    """
    several = {"diversity": painted, "contents": painted.swapaxes(0, 1)}
    return {name: _apart(images) for name, images in several.items() if images.shape[1] > 1}


def of_colours(painted: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """How much of the colour of a painted polygon its code decides: R^2 of colour from code, whatever the curve.

    One-way analysis of variance: what is left within a code, over the contents, and what there is in all. (A fit of low
    degree would call a perfect painter imperfect: a uniform colour is no polynomial of a normal code.)

    Args:
      painted: `[n, k, h, w, 3]` in [0, 1]: n contents, each with the same k codes; both two or more.
      inside: `[n, h, w]` bool, where a polygon is.

    Returns:
      `colour_from_code`: 1 where the code says all, about 0 where it says nothing.
    """
    colours = _colours(painted, inside[:, None])
    within = np.var(colours, axis=0, ddof=1).sum(-1).mean()
    # Variance of means over contents holds a share of what is within.
    between = np.var(colours.mean(0), axis=0, ddof=1).sum() - within / len(colours)
    return {"colour_from_code": float(between / max(between + within, 1e-12))}


def of_references(painted: np.ndarray, colours: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Root mean square distance of a painted colour from that of the reference whose style was used.

    Args:
      painted: `[n, h, w, 3]` in [0, 1].
      colours: `[n, 3]` true colours of the references.
      inside: `[n, h, w]` bool, where the painted polygon is.

    Returns:
      `reference_error`, and `colour_spread`: the same for a colour drawn at random from the references.
    """
    spread = np.sqrt(2 * np.mean(np.var(colours, axis=0)))
    return {"reference_error": colour_error(painted, colours, inside), "colour_spread": float(spread)}


def colour_error(painted: np.ndarray, colours: np.ndarray, inside: np.ndarray) -> float:
    """Root mean square distance of the mean colour inside from the true one, arguments as in `of_references`.

    It is not 0 for the true pictures: pixels on the border of a polygon are part white.
    """
    return float(np.sqrt(np.mean(np.square(_colours(painted, inside) - colours))))


def of_coverage(painted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> dict[str, float]:
    """How many of the true pictures of a content its samples reach, and how far samples are from the nearest.

    Args:
      painted: for each content, `[k, h, w, c]` samples in [0, 1].
      true: for each content, all its true pictures, `[m, h, w, c]`, two or more that differ.

    Returns:
      Means over contents. `covered`: the share of true pictures that are within reach of a sample, which is half the
      distance to the nearest other true picture of that content, so that no sample reaches two. `nearest`: the share of
      true pictures that are the nearest one to some sample, near or not. `distance`: root mean square distance of a
      sample from the nearest true picture; `missed`: of a true picture from the nearest sample; `apart`: between two
      true pictures of a content, to compare with.
    """
    rows = []
    for samples, pictures in zip(painted, true, strict=True):
        flat, goals = (part.reshape(len(part), -1).astype(np.float64) for part in (samples, pictures))
        away = np.sqrt(np.mean(np.square(flat[:, None] - goals[None]), axis=-1))
        between = np.sqrt(np.mean(np.square(goals[:, None] - goals[None]), axis=-1))
        reach = np.where(np.eye(len(goals), dtype=bool), np.inf, between).min(axis=1) / 2
        rows.append(
            (
                np.mean((away < reach).any(axis=0)),
                len(np.unique(away.argmin(axis=1))) / len(goals),
                away.min(axis=1).mean(),
                away.min(axis=0).mean(),
                between.sum() / (len(goals) * (len(goals) - 1)),
            )
        )
    names = ("covered", "nearest", "distance", "missed", "apart")
    return dict(zip(names, map(float, np.mean(rows, axis=0)), strict=True))


def of_content(painted: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """F1 of the outline of what is painted against the true one, to within one pixel.

    Args:
      painted: `[n, h, w, 3]` in [0, 1].
      inside: `[n, h, w]` bool.

    Returns:
      `outline_f1`, the mean over images.
    """
    found, true = _outline(is_painted(painted)), _outline(inside)
    precision = _share(found, _grown(true))
    recall = _share(true, _grown(found))
    return {"outline_f1": float(np.mean(2 * precision * recall / np.maximum(precision + recall, 1e-12)))}


def is_painted(images: np.ndarray) -> np.ndarray:
    """Where images `[..., c]` in [0, 1] are not white."""
    return images.min(-1) < _WHITE


def alarm(values: Mapping[str, float]) -> str:
    """A line where codes are ignored or images have collapsed; else empty."""
    for name, domain in CONTENTS.items():
        if values.get(name, 1.0) < SAME:
            told = f"images of {domain} are nearly the same whatever the content: the painter has collapsed"
            # Yet the way back from x tells contents of y apart: it reads what nobody sees.
            hides = domain == "x" and values.get("hidden_error", 1.0) < values.get("contents", 0.0)
            return told + (", and hides the picture; --config.way_back_noise=0.1 is against that" if hides else "")
    if values.get("diversity", 1.0) < 0.002:
        return "images are nearly the same whatever the code: codes are ignored"
    return ""


def _apart(painted: np.ndarray) -> float:
    """Mean absolute difference of neighbours along the second axis."""
    return float(np.mean(np.abs(painted - np.roll(painted, 1, axis=1))))


def _colours(painted: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The mean colour inside, over height and width."""
    weight = inside[..., None].astype(np.float64)
    return (painted * weight).sum((-3, -2)) / np.maximum(weight.sum((-3, -2)), 1)


def _outline(region: np.ndarray) -> np.ndarray:
    """The pixels of a region that have a neighbour outside."""
    return region & _grown(~region)


def _grown(region: np.ndarray) -> np.ndarray:
    """A region and its neighbours above, below, left and right."""
    padded = np.pad(region, ((0, 0), (1, 1), (1, 1)))
    height, width = region.shape[1:]
    shifts = ((0, 1), (2, 1), (1, 0), (1, 2), (1, 1))
    return np.any([padded[:, i : i + height, j : j + width] for i, j in shifts], axis=0)


def _share(region: np.ndarray, of: np.ndarray) -> np.ndarray:
    return (region & of).sum((1, 2)) / np.maximum(region.sum((1, 2)), 1)
