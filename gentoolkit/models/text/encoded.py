"""What every reader of texts gives to systems of text to picture: words in their context, and the sentence."""

from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
from flax import nnx


class Encoded(NamedTuple):
    """A batch of texts.

    Attributes:
      words: `[b, t, d]`, each word in its context, zeros for padding.
      sentence: `[b, d]`.
      valid: `[b, t]` bool, which words are there.
    """

    words: jax.Array
    sentence: jax.Array
    valid: jax.Array


class TextEncoder(Protocol):
    """A module that reads texts as numbers of words: `recurrent.Encoder`, `transformer.Encoder`.

    Attributes:
      num_words: numbers of words that it knows, padding (0) among them.
      features: of a word and of the sentence.
      passed_over: the number of a word that is read as if it were not there; None for none.
      embed: the vectors of words.
    """

    num_words: int
    features: int
    passed_over: int | None
    embed: nnx.Embed

    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> Encoded:
        """Encodes texts `[b, t]` of `[b]` words each, at least one."""

    def alike(self, *, rngs: nnx.Rngs) -> Self:
        """A new one of the same sizes, without dropout."""


def without(tokens: jax.Array, lengths: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """Takes the words of one number out of texts, whose other words move up; a text of nothing else keeps its first.

    Args:
      tokens: `[b, t]`.
      lengths: `[b]`.
      number: of the word.

    Returns:
      Tokens and lengths of the same shapes.
    """
    there = jnp.arange(tokens.shape[1]) < lengths[:, None]
    gone = there & (tokens == number)
    # Words that stay, then those that go, then padding, each in its order.
    order = jnp.argsort(jnp.where(there, gone.astype(jnp.int32), 2), axis=1, stable=True)
    return jnp.take_along_axis(tokens, order, axis=1), jnp.maximum(lengths - gone.sum(1), 1)
