"""How a function is prepared and called in JAX, NumPy and PyTorch, so that a timing covers the whole of the work."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from gentoolkit.training import cpu

Function = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A call that is ready to be timed.

    Attributes:
      call: runs the work to its end (waiting for the device) and returns the result.
      compile_seconds: tracing, lowering and compiling; None where there is no compiler.
      compiled_bytes: temporary and output bytes of the compiled program, None where it does not say.
    """

    call: Callable[[], Any]
    compile_seconds: float | None = None
    compiled_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Backend:
    """One way of running a function on arrays.

    Attributes:
      name: for tables.
      put: NumPy array → the backend's array, on its default device.
      prepare: (function, arrays) → `Prepared`.
      peak: call → (result, peak bytes above the start or None); the memory of the device that does the work.
    """

    name: str
    put: Callable[[np.ndarray], Any]
    prepare: Callable[[Function, list[Any]], Prepared]
    peak: Callable[[Callable[[], Any]], tuple[Any, int | None]]


def _prepare_jax(
    function: Function, arrays: list[Any], *, in_turn: bool = False, as_training: bool = False
) -> Prepared:
    calls = _calls(arrays, in_turn)
    options = cpu.compiler_options(jax.default_backend()) if as_training else {}
    start = time.perf_counter()
    compiled = jax.jit(function, compiler_options=options).lower(*next(calls)).compile()
    compile_seconds = time.perf_counter() - start
    stats = compiled.memory_analysis()
    compiled_bytes = None if stats is None else stats.temp_size_in_bytes + stats.output_size_in_bytes
    return Prepared(lambda: jax.block_until_ready(compiled(*next(calls))), compile_seconds, compiled_bytes)


def _calls(arrays: list[Any], in_turn: bool) -> Iterator[list[Any]]:
    """The arguments of one call after another; `in_turn` each gets the next entry of the last array."""
    if not in_turn:
        return itertools.repeat(arrays)
    *same, several = arrays
    return itertools.cycle([[*same, one] for one in several])


def _jax_peak(call: Callable[[], Any]) -> tuple[Any, int | None]:
    # An accelerator's allocator keeps its high-water mark for the whole process; there only the compiler's own
    # account (`compiled_bytes`) speaks of one call.
    return machine.host_peak(call) if jax.default_backend() == "cpu" else (call(), None)


def _prepare_step(function: Function, arrays: list[Any]) -> Prepared:
    """A training step keeps its state and compiles itself when it is first called, with the batch on the host."""
    start = time.perf_counter()
    function(*arrays)
    return Prepared(lambda: function(*arrays), time.perf_counter() - start)


def _prepare_plain(function: Function, arrays: list[Any], *, in_turn: bool = False) -> Prepared:
    calls = _calls(arrays, in_turn)
    return Prepared(lambda: function(*next(calls)))


def torch_device() -> str:
    """Returns the device PyTorch peers run on: cuda where JAX itself runs on a GPU and torch has one, else cpu."""
    import torch

    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def _put_torch(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(array, device=torch_device())


def _prepare_torch(function: Function, arrays: list[Any]) -> Prepared:
    if torch_device() == "cpu":
        return _prepare_plain(function, arrays)
    import torch

    def call() -> Any:
        result = function(*arrays)
        torch.cuda.synchronize()
        return result

    return Prepared(call)


def _torch_peak(call: Callable[[], Any]) -> tuple[Any, int | None]:
    if torch_device() == "cpu":
        return machine.host_peak(call)
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = call()
    return result, torch.cuda.max_memory_allocated() - before


JAX = Backend("jax", jax.device_put, _prepare_jax, _jax_peak)
# With the options of the step of `gentoolkit.training`.
JAX_AS_TRAINING = dataclasses.replace(JAX, prepare=functools.partial(_prepare_jax, as_training=True))
JAX_STEP = Backend("jax step", np.asarray, _prepare_step, _jax_peak)
NUMPY = Backend("numpy", np.asarray, _prepare_plain, machine.host_peak)
# For work that is luck in part, such as the steps of a k-means: each call takes the next entry of the last argument.
JAX_IN_TURN = dataclasses.replace(JAX, prepare=functools.partial(_prepare_jax, in_turn=True))
NUMPY_IN_TURN = dataclasses.replace(NUMPY, prepare=functools.partial(_prepare_plain, in_turn=True))
TORCH = Backend("torch", _put_torch, _prepare_torch, _torch_peak)
TORCH_STEP = Backend("torch step", np.asarray, _prepare_torch, _torch_peak)


def clock_of_work() -> float:
    """The work of all threads, whoever else is on the machine; where an accelerator works, the time on the wall."""
    # Asked when it is read: to name the backend would start it, before the cores are chosen.
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def jax_modes(function: Function) -> dict[str, Function]:
    """Returns a scalar loss, and the loss with its gradient in the first argument, for JAX."""
    return {"value": function, "value_and_grad": jax.value_and_grad(function)}


def torch_modes(function: Function) -> dict[str, Function]:
    """Returns a scalar loss, and the loss with its gradient in the first argument, for PyTorch."""
    import torch

    def value(*arrays: Any) -> Any:
        with torch.no_grad():
            return function(*arrays)

    def value_and_grad(first: Any, *others: Any) -> tuple[Any, Any]:
        first = first.detach().requires_grad_(True)
        loss = function(first, *others)
        (gradient,) = torch.autograd.grad(loss, first)
        return loss.detach(), gradient

    return {"value": value, "value_and_grad": value_and_grad}


@functools.cache
def warm_up(backend: Backend) -> None:
    """Starts a backend's thread pools and lazy imports, so that no timing or memory figure pays for them."""
    ones = np.ones((256, 256), np.float32)
    if backend in (TORCH, TORCH_STEP):
        torch_modes(lambda x: (x @ x).sum())["value_and_grad"](TORCH.put(ones))
    else:
        backend.prepare(lambda x: (x @ x).sum(), [backend.put(ones)]).call()


def to_numpy(array: Any) -> np.ndarray:
    """Returns any backend's array (or a number) on the host as NumPy."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.asarray(array)
