"""What a network makes of a set of images, with the names of network and preprocessing: kept, saved, compared."""

import dataclasses
import io
import os
import pathlib
import re
import secrets
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gentoolkit.evaluation.statistics import BlockMoments, FeatureMoments
from gentoolkit.evaluation.statistics.blocks import merged, moments_of
from gentoolkit.evaluation.statistics.moments import Sums

# How clean-fid calls its files: data set, mode, split, resolution, and what follows.
_CLEAN_FIDS = re.compile(r"_(legacy_tensorflow|legacy_pytorch|clean)_[a-z]+_(\d+|na)(_.*)?\.npz$")
_NAMES = ("network", "preprocessing", "sha256")
_ARRAYS = ("mu", "sigma", "feats", "num")


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
      assumed: which of "network" and "preprocessing" a file of statistics does not say, so that they are what the
        caller said.
    """

    network: str
    preprocessing: str
    sha256: str
    num: int | None
    rows: np.ndarray | None = dataclasses.field(default=None, repr=False)
    blocks: tuple[Sums, ...] = dataclasses.field(default=(), repr=False)
    assumed: tuple[str, ...] = ()

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


def save(
    path: str | os.PathLike[str], features: Features, *, rows: bool = True, others: Sequence[Features] = ()
) -> pathlib.Path:
    """Writes features to an npz that `load` reads, and pytorch-fid and clean-fid as well (`mu`, `sigma`, `feats`).

    The file is replaced as a whole.

    Args:
      path: where to; ends in .npz.
      features: what is written.
      rows: whether the features themselves are written too, which KID and the like need.
      others: of the same images by further networks; `load` takes those of the network that is asked for.

    Returns:
      The path.

    Raises:
      ValueError: another ending, or features of one network twice.
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path must end in .npz, got {str(path)!r}.")
    networks = [one.network for one in (features, *others)]
    if len(set(networks)) < len(networks):
        raise ValueError(f"Each network can have one set of features, got {', '.join(networks)}.")
    arrays: dict[str, Any] = {}
    for index, one in enumerate((features, *others)):
        arrays |= {(f"{index}/{name}" if index else name): array for name, array in _arrays(one, rows=rows).items()}
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

    Files of other tools do not say what they were made with: that is then taken to be what the caller says, which a
    warning tells and the `assumed` of the features; only a name as clean-fid gives its files is held against it.

    Args:
      path: an npz.
      network: whose features the caller compares with.
      preprocessing: what the caller does to images.
      sha256: of the caller's weights, or "".

    Returns:
      The features; their `num` is None where the file does not say.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is none of these, is damaged or not finite, or was made with another network, preprocessing or file
        of weights.
    """
    path = pathlib.Path(path)
    try:
        # Nothing of the file is run: objects are refused.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            said, found = _chosen(file, network)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, AttributeError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, EOFError) and error.errno is not None:
            raise
        raise ValueError(f"{path} cannot be read as an npz of statistics: {error}") from error
    if not found.keys() >= {"mu", "sigma"} and "feats" not in found:
        raise ValueError(f"{path} holds {', '.join(found) or 'nothing'}; statistics are mu and sigma, or feats.")
    wanted = {"network": network, "preprocessing": preprocessing, "sha256": sha256}
    _check_said(path, said, wanted)
    named = _CLEAN_FIDS.search(path.name)
    if named and "preprocessing" not in said:
        said["preprocessing"] = named[1]
        if named[1] != preprocessing:
            raise ValueError(
                f"{path} was made with preprocessing {named[1]!r} by its name, not {preprocessing!r}; "
                "give it another name if it was not."
            )
    assumed = tuple(name for name in ("network", "preprocessing") if not said.get(name))
    if assumed:
        told = " and ".join(f"{name} {wanted[name]}" for name in assumed)
        warnings.warn(f"{path} does not say what it was made with; taken to be {told}.", stacklevel=2)
    for name, array in found.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} must be finite numbers.")
    names = (network, preprocessing, said.get("sha256", ""))
    rows = found.get("feats")
    if rows is not None:
        if rows.ndim != 2 or len(rows) < 2:
            raise ValueError(f"{path}: feats must be [n, d] of two images at least, got shape {rows.shape}.")
        return Features(*names, len(rows), rows.astype(np.float32), assumed=assumed)
    mean, cov = found["mu"], found["sigma"]
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise ValueError(f"{path}: mu must be [d] and sigma [d, d], got shapes {mean.shape} and {cov.shape}.")
    num = found.get("num")
    if num is not None and (num.ndim or num != int(num) or num < 2):
        raise ValueError(f"{path}: num must be a number of images, two at least, got {num}.")
    # As if of two images, where nobody says of how many: only the covariance is read of them.
    sums = _sums(2 if num is None else int(num), mean, cov)
    return Features(*names, None if num is None else int(num), blocks=(sums,), assumed=assumed)


def _arrays(features: Features, *, rows: bool) -> dict[str, Any]:
    moments = features.moments
    arrays: dict[str, Any] = {"mu": moments.mean, "sigma": moments.cov}
    arrays |= {name: np.str_(getattr(features, name)) for name in _NAMES}
    if features.num is not None:
        arrays["num"] = np.int64(features.num)
    if rows and features.rows is not None:
        arrays["feats"] = features.rows
    return arrays


def _chosen(file: Mapping[str, np.ndarray], network: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What a file says of the features of a network, else of its first ones, and their arrays."""
    networks = {name.removesuffix("network"): str(file[name]) for name in file if re.fullmatch(r"(\d+/)?network", name)}
    prefix = next((prefix for prefix, name in networks.items() if name == network), "")
    said = {name: str(file[prefix + name]) for name in _NAMES if prefix + name in file}
    if networks and network not in networks.values():
        said["network"] = ", ".join(networks.values())  # for the message that refuses them
    found = {name: file[prefix + name] for name in _ARRAYS if prefix + name in file}
    return said, found or dict.fromkeys(file, np.empty(0))


def _sums(num: int, mean: np.ndarray, cov: np.ndarray) -> Sums:
    return Sums(num, mean.astype(np.float64), cov.astype(np.float64) * (num - 1))


def _check_said(path: pathlib.Path, said: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        found = said.get(name, "")
        if found and value and found != value:
            raise ValueError(f"{path} was made with {name} {found!r}, not {value!r}: figures would not compare.")
