"""The tfds builder that packs any sources of images, and what it says while it works."""

import pathlib
import sys
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from gentoolkit.data import source as source_lib
from gentoolkit.data.source import Source


def write(sources: Mapping[str, Source], root: pathlib.Path, *, name: str, version: str) -> None:
    """Writes the data set `root / name / version`; tfds moves it there when it is complete."""
    body = {"name": name, "VERSION": tfds.core.Version(version), "SOURCES": sources}
    builder_class = types.new_class("Packed", (_PackedImages,), {"skip_registration": True}, lambda ns: ns.update(body))
    tfds.disable_progress_bar()
    builder_class(data_dir=root).download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False), file_format="array_record"
    )


class _PackedImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder for sources of images of one shape; a subclass says which, and their common name."""

    VERSION = tfds.core.Version("1.0.0")
    SOURCES: Mapping[str, Source] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        shapes = {split: source_lib.image_shape(source) for split, source in self.SOURCES.items()}
        class_names = {split: tuple(getattr(source, "class_names", ())) for split, source in self.SOURCES.items()}
        if len(set(shapes.values())) > 1 or len(set(class_names.values())) > 1:
            raise ValueError(f"Splits must agree in image shape and class names, got {shapes} and {class_names}.")
        names = next(iter(class_names.values()))
        image = tfds.features.Image(shape=next(iter(shapes.values())), encoding_format="png")
        label = tfds.features.ClassLabel(names=names) if names else tfds.features.Scalar(np.int64)
        return tfds.core.DatasetInfo(
            builder=self,
            description="; ".join(getattr(source, "description", "") for source in self.SOURCES.values()),
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
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
        progress = _Progress(f"{self.name}, {split}", len(source))
        for index in range(len(source)):
            item = source[index]
            image = item["image"]
            # As a Pillow image: tfds encodes a NumPy array only by way of tensorflow.
            pillow = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            yield index, {"image": pillow, "label": item["label"]}
            progress.update(index + 1)


class _Progress:
    """A line on stderr with the rate and the time left: rewritten on a terminal, every ten seconds elsewhere."""

    def __init__(self, what: str, total: int):
        self._what, self._total = what, total
        self._terminal = sys.stderr.isatty()
        self._start = self._last = time.monotonic()

    def update(self, done: int) -> None:
        now = time.monotonic()
        finished = done == self._total
        if not finished and now - self._last < (0.5 if self._terminal else 10.0):
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        left = "done" if finished else f"{(self._total - done) / rate:.0f} s left"
        line = f"Preparing {self._what}: {done}/{self._total} images, {rate:.0f}/s, {left}"
        if self._terminal:
            print(f"\r{line:<79}", end="\n" if finished else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
