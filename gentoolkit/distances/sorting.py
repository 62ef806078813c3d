"""Sorting along the last axis: fast on every backend, any length, with its own derivative."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import _host_sort, _sorting_network

Method = Literal["host", "network", "xla"]

_preferred: contextvars.ContextVar[Method | None] = contextvars.ContextVar("preferred", default=None)


def sort(y: jax.Array, *, method: Method | None = None) -> jax.Array:
    """Sorts along the last axis, ascending, NaN last, infinities where they belong.

    XLA's own sort is 10 to 100 times slower than NumPy's on the CPU backend, so NumPy's is called there, on XLA's own
    buffers and from within the compiled program; other backends use XLA's sort, which is fast on them. The derivative
    is a gather by ranks: no second sort and no scatter. Reverse mode only; for second derivatives use `jax.jacrev`
    twice.

    Args:
      y: `[..., n]` real array, n >= 1. Integers and bfloat16 are sorted, exactly where float32 holds them, as float32.
      method: static. `None` takes the one that `prefer` names, else `"host"` on CPU and `"xla"` elsewhere. `"host"`:
        NumPy inside the compiled program,
        CPU backend only; that program cannot be exported or kept in a persistent compilation cache, and under `jit`
        over several devices every device sorts every row (inside `shard_map`, its own). `"network"`: a sorting network
        in pure XLA, which has none of these limits and is 10 to 20 times faster than XLA's sort on CPU; its derivative
        takes the ranks from XLA's sort. `"xla"`: `lax.sort`.

    Returns:
      `[..., n]`, float32 or float64, the same by every method. Ties share the gradient of any one order among them (a
      valid subgradient). Subnormal numbers (below 1.2e-38 in float32) count as 0, as in XLA's arithmetic, and like -0
      come out as 0.

    Raises:
      ValueError: `y` is a scalar or empty along the last axis, or `method` is unknown.
      TypeError: `y` is not real.

    References:
      Batcher, Sorting networks and their applications, AFIPS 1968 (the network).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import sorting
      >>> sorting.sort(jnp.float32([3, 1, 2])).tolist()
      [1.0, 2.0, 3.0]
    """
    method = _check(y, method)
    (y,) = as_floating(y=y)
    return _sort(y, method)


def ranks(y: jax.Array, *, method: Method | None = None) -> jax.Array:
    """Returns the rank, from 0, of each entry along the last axis.

    Ranks undo the sort: `take_along_axis(sort(y), ranks(y), -1)` is `y`. They carry no gradient. Float64 data on the
    host is ranked about its median, so that timestamps do not become ties when they become float32.

    Args:
      y: `[..., n]` real array, n >= 1.
      method: static, as for `sort`; `"network"` is `"xla"` here.

    Returns:
      `[..., n]` int32, a permutation of 0 ... n - 1 in every row: tied entries get neighbouring ranks, on the host in
      the order of their places and elsewhere in any; NaN ranks last.

    Raises:
      ValueError: `y` is a scalar or empty along the last axis, or `method` is unknown.
      TypeError: `y` is not real.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import sorting
      >>> sorting.ranks(jnp.float32([3, 1, 2])).tolist()
      [2, 0, 1]
    """
    method = _check(y, method)
    (y,) = as_floating(y=_scale.center_on_host(y, axes=-1)[0])
    return _dispatch(lax.stop_gradient(y), method, _host_sort.ranks, _xla_ranks, _xla_ranks)


@contextlib.contextmanager
def prefer(method: Method) -> Iterator[None]:
    """Has `sort` and `ranks` use a method, where none is given, for as long as a program is traced within.

    For a program whose compiled form shall be kept between processes, which `"host"` does not allow::

        with sorting.prefer("xla"):
            compiled = jax.jit(function).lower(x).compile()

    What was traced before stays as it was.

    Args:
      method: as for `sort`.

    Returns:
      A context.

    Raises:
      ValueError: `method` is unknown.
    """
    _check(jnp.zeros(1), method)
    token = _preferred.set(method)
    try:
        yield
    finally:
        _preferred.reset(token)


def _check(y: jax.Array, method: Method | None) -> Method | None:
    """Refuses what cannot be sorted; returns the method, the preferred one where none is given."""
    check_univariate(y=y)
    if method not in (None, "host", "network", "xla"):
        raise ValueError(f'method must be None, "host", "network" or "xla", got {method!r}.')
    return _preferred.get() if method is None else method


def _dispatch(y: jax.Array, method: Method | None, host: Callable, network: Callable, xla: Callable):
    # Comparisons of XLA, and of NumPy on XLA's threads, take subnormal numbers for 0, other threads and integer keys do
    # not: without this, which of them came first would depend on the method, the backend and the size.
    y = jnp.where(jnp.abs(y) < float(jnp.finfo(y.dtype).tiny), jnp.zeros_like(y), y)
    if method is None:
        return lax.platform_dependent(y, cpu=host, default=xla)
    return {"host": host, "network": network, "xla": xla}[method](y)


# Its own derivative: JAX differentiates a sort by sorting (value, index) pairs, whose transpose is a scatter, which XLA
# runs one element at a time on CPU. Saving the ranks turns the transpose into a gather. (And the host's sort has none.)
@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sort(y: jax.Array, method: Method | None) -> jax.Array:
    return _dispatch(y, method, _host_sort.sort, _sorting_network.sort, lambda v: lax.sort(v, is_stable=False))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sort_with_ranks(y: jax.Array, method: Method | None) -> tuple[jax.Array, jax.Array]:
    return _dispatch(y, method, _host_sort.sort_with_ranks, _network_sort_with_ranks, _xla_sort_with_ranks)


def _forward(y: jax.Array, method: Method | None) -> tuple[jax.Array, jax.Array]:
    return _sort_with_ranks(y, method)


def _backward(method: Method | None, rank: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    del method
    return (jnp.take_along_axis(g, rank, axis=-1, mode="promise_in_bounds"),)


def _forward_with_ranks(y: jax.Array, method: Method | None):
    values, rank = _sort_with_ranks(y, method)  # by its own rule, so that there are second derivatives too
    return (values, rank), rank


_sort.defvjp(_forward, _backward)
_sort_with_ranks.defvjp(_forward_with_ranks, lambda method, rank, g: _backward(method, rank, g[0]))


def _xla_ranks(y: jax.Array) -> jax.Array:
    return _xla_sort_with_ranks(y)[1]


def _network_sort_with_ranks(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    # A network that carries indices along was tried: slower than XLA's sort of pairs from about 1000 entries a row on.
    return _sorting_network.sort(y), _xla_ranks(y)


def _xla_sort_with_ranks(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    index = lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1)
    values, order = lax.sort((y, index), num_keys=1, is_stable=False)
    flat, position = order.reshape(-1, y.shape[-1]), index.reshape(-1, y.shape[-1])
    row = lax.broadcasted_iota(jnp.int32, flat.shape, 0)
    rank = jnp.zeros_like(flat).at[row, flat].set(position, unique_indices=True, mode="promise_in_bounds")
    return values, rank.reshape(y.shape)
