"""What every test runs under: eight simulated devices, strict promotion for kernels, repeatable properties."""

import gc
import os
import pathlib

# Before the first import of jax, which reads it once. Appended, so that a caller's own flags stay.
_DEVICES = "--xla_force_host_platform_device_count"
if _DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}=8".strip()

import hypothesis
import jax
import pytest

_TESTS = pathlib.Path(__file__).parent
_KERNELS = {"distances", "gaussianization", "information", "gaussian_process", "imaging", "objectives"}

# The same examples on every run and no deadline: the first example of a shape pays for its compilation.
hypothesis.settings.register_profile("gentoolkit", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("gentoolkit")


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
    """Frees what a file compiled: each program takes some memory mappings, and a process may hold 65,530 on Linux.

    XLA does not check that a mapping was granted: without this the suite ends in a segmentation fault.
    """
    yield
    jax.clear_caches()
    gc.collect()
