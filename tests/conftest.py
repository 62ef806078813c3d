"""What every test runs under: eight simulated devices, strict promotion for kernels, repeatable properties."""

import gc
import importlib.metadata
import os
import pathlib
import signal

_TESTS = pathlib.Path(__file__).parent

# Before the first import of jax, which reads them once. Appended, so that a caller's own flags stay. All passes of XLA
# run as they do for users; LLVM optimizes nothing behind them, which takes a third off the compiling that a test run
# mostly is, and loops are written without MLIR, which makes and throws away a context for each and takes two fifths of
# the rest. That code rounds another way: what is about roundings asks for the code of users (`tests.rounding`).
# A caller who names a level of optimization gets all as for users at that level, as `.ci/run` does for the fast tests.
_flags = {"--xla_force_host_platform_device_count": 8}
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    _flags["--xla_backend_optimization_level"] = 0
    if importlib.metadata.version("jaxlib").startswith("0.10."):  # 0.12 does not know the flag, and would not start
        _flags["--xla_cpu_use_fusion_emitters"] = "false"
for _flag, _value in _flags.items():
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}={_value}".strip()
# A shell that runs the tests in the background has them ignore Ctrl-C, and so the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Programs that took a while to compile are kept for the next run of the tests on this machine.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_TESTS.parent / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import hypothesis
import jax
import pytest

_MAPPINGS = pathlib.Path("/proc/self/maps")
_KERNELS = {"distances", "gaussianization", "information", "gaussian_process", "imaging", "objectives"}

# The same examples on every run and no deadline: the first example of a shape pays for its compilation.
hypothesis.settings.register_profile("gentoolkit", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("gentoolkit")


def pytest_collection_finish():
    """What was imported stays: the collector of garbage need not look at it again while jax traces."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def x64():
    """Switches 64-bit types on for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def strict(request):
    """In the tests of kernels, no silent change of dtype or rank (optimizers and Flax do not run under it)."""
    parts = request.path.relative_to(_TESTS).parts
    if parts[0] not in _KERNELS:
        yield
        return
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="module", autouse=True)
def forget():
    """Frees what files compiled: each program takes some memory mappings, and a process may hold 65,530 on Linux.

    XLA does not check that a mapping was granted: without this the suite ends in a segmentation fault. As long as a
    third of them is held at most, the next file finds the small programs of the last ones.
    """
    yield
    if not _MAPPINGS.exists() or _MAPPINGS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()
