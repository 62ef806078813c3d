"""Sorting on the host through NumPy's vectorised sort, inside a compiled program and without a copy of the operand.

Used on the CPU backend only, where host and device share memory. NumPy sorts about 60 times faster than XLA does there.
The callback sees XLA's own buffers (`buffer_callback`), not JAX arrays: nothing is transferred, and nothing waits for
the runtime's threads, which is how an ordinary callback can lock up on a machine with few cores.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import buffer_callback

# Below these the hand-over to a thread, 0.1 ms or more, costs more than the work: a plain sort is eight times as fast
# as one that tells ranks.
_ELEMENTS_SORTED, _ELEMENTS_RANKED = 1 << 18, 1 << 15


def sort(y: jax.Array) -> jax.Array:
    """Sorts `[..., n]` along the last axis; NaN last."""
    (out,) = _call(_sort_rows, y, (y.dtype,))
    return out


def ranks(y: jax.Array) -> jax.Array:
    """Returns int32 ranks `[..., n]`, from 0; ties in any order, NaN last."""
    (out,) = _call(_rank_rows, y, (jnp.int32,))
    return out


def sort_with_ranks(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the sorted values and the ranks, both `[..., n]`, in one call."""
    values, rank = _call(_sort_and_rank_rows, y, (y.dtype, jnp.int32))
    return values, rank


def _call(kernel: Callable, y: jax.Array, dtypes: tuple) -> tuple[jax.Array, ...]:
    results = tuple(jax.ShapeDtypeStruct(y.shape, d) for d in dtypes)
    out = buffer_callback.buffer_callback(_on_host(kernel), results, vmap_method="broadcast_all")(y)
    # Inside shard_map the result varies over the same mesh axes as the operand; the callback's type does not say so.
    varying = jax.typeof(y).manual_axis_type.varying
    return tuple(jax.lax.pcast(o, tuple(varying), to="varying") if varying else o for o in out)


@functools.cache
def _on_host(kernel: Callable) -> Callable:
    """The same function for the same kernel: a new one would be compiled anew at every call that is not under `jit`."""

    def on_host(context, out, y):
        del context
        per_task = _ELEMENTS_SORTED if kernel is _sort_rows else _ELEMENTS_RANKED
        _by_rows(kernel, [np.asarray(a) for a in (y, *out)], per_task)

    return on_host


@functools.cache
def _cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="gentoolkit-sort")


def _by_rows(kernel: Callable, arrays: list[np.ndarray], per_task: int) -> None:
    """Runs `kernel` on blocks of rows, on all cores: NumPy lets go of the interpreter while it sorts."""
    n = arrays[0].shape[-1]
    flat = [a.reshape(-1, n) for a in arrays]
    rows = flat[0].shape[0]
    tasks = min(rows, _cores(), flat[0].size // per_task)
    if tasks <= 1:
        kernel(*flat)
        return
    # Four times as many blocks as cores, so that one slow block (another process on that core) holds up nobody.
    bounds = np.linspace(0, rows, min(rows, 4 * tasks) + 1, dtype=int)
    blocks = [[a[lo:hi] for a in flat] for lo, hi in zip(bounds[:-1], bounds[1:], strict=True)]
    list(_threads().map(lambda block: kernel(*block), blocks))


def _sort_rows(y: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, y)
    out.sort(axis=-1)


def _rank_rows(y: np.ndarray, out: np.ndarray) -> None:
    _invert(_flat_order(y), out)


def _sort_and_rank_rows(y: np.ndarray, values: np.ndarray, rank: np.ndarray) -> None:
    order = _flat_order(y)
    np.take(y.reshape(-1), order, out=values, mode="clip")
    _invert(order, rank)


def _flat_order(y: np.ndarray) -> np.ndarray:
    """Positions in the flattened block, sorted row by row."""
    order = np.argsort(y, axis=-1)
    order += y.shape[1] * np.arange(y.shape[0])[:, None]
    return order


def _invert(order: np.ndarray, out: np.ndarray) -> None:
    flat = np.empty(order.size, np.int32)
    flat[order.reshape(-1)] = np.tile(np.arange(order.shape[1], dtype=np.int32), order.shape[0])
    np.copyto(out, flat.reshape(out.shape))
