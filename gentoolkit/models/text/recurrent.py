"""AttnGAN's text encoder: words in their context, and the sentence, by an LSTM in both directions.

References:
  Xu et al., AttnGAN, CVPR 2018, section 3.2; sizes as in the authors' public code.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.text.encoded import Encoded as Encoded
from gentoolkit.models.text.encoded import without
from gentoolkit.nn.recurrent import LSTM


class Encoder(nnx.Module):
    """Word vectors, dropout, one LSTM forwards and one backwards.

    The sentence is the forward state at its last word beside the backward state at its first.
    """

    def __init__(
        self,
        num_words: int,
        *,
        features: int = 256,
        embedding: int = 300,
        dropout: float = 0.5,
        passed_over: int | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          num_words: numbers of words there are, padding (0) among them.
          features: of a word and of the sentence; half of them from each direction.
          embedding: features of a word vector.
          dropout: share of the word vectors' features that training leaves out; 0 for weights of a file.
          passed_over: a number that is read as if the word were not there, as the authors' code leaves words out that
            it does not know; such a text is encoded as the shorter one, its words moved up. None reads every number.
          rngs: of the initial weights and of dropout.

        Raises:
          ValueError: an odd number of features.
        """
        if features % 2 or features < 2:
            raise ValueError(f"features must be even, half of them from each direction, got features = {features}.")
        uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -0.1, 0.1)  # noqa: E731
        self.num_words, self.features, self.passed_over = num_words, features, passed_over
        self.embed = nnx.Embed(num_words, embedding, embedding_init=uniform, rngs=rngs)
        # Without dropout there are no keys either, so that weights of a file are all there is.
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        self.forward, self.backward = (LSTM(embedding, features // 2, rngs=rngs) for _ in range(2))

    def alike(self, *, rngs: nnx.Rngs) -> "Encoder":
        """A new one of the same sizes, without dropout."""
        return Encoder(
            self.num_words, features=self.features, embedding=self.embed.features, dropout=0.0,
            passed_over=self.passed_over, rngs=rngs,
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
        x = self.embed(tokens)
        if self.dropout is not None:
            x = self.dropout(x)
        one, last = self.forward(x, lengths)
        other, first = self.backward(x, lengths, reverse=True)
        valid = jnp.arange(tokens.shape[1]) < lengths[:, None]
        return Encoded(jnp.concatenate([one, other], -1), jnp.concatenate([last, first], -1), valid)


def table(*, without_unknown: bool = False) -> weights.Table:
    """Where the parameters of an `Encoder` stand in the authors' files (`text_encoder200.pth`).

    Args:
      without_unknown: whether number 1 stands for words that are not known, of which the authors have none: each of
        their word vectors then has a number one higher, as `data.text.of_attngan` numbers their words, and that of
        number 1 is zero (`passed_over=1` never looks at it).

    Returns:
      The table.
    """
    vectors = weights.same("encoder.weight")
    if without_unknown:
        vectors = weights.Entry(
            vectors.names, lambda shape: ((shape[0] - 1, *shape[1:]),), lambda rows: np.insert(rows, 1, 0, axis=0)
        )
    found = {"embed/embedding": vectors}
    for way, end in (("forward", "l0"), ("backward", "l0_reverse")):
        found[f"{way}/of_input"] = weights.linear(f"rnn.weight_ih_{end}")
        found[f"{way}/of_state"] = weights.linear(f"rnn.weight_hh_{end}")
        names = (f"rnn.bias_ih_{end}", f"rnn.bias_hh_{end}")
        found[f"{way}/bias"] = weights.Entry(names, lambda shape: (shape, shape), np.add)
    return found
