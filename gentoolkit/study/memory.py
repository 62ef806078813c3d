"""How much memory a program has held."""

import pathlib
import sys


def peak_memory() -> int | None:
    """Returns the most bytes of memory that the process has held, None where the system does not say."""
    # Of Linux's two counts the one that begins with this program: that of getrusage begins with its parent's memory.
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if not kibibytes:
        try:
            import resource
        except ImportError:
            return None
        unit = 1024 if sys.platform == "darwin" else 1
        kibibytes = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit]
    return 1024 * kibibytes[0]
