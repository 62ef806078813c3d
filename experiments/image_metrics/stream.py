"""Images of any size as batches for several networks: read and prepared by threads, with what went wrong on the way."""

import collections
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, Protocol

import numpy as np

from experiments.image_metrics.pictures import Source, shown

_THREADS = 4


class Prepare(Protocol):
    """What is done to images before a network, such as `preprocessing.Preprocessing`."""

    @property
    def name(self) -> str:
        """What results call it."""

    def of_levels(self, images: np.ndarray, /) -> Any:
        """Grey levels `[1, h, w, 3]` to what the network takes, `[1, ...]`."""


class Stream:
    """Batches of prepared images; to be iterated once.

    Attributes:
      used: names of the images that were read, in the order of their rows.
      failed: why others could not be read, by name.
      sizes: how many images are `(width, height)`.
      unusual: how many images are grey, transparent and the like.
      codecs: how many files are PNG, JPEG and so on.
      highest: the highest grey level of all.
    """

    def __init__(
        self,
        source: Source,
        prepare: Mapping[str, Prepare],
        *,
        batch_size: int,
        transparency: str,
        fitted: str = "each stretched to the network's",
        done: Callable[[int], None] = lambda num: None,
    ):
        """Makes the stream.

        Args:
          source: of the images.
          prepare: what is done to them for each network, by its name.
          batch_size: images in a batch; the last one is filled up.
          transparency: as in `Source.read`.
          fitted: what is done to images of several sizes, in words.
          done: told after every batch how many files have been read.
        """
        self._source, self._prepare, self._size = source, prepare, batch_size
        self._transparency, self._fitted, self._done = transparency, fitted, done
        self.used: list[str] = []
        self.failed: dict[str, str] = {}
        self.sizes: collections.Counter[tuple[int, int]] = collections.Counter()
        self.unusual: collections.Counter[str] = collections.Counter()
        self.codecs: collections.Counter[str] = collections.Counter()
        self.highest = 0

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields `{name of a network: [b, h, w, 3], "counts": [b]}`."""
        names = iter(self._source.names)
        rows: list[Mapping[str, np.ndarray]] = []
        read = 0
        with futures.ThreadPoolExecutor(_THREADS) as pool:
            waiting = collections.deque(pool.submit(self._read, name) for name in itertools.islice(names, self._size))
            try:
                while waiting:
                    name, pixels, made = waiting.popleft().result()
                    waiting.extend(pool.submit(self._read, following) for following in itertools.islice(names, 1))
                    read += 1
                    if made is None:
                        self.failed[name] = pixels
                    else:
                        self._note(name, *pixels)
                        rows.append(made)
                    if len(rows) == self._size or (rows and not waiting):
                        yield self._batch(rows)
                        self._done(read)
                        rows = []
            finally:
                pool.shutdown(cancel_futures=True)

    def _note(self, name: str, size: tuple[int, int], unusual: tuple[str, ...], codec: str, highest: int) -> None:
        self.used.append(name)
        self.sizes[size] += 1
        self.unusual.update(unusual)
        self.codecs[codec] += 1
        self.highest = max(self.highest, highest)

    def _read(self, name: str) -> tuple[str, Any, Mapping[str, np.ndarray] | None]:
        try:
            pixels = self._source.read(name, transparency=self._transparency)
        except (OSError, ValueError) as error:
            return name, _reason(error), None
        made = {key: prepare.of_levels(pixels.levels[None])[0] for key, prepare in self._prepare.items()}
        height, width = pixels.levels.shape[:2]
        return name, ((width, height), pixels.unusual, pixels.codec, int(pixels.levels.max())), made

    def _batch(self, rows: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        filled = [*rows, *[rows[-1]] * (self._size - len(rows))]
        batch = {key: np.stack([row[key] for row in filled]) for key in rows[0]}
        return batch | {"counts": np.arange(self._size) < len(rows)}

    def said(self, what: str) -> list[str]:
        """Sentences on what is worth knowing about these images.

        Args:
          what: "real" or "generated".
        """
        lines = []
        if len(self.sizes) > 1:
            most = ", ".join(f"{number} of {w} x {h}" for (w, h), number in self.sizes.most_common(3))
            rest = ", ..." if len(self.sizes) > 3 else ""
            lines.append(f"{what}: images of {len(self.sizes)} sizes ({most}{rest}), {self._fitted}.")
        for kind, number in sorted(self.unusual.items()):
            how = " (their transparency is dropped)" if kind == "transparent" and self._transparency == "drop" else ""
            how = " (laid over white)" if kind == "transparent" and self._transparency == "white" else how
            lines.append(f"{what}: {number} images are {kind}{how}.")
        if self.used and self.highest <= 1:
            lines.append(f"{what}: no pixel is above 1 of 255: all black, or [0, 1] stored as bytes?")
        if self.failed:
            total = len(self.used) + len(self.failed)
            lines.append(f"{what}: {len(self.failed)} of {total} files cannot be read and are left out:")
            lines += [f"  {shown(name)}: {why}" for name, why in self.failed.items()]
        return lines


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:200].replace("\x00", "")
