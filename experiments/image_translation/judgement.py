"""What is measured of a system: what its codes do, and, where content and style are known, what it gets right."""

from collections.abc import Mapping

import numpy as np

_WHITE = 0.85  # a pixel that is darker in some channel is painted


def of_codes(painted: np.ndarray) -> dict[str, float]:
    """How images of one content differ from code to code, and from content to content.

    Args:
      painted: `[n, k, h, w, c]` in [0, 1]: n contents, each with the same k codes.

    Returns:
      `diversity`: mean absolute difference of two images of one content; `contents`: of two images with one code. Where
      the first is near 0 codes are ignored, where the second is, all images are the same.
    """
    if painted.shape[1] < 2:
        return {"contents": _apart(painted.swapaxes(0, 1))}
    return {"diversity": _apart(painted), "contents": _apart(painted.swapaxes(0, 1))}


def of_colours(painted: np.ndarray, codes: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """How much of the colour of a painted polygon its code decides: R^2 of a quadratic fit, on the other half of rows.

    Args:
      painted: `[n, h, w, 3]` in [0, 1], n some ten times the d (d + 3) / 2 coefficients of the fit.
      codes: `[n, d]`.
      inside: `[n, h, w]` bool, where a polygon is.

    Returns:
      `colour_from_code`: 1 where the code says all, 0 or less where it says nothing.
    """
    colours = _colours(painted, inside)
    products = [codes[:, i] * codes[:, j] for i in range(codes.shape[1]) for j in range(i + 1)]
    features = np.concatenate([np.ones((len(codes), 1)), codes, np.stack(products, axis=1)], axis=1)
    half = len(codes) // 2
    weights, *_ = np.linalg.lstsq(features[:half], colours[:half], rcond=None)
    left = np.square(colours[half:] - features[half:] @ weights).sum()
    total = np.square(colours[half:] - colours[half:].mean(0)).sum()
    return {"colour_from_code": float(1 - left / max(total, 1e-12))}


def of_references(painted: np.ndarray, colours: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Root mean square distance of a painted colour from that of the reference whose style was used.

    Args:
      painted: `[n, h, w, 3]` in [0, 1].
      colours: `[n, 3]` true colours of the references.
      inside: `[n, h, w]` bool, where the painted polygon is.

    Returns:
      `reference_error`, and `colour_spread`: the same for a colour drawn at random from the references.
    """
    found = _colours(painted, inside)
    away = np.sqrt(np.mean(np.square(found - colours)))
    return {"reference_error": float(away), "colour_spread": float(np.sqrt(2 * np.mean(np.var(colours, axis=0))))}


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
    if values.get("contents", 1.0) < 0.005:
        return "images are nearly the same whatever the content: the painter has collapsed"
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
