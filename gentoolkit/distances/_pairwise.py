"""Means over all pairs of samples of a kernel of their squared distance, tile by tile in O(n * block_size) memory.

A kernel here is any pytree that maps an array of squared distances to an array of the same shape, entry by entry, and
whose leaves are its real parameters; `jax.tree_util.Partial(function, *parameters)` makes one of a function.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from gentoolkit.distances import products

Kernel = Callable[[jax.Array], jax.Array]

# Up to this many features the differences themselves are no dearer than a matrix product, and exact.
_DIRECT_FEATURES = 8
# |x|^2 + |z|^2 - 2 x.z is good to about eps (|x|^2 + |z|^2). A tile that holds a pair with |x - z|^2 below this share
# of it (ties, tight clusters) is computed from the differences instead: 1e-5 relative is kept for every pair.
_CANCELLATION = 1.0 / 64.0
# Pairs held at once over all problems. On CPU a tile that stays in cache is twice as fast as one that does not;
# elsewhere a tile must be worth the launch of its kernels.
_PAIRS_ON_CPU = 1 << 18
_PAIRS = 1 << 22
_MIN_BLOCK = 64


class _Wanted(NamedTuple):
    """Which derivatives a pass over the pairs must give."""

    kernel: bool = False
    x: bool = False
    z: bool = False


class _Sums(NamedTuple):
    """Sums over pairs of `kernel - offset` and of its derivatives; what is not wanted is None.

    A sample meets a few hundred tiles and its derivatives are simply added. The other two are sums over all tiles, a
    hundred thousand perhaps, and carry along what rounding took off (`rest`; Kahan's sum).
    """

    value: jax.Array
    kernel: Any
    x: jax.Array | None
    z: jax.Array | None
    rest: Any = None


def within(kernel: Kernel, x: jax.Array, *, offset=None, block_size: int | None = None) -> jax.Array:
    """Mean of `kernel(|x_i - x_j|^2) - offset` over the n (n - 1) pairs i != j.

    Args:
      kernel: see the top of this file.
      x: `[..., n, d]`, float32 or float64.
      offset: `[...]`, a constant (it has no derivative) near the mean of the kernel, so that small terms are summed.
      block_size: rows and columns of a tile (static), None to choose.

    Returns:
      `[...]`; 0 where n = 1, there being no pair.

    Raises:
      ValueError: `block_size` is not a positive integer, or the kernel does not work entry by entry.
    """
    n = x.shape[-2]
    if n == 1:
        _check_block_size(block_size)
        return jnp.zeros_like(x, shape=x.shape[:-2])
    return _mean(kernel, x, x, offset, block_size, upper=True, num_pairs=n * (n - 1) / 2)


def across(kernel: Kernel, x: jax.Array, z: jax.Array, *, offset=None, block_size: int | None = None) -> jax.Array:
    """Mean of `kernel(|x_i - z_j|^2) - offset` over the n m pairs of `x` `[..., n, d]` and `z` `[..., m, d]`."""
    return _mean(kernel, x, z, offset, block_size, upper=False, num_pairs=x.shape[-2] * z.shape[-2])


def typical_value(kernel: Kernel, x: jax.Array) -> jax.Array:
    """Mean of the kernel over n of the pairs of `x` `[..., n, d]`, without derivative: an `offset`, 0 if not finite."""
    difference = x - jnp.roll(x, x.shape[-2] // 2, axis=-2)
    value = as_kernel(kernel, x.dtype)(jnp.sum(difference * difference, axis=-1)).mean(axis=-1)
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(value), value, 0.0))


def as_kernel(kernel: Kernel, dtype) -> Kernel:
    """A kernel as a pytree of arrays of one dtype; a plain function is taken as having no parameters."""
    if jax.tree_util.all_leaves([kernel]):
        kernel = jax.tree_util.Partial(kernel)
    kernel = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), kernel)
    probe = jax.ShapeDtypeStruct((2, 3), dtype)
    result: Any = jax.eval_shape(kernel, probe)
    if not isinstance(result, jax.ShapeDtypeStruct) or (result.shape, result.dtype) != ((2, 3), dtype):
        raise ValueError(f"kernel must map squared distances {probe} entry by entry, it gave {result}.")
    return kernel


def squared_differences(x: jax.Array, z: jax.Array) -> jax.Array:
    """`|x_i - z_j|^2` of `[n, d]` and `[m, d]` from the differences, one feature at a time: exactly 0 for ties."""

    def add(total, features):
        difference = features[0][:, None] - features[1][None, :]
        return total + difference * difference, None

    start = jnp.zeros_like(x[0, 0] + z[0, 0], shape=(x.shape[0], z.shape[0]))
    return jax.lax.scan(add, start, (x.T, z.T))[0]


def _mean(kernel, x, z, offset, block_size, *, upper, num_pairs):
    _check_block_size(block_size)
    batch = x.shape[:-2]
    x, z = (samples.reshape((-1,) + samples.shape[-2:]) for samples in (x, z))
    if offset is None:
        offset = jnp.zeros_like(x, shape=batch)
    offset = jax.lax.stop_gradient(offset).reshape(-1)
    total = _pair_sum(upper, block_size, as_kernel(kernel, x.dtype), x, z, offset)
    return (total / num_pairs).reshape(batch)


def _check_block_size(block_size: int | None) -> None:
    if block_size is not None and (not isinstance(block_size, int | np.integer) or block_size < 1):
        raise ValueError(f"block_size must be a positive integer or None, got block_size = {block_size!r}.")


def _default_side(num_problems: int) -> int:
    pairs = _PAIRS_ON_CPU if jax.default_backend() == "cpu" else _PAIRS
    return max(_MIN_BLOCK, int((pairs / max(num_problems, 1)) ** 0.5))


# Autodiff of the loop would keep every tile, O(n m) memory. The sum is one number a problem, so its gradient can be
# gathered in the same pass that sums the values: nothing is kept but arrays of the inputs' shapes, and nothing is
# computed twice. Said as a forward rule, linear in the tangents, it serves both modes and second derivatives.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _pair_sum(upper, block_size, kernel, x, z, offset):
    return _reduce(upper, block_size, _Wanted(), kernel, x, z, offset).value


@functools.partial(_pair_sum.defjvp, symbolic_zeros=True)
def _pair_sum_jvp(upper, block_size, primals, tangents):
    kernel, x, z, offset = primals
    kernel_dot, x_dot, z_dot, _ = tangents
    leaves_dot = jax.tree.leaves(kernel_dot)
    varied = [not isinstance(leaf, SymbolicZero) for leaf in leaves_dot]
    wanted = _Wanted(any(varied), not isinstance(x_dot, SymbolicZero), not isinstance(z_dot, SymbolicZero))
    sums = _reduce(upper, block_size, wanted, kernel, x, z, offset)
    tangent = jnp.zeros_like(sums.value)
    for gradient, dot, is_wanted in ((sums.x, x_dot, wanted.x), (sums.z, z_dot, wanted.z)):
        if is_wanted:
            tangent = tangent + jnp.sum(gradient * dot, axis=(-2, -1))
    if wanted.kernel:
        for gradient, dot, is_wanted in zip(jax.tree.leaves(sums.kernel), leaves_dot, varied, strict=True):
            if is_wanted:
                flat = gradient.reshape(gradient.shape[0], -1)
                tangent = tangent + jnp.sum(flat * dot.reshape(1, -1), axis=-1)
    return sums.value, tangent


# Inlined: a caller that is traced (under jit, grad, vmap ...) sees no boundary here. It is for the caller that is not:
# the loop would be compiled anew, for a second or more, each time it is called.
@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def _reduce(upper, block_size, wanted, kernel, x, z, offset) -> _Sums:
    return _batched_reduction(upper, block_size, wanted)(kernel, x, z, offset)


@functools.lru_cache
def _batched_reduction(upper, block_size, wanted):
    """`_reduce_pairs` that `jax.vmap` hands on as more problems.

    Under the usual rule the choice in each tile would become a computation of both, ten times slower. A batch of
    kernels is left to that rule. Such functions have no reverse derivative, so that one (which the gradient of a
    gradient takes) is told to go through the plain form.
    """
    plain = functools.partial(_reduce_pairs, upper, block_size, wanted)
    reduction = jax.custom_batching.custom_vmap(plain)

    @reduction.def_vmap
    def _(axis_size, is_batched, kernel, x, z, offset):
        if any(jax.tree.leaves(is_batched[0])):
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(is_batched))
            sums = jax.vmap(plain, axes)(kernel, x, z, offset)
        else:
            arrays = [
                (a if batched else jnp.broadcast_to(a[None], (axis_size, *a.shape))).reshape(
                    (-1, *a.shape[1 + batched :])
                )
                for a, batched in zip((x, z, offset), is_batched[1:], strict=True)
            ]
            sums = reduction(kernel, *arrays)
            sums = jax.tree.map(lambda a: a.reshape((axis_size, a.shape[0] // axis_size, *a.shape[1:])), sums)
        return sums, jax.tree.map(lambda _: True, sums)

    differentiable = jax.custom_jvp(reduction)
    differentiable.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return differentiable


def _reduce_pairs(upper, block_size, wanted, kernel, x, z, offset) -> _Sums:
    """`_Sums` over the pairs of `x` `[k, n, d]` and `z` `[k, m, d]`, each `[k, ...]`; i < j only if `upper`."""
    # A zero that varies, in shard_map, over every mesh axis that an input varies over. The carry of a loop must, and so
    # must the parameters: the derivative by one that does not would be summed over the devices here and once more
    # where the caller asked for it.
    inputs = (x, z, offset, *jax.tree.leaves(kernel))
    zero = functools.reduce(operator.add, [array.reshape(-1)[:0].sum() for array in inputs])
    kernel = jax.tree.map(lambda leaf: leaf + zero, kernel)
    n, m, dim = x.shape[1], z.shape[1], x.shape[2]
    side = _default_side(x.shape[0]) if block_size is None else int(block_size)
    rows, columns = _tiles(x, side), _tiles(z, side)
    num_rows, num_columns = rows.shape[0], columns.shape[0]
    order = np.array([(i, j) for i in range(num_rows) for j in range(i if upper else 0, num_columns)], np.int32)
    exact = dim <= _DIRECT_FEATURES
    if not exact:
        center = _central_sample(x)
        rows_centered, columns_centered = _tiles(x - center, side), _tiles(z - center, side)

    def step(sums, index):
        i, j = index
        tiles = _take(rows, i), _take(columns, j)
        row = i * rows.shape[2] + jnp.arange(rows.shape[2], dtype=np.int32)
        column = j * columns.shape[2] + jnp.arange(columns.shape[2], dtype=np.int32)
        keep = (row < n)[:, None] & (column < m)[None, :]
        if upper:
            keep = keep & (row[:, None] < column[None, :])
        direct = functools.partial(_direct_tile, wanted, keep, kernel)
        if exact:
            tile = jax.vmap(direct)(*tiles, offset)
        else:
            centered = _take(rows_centered, i), _take(columns_centered, j)
            norms = jnp.sum(centered[0] ** 2, axis=-1)[:, :, None] + jnp.sum(centered[1] ** 2, axis=-1)[:, None, :]
            squared = norms - 2.0 * products.matmul(centered[0], products.transpose(centered[1]))
            # Written so that a NaN (an infinite norm) goes to the differences too.
            cancels = jnp.any(keep[None] & ~(squared >= _CANCELLATION * norms))
            gram = functools.partial(_gram_tile, wanted, keep, kernel)
            tile = jax.lax.cond(
                cancels,
                lambda: jax.vmap(direct)(*tiles, offset),
                lambda: jax.vmap(gram)(*centered, jnp.maximum(squared, 0.0), offset),
            )
        value, kernel_sum, rest = _add((sums.value, sums.kernel), sums.rest, (tile.value, tile.kernel))
        return _Sums(
            value=value,
            kernel=kernel_sum,
            rest=rest,
            x=_add_at(sums.x, i, tile.x) if wanted.x else None,
            z=_add_at(sums.z, j, tile.z) if wanted.z else None,
        ), None

    start = _Sums(
        value=jnp.zeros_like(zero, shape=(x.shape[0], rows.shape[2])),
        kernel=jax.tree.map(lambda leaf: jnp.zeros_like(zero, shape=x.shape[:1] + leaf.shape), kernel)
        if wanted.kernel
        else None,
        x=jnp.zeros_like(zero, shape=rows.shape) if wanted.x else None,
        z=jnp.zeros_like(zero, shape=columns.shape) if wanted.z else None,
    )
    start = start._replace(rest=jax.tree.map(jnp.zeros_like, (start.value, start.kernel)))
    # Second derivatives then recompute each tile as well.
    step = jax.checkpoint(step, prevent_cse=False)
    sums, _ = jax.lax.scan(step, start, (jnp.asarray(order[:, 0]), jnp.asarray(order[:, 1])))
    return _Sums(
        value=sums.value.sum(axis=-1),
        kernel=sums.kernel,
        x=None if sums.x is None else _untile(sums.x, n),
        z=None if sums.z is None else _untile(sums.z, m),
    )


def _add(totals, rests, terms):
    """`(*totals, rests)` after adding `terms`, the rests being what rounding has added too much."""
    terms = jax.tree.map(jnp.subtract, terms, rests)
    sums = jax.tree.map(jnp.add, totals, terms)
    # An infinite sum has no rest.
    rests = jax.tree.map(
        lambda new, old, term: jnp.where(jnp.isfinite(new), (new - old) - term, 0.0), sums, totals, terms
    )
    return *sums, rests


def _profile(wanted, keep, kernel, squared, offset):
    """Row sums of `kernel - offset`, the slope of the kernel at each pair, and the derivative by its parameters."""
    if not any(wanted):
        return jnp.where(keep, kernel(squared) - offset, 0.0).sum(axis=1), None, None
    value, pull = jax.vjp(lambda k, s: k(s), kernel, squared)
    by_kernel, slope = pull(jnp.where(keep, jnp.ones_like(value), 0.0))
    # The gradient of |x - z| at a tie is taken as 0, whatever the kernel says the slope is there.
    slope = jnp.where(keep & (squared != 0.0), slope, 0.0)
    return jnp.where(keep, value - offset, 0.0).sum(axis=1), slope, by_kernel if wanted.kernel else None


def _direct_tile(wanted, keep, kernel, x, z, offset) -> _Sums:
    value, slope, by_kernel = _profile(wanted, keep, kernel, squared_differences(x, z), offset)

    def by_feature(features):
        pull = 2.0 * slope * (features[0][:, None] - features[1][None, :])
        return pull.sum(axis=1) if wanted.x else None, -pull.sum(axis=0) if wanted.z else None

    if not (wanted.x or wanted.z):
        return _Sums(value, by_kernel, None, None)
    by_x, by_z = jax.tree.map(jnp.transpose, jax.lax.map(by_feature, (x.T, z.T)))
    return _Sums(value, by_kernel, by_x, by_z)


def _gram_tile(wanted, keep, kernel, x, z, squared, offset) -> _Sums:
    value, slope, by_kernel = _profile(wanted, keep, kernel, squared, offset)
    by_x = 2.0 * (slope.sum(axis=1)[:, None] * x - products.matmul(slope, z)) if wanted.x else None
    by_z = 2.0 * (slope.sum(axis=0)[:, None] * z - products.matmul(slope.T, x)) if wanted.z else None
    return _Sums(value, by_kernel, by_x, by_z)


def _central_sample(x: jax.Array) -> jax.Array:
    """The sample nearest to the mean, `[k, 1, d]`.

    One outlier carries the mean away from all others, so that their inner products about it cancel; not this sample.
    """
    x = jax.lax.stop_gradient(x)
    offset = x - x.mean(axis=1, keepdims=True)
    nearest = jnp.argmin(jnp.sum(offset * offset, axis=-1), axis=-1)
    return jnp.take_along_axis(x, nearest[:, None, None], axis=1)


def _tiles(x: jax.Array, side: int) -> jax.Array:
    """`[k, n, d]` as `[tiles, k, rows, d]`: equal tiles of at most `side` rows, zeros at the end."""
    k, n, dim = x.shape
    num = -(-n // side)
    rows = -(-n // num)
    return jnp.moveaxis(jnp.pad(x, ((0, 0), (0, num * rows - n), (0, 0))).reshape(k, num, rows, dim), 1, 0)


def _untile(tiles: jax.Array, n: int) -> jax.Array:
    num, k, rows, dim = tiles.shape
    return jnp.moveaxis(tiles, 0, 1).reshape(k, num * rows, dim)[:, :n]


def _take(tiles, index):
    return jax.lax.dynamic_index_in_dim(tiles, index, 0, keepdims=False)


def _add_at(tiles, index, value):
    return jax.lax.dynamic_update_index_in_dim(tiles, _take(tiles, index) + value, index, 0)
