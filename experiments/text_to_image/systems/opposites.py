"""Texts made wrong by one word: "above" for "below".

Texts of other pictures hardly ever differ in what lies where alone, so neither a sentence nor a discriminator need care
for it. A text with its opposite word is a hard negative in the sense of Yuksekgonul et al., When and why
vision-language models behave like bags-of-words, and what to do about it?, ICLR 2023.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.text_to_image.systems.system import Models, next_rows
from gentoolkit.data.text import Vocabulary


def table(pairs: str, vocabulary: Vocabulary) -> np.ndarray | None:
    """Reads "above below, left right" as the number of the opposite of each word, its own where it has none.

    Args:
      pairs: of words; none where it is empty.
      vocabulary: numbers them.

    Returns:
      `[len(vocabulary)]`, or None where there are no pairs.

    Raises:
      ValueError: not pairs, a word twice, or one that is not known.
    """
    if not pairs:
        return None
    found, said = np.arange(len(vocabulary), dtype=np.int32), [pair.split() for pair in pairs.split(",")]
    names = [name for pair in said for name in pair]
    if any(len(pair) != 2 for pair in said) or len(set(names)) != len(names):
        raise ValueError(
            f'config.opposites must be pairs like "above below, left right", no word twice, got {pairs!r}.'
        )
    for pair in said:
        if unknown := vocabulary.unknown(" ".join(pair)):
            raise ValueError(f"config.opposites: {unknown[0]!r} is no word of the texts.")
        numbers = vocabulary.encode([" ".join(pair)], max_length=2).values[0]
        found[numbers] = numbers[::-1]
    return found


def exchange(opposite: np.ndarray, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Puts each word's opposite in its place.

    Args:
      opposite: from `table`.
      tokens: `[b, t]`.

    Returns:
      `[b, t]` words, and `[b]` whether a text has become another one.
    """
    turned = jnp.asarray(opposite)[tokens]
    return turned, jnp.any(turned != tokens, axis=1)


def wrong(models: Models, batch: Mapping[str, Any], sentence: jax.Array, opposite: np.ndarray | None) -> jax.Array:
    """Sentences that are wrong of their picture: those of the next row, or of the one after if that has the same text.

    Where both have the same text, as may be in a small batch, it is right after all. In every second row, where its
    text has such words, the sentence is its own with the opposite ones.

    Args:
      models: with the encoder `text`.
      batch: with the column `caption`.
      sentence: `[b, d]`, of those captions.
      opposite: from `table`.

    Returns:
      `[b, d]`.
    """
    tokens = batch["caption"].values
    same = jnp.all(tokens == next_rows(tokens), axis=1)
    others = jnp.where(same[:, None], next_rows(next_rows(sentence)), next_rows(sentence))
    if opposite is None:
        return others
    tokens, lengths = (rows[::2] for rows in batch["caption"])
    turned, is_other = exchange(opposite, tokens)
    own = jax.lax.stop_gradient(models["text"](turned, lengths).sentence)
    return others.at[::2].set(jnp.where(is_other[:, None], own, others[::2]))
