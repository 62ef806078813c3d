"""One pass over a stream for many statistics."""

import functools
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

Batches = Iterable[Mapping[str, Any]]
Values = Mapping[str, Any]
Extract = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_COUNTS = "counts"


class Statistic(NamedTuple):
    """What is computed from the rows of a stream, as pure functions of a state.

    The state is any pickleable value, usually of NumPy arrays in float64; it must not grow with the rows unless the
    statistic needs them whole, and then its docstring says so.

    Attributes:
      init: `() -> state`, that of no rows.
      update: `(state, values) -> state`; `values` are NumPy arrays by name, with a row for each example that counts.
        There may be no row.
      merge: `(state, state) -> state`, that of the rows of both.
      finish: `state -> result`.
      enough: whether a state needs no more rows; the pass ends early where all statistics have enough.
    """

    init: Callable[[], Any]
    update: Callable[[Any, Values], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Any], Any]
    enough: Callable[[Any], bool] = lambda state: False


def measure(
    batches: Batches,
    *,
    extract: Extract | None = None,
    statistics: Mapping[str, Statistic],
    mesh: jax.sharding.Mesh | None = None,
) -> dict[str, Any]:
    """Takes any number of statistics in one pass over a stream.

    Rows that only fill up the last batch are left out exactly: no statistic sees them.

    Args:
      batches: dicts of arrays (or of trees of arrays) with a leading axis of rows, all of one length and one shape from
        batch to batch, so that a compiled `extract` compiles once; `counts` `[b]` bool, where there is one, is False
        for rows that only fill up.
      extract: `batch -> {name: [b, ...]}`, called once for each batch: several arrays that the statistics share. They
        are found beside the columns of the batch, and replace those of the same name. None hands on the batch alone.
      statistics: by name.
      mesh: None calls `extract` with the batch as it is. Otherwise batches are this process's parts, as
        `data.pipeline.EvaluationPass(process_index=, process_count=)` gives them; `extract` gets arrays that are spread
        over all devices of the mesh along the rows, and the states of all processes are merged at the end.

    Returns:
      The result of each statistic, the same in every process.

    Raises:
      ValueError: no row counts at all, or an array has another number of rows than its batch.
    """
    states = {name: statistic.init() for name, statistic in statistics.items()}
    seen = 0
    for batch in batches:
        num = _num_rows(batch)
        counts = np.ones(num, bool) if batch.get(_COUNTS) is None else np.asarray(batch[_COUNTS], bool)
        if counts.shape != (num,):
            raise ValueError(f"counts must be [b] = ({num},), got counts.shape = {counts.shape}.")
        placed, first = (batch, 0) if mesh is None else _spread(batch, mesh)
        extracted = {} if extract is None else extract(placed)
        values = {
            name: jax.tree.map(functools.partial(_rows, name, counts, first), value)
            for name, value in {**batch, **extracted}.items()
            if name != _COUNTS
        }
        seen += int(counts.sum())
        states = {name: statistic.update(states[name], values) for name, statistic in statistics.items()}
        if all(statistic.enough(states[name]) for name, statistic in statistics.items()):
            break
    if mesh is not None and jax.process_count() > 1:
        parts = _gathered((seen, states))
        seen = sum(part[0] for part in parts)
        states = {
            name: functools.reduce(statistic.merge, [part[1][name] for part in parts])
            for name, statistic in statistics.items()
        }
    if not seen:
        raise ValueError("batches hold no examples; they must be iterable anew, so no iterator that has been used up.")
    return {name: statistic.finish(states[name]) for name, statistic in statistics.items()}


def _num_rows(batch: Mapping[str, Any]) -> int:
    leaves = jax.tree.leaves({name: value for name, value in batch.items() if name != _COUNTS})
    if not leaves or not np.ndim(leaves[0]):
        raise ValueError(f"A batch must hold arrays with a row for each example, got {list(batch)}.")
    return np.shape(leaves[0])[0]


def _spread(batch: Mapping[str, Any], mesh: jax.sharding.Mesh) -> tuple[Any, int]:
    """Returns global arrays of the parts that the processes hold, and the first row of this process."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    num = _num_rows(batch) * jax.process_count()
    if num % mesh.size:
        raise ValueError(f"{mesh.size} devices do not divide a batch of {num} rows; choose a multiple as batch size.")
    placed = jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), dict(batch))
    own = sharding.addressable_devices_indices_map((num,)).values()
    return placed, min(index[0].start or 0 for index in own if index is not None)


def _rows(name: str, counts: np.ndarray, first: int, array: Any) -> np.ndarray:
    """The rows of this process that count, on the host."""
    num = len(counts)
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        host, filled = np.empty((num, *array.shape[1:]), array.dtype), np.zeros(num, bool)
        for shard in array.addressable_shards:
            start, stop, _ = shard.index[0].indices(array.shape[0])
            low, high = max(start, first), min(stop, first + num)
            if low < high:
                own = slice(low - first, high - first)
                host[(own, *shard.index[1:])] = np.asarray(shard.data)[low - start : high - start]
                filled[own] = True
        if not filled.all():
            raise ValueError(f"{name} lies on other devices than the rows that it was made of.")
    else:
        host = np.asarray(array)
    if host.shape[:1] != (num,):
        raise ValueError(f"{name} must have one row for each of {num} examples, got shape {host.shape}.")
    return host if counts.all() else host[counts]


def _gathered(value: Any) -> list[Any]:
    """The values of all processes, in their order."""
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array([len(content)]))).ravel()
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(content)] = content
    everything = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
    return [pickle.loads(row[:length].tobytes()) for row, length in zip(everything, lengths, strict=True)]
