"""Data sets that tensorflow-datasets has already prepared, read without tensorflow."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from gentoolkit.data._decode import Fit, Reader
from gentoolkit.data.source import Item, stack

_INFO, _INCOMPLETE = "dataset_info.json", "incomplete."
_READABLE = ("array_record", "parquet")


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSource:
    """One split of a prepared data set.

    Attributes:
      directory: the version folder.
    records: the data source of tensorflow-datasets.
      image_key: which feature is the image.
      label_key: which feature is the label, or None (every label is 0).
      reader: brings each image to one shape, or None to leave it as it is.
      image_shape: `(h, w, c)`.
      class_names: the name of each label, or empty.
      description: one line for reports.
    """

    directory: pathlib.Path
    records: Any = dataclasses.field(repr=False)
    image_key: str
    label_key: str | None
    reader: Reader | None
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    description: str

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.records)

    def __getitem__(self, index: int) -> Item:
        """One example."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} lies outside a source of {len(self)} examples.")
        return self._item(self._read([index % len(self)])[0], index)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Stacks the examples at `indices`, `[b]`, read from the files together."""
        items = [self._item(record, index) for record, index in zip(self._read(indices), indices, strict=True)]
        return stack(items, indices)

    def _read(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        try:
            return self.records.__getitems__([int(index) for index in indices])
        except RuntimeError as error:  # array_record checks the hash of each block
            raise ValueError(
                f"A file of {str(self.directory)!r} is damaged: {error}. Copy it again, or remove that folder and "
                "prepare the data set again."
            ) from error

    def _item(self, record: dict[str, Any], index: int) -> Item:
        image = record[self.image_key]
        if self.reader is not None:
            from PIL import Image

            image = self.reader.convert(
                Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image), f"example {index}"
            )
        return {"image": image, "label": 0 if self.label_key is None else int(record[self.label_key])}


def load(
    directory: str | os.PathLike[str],
    split: str,
    *,
    image_key: str = "image",
    label_key: str | None = "label",
    image_shape: tuple[int, int, int] | None = None,
    center_crop: int | None = None,
    fit: Fit = "exact",
    convert_channels: bool = False,
) -> PreparedSource:
    """Opens one split of a data set that stands in `directory`.

    Args:
      directory: the version folder (with `dataset_info.json`), or a folder above it that holds just one such.
      split: a split of the data set, or a slice of one, such as "test[:50%]".
      image_key: which feature is the image.
      label_key: which feature is the label; None makes every label 0.
      image_shape: `(h, w, c)` wanted, c = 1 or 3; None leaves images as they are, and they must be of one shape.
      center_crop: as in `folder.load`; needs `image_shape`.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.

    Returns:
      A source of `[h, w, c]` images.

    Raises:
      FileNotFoundError: no prepared data set there.
      ValueError: several of them; written in a format that only tensorflow reads; or no such split or feature.
    """
    if image_shape is None and (center_crop is not None or fit != "exact" or convert_channels):
        raise ValueError("center_crop, fit and convert_channels need image_shape=(height, width, channels).")
    reader = None if image_shape is None else Reader(image_shape, center_crop, fit, convert_channels)
    version_dir = find(directory)

    # A second to import, so only after the files have been found.
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(version_dir)
    info = builder.info
    file_format = info.file_format.value if info.file_format else "unknown"
    if file_format not in _READABLE:
        raise ValueError(
            f"{str(version_dir)!r} is written as {file_format}, which only tensorflow reads. "
            "Prepare it again with file_format='array_record'."
        )
    if split.split("[")[0] not in info.splits:
        raise ValueError(
            f"{str(version_dir)!r} has the splits {', '.join(sorted(info.splits))}, got split = {split!r}."
        )
    for key in filter(None, (image_key, label_key)):
        if key not in info.features:
            raise ValueError(f"{str(version_dir)!r} has the features {', '.join(sorted(info.features))}, got {key!r}.")
    for path in info.splits[split.split("[")[0]].filepaths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{os.fspath(path)!r} is missing. Copy it there, or prepare the data set again.")
    records = builder.as_data_source(split)
    declared = tuple(info.features[image_key].shape)
    if reader is None and None in declared:
        raise ValueError(
            f"Images in {str(version_dir)!r} differ in shape ({declared}). "
            "Give image_shape=(height, width, channels) and fit='cover' or fit='stretch'."
        )
    names = getattr(info.features[label_key], "names", None) if label_key else None
    return PreparedSource(
        version_dir,
        records,
        image_key,
        label_key,
        reader,
        declared if reader is None else reader.image_shape,
        tuple(names or ()),
        f"{info.full_name}, {split} ({len(records)} images)",
    )


def find(directory: str | os.PathLike[str]) -> pathlib.Path:
    """Finds the one prepared data set in a folder, at most three levels down.

    Args:
      directory: the version folder, or one above it.

    Returns:
      The version folder; one whose preparation was interrupted never counts.

    Raises:
      FileNotFoundError: none.
      ValueError: more than one.
    """
    root = pathlib.Path(directory).expanduser()
    if (root / _INFO).is_file():
        return root
    found = sorted(
        path.parent
        for depth in ("*", "*/*", "*/*/*")
        for path in root.glob(f"{depth}/{_INFO}")
        if not any(part.startswith(_INCOMPLETE) for part in path.relative_to(root).parts)
    )
    if not found:
        raise FileNotFoundError(
            f"No prepared data set in {str(root)!r}: {_INFO} not found there or up to three folders below. Give the "
            "folder that tensorflow-datasets or gentoolkit.data.preparation wrote."
        )
    if len(found) > 1:
        raise ValueError(f"Several prepared data sets in {str(root)!r}; give one of {', '.join(map(str, found))}.")
    return found[0]
