"""Texts made wrong by one word: "above" for "below", or "square" for "circle".

Texts of other pictures hardly ever differ in what lies where alone, or in one shape, so neither a sentence nor a
discriminator need care for it. A text with one other word is a hard negative in the sense of Yuksekgonul et al., When
and why vision-language models behave like bags-of-words, and what to do about it?, ICLR 2023.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.text_to_image.systems.system import Models, next_rows
from gentoolkit.data.text import Vocabulary


class Opposites(NamedTuple):
    """Which words exclude each other.

    Attributes:
      others: `[len(vocabulary), m]` numbers of the words that a word excludes, of those that exclude most; the rest
        of a row is the word itself.
      num: `[len(vocabulary)]` how many there are of each; 0 for most words.
      group: `[len(vocabulary)]` a number for each group, -1 for words of none.
    """

    others: np.ndarray
    num: np.ndarray
    group: np.ndarray


def table(groups: str, vocabulary: Vocabulary) -> Opposites | None:
    """Reads "above below, circle square triangle" as groups of words of which each excludes the others.

    Args:
      groups: of words; none where it is empty.
      vocabulary: numbers them.

    Returns:
      What excludes what, or None where there are no groups.

    Raises:
      ValueError: a group of fewer than two words, a word twice, or one that is not known.
    """
    if not groups:
        return None
    said = [group.split() for group in groups.split(",")]
    names = [name for group in said for name in group]
    if any(len(group) < 2 for group in said) or len(set(names)) != len(names):
        raise ValueError(
            "config.opposites must be groups of two or more words like "
            f'"above below, circle square triangle", no word twice, got {groups!r}.'
        )
    size, most = len(vocabulary), max(map(len, said)) - 1
    others = np.tile(np.arange(size, dtype=np.int32)[:, None], (1, most))
    num, group_of = np.zeros(size, np.int32), np.full(size, -1, np.int32)
    for number, group in enumerate(said):
        if unknown := vocabulary.unknown(" ".join(group)):
            raise ValueError(f"config.opposites: {unknown[0]!r} is no word of the texts.")
        tokens = vocabulary.encode([" ".join(group)], max_length=len(group)).values[0]
        for place, token in enumerate(tokens):
            others[token, : len(group) - 1] = np.delete(tokens, place)
        num[tokens], group_of[tokens] = len(group) - 1, number
    return Opposites(others, num, group_of)


def exchange(opposite: Opposites, tokens: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Puts in place of one word of each text, wherever it stands there, another that it excludes.

    One alone, since of two changes a reader need only see the plainer. All groups that a text has words of are as
    likely, and in them all places, and all words that such a word excludes.

    Args:
      opposite: from `table`.
      tokens: `[b, t]`.
      key: what is chosen.

    Returns:
      `[b, t]` words, and `[b]` whether a text has become another one.
    """
    others, num, group = (jnp.asarray(column) for column in opposite)
    key_place, key_other = jax.random.split(key)
    groups = group[tokens]
    alike = jnp.sum(groups[:, :, None] == groups[:, None, :], axis=2)  # places of the same group
    weights = jnp.where(groups < 0, -jnp.inf, -jnp.log(alike))
    place = jnp.argmax(weights + jax.random.gumbel(key_place, tokens.shape), axis=1)
    word = jnp.take_along_axis(tokens, place[:, None], axis=1)
    which = jax.random.uniform(key_other, word.shape) * num[word]
    turned = jnp.where(tokens == word, others[word, which.astype(jnp.int32)], tokens)
    return turned, jnp.any(turned != tokens, axis=1)


def wrong(
    models: Models, batch: Mapping[str, Any], sentence: jax.Array, opposite: Opposites | None, key: jax.Array
) -> jax.Array:
    """Sentences that are wrong of their picture: those of the next row, or of the one after if that has the same text.

    Where both have the same text, as may be in a small batch, it is right after all. In every second row, where its
    text has such words, the sentence is its own with one of them exchanged (`exchange`).

    Args:
      models: with the encoder `text`.
      batch: with the column `caption`.
      sentence: `[b, d]`, of those captions.
      opposite: from `table`.
      key: what is exchanged.

    Returns:
      `[b, d]`.
    """
    tokens = batch["caption"].values
    same = jnp.all(tokens == next_rows(tokens), axis=1)
    others = jnp.where(same[:, None], next_rows(next_rows(sentence)), next_rows(sentence))
    if opposite is None:
        return others
    tokens, lengths = (rows[::2] for rows in batch["caption"])
    turned, is_other = exchange(opposite, tokens, key)
    own = jax.lax.stop_gradient(models["text"](turned, lengths).sentence)
    return others.at[::2].set(jnp.where(is_other[:, None], own, others[::2]))
