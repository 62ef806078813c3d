"""Do local features survive an enhancement? SIFT keypoints compared with those of the bright photograph, on the host.

The only part of this room that is not JAX: OpenCV detects, NumPy matches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_LUMA = np.array([0.299, 0.587, 0.114])


class Keypoints(NamedTuple):
    """Detected keypoints.

    Attributes:
      position: `[n, 2]` float32, x and y in pixels.
      scale: `[n]` float32, standard deviation of the blob in pixels (half of OpenCV's diameter `size`).
      orientation: `[n]` float32, degrees in [0, 360).
      descriptor: `[n, 128]` float32.
    """

    position: np.ndarray
    scale: np.ndarray
    orientation: np.ndarray
    descriptor: np.ndarray


class Score(NamedTuple):
    """Precision, recall and their harmonic mean, each in [0, 1]; 0 / 0 counts as 0."""

    precision: float
    recall: float
    f1: float


def detect(image: ArrayLike, *, contrast_threshold: float = 0.04, max_keypoints: int = 0) -> Keypoints:
    """SIFT keypoints of an image, its contrast left as it is.

    The contrast threshold is absolute, so dark images lose keypoints; that is the effect to measure, and why the
    image is not stretched before detection.

    Args:
      image: `[h, w, 3]` RGB, `[h, w, 1]` or `[h, w]` in [0, 1]; turned into 8-bit luma.
      contrast_threshold: OpenCV's, in units of the full range.
      max_keypoints: keep the strongest so many, 0 for all.

    Returns:
      The keypoints, none of them for a flat or tiny image.

    Raises:
      ValueError: the image is empty, has another shape or holds NaN.
      TypeError: the image holds integers.
      ImportError: OpenCV is not installed.

    References:
      Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004.
    """
    cv2 = _opencv()
    grey = _eight_bit_luma(image)
    detector = cv2.SIFT_create(nfeatures=max_keypoints, contrastThreshold=contrast_threshold)
    found, descriptor = detector.detectAndCompute(grey, None)
    if not found:
        return Keypoints(*(np.zeros(shape, np.float32) for shape in ((0, 2), 0, 0, (0, 128))))
    return Keypoints(
        np.array([point.pt for point in found], np.float32),
        np.array([point.size / 2 for point in found], np.float32),
        np.array([point.angle % 360 for point in found], np.float32),
        np.asarray(descriptor, np.float32),
    )


def score_geometry(
    detected: Keypoints,
    truth: Keypoints,
    *,
    least_distance: float = 1.5,
    relative_distance: float = 0.5,
    scale_ratio: float = 2**0.5,
    angle: float = 20.0,
) -> Score:
    """Precision and recall of keypoints by place, scale and orientation.

    A detection is right if a keypoint of the truth, used by no other, lies within
    max(least_distance, relative_distance * scale of the truth), has a scale within the ratio and an orientation within
    the angle. Pairs are made one to one, nearest first.

    Args:
      detected: keypoints of the image to be judged.
      truth: keypoints of the bright photograph.
      least_distance: in pixels.
      relative_distance: in scales of the keypoint of the truth.
      scale_ratio: largest ratio of the two scales, >= 1.
      angle: largest difference of orientations in degrees.

    Returns:
      right / detected, right / truth and their harmonic mean. No detection gives 0, 0, 0.
    """
    pairs, distances = [], []
    # Blocks of detections: the table of all pairs of a large photograph would not fit.
    for start in range(0, len(detected.scale), 1024):
        rows = slice(start, start + 1024)
        away = np.linalg.norm(detected.position[rows, None, :] - truth.position[None, :, :], axis=-1)
        ratio = np.abs(np.log(detected.scale[rows, None] / truth.scale[None, :]))
        turn = np.abs((detected.orientation[rows, None] - truth.orientation[None, :] + 180) % 360 - 180)
        near = away <= np.maximum(least_distance, relative_distance * truth.scale[None, :])
        i, j = np.nonzero(near & (ratio <= np.log(scale_ratio) + 1e-6) & (turn <= angle))
        pairs.append(np.stack([i + start, j], axis=-1))
        distances.append(away[i, j])
    right = 0
    if pairs:
        candidates = np.concatenate(pairs)[np.argsort(np.concatenate(distances), kind="stable")]
        used_detections, used_truth = np.zeros(len(detected.scale), bool), np.zeros(len(truth.scale), bool)
        for i, j in candidates:
            if not used_detections[i] and not used_truth[j]:
                used_detections[i] = used_truth[j] = True
                right += 1
    return _score(right, len(detected.scale), len(truth.scale))


def score_descriptors(detected: Keypoints, truth: Keypoints, *, ratio: float = 0.8, distance: float = 3.0) -> Score:
    """Precision and recall of keypoints by their descriptors.

    A detection is right if it and a keypoint of the truth are each other's nearest in descriptor space, the second
    nearest of the truth is farther by 1 / ratio, and the two lie within the distance.

    Args:
      detected: keypoints of the image to be judged.
      truth: keypoints of the bright photograph.
      ratio: largest ratio of the nearest to the second nearest descriptor distance.
      distance: in pixels.

    Returns:
      right / detected, right / truth and their harmonic mean. No detection gives 0, 0, 0.

    References:
      Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004, section 7.1 (the ratio).
    """
    num, num_truth = len(detected.scale), len(truth.scale)
    if not num or not num_truth:
        return _score(0, num, num_truth)
    a, b = detected.descriptor.astype(np.float64), truth.descriptor.astype(np.float64)
    nearest, first, second = np.zeros(num, int), np.zeros(num), np.full(num, np.inf)
    back, back_value = np.zeros(num_truth, int), np.full(num_truth, np.inf)
    for start in range(0, num, 1024):
        rows = slice(start, start + 1024)
        squared = (a[rows] ** 2).sum(-1)[:, None] - 2 * a[rows] @ b.T + (b**2).sum(-1)[None, :]
        squared = np.maximum(squared, 0)
        nearest[rows] = squared.argmin(1)
        ordered = np.partition(squared, min(1, num_truth - 1), axis=1)
        first[rows] = ordered[:, 0]
        if num_truth > 1:
            second[rows] = ordered[:, 1]
        column, value = squared.argmin(0), squared.min(0)
        better = value < back_value
        back[better], back_value[better] = column[better] + start, value[better]
    away = np.linalg.norm(detected.position - truth.position[nearest], axis=-1)
    right = (back[nearest] == np.arange(num)) & (first < ratio**2 * second) & (away <= distance)
    return _score(int(right.sum()), num, num_truth)


def compare(image: ArrayLike, reference: ArrayLike, *, definition: str = "geometry") -> Score:
    """Detects keypoints in both images and scores those of the first by those of the second.

    Args:
      image: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` in [0, 1], the image to be judged.
      reference: of the same size, the bright photograph.
      definition: `"geometry"` for `score_geometry`, `"descriptor"` for `score_descriptors`.

    Returns:
      Precision, recall and F1.

    Raises:
      ValueError: the sizes disagree, an image is empty or holds NaN, or the definition is unknown.
      TypeError: an image holds integers.
      ImportError: OpenCV is not installed.
    """
    if definition not in ("geometry", "descriptor"):
        raise ValueError(f"definition must be 'geometry' or 'descriptor', got definition = {definition!r}.")
    sizes = np.shape(image)[:2], np.shape(reference)[:2]
    if sizes[0] != sizes[1]:
        raise ValueError(f"Images must have the same size, got image {sizes[0]} and reference {sizes[1]}.")
    score = score_geometry if definition == "geometry" else score_descriptors
    return score(detect(image), detect(reference))


def _score(right: int, detected: int, truth: int) -> Score:
    precision = right / detected if detected else 0.0
    recall = right / truth if truth else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Score(precision, recall, f1)


def _eight_bit_luma(image: ArrayLike) -> np.ndarray:
    image = np.asarray(image)
    if not np.issubdtype(image.dtype, np.floating):
        # bfloat16 of JAX is no NumPy float; everything else that is not one holds 8-bit values or is a mistake.
        if image.dtype.name != "bfloat16":
            raise TypeError(f"image must hold floats in [0, 1] (divide 8-bit values by 255), got dtype {image.dtype}.")
    image = image.astype(np.float64)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or image.size == 0:
        raise ValueError(f"image must be a non-empty [h, w, 3], [h, w, 1] or [h, w], got shape {image.shape}.")
    if np.isnan(image).any():
        raise ValueError("image holds NaN, which no keypoint detector can see.")
    grey = image @ _LUMA if image.shape[-1] == 3 else image[..., 0]
    return np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8)


def _opencv():
    try:
        import cv2
    except ImportError as error:
        raise ImportError("SIFT keypoints need OpenCV: pip install opencv-python-headless.") from error
    return cv2
