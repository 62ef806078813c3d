"""What a process whose devices are CPUs needs to be fast. Elsewhere, and where a library does not know it, nothing."""

import ctypes
import functools
import os
import sys

import jax

# XLA hands convolutions of some 16 to 96 channels to fusions of YNNPACK, which run on one thread; Eigen takes all
# cores. The CIFAR-10 auto-encoder's step takes a third less time without them.
_NO_FUSIONS = ("xla_cpu_experimental_ynn_fusion_type", "")

# glibc's mallopt: parameters of malloc.h, and the sizes above which memory is mapped anew for each block, and given
# back once it is free at the top.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_MAPPED_ABOVE, _TRIMMED_ABOVE = 2**30, 2**31 - 1


def compiler_options(platform: str) -> dict[str, str]:
    """Options for `jax.jit(..., compiler_options=...)` on a platform; what stands in XLA_FLAGS has precedence."""
    name, value = _NO_FUSIONS
    if platform != "cpu" or name in os.environ.get("XLA_FLAGS", "") or not _knows(name, value):
        return {}
    return {name: value}


@functools.cache
def _knows(name: str, value: str) -> bool:
    """Whether this jaxlib has the option: it says so only by refusing to compile."""
    try:
        cpu = jax.local_devices(backend="cpu")[0]
        with jax.default_device(cpu):
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except Exception:  # Whatever it is, the program is as right without the option.
        return False
    return True


@functools.cache
def keep_memory(platform: str) -> bool:
    """Lets the process keep large blocks of memory that it has freed, instead of mapping them anew at every step.

    XLA allocates its temporary memory at every call. Above 32 MiB glibc maps and unmaps it each time, and a page fault
    for each 4 KiB takes up to half of the time of a step. The process keeps its largest block. Environment variables
    that set the same things have precedence.

    Returns:
      Whether it was done: on Linux with glibc, for CPUs.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    chosen = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys()
    if platform != "cpu" or sys.platform != "linux" or chosen or "malloc.mmap" in tunables or "malloc.trim" in tunables:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 (other C libraries have a mallopt that does nothing)
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_ABOVE)) and bool(mallopt(_M_TRIM_THRESHOLD, _TRIMMED_ABOVE))
