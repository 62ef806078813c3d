"""CIFAR-10, from the published binary version or from class folders of image files."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from gentoolkit.data import _locate, columns, folder
from gentoolkit.data.columns import Columns

SPLITS = ("train", "test")
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_BATCHES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
_RECORD = 1 + 3 * 32 * 32  # one label byte, then the planes red, green, blue
_RECORDS_PER_FILE = 10_000
_REMEDY = (
    "Unpack cifar-10-binary.tar.gz there (folder cifar-10-batches-bin), or put image files into folders "
    "train/<class>/ and test/<class>/."
)


def load(
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    files: Literal["any", "binary", "folders"] = "any",
    verify: bool = True,
) -> Columns:
    """Finds and loads 50,000 training or 10,000 test images, 32 x 32, RGB.

    Class folders are usually lossy re-encodings; the source's description says so. Their files are decoded when asked
    for: `columns.in_memory` decodes them all at once.

    Args:
      split: "train" or "test".
      data_dir: folder with `cifar-10-batches-bin` (or its files) or with `train` and `test`, directly or in a
        subfolder `cifar10`; the environment variable `GENTOOLKIT_DATA` if None.
      files: which version to take; "any" prefers the binary one.
      verify: binary files must hold exactly 10,000 records each, and class folders be the ten published classes.

    Returns:
      A data set of `[32, 32, 3]` images, labels in the order of `CLASS_NAMES`.

    Raises:
      FileNotFoundError: nothing there; says what to put where.
      ValueError: a file is damaged or has another size; or another split.

    References:
      Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    _locate.check_split("CIFAR-10", split, SPLITS)
    if files not in ("any", "binary", "folders"):
        raise ValueError(f"files must be 'any', 'binary' or 'folders', got files = {files!r}.")
    root = _locate.root(data_dir, dataset="CIFAR-10")
    places = _locate.candidates(root, "cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin")
    if files != "folders":
        for place in places:
            if any((place / name).is_file() for name in _BATCHES[split]):
                return _read_binary(split, place, verify=verify)
    if files != "binary":
        for place in places:
            if any((place / split / name).is_dir() for name in CLASS_NAMES):
                return _read_folders(split, place / split, verify=verify)
    what = {"any": "binary batches or class folders", "binary": _BATCHES[split][0], "folders": split}
    packed = next((path for place in places for path in sorted(place.glob("cifar*10*.tar*"))), None)
    unpack = f"{str(packed)!r} is there but still packed. " if packed else ""
    raise _locate.missing("CIFAR-10", what[files], places, unpack + _REMEDY)


def prepare(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    splits: Sequence[str] = SPLITS,
) -> pathlib.Path:
    """Packs both splits into array_record files, once; later calls return at once.

    Args:
      data_dir: as in `load`.
      output_dir: where to write; `prepared` inside the data folder if None.
      splits: which splits to write.

    Returns:
      The folder for `prepared.load`.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`; or another data set lies there already.
    """
    from gentoolkit.data import preparation

    output = _locate.output(data_dir, output_dir, dataset="CIFAR-10")
    sources = {split: (lambda split=split: load(split, data_dir=data_dir)) for split in splits}
    return preparation.prepare(sources, output, name="cifar10")


def _read_binary(split: str, place: pathlib.Path, *, verify: bool) -> Columns:
    blocks = []
    for name in _BATCHES[split]:
        path = place / name
        if not path.is_file():
            raise _locate.missing("CIFAR-10", name, [place], "The other files of this version are there; add this one.")
        content = np.fromfile(path, np.uint8)
        count, rest = divmod(content.size, _RECORD)
        if rest or not count or (verify and count != _RECORDS_PER_FILE):
            expected = f"{_RECORDS_PER_FILE * _RECORD} bytes" if verify else f"a multiple of {_RECORD} bytes"
            raise ValueError(
                f"{str(path)!r} holds {content.size} bytes, expected {expected}. Put an intact copy in its place."
            )
        records = content.reshape(count, _RECORD)
        if records[:, 0].max() >= len(CLASS_NAMES):
            row = int(np.argmax(records[:, 0] >= len(CLASS_NAMES)))
            raise ValueError(f"{str(path)!r} is damaged: record {row} has label {records[row, 0]}, expected 0 to 9.")
        blocks.append(records)
    records = np.concatenate(blocks)
    images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    description = f"CIFAR-10, {split} (binary version, {len(images)} images of 32 x 32)"
    return columns.images(images, records[:, 0], class_names=CLASS_NAMES, description=description)


def _read_folders(split: str, place: pathlib.Path, *, verify: bool) -> Columns:
    source = folder.load(place, image_shape=(32, 32, 3), label_by_folder=True)
    found = getattr(source.fields["label"], "class_names", ())
    if verify and found != CLASS_NAMES:
        raise ValueError(f"{str(place)!r} must hold the folders {', '.join(CLASS_NAMES)}, got {', '.join(found)}.")
    lossy = any(name.lower().endswith((".jpg", ".jpeg")) for name in source.names)
    note = "JPEG re-encoding, not the published pixels" if lossy else "image files"
    description = f"CIFAR-10, {split} ({note}, {len(source)} images of 32 x 32)"
    return dataclasses.replace(source, description=description)
