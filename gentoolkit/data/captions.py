"""Several texts of one picture: which of them a training step sees.

A data set keeps the texts of a picture as one column of numbers of words, `[b, k, max_length]`, zeros behind the last
word of each. A stream takes one at random, another in each epoch::

    stream = pipeline.Stream(scenes.load("train", 50_000), batch_size=64, transforms=(captions.OneText(),))
    stream[0]["caption"]     # Ragged([64, 48], [64])
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
