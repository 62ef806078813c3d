"""What a timing was taken on: the machine, the versions, the commit, and how much memory a call took."""

import ctypes
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable
from typing import Any

import jax

_DISTRIBUTIONS = {
    "numpy": "numpy",
    "scipy": "scipy",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "torch": "torch",
    "torchvision": "torchvision",
    "pytorch_fid": "pytorch-fid",
    "lpips": "lpips",
    "ot": "POT",
    "ott": "ott-jax",
    "geomloss": "geomloss",
    "sklearn": "scikit-learn",
    "infomeasure": "infomeasure",
    "rbig": "rbig",
    "gpjax": "gpjax",
    "tinygp": "tinygp",
    "gpytorch": "gpytorch",
    "faiss": "faiss-cpu",
    "open_clip": "open_clip_torch",
    "transformers": "transformers",
}


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def versions() -> dict[str, str]:
    """Returns the version of each library that a benchmark may use, by import name; "absent" where there is none."""
    found = {}
    for module, distribution in _DISTRIBUTIONS.items():
        try:
            found[module] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[module] = "installed, version unknown" if installed(module) else "absent"
    return found


def describe() -> dict[str, Any]:
    """Returns what a reader needs to judge a timing: machine, load, devices, versions and commit."""
    device = jax.devices()[0]
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "cpu": _cpu_model(),
        "cores": num_cores(),
        "memory_bytes": _meminfo("MemTotal"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "jax_backend": device.platform,
        "jax_device": device.device_kind,
        "jax_device_count": jax.device_count(),
        "versions": versions(),
        "commit": _commit(),
    }


def num_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Returns the bytes of memory free for use on the host (Linux), None where that cannot be read."""
    return _meminfo("MemAvailable")


def host_peak(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """Calls a function and measures how far the process's resident memory rose above its start.

    The kernel's high-water mark is reset before the call (Linux, `/proc/self/clear_refs`), after what the allocator
    held back has been returned, so that memory freed by earlier calls does not hide the need of this one. Memory
    that a library keeps in its own pool across calls is not seen.

    Args:
      call: the function, without arguments.

    Returns:
      What the function returned, and the rise in bytes (None where it cannot be measured).
    """
    _trim_allocator()
    before = _reset_peak()
    result = call()
    peak = _status("VmHWM")
    return result, None if before is None or peak is None else max(0, peak - before)


def _reset_peak() -> int | None:
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _trim_allocator() -> None:
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass


def _status(field: str) -> int | None:
    return _kibibytes("/proc/self/status", field)


def _meminfo(field: str) -> int | None:
    return _kibibytes("/proc/meminfo", field)


def _kibibytes(path: str, field: str) -> int | None:
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def _cpu_model() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        here = pathlib.Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
