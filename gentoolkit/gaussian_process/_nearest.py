"""Nearest centres, right to the rounding of differences.

Squared distances are taken in one of two ways. From differences, |x - c|^2 loses nothing, however far out the points
lie. As products, x.c - |c|^2 / 2 costs half as much and runs at the speed of a matrix product, but it is rounded at the
size of |x|^2, which may be many times the distance. So products only nominate: where the runner-up is within their
rounding of the winner, the point is compared with all centres by differences. On CPU points of few features never go
through products: their differences, taken and compared in one loop, are as fast.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# Scores of all points are taken at once while they are so few (20 MiB): the product and the loop are then shared out
# among the cores. Blocks of more points have fewer: they stay in the cache next to one core, and more would make XLA
# share out each block, at a loss.
_MOST_SCORES, _SCORES_OF_BLOCK = 5 << 20, 51_200
# Centres whose scores are compared in one loop over the points, all in registers; of more, so many at a time.
_MOST_AT_ONCE, _GROUP = 256, 64
# With so few features and centres, differences are taken within that loop: storing a product costs more than it saves.
_FEW_FEATURES, _FEW_CENTERS = 12, 16
# Many centres in so few features have their scores taken within the loop too, so many at a time, of so many points.
_GROUP_OF_FEW, _POINTS_OF_FEW = 8, 512
# Points that are compared by differences at a time after their products could not tell.
_DOUBTFUL_AT_ONCE, _DOUBTFUL_ON_CPU, _NEIGHBORS = 1 << 13, 1 << 10, 8
# A share of the squared distance of two centres: products whose rounding is below it err only on points that close to
# the middle between two centres, which changes no mean by more than rounding would.
_HARMLESS = 1 / 64
# Rows that the origin of products is taken from.
_ROWS_FOR_ORIGIN = 31


class Points(NamedTuple):
    """Points laid out for `assign`.

    Attributes:
      rows: `[n, d]`.
      columns: `[blocks, d, size]`, the points as columns in blocks, the last repeated to fill up; for products
        `[blocks, d + 1, size]`, less the origin and each with a 1 below it.
      origin: `[1, d]` amid the points, about which products and sums are taken.
      reach: `[n]`, distances to the origin.
    """

    rows: jax.Array
    columns: jax.Array
    origin: jax.Array
    reach: jax.Array


def lay_out(
    x: jax.Array,
    num_centers: int,
    *,
    block_size: int | None = None,
    near: jax.Array | None = None,
    tournament: bool | None = None,
) -> Points:
    """Points `[n, d]` as `assign` reads them.

    Args:
      x: `[n, d]`, such that squares neither overflow nor vanish.
      num_centers: that they will be assigned to.
      block_size: points at a time, None to choose.
      near: `[m, d]`, rows amid which the origin of products is to be, None for the points.
      tournament: compares centres two at a time, None to choose by the backend.
    """
    tournament = _by_tournament() if tournament is None else tournament
    size = _rows_of_block(num_centers, x.shape[0], x.shape[1], block_size, tournament)
    near = x if near is None else near
    # The median: one point far out would draw the mean away from all others.
    middle = jnp.median(near[:: -(-near.shape[0] // _ROWS_FOR_ORIGIN)], axis=0, keepdims=True)
    origin = jnp.where(jnp.isfinite(middle), middle, 0.0)
    moved = x - origin
    reach = jnp.sqrt(jnp.sum(moved * moved, axis=1))
    if tournament and _few(num_centers, x.shape[1]):
        return Points(x, jnp.swapaxes(_blocks.split(x, size), 1, 2), origin, reach)
    columns = jnp.swapaxes(_blocks.split(moved, size), 1, 2)
    columns = jnp.concatenate([columns, jnp.ones_like(columns[:, :1])], axis=1)
    return Points(x, columns, origin, reach)


def assign(
    points: Points, centers: jax.Array, *, exactly: bool, tournament: bool | None = None
) -> tuple[jax.Array, jax.Array]:
    """Labels `[n]` int32 of the nearest `centers` `[k, d]`, of equally near ones the first, and squared distances.

    Args:
      points: from `lay_out`.
      centers: `[k, d]`.
      exactly: every label is right to the rounding of differences; otherwise some are left to rounded products, where
        that does no harm: of points almost in the middle between two centres (static).
      tournament: as given to `lay_out` (static).

    Returns:
      Labels, -1 where something is not finite, and squared distances, which may be those of rounded products.
    """
    tournament = _by_tournament() if tournament is None else tournament
    direct = points.columns.shape[1] == centers.shape[1]
    if direct:
        offered, compare = centers, _by_differences
    else:
        moved = centers - points.origin
        squares = jnp.sum(moved * moved, axis=1)
        # Rows whose product with a point and the 1 below it is largest for the nearest centre.
        offered = jnp.concatenate([moved, -0.5 * squares[:, None]], axis=1)
        compare = functools.partial(_tournament if tournament else _largest, runner_up=exactly)

    def found():
        best, second, label = _in_blocks(functools.partial(compare, offered), points)
        return best, second, jnp.where(jnp.isfinite(best), label, -1)

    def nothing():
        unknown = jnp.full_like(points.rows[:, 0], jnp.nan)
        second = unknown if exactly and not direct else None
        return unknown, second, jnp.full_like(unknown, -1, jnp.int32)

    # A maximum may pass over a NaN: the centres are asked. By a branch, as XLA would otherwise fuse all comparisons
    # into each of the places where their results are read, and compare as often.
    best, second, label = jax.lax.cond(jnp.all(jnp.isfinite(centers)), found, nothing)
    if direct:
        return label, -best
    squared = jnp.maximum(points.reach**2 - 2.0 * best, 0.0)
    compare_anew = functools.partial(_compare_by_differences, points.rows, centers, tournament=tournament)
    dim = centers.shape[1]
    if exactly:
        return compare_anew(label, squared, second >= best - 2.0 * _rounding(points.reach, squared, dim))
    harmless = _HARMLESS * apart(moved)

    def look(state):
        _, label, squared = state
        doubtful = _rounding(points.reach, squared, dim) > harmless[label]
        return jnp.zeros((), bool), *compare_anew(label, squared, doubtful)

    # One number for all points first: none is farther from its centre than from that next to the origin.
    near = jnp.sqrt(jnp.min(squares))
    farthest = jnp.max(points.reach)
    may_harm = _rounding(farthest, (farthest + near) ** 2, dim) > jnp.min(harmless)
    # A loop of one turn or none: a `cond` of several problems at once would do the work for every one of them.
    _, label, squared = jax.lax.while_loop(lambda state: state[0], look, (may_harm, label, squared))
    return label, squared


def squared_distance(x: jax.Array, centers: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distances `[n]` to the labelled centres, from differences; NaN where there is none."""
    distance = jnp.sum((x - centers[jnp.maximum(labels, 0)]) ** 2, axis=1)
    return jnp.where(labels >= 0, distance, jnp.nan)


def _by_tournament() -> bool:
    # XLA's argmax on CPU goes entry by entry, and its maxima over the rows of a matrix are not much better: they take
    # longer than the product. Comparisons of whole rows with one another, in one loop over the points, take a third.
    return jax.default_backend() == "cpu"


def _few(num_centers: int, dim: int) -> bool:
    return dim <= _FEW_FEATURES and num_centers <= _FEW_CENTERS


def _rows_of_block(num_centers: int, num_rows: int, dim: int, block_size: int | None, tournament: bool) -> int:
    if block_size is not None or not tournament:
        return _blocks.rows_of_block(num_centers, num_rows, block_size)
    columns = num_centers if num_centers <= _MOST_AT_ONCE else _GROUP
    if num_rows * columns <= _MOST_SCORES or _few(num_centers, dim):
        return num_rows
    least = -(-num_rows * columns // _SCORES_OF_BLOCK)
    if dim <= _FEW_FEATURES:
        least = -(-num_rows // _POINTS_OF_FEW)
    # A number of blocks near that which leaves no block to be filled up, if there is one; else as even as can be.
    number = next((count for count in range(least, 2 * least) if num_rows % count == 0), least)
    return -(-num_rows // number)


def _rounding(reach, squared, dim):
    """By how much the score of a centre may be rounded that is as near as `squared`, or nearer.

    Such a centre is no farther from the origin than `reach` and that distance together. A sum of d + 1 products is
    rounded d + 1 times, half a square d times, and point and centre once each when the origin is taken off.
    """
    return (dim + 4) * jnp.finfo(reach.dtype).eps * (reach + jnp.sqrt(squared)) ** 2


def apart(moved: jax.Array) -> jax.Array:
    """Squared distances `[k]` of centres `[k, d]`, less the origin, to their nearest other one, or a little less."""
    half = 0.5 * jnp.sum(moved * moved, axis=1)
    scores = _blocks.matmul(moved, moved.T) - half[None, :]
    others = jnp.max(jnp.where(jnp.eye(half.shape[0], dtype=bool), -jnp.inf, scores), axis=1)
    squared = jnp.maximum(2.0 * (half - others), 0.0)
    return jnp.maximum(squared - 2.0 * _rounding(jnp.sqrt(2.0 * half), squared, moved.shape[1]), 0.0)


def _compare_by_differences(rows, centers, label, squared, doubtful, *, tournament):
    """Labels and squared distances of which the doubtful ones are taken anew, some at a time.

    Points go in groups of neighbours, of which one at least is in doubt: there are fewer groups to be found.
    """
    num, dim = rows.shape
    groups = -(-num // _NEIGHBORS)
    at_once = min(groups, (_DOUBTFUL_ON_CPU if tournament else _DOUBTFUL_AT_ONCE) // _NEIGHBORS)
    padded = jnp.pad(doubtful, (0, groups * _NEIGHBORS - num)).reshape(groups, _NEIGHBORS)
    in_doubt = jnp.any(padded, axis=1)
    number = jnp.sum(in_doubt.astype(jnp.int32))

    def all_of_them(state):
        _, label, squared = state
        order = jnp.nonzero(in_doubt, size=groups, fill_value=groups)[0].astype(jnp.int32)

        def some(state):
            done, label, squared = state
            group = jax.lax.dynamic_slice(order, (done,), (at_once,))
            index = (_NEIGHBORS * group[:, None] + jnp.arange(_NEIGHBORS, dtype=jnp.int32)[None, :]).reshape(-1)
            distances = _squared_distances(centers, rows[jnp.minimum(index, num - 1)].T)
            least = jnp.min(distances, axis=0)
            place = jnp.arange(centers.shape[0], dtype=jnp.int32)[:, None]
            first = jnp.min(jnp.where(distances == least[None, :], place, centers.shape[0] - 1), axis=0)
            label = label.at[index].set(jnp.where(jnp.isfinite(least), first, -1), mode="drop")
            return done + at_once, label, squared.at[index].set(least, mode="drop")

        state = jnp.zeros_like(number), label, squared
        return jax.lax.while_loop(lambda state: state[0] < number, some, state)

    state = jnp.zeros_like(number), label, squared
    _, label, squared = jax.lax.while_loop(lambda state: state[0] < number, all_of_them, state)
    return label, squared


def _squared_distances(centers: jax.Array, columns: jax.Array) -> jax.Array:
    """Squared distances `[k, m]` of centres `[k, d]` and points `[d, m]`, from differences."""

    # Feature by feature: one pass over vectors, where XLA on CPU takes a sum over [k, d, m] entry by entry.
    def add(total, feature):
        of_points, of_centers = feature
        return total + (of_points[None, :] - of_centers[:, None]) ** 2, None

    start = jnp.zeros_like(columns, shape=(centers.shape[0], columns.shape[1]))
    return jax.lax.scan(add, start, (columns, centers.T), unroll=min(16, columns.shape[0]))[0]


def _in_blocks(compare, points):
    if points.columns.shape[0] == 1:
        return compare(points.columns[0])
    num = points.rows.shape[0]
    return jax.tree.map(lambda leaf: leaf.reshape(-1)[:num], jax.lax.map(compare, points.columns))


def _largest(offered: jax.Array, columns: jax.Array, *, runner_up: bool):
    """The largest scores of a block of points, the second largest if asked for, and of which centres the first are."""
    num = offered.shape[0]
    index = jnp.arange(num, dtype=jnp.int32)[:, None]
    # Centres run along the rows: all reductions are then of whole vectors.
    scores = _blocks.matmul(offered, columns)
    best = jnp.max(scores, axis=0)
    label = jnp.min(jnp.where(scores == best[None, :], index, num - 1), axis=0)
    second = jnp.max(jnp.where(index == label[None, :], -jnp.inf, scores), axis=0) if runner_up else None
    return best, second, label


def _tournament(offered: jax.Array, columns: jax.Array, *, runner_up: bool):
    """The same, from comparisons of two centres at a time."""
    num, width = offered.shape
    scores: Callable[..., Any] = _blocks.matmul
    size = _MOST_AT_ONCE
    if num > _MOST_AT_ONCE:
        size = _GROUP
    if width <= _FEW_FEATURES + 1 and columns.shape[1] <= 2 * _POINTS_OF_FEW:
        size, scores = _GROUP_OF_FEW, _products_one_by_one
    if num <= size:
        return _winner(scores(offered, columns), runner_up)
    # Never the largest.
    filling = jnp.zeros_like(offered, shape=(-num % size, width)).at[:, -1].set(-jnp.inf)
    groups = jnp.concatenate([offered, filling]).reshape(-1, size, width)

    def compare(state, group):
        some, first = group
        best, second, label = _winner(scores(some, columns), runner_up)
        return _met(state, (best, second, first + label), runner_up), None

    first = size * jnp.arange(groups.shape[0], dtype=jnp.int32)
    lowest = jnp.full_like(columns[0], -jnp.inf)
    nobody = lowest, lowest if runner_up else None, jnp.full_like(columns[0], -1, jnp.int32)
    return jax.lax.scan(compare, nobody, (groups, first))[0]


def _by_differences(centers: jax.Array, columns: jax.Array):
    """The same of few centres, of negative squared distances from differences; nobody is the runner-up."""
    num, dim = centers.shape
    scores = [-sum((columns[j] - centers[i, j]) ** 2 for j in range(dim)) for i in range(num)]
    return _winner(scores, False)


def _products_one_by_one(offered: jax.Array, columns: jax.Array) -> list[jax.Array]:
    """Scores of each centre, which a loop over the points holds in registers."""
    num, width = offered.shape
    return [sum((columns[j] * offered[i, j] for j in range(width - 1)), offered[i, width - 1]) for i in range(num)]


def _met(one, other, runner_up):
    """Best score, second best and label of two sets of centres; of equal ones that of the first."""
    (a, second_a, of_a), (b, second_b, of_b) = one, other
    second = None
    if runner_up:
        second = jnp.minimum(a, b)
        for of_one in (second_a, second_b):
            second = second if of_one is None else jnp.maximum(second, of_one)
    return jnp.maximum(a, b), second, jnp.where(b > a, of_b, of_a)


def _winner(scores: Any, runner_up: bool):
    """The largest of rows of scores, the second largest if asked for, and the index of the first."""
    # A single score has no second. In a chain every comparison would wait for the one before.
    left = [(score, None, jnp.full_like(score, i, jnp.int32)) for i, score in enumerate(scores)]
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        met = [_met(one, other, runner_up) for one, other in pairs]
        left = met + left[2 * len(met) :]
    best, second, label = left[0]
    return best, jnp.full_like(best, -jnp.inf) if runner_up and second is None else second, label
