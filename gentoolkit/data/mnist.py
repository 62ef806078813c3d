"""MNIST from its four idx files, plain or gzip, verified by what they contain."""

import gzip
import hashlib
import os
import pathlib
import zlib

import numpy as np

from gentoolkit.data import _locate, columns
from gentoolkit.data.columns import Columns

SPLITS = ("train", "test")
_PREFIX = {"train": "train", "test": "t10k"}
# Of the decompressed bytes: the gzip wrapping differs from mirror to mirror, its contents must not.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load(split: str, *, data_dir: str | os.PathLike[str] | None = None, verify: bool = True) -> Columns:
    """Loads 60,000 training or 10,000 test images of digits, 28 x 28, grey.

    Args:
      split: "train" or "test".
      data_dir: folder with the idx files (`train-images-idx3-ubyte` and so on, or the same with `.gz`), directly or
        in a subfolder `mnist`; the environment variable `GENTOOLKIT_DATA` if None.
      verify: compare the SHA-256 of the contents with the published files'. Without it any data set in the same
        format and under the same names is read, such as Fashion-MNIST.

    Returns:
      A data set of `[28, 28, 1]` images, labels 0 to 9, in the order of the files.

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: a file is damaged, or is not the published one; or another split.

    References:
      LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998.
    """
    _locate.check_split("MNIST", split, SPLITS)
    places = _locate.candidates(_locate.root(data_dir, dataset="MNIST"), "mnist")
    images_path = _find(f"{_PREFIX[split]}-images-idx3-ubyte", places)
    labels_path = _find(f"{_PREFIX[split]}-labels-idx1-ubyte", places)
    images, labels = (read_idx(path, verify=verify) for path in (images_path, labels_path))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{str(images_path)!r} holds an array of shape {images.shape} and {str(labels_path)!r} one of "
            f"{labels.shape}; images [n, h, w] and labels [n] were expected."
        )
    kind = "MNIST" if verify else "idx files in MNIST's format, not verified"
    description = f"{kind}, {split} ({len(images)} images of {images.shape[1]} x {images.shape[2]})"
    names = [str(digit) for digit in range(10)]
    return columns.images(images[..., None], labels, class_names=names, description=description)


def read_idx(path: str | os.PathLike[str], *, verify: bool = False) -> np.ndarray:
    """Reads one idx file of bytes, plain or gzip.

    Args:
      path: the file; decompressed if its name ends in `.gz`.
      verify: compare the SHA-256 of the contents with the published file of that name.

    Returns:
      uint8 array of the shape that the file states.

    Raises:
      ValueError: damaged, cut short, not an idx file of bytes, or (with `verify`) not the published file.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{str(path)!r} is damaged: {error}. Put an intact copy in its place.") from error
    name = path.name.removesuffix(".gz")
    if verify and (digest := hashlib.sha256(content).hexdigest()) != SHA256[name]:
        raise ValueError(
            f"{str(path)!r} is not the published MNIST file: the SHA-256 of its contents is {digest}, expected "
            f"{SHA256[name]}. Put an intact copy in its place, or set verify=False for another data set of this format."
        )
    # Header: two zero bytes, the type (8 = unsigned byte), the number of axes, then each length, big-endian.
    num_axes = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * num_axes
    if content[:3] != b"\0\0\x08" or not num_axes or len(content) < start:
        raise ValueError(f"{str(path)!r} is not an idx file of bytes: it begins with {content[:4].hex() or 'nothing'}.")
    shape = tuple(np.frombuffer(content, ">u4", num_axes, 4).astype(int).tolist())
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise ValueError(f"{str(path)!r} states shape {shape}, {expected} bytes in all, but holds {len(content)}.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(name: str, places: list[pathlib.Path]) -> pathlib.Path:
    for place in places:
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    raise _locate.missing(
        "MNIST", f"{name} (or {name}.gz)", places, f"Put the four files {', '.join(SHA256)}, plain or .gz, there."
    )
