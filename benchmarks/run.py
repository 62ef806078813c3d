"""Runs a benchmark suite: `python -m benchmarks.run distances`.

Every case runs ours and each installed peer in this one process, on the same arrays, on JAX's default device (peers in
PyTorch on cuda where JAX has a GPU). Written into --output: `results.jsonl` (as the timings come), `results.md` and
`results.png`. A run that is interrupted writes what it has. Missed targets do not fail the run.
"""

import dataclasses
import difflib
import os
import pathlib
import shlex
import signal
import sys

import jax
from absl import app, flags, logging

from benchmarks import (
    clip_suite,
    distances_suite,
    gaussian_process_suite,
    gaussianization_suite,
    harness,
    image_metrics_suite,
    information_suite,
    limits,
    machine,
    plot,
    report,
    text_to_image_suite,
    training_suite,
    translation_suite,
)

# The command's list of suites; a suite is a module with `cases` and `figures`.
SUITES = {
    "clip": clip_suite,
    "distances": distances_suite,
    "gaussian_process": gaussian_process_suite,
    "gaussianization": gaussianization_suite,
    "image_metrics": image_metrics_suite,
    "information": information_suite,
    "text_to_image": text_to_image_suite,
    "training": training_suite,
    "translation": translation_suite,
}

_QUICK = flags.DEFINE_bool("quick", False, "Small sizes and few repeats: a smoke test, under half a minute.")
_REPEATS = flags.DEFINE_integer("repeats", 15, "The most timings of one implementation at one size.", lower_bound=1)
_BUDGET = flags.DEFINE_float("budget", 900.0, "Seconds for all timings together.", lower_bound=1.0)
_CALL_LIMIT = flags.DEFINE_float("call_limit", 6.0, "Skip a peer where one call is predicted to take more seconds.")
_ONLY = flags.DEFINE_list("only", [], "Cases to run, by name or beginning of a name; all if empty.")
_SIZES = flags.DEFINE_list("sizes", [], "Only sizes with these values, as in n=1000,n=10000,d=2; all if empty.")
_CORES = flags.DEFINE_integer("cores", None, "Run on so many cores alone (Linux); all if not given.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results; runs/bench/<suite> if not given.")

_INTERRUPTED = 130


def select(cases: list[harness.Case], only: list[str]) -> list[harness.Case]:
    """Returns the cases whose names begin with one of the given words, all for no words.

    Raises:
      app.UsageError: a word that no case begins with.
    """
    names = [case.name for case in cases]
    for word in only:
        if not any(name.startswith(word) for name in names):
            near = difflib.get_close_matches(word, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise app.UsageError(f"--only: no case {word!r}{hint} The cases are {', '.join(names)}.")
    return [case for case in cases if not only or any(case.name.startswith(word) for word in only)]


def restrict(cases: list[harness.Case], values: list[str]) -> list[harness.Case]:
    """Returns the cases with those of their sizes that have one of the values given for each name; all for no values.

    Raises:
      app.UsageError: a value that is not a whole number with a name, a name of no size, or no size that is left.
    """
    wanted: dict[str, set[int]] = {}
    for word in values:
        name, _, value = word.partition("=")
        if not value.isdecimal():
            raise app.UsageError(f"--sizes: {word!r} is not a name and a whole number, as in n=1000.")
        wanted.setdefault(name, set()).add(int(value))
    known = {name for case in cases for size in case.sizes for name in size}
    for name in wanted.keys() - known:
        raise app.UsageError(f"--sizes: no size has {name!r}; they have {', '.join(sorted(known))}.")
    kept = [
        dataclasses.replace(
            case, sizes=[size for size in case.sizes if all(size.get(name) in some for name, some in wanted.items())]
        )
        for case in cases
    ]
    kept = [case for case in kept if case.sizes]
    if not kept:
        raise app.UsageError(f"--sizes: no size has {', '.join(values)}.")
    return kept


def _suite(arguments: list[str]) -> str:
    if len(arguments) != 1:
        raise app.UsageError(f"name one suite of {', '.join(SUITES)}, got {len(arguments)}.")
    if arguments[0] not in SUITES:
        near = difflib.get_close_matches(arguments[0], SUITES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise app.UsageError(f"no suite {arguments[0]!r}{hint} The suites are {', '.join(SUITES)}.")
    return arguments[0]


def main(argv: list[str]) -> int:
    """Runs the suite named on the command line and returns the exit status."""
    name = _suite(argv[1:])
    cases = restrict(select(SUITES[name].cases(quick=_QUICK.value), _ONLY.value), _SIZES.value)
    folder = pathlib.Path(_OUTPUT.value or pathlib.Path("runs") / "bench" / name)
    # Both before jax and its peers start threads, which keep the cores and the memory they find.
    if _CORES.value is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-_CORES.value :])
    if begin := getattr(SUITES[name], "begin", None):
        begin()
    # A program read from a cache would make the compile times a fiction.
    jax.config.update("jax_enable_compilation_cache", False)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    writer = report.Writer(folder)
    rows: list[harness.Row] = []
    header: dict = {}
    status = 0

    def emit(row: harness.Row) -> None:
        rows.append(row)
        writer.write("row", row)

    figures: list[str] = []
    try:
        description = machine.describe()
        print(report.machine_text(description), flush=True)
        absent = [peer for peer, version in description["versions"].items() if version == "absent"]
        print(f"Absent peers: {', '.join(absent) or 'none'}", flush=True)
        rates = limits.measure(quick=_QUICK.value)
        print(f"Measured rates: {report.rates_text(rates)}", flush=True)
        header = {
            "suite": name,
            "command": " ".join(["python -m benchmarks.run", *map(shlex.quote, sys.argv[1:])]),
            "machine": description,
            "rates": dataclasses.asdict(rates),
            "rates_text": report.rates_text(rates),
        }
        writer.write("header", header)
        options = harness.Options(
            budget=30.0 if _QUICK.value else _BUDGET.value,
            repeats=min(2, _REPEATS.value) if _QUICK.value else _REPEATS.value,
            call_limit=_CALL_LIMIT.value,
        )
        harness.run(cases, rates, options, emit)
        figures = SUITES[name].figures(rows, quick=_QUICK.value)
    except KeyboardInterrupt:
        status = _INTERRUPTED
        print("\nInterrupted: writing what was measured.", file=sys.stderr, flush=True)
    for line in figures:
        writer.write("figure", {"text": line})
    writer.close()
    if header:
        (folder / report.TABLES).write_text(report.markdown(header, cases, rows, figures))
        plot.draw(folder / plot.PLOT, header, cases, rows)
    if figures:
        print("\nFigures to reach, by this run:")
        print("\n".join(f"- {line}" for line in figures))
    files = [name for name in (report.RESULTS, report.TABLES, plot.PLOT) if (folder / name).exists()]
    print(f"\n{len(report.measured(rows))} timings in {folder}: {', '.join(files)}", flush=True)
    if status == _INTERRUPTED:
        # All is written. A library may still be inside the call that was interrupted, and tidying up under it crashes.
        os._exit(status)
    return status


def _start_again_where_threads_sleep() -> None:
    """Starts the process anew with idle threads of OpenBLAS asleep, unless the caller has said how they should be.

    By its own default they spin for a while, on the cores where the next implementation is timed. OpenBLAS looks only
    when NumPy loads it, hence the new start.
    """
    variable = "OPENBLAS_THREAD_TIMEOUT"
    if variable not in os.environ:
        print(f"Idle threads of OpenBLAS sleep at once ({variable}=4).", flush=True)
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.run", *sys.argv[1:]], {**os.environ, variable: "4"}
        )


if __name__ == "__main__":
    # Of this suite alone, whose calls are the shortest: ours in `gaussian_process` has threads of OpenBLAS work for it
    # many times over, and waking them each time takes it five times as long.
    if "gaussianization" in sys.argv[1:]:
        _start_again_where_threads_sleep()
    app.run(main)
