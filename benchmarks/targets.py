"""A suite's figures to reach, each checked against the rows of the same run."""

from collections.abc import Sequence

from benchmarks import harness, report
from benchmarks.harness import OURS, Row

Which = tuple[str, str, str]  # implementation, task, mode


class Table:
    """The measured rows, looked up by what they are."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Keeps the rows that carry a timing."""
        self._rows = report.measured(rows)

    def find(self, implementation: str, task: str, mode: str, size: harness.Size) -> Row | None:
        """Returns the row of one timing, None where it was not measured."""
        for row in self._rows:
            same = row["implementation"] == implementation and row["task"] == task and row["mode"] == mode
            if same and report.size_of(row) == size:
                return row
        return None

    def best_peer(self, task: str, mode: str, size: harness.Size, *, but: Sequence[str] = ()) -> Row | None:
        """Returns the fastest row of a task that is neither ours nor `but` these, None where there is no peer."""
        peers = [
            row
            for row in self._rows
            if row["implementation"] not in (OURS, *but)
            and (row["task"], row["mode"]) == (task, mode)
            and report.size_of(row) == size
        ]
        return min(peers, key=lambda row: row["seconds"], default=None)

    def at_least(self, target: str, slow: Which, fast: Which, factor: float, size: harness.Size) -> str:
        """Says whether `fast` is at least `factor` times faster than `slow`; each is (implementation, task, mode)."""
        slow_row, fast_row = self.find(*slow, size), self.find(*fast, size)
        if slow_row is None or fast_row is None:
            return f"{target}: not measured in this run"
        ratio = slow_row["seconds"] / fast_row["seconds"]
        times = f"{report.format_seconds(fast_row['seconds'])} against {report.format_seconds(slow_row['seconds'])}"
        return f"{target}: {ratio:.2f}× ({times}): {verdict(ratio >= factor)}"

    def at_most(self, target: str, ours: Which, peer: Which, factor: float, size: harness.Size) -> str:
        """Says whether `ours` takes at most `factor` times as long as `peer`."""
        our_row, peer_row = self.find(*ours, size), self.find(*peer, size)
        if our_row is None or peer_row is None:
            return f"{target}: not measured in this run"
        ratio = our_row["seconds"] / peer_row["seconds"]
        times = f"{report.format_seconds(our_row['seconds'])} against {report.format_seconds(peer_row['seconds'])}"
        return f"{target}: {ratio:.2f}× ({times}): {verdict(ratio <= factor)}"


def verdict(met: bool) -> str:
    """Returns how a line says whether its target is met."""
    return "met" if met else "NOT met"
