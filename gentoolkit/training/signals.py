"""SIGTERM and SIGINT as a wish to stop at the next step, instead of at once."""

import signal
import threading
from types import FrameType


class StopRequest:
    """Catches the first SIGTERM or SIGINT inside a `with` block; the second one acts as it always did.

    Outside the main thread signals cannot be caught; the block then does nothing.
    """

    def __init__(self) -> None:
        """Nothing is caught yet."""
        self.number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        """Begins to catch."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the old handlers back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
