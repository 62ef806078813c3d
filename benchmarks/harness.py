"""Times the implementations of a task against each other: same arrays, one process, turn and turn about.

At each size every implementation is prepared (compiled), called once to warm up, and then called in rounds, one
after another in a changing order, so that the noise of a shared machine falls on all alike; short calls after a pause
and some calls that are not recorded. Each gets about the same
time, not the same count: a fast one is called often, a slow one a few times, and one that is predicted to take too
long is skipped with the prediction as its row.
"""

import dataclasses
import gc
import importlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, limits, machine, schedule

OURS = "gentoolkit"
Size = dict[str, int]
Row = dict[str, Any]

# A first call longer than this many seconds counts as a timing too: what warming up adds is lost in it.
_LONG_CALL = 2.0
# Before a timing of calls shorter than the first number of seconds nothing runs for so many seconds as the second
# says: threads of OpenBLAS and OpenMP go on spinning for up to 30 ms after a neighbour's call, on the cores of whoever
# is next. Then calls are made that are not recorded, for so many seconds as the third says: the first ones after a
# pause or a neighbour took up to 1.7 times as long, on two cores, as those that follow.
_SHORT_CALL, _QUIET, _WARMING = 0.2, 50e-3, 50e-3
# A timing of calls shorter than this many seconds is the mean over several in a row, at most as many as the second
# number: single ones mostly say how soon a sleeping thread woke up.
_SHORTEST_TIMING, _MOST_IN_A_ROW = 20e-3, 100
_GIBIBYTE = 2**30


@dataclasses.dataclass(frozen=True)
class Implementation:
    """One way of computing one task.

    Attributes:
      name: who: "gentoolkit", "NumPy/SciPy", "PyTorch", ...; the same name has the same colour in every plot.
      task: what is computed: implementations of one task are compared with each other.
      backend: what runs it.
      arguments: names of the inputs, in the order of the functions' arguments; a gradient is in the first.
      build: size → {mode: function of the arrays}; modes: "value", "value_and_grad", "step". Imports belong in here.
      work: size → number proportional to the time it should take; predicts a size from the smaller ones.
      requires: modules without which it is absent.
      memory: (mode, size) → bytes it will need, if they may be many; it is skipped where they are not free.
      note: what differs from the other implementations, for the table.
      comparable: whether its numbers should equal ours.
      yardstick_for: tasks whose tables and plots also show this one, although it computes something else.
    """

    name: str
    task: str
    backend: backends.Backend
    arguments: tuple[str, ...]
    build: Callable[[Size], dict[str, Callable[..., Any]]]
    work: Callable[[Size], float]
    requires: tuple[str, ...] = ()
    memory: Callable[[str, Size], float] | None = None
    note: str = ""
    comparable: bool = True
    yardstick_for: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Case:
    """Implementations that are timed together over the same sizes.

    Attributes:
      name: for selecting and for tables.
      sizes: by growing work; every size has the same keys.
      make_inputs: size → float32 NumPy arrays by name, the same for every implementation.
      implementations: ours and the peers, of one or more tasks.
      least_work: (task, mode, size) → `limits.Work`, the counts behind the physical limit.
      formula: the counts in words, for the report.
      weight: size → its share of the time budget: about the seconds it wants on two cores, compiling included.
      call_limit: seconds that one call of a peer may be predicted to take; None for the run's own option.
      sweep: the key of a size that is on the horizontal axis of the plot.
      clock: of the timings, that on the wall if None; `time.process_time` counts the work of all threads, whoever else
        is on the machine.
    """

    name: str
    sizes: Sequence[Size]
    make_inputs: Callable[[Size], dict[str, np.ndarray]]
    implementations: Sequence[Implementation]
    least_work: Callable[[str, str, Size], limits.Work]
    formula: str
    weight: Callable[[Size], float]
    call_limit: float | None = None
    sweep: str = "n"
    clock: Callable[[], float] | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """How long and how often.

    Attributes:
      budget: seconds for all cases together; sizes are given shares of what is left, so that late ones are cut first.
        Where nothing is left only ours is timed, once, or five times if it is short.
      repeats: the most timings of one implementation at one size.
      call_limit: seconds that one call of a peer may be predicted to take.
    """

    budget: float = 900.0
    repeats: int = 15
    call_limit: float = 6.0


@dataclasses.dataclass
class _Entry:
    """An implementation in one mode at one size, while it is being timed."""

    implementation: Implementation
    mode: str
    prepared: backends.Prepared
    first_seconds: float
    peak_bytes: int | None
    fingerprint: list[float]
    clock: Callable[[], float]
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def calls_in_a_row(self) -> int:
        """Calls of one timing."""
        return self._calls_in(_SHORTEST_TIMING)

    @property
    def calls_before(self) -> int:
        """Calls that are made before a timing and not recorded."""
        return self._calls_in(_WARMING) if self.first_seconds < _SHORT_CALL else 0

    def _calls_in(self, seconds: float) -> int:
        return max(1, min(_MOST_IN_A_ROW, math.ceil(seconds / max(self.first_seconds, 1e-9))))

    @property
    def seconds_before(self) -> float:
        """How long nothing runs before a timing."""
        return _QUIET if self.first_seconds < _SHORT_CALL else 0.0

    def time_once(self) -> None:
        time.sleep(self.seconds_before)
        for _ in range(self.calls_before):
            self.prepared.call()
        start = self.clock()
        for _ in range(self.calls_in_a_row):
            self.prepared.call()
        self.seconds.append((self.clock() - start) / self.calls_in_a_row)


def run(
    cases: Sequence[Case],
    rates: limits.Rates,
    options: Options,
    emit: Callable[[Row], None],
    progress: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> None:
    """Times every case at every size.

    Args:
      cases: what to time.
      rates: this machine's, for the physical limits.
      options: how long and how often.
      emit: called with each row as soon as its size is done; also with those of a size that is interrupted.
      progress: called with a line after every size.
    """
    _load(cases)
    start = time.perf_counter()
    plan = [(case, size, case.weight(size)) for case in cases for size in case.sizes]
    predictors: dict[str, schedule.Predictor] = {}
    for position, (case, size, weight) in enumerate(plan):
        gc.collect()  # between sizes, so that it need not happen within a timing
        begun = time.perf_counter()
        left = options.budget - (begun - start)
        weight_left = sum(later[2] for later in plan[position:])
        share = max(0.0, left) * weight / weight_left
        predictor = predictors.setdefault(case.name, schedule.Predictor())
        num_timings = _run_size(case, size, rates, options, share, predictor, emit)
        elapsed = time.perf_counter() - start
        # What the past weights cost, but no more than the budget allows.
        weight_done = sum(earlier[2] for earlier in plan[: position + 1])
        remaining = min(elapsed / weight_done * (weight_left - weight), max(0.0, options.budget - elapsed))
        progress(
            f"[{position + 1:3d}/{len(plan)}] {case.name} {label(size)}: {num_timings} timings in "
            f"{time.perf_counter() - begun:.1f} s; about {duration(remaining)} left"
        )


def label(size: Size) -> str:
    """Returns "n=256 d=8"."""
    return " ".join(f"{name}={value}" for name, value in size.items())


def duration(seconds: float) -> str:
    """Returns seconds as "3 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _load(cases: Sequence[Case]) -> None:
    """Imports the peers and starts their thread pools, so that no timing or memory figure pays for it."""
    for case in cases:
        for implementation in case.implementations:
            if present(implementation):
                for module in implementation.requires:
                    importlib.import_module(module)
                backends.warm_up(implementation.backend)


def present(implementation: Implementation) -> bool:
    """Whether all that an implementation requires is installed."""
    return all(machine.installed(module) for module in implementation.requires)


def _timed(call: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    start = clock()
    result = call()
    return clock() - start, result


def _run_size(
    case: Case,
    size: Size,
    rates: limits.Rates,
    options: Options,
    share: float,
    predictor: schedule.Predictor,
    emit: Callable[[Row], None],
) -> int:
    """Times one size; returns the number of timings. Rows are emitted even when it is interrupted."""
    begun = time.perf_counter()
    host = case.make_inputs(size)
    arrays: dict[tuple[str, str], Any] = {}
    entries: list[_Entry] = []
    rejected: list[Row] = []
    try:
        for implementation in case.implementations:
            if not present(implementation):
                continue
            try:
                functions = implementation.build(size)
            except Exception as error:  # noqa: BLE001 - one that cannot be built must not end the run
                rejected.append(_rejected(case, implementation, "build", size, _failure(error)))
                continue
            for mode, function in functions.items():
                if share <= 0 and implementation.name != OURS:
                    reason: str | None = "skipped: the budget is spent"
                else:
                    reason = _why_skip(case, implementation, mode, size, options, predictor)
                if reason:
                    rejected.append(_rejected(case, implementation, mode, size, reason))
                    continue
                try:
                    entry = _prepare(implementation, mode, function, host, arrays, case.clock or time.perf_counter)
                except Exception as error:  # noqa: BLE001
                    rejected.append(_rejected(case, implementation, mode, size, _failure(error)))
                    continue
                predictor.learn(_key(implementation, mode), implementation.work(size), entry.first_seconds)
                entries.append(entry)
        left = share - (time.perf_counter() - begun)
        costs = [
            entry.seconds_before + entry.first_seconds * (entry.calls_before + entry.calls_in_a_row)
            for entry in entries
        ]
        counts = schedule.allot(costs, left, options.repeats)
        counts = [count - len(entry.seconds) for count, entry in zip(counts, entries, strict=True)]
        for due in schedule.rounds([max(0, count) for count in counts]):
            for index in due:
                entries[index].time_once()
    except KeyboardInterrupt:
        for entry in entries:  # the warm call is a timing too
            entry.seconds = entry.seconds or [entry.first_seconds]
        raise
    finally:
        rows = [_measured(case, entry, size, rates) for entry in entries if entry.seconds]
        _compare(rows)
        for row in rows + rejected:
            emit(row)
    return sum(len(entry.seconds) for entry in entries)


def _key(implementation: Implementation, mode: str) -> tuple[str, str, str]:
    return implementation.name, implementation.task, mode


def _why_skip(
    case: Case, implementation: Implementation, mode: str, size: Size, options: Options, predictor: schedule.Predictor
) -> str | None:
    """Returns why not to call it at this size, None if there is no reason. Ours is never skipped for its time."""
    needed = implementation.memory(mode, size) if implementation.memory else 0.0
    free = machine.available_memory()
    if free is not None and needed > 0.6 * free:
        return f"skipped: needs {needed / _GIBIBYTE:.1f} GiB, {free / _GIBIBYTE:.1f} GiB free"
    predicted = predictor.predict(_key(implementation, mode), implementation.work(size))
    limit = options.call_limit if case.call_limit is None else case.call_limit
    if predicted is not None and predicted > limit and implementation.name != OURS:
        return f"skipped: predicted {predicted:.0f} s"
    return None


def _prepare(
    implementation: Implementation,
    mode: str,
    function: Callable[..., Any],
    host: dict[str, np.ndarray],
    arrays: dict[tuple[str, str], Any],
    clock: Callable[[], float],
) -> _Entry:
    backend = implementation.backend
    for name in implementation.arguments:
        if (backend.name, name) not in arrays:
            arrays[backend.name, name] = backend.put(host[name])
    prepared = backend.prepare(function, [arrays[backend.name, name] for name in implementation.arguments])
    (seconds, result), peak = backend.peak(lambda: _timed(prepared.call, clock))
    entry = _Entry(implementation, mode, prepared, seconds, peak, _fingerprint(result), clock)
    if seconds > _LONG_CALL:
        entry.seconds.append(seconds)
    else:  # the warm call tells what to plan with, and its memory is free of what happens only once
        (seconds, _), peak = backend.peak(lambda: _timed(prepared.call, clock))
        entry.first_seconds, entry.peak_bytes = seconds, peak
    return entry


def _fingerprint(result: Any) -> list[float]:
    """Returns a few numbers by which two implementations' results can be told apart: one for each output."""
    numbers = []
    for output in result if isinstance(result, tuple) else (result,):
        array = np.atleast_1d(backends.to_numpy(output))
        if array.size == 1:
            numbers.append(float(array.reshape(())))
        else:  # some rows are enough, and weights tell a permutation from another
            rows = np.asarray(array.reshape(-1, array.shape[-1])[:64], np.float64)
            size = float(np.sqrt(np.mean(rows**2)))
            # A mean of entries of both signs may all but cancel; told from zero it is measured by the entries' size.
            numbers.append(size + float(np.mean(rows * np.linspace(0.5, 1.5, array.shape[-1]), dtype=np.float64)))
            numbers.append(size)
    return numbers


def _base(case: Case, implementation: Implementation, mode: str, size: Size) -> Row:
    return {
        "case": case.name,
        "task": implementation.task,
        "mode": mode,
        **size,
        "implementation": implementation.name,
        "backend": implementation.backend.name,
        "note": implementation.note,
        "comparable": implementation.comparable,
        "yardstick_for": list(implementation.yardstick_for),
    }


def _rejected(case: Case, implementation: Implementation, mode: str, size: Size, status: str) -> Row:
    return {**_base(case, implementation, mode, size), "status": status}


def _failure(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"failed: {type(error).__name__}: {text[0][:200] if text else ''}"


def _measured(case: Case, entry: _Entry, size: Size, rates: limits.Rates) -> Row:
    implementation = entry.implementation
    lower, median, upper = (float(q) for q in np.quantile(entry.seconds, [0.25, 0.5, 0.75]))
    least, resource = limits.least_seconds(case.least_work(implementation.task, entry.mode, size), rates)
    compiled = entry.prepared.compiled_bytes
    return {
        **_base(case, implementation, entry.mode, size),
        "status": "measured",
        "seconds": median,
        "seconds_min": min(entry.seconds),
        "seconds_q25": lower,
        "seconds_q75": upper,
        "repeats": len(entry.seconds),
        "compile_seconds": entry.prepared.compile_seconds,
        "compiled_bytes": compiled,
        "process_bytes": entry.peak_bytes,
        "peak_bytes": entry.peak_bytes if compiled is None else compiled,
        "peak_from": ("compiler" if compiled is not None else "process" if entry.peak_bytes is not None else None),
        "limit_seconds": least,
        "limit_from": resource,
        "times_limit": median / least if least > 0 else None,
        "fingerprint": entry.fingerprint,
    }


def _compare(rows: list[Row]) -> None:
    """Adds to each row its ratio to the best peer of the same task and mode, and how far its result is from ours."""
    for row in rows:
        same = [other for other in rows if other["task"] == row["task"] and other["mode"] == row["mode"]]
        peers = [other for other in same if other["implementation"] != OURS]
        best = min(peers, key=lambda peer: peer["seconds"], default=None)
        row["best_peer"] = best["implementation"] if best else None
        row["times_best_peer"] = row["seconds"] / best["seconds"] if best else None
        ours = next((other for other in same if other["implementation"] == OURS), None)
        row["difference_from_ours"] = None
        if ours and row["comparable"] and len(ours["fingerprint"]) == len(row["fingerprint"]):
            row["difference_from_ours"] = max(
                abs(a - b) / max(abs(a), abs(b), 1e-30)
                for a, b in zip(ours["fingerprint"], row["fingerprint"], strict=True)
            )
