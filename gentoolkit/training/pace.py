"""When the loop waits for the device: about once a second of its work."""

import time


class Pace:
    """How many steps are handed to the device before the loop waits for them.

    JAX takes up to 32 steps ahead of the device. Where one takes a second, half a minute of them stands in line: a
    signal to stop would be answered only after all of them, too late for most schedulers, and a line of progress would
    tell of steps that nobody has computed. So the loop waits after as many steps as a second has room for, and after
    every one where one is longer. A device idles for one dispatch then, some thousandths of it.
    """

    def __init__(self, seconds: float = 1.0):
        """Waits after the first step, to learn from the second one on how long one takes.

        Args:
          seconds: of work between two waits.
        """
        self._seconds = seconds
        self._steps, self._count = 1, 0  # steps that a second has room for, and steps since the last wait
        self._since: float | None = None  # the first step compiles: its time tells nothing

    def due(self) -> bool:
        """Called after each step is handed over; True where the loop is to wait, and then to call `waited`."""
        self._count += 1
        late = self._since is not None and time.monotonic() - self._since >= self._seconds
        return late or self._count >= self._steps

    def waited(self) -> None:
        """Called when all steps that were handed over are done."""
        now = time.monotonic()
        if self._since is not None:
            each = (now - self._since) / self._count
            # At most twice as many as before: one short span is no proof.
            self._steps = max(1, min(int(self._seconds / max(each, 1e-9)), 2 * self._steps))
        self._since, self._count = now, 0
