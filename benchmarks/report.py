"""Writes a suite's results: JSON lines as they come, and a Markdown page of tables at the end."""

import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import harness, limits
from benchmarks.harness import OURS, Row

RESULTS = "results.jsonl"
TABLES = "results.md"
MODES = {"value": "value", "value_and_grad": "value and gradient", "step": "one training step"}
_NOT_SIZES = {"case", "task", "mode", "implementation", "backend", "note", "comparable", "yardstick_for", "status"}
# Results of two implementations that differ by more than this are listed.
_DISAGREEMENT = 1e-3


class Writer:
    """Appends records to a JSON-lines file, each on the disk before the next timing starts.

    A file that is already there is kept under the name `results.previous.jsonl`.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Opens `results.jsonl` in a folder, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / RESULTS
        if path.exists():
            path.replace(path.with_suffix(".previous.jsonl"))
        self._file = path.open("a")

    def write(self, kind: str, record: dict[str, Any]) -> None:
        """Appends one record, with its kind ("header", "row" or "figure") as its first field."""
        self._file.write(json.dumps({"kind": kind, **record}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def size_of(row: Row) -> harness.Size:
    """Returns the size part of a row."""
    names = list(row)
    last = names.index("implementation")
    return {name: row[name] for name in names[:last] if name not in _NOT_SIZES}


def measured(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows that carry a timing."""
    return [row for row in rows if row["status"] == "measured"]


def format_seconds(seconds: float | None) -> str:
    """Returns "12.3 ms"."""
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:.0f} {unit}"
    raise AssertionError


def format_bytes(count: float | None) -> str:
    """Returns "12.3 MiB"."""
    if count is None:
        return "not measured"
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}" if count < 1000 * factor else f"{count / factor:.0f} {unit}"
    return f"{count / 2**10:.3g} KiB"


def markdown(header: dict[str, Any], cases: Sequence[harness.Case], rows: list[Row], figures: Sequence[str]) -> str:
    """Returns the whole page: the machine, the targets, ours beside the best peer, and every timing.

    Args:
      header: the record that the run began with.
      cases: in the order of the page.
      rows: of the run.
      figures: lines on the targets.
    """
    parts = [f"# Benchmark suite `{header['suite']}`", _preamble(header)]
    if figures:
        parts += ["## Figures", "\n".join(f"- {line}" for line in figures)]
    parts += ["## Ours", _legend(), _ours_table(rows), "## Every implementation"]
    for case in cases:
        mine = [row for row in rows if row["case"] == case.name]
        if mine:
            parts += [f"### {case.name}", f"Least work: {case.formula}", *_matrices(mine)]
    notes = _notes(rows)
    if notes:
        parts += ["## Notes", notes]
    return "\n\n".join(parts) + "\n"


def rates_text(rates: limits.Rates) -> str:
    """Returns the measured rates in one line."""
    bandwidth = ", ".join(f"{rate / 1e9:.1f} GB/s at {format_bytes(size)}" for size, rate in rates.bandwidth)
    return (
        f"copying {bandwidth}; matrix product {rates.flops / 1e9:.0f} Gflop/s; "
        f"minima {rates.comparisons / 1e9:.1f} G/s; exp {rates.exponentials / 1e9:.2f} G/s (float32)"
    )


def machine_text(description: dict[str, Any]) -> str:
    """Returns the machine, device and commit in one line."""
    load = description["load_average"]
    return (
        f"{description['cpu']}, {description['cores']} cores, {format_bytes(description['memory_bytes'])}; "
        f"JAX on {description['jax_backend']} ({description['jax_device']}); Python {description['python']}; "
        f"commit {description['commit']}; {description['time']}"
        + (f"; load average at the start {load[0]:.2f}" if load else "")
    )


def _preamble(header: dict[str, Any]) -> str:
    description = header["machine"]
    versions = description["versions"]
    present = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "absent")
    absent = ", ".join(name for name, version in versions.items() if version == "absent")
    return "\n".join(
        [
            f"- Command: `{header['command']}`",
            f"- Machine: {machine_text(description)}",
            f"- Libraries: {present}; absent: {absent or 'none'}",
            f"- Measured rates: {header['rates_text']}",
        ]
    )


def _legend() -> str:
    return (
        "Time: median of the repeats [fastest; interquartile range], a repeat of calls below 20 ms being the mean of "
        "several in a row. Against peer: our time over the best peer's, below 1 is faster. Compile: tracing, lowering "
        "and compiling. Memory: temporary and output bytes as the compiler counts them / rise of the process's "
        "resident memory during a call. Limit: our time over the least time that the task's bytes or operations take "
        "at the measured rates, and which of them sets it."
    )


def _ours_table(rows: list[Row]) -> str:
    lines = [
        "| task | mode | size | time | repeats | best peer | against peer | compile | memory | limit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    ours = [row for row in rows if row["implementation"] == OURS]
    order = {task: position for position, task in enumerate(dict.fromkeys(row["task"] for row in ours))}
    for row in sorted(ours, key=lambda row: (order[row["task"]], row["mode"])):
        start = f"| {row['task']} | {MODES.get(row['mode'], row['mode'])} | {harness.label(size_of(row))} |"
        if row["status"] != "measured":
            lines.append(f"{start} {row['status']} | | | | | | |")
            continue
        peer = "none"
        if row["best_peer"]:
            peer = f"{row['best_peer']} {format_seconds(row['seconds'] / row['times_best_peer'])}"
        ratio = f"{row['times_best_peer']:.2g}×" if row["times_best_peer"] else "-"
        spread = format_seconds(row["seconds_q75"] - row["seconds_q25"])
        time = f"{format_seconds(row['seconds'])} [{format_seconds(row['seconds_min'])}; {spread}]"
        memory = f"{format_bytes(row['compiled_bytes'])} / {format_bytes(row['process_bytes'])}"
        limit = f"{row['times_limit']:.3g}× the limit ({row['limit_from']})" if row["times_limit"] else "-"
        lines.append(
            f"{start} {time} | {row['repeats']} | {peer} | {ratio} | {format_seconds(row['compile_seconds'])} | "
            f"{memory} | {limit} |"
        )
    return "\n".join(lines)


def _matrices(rows: list[Row]) -> list[str]:
    """Returns one table for each task and mode: sizes down, implementations across."""
    parts = []
    tasks = dict.fromkeys((row["task"], row["mode"]) for row in rows if row["mode"] in MODES)
    for task, mode in tasks:
        columns: dict[str, dict[str, Row]] = {}
        for row in rows:
            own, yardstick = row["task"] == task, task in row["yardstick_for"]
            if row["mode"] in (mode, "build") and (own or yardstick):
                name = row["implementation"] + ("" if own else "\\*")
                columns.setdefault(name, {})[harness.label(size_of(row))] = row
        columns = {name: columns[name] for name in sorted(columns, key=lambda name: name != OURS)}
        sizes = dict.fromkeys(size for column in columns.values() for size in column)
        lines = [
            f"| {task}, {MODES[mode]} | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for size in sizes:
            cells = [_cell(column.get(size)) for column in columns.values()]
            lines.append(f"| {size} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return parts


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    if row["status"] != "measured":
        return row["status"].split(": ", 1)[1] if row["status"].startswith("skipped") else "failed"
    return f"{format_seconds(row['seconds'])}, {format_bytes(row['peak_bytes'])}"


def _notes(rows: list[Row]) -> str:
    """Returns what a reader must know of single rows: what differs, what failed, what disagrees."""
    notes = dict.fromkeys(f"{row['implementation']}, {row['task']}: {row['note']}" for row in rows if row["note"])
    notes.update(
        dict.fromkeys(
            f"{row['implementation']}, {row['task']}, {row['mode']}, {harness.label(size_of(row))}: {row['status']}"
            for row in rows
            if row["status"].startswith("failed")
        )
    )
    for row in measured(rows):
        difference = row["difference_from_ours"]
        if difference is not None and not difference <= _DISAGREEMENT:
            notes[
                f"{row['implementation']}, {row['task']}, {row['mode']}, {harness.label(size_of(row))}: "
                f"its result differs from ours by {difference:.1e} (relative)"
            ] = None
    for row in rows:
        if row["yardstick_for"]:
            others = ", ".join(row["yardstick_for"])
            notes[f"{row['implementation']}\\* in the tables of {others}: its {row['task']}, as a yardstick"] = None
    notes["Memory here: the compiler's count for JAX, the rise of the process's resident memory for others."] = None
    return "\n".join(f"- {note}" for note in notes)
