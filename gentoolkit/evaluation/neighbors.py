"""Balls around each image that reach to its k-th neighbour: precision, recall, density and coverage."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result

_BLOCK = 1024
# Distances by products are rounded by no more than this share of the norms; nearer calls are decided by differences.
_DOUBT = 1e-5
_SPARE = 64


class PrecisionRecall(NamedTuple):
    """Share of generated images near real ones, and of real ones near generated ones."""

    precision: Result
    recall: Result


class DensityCoverage(NamedTuple):
    """How many real balls a generated image lies in on average, over k; share of real balls with a generated image."""

    density: Result
    coverage: Result


def precision_recall(real: Features, generated: Features, *, num_neighbors: int = 3) -> PrecisionRecall:
    """Improved precision and recall: images inside of a ball around any image of the other side.

    A ball reaches to the k-th neighbour in its own set, the image itself not counted; its rim belongs to it. Published
    figures take the 4,096 features of VGG16's second layer after its convolutions. Standard errors are those of a
    share, the balls held fixed.

    Args:
      real: features of real images, with their rows.
      generated: features of generated images, with their rows.
      num_neighbors: k, below the number of images of either side.

    Returns:
      Both shares.

    Raises:
      ValueError: features of different networks or preprocessings, no rows, or k out of range.

    References:
      Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved precision and recall metric for assessing generative
      models", 2019, section 3.
    """
    x, y = _checked(real, generated, num_neighbors, both=True)
    radii_x, radii_y = (_radii(samples, num_neighbors) for samples in (x, y))
    in_x, in_y = np.zeros(len(y), bool), np.zeros(len(x), bool)
    for rows, inside_x, inside_y in _inside(x, y, radii_x, radii_y):
        in_x |= inside_x.any(axis=0)
        in_y[rows] = inside_y.any(axis=1)
    told = {"num_neighbors": num_neighbors, "resampling": "images, the balls fixed"}
    return PrecisionRecall(*(_share(inside, real, generated, told) for inside in (in_x, in_y)))


def density_coverage(real: Features, generated: Features, *, num_neighbors: int = 5) -> DensityCoverage:
    """Density and coverage: like precision and recall, but one outlier among the real images does not open the balls.

    Args:
      real: features of real images, with their rows.
      generated: features of generated images, with their rows.
      num_neighbors: k, below the number of real images.

    Returns:
      Density, which may exceed 1, and coverage.

    Raises:
      ValueError: as `precision_recall`.

    References:
      Naeem, Oh, Uh, Choi, Yoo, "Reliable fidelity and diversity metrics for generative models", ICML 2020, section 3.
    """
    x, y = _checked(real, generated, num_neighbors, both=False)
    radii = _radii(x, num_neighbors)
    counts, covered = np.zeros(len(y)), np.zeros(len(x), bool)
    for rows, inside, _ in _inside(x, y, radii, None):
        counts += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
    told = {"num_neighbors": num_neighbors, "resampling": "images, the balls fixed"}
    return DensityCoverage(*(_share(each, real, generated, told) for each in (counts / num_neighbors, covered)))


def nearest(queries: np.ndarray, samples: np.ndarray, *, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest samples of each query.

    Args:
      queries: `[q, d]`.
      samples: `[n, d]`.
      num: how many, at most n.

    Returns:
      Their places `[q, num]`, nearest first, and distances `[q, num]`.
    """
    center = samples.mean(axis=0, dtype=np.float64)
    queries, samples = ((rows - center).astype(np.float32) for rows in (queries, samples))
    norms = _norms(samples)
    places = np.empty((len(queries), num), int)
    for rows in _blocks(len(queries)):
        distances = norms[None] - 2.0 * (queries[rows] @ samples.T)
        places[rows] = np.argpartition(distances, num - 1, axis=1)[:, :num]
    apart = np.stack([_distances(query, samples[at]) for query, at in zip(queries, places, strict=True)])
    order = np.argsort(apart, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.sqrt(np.take_along_axis(apart, order, axis=1))


def _checked(real: Features, generated: Features, num_neighbors: int, *, both: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows about a common point, where products lose least."""
    features.check_alike(real, generated)
    x, y = features.rows_of(real, "real"), features.rows_of(generated, "generated")
    for name, rows in (("real", x), *([("generated", y)] if both else [])):
        if not 1 <= num_neighbors < len(rows):
            raise ValueError(
                f"num_neighbors must be between 1 and {len(rows) - 1} for {len(rows)} {name} images, "
                f"got {num_neighbors}."
            )
    center = x.mean(axis=0, dtype=np.float64)
    return (x - center).astype(np.float32), (y - center).astype(np.float32)


def _share(values: np.ndarray, real: Features, generated: Features, extra: dict) -> Result:
    values = values.astype(np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return result.of(values.mean(), error, real=real, generated=generated, extra=extra)


def _radii(x: np.ndarray, num_neighbors: int) -> np.ndarray:
    """Squared distance `[n]` of each sample to its k-th neighbour, itself left out."""
    norms = _norms(x)
    radii = np.zeros(len(x))
    _, group, sizes = np.unique(_identity(x), return_inverse=True, return_counts=True)
    alone = sizes[group] <= num_neighbors  # the others have their k neighbours at distance 0
    num = min(len(x) - 1, num_neighbors + _SPARE)
    for rows in _blocks(len(x)):
        if not alone[rows].any():
            continue
        distances = norms[rows, None] + norms[None] - 2.0 * (x[rows] @ x.T)
        distances[np.arange(len(distances)), np.arange(len(x))[rows]] = np.inf
        # More than k of them, since rounding may have put some on the wrong side of the k-th.
        near = np.argpartition(distances, num - 1, axis=1)[:, :num]
        for row in np.flatnonzero(alone[rows]):
            exact = _distances(x[rows.start + row], x[near[row]])
            radii[rows.start + row] = np.partition(exact, num_neighbors - 1)[num_neighbors - 1]
    return radii


def _inside(
    x: np.ndarray, y: np.ndarray, radii_x: np.ndarray, radii_y: np.ndarray | None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yields for rows of x which y lie in their balls `[b, m]`, and in whose balls of y they lie."""
    norms_x, norms_y = _norms(x), _norms(y)
    identity_x, identity_y = _identity(x), _identity(y)
    for rows in _blocks(len(x)):
        distances = norms_x[rows, None] + norms_y[None] - 2.0 * (x[rows] @ y.T)
        equal = identity_x[rows, None] == identity_y[None]
        distances[equal] = 0.0
        bounds = [radii_x[rows, None]] if radii_y is None else [radii_x[rows, None], radii_y[None]]
        doubt = _DOUBT * (norms_x[rows, None] + norms_y[None])
        doubtful = np.zeros(distances.shape, bool)
        for bound in bounds:
            doubtful |= np.abs(distances - bound) <= doubt
        places = np.argwhere(doubtful & ~equal)
        for start in range(0, len(places), _BLOCK):
            i, j = places[start : start + _BLOCK].T
            distances[i, j] = np.square(x[rows][i] - y[j], dtype=np.float64).sum(axis=1)
        yield rows, distances <= bounds[0], distances <= bounds[-1]


def _identity(x: np.ndarray) -> np.ndarray:
    """A number for each row that equal rows share."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in x]
    return np.frombuffer(b"".join(digests), np.uint64)


def _norms(x: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x, x, dtype=np.float64)


def _distances(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.square(others - one, dtype=np.float64).sum(axis=1)


def _blocks(num: int) -> Iterator[slice]:
    for start in range(0, num, _BLOCK):
        yield slice(start, min(start + _BLOCK, num))
