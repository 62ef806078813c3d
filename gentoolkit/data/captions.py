"""Several texts of one picture: which of them a training step sees.

A data set keeps the texts of a picture as one column of numbers of words, `[b, k, max_length]`, zeros behind the last
word of each. A stream takes one at random, another in each epoch::

    stream = pipeline.Stream(scenes.load("train", 50_000), seed=0, batch_size=64, transforms=(captions.OneText(),))
    stream[0]["caption"]     # Ragged([64, 48], [64])

Behind it, `SomeWords(18)` makes long texts shorter: other words of them in each epoch.
"""

import dataclasses

import numpy as np

from gentoolkit.data.fields import Ragged, Tokens
from gentoolkit.data.transform import Batch, Fields


@dataclasses.dataclass(frozen=True)
class OneText:
    """Takes one of the texts of each example.

    Attributes:
      several: the column `[k, max_length]`; it goes.
      one: the column of variable length that comes in its place.
      which: always this one, for evaluation; None draws.
    """

    several: str = "captions"
    one: str = "caption"
    which: int | None = None

    def __call__(self, fields: Fields, batch: Batch, words: np.ndarray) -> tuple[Fields, Batch]:
        """Chooses for a batch.

        Args:
          fields: of the columns.
          batch: the columns.
          words: `[b]` uint64, uniform; the high half decides.

        Returns:
          The fields and the batch with the column of one text.

        Raises:
          ValueError: there is no such column, or no such text in it.
        """
        if self.several not in fields or len(fields[self.several].shape) != 2:
            raise ValueError(f"There is no column {self.several!r} of several texts; there are {', '.join(fields)}.")
        count, length = fields[self.several].shape
        if self.which is not None and not 0 <= self.which < count:
            raise ValueError(f"which must be from 0 to {count - 1}, got {self.which}.")
        texts = batch[self.several]
        drawn = ((words >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)
        chosen = drawn if self.which is None else np.full(len(texts), self.which)
        values = texts[np.arange(len(texts)), chosen]
        kept = {name: field for name, field in fields.items() if name != self.several}
        column = Ragged(values, (values != 0).sum(-1).astype(np.int32))
        rest = {name: batch[name] for name in kept}
        return kept | {self.one: Tokens(max_length=length)}, rest | {self.one: column}


@dataclasses.dataclass(frozen=True)
class SomeWords:
    """Leaves words out of long texts, drawn anew each time; the others stay in their order.

    Attributes:
      max_length: words that stay; texts of no more are not changed.
      column: of one text, of variable length.

    References:
      Xu et al., AttnGAN, 2018 (authors' code: 18 words of a text about a bird, 12 or 15 of one from COCO).
    """

    max_length: int
    column: str = "caption"

    def __call__(self, fields: Fields, batch: Batch, words: np.ndarray) -> tuple[Fields, Batch]:
        """Shortens a batch.

        Args:
          fields: of the columns.
          batch: the columns.
          words: `[b]` uint64, uniform.

        Returns:
          The fields and the batch, the column with room for `max_length` words.

        Raises:
          ValueError: there is no such column of texts, or fewer than one word is to stay.
        """
        if not isinstance(fields.get(self.column), Tokens):
            raise ValueError(f"There is no column {self.column!r} of one text; there are {', '.join(fields)}.")
        if self.max_length < 1:
            raise ValueError(f"max_length must be >= 1, got {self.max_length}.")
        tokens = batch[self.column]
        room = tokens.values.shape[1]
        kept = min(self.max_length, room)
        # The places with the smallest keys stay, and those behind the end of a text have the largest.
        keys = _mixed(words[:, None] + np.arange(1, room + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        keys = np.where(tokens.valid, keys >> np.uint64(1), np.uint64(2**64 - 1))
        places = np.sort(np.argsort(keys, axis=1, kind="stable")[:, :kept], axis=1)
        column = Ragged(np.take_along_axis(tokens.values, places, 1), np.minimum(tokens.lengths, kept))
        field = dataclasses.replace(fields[self.column], max_length=kept)
        return dict(fields) | {self.column: field}, batch | {self.column: column}


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Uniform numbers of equidistant ones: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
