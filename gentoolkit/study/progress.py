"""How far a long piece of work is, and how long it will still take, in one line."""

import shutil
import sys
import time
from typing import IO


class Progress:
    """Tells of the items of a piece of work on stderr: one line, written over, on a terminal; else a line now and then.

    ::

        with Progress(len(items)) as progress:
            for item in items:
                progress.begin(item.name)
                ...
                progress.end()
    """

    def __init__(self, total: int, *, every: float = 10.0, stream: IO[str] | None = None):
        """Begins to count.

        Args:
          total: items.
          every: seconds between lines where the stream is not a terminal.
          stream: where to; stderr by default.
        """
        self._total, self._every = total, every
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._begun, self._said = time.monotonic(), -float("inf")
        self._done, self._label = 0, ""

    def __enter__(self) -> "Progress":
        """Begins."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the line on a terminal as it stands."""
        if self._terminal and self._label:
            print(file=self._stream, flush=True)

    def begin(self, label: str) -> None:
        """Says which item is being worked on."""
        self._label = label
        self._say(f"[{self._done + 1}/{self._total}] {label}{self._left()}")

    def end(self) -> None:
        """Counts an item as done."""
        self._done += 1
        if self._done == self._total:
            took = duration(time.monotonic() - self._begun)
            self._say(f"[{self._done}/{self._total}] {self._label}  all done in {took}", always=True)

    def _left(self) -> str:
        if not self._done:
            return ""
        elapsed = time.monotonic() - self._begun
        return f"  left {duration(elapsed / self._done * (self._total - self._done))}"

    def _say(self, text: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[-width:]}\x1b[K", end="", file=self._stream, flush=True)
        elif always or now - self._said >= self._every:
            print(text, file=self._stream, flush=True)
            self._said = now


def duration(seconds: float) -> str:
    """Returns seconds as a person says them: "8 s", "2 min 5 s", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
