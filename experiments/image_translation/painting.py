"""Pictures of any size through the networks of a system: padded and cropped back, and in windows where they are large.

A picture goes through whole where it has at most side^2 pixels: that is exact. A larger one goes in windows, and two
things are then to be had from elsewhere:

- What lies beyond a window. Windows overlap by the reach of the networks, so that this too is exact.
- The statistics of the norms, which are those of the whole picture. They are first those of some windows, spread over
  the picture, which go through together. With these held, all windows go through, and what each norm sees of the whole
  picture beside what it was given corrects them, until both differ by less than `TOLERANCE` deviations. This is
  approximate: with statistics that are off by a hundredth, pictures were off by 0.03 levels of 255 in the mean and by 3
  at most; without seams, since all windows have the same. Each round takes as long as the picture would whole, and what
  the overlap adds: two or three are the rule, and there cannot be more than norms.

The U-Net of bicyclegan sees all of a picture from every pixel; it has no windows, and a large picture needs its memory.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from experiments.image_translation import windows
from experiments.image_translation.systems.system import Domain, Models, System
from gentoolkit import training
from gentoolkit.nn import shared_statistics
from gentoolkit.nn.shared_statistics import Correction, Statistics

TOLERANCE = 0.01
_SAMPLED = 4  # the square of it is the number of windows that are looked at first
_PER_BLOCK, _BESIDE = 8, 32  # pixels that a network sees to each side: for a residual block, and for all else


class Painted(NamedTuple):
    """Pictures that were painted.

    Attributes:
      images: `[n, h, w, c]` in [-1, 1].
      num_windows: that each was taken in.
      off: by how many standard deviations the statistics of a norm were off at most; 0 for a picture that was whole.
      rounds: how often the windows went through.
    """

    images: np.ndarray
    num_windows: int = 1
    off: float = 0.0
    rounds: int = 1


class Painter:
    """The way from pictures of one domain to pictures of another, or of the same."""

    def __init__(self, system: System, models: Models, *, to: Domain, restyle: bool = False, side: int = 1024):
        """Compiles nothing yet.

        Args:
          system: of the networks.
          models: the networks, in evaluation mode.
          to: the domain that is painted.
          restyle: whether from pictures of the same domain; the system has `restyle`.
          side: a picture of more than side^2 pixels goes in windows of so many.

        Raises:
          ValueError: windows of that side would have nothing but borders.
        """
        self.system, self.models, self.side = system, dict(models), side
        self.reach = _reach(models)
        if not self.whole and side < (least := 4 * self.reach):
            raise ValueError(f"Windows must be of {least} pixels at least for these networks, got {side}.")
        repaint = system.restyle if restyle else system.translate
        assert repaint is not None

        def paint(models, images, codes):
            return repaint(models, images, codes if system.code_dim else None, to)

        def collected(models, images, codes, weights, given):
            seen = shared_statistics.replace(models, weights, given=given)
            return paint(models, images, codes), seen

        def corrected(models, images, codes, corrections):
            weights = jax.numpy.ones(images.shape[:3])
            seen = shared_statistics.replace(models, weights, corrections=corrections)
            paint(models, images, codes)
            if corrections is None:
                return seen
            return {name: corrections[name].of(law) for name, law in seen.items()}

        self._paint, self._collected, self._corrected = map(training.jit, (paint, collected, corrected))

    @property
    def whole(self) -> bool:
        """Whether a picture of any size goes through whole."""
        return self.system.multiple > 4

    def rows(self, size: tuple[int, int], most: int) -> int:
        """How many pictures of a height and width go through at once, at least one and at most `most`."""
        height, width = self.padded(size)
        return max(1, min(most, self.side**2 // (height * width)))

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The height and width that a picture is padded to."""
        multiple = self.system.multiple
        # A reflection needs two pixels in the smallest map.
        height, width = (max(8, math.ceil(length / multiple) * multiple) for length in size)
        return height, width

    def __call__(self, images: np.ndarray, codes: np.ndarray) -> Painted:
        """Paints.

        Args:
          images: `[n, h, w, c]` in [-1, 1].
          codes: `[n, d]`; where the system has none, `[n, 0]`.

        Returns:
          The pictures, of the same height and width.
        """
        size = images.shape[1:3]
        wide = _reflected(images, self.padded(size))
        if self.whole or wide.shape[1] * wide.shape[2] <= self.side**2:
            made = Painted(np.asarray(self._paint(self.models, wide, codes), np.float32))
        else:
            each = [self._in_windows(image, code) for image, code in zip(wide, codes, strict=True)]
            off, rounds = max(one.off for one in each), max(one.rounds for one in each)
            made = Painted(np.stack([one.images for one in each]), each[0].num_windows, off, rounds)
        return made._replace(images=made.images[:, : size[0], : size[1]])

    def _in_windows(self, image: np.ndarray, code: np.ndarray) -> Painted:
        size, multiple, codes = image.shape[:2], self.system.multiple, code[None]
        side = min(self.side // _SAMPLED // multiple * multiple, *size)
        places = windows.spread(size, side=side, num=_SAMPLED**2, multiple=multiple)
        sample = np.stack([image[top : top + side, left : left + side] for top, left in places])
        sample_codes = np.repeat(codes, len(sample), axis=0)
        window = windows.shape(size, side=self.side, reach=self.reach, multiple=multiple)
        plan = list(windows.over(size, window, reach=self.reach))
        given: Any = self._corrected(self.models, sample, sample_codes, None)
        corrections: dict[str, Correction] = {}
        for number in itertools.count(1):
            made, seen = self._all(image, codes, plan, window, given)
            apart = {name: Correction.between(given[name], law) for name, law in seen.items()}
            off = _off(apart)
            # What a norm sees is right as soon as all before it are: there cannot be more rounds than norms.
            if off <= TOLERANCE or number > len(seen):
                return Painted(made, len(plan), off, number)
            corrections = {name: one.after(corrections[name]) if corrections else one for name, one in apart.items()}
            single = jax.tree.map(np.float32, corrections)
            given = self._corrected(self.models, sample, sample_codes, single)
        raise AssertionError

    def _all(
        self,
        image: np.ndarray,
        codes: np.ndarray,
        plan: list[windows.Window],
        window: tuple[int, int],
        given: Mapping[str, Statistics],
    ) -> tuple[np.ndarray, dict[str, Statistics]]:
        """All windows of a picture with given statistics, and the statistics that the norms saw in it."""
        made, pooled = None, _Pooled()
        for one in plan:
            weights = np.zeros((1, *window), np.float32)
            weights[0][one.used()] = 1
            pixels = image[one.top : one.top + window[0], one.left : one.left + window[1]]
            painted, seen = self._collected(self.models, pixels[None], codes, weights, given)
            painted = np.asarray(painted[0], np.float32)
            if made is None:
                made = np.empty((*image.shape[:2], painted.shape[-1]), np.float32)
            made[one.place()] = painted[one.used()]
            pooled.add(float(weights.sum()), jax.device_get(seen))
        assert made is not None
        return made, pooled.statistics()


class _Pooled:
    """Statistics of parts put together, in 64 bits."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._total = 0.0

    def add(self, weight: float, seen: Mapping[str, Statistics]) -> None:
        self._total += weight
        for name, law in seen.items():
            mean, variance = (np.asarray(part, np.float64) for part in law)
            self._sums[name] = self._sums.get(name, 0.0) + weight * np.stack([mean, variance + mean**2])

    def statistics(self) -> dict[str, Statistics]:
        found = {name: sums / self._total for name, sums in self._sums.items()}
        return {name: Statistics(mean, np.maximum(square - mean**2, 0)) for name, (mean, square) in found.items()}


def side_of_memory(width: int) -> int:
    """The side of windows that take some 2 GiB, for networks that begin with so many channels."""
    # Five maps of full size at a time, as measured.
    return int((2**31 / (5 * 4 * width)) ** 0.5)


def _off(apart: Mapping[str, Correction]) -> float:
    """By how many standard deviations statistics differ at most, as means or as deviations."""
    return max(
        (float(np.max(np.maximum(np.abs(one.shift), np.abs(one.ratio - 1)))) for one in apart.values()), default=0.0
    )


def _reflected(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images continued by reflection below and on the right, as often as is needed."""
    below, right = (wanted - length for wanted, length in zip(size, images.shape[1:3], strict=True))
    if not below and not right:
        return images
    # A picture of one row has nothing to reflect: its border is repeated.
    mode = "reflect" if min(images.shape[1:3]) > 1 else "edge"
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode=mode)


def _reach(models: Models) -> int:
    """How far a pixel sees at most, a multiple of four pixels: through the networks of one direction."""
    blocks: dict[str, int] = {}
    for name, model in models.items():
        kinds = [type(node).__name__ for _, node in nnx.iter_graph(model)]
        part = name.removesuffix("_x").removesuffix("_y")
        blocks[part] = max(blocks.get(part, 0), kinds.count("ResidualBlock") + kinds.count("AdaptiveResidual"))
    return _BESIDE + _PER_BLOCK * sum(blocks.values())
