"""Balls around each image that reach to its k-th neighbour: precision, recall, density and coverage."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result

_BLOCK = 512
# Squared distances by products are rounded by no more than such a share of the squared norms, in float32 and float64;
# what this may turn is decided by differences. Where there is much of it float32 gives way to float64 first.
_DOUBT, _WIDE_DOUBT = 1e-5, 1e-12
_MUCH = 64


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
    radii_x, radii_y = (_radii(points, num_neighbors) for points in (x, y))
    in_x, in_y = np.zeros(y.num, bool), np.zeros(x.num, bool)
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
    counts, covered = np.zeros(y.num), np.zeros(x.num, bool)
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
    asked, found = (_Points.of(rows, center) for rows in (queries, samples))
    places, apart = np.empty((asked.num, num), int), np.empty((asked.num, num))
    for query, near, distances in _close(asked, found, np.arange(asked.num), num):
        order = np.argsort(distances, kind="stable")[:num]
        places[query], apart[query] = near[order], np.sqrt(distances[order])
    return places, apart


class _Points(NamedTuple):
    """Samples as they came, and about a common point, where products lose least."""

    rows: np.ndarray
    center: np.ndarray
    centered: np.ndarray
    norms: np.ndarray  # squared, of the centered ones

    @classmethod
    def of(cls, rows: np.ndarray, center: np.ndarray) -> "_Points":
        centered = (rows - center).astype(np.float32)
        return cls(rows, center, centered, np.einsum("nd,nd->n", centered, centered, dtype=np.float64))

    @property
    def num(self) -> int:
        return len(self.rows)

    def at(self, places: np.ndarray) -> "_Points":
        return _Points(self.rows[places], self.center, self.centered[places], self.norms[places])

    def identity(self) -> np.ndarray:
        """A number for each row that equal rows share."""
        digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in self.rows]
        return np.frombuffer(b"".join(digests), np.uint64)


def _checked(real: Features, generated: Features, num_neighbors: int, *, both: bool) -> tuple[_Points, _Points]:
    features.check_alike(real, generated)
    x, y = features.rows_of(real, "real"), features.rows_of(generated, "generated")
    for name, rows in (("real", x), *([("generated", y)] if both else [])):
        if not 1 <= num_neighbors < len(rows):
            raise ValueError(
                f"num_neighbors must be between 1 and {len(rows) - 1} for {len(rows)} {name} images, "
                f"got {num_neighbors}."
            )
    center = x.mean(axis=0, dtype=np.float64)
    return _Points.of(x, center), _Points.of(y, center)


def _share(values: np.ndarray, real: Features, generated: Features, extra: dict) -> Result:
    values = values.astype(np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return result.of(values.mean(), error, real=real, generated=generated, extra=extra)


def _radii(points: _Points, num_neighbors: int) -> np.ndarray:
    """Squared distance `[n]` of each sample to its k-th neighbour, itself left out."""
    _, first, group, copies = np.unique(points.identity(), return_index=True, return_inverse=True, return_counts=True)
    distinct, radii = points.at(first), np.zeros(len(first))
    alone = np.flatnonzero(copies <= num_neighbors)  # the others have their k neighbours at distance 0
    for place, near, distances in _close(distinct, distinct, alone, min(num_neighbors + 1, len(first))):
        order = np.argsort(distances)
        # A sample is a neighbour of each of its copies, and no neighbour of itself.
        rank = np.searchsorted(np.cumsum(copies[near[order]]), num_neighbors + 1)
        radii[place] = distances[order][rank]
    return radii[group]


def _close(
    queries: _Points, samples: _Points, wanted: np.ndarray, num: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields for each wanted query samples that hold its `num` nearest, and their squared distances by differences."""
    for at in _parts(wanted):
        near = _candidates(queries.at(at), samples, num, wide=False)
        much = [i for i, found in enumerate(near) if len(found) > num + _MUCH]
        if much:
            fewer = _candidates(queries.at(at[much]), samples, num, wide=True)
            for i, found in zip(much, fewer, strict=True):
                near[i] = found
        for query, found in zip(at, near, strict=True):
            yield query, found, _apart(queries.rows[query], samples.rows[found])


def _candidates(queries: _Points, samples: _Points, num: int, *, wide: bool) -> list[np.ndarray]:
    """All samples that rounding may have kept from being among the `num` nearest of each query."""
    distances, doubt = _by_products(queries, samples, wide=wide)
    # No less than the num-th distance is the num-th of those that are as large as rounding may have hidden.
    distances += doubt
    bounds = np.partition(distances, num - 1, axis=1)[:, num - 1]
    doubt *= 2
    distances -= doubt
    return [np.flatnonzero(inside) for inside in distances <= bounds[:, None]]


def _inside(
    x: _Points, y: _Points, radii_x: np.ndarray, radii_y: np.ndarray | None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yields for rows of x which y lie in their balls `[b, m]`, and in whose balls of y they lie."""
    identity_x, identity_y = x.identity(), y.identity()
    for at in _parts(np.arange(x.num)):
        rows = slice(at[0], at[-1] + 1)
        part = x.at(at)
        equal = identity_x[rows, None] == identity_y[None]
        bounds = [radii_x[rows, None]] if radii_y is None else [radii_x[rows, None], radii_y[None]]
        for wide in (False, True):
            distances, doubt = _by_products(part, y, wide=wide)
            doubtful = np.zeros(distances.shape, bool)
            for bound in bounds:
                doubtful |= np.abs(distances - bound) <= doubt
            doubtful &= ~equal
            if doubtful.sum() <= _MUCH * len(at):
                break
        distances[equal] = 0.0
        places = np.argwhere(doubtful)
        for start in range(0, len(places), _BLOCK):
            i, j = places[start : start + _BLOCK].T
            distances[i, j] = _apart(part.rows[i], y.rows[j])
        yield rows, distances <= bounds[0], distances <= bounds[-1]


def _by_products(a: _Points, b: _Points, *, wide: bool) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances `[a, b]` and how far off they may be."""
    if not wide:
        sums = a.norms[:, None] + b.norms[None]
        return sums - 2.0 * (a.centered @ b.centered.T), _DOUBT * sums
    own = a.rows - a.center  # float64, as the center is
    sums, distances = np.empty((a.num, b.num)), np.empty((a.num, b.num))
    for at in _parts(np.arange(b.num)):
        other = b.rows[at] - b.center
        sums[:, at] = np.square(own).sum(axis=1)[:, None] + np.square(other).sum(axis=1)
        distances[:, at] = sums[:, at] - 2.0 * (own @ other.T)
    return distances, _WIDE_DOUBT * sums


def _apart(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances of rows from one row, or row by row."""
    return np.square(np.subtract(others, one, dtype=np.float64)).sum(axis=1)


def _parts(places: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(places), _BLOCK):
        yield places[start : start + _BLOCK]
