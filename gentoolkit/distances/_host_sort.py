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

# Elements whose sort with ranks, 28 bytes each, stays in a core's cache.
_ELEMENTS_IN_CACHE = 1 << 15
# Places that fit into less than half of what separates two float32 when they are float64, and a power of two which is
# nothing beside any float32 but 0.
_MOST_COLUMNS, _BELOW_FLOAT32 = 1 << 28, 2.0**-1000


def sort(y: jax.Array) -> jax.Array:
    """Sorts `[..., n]` along the last axis; NaN last."""
    (out,) = _call(_sort_rows, y, (y.dtype,))
    return out


def ranks(y: jax.Array) -> jax.Array:
    """Returns int32 ranks `[..., n]`, from 0; ties by their place, NaN last."""
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


def _rank_rows(y: np.ndarray, rank: np.ndarray) -> None:
    _sort_and_rank_rows(y, None, rank)


def _sort_and_rank_rows(y: np.ndarray, values: np.ndarray | None, rank: np.ndarray) -> None:
    """Writes the sorted rows, if they are asked for, and the ranks; some rows at a time, which stay in the cache."""
    num, n = y.shape
    rows = min(num, max(1, _ELEMENTS_IN_CACHE // n))
    places = np.tile(np.arange(n, dtype=np.int32), rows)
    starts = n * np.arange(rows)[:, None]
    for first in range(0, num, rows):
        some = slice(first, first + rows)
        order = _sort_with_order(y[some], None if values is None else values[some])
        order += starts[: order.shape[0]]
        rank[some].reshape(-1)[order.reshape(-1)] = places[: order.size]


def _sort_with_order(y: np.ndarray, values: np.ndarray | None) -> np.ndarray:
    """Writes the sorted rows, if they are asked for, and returns where each entry was; equal ones by their place."""
    if y.dtype != np.float32 or y.shape[1] > _MOST_COLUMNS or not np.isfinite(y).all():
        order = np.argsort(y, axis=-1, kind="stable")
        if values is not None:
            np.copyto(values, np.take_along_axis(y, order, axis=-1))
        return order
    # The bits that a float64 has to spare hold the place, and one plain sort takes both along: a third of the time of
    # `argsort`. 0 has none to spare (a number of these bits alone is subnormal, and may count as 0), hence the addend,
    # which is lost in every other number.
    keys = np.add(y, _BELOW_FLOAT32, dtype=np.float64)
    bits = keys.view(np.int64)
    bits |= _turned(np.arange(y.shape[1]), bits)
    keys.sort(axis=-1)
    if values is not None:
        np.copyto(values, keys, casting="same_kind")
    return _turned(bits, bits)


def _turned(places: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The last bits of places, complemented where `bits` are of a negative number: more of them make it smaller."""
    turned = bits >> 63
    turned ^= places
    turned &= _MOST_COLUMNS - 1
    return turned
