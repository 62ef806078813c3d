"""A small transformer that reads texts: every word looks at all others of its text, in both directions.

References:
  Vaswani et al., Attention is all you need, NeurIPS 2017 (its section 3.5: the positions). Xiong et al., On layer
  normalization in the transformer architecture, ICML 2020 (norms in front).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models.text.encoded import Encoded, without
from gentoolkit.nn import attention

_LONGEST_WAVE = 10000.0  # of the positions, in words over 2 pi


class Encoder(nnx.Module):
    """Word vectors with their positions, dropout, transformer blocks, and a map to the features of a word.

    The sentence is a map of the mean of its words. Positions are waves of fixed lengths, so that texts may be of any
    length.
    """

    def __init__(
        self,
        num_words: int,
        *,
        features: int = 256,
        embedding: int = 256,
        num_layers: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
        passed_over: int | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          num_words: numbers of words there are, padding (0) among them.
          features: of a word and of the sentence.
          embedding: features of a word inside, an even number that `num_heads` divides.
          num_layers: transformer blocks.
          num_heads: of each block's attention.
          dropout: share of the features of word vectors and positions that training leaves out.
          passed_over: a number that is read as if the word were not there (`recurrent.Encoder`); None reads all.
          rngs: of the initial weights and of dropout.

        Raises:
          ValueError: a size that cannot be.
        """
        if embedding % 2 or embedding < 2 or min(num_layers, num_heads) < 1 or embedding % num_heads:
            raise ValueError(
                "embedding must be even, half of it sines and half cosines of the place, and num_heads must divide it, "
                f"got embedding = {embedding}, num_layers = {num_layers}, num_heads = {num_heads}."
            )
        if min(num_words, features) < 1 or not 0 <= dropout < 1:
            raise ValueError(
                "num_words and features must be at least 1, and dropout in [0, 1), got "
                f"num_words = {num_words}, features = {features}, dropout = {dropout}."
            )
        self.num_words, self.features, self.passed_over = num_words, features, passed_over
        self.num_layers, self.num_heads = num_layers, num_heads
        self.embed = nnx.Embed(num_words, embedding, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        # What blocks add is small in the beginning, in all as large as what they are added to.
        small = nnx.initializers.normal((2 * num_layers * embedding) ** -0.5)
        self.blocks = nnx.List(
            attention.TransformerBlock(embedding, num_heads, out_init=small, precision=None, rngs=rngs)
            for _ in range(num_layers)
        )
        self.norm = nnx.LayerNorm(embedding, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.of_word, self.of_sentence = (nnx.Linear(embedding, features, rngs=rngs) for _ in range(2))

    def alike(self, *, rngs: nnx.Rngs) -> "Encoder":
        """A new one of the same sizes, without dropout."""
        return Encoder(
            self.num_words, features=self.features, embedding=self.embed.features, num_layers=self.num_layers,
            num_heads=self.num_heads, dropout=0.0, passed_over=self.passed_over, rngs=rngs,
        )  # fmt: skip

    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> Encoded:
        """Encodes texts.

        Args:
          tokens: `[b, t]` numbers of words; `values` of a `Ragged`.
          lengths: `[b]`, at least 1.

        Returns:
          The words and the sentence.
        """
        if self.passed_over is not None:
            tokens, lengths = without(tokens, lengths, self.passed_over)
        valid = jnp.arange(tokens.shape[1]) < lengths[:, None]
        vectors = self.embed(tokens)
        # Initial vectors have the length 1 in the mean, and waves the root of half their features.
        x = vectors * np.float32(np.sqrt(vectors.shape[-1] / 2)) + waves(*vectors.shape[1:]).astype(vectors.dtype)
        if self.dropout is not None:
            x = self.dropout(x)
        for block in self.blocks:
            x = block(x, keys_valid=valid)
        x = jnp.where(valid[..., None], self.norm(x), 0)
        mean = jnp.sum(x, axis=1) / lengths[:, None].astype(x.dtype)
        return Encoded(jnp.where(valid[..., None], self.of_word(x), 0), self.of_sentence(mean), valid)


def waves(num: int, features: int) -> np.ndarray:
    """Positions as sines and cosines of lengths from 2 pi to nearly 10,000 times that, `[num, features]` float32.

    Args:
      num: of positions.
      features: an even number: the first half sines, the second cosines.
    """
    half = features // 2
    angles = np.arange(num)[:, None] * _LONGEST_WAVE ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
