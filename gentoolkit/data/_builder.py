"""The tfds builder that packs any data sets of one form."""

import json
import pathlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from gentoolkit.data import _stored
from gentoolkit.data._progress import Progress
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Label


def write(sources: Mapping[str, Columns], root: pathlib.Path, *, name: str, version: str) -> None:
    """Writes the data set `root / name / version`; tfds moves it there when it is complete."""
    body = {"name": name, "VERSION": tfds.core.Version(version), "SOURCES": sources}
    builder_class = types.new_class("Packed", (_Packed,), {"skip_registration": True}, lambda ns: ns.update(body))
    tfds.disable_progress_bar()
    builder_class(data_dir=root).download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False), file_format="array_record"
    )


class _Packed(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder for data sets with the same fields; a subclass says which, and their common name."""

    VERSION = tfds.core.Version("1.0.0")
    SOURCES: Mapping[str, Columns] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        fields = {split: dict(source.fields) for split, source in self.SOURCES.items()}
        first = next(iter(fields.values()))
        if any(other != first for other in fields.values()):
            raise ValueError(f"Splits must agree in their fields, got {fields}.")
        return tfds.core.DatasetInfo(
            builder=self,
            description="; ".join(source.description for source in self.SOURCES.values()),
            features=tfds.features.FeaturesDict({name: _feature(field) for name, field in first.items()}),
            metadata=tfds.core.MetadataDict(fields=json.dumps(_stored.to_json(first))),
            disable_shuffling=True,
        )

    def _log_download_bytes(self) -> None:
        """Says nothing: tfds would announce a download, and there is none."""

    _log_download_done = _log_download_bytes

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(split) for split in self.SOURCES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        source = self.SOURCES[split]
        progress = Progress(f"Preparing {self.name}, {split}", len(source))
        for index in range(len(source)):
            values = source[index]
            yield index, {name: _record(field, values[name]) for name, field in source.fields.items()}
            progress.update(index + 1)


def _feature(field: Field) -> Any:
    if _stored.is_png(field):
        return tfds.features.Image(shape=(*field.shape[:2], *(field.shape[2:] or (1,))), encoding_format="png")
    if _stored.is_class(field):
        names = field.class_names if isinstance(field, Label) else ()
        return tfds.features.ClassLabel(names=names) if names else tfds.features.Scalar(np.int64)
    return tfds.features.Text()  # the bytes of an array: exact, whatever its type and length


def _record(field: Field, value: Any) -> Any:
    if _stored.is_png(field):
        # As a Pillow image: tfds encodes a NumPy array only by way of tensorflow.
        return Image.fromarray(value[..., 0] if value.shape[2:] == (1,) else value)
    return int(value) if _stored.is_class(field) else np.asarray(value, field.dtype).tobytes()
