"""What long work on files says meanwhile."""

import sys
import time


class Progress:
    """A line on stderr with the rate and the time left: rewritten on a terminal, every ten seconds elsewhere."""

    def __init__(self, what: str, total: int):
        self._what, self._total = what, total
        self._terminal = sys.stderr.isatty()
        self._start = self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Says how far it is, unless it has just said so."""
        now = time.monotonic()
        finished = done == self._total
        if not finished and now - self._last < (0.5 if self._terminal else 10.0):
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        left = "done" if finished else f"{(self._total - done) / rate:.0f} s left"
        line = f"{self._what}: {done}/{self._total} images, {rate:.0f}/s, {left}"
        if self._terminal:
            print(f"\r{line:<79}", end="\n" if finished else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
