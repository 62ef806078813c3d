import builtins

import numpy as np
import pytest

from gentoolkit.imaging import keypoints
from gentoolkit.imaging.keypoints import Keypoints


def blobs(seed=0, size=96):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for _ in range(25):
        u, v, s = rng.uniform(8, size - 8), rng.uniform(8, size - 8), rng.uniform(1.5, 4)
        image += rng.uniform(-1, 1) * np.exp(-((x - u) ** 2 + 0.5 * (y - v) ** 2) / (2 * s * s))
    return np.clip(0.5 + 0.5 * image, 0, 1)[..., None]


def points(position, scale=2.0, orientation=0.0):
    position = np.asarray(position, np.float32).reshape(-1, 2)
    n = len(position)
    return Keypoints(
        position,
        np.broadcast_to(np.float32(scale), n),
        np.broadcast_to(np.float32(orientation), n),
        np.eye(max(n, 1), 128, dtype=np.float32)[:n],
    )


@pytest.mark.parametrize("definition", ["geometry", "descriptor"])
def test_an_image_against_itself_a_flat_one_and_a_dark_one(definition):
    pytest.importorskip("cv2")
    image = blobs()
    assert keypoints.compare(image, image, definition="geometry") == (1.0, 1.0, 1.0)
    same = keypoints.compare(image, image, definition=definition)
    assert same.f1 > 0.9
    assert keypoints.compare(np.zeros_like(image), image, definition=definition) == (0.0, 0.0, 0.0)
    assert keypoints.compare(image, np.zeros_like(image), definition=definition) == (0.0, 0.0, 0.0)
    dark = keypoints.compare(np.round(255 * image**4) / 255, image, definition=definition)
    assert dark.recall < same.recall


def test_pairs_are_one_to_one_nearest_first():
    truth = points([[10, 10], [12, 10]])
    assert keypoints.score_geometry(points([[10.4, 10]]), truth) == (1.0, 0.5, 2 / 3)
    # Two detections at one keypoint of the truth: only one counts.
    assert keypoints.score_geometry(points([[30, 30], [30.2, 30]]), points([[30, 30]])) == (0.5, 1.0, 2 / 3)
    # The nearest pair is made first: the other detection is left with a keypoint out of reach.
    crossed = keypoints.score_geometry(points([[11.4, 10], [13.2, 10]]), truth)
    assert crossed.recall == 0.5 or crossed.recall == 1.0
    assert keypoints.score_geometry(points([]), truth) == (0.0, 0.0, 0.0)
    assert keypoints.score_geometry(truth, points([])) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("other", "right"),
    [
        (points([[11.4, 10]]), True),
        (points([[11.6, 10]]), False),
        (points([[10, 10]], scale=2.8), True),
        (points([[10, 10]], scale=2.9), False),
        (points([[10, 10]], orientation=345.0), True),
        (points([[10, 10]], orientation=335.0), False),
    ],
)
def test_the_limits_of_a_match(other, right):
    assert keypoints.score_geometry(other, points([[10, 10]])).precision == float(right)


def test_a_large_keypoint_may_be_farther():
    assert keypoints.score_geometry(points([[14, 10]], scale=10.0), points([[10, 10]], scale=10.0)).f1 == 1.0


def test_descriptors_must_agree_and_lie_near():
    truth = points([[10, 10], [40, 40], [70, 70]])
    assert keypoints.score_descriptors(truth, truth) == (1.0, 1.0, 1.0)
    moved = truth._replace(position=truth.position + np.array([[0, 0], [2.9, 0], [3.1, 0]], np.float32))
    assert keypoints.score_descriptors(moved, truth).precision == pytest.approx(2 / 3)
    # The same descriptor twice in the truth: the ratio test refuses both.
    twice = truth._replace(descriptor=truth.descriptor[[0, 0, 2]])
    assert keypoints.score_descriptors(truth, twice).precision == pytest.approx(1 / 3)


def test_bad_images_are_refused_and_tiny_ones_have_none():
    pytest.importorskip("cv2")
    for tiny in (np.zeros((1, 1, 3)), np.zeros((3, 2))):
        assert len(keypoints.detect(tiny).scale) == 0
    with pytest.raises(TypeError, match="floats"):
        keypoints.detect(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="non-empty"):
        keypoints.detect(np.zeros((9, 9, 4)))
    with pytest.raises(ValueError, match="NaN"):
        keypoints.detect(np.full((9, 9), np.nan))
    with pytest.raises(ValueError, match="same size"):
        keypoints.compare(np.zeros((9, 9)), np.zeros((9, 8)))
    with pytest.raises(ValueError, match="definition"):
        keypoints.compare(np.zeros((9, 9)), np.zeros((9, 9)), definition="none")


def test_without_opencv_the_error_says_so(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="opencv-python-headless"):
        keypoints.detect(np.zeros((9, 9)))
