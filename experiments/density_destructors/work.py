"""Long calls that a person waits for: compiled once and kept, watched from outside, stopped at once."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from gentoolkit.study import progress

_EVERY = 10.0


def leave_on_ctrl_c() -> None:
    """Has Ctrl-C end the process with one line and status 130.

    At once, and not by an exception: one that is raised in the middle of a library may be lost there, and the end of an
    interpreter kills a thread that is in the compiler with a core dump. Files are replaced as a whole and stay whole.
    """
    signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    # A stream that is being written at this very moment refuses ("reentrant call"): its line is lost, the exit is not.
    with contextlib.suppress(RuntimeError):
        sys.stdout.flush()
    os.write(2, b"\ninterrupted\n")
    os._exit(130)


def watched(what: str, call: Callable[[], Any]) -> Any:
    """Returns what a call returns, saying now and then on stderr how long it has been at it.

    The call runs beside the main thread, which Ctrl-C then reaches at once, also while a program is compiled.

    Args:
      what: what is being done.
      call: does it.

    Returns:
      Its result.

    Raises:
      Exception: what the call raised.
    """
    result: dict[str, Any] = {}

    def run() -> None:
        try:
            result["value"] = call()
        except BaseException as error:
            result["error"] = error

    begun = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_EVERY)
        if thread.is_alive():
            print(f"  {what}: {progress.duration(time.monotonic() - begun)} so far", file=sys.stderr, flush=True)
    if "error" in result:
        raise result["error"]
    return result["value"]
