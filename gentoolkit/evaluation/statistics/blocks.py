"""Moments of features in blocks of rows, for what is told by leaving a block out; constant memory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation.measure import Statistic, Values
from gentoolkit.evaluation.statistics.moments import FeatureMoments, Of, Sums, feature_sums

# As many batches are dealt out row by row, so that few images fill all blocks alike; then whole ones, which is faster.
_DEALT = 32


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
    num_batches: int
    blocks: tuple[Sums, ...]


def blocks(of: Of, *, num_blocks: int = 8) -> Statistic:
    """Mean and covariance of features, block by block.

    Memory is that of a batch and of `num_blocks + 3` matrices d x d (0.37 GB for 2,048 features and eight blocks),
    whatever the number of rows. The first batches are dealt out row by row, later ones go whole to the smallest block.

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
    sums = feature_sums(of)

    def update(state: _State, values: Values) -> _State:
        x = sums.chosen(values)
        parts = list(state.blocks)
        seen = sum(part.num for part in parts)
        if state.num_batches < _DEALT:
            for start in range(min(num_blocks, len(x))):
                place = (seen + start) % num_blocks
                parts[place] = sums.add(parts[place], x[start::num_blocks])
        else:
            place = int(np.argmin([part.num for part in parts]))
            parts[place] = sums.add(parts[place], x)
        return _State(state.num_batches + 1, tuple(parts))

    def merge(a: _State, b: _State) -> _State:
        # The largest of one with the smallest of the other.
        first = sorted(a.blocks, key=lambda part: part.num)
        second = sorted(b.blocks, key=lambda part: -part.num)
        joint = tuple(sums.merge(x, y) for x, y in zip(first, second, strict=True))
        return _State(max(a.num_batches, b.num_batches), joint)

    def finish(state: _State) -> BlockMoments:
        full = tuple(part for part in state.blocks if part.num)
        if sum(part.num for part in full) < 2:
            raise ValueError(f"A covariance needs at least two images, got {sum(part.num for part in full)}.")
        return BlockMoments(full)

    empty = Sums(0, np.zeros(()), np.zeros(()))
    return Statistic(lambda: _State(0, (empty,) * num_blocks), update, merge, finish)


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
