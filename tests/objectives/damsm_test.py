"""Scores of words and regions: the definition written out, and what must not change them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.objectives import contrastive, damsm

pytestmark = pytest.mark.fast
_M, _N, _B, _T, _D = 3, 5, 4, 6, 7
_LENGTHS = np.array([6, 1, 3, 2])


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((_M, _N, _D)).astype(np.float32), rng.standard_normal((_B, _T, _D)).astype(np.float32)


@pytest.fixture(scope="module")
def scores():
    """One compiled program for all tests of these shapes."""

    def both(regions, words, valid, gamma_1):
        given = {"valid": valid, "gamma_1": gamma_1}
        return damsm.word_scores(regions, words, **given), damsm.word_scores(regions, words, **given, block_size=3)

    return jax.jit(both)


def _valid(lengths=_LENGTHS):
    return np.arange(_T) < lengths[:, None]


def _written_out(regions, words, lengths, gamma_1=4.0, gamma_2=5.0):
    """By loops over pictures and texts, in float64, as the paper has it: padding is cut off, not masked."""
    found = np.empty((len(regions), len(words)))
    for i, picture in enumerate(regions.astype(np.float64)):
        for j, text in enumerate(words.astype(np.float64)):
            text = text[: lengths[j]]
            s = text @ picture.T
            share = np.exp(s) / np.exp(s).sum(0)
            weight = np.exp(gamma_1 * share) / np.exp(gamma_1 * share).sum(1, keepdims=True)
            context = weight @ picture
            r = (context * text).sum(1) / np.linalg.norm(context, axis=1) / np.linalg.norm(text, axis=1)
            found[i, j] = np.log(np.exp(gamma_2 * r).sum())
    return found


def test_scores_are_those_of_loops_whether_in_blocks_or_not(features, scores):
    whole, blocks = scores(*features, _valid(), 4.0)
    np.testing.assert_allclose(whole, _written_out(*features, _LENGTHS), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(blocks, whole, rtol=1e-6, atol=1e-6)
    paper = damsm.word_scores(*features, valid=_valid(), scale="paper")
    np.testing.assert_allclose(paper, whole / 5, rtol=1e-6)


def test_padding_and_the_order_of_words_change_nothing(features, scores):
    regions, words = features
    want = scores(regions, words, _valid(), 4.0)
    other = np.where(_valid()[..., None], words, np.float32(1e3))
    for found, expected in zip(scores(regions, other, _valid(), 4.0), want, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    order = np.array([3, 5, 0, 2, 1, 4])
    for found in scores(regions, words[:, order], _valid()[:, order], 4.0):  # padding between words too
        np.testing.assert_allclose(found, want[0], rtol=1e-6)


def test_a_word_alone_and_words_that_do_not_choose_see_the_mean_of_all_regions(features, scores):
    """With one word its share is 1 in every region; with gamma_1 = 0 no region counts more than another."""
    regions, words = features
    mean = regions.mean(1)
    alone = contrastive.cosines(mean, words[1, :1])[:, 0]
    np.testing.assert_allclose(scores(regions, words, _valid(), 4.0)[0][:, 1], 5 * alone, rtol=1e-5, atol=1e-6)
    r = np.stack([contrastive.cosines(mean, text) for text in words], axis=1)
    masked = np.where(_valid(), np.exp(5 * r.astype(np.float64)), 0)
    np.testing.assert_allclose(scores(regions, words, _valid(), 0.0)[0], np.log(masked.sum(-1)), rtol=1e-5)


def test_weights_of_each_word_sum_to_one_and_those_of_padding_are_zero(features):
    regions, words = features
    found = damsm.attention(regions, words[:_M], valid=_valid()[:_M])
    np.testing.assert_allclose(found.sum(-1), _valid()[:_M], atol=1e-6)
    np.testing.assert_allclose(found[1, 0], 1 / _N, rtol=1e-6)


def test_gradients_of_blocks_are_those_of_the_whole_and_finite_at_zero(features):
    regions, words = features
    words = np.where(_valid()[..., None], words, 0)  # as encoders leave padding

    def loss(regions, words, block_size):
        logits = damsm.word_scores(regions, words[:_M], valid=_valid()[:_M], block_size=block_size)
        both = contrastive.matching(10.0 * logits)
        return jnp.mean(both.rows) + jnp.mean(both.columns)

    slopes = [jax.jit(jax.grad(lambda *x, b=block: loss(*x, b), (0, 1)))(regions, words) for block in (None, 2)]
    for whole, blocks in zip(*slopes, strict=True):
        assert np.isfinite(whole).all() and np.abs(whole).max() > 0
        np.testing.assert_allclose(blocks, whole, rtol=1e-4, atol=1e-5)


def test_bad_arguments():
    regions, words, valid = np.ones((2, 3, 4)), np.ones((2, 5, 4)), np.ones((2, 5), bool)
    for given, message in (
        ({"regions": np.ones((2, 3, 5))}, "regions must be"),
        ({"valid": valid[:, :4]}, "valid must be of shape"),
        ({"block_size": 0}, "block_size"),
        ({"scale": "both"}, "scale must be"),
    ):
        with pytest.raises(ValueError, match=message):
            damsm.word_scores(**{"regions": regions, "words": words, "valid": valid} | given)
