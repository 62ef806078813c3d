"""Moments of features in blocks of rows, for what is told by leaving a block out; constant memory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation.measure import Statistic, Values
from gentoolkit.evaluation.statistics.moments import FeatureMoments, Of, Sums, feature_sums

# Rows are dealt out when so many a block have come: a product over so many is nearly as fast as over more.
_WAITING = 256
_SEED = 1993


class BlockMoments(NamedTuple):
    """Moments of features over a set of images, and over parts of it.

    Attributes:
      blocks: sums over the images of each part; none is empty.
    """

    blocks: tuple[Sums, ...]

    @property
    def whole(self) -> FeatureMoments:
        """Moments over all images."""
        return moments_of(merged(self.blocks))


class _State(NamedTuple):
    num_dealt: int  # how often rows have been dealt out
    blocks: tuple[Sums, ...]
    waiting: tuple[np.ndarray, ...]


def blocks(of: Of, *, num_blocks: int = 8) -> Statistic:
    """Mean and covariance of features, block by block.

    Which block a row belongs to is drawn (`dealt`), so that an order of the rows, by class for instance, leaves no
    trace in the blocks. Memory is that of a batch, of 256 rows a block and of `num_blocks + 3` matrices d x d
    (0.37 GB for 2,048 features and eight blocks), whatever the number of rows.

    Args:
      of: `[b, d]`.
      num_blocks: at least 2.

    Returns:
      A statistic whose result is a `BlockMoments`; `ValueError` for fewer than two rows, or no features `[b, d]`.

    Raises:
      ValueError: fewer than two blocks.
    """
    if num_blocks < 2:
        raise ValueError(f"num_blocks must be at least 2, got {num_blocks}.")
    sums, whole = feature_sums(of), _WAITING * num_blocks

    def deal(state: _State, *, least: int) -> _State:
        """Hands out what waits, while there are so many rows."""
        if sum(map(len, state.waiting)) < least:
            return state
        rows, parts, times = np.concatenate(state.waiting), list(state.blocks), state.num_dealt
        while len(rows) >= least and len(rows):
            now, rows = rows[:whole], rows[whole:]
            for block, places in enumerate(_places(len(now), num_blocks, times)):
                parts[block] = sums.add(parts[block], now[places])
            times += 1
        return _State(times, tuple(parts), (rows,) if len(rows) else ())

    def update(state: _State, values: Values) -> _State:
        # A copy: the caller may fill the same array again.
        return deal(state._replace(waiting=(*state.waiting, np.array(sums.chosen(values)))), least=whole)

    def merge(a: _State, b: _State) -> _State:
        a, b = (deal(state, least=1) for state in (a, b))
        # The largest of one with the smallest of the other.
        first = sorted(a.blocks, key=lambda part: part.num)
        second = sorted(b.blocks, key=lambda part: -part.num)
        joint = tuple(sums.merge(x, y) for x, y in zip(first, second, strict=True))
        return _State(max(a.num_dealt, b.num_dealt), joint, ())

    def finish(state: _State) -> BlockMoments:
        full = tuple(part for part in deal(state, least=1).blocks if part.num)
        if sum(part.num for part in full) < 2:
            raise ValueError(f"A covariance needs at least two images, got {sum(part.num for part in full)}.")
        return BlockMoments(full)

    empty = Sums(0, np.zeros(()), np.zeros(()))
    return Statistic(lambda: _State(0, (empty,) * num_blocks, ()), update, merge, finish)


def dealt(num_rows: int, num_blocks: int) -> list[np.ndarray]:
    """Deals rows out to blocks as `blocks` does: by draws from a fixed seed, and as evenly as can be.

    Of every 256 rows a block each block gets 256 at random, and of those that are left as many as others,
    or one more.

    Args:
      num_rows: how many rows there are.
      num_blocks: how many blocks.

    Returns:
      The places of the rows of each block.
    """
    whole = _WAITING * num_blocks
    found = [
        [start + places for places in _places(min(whole, num_rows - start), num_blocks, times)]
        for times, start in enumerate(range(0, num_rows, whole))
    ]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _places(num_rows: int, num_blocks: int, times: int) -> list[np.ndarray]:
    order = np.random.default_rng([_SEED, times]).permutation(num_rows)
    return [order[block::num_blocks] for block in range(num_blocks)]


def merged(parts: Sequence[Sums]) -> Sums:
    """Puts the sums of several groups of rows together, at least one of which has rows.

    Args:
      parts: sums over rows `[n, d]`.

    Returns:
      The sums over all of them.
    """
    parts = [part for part in parts if part.num]
    num = sum(part.num for part in parts)
    mean = np.sum([part.mean * (part.num / num) for part in parts], axis=0)
    scatter = np.zeros_like(parts[0].scatter)
    offsets = np.stack([(part.mean - mean) * np.sqrt(part.num) for part in parts])
    for part in parts:
        scatter += part.scatter
    scatter += offsets.T @ offsets
    return Sums(num, mean, scatter)


def without(total: Sums, part: Sums) -> Sums:
    """Takes a group of rows away, at most half of all: what is left is then far above the rounding.

    Args:
      total: sums over all rows.
      part: sums over some of them.

    Returns:
      The sums over the others.
    """
    num = total.num - part.num
    mean = total.mean + (total.mean - part.mean) * (part.num / num)
    step = part.mean - mean
    return Sums(num, mean, total.scatter - part.scatter - np.outer(step, step) * (part.num * num / total.num))


def moments_of(sums: Sums) -> FeatureMoments:
    """Sums over rows as mean and covariance."""
    return FeatureMoments(sums.num, sums.mean, sums.scatter / (sums.num - 1))
