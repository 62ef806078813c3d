"""Objectives of the systems of text to picture, by identities that are exact."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import measures
from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import attngan, build, clip, damsm, dfgan, opposites, vae
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.data.fields import Ragged
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.autoencoder import Posterior
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image.attngan import Painted
from gentoolkit.models.text_to_image.damsm import Seen

_LOG_2 = math.log(2)


class Judge:
    """A discriminator whose logits are given: alone, with a text; those of a shifted text one more."""

    def __init__(self, alone, matched):
        self.alone, self.matched = alone, matched

    def look(self, images):
        return images

    def judge_alone(self, seen):
        return jnp.full(len(seen), self.alone)

    def judge(self, seen, sentence):
        return jnp.full(len(seen), self.matched) + 0.0 * sentence[:, 0]

    def __call__(self, images, sentence):
        return self.judge_alone(images), self.judge(images, sentence)


class Sloping(nnx.Module):
    """A discriminator whose slopes are those of a sine and of a square."""

    def look(self, images):
        return images

    def judge(self, seen, sentence):
        return jnp.sum(jnp.sin(seen), axis=(1, 2, 3)) + jnp.sum(sentence**2, axis=1)

    def __call__(self, images, sentence):
        return self.judge(self.look(images), sentence)


def _batch(num=4):
    return {
        "image": jnp.zeros((num, 8, 8, 3)),
        "painters/sentence": jnp.arange(2.0 * num).reshape(num, 2),
        "painters/wrong": jnp.arange(2.0 * num).reshape(num, 2)[::-1],
        "painters/fake_4": jnp.zeros((num, 4, 4, 3)),
        "painters/fake_8": jnp.zeros((num, 8, 8, 3)),
    }


@pytest.mark.fast
def test_discriminators_of_attngan_that_know_nothing_lose_twice_log_2_a_size():
    """Two truths in the mean, three untruths in the mean; at any logits each by its own weight."""
    loss, metrics = attngan.judging(
        {"judge_4": Judge(0.0, 0.0), "judge_8": Judge(0.0, 0.0)}, _batch(), None, sizes=[4, 8]
    )
    assert float(loss) == pytest.approx(4 * _LOG_2) and float(metrics["loss_4"]) == pytest.approx(2 * _LOG_2)
    loss, _ = attngan.judging({"judge_4": Judge(1.0, -2.0)}, _batch(), None, sizes=[4])
    up, down = (lambda x: math.log1p(math.exp(-x))), (lambda x: math.log1p(math.exp(x)))
    want = (up(1) + up(-2)) / 2 + (down(1) + 2 * down(-2)) / 3
    assert float(loss) == pytest.approx(want, rel=1e-6)


@pytest.mark.fast
def test_the_painter_of_attngan_fools_what_knows_nothing_at_twice_log_2_a_size():
    class Paint:
        noise_dim, condition_dim = 2, 3

        def __call__(self, z, jitter, sentence, words, valid):
            images = [jnp.zeros((len(z), size, size, 3)) for size in (4, 8)]
            return Painted(images, (), Posterior(jnp.ones((len(z), 3)), jnp.zeros((len(z), 3))))

    judges = {f"judge_{size}": lambda fake, sentence: [jnp.zeros((len(fake), 1))] * 2 for size in (4, 8)}
    models = {"paint": Paint(), "text": lambda tokens, lengths: Encoded(None, jnp.ones((3, 2)), None), **judges}
    batch = {"caption": Ragged(jnp.arange(6).reshape(3, 2), jnp.full(3, 2))}
    options = config_lib.get_config().attngan
    options.damsm, options.divergence = 0.0, 2.0
    turn = training.Turn(jax.random.key(0))
    loss, terms, handed = attngan.painting(models, batch, turn, sizes=[4, 8], options=options, matching=None)
    assert float(terms["fooling_4"]) == float(terms["fooling_8"]) == pytest.approx(2 * _LOG_2)
    # KL of N(1, I) from N(0, I), a mean over features: 1/2.
    assert float(terms["divergence"]) == pytest.approx(2 * 0.5)
    assert float(loss) == pytest.approx(4 * _LOG_2 + 1) and set(handed) == {"fake_4", "fake_8", "sentence", "wrong"}


@pytest.mark.fast
def test_dfgan_is_told_by_damsm_too_where_it_is_asked_for():
    """Logits are 0; pictures and texts are all alike to DAMSM, which is then off by log 3 in each of four terms."""

    class Painter:
        noise_dim = 2

        def __call__(self, noise, sentence):
            return jnp.zeros((len(noise), 8, 8, 3))

    words, valid = jnp.ones((3, 5, 4)), jnp.ones((3, 5), bool)
    models = {
        "generator": Painter(),
        "discriminator": lambda images, sentence: jnp.zeros(len(images)),
        "text": lambda tokens, lengths: Encoded(words, jnp.ones((3, 4)), valid),
        "images": lambda images: Seen(jnp.ones((3, 6, 4)), jnp.ones((3, 4))),
    }
    batch = {"caption": Ragged(jnp.arange(15).reshape(3, 5), jnp.full(3, 5))}
    turn, matching = training.Turn(jax.random.key(0)), config_lib.get_config().damsm
    plain, terms, _ = dfgan.painting(models, batch, turn)
    assert float(plain) == 0 and not terms
    loss, terms, handed = dfgan.painting(models, batch, turn, weight=0.5, matching=matching)
    assert float(terms["damsm"]) == pytest.approx(4 * math.log(3), rel=1e-5)
    assert float(loss) == pytest.approx(2 * math.log(3), rel=1e-5) and set(handed) == {"fake", "sentence", "wrong"}
    config = config_lib.get_config("dfgan_scenes32")
    config.dfgan.damsm = 0.5
    told = Pretrained(lambda tokens: None, None, scenes.VOCABULARY, scenes.MAX_WORDS, 128, 32)
    with pytest.raises(ValueError, match=r"trained by an encoder of pictures too, .*or give config.dfgan.damsm=0"):
        build.build(config, None, told)


@pytest.mark.fast
def test_smaller_pictures_are_means_of_squares():
    images = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(attngan.smaller(images, [2, 4])[2][0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(attngan.smaller(images, [2, 4])[4], images)


@pytest.mark.fast
def test_discriminator_of_dfgan_takes_mismatched_pairs_of_the_same_pictures():
    class Told(Judge):
        def judge(self, seen, sentence):
            # The text that was written of the picture has its number: 3 for it, -0.5 for another's, 0 for painted ones.
            real = seen[:, 0, 0, 0] > 0
            own = seen[:, 0, 0, 0] == sentence[:, 0]
            return jnp.where(real, jnp.where(own, 3.0, -0.5), 0.25)

    batch = {
        "image": jnp.arange(1.0, 5.0)[:, None, None, None] * jnp.ones((4, 2, 2, 3)),
        "generator/sentence": jnp.arange(1.0, 5.0)[:, None] * jnp.ones((4, 2)),
        "generator/wrong": jnp.array([2.0, 3.0, 4.0, 1.0])[:, None] * jnp.ones((4, 2)),
        "generator/fake": jnp.zeros((4, 2, 2, 3)),
    }
    judge = Told(None, None)
    judge.__class__.__call__ = lambda self, images, sentence: self.judge(images, sentence)
    options = config_lib.get_config().dfgan
    options.gradient_penalty = 0.0
    loss, metrics = dfgan.judging({"discriminator": judge}, batch, None, options=options)
    assert float(loss) == pytest.approx(0.5 * 1.25 + 0.5 * 0.5)  # nothing for true pairs beyond the margin
    assert float(metrics["mismatched"]) == -0.5 and float(metrics["real"]) == 3.0
    # The penalty is on the slope at true pairs alone, whatever is painted and whatever is mismatched.
    options.gradient_penalty = 2.0
    sloping = Sloping()
    found = [
        dfgan.judging({"discriminator": sloping}, batch | given, None, options=options)[1]["penalty"]
        for given in ({}, {"generator/fake": jnp.ones((4, 2, 2, 3)), "generator/wrong": jnp.zeros((4, 2))})
    ]
    assert float(found[0]) == float(found[1]) > 0


@pytest.mark.fast
def test_damsm_loses_log_b_four_times_where_nothing_is_known():
    words, picture = jnp.ones((3, 5, 4)), jnp.ones((3, 4))
    valid = jnp.arange(5) < jnp.array([5, 2, 1])[:, None]
    # Sentences are alike; texts of different length have different sums over words, so those are of one length here.
    same = Encoded(words, picture, valid[:1].repeat(3, 0))
    options, seen = config_lib.get_config().damsm, Seen(jnp.ones((3, 6, 4)), picture)
    terms, total = jax.jit(lambda: (damsm.scores(seen, same, options), damsm.loss(seen, same, options)))()
    for both in terms.values():
        for rows in both:
            np.testing.assert_allclose(rows, math.log(3), rtol=1e-5)
    assert float(total) == pytest.approx(4 * math.log(3), rel=1e-5)


@pytest.mark.fast
def test_one_word_of_a_text_is_exchanged_for_another_of_its_group_wherever_it_stands():
    vocabulary = Vocabulary(("a", "above", "below", "circle", "square", "star"))
    known = opposites.table("above below, circle square star", vocabulary)
    a, above, below, circle, square, star = range(2, 8)
    np.testing.assert_array_equal(known.num, [0, 0, 0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(known.others[circle], [square, star])
    # "a circle above a circle", "a square a", padded, and a text of no such word.
    texts = jnp.array([[a, circle, above, a, circle], [a, square, a, 0, 0], [a, a, 0, 0, 0]])
    many = jax.vmap(lambda key: opposites.exchange(known, texts, key))(jax.random.split(jax.random.key(0), 600))
    turned, has = map(np.asarray, many)
    assert has[:, :2].all() and not has[:, 2].any()
    told = {tuple(row): np.mean((turned[:, 0] == row).all(axis=1)) for row in np.unique(turned[:, 0], axis=0)}
    expected = {
        (a, circle, below, a, circle): 0.5,
        (a, square, above, a, square): 0.25,
        (a, star, above, a, star): 0.25,
    }
    assert told == pytest.approx(expected, abs=0.08)  # four standard errors of one half
    assert {tuple(row) for row in turned[:, 1]} == {(a, circle, a, 0, 0), (a, star, a, 0, 0)}
    np.testing.assert_array_equal(turned[0, 2], texts[2])
    for groups in ("above", "above below, below left", " , "):
        with pytest.raises(ValueError, match="config.opposites must be groups of two or more words like"):
            opposites.table(groups, vocabulary)
    with pytest.raises(ValueError, match="opposites: 'over' is no word"):
        opposites.table("above over", vocabulary)


@pytest.mark.fast
def test_every_second_wrong_sentence_is_its_own_with_another_word():
    def text(tokens, lengths):
        return Encoded(None, tokens[:, :1] + 100.0, None)

    tokens = jnp.array([[2, 3], [2, 4], [5, 6], [5, 5]])
    sentence = tokens[:, :1] + 0.5
    batch, key = {"caption": Ragged(tokens, jnp.full(4, 2))}, jax.random.key(0)
    opposite = opposites.table("b c", Vocabulary(tuple("bcdef")))
    found = opposites.wrong({"text": text}, batch, sentence, opposite, key)
    np.testing.assert_array_equal(found[:, 0], [103.0, 5.5, 5.5, 2.5])  # row 2 has no opposite: it takes the next
    np.testing.assert_array_equal(opposites.wrong({}, batch, sentence, None, key)[:, 0], [2.5, 5.5, 5.5, 2.5])
    # Where the next row has the same text, the one after it is wrong.
    twice = {"caption": Ragged(jnp.array([[2, 3], [2, 3], [5, 6], [5, 5]]), jnp.full(4, 2))}
    own = jnp.array([[1.0], [1.0], [3.0], [4.0]])
    np.testing.assert_array_equal(opposites.wrong({}, twice, own, None, key)[:, 0], [3.0, 3.0, 4.0, 1.0])


@pytest.mark.fast
def test_a_text_is_told_from_the_one_with_the_opposite_word():
    """Sentences are words' own vectors; of two texts one has an opposite, at a right angle to its picture."""

    def text(tokens, lengths):
        sentence = jnp.eye(5)[tokens[:, 0]] + 0.0 * lengths[:, None]
        return Encoded(sentence[:, None], sentence, jnp.ones((len(tokens), 1), bool))

    pictures = Seen(jnp.eye(5)[jnp.array([[2], [4]])], jnp.eye(5)[jnp.array([2, 4])])
    options = config_lib.get_config().damsm
    batch = {"caption": Ragged(jnp.array([[2], [4]]), jnp.array([1, 1])), "image": jnp.zeros((2, 1))}
    models = {"text": text, "images": lambda images: pictures}
    opposite, turn = opposites.table("b c", Vocabulary(tuple("bcd"))), training.Turn(jax.random.key(0))
    plain, _ = damsm.matching(models, batch, turn, options=options)
    loss, metrics = damsm.matching(models, batch, turn, options=options, opposite=opposite)
    by_size = math.log1p(math.exp(-options.gamma_3))  # cosines 1 and 0
    by_direction = math.log1p(math.exp(-options.gamma_3 / math.sqrt(2)))  # 45 degrees from what changes
    told = options.opposites * (by_size + by_direction)
    assert float(metrics["opposites"]) == pytest.approx(told, rel=1e-3) and float(metrics["right"]) == 1.0
    assert float(loss - plain) == pytest.approx(told, abs=1e-5)
    nothing, right = damsm.told_apart(jnp.eye(3), jnp.eye(3), jnp.eye(3), 10.0)
    np.testing.assert_allclose(nothing, 2 * _LOG_2, rtol=1e-6)
    assert not right.any()
    config = config_lib.get_config("damsm_scenes32")
    config.text.dropout = 0.1
    with pytest.raises(ValueError, match="config.opposites need config.text.dropout=0"):
        damsm.system(config, scenes.VOCABULARY)
    found = measures.of_opposites(np.eye(3)[:2], np.eye(3)[[0, 0]], np.eye(3)[[1, 1]])
    assert found["opposites"] == 0.5


@pytest.mark.fast
def test_the_end_of_a_text_stands_behind_its_last_word():
    class Sized:
        class architecture:
            vocabulary_size = 9

    tokens = jnp.array([[2, 3, 0], [4, 5, 6]])
    np.testing.assert_array_equal(clip.ended(tokens, jnp.array([2, 3]), Sized), [[2, 3, 8, 0], [4, 5, 6, 8]])


@pytest.mark.fast
def test_the_bound_of_the_vae_is_a_sum_over_all_numbers_of_a_picture():
    """A code that says nothing costs nothing; a picture of zeros painted as zeros costs log(2 scale) a number."""

    class Generator:
        def prior(self, sentence):
            return Posterior(jnp.full((2, 5), 3.0), jnp.full((2, 5), jnp.log(4.0)))

        def paint(self, code, sentence):
            return jnp.full((2, 4, 4, 3), 0.5)

    # In units of the prior the law of codes is N(-1, 1/4 exp(log 4)) = N(-1, 1).
    models = {
        "text": lambda values, lengths: Encoded(None, jnp.zeros((2, 3)), None),
        "encoder": lambda images, sentence: Posterior(jnp.ones((2, 5)), jnp.full((2, 5), jnp.log(4.0))),
        "generator": Generator(),
    }
    batch = {"image": jnp.zeros((2, 4, 4, 3)), "caption": Ragged(jnp.ones((2, 3), jnp.int32), jnp.full(2, 3))}
    key = jax.random.key(0)
    loss, metrics = vae.bound(models, batch, training.Turn(key), scale=0.1)
    assert float(metrics["divergence"]) == pytest.approx(2.5)  # half a squared mean for each feature
    assert float(metrics["misfit"]) == pytest.approx(48 * (0.5 / 0.1 + math.log(0.2)), rel=1e-5)
    assert float(loss) == pytest.approx((float(metrics["misfit"]) + 2.5) / 1000)
    # A flow sees codes in units of the prior: with no velocity it loses the square of the lines from noise to N(-1, 1).
    models["flow"] = lambda codes, times, sentence: jnp.zeros_like(codes)
    again, metrics = vae.bound(models, batch, training.Turn(key), scale=0.1)
    codes = jax.random.normal(jax.random.split(key)[0], (2, 5)) - 1
    still = vae.carrying(models["flow"], codes, jnp.zeros((2, 3)), jax.random.split(key)[1])
    np.testing.assert_allclose((metrics["flow"], again - loss), still, rtol=1e-4)


@pytest.mark.fast
def test_a_flow_that_knows_the_lines_from_noise_to_its_codes_loses_nothing():
    """Where all codes are one point c, the lines through x at time t have the velocity (c - x) / (1 - t)."""
    codes, key = jnp.broadcast_to(jnp.arange(5.0), (3, 5)), jax.random.key(0)

    def lost(factor):
        flow = lambda x, times, sentence: factor * (codes[0] - x) / (1 - times[:, None])  # noqa: E731
        return vae.carrying(flow, codes, jnp.zeros((3, 2)), key)

    none, some = jax.jit(lambda: (lost(1.0), lost(0.0)))()
    assert float(none) < 1e-6 and float(some) > 1
