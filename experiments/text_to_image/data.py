"""The captioned pictures of a configuration."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gentoolkit import study
from gentoolkit.data import captions, pipeline, scenes
from gentoolkit.data.columns import Columns
from gentoolkit.data.text import Vocabulary


class Captioned(NamedTuple):
    """Pictures with their texts.

    Attributes:
      train: with columns `image` and `captions`, and what else a source knows.
      test: other pictures of the same kind.
      held_out: pictures of combinations that training has not seen; None where nobody knows of any.
      vocabulary: the words behind the numbers in `captions`.
      credit: who is to be named where pictures are shown.
    """

    train: Columns
    test: Columns
    held_out: Columns | None
    vocabulary: Vocabulary
    credit: str = ""

    @property
    def max_words(self) -> int:
        """Words that a text has room for."""
        return self.train.fields["captions"].shape[1]


def load(config: ConfigDict) -> Captioned:
    """Loads the data set of a configuration.

    Raises:
      ValueError: an unknown data set, or sizes that cannot be.
    """
    return study.choose("config.dataset", config.dataset, _SOURCES)(config)


def stream(config: ConfigDict, source: Columns, *columns: str, **part: int) -> pipeline.Stream:
    """Batches for training as bytes, each picture with one of its texts: `image`, `caption` and further columns."""
    return pipeline.Stream(
        source.select("image", "captions", *columns),
        seed=config.seed,
        batch_size=config.batch_size,
        image_range=None,
        transforms=(captions.OneText(),),
        **part,
    )


def first_texts(source: Columns, num: int, *, which: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words `[num, t]` and lengths `[num]` of one text of each of the first pictures."""
    tokens = np.asarray(source.select("captions").take(np.arange(min(num, len(source))))["captions"])[:, which]
    return tokens, (tokens != 0).sum(1).astype(np.int32)


def _scenes(config: ConfigDict) -> Captioned:
    size = config.image_size
    # Splits differ in what is drawn from one seed; the run's own seed is of the networks.
    options = {"image_size": size, "max_objects": config.max_objects}
    train = scenes.load("train", config.num_train, **options)
    test, held_out = (scenes.load(split, config.num_test, **options) for split in ("test", "held_out"))
    return Captioned(train, test, held_out, scenes.VOCABULARY)


_SOURCES: dict[str, Callable[[ConfigDict], Captioned]] = {"scenes": _scenes}
