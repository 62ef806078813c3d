"""What a process whose devices are CPUs needs to be fast. Elsewhere, and where a library does not know it, nothing."""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import sys

import jax

# XLA hands convolutions of some 16 to 96 channels to fusions of YNNPACK, which run on one thread; Eigen takes all
# cores. The CIFAR-10 auto-encoder's step takes a third less time without them.
_NO_FUSIONS = ("xla_cpu_experimental_ynn_fusion_type", "")
_NO_LLVM = ("xla_backend_optimization_level", 0)

# glibc's mallopt, by the numbers of malloc.h: blocks above 1 GiB only are mapped anew each time; free memory at the top
# is given back above 2 GiB only; all threads share the first arena, since others cannot hold blocks above 64 MiB.
_SETTINGS = {-3: 2**30, -1: 2**31 - 1, -8: 1}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def compiler_options(platform: str) -> dict[str, str | int]:
    """Options for `jax.jit(..., compiler_options=...)` on a platform; what stands in XLA_FLAGS has precedence."""
    return _option(platform, *_NO_FUSIONS)


def once_options(platform: str) -> dict[str, str | int]:
    """Options for a program that runs once, such as the one that makes initial weights: quick to compile, not to run.

    Each draw of weights is a kernel of its own, and LLVM took most of the time: 27 s of CPU for the 90 of a small image
    translator, 6 s without. The weights differ in their last bit. A draw takes 0.1 microseconds a number longer.
    """
    return _option(platform, *_NO_LLVM)


def _option(platform: str, name: str, value: str | int) -> dict[str, str | int]:
    if platform != "cpu" or name in os.environ.get("XLA_FLAGS", "") or not _knows(name, value):
        return {}
    return {name: value}


@functools.cache
def _knows(name: str, value: str | int) -> bool:
    """Whether this jaxlib has the option: it says so only by refusing to compile."""
    try:
        cpu = jax.local_devices(backend="cpu")[0]
        with jax.default_device(cpu):
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except Exception:  # Whatever it is, the program is as right without the option.
        return False
    return True


def expected_platform() -> str:
    """The platform that jax will choose, as far as can be told without starting it; "unknown" where a plugin might."""
    if asked := _asked_for():
        return asked.split(",")[0]
    named = importlib.metadata.entry_points(group="jax_plugins")
    found = [name for name in ("jax_plugins", "libtpu") if importlib.util.find_spec(name)]
    return "unknown" if named or found else "cpu"


def _asked_for() -> str | None:
    """What JAX_PLATFORMS or the program says."""
    return getattr(jax.config, "jax_platforms", None)


@functools.cache
def keep_memory(platform: str) -> bool:
    """Lets the process keep large blocks of memory that it has freed, instead of mapping them anew at every step.

    XLA allocates its temporary memory at every call. Above 32 MiB glibc maps and unmaps it each time, and a page fault
    for each 4 KiB takes a good part of the time of a step. The process keeps what its largest step took. Environment
    variables that set something of glibc's malloc have precedence. It must come before jax starts its threads, or these
    keep the arenas they have (`make_mesh` sees to it), in which blocks above 64 MiB are still mapped anew.

    Args:
      platform: nothing is done but for "cpu".

    Returns:
      Whether it was done: on Linux with glibc, for CPUs.
    """
    chosen = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    if platform != "cpu" or sys.platform != "linux" or any("malloc" in setting.lower() for setting in chosen):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (other C libraries have a mallopt that does nothing)
        mallopt = library.mallopt
    except (AttributeError, OSError):
        return False
    return all([bool(mallopt(name, value)) for name, value in _SETTINGS.items()])
