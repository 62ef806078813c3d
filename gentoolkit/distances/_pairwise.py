"""Means over all pairs of samples of a kernel of their squared distance, tile by tile in O(n * block_size) memory.

A kernel here is any pytree that maps an array of squared distances to an array of the same shape, entry by entry, and
whose leaves are its real parameters; `jax.tree_util.Partial(function, *parameters)` makes one of a function.
"""

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from gentoolkit.distances import products

Kernel = Callable[[jax.Array], jax.Array]

# Up to this many features a tile of normal samples nearly always has a pair that is too near for inner products (see
# the next constant), and the differences themselves are no dearer.
_DIRECT_FEATURES = 6
# |x|^2 + |z|^2 - 2 x.z is good to about eps (|x|^2 + |z|^2). A tile that holds a pair with |x - z|^2 below this share
# of it (ties, tight clusters) is computed from the differences instead: 1e-5 relative is kept for every pair.
_CANCELLATION = 1.0 / 64.0
# Pairs held at once over all problems. On CPU a tile that stays in cache is twice as fast as one that does not;
# elsewhere a tile must be worth the launch of its kernels.
_PAIRS_ON_CPU = 1 << 16
_PAIRS = 1 << 22
_MIN_BLOCK = 64
# Entries of a row that one product adds up.
_ADDED = 32


class _Wanted(NamedTuple):
    """Which derivatives a pass over pairs must give: by the kernel, by the rows' samples and by the columns'."""

    kernel: bool = False
    x: bool = False
    z: bool = False


class _Samples(NamedTuple):
    """Samples in tiles, `[tiles, k, rows, d]`, and less the common center where inner products may be taken."""

    plain: jax.Array
    centered: jax.Array | None


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
    return _mean(kernel, x, None, offset, block_size, num_pairs=n * (n - 1) / 2)


def across(kernel: Kernel, x: jax.Array, z: jax.Array, *, offset=None, block_size: int | None = None) -> jax.Array:
    """Mean of `kernel(|x_i - z_j|^2) - offset` over the n m pairs of `x` `[..., n, d]` and `z` `[..., m, d]`."""
    return _mean(kernel, x, z, offset, block_size, num_pairs=x.shape[-2] * z.shape[-2])


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


def _mean(kernel, x, z, offset, block_size, *, num_pairs):
    _check_block_size(block_size)
    batch = x.shape[:-2]
    x, z = jax.tree.map(lambda samples: samples.reshape((-1,) + samples.shape[-2:]), (x, z))
    if offset is None:
        offset = jnp.zeros_like(x, shape=batch)
    offset = jax.lax.stop_gradient(offset).reshape(-1)
    total = _pair_sum(block_size, as_kernel(kernel, x.dtype), x, z, offset)
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
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pair_sum(block_size, kernel, x, z, offset):
    """Sum over the pairs of `x` and `z`, or over the pairs i < j of `x` where `z` is None."""
    return _reduce(block_size, _Wanted(), kernel, x, z, offset).value


@functools.partial(_pair_sum.defjvp, symbolic_zeros=True)
def _pair_sum_jvp(block_size, primals, tangents):
    kernel, x, z, offset = primals
    kernel_dot, x_dot, z_dot, _ = tangents
    leaves_dot = jax.tree.leaves(kernel_dot)
    varied = [not isinstance(leaf, SymbolicZero) for leaf in leaves_dot]
    of_x, of_z = (dot is not None and not isinstance(dot, SymbolicZero) for dot in (x_dot, z_dot))
    wanted = _Wanted(any(varied), of_x, of_z)
    sums = _reduce(block_size, wanted, kernel, x, z, offset)
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
@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def _reduce(block_size, wanted, kernel, x, z, offset) -> _Sums:
    return _batched_reduction(block_size, wanted)(kernel, x, z, offset)


@functools.lru_cache
def _batched_reduction(block_size, wanted):
    """`_reduce_pairs` that `jax.vmap` hands on as more problems.

    Under the usual rule the choice in each tile would become a computation of both, ten times slower. A batch of
    kernels is left to that rule. Such functions have no reverse derivative, so that one (which the gradient of a
    gradient takes) is told to go through the plain form.
    """
    plain = functools.partial(_reduce_pairs, block_size, wanted)
    reduction = jax.custom_batching.custom_vmap(plain)

    @reduction.def_vmap
    def _(axis_size, is_batched, kernel, x, z, offset):
        if any(jax.tree.leaves(is_batched[0])):
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(is_batched))
            sums = jax.vmap(plain, axes)(kernel, x, z, offset)
        else:

            def as_more_problems(a, batched):
                a = a if batched else jnp.broadcast_to(a[None], (axis_size, *a.shape))
                return a.reshape((-1, *a.shape[2:]))

            sums = reduction(kernel, *jax.tree.map(as_more_problems, (x, z, offset), tuple(is_batched[1:])))
            sums = jax.tree.map(lambda a: a.reshape((axis_size, a.shape[0] // axis_size, *a.shape[1:])), sums)
        return sums, jax.tree.map(lambda _: True, sums)

    differentiable = jax.custom_jvp(reduction)
    differentiable.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return differentiable


def _reduce_pairs(block_size, wanted, kernel, x, z, offset) -> _Sums:
    """`_Sums` over the pairs of `x` `[k, n, d]` and `z` `[k, m, d]`, each `[k, ...]`; over i < j of `x` for no `z`."""
    # A zero that varies, in shard_map, over every mesh axis that an input varies over. The carry of a loop must, and so
    # must the parameters: the derivative by one that does not would be summed over the devices here and once more
    # where the caller asked for it.
    inputs = jax.tree.leaves((x, z, offset, kernel))
    zero = functools.reduce(operator.add, [array.reshape(-1)[:0].sum() for array in inputs])
    kernel = jax.tree.map(lambda leaf: leaf + zero, kernel)
    within = z is None
    n, dim = x.shape[1:]
    m = n if within else z.shape[1]
    side = _default_side(x.shape[0]) if block_size is None else int(block_size)
    exact = dim <= _DIRECT_FEATURES
    center = None if exact else _central_sample(x)
    rows = _tiles(x, side, center)
    columns = rows if within else _tiles(z, side, center)

    def of_tile(same):
        # The pairs of one sample pull at it from both sides; on the diagonal the two are the same.
        return wanted._replace(z=wanted.x and not same) if within else wanted

    def step(sums, index, *, same):
        i, j = index
        keep = _kept(i, j, rows.plain, columns.plain, n, m, same=same)
        tile = _tile(_take(rows, i), _take(columns, j), keep, kernel, offset, of_tile(same), same=same)
        value, kernel_sum, rest = _add((sums.value, sums.kernel), sums.rest, (tile.value, tile.kernel))
        by_x = _add_at(sums.x, i, tile.x) if wanted.x else None
        by_z = _add_at(sums.z, j, tile.z) if wanted.z else None
        if within and of_tile(same).z:
            by_x = _add_at(by_x, j, tile.z)
        return _Sums(value=value, kernel=kernel_sum, rest=rest, x=by_x, z=by_z), None

    def over(sums, order, *, same):
        # Second derivatives then recompute each tile as well.
        body = jax.checkpoint(functools.partial(step, same=same), prevent_cse=False)
        return jax.lax.scan(body, sums, tuple(jnp.asarray(np.array(order, np.int32).T)))[0] if order else sums

    sums = _Sums(
        value=jnp.zeros_like(zero, shape=(x.shape[0], rows.plain.shape[2])),
        kernel=jax.tree.map(lambda leaf: jnp.zeros_like(zero, shape=x.shape[:1] + leaf.shape), kernel)
        if wanted.kernel
        else None,
        x=jnp.zeros_like(zero, shape=rows.plain.shape) if wanted.x else None,
        z=jnp.zeros_like(zero, shape=columns.plain.shape) if wanted.z else None,
    )
    sums = sums._replace(rest=jax.tree.map(jnp.zeros_like, (sums.value, sums.kernel)))
    order = list(itertools.product(range(rows.plain.shape[0]), range(columns.plain.shape[0])))
    if within:
        sums = over(sums, [(i, j) for i, j in order if i == j], same=True)
        order = [(i, j) for i, j in order if i < j]
    sums = over(sums, order, same=False)
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


def _kept(i, j, rows, columns, n, m, *, same):
    """Which entries of tile (i, j) are pairs, `[rows, columns]`: no padding and, on the diagonal, no datum and itself.

    None for all of them.
    """
    row = jnp.arange(rows.shape[2], dtype=np.int32)
    column = jnp.arange(columns.shape[2], dtype=np.int32)
    kept = []
    if same:
        kept.append(row[:, None] != column[None, :])
    if rows.shape[0] * rows.shape[2] > n:
        kept.append((i * rows.shape[2] + row < n)[:, None])
    if columns.shape[0] * columns.shape[2] > m:
        kept.append((j * columns.shape[2] + column < m)[None, :])
    return functools.reduce(jnp.logical_and, kept) if kept else None


def _tile(rows: _Samples, columns: _Samples, keep, kernel, offset, wanted, *, same) -> _Sums:
    """`_Sums` of one tile. On the diagonal (`same`) each pair is there twice, and counts once."""
    direct = functools.partial(_direct_tile, wanted, keep, kernel, same)
    x, z = rows.centered, columns.centered
    if x is None or z is None:
        return jax.vmap(direct)(rows.plain, columns.plain, offset)
    norms = jnp.sum(x**2, axis=-1)[:, :, None] + jnp.sum(z**2, axis=-1)[:, None, :]
    squared = norms - 2.0 * products.matmul(x, products.transpose(z))
    # Written so that a NaN (an infinite norm) goes to the differences too; counted, because XLA looks at one truth
    # value after another and adds whole numbers many at a time.
    cancels = jnp.sum(_where(keep, ~(squared >= _CANCELLATION * norms), False), dtype=np.int32) > 0
    gram = functools.partial(_gram_tile, wanted, keep, kernel, same)
    return jax.lax.cond(
        cancels,
        lambda: jax.vmap(direct)(rows.plain, columns.plain, offset),
        lambda: jax.vmap(gram)(x, z, jnp.maximum(squared, 0.0), offset),
    )


def _where(keep, values, otherwise):
    return values if keep is None else jnp.where(keep, values, otherwise)


def _row_sums(tile):
    return jax.lax.platform_dependent(tile, cpu=_row_sums_on_cpu, default=functools.partial(jnp.sum, axis=-1))


def _row_sums_on_cpu(tile):
    # XLA adds up the entries of a row as it computes them, one after another: three times slower than both apart. A
    # product does so too and loses digits, so it adds up few.
    num = tile.shape[-1] // _ADDED
    parts = tile[..., : num * _ADDED].reshape(*tile.shape[:-1], num, _ADDED)
    sums = jnp.sum(products.matmul(parts, jnp.ones_like(parts, shape=(_ADDED,))), axis=-1)
    return sums + jnp.sum(tile[..., num * _ADDED :], axis=-1) if tile.shape[-1] % _ADDED else sums


def _profile(wanted, keep, kernel, same, squared, offset):
    """Row sums of `kernel - offset`, the slope of the kernel at each pair, and the derivative by its parameters."""
    # Each pair is counted once, and rows of different lengths are not all rounded alike.
    once = jnp.triu(keep) if same else keep
    if not any(wanted):
        return _row_sums(_where(once, kernel(squared) - offset, 0.0)), None, None
    value, pull = jax.vjp(lambda k, s: k(s), kernel, squared)
    by_kernel, slope = pull(_where(keep, jnp.ones_like(value), 0.0))
    # The gradient of |x - z| at a tie is taken as 0, whatever the kernel says the slope is there.
    slope = jnp.where(squared != 0.0, slope, 0.0)
    if not wanted.kernel:
        by_kernel = None
    elif same:
        by_kernel = jax.tree.map(lambda leaf: leaf / 2, by_kernel)
    return _row_sums(_where(once, value - offset, 0.0)), _where(keep, slope, 0.0), by_kernel


def _direct_tile(wanted, keep, kernel, same, x, z, offset) -> _Sums:
    value, slope, by_kernel = _profile(wanted, keep, kernel, same, squared_differences(x, z), offset)

    def by_feature(features):
        pull = slope * (features[0][:, None] - features[1][None, :])
        return 2.0 * _row_sums(pull) if wanted.x else None, -2.0 * pull.sum(axis=0) if wanted.z else None

    if not (wanted.x or wanted.z):
        return _Sums(value, by_kernel, None, None)
    by_x, by_z = jax.tree.map(jnp.transpose, jax.lax.map(by_feature, (x.T, z.T)))
    return _Sums(value, by_kernel, by_x, by_z)


def _gram_tile(wanted, keep, kernel, same, x, z, squared, offset) -> _Sums:
    value, slope, by_kernel = _profile(wanted, keep, kernel, same, squared, offset)

    by_x = 2.0 * (_row_sums(slope)[:, None] * x - products.matmul(slope, z)) if wanted.x else None
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


def _tiles(x: jax.Array, side: int, center: jax.Array | None) -> _Samples:
    """`[k, n, d]` in equal tiles of at most `side` rows, zeros at the end."""
    k, n, dim = x.shape
    num = -(-n // side)
    rows = -(-n // num)

    def tiles(x):
        return jnp.moveaxis(jnp.pad(x, ((0, 0), (0, num * rows - n), (0, 0))).reshape(k, num, rows, dim), 1, 0)

    return _Samples(tiles(x), None if center is None else tiles(x - center))


def _untile(tiles: jax.Array, n: int) -> jax.Array:
    num, k, rows, dim = tiles.shape
    return jnp.moveaxis(tiles, 0, 1).reshape(k, num * rows, dim)[:, :n]


def _take(tiles, index):
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, 0, keepdims=False), tiles)


def _add_at(tiles, index, value):
    return jax.lax.dynamic_update_index_in_dim(tiles, _take(tiles, index) + value, index, 0)
