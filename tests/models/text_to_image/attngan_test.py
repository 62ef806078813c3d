"""AttnGAN: which words a pixel sees, the law of a sentence's code, layouts of the authors' files, sizes.

Outputs are compared with the public code by `python -m benchmarks.text_to_image_parity`, where that is at hand.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import image_peers
from gentoolkit.models import weights
from gentoolkit.models.text_to_image import attngan
from gentoolkit.objectives import variational

pytestmark = pytest.mark.fast

_SMALL = {"image_size": 16, "num_stages": 2, "num_residual": 1}
_LENGTHS = np.array([5, 1, 3])
_VALID = np.arange(5) < _LENGTHS[:, None]


@pytest.fixture(scope="module")
def look():
    """Attention of 3 texts of up to 5 words, by a mask as it should be and as the authors lay it."""
    made = weights.random(nnx.eval_shape(lambda: attngan.WordAttention(4, 6, rngs=nnx.Rngs(0))), nnx.Rngs(0))

    @jax.jit
    def both(x, words, valid):
        legacy = nnx.clone(made)
        legacy.legacy_mask = True
        return made(x, words, valid), legacy(x, words, valid)

    x, words = _normal(3, 2, 2, 4), _normal(3, 5, 6, seed=1)
    return made, x, words, both


@pytest.fixture(scope="module")
def generator():
    """A small one with weights under the names of the authors' files, in evaluation mode."""
    shapes = nnx.eval_shape(
        lambda: attngan.Generator(**_SMALL, width=4, noise_dim=3, condition_dim=2, text_dim=6, rngs=nnx.Rngs(0))
    )
    table = attngan.generator_table(**_SMALL)
    tensors = image_peers.random_state(shapes, table)
    read = weights.Weights(tensors | {"h_net1.fc.1.num_batches_tracked": np.int64(3)}, path="", format="", sha256="")
    made = weights.assign(shapes, table, read, ignore=attngan.IGNORED)
    made.eval()
    return made, tensors


@pytest.fixture(scope="module")
def paint(generator):
    graphdef, state = nnx.split(generator[0])
    return jax.jit(lambda *given: nnx.merge(graphdef, state)(*given))


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_pixel_looks_at_the_words_that_are_there(look):
    made, x, words, both = look
    (found, shares), _ = both(x, words, _VALID)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    there = np.broadcast_to(_VALID[:, None, None], shares.shape)
    assert not np.asarray(shares)[~there].any() and (np.asarray(shares)[there] > 0).all()
    projected = np.asarray(made.project(words))
    raised = np.where(there, np.exp(np.einsum("bhwc,btc->bhwt", x, projected)), 0)
    np.testing.assert_allclose(shares, raised / raised.sum(-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(found, np.einsum("bhwt,btc->bhwc", shares, projected), rtol=1e-5, atol=1e-6)
    # One word is all there is to find, everywhere.
    np.testing.assert_allclose(found[1], np.broadcast_to(projected[1, 0], found[1].shape), rtol=1e-5)
    order = [3, 0, 4, 2, 1]
    (again, moved), _ = both(x, words[:, order], _VALID[:, order])
    np.testing.assert_allclose(again, found, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved, np.asarray(shares)[..., order], rtol=1e-5)


def test_texts_of_a_batch_have_nothing_to_do_with_one_another_but_under_the_authors_mask(look):
    _, x, words, both = look
    given = [x, words, _VALID]
    other = [np.concatenate([array[:1], array[:0:-1]]) for array in given]  # the first with its mates exchanged
    (ours, legacy), (ours_again, legacy_again) = both(*given), both(*other)
    np.testing.assert_allclose(ours_again[0][0], ours[0][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours_again[0][1:], ours[0][:0:-1], rtol=1e-5, atol=1e-6)
    assert np.abs(legacy_again[1][0] - legacy[1][0]).max() > 1e-2
    # Pixels of the whole batch get the masks of texts 0, 1, 2, 0, 1, 2, ... in turn.
    assert (np.asarray(legacy[1]) > 0).sum(-1).reshape(-1).tolist() == [5, 1, 3] * 4


def test_no_word_at_all_is_nothing_and_has_a_slope(look):
    made, x, words, _ = look
    nothing = jnp.zeros(_VALID.shape, bool)
    slope = jax.jit(jax.grad(lambda words: jnp.sum(made(x, words, nothing)[0])))(words)
    assert not np.asarray(slope).any()


def test_the_law_of_a_code_is_half_of_what_an_open_gate_lets_through():
    """GLU(x, 0) = x / 2; KL 0 for N(0, I), and 1/2 a feature for a mean of 1."""
    augment = weights.random(nnx.eval_shape(lambda: attngan.Augmentation(3, 2, rngs=nnx.Rngs(0))), nnx.Rngs(0))
    augment.linear.kernel[...] = jnp.zeros((3, 8))
    for first, mean, divergence in ((0.0, 0.0, 0.0), (2.0, 1.0, 0.5)):
        augment.linear.bias[...] = jnp.array([first, first, 0, 0, 0, 0, 0, 0], jnp.float32)
        law = augment(jnp.ones((1, 3)))
        np.testing.assert_array_equal(law.mean, [[mean, mean]])
        np.testing.assert_array_equal(law.log_variance, [[0, 0]])
        np.testing.assert_allclose(variational.kl_to_standard(*law) / 2, [divergence], atol=1e-7)


def test_small_pictures_come_of_the_sentence_alone_and_larger_ones_of_words_too(paint):
    given = [_normal(3, n, seed=n) for n in (3, 2, 6)]
    words = _normal(3, 5, 6, seed=1)
    painted = paint(*given, words, _VALID)
    assert [image.shape for image in painted.images] == [(3, 8, 8, 3), (3, 16, 16, 3)]
    assert [shares.shape for shares in painted.attention] == [(3, 8, 8, 5)]
    padded = paint(*given, np.where(_VALID[..., None], words, 7), _VALID)
    np.testing.assert_array_equal(padded.images[1], painted.images[1])
    other = paint(*given, -words, _VALID)
    np.testing.assert_array_equal(other.images[0], painted.images[0])
    assert np.abs(other.images[1] - painted.images[1]).max() > 1e-4
    noise, jitter, sentence = given
    again = paint(noise, 0 * jitter, sentence, words, _VALID)
    np.testing.assert_array_equal(again.law.mean, painted.law.mean)
    assert np.abs(again.images[0] - painted.images[0]).max() > 1e-5


def test_the_first_layer_stands_channel_by_channel_in_files(generator):
    """Values before gates, each `[channels, 4, 4]`; written out in their order."""
    made, tensors = generator
    code = _normal(2, 5)
    x = code @ tensors["h_net1.fc.0.weight"].T
    part = lambda name: tensors[f"h_net1.fc.1.{name}"]  # noqa: E731
    x = (x - part("running_mean")) / np.sqrt(part("running_var") + 1e-5) * part("weight") + part("bias")
    values, gates = np.split(x, 2, axis=1)
    expected = (values / (1 + np.exp(-gates))).reshape(2, -1, 4, 4).transpose(0, 2, 3, 1)
    found = nnx.glu(made.first.norm(made.first.linear(code))).reshape(2, 4, 4, made.first.channels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_sizes_are_those_of_the_public_code():
    """Numbers of parameters as PyTorch counts them there."""
    counts = {
        "CUB": (7_084_592, 6_313_730, 19_424_002, 71_858_946),
        "COCO": (13_811_456, 13_304_450, 42_800_258, 160_774_274),
    }
    for name, sizes in (("CUB", attngan.CUB), ("COCO", attngan.COCO)):
        made = nnx.eval_shape(lambda sizes=sizes: attngan.networks(nnx.Rngs(0), **sizes))
        names = ["paint", "judge_64", "judge_128", "judge_256"]
        assert made.keys() == set(names)
        tables = [attngan.generator_table(num_residual=sizes["num_residual"])]
        tables += [attngan.discriminator_table(size) for size in (64, 128, 256)]
        for network, count, table in zip((made[n] for n in names), counts[name], tables, strict=True):
            assert sum(x.size for x in jax.tree.leaves(nnx.state(network, nnx.Param))) == count
            paths = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.as_pure(nnx.state(network)))}
            assert paths == table.keys()


@pytest.mark.parametrize("size", [8, 16, 64, 128])
def test_a_picture_of_any_size_is_judged_at_4_x_4(size):
    made = nnx.eval_shape(lambda: attngan.Discriminator(image_size=size, width=2, text_dim=5, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(made)
    seen = jax.eval_shape(lambda state, x: nnx.merge(graphdef, state).look(x), state, jnp.ones((3, size, size, 3)))
    assert seen.shape == (3, 4, 4, 16)


def test_a_picture_is_judged_alone_and_with_its_own_sentence():
    shapes = nnx.eval_shape(lambda: attngan.Discriminator(image_size=16, width=2, text_dim=5, rngs=nnx.Rngs(0)))
    made = weights.random(shapes, nnx.Rngs(0))
    made.eval()
    judge = jax.jit(lambda images, sentences: made(images, sentences))
    images, sentences = _normal(3, 16, 16, 3), _normal(3, 5, seed=1)
    logits = judge(images, sentences)
    assert logits.alone.shape == logits.matched.shape == (3,)
    for one, other in zip(judge(images[::-1], sentences[::-1]), logits, strict=True):
        np.testing.assert_allclose(one, other[::-1], rtol=1e-4, atol=1e-5)
    mismatched = judge(images, sentences[::-1])
    np.testing.assert_array_equal(mismatched.alone, logits.alone)
    assert np.abs(mismatched.matched - logits.matched)[[0, 2]].min() > 1e-3


def test_bad_arguments(look):
    made, x, words, _ = look
    with pytest.raises(ValueError, match="words must be"):
        made(x, words[..., :5], _VALID)
    with pytest.raises(ValueError, match="valid must be bool"):
        made(x, words, _VALID.astype(np.int32))
    with pytest.raises(ValueError, match="num_stages must be 1 to 2"):
        attngan.Generator(image_size=16, num_stages=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="image_size must be a power of two"):
        attngan.Discriminator(image_size=48, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="64, 128 or 256"):
        attngan.discriminator_table(32)
    # Of four times as many pixels there would be logits of a corner.
    judge = nnx.eval_shape(lambda: attngan.Discriminator(image_size=8, width=1, text_dim=2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="images must be of size 8 x 8"):
        judge(jnp.ones((1, 16, 16, 3)), jnp.ones((1, 2)))
    painter = nnx.eval_shape(lambda: attngan.Generator(image_size=8, num_stages=1, width=1, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="noise must be"):
        painter(jnp.ones((1, 3)), jnp.ones((1, 100)), jnp.ones((1, 256)), jnp.ones((1, 2, 256)), jnp.ones((1, 2), bool))
