"""Examples as named columns, in memory or read when asked for, each with a field that says what it holds.

    pictures = columns.from_values(
        {"image": fields.Image(shape=(64, 64, 3)), "boxes": fields.Boxes(max_length=8)},
        {"image": lambda index: decode(paths[index]), "boxes": boxes},
    )
    pictures.take(np.arange(4))       # {"image": [4, 64, 64, 3] uint8, "boxes": Ragged([4, 8, 4], [4])}

Every data set here is of this one class. One that reads several columns at once, or draws its examples, hands its own
function to `Columns`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from gentoolkit.data.fields import Column, Field, Image, Label, Ragged, rows

Batch = dict[str, Any]
Read = Callable[[np.ndarray, Sequence[str]], Mapping[str, Any]]
COUNTS = "counts"  # of an evaluation batch: which rows are examples, and not copies that fill up


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """A data set: so many examples, and a field for each of their columns.

    Attributes:
      num: how many examples.
      fields: the columns, and what each holds.
      read: `(indices [b], names) -> {name: one value for each index}`, the same whenever it is asked; values are what
        `Field.stack` takes. It may be called from several threads.
      description: one line for reports.
      names: what each example is called, such as its file; or empty.

    Raises:
      ValueError: no example, no column, or a column with the name that evaluation passes use, "counts".
    """

    num: int
    fields: Mapping[str, Field]
    read: Read = dataclasses.field(repr=False)
    description: str = ""
    names: Sequence[str] = dataclasses.field(default=(), repr=False)

    def __post_init__(self):
        """Checks what can be checked without reading."""
        if self.num < 1 or not self.fields:
            raise ValueError(f"A data set needs an example and a column, got {self.num} and {list(self.fields)}.")
        if COUNTS in self.fields:
            raise ValueError(f"No column may be called {COUNTS!r}: that marks the rows of an evaluation batch.")

    def __len__(self) -> int:
        """Number of examples."""
        return self.num

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One example, without padding."""
        index = int(index)
        if not -self.num <= index < self.num:
            raise IndexError(f"index {index} lies outside a data set of {self.num} examples.")
        batch = self.take(np.array([index % self.num]))
        return {
            name: column.values[0, : column.lengths[0]] if isinstance(column, Ragged) else column[0]
            for name, column in batch.items()
        }

    def take(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Reads the examples at `indices`, `[b]`.

        Args:
          indices: integers in `[0, len)`.

        Returns:
          For each column `[b, *shape]`, or a `Ragged`.

        Raises:
          IndexError: an index outside the data set.
          ValueError: an example does not fit its field, or cannot be read.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.num:
            raise IndexError(f"indices must lie in [0, {self.num}), got {indices.min()} to {indices.max()}.")
        values = self.read(indices, tuple(self.fields))
        return {name: field.stack(values[name], name=name, indices=indices) for name, field in self.fields.items()}

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Columns":
        """The examples at `indices`, `[m]`, in that order; a view, nothing is read."""
        indices = np.asarray(indices, np.int64)
        if indices.ndim != 1 or not indices.size:
            raise ValueError(f"indices must be a non-empty list, got shape {indices.shape}.")
        if indices.min() < 0 or indices.max() >= self.num:
            raise ValueError(f"indices must lie in [0, {self.num}), got {indices.min()} to {indices.max()}.")
        return dataclasses.replace(
            self,
            num=len(indices),
            read=_Subset(self.read, indices),
            description=f"{self.description} ({len(indices)} of {self.num})".strip(),
            names=[self.names[index] for index in indices] if len(self.names) else (),
        )

    def select(self, *kept: str, **renamed: str) -> "Columns":
        """Some of the columns; the others are not read.

        Args:
          *kept: columns that keep their names.
          **renamed: `new="old"`.

        Returns:
          The data set with these columns only.

        Raises:
          ValueError: there is no such column.
        """
        chosen = dict(zip(kept, kept, strict=True)) | renamed
        for old in chosen.values():
            if old not in self.fields:
                raise ValueError(f"There is no column {old!r}; there are {', '.join(self.fields)}.")
        chosen_fields = {new: self.fields[old] for new, old in chosen.items()}
        return dataclasses.replace(self, fields=chosen_fields, read=_Select(self.read, chosen))


def from_values(
    fields: Mapping[str, Field], values: Mapping[str, Any], *, description: str = "", names: Sequence[str] = ()
) -> Columns:
    """Makes a data set of columns, each in memory or read example by example.

    Args:
      fields: the columns.
      values: for each column an array `[n, ...]`, a `Ragged`, a list of one value for each example, or a function of
        the index of an example. At least one is no function.
      description: one line for reports.
      names: what each example is called, or empty.

    Returns:
      The data set. Arrays are checked here, what functions return when it is read.

    Raises:
      ValueError: columns of different lengths, or values that do not fit their field.
      TypeError: numbers of another kind than the field's.
    """
    if values.keys() != fields.keys():
        raise ValueError(f"fields and values must name the same columns, got {list(fields)} and {list(values)}.")
    held = {}
    for name, value in values.items():
        if not callable(value):
            count = len(value.lengths) if isinstance(value, Ragged) else len(value)
            value = fields[name].stack(value, name=name, indices=range(count))
        held[name] = value
    lengths = {name: len(v.lengths if isinstance(v, Ragged) else v) for name, v in held.items() if not callable(v)}
    if len(names):
        lengths["names"] = len(names)
    if len(set(lengths.values())) != 1:
        raise ValueError(f"All columns must have one length, got {lengths}.")
    return Columns(next(iter(lengths.values())), dict(fields), _Values(held), description, names)


def images(
    values: Any,
    labels: np.ndarray | None = None,
    *,
    class_names: Sequence[str] = (),
    image_shape: Sequence[int] | None = None,
    description: str = "",
    names: Sequence[str] = (),
) -> Columns:
    """Makes the most common data set: pictures, with or without a class each.

    Args:
      values: `[n, h, w, c]` uint8; or a function of the index of an example, which needs `image_shape`, and labels or
        names to count.
      labels: `[n]` integers, or None for no column `label`.
      class_names: the name of each label, or empty.
      image_shape: `(h, w, c)` of the pictures that a function returns.
      description: one line for reports.
      names: what each example is called, or empty.

    Returns:
      The data set, with the columns `image` and `label`.

    Raises:
      ValueError: wrong shapes, or no example at all.
      TypeError: pictures are not uint8, or labels not integer.
    """
    fields: dict[str, Field] = {"image": Image(shape=tuple(image_shape or np.shape(values)[1:]))}
    held = {"image": values}
    if labels is not None:
        fields["label"], held["label"] = Label(class_names=tuple(class_names)), labels
    return from_values(fields, held, description=description, names=names)


def split(source: Columns, *, num_test: int, seed: int = 0) -> tuple[Columns, Columns]:
    """Splits a data set that has no split of its own, at random and always alike.

    Args:
      source: any data set.
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
    return source.subset(np.sort(order[num_test:])), source.subset(np.sort(order[:num_test]))


def deal(source: Columns, num_parts: int, *, by: str | None = None, seed: int = 0) -> list[Columns]:
    """Deals the examples out to parts of about one size that have nothing in common, at random and always alike.

        outlines, colourings = columns.deal(openmoji.load("train"), 2, by="outline_number")

    Args:
      source: any data set.
      num_parts: how many parts, at least 1.
      by: a column of integers, read once: examples with the same number go to the same part. None: one by one.
      seed: chooses the parts.

    Returns:
      The parts, each in the order of the source. With `by`, parts differ by as much as the largest set of examples with
      one number.

    Raises:
      ValueError: `num_parts` is below 1, a part would be empty, or there is no such column of single integers.
    """
    if num_parts < 1:
        raise ValueError(f"num_parts must be >= 1, got num_parts = {num_parts}.")
    number = np.arange(len(source))
    if by is not None:
        kept = source.select(by).fields[by]
        if kept.shape or kept.max_length is not None or kept.dtype.kind not in "iu":
            raise ValueError(f"by = {by!r} must be a column of one integer for each example, got {kept}.")
        _, number = np.unique(source.select(by).take(number)[by], return_inverse=True)
    counts = np.bincount(number)
    order = permutation(seed, 0, len(counts))
    # A number belongs to the part in which the middle of its examples lies.
    middles = np.cumsum(counts[order]) - counts[order] / 2
    part = np.empty(len(counts), np.int64)
    part[order] = np.minimum(middles * num_parts // len(source), num_parts - 1)
    dealt = [np.flatnonzero(part[number] == index) for index in range(num_parts)]
    if not all(len(indices) for indices in dealt):
        raise ValueError(
            f"{len(source)} examples, {len(counts)} of them different, are too few for num_parts = {num_parts}."
        )
    return [source.subset(indices) for indices in dealt]


def in_memory(source: Columns, *, num_threads: int = 4, chunk_size: int = 256) -> Columns:
    """Reads every column of a data set once, so that batches become vectorised look-ups.

    Args:
      source: any data set; all its columns, padded, must fit into memory.
      num_threads: threads that read.
      chunk_size: examples read at a time by one thread.

    Returns:
      The same examples in the same order, with the same fields.
    """
    if isinstance(source.read, _Values) and not any(callable(value) for value in source.read.values.values()):
        return source
    held = {name: field.empty(len(source)) for name, field in source.fields.items()}

    def read(start: int) -> None:
        part = slice(start, min(start + chunk_size, len(source)))
        for name, column in source.take(np.arange(part.start, part.stop)).items():
            if isinstance(column, Ragged):
                held[name].values[part], held[name].lengths[part] = column
            else:
                held[name][part] = column

    with futures.ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(read, range(0, len(source), chunk_size)):
            pass
    return dataclasses.replace(source, read=_Values(held))


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


# Ways to read, as classes and not as closures: worker processes are handed a copy.


@dataclasses.dataclass(frozen=True, eq=False)
class _Values:
    values: Mapping[str, Column | Callable[[int], Any]]

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        chosen = ((name, self.values[name]) for name in names)
        return {
            name: [value(int(index)) for index in indices] if callable(value) else rows(value, indices)
            for name, value in chosen
        }


@dataclasses.dataclass(frozen=True, eq=False)
class _Subset:
    inner: Read
    chosen: np.ndarray

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> Mapping[str, Any]:
        return self.inner(self.chosen[indices], names)


@dataclasses.dataclass(frozen=True, eq=False)
class _Select:
    inner: Read
    old: Mapping[str, str]

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        values = self.inner(indices, tuple(dict.fromkeys(self.old[name] for name in names)))
        return {name: values[self.old[name]] for name in names}
