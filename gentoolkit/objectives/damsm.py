"""How well words go with regions of pictures: the scores of AttnGAN's attentional similarity (DAMSM).

Scores of all pairs of a batch become a loss by `contrastive.matching`, in both directions, once of words and once of
whole sentences::

    words = damsm.word_scores(regions, word_features, valid=caption.valid)
    sentences = contrastive.cosines(picture_features, sentence_features)
    losses = [contrastive.matching(10.0 * scores, groups=classes) for scores in (words, sentences)]
    loss = sum(jnp.mean(both.rows) + jnp.mean(both.columns) for both in losses)

References:
  Xu, Zhang, Huang, Zhang, Gan, Huang, He, AttnGAN: fine-grained text to image generation with attentional generative
  adversarial networks, CVPR 2018, section 3.2.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit import _array

_CUTS = 4  # lengths that a block of texts may be cut to
_LEAST = 1e-8  # of the product of two norms, below which a cosine is no longer the angle's


def word_scores(
    regions: jax.Array,
    words: jax.Array,
    *,
    valid: jax.Array,
    gamma_1: ArrayLike = 4.0,
    gamma_2: ArrayLike = 5.0,
    scale: Literal["public", "paper"] = "public",
    block_size: int | None = None,
) -> jax.Array:
    """Scores of every picture with every text: each word looks for its regions, and is compared with what it found.

    With s the product of a word and a region: weights are softmax over regions of gamma_1 times softmax over words of
    s; c is the mean of the regions under them; r the cosine of c and the word; the score log sum exp(gamma_2 r) over
    words. Padded words take no part in either of the sums over words.

    Args:
      regions: `[m, n, d]` features of the n regions of m pictures.
      words: `[b, t, d]` features of the words of b texts.
      valid: `[b, t]` bool, which words are there; at least one of each text.
      gamma_1: how sharply a word picks its regions. 4 in the public code's settings, 5 in the paper.
      gamma_2: how much the word that fits best counts.
      scale: "paper" divides the score by gamma_2, as its eq. (10) does and the public code does not.
      block_size: texts that are scored at a time, which bounds memory to `m n t block_size` numbers, of the gradient
        too; None takes all at once. Texts of a block are cut behind their last word, to a fourth, a half, three
        fourths or all of t, which saves most of the work where one long text has many short ones beside it.

    Returns:
      `[m, b]`, at most `gamma_2 + log t`.

    Raises:
      ValueError: shapes that disagree, or a block that is not positive.
    """
    shapes = {name: _array.shape(array) for name, array in (("regions", regions), ("words", words))}
    if any(len(shape) != 3 or 0 in shape for shape in shapes.values()) or len({s[-1] for s in shapes.values()}) > 1:
        raise ValueError(
            f"regions must be [m, n, d] and words [b, t, d], got {shapes['regions']} and {shapes['words']}."
        )
    if _array.shape(valid) != shapes["words"][:2]:
        raise ValueError(f"valid must be of shape {shapes['words'][:2]}, got valid.shape = {_array.shape(valid)}.")
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be >= 1 or None, got {block_size}.")
    if scale not in ("public", "paper"):
        raise ValueError(f"scale must be 'public' or 'paper', got {scale!r}.")
    regions, words = _array.as_floating(regions=regions, words=words)
    valid = jnp.asarray(valid, bool)

    def of_text(text: tuple[jax.Array, jax.Array]) -> jax.Array:
        return _of_text(regions, *text, gamma_1=gamma_1, gamma_2=gamma_2)

    if block_size is None:
        scores = jax.vmap(of_text)((words, valid))
    else:
        scores = _in_blocks(of_text, words, valid, block_size)
    scores = scores / jnp.asarray(gamma_2, scores.dtype) if scale == "paper" else scores
    return scores.T


def attention(regions: jax.Array, words: jax.Array, *, valid: jax.Array, gamma_1: ArrayLike = 4.0) -> jax.Array:
    """Where each word of a text looks in its own picture.

    Args:
      regions: `[b, n, d]`.
      words: `[b, t, d]`.
      valid: `[b, t]` bool.
      gamma_1: as in `word_scores`.

    Returns:
      `[b, t, n]` weights; those of a word sum to one, zeros for padding.
    """
    weights = jax.vmap(lambda r, w, v: _weights(r, w, v, gamma_1))(regions, words, jnp.asarray(valid, bool))
    return jnp.where(jnp.asarray(valid, bool)[..., None], weights, 0)


def _weights(regions: jax.Array, words: jax.Array, valid: jax.Array, gamma_1: ArrayLike) -> jax.Array:
    """`[..., n, d]` regions and the `[t, d]` words of one text to `[..., t, n]`."""
    products = jnp.einsum("td,...nd->...tn", words, regions, precision=jax.lax.Precision.HIGHEST)
    there = jnp.broadcast_to(jnp.expand_dims(valid[:, None], tuple(range(products.ndim - 2))), products.shape)
    shares = jax.nn.softmax(jnp.where(there, products, -jnp.inf), axis=-2)
    return jax.nn.softmax(jnp.asarray(gamma_1, shares.dtype) * shares, axis=-1)


def _of_text(regions, words, valid, *, gamma_1, gamma_2) -> jax.Array:
    """The scores `[m]` of one text with all pictures."""
    weights = _weights(regions, words, valid, gamma_1)
    found = jnp.einsum("mtn,mnd->mtd", weights, regions, precision=jax.lax.Precision.HIGHEST)
    products = jnp.sum(found * words[None], axis=-1)
    norms = _norm(found) * _norm(words)[None]
    cosines = products / jnp.maximum(norms, _LEAST)
    return jax.nn.logsumexp(jnp.where(valid[None], jnp.asarray(gamma_2, cosines.dtype) * cosines, -jnp.inf), axis=-1)


def _in_blocks(
    of_text: Callable[[tuple[jax.Array, jax.Array]], jax.Array], words: jax.Array, valid: jax.Array, block_size: int
) -> jax.Array:
    """`of_text` of each text, in blocks of texts that are about as long as each other."""
    b, t = valid.shape
    ends = t - jnp.argmax(valid[:, ::-1], axis=1)  # behind the last word
    order = jnp.argsort(ends)
    num_blocks = -(-b // block_size)
    # What the last block lacks is the longest text once more.
    rows = order[jnp.minimum(jnp.arange(num_blocks * block_size), b - 1)].reshape(num_blocks, block_size)
    cuts = sorted({-(-t * part // _CUTS) for part in range(1, _CUTS + 1)})

    def cut_to(length: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
        return lambda words, valid: jax.vmap(of_text)((words[:, :length], valid[:, :length]))

    # Made again on the way back, so that the weights of all pairs are never there at once.
    @jax.checkpoint
    def of_block(block: jax.Array) -> jax.Array:
        which = jnp.searchsorted(jnp.asarray(cuts), jnp.max(ends[block]))
        return jax.lax.switch(which, [cut_to(length) for length in cuts], words[block], valid[block])

    scores = jax.lax.map(of_block, rows).reshape(num_blocks * block_size, -1)[:b]
    return jnp.zeros_like(scores).at[order].set(scores)


def _norm(rows: jax.Array) -> jax.Array:
    """The norm over the last axis, with the slope 0 at 0."""
    squares = jnp.sum(jnp.square(rows), axis=-1)
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))
