"""Data sets that tensorflow-datasets has already prepared, read without tensorflow."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gentoolkit.data import _stored
from gentoolkit.data._decode import Fit, Reader
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image, Label

_INFO, _INCOMPLETE = "dataset_info.json", "incomplete."
_READABLE = ("array_record", "parquet")


def load(
    directory: str | os.PathLike[str],
    split: str,
    *,
    image_key: str = "image",
    label_key: str | None = "label",
    fields: Mapping[str, Field] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    center_crop: int | None = None,
    fit: Fit = "exact",
    convert_channels: bool = False,
) -> Columns:
    """Opens one split of a data set that stands in `directory`.

    A data set that `preparation` wrote has the columns that it was given. Of any other one, an image and a label are
    read, as the columns `image` and `label`.

    Args:
      directory: the version folder (with `dataset_info.json`), or a folder above it that holds just one such.
      split: a split of the data set, or a slice of one, such as "test[:50%]".
      image_key: which feature is the image.
      label_key: which feature is the label; None reads no label.
      fields: of the columns, where these are kinds of one's own that `preparation` was given.
      image_shape: `(h, w, c)` wanted, c = 1 or 3; None leaves images as they are, and they must be of one shape.
      center_crop: as in `folder.load`; needs `image_shape`.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.

    Returns:
      The data set; images are `[h, w, c]`.

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
    for path in info.splits[split.split("[")[0]].filepaths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{os.fspath(path)!r} is missing. Copy it there, or prepare the data set again.")
    known = _known_fields(version_dir, info.metadata) if fields is None else dict(fields)
    if known:
        keys = {name: name for name in known if name != "label" or label_key}
    else:
        keys = {"image": image_key} | ({"label": label_key} if label_key else {})
    for key in (*keys.values(), *([image_key] if reader else [])):
        if key not in info.features:
            raise ValueError(f"{str(version_dir)!r} has the features {', '.join(sorted(info.features))}, got {key!r}.")
    if not known:
        known = _declared(version_dir, info.features, image_key, label_key, reader)
    elif reader:
        known[image_key] = dataclasses.replace(known[image_key], shape=reader.image_shape)
    records = builder.as_data_source(split)
    chosen = {name: known[name] for name in keys}
    read = _Records(version_dir, records, chosen, keys, reader, image_key)
    return Columns(len(records), chosen, read, f"{info.full_name}, {split} ({len(records)} images)")


@dataclasses.dataclass(frozen=True, eq=False)
class _Records:
    """Reads examples from the files together.

    Attributes:
      directory: the version folder, for errors.
      records: the data source of tensorflow-datasets.
      fields: of the columns.
      keys: the feature that each column is.
      reader: brings the image to one shape, or None to leave it as it is.
      image_key: which feature `reader` is for.
    """

    directory: pathlib.Path
    records: Any
    fields: Mapping[str, Field]
    keys: Mapping[str, str]
    reader: Reader | None
    image_key: str

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        try:
            records = self.records.__getitems__([int(index) for index in indices])
        except RuntimeError as error:  # array_record checks the hash of each block
            raise ValueError(
                f"A file of {str(self.directory)!r} is damaged: {error}. Copy it again, or remove that folder and "
                "prepare the data set again."
            ) from error
        return {
            name: [self._value(name, record, index) for record, index in zip(records, indices, strict=True)]
            for name in names
        }

    def _value(self, name: str, record: Mapping[str, Any], index: int) -> Any:
        value = record[self.keys[name]]
        if self.reader is None or self.keys[name] != self.image_key:
            return _stored.decode(self.fields[name], value)
        from PIL import Image as pillow

        return self.reader.convert(
            pillow.fromarray(value.squeeze(-1) if value.shape[-1] == 1 else value), f"example {index}"
        )


def _known_fields(directory: pathlib.Path, metadata: Any) -> dict[str, Field]:
    """The fields that `preparation` wrote; none where something else prepared the data set."""
    try:
        return _stored.from_json(json.loads((metadata or {}).get("fields", "{}")))
    except KeyError as error:
        raise ValueError(
            f"{str(directory)!r} has a column {error} of a kind of its own; say of which, by fields=...."
        ) from error


def _declared(
    directory: pathlib.Path, features: Any, image_key: str, label_key: str | None, reader: Reader | None
) -> dict[str, Field]:
    """The fields of an image and a label, as tensorflow-datasets declares them."""
    shape = tuple(features[image_key].shape) if reader is None else reader.image_shape
    if None in shape:
        raise ValueError(
            f"Images in {str(directory)!r} differ in shape ({shape}). "
            "Give image_shape=(height, width, channels) and fit='cover' or fit='stretch'."
        )
    known: dict[str, Field] = {"image": Image(shape=shape)}
    if label_key:
        known["label"] = Label(class_names=tuple(getattr(features[label_key], "names", None) or ()))
    return known


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
