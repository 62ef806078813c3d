"""Streams of batches: step t of a stream is a function of its seed and t, whoever asks and however many share it.

The examples of a global batch are chosen by index before any file is read, and each process reads its contiguous part
of them. So one process and many see the same batches, a run resumes bit for bit from the number of its step, and grain
is left with what it does well: reading ahead in threads or worker processes.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from gentoolkit.data import columns
from gentoolkit.data.columns import COUNTS, Batch, Columns
from gentoolkit.data.fields import Field, Range

Fields = Mapping[str, Field]
Transform = Callable[[Fields, Batch, np.ndarray], tuple[Fields, Batch]]

# Two epochs at most are under way at once; a few more are kept for streams that share a process.
_permutation = functools.lru_cache(maxsize=8)(columns.permutation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadAhead:
    """How batches are read ahead of their use.

    Attributes:
      num_threads: threads that read and decode; 0 reads when asked.
      num_batches: batches held ready, of each worker.
      num_workers: extra processes, each with these threads; needs a program entered through `absl.app.run`.
    """

    num_threads: int = 2
    num_batches: int = 8
    num_workers: int = 0

    def iterate(self, batches: Any) -> Iterator[Batch]:
        """Iterates over `batches` (with `len` and `[step]`) in order."""
        options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=self.num_batches)
        dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
        if self.num_workers:
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.num_workers))
        return iter(dataset)


@dataclasses.dataclass(frozen=True, eq=False)
class _Tail:
    """The steps of a stream from `start` on."""

    batches: Any
    start: int

    def __len__(self) -> int:
        """Number of steps left."""
        return len(self.batches) - self.start

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step."""
        return self.batches[self.start + step]


class Indexed:
    """Training batches by step: what `Stream` and `pairs.Together` have in common.

    A subclass has `stream[t]`, `len(stream)`, `read_ahead` and `identity()`.
    """

    read_ahead: "ReadAhead"

    def __len__(self) -> int:
        """Number of steps in all; `sys.maxsize` if there is no end."""
        raise NotImplementedError

    def __getitem__(self, step: int) -> Batch:
        """Reads this process's part of the batch of a step."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """What decides the batches, for a saved position to be compared with."""
        raise NotImplementedError

    def iterator(self, *, start: int = 0) -> "StreamIterator":
        """Returns an iterator that reads ahead, from step `start` on."""
        iterator = StreamIterator(self)
        iterator.set_state({"step": start})
        return iterator

    def __iter__(self) -> "StreamIterator":
        """Iterates from the start, reading ahead."""
        return StreamIterator(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Stream(Indexed):
    """Training batches, indexed by step: `stream[t]`, `iter(stream)`, `stream.iterator(start=t)`.

    A batch has the columns of the source with b = `batch_size / process_count` rows: pictures are `[b, h, w, c]`
    float32, labels `[b]` int32, what varies in length is a `fields.Ragged`. An epoch has `len(source) // batch_size`
    steps; the examples left over, others in each epoch, are dropped.

    Attributes:
      source: where the examples are.
      seed: non-negative; decides order and augmentation.
      batch_size: examples in the global batch of all processes together.
      shuffle: draw a new order each epoch; otherwise the order of the source.
      epochs: how many to run, or None for no end.
      process_index: which part of each global batch to read, `0 <= process_index < process_count`.
      process_count: number of parts; divides `batch_size`.
      image_range: what the bytes 0 and 255 become; None leaves all numbers as they are stored (a quarter of the size:
        `scale` then does the rest where they are used, inside `jax.jit` too).
      transforms: augmentations, applied in order while pictures are still bytes; each is handed one uniform uint64 for
        each example, of its own, that depends on seed, step and row only. See `transform`.
      read_ahead: threads, buffer and worker processes of the iterators.

    Raises:
      ValueError: the batch is larger than the data or not divisible by the number of processes, or an option lies
        outside its range.
    """

    source: Columns
    _: dataclasses.KW_ONLY
    seed: int
    batch_size: int
    shuffle: bool = True
    epochs: int | None = None
    process_index: int = 0
    process_count: int = 1
    image_range: Range = (0.0, 1.0)
    transforms: Sequence[Transform] = ()
    read_ahead: ReadAhead = ReadAhead()

    def __post_init__(self):
        """Checks what can be checked without reading."""
        _check_sizes(self.batch_size, self.process_index, self.process_count)
        if self.batch_size > len(self.source):
            raise ValueError(
                f"batch_size = {self.batch_size} is larger than the data: {len(self.source)} examples"
                f" ({self.source.description or ', '.join(self.source.fields)})."
            )
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got seed = {self.seed}.")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs must be >= 1 or None, got epochs = {self.epochs}.")

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in one epoch."""
        return len(self.source) // self.batch_size

    @property
    def fields(self) -> Fields:
        """The fields of a batch, before it is scaled."""
        fields: Fields = self.source.fields
        nothing = {name: field.empty(0) for name, field in fields.items()}
        for transform in self.transforms:
            fields, nothing = transform(fields, nothing, np.zeros(0, np.uint64))
        return fields

    def __len__(self) -> int:
        """Number of steps in all; `sys.maxsize` if there is no end."""
        return sys.maxsize if self.epochs is None else self.epochs * self.steps_per_epoch

    def indices(self, step: int) -> np.ndarray:
        """Returns which examples make up the global batch of a step, `[batch_size]`."""
        if not 0 <= step < len(self):
            raise IndexError(f"step must lie in [0, {len(self)}), got step = {step}.")
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        rows = slice(step_in_epoch * self.batch_size, (step_in_epoch + 1) * self.batch_size)
        if self.shuffle:
            return _permutation(self.seed, epoch, len(self.source))[rows]
        return np.arange(rows.start, rows.stop)

    def __getitem__(self, step: int) -> Batch:
        """Reads this process's part of the batch of a step."""
        part = _part(self.batch_size, self.process_index, self.process_count)
        fields, batch = self.source.fields, self.source.take(self.indices(step)[part])
        for number, transform in enumerate(self.transforms):
            bits = np.random.Philox(np.random.SeedSequence([self.seed, 1, number, step]))
            fields, batch = transform(fields, batch, bits.random_raw(self.batch_size)[part])
        return scale(fields, batch, self.image_range)

    def identity(self) -> dict[str, Any]:
        """What decides the batches, for a saved position to be compared with."""
        return {
            "seed": int(self.seed),
            "batch_size": int(self.batch_size),
            "num_examples": len(self.source),
            "shuffle": bool(self.shuffle),
        }


class StreamIterator(grain.DatasetIterator):
    """Iterates over a stream, reading ahead; its state is the number of the next step.

    The state is a small dictionary that JSON can hold; it fits any number of processes, threads and workers. Being
    grain's iterator, it can be handed to orbax as it is.
    """

    def __init__(self, stream: Indexed):
        """Starts at step 0; nothing is read before the first `next`."""
        super().__init__()
        self._stream = stream
        self._step = 0
        self._ahead: Iterator[Batch] | None = None

    def __next__(self) -> Batch:
        """Reads the batch of the next step."""
        if self._closed:
            raise ValueError("The iterator has been closed.")
        if self._step >= len(self._stream):
            raise StopIteration
        if self._ahead is None:
            self._ahead = self._stream.read_ahead.iterate(_Tail(self._stream, self._step))
        try:
            batch = next(self._ahead)
        except BaseException:
            self._stop()  # so that another `next` tries this step again, not the one after it
            raise
        self._step += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Returns the number of the next step, and what else decides its batch."""
        return {"step": self._step, **self._stream.identity()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to the step of `state`.

        Args:
          state: from `get_state`, or just `{"step": t}`.

        Raises:
          ValueError: the state belongs to a stream with other batches, or the step lies beyond the end.
        """
        ours = self._stream.identity()
        differing = [name for name in ours if name in state and state[name] != ours[name]]
        if differing:
            told = ", ".join(f"{name} = {state[name]} then and {ours[name]} now" for name in differing)
            raise ValueError(f"The saved position belongs to another stream: {told}.")
        step = state.get("step")
        if step is None or not 0 <= step <= len(self._stream):
            raise ValueError(f"step must lie in [0, {len(self._stream)}], got step = {step}.")
        self._stop()
        self._step = int(step)

    def close(self) -> None:
        """Stops reading ahead."""
        self._stop()
        super().close()

    def _stop(self) -> None:
        ahead, self._ahead = getattr(self, "_ahead", None), None
        if ahead is not None:
            ahead.close()


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationPass:
    """One pass over a source in order, as often as it is iterated; every batch has the same shape.

    A batch is that of `Stream` with `counts`, `[b]` bool: False marks the rows that fill up the last batch, copies of
    the last example.

    Attributes:
      source: where the examples are.
      batch_size: examples in the global batch of all processes together; may exceed the data, unless dropping.
      drop_remainder: leave out what does not fill a batch, instead of filling up.
      process_index: which part of each global batch to read.
      process_count: number of parts; divides `batch_size`.
      image_range: as in `Stream`.
      read_ahead: threads, buffer and worker processes.

    Raises:
      ValueError: an option lies outside its range, or no batch remains.
    """

    source: Columns
    _: dataclasses.KW_ONLY
    batch_size: int
    drop_remainder: bool = False
    process_index: int = 0
    process_count: int = 1
    image_range: Range = (0.0, 1.0)
    read_ahead: ReadAhead = ReadAhead()

    def __post_init__(self):
        """Checks what can be checked without reading."""
        _check_sizes(self.batch_size, self.process_index, self.process_count)
        if not len(self):
            raise ValueError(
                f"batch_size = {self.batch_size} is larger than the data: {len(self.source)} examples, and "
                f"drop_remainder = {self.drop_remainder} leaves none."
            )

    def __len__(self) -> int:
        """Number of batches."""
        return (len(self.source) + (0 if self.drop_remainder else self.batch_size - 1)) // self.batch_size

    def __getitem__(self, step: int) -> Batch:
        """Reads this process's part of one batch."""
        if not 0 <= step < len(self):
            raise IndexError(f"step must lie in [0, {len(self)}), got step = {step}.")
        part = _part(self.batch_size, self.process_index, self.process_count)
        rows = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[part]
        batch = self.source.take(np.minimum(rows, len(self.source) - 1))
        return {**scale(self.source.fields, batch, self.image_range), COUNTS: rows < len(self.source)}

    def __iter__(self) -> Iterator[Batch]:
        """Iterates from the start, reading ahead."""
        return self.read_ahead.iterate(self)


def _check_sizes(batch_size: int, process_index: int, process_count: int) -> None:
    if batch_size < 1 or process_count < 1 or batch_size % process_count:
        raise ValueError(
            "batch_size must be >= 1 and divisible by process_count, "
            f"got batch_size = {batch_size}, process_count = {process_count}."
        )
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index must lie in [0, {process_count}), got process_index = {process_index}.")


def _part(batch_size: int, process_index: int, process_count: int) -> slice:
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def scale(fields: Mapping[str, Any], batch: Mapping[str, Any], image_range: Range) -> Batch:
    """Brings the stored numbers of a batch to the range that networks take, as each field says.

    Args:
      fields: of a stream, those of `pairs.Together` too.
      batch: the columns, NumPy or jax arrays: inside a jitted step it makes float32 of bytes on the device (where the
        compiler may round the last bit the other way, but for the ends). What has no field, such as `counts`, stays.
      image_range: what the bytes 0 and 255 become; None leaves the batch as it is.

    Returns:
      The batch.
    """

    def scaled(name: str, part: Any) -> Any:
        field = fields.get(name)
        if isinstance(field, Mapping):
            return scale(field, part, image_range)
        return part if field is None else field.scale(part, image_range)

    return {name: scaled(name, part) for name, part in batch.items()}
