"""What a network makes of a set of images, with the names of network and preprocessing: kept, saved, compared."""

import dataclasses
import io
import os
import pathlib
import re
import secrets
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from gentoolkit.evaluation.statistics import BlockMoments, FeatureMoments
from gentoolkit.evaluation.statistics.blocks import merged, moments_of
from gentoolkit.evaluation.statistics.moments import Sums

_MODES = ("legacy_tensorflow", "legacy_pytorch", "clean")
_NAMES = ("network", "preprocessing", "sha256")


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of a set of images.

    Attributes:
      network: its name; a metric of two sets of features by different networks is refused.
      preprocessing: what was done to the images before.
      sha256: of the file with the network's weights, or "" where there was none.
      num: how many images; None where a file of statistics does not say.
      rows: `[n, d]` float32, or None where only moments are kept.
      blocks: sums over parts of the images, to tell errors by; none where there are rows, one where a file of
        statistics has no parts.
    """

    network: str
    preprocessing: str
    sha256: str
    num: int | None
    rows: np.ndarray | None = dataclasses.field(default=None, repr=False)
    blocks: tuple[Sums, ...] = dataclasses.field(default=(), repr=False)

    @property
    def dim(self) -> int:
        """Features of an image."""
        return self.blocks[0].mean.shape[0] if self.rows is None else self.rows.shape[1]

    @property
    def moments(self) -> FeatureMoments:
        """Mean and covariance over all images."""
        if self.rows is None:
            return moments_of(merged(self.blocks))
        mean = self.rows.mean(axis=0, dtype=np.float64)
        scatter = np.zeros((self.dim, self.dim))
        for start in range(0, len(self.rows), 4096):
            part = self.rows[start : start + 4096] - mean
            scatter += part.T @ part
        return FeatureMoments(len(self.rows), mean, scatter / (len(self.rows) - 1))


def of(
    found: np.ndarray | BlockMoments | FeatureMoments, *, network: str, preprocessing: str, sha256: str = ""
) -> Features:
    """Names what was found of a set of images.

    Args:
      found: rows `[n, d]`, or moments as `statistics.blocks` or `statistics.moments` give them; finite, of two images
        at least.
      network: name of the network.
      preprocessing: name of what was done to the images.
      sha256: of the weights' file.

    Returns:
      The features.

    Raises:
      ValueError: fewer than two images, rows that are not `[n, d]`, values that are not finite, or an empty name.
    """
    for name, value in (("network", network), ("preprocessing", preprocessing)):
        if not value:
            raise ValueError(f"{name} must be a name, got {value!r}.")
    blocks: tuple[Sums, ...] = ()
    rows = None
    if isinstance(found, BlockMoments):
        blocks = found.blocks
    elif isinstance(found, FeatureMoments):
        blocks = (_sums(found.num, found.mean, found.cov),)
    else:
        rows = np.asarray(found, np.float32)
        if rows.ndim != 2 or not rows.shape[1]:
            raise ValueError(f"Features must be [n, d], got shape {rows.shape}.")
    num = len(rows) if rows is not None else sum(part.num for part in blocks)
    if num < 2:
        raise ValueError(f"A set must hold at least two images, got {num}.")
    if not all(np.isfinite(a).all() for a in ((rows,) if rows is not None else [b.scatter for b in blocks])):
        raise ValueError(f"Features of {network} are not finite: look for images that are not, or broken weights.")
    return Features(network, preprocessing, sha256, num, rows, blocks)


def check_alike(real: Features, generated: Features) -> None:
    """Refuses to compare features of two networks, of two preprocessings or of two files of weights.

    Args:
      real: features of one set.
      generated: those of the other.

    Raises:
      ValueError: names both.
    """
    for name in (*_NAMES, "dim"):
        a, b = getattr(real, name), getattr(generated, name)
        if a != b and not (name == "sha256" and "" in (a, b)):
            raise ValueError(f"real and generated must have the same {name}, got {a!r} and {b!r}.")


def rows_of(side: Features, name: str) -> np.ndarray:
    """The features themselves, for what moments do not know.

    Args:
      side: features of a set of images.
      name: what a message calls them.

    Returns:
      `[n, d]`.

    Raises:
      ValueError: only moments are kept.
    """
    if side.rows is None:
        raise ValueError(f"{name} must have rows: this metric needs the features of each image, not their moments.")
    return side.rows


def save(path: str | os.PathLike[str], features: Features, *, rows: bool = True) -> pathlib.Path:
    """Writes features to an npz that `load` reads, and pytorch-fid and clean-fid as well (`mu`, `sigma`, `feats`).

    The file is replaced as a whole.

    Args:
      path: where to; ends in .npz.
      features: what is written.
      rows: whether the features themselves are written too, which KID and the like need.

    Returns:
      The path.

    Raises:
      ValueError: another ending.
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path must end in .npz, got {str(path)!r}.")
    moments = features.moments
    arrays: dict[str, Any] = {"mu": moments.mean, "sigma": moments.cov}
    arrays |= {name: np.str_(getattr(features, name)) for name in _NAMES}
    if features.num is not None:
        arrays["num"] = np.int64(features.num)
    if rows and features.rows is not None:
        arrays["feats"] = features.rows
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{secrets.token_hex(6)}.part"
    try:
        with open(beside, "xb") as file:
            np.savez(file, **arrays)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def load(path: str | os.PathLike[str], *, network: str, preprocessing: str, sha256: str = "") -> Features:
    """Reads statistics: those of `save`, of pytorch-fid (`mu`, `sigma`) and of clean-fid (`feats` of KID as well).

    Files of other tools do not say what they were made with: that is then what the caller says, unless the file's name
    has the name of another preprocessing in it, as those of clean-fid have.

    Args:
      path: an npz.
      network: whose features the caller compares with.
      preprocessing: what the caller does to images.
      sha256: of the caller's weights, or "".

    Returns:
      The features; their `num` is None where the file does not say.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is none of these, is damaged, or was made with another network, preprocessing or file of weights.
    """
    path = pathlib.Path(path)
    try:
        # Nothing of the file is run: objects are refused.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, AttributeError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, EOFError) and error.errno is not None:
            raise
        raise ValueError(f"{path} cannot be read as an npz of statistics: {error}") from error
    if not found.keys() >= {"mu", "sigma"} and "feats" not in found:
        raise ValueError(f"{path} holds {', '.join(found) or 'nothing'}; statistics are mu and sigma, or feats.")
    said = {name: str(found[name]) for name in _NAMES if name in found}
    _check_said(path, said, {"network": network, "preprocessing": preprocessing, "sha256": sha256})
    rows = found.get("feats")
    if rows is not None:
        if rows.ndim != 2 or len(rows) < 2 or not np.isfinite(rows).all():
            raise ValueError(f"{path}: feats must be finite and [n, d] of two images at least, got shape {rows.shape}.")
        return Features(network, preprocessing, said.get("sha256", ""), len(rows), rows.astype(np.float32))
    mean, cov = (np.asarray(found[name]) for name in ("mu", "sigma"))
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)) or not np.isfinite(cov).all():
        raise ValueError(f"{path}: mu must be [d] and sigma [d, d], finite, got shapes {mean.shape} and {cov.shape}.")
    num = int(found["num"]) if "num" in found else None
    # As if of two images, where nobody says of how many: only the covariance is read of them.
    return Features(network, preprocessing, said.get("sha256", ""), num, blocks=(_sums(num or 2, mean, cov),))


def _sums(num: int, mean: np.ndarray, cov: np.ndarray) -> Sums:
    return Sums(num, mean.astype(np.float64), cov.astype(np.float64) * (num - 1))


def _check_said(path: pathlib.Path, said: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        found = said.get(name, "")
        if found and value and found != value:
            raise ValueError(f"{path} was made with {name} {found!r}, not {value!r}: figures would not compare.")
    if "preprocessing" not in said:
        for mode in _MODES:
            if re.search(rf"(^|_){mode}(_|\.|$)", path.name) and mode != wanted["preprocessing"]:
                raise ValueError(
                    f"{path} was made with preprocessing {mode!r} by its name, not {wanted['preprocessing']!r}."
                )
