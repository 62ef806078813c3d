"""Sorting along the last axis: fast on every backend, any length, with its own derivative."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import _host_sort, _sorting_network

Method = Literal["host", "network", "xla"]

# Up to here a call to the host costs more than it saves: a hand-over of some 50 microseconds, a slower dispatch of the
# whole compiled function, and no place in a persistent compilation cache.
_NETWORK_ELEMENTS = 1 << 14
_NETWORK_LENGTH = 1 << 8


def sort(y: jax.Array, *, method: Method | None = None) -> jax.Array:
    """Sorts along the last axis, ascending, NaN last.

    XLA's own sort is 10 to 100 times slower than NumPy's on the CPU backend. There, small problems go through a sorting
    network and large ones through NumPy's vectorised sort; other backends use XLA's sort, which is fast on them. The
    derivative is a gather by ranks: no second sort and no scatter. Reverse mode only; for second derivatives use
    `jax.jacrev` twice.

    Args:
      y: `[..., n]` real array, n >= 1. Integers and bfloat16 are sorted, exactly where float32 holds them, as float32.
      method: static. `None` chooses by backend and size. `"host"`: NumPy inside the compiled program, CPU backend only;
        that program cannot be exported or kept in a persistent compilation cache, and under `jit` over several devices
        every device sorts every row (inside `shard_map`, its own). `"network"`: pure XLA, any backend. `"xla"`:
        `lax.sort`.

    Returns:
      `[..., n]`, float32 or float64. Ties share the gradient of any one order among them (a valid subgradient).

    Raises:
      ValueError: `y` is a scalar or empty along the last axis, or `method` is unknown.
      TypeError: `y` is not real.

    References:
      Batcher, Sorting networks and their applications, AFIPS 1968 (the network).
    """
    (y,) = _prepare(y, method)
    return _sort(y, method)


def ranks(y: jax.Array, *, method: Method | None = None) -> jax.Array:
    """Returns the rank, from 0, of each entry along the last axis.

    Ranks undo the sort: `take_along_axis(sort(y), ranks(y), -1)` is `y`. They carry no gradient.

    Args:
      y: `[..., n]` real array, n >= 1.
      method: static, as for `sort`.

    Returns:
      `[..., n]` int32, a permutation of 0 ... n - 1 in every row: tied entries get neighbouring ranks in any order; NaN
      ranks last.

    Raises:
      ValueError: `y` is a scalar or empty along the last axis, or `method` is unknown.
      TypeError: `y` is not real.
    """
    (y,) = _prepare(y, method)
    return _dispatch(
        lax.stop_gradient(y),
        method,
        _host_sort.ranks,
        lambda v: _sorting_network.sort_with_ranks(v)[1],
        lambda v: _xla_sort_with_ranks(v)[1],
    )


def _prepare(y: jax.Array, method: Method | None) -> list[jax.Array]:
    check_univariate(y=y)
    if method not in (None, "host", "network", "xla"):
        raise ValueError(f'method must be None, "host", "network" or "xla", got {method!r}.')
    return as_floating(y=y)


def _dispatch(y: jax.Array, method: Method | None, host: Callable, network: Callable, xla: Callable):
    if method is None:
        small = y.size <= _NETWORK_ELEMENTS and y.shape[-1] <= _NETWORK_LENGTH
        return lax.platform_dependent(y, cpu=network if small else host, default=xla)
    return {"host": host, "network": network, "xla": xla}[method](y)


# Its own derivative: JAX differentiates a sort by sorting (value, index) pairs, whose transpose is a scatter, which XLA
# runs one element at a time on CPU. Saving the ranks turns the transpose into a gather. (And the host's sort has none.)
@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sort(y: jax.Array, method: Method | None) -> jax.Array:
    return _dispatch(y, method, _host_sort.sort, _sorting_network.sort, lambda v: lax.sort(v, is_stable=False))


def _sort_forward(y: jax.Array, method: Method | None) -> tuple[jax.Array, jax.Array]:
    return _dispatch(y, method, _host_sort.sort_with_ranks, _sorting_network.sort_with_ranks, _xla_sort_with_ranks)


def _sort_backward(method: Method | None, rank: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    del method
    return (jnp.take_along_axis(g, rank, axis=-1, mode="promise_in_bounds"),)


_sort.defvjp(_sort_forward, _sort_backward)


def _xla_sort_with_ranks(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    index = lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1)
    values, order = lax.sort((y, index), num_keys=1, is_stable=False)
    flat, position = order.reshape(-1, y.shape[-1]), index.reshape(-1, y.shape[-1])
    row = lax.broadcasted_iota(jnp.int32, flat.shape, 0)
    rank = jnp.zeros_like(flat).at[row, flat].set(position, unique_indices=True, mode="promise_in_bounds")
    return values, rank.reshape(y.shape)
