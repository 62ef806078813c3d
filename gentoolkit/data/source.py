"""Random-access sources of labelled images, in memory or in files."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any, Protocol

import numpy as np

from gentoolkit.data._decode import Reader

Item = dict[str, Any]


class Source(Protocol):
    """What every pipeline here reads: `source[i]` is `{"image": uint8 [h, w, c], "label": int}`."""

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, index: int, /) -> Item:
        """One example; the same one whenever it is asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """Images held in memory: a batch is one vectorised look-up.

    Attributes:
      images: `[n, h, w, c]` uint8.
      labels: `[n]` integers.
      class_names: the name of each label, or empty.
      description: one line for reports.

    Raises:
      ValueError: wrong shapes, or no example at all.
      TypeError: `images` is not uint8 or `labels` not integer.
    """

    images: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    class_names: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self):
        """Checks what can be checked without reading."""
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1] or 0 in self.images.shape:
            raise ValueError(
                "images must be non-empty [n, h, w, c] and labels [n], "
                f"got images.shape = {self.images.shape}, labels.shape = {self.labels.shape}."
            )
        if self.images.dtype != np.uint8 or not np.issubdtype(self.labels.dtype, np.integer):
            raise TypeError(
                f"images must be uint8 and labels integers, got {self.images.dtype} and {self.labels.dtype}."
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(h, w, c)`."""
        return self.images.shape[1:]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        """One example."""
        return {"image": self.images[index], "label": int(self.labels[index])}

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Stacks the examples at `indices`, `[b]`: `{"image": [b, h, w, c] uint8, "label": [b] int32}`."""
        return {"image": self.images[indices], "label": self.labels[indices].astype(np.int32)}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files, decoded when asked for.

    Attributes:
      paths: one file for each example.
      labels: `[n]` integers.
      reader: decodes one file into `[h, w, c]` uint8.
      class_names: the name of each label, or empty.
      description: one line for reports.
    """

    paths: Sequence[pathlib.Path] = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    reader: Reader
    class_names: tuple[str, ...] = ()
    description: str = ""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(h, w, c)`."""
        return self.reader.image_shape

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        """One example."""
        return {"image": self.reader(self.paths[index]), "label": int(self.labels[index])}


class Subset:
    """The examples of `source` at `indices`, in that order."""

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray):
        """Keeps a view; nothing is copied.

        Args:
          source: where the examples are.
          indices: `[m]` integers in `[0, len(source))`.

        Raises:
          ValueError: an index lies outside the source, or there is none.
        """
        self.source = source
        self.indices = np.asarray(indices, np.int64)
        if self.indices.ndim != 1 or not self.indices.size:
            raise ValueError(f"indices must be a non-empty list, got shape {self.indices.shape}.")
        if self.indices.min() < 0 or self.indices.max() >= len(source):
            raise ValueError(
                f"indices must lie in [0, {len(source)}), got {self.indices.min()} to {self.indices.max()}."
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(h, w, c)`."""
        return image_shape(self.source)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label, or empty."""
        return getattr(self.source, "class_names", ())

    @property
    def description(self) -> str:
        """One line for reports."""
        return f"{getattr(self.source, 'description', '')} ({len(self)} of {len(self.source)})".strip()

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        """One example."""
        return self.source[int(self.indices[index])]

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Stacks the examples at `indices`, `[b]`."""
        return take(self.source, self.indices[indices])


def image_shape(source: Source) -> tuple[int, ...]:
    """Returns `(h, w, c)` of a source: what it declares, or else the shape of its first image."""
    declared = getattr(source, "image_shape", None)
    return tuple(declared) if declared is not None else np.shape(source[0]["image"])


def take(source: Source, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Stacks the examples at `indices`, by the source's own `take` where it has one.

    Args:
      source: any source.
      indices: `[b]` integers.

    Returns:
      Every entry of the examples, stacked: `image` is `[b, h, w, c]`, an integer `label` `[b]` int32.

    Raises:
      ValueError: two examples differ in shape.
    """
    if hasattr(source, "take"):
        return source.take(indices)
    return stack([source[int(index)] for index in indices], indices)


def stack(items: Sequence[Mapping[str, Any]], indices: np.ndarray) -> dict[str, np.ndarray]:
    """Stacks examples, naming the first that does not fit (see `take`)."""
    batch = {}
    for name, first in items[0].items():
        for index, item in zip(indices, items, strict=True):
            if np.shape(item[name]) != np.shape(first):
                raise ValueError(
                    f"Examples of one source must have one shape: {name} of example {indices[0]} is "
                    f"{np.shape(first)}, of example {index} {np.shape(item[name])}."
                )
        column = np.stack([np.asarray(item[name]) for item in items])
        batch[name] = column.astype(np.int32) if column.dtype == np.int64 else column
    return batch


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """Draws the order of one epoch, the same on every platform and with every NumPy.

    Sorting raw counter-based bits is stable by contract; the streams of `Generator` methods are not.

    Args:
      seed: non-negative.
      epoch: non-negative.
      size: number of examples.

    Returns:
      `[size]` int64.
    """
    bits = np.random.Philox(np.random.SeedSequence([seed, 0, epoch])).random_raw(size)
    return np.argsort(bits, kind="stable")


def split(source: Source, *, num_test: int, seed: int = 0) -> tuple[Subset, Subset]:
    """Splits a source that has no split of its own, at random and always alike.

    Args:
      source: any source.
      num_test: how many examples the test part gets, `0 < num_test < len(source)`.
      seed: chooses the split.

    Returns:
      `(train, test)`.

    Raises:
      ValueError: `num_test` leaves one part empty.
    """
    if not 0 < num_test < len(source):
        raise ValueError(f"num_test must lie in (0, {len(source)}), got num_test = {num_test}.")
    order = permutation(seed, 0, len(source))
    return Subset(source, np.sort(order[num_test:])), Subset(source, np.sort(order[:num_test]))


def in_memory(source: Source, *, num_threads: int = 4, chunk_size: int = 256) -> ArraySource:
    """Decodes a whole source once, so that batches become vectorised look-ups.

    Args:
      source: any source; `n * h * w * c` bytes must fit into memory.
      num_threads: threads that decode.
      chunk_size: examples read at a time by one thread.

    Returns:
      The same examples in the same order.
    """
    if isinstance(source, ArraySource):
        return source
    images = np.empty((len(source), *image_shape(source)), np.uint8)
    labels = np.empty(len(source), np.int32)

    def read(start: int) -> None:
        indices = np.arange(start, min(start + chunk_size, len(source)))
        batch = take(source, indices)
        if batch["image"].shape[1:] != images.shape[1:]:
            raise ValueError(f"Images are {batch['image'].shape[1:]}, but the source declares {images.shape[1:]}.")
        images[indices], labels[indices] = batch["image"], batch["label"]

    with futures.ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(read, range(0, len(source), chunk_size)):
            pass
    names, description = getattr(source, "class_names", ()), getattr(source, "description", "")
    return ArraySource(images, labels, tuple(names), description)
