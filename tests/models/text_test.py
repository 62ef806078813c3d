"""The recurrent text encoder: the recurrence written out, padding that changes nothing, the authors' names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.text import recurrent, transformer
from gentoolkit.nn.recurrent import LSTM

pytestmark = pytest.mark.fast
_LENGTHS = np.array([5, 1, 3])


@pytest.fixture(scope="module")
def encoder():
    made = recurrent.Encoder(11, features=8, embedding=3, rngs=nnx.Rngs(0))
    made.eval()
    return made


@pytest.fixture(scope="module")
def encode(encoder):
    graphdef, state = nnx.split(encoder)
    return jax.jit(lambda tokens, lengths: nnx.merge(graphdef, state)(tokens, lengths))


def _tokens():
    tokens = np.random.default_rng(0).integers(1, 11, (3, 5))
    return np.where(np.arange(5) < _LENGTHS[:, None], tokens, 0)


def _written_out(x, of_input, of_state, bias):
    """Step by step, in float64: `[t, c]` to `[t, h]`."""
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    state = cell = np.zeros(of_state.shape[0])
    found = []
    for step in x:
        enter, forget, new, leave = np.split(step @ of_input + state @ of_state + bias, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(cell)
        found.append(state)
    return np.array(found)


def test_words_and_sentence_are_those_of_the_recurrence(encoder, encode):
    tokens = _tokens()
    found = encode(tokens, _LENGTHS)
    vectors = np.asarray(encoder.embed.embedding[...], np.float64)[tokens]
    for row, length in enumerate(_LENGTHS):
        x = vectors[row, :length]
        parts = [
            [np.asarray(part[...], np.float64) for part in (lstm.of_input, lstm.of_state, lstm.bias)]
            for lstm in (encoder.forward, encoder.backward)
        ]
        one, other = _written_out(x, *parts[0]), _written_out(x[::-1], *parts[1])[::-1]
        np.testing.assert_allclose(found.words[row, :length], np.concatenate([one, other], 1), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found.sentence[row], np.concatenate([one[-1], other[0]]), rtol=1e-5, atol=1e-7)
        assert not found.words[row, length:].any()
    np.testing.assert_array_equal(found.valid.sum(1), _LENGTHS)


def test_what_stands_in_the_padding_changes_nothing(encode):
    tokens = _tokens()
    other = np.where(np.arange(5) < _LENGTHS[:, None], tokens, 7)
    for a, b in zip(encode(tokens, _LENGTHS), encode(other, _LENGTHS), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_of_the_authors_are_read_by_their_names(tmp_path):
    rng = np.random.default_rng(1)
    shapes = {"encoder.weight": (11, 3)}
    for end in ("l0", "l0_reverse"):
        shapes |= {f"rnn.weight_ih_{end}": (16, 3), f"rnn.weight_hh_{end}": (16, 4)}
        shapes |= {f"rnn.bias_ih_{end}": (16,), f"rnn.bias_hh_{end}": (16,)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "weights.npz", **tensors)
    read = weights.assign(
        nnx.eval_shape(lambda: recurrent.Encoder(11, features=8, embedding=3, dropout=0.0, rngs=nnx.Rngs(0))),
        recurrent.table(),
        weights.read(tmp_path / "weights.npz"),
    )
    np.testing.assert_array_equal(read.backward.of_state[...], tensors["rnn.weight_hh_l0_reverse"].T)
    np.testing.assert_array_equal(read.forward.bias[...], tensors["rnn.bias_ih_l0"] + tensors["rnn.bias_hh_l0"])
    count = lambda made: sum(x.size for x in jax.tree.leaves(nnx.state(made, nnx.Param)))  # noqa: E731
    # CUB's, with a vocabulary of 5,450: word vectors, and 2 x 4 x 128 rows of 300 + 128 + 2 in the public code.
    full = nnx.eval_shape(lambda: recurrent.Encoder(5450, dropout=0.0, rngs=nnx.Rngs(0)))
    assert count(full) + 2 * 4 * 128 == 5450 * 300 + 2 * 4 * 128 * (300 + 128 + 2)


def test_bad_arguments():
    with pytest.raises(ValueError, match="features must be even"):
        recurrent.Encoder(11, features=7, rngs=nnx.Rngs(0))
    lstm = LSTM(3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="x must be"):
        lstm(jnp.ones((2, 5, 4)))
    with pytest.raises(ValueError, match="lengths must be"):
        lstm(jnp.ones((2, 5, 3)), jnp.ones(3, int))


def test_a_word_that_is_passed_over_is_as_if_it_were_not_there(encoder):
    """As the authors leave words out that they do not know; the table gives number 1, which they lack, no vector."""
    made = recurrent.Encoder(11, features=8, embedding=3, dropout=0.0, passed_over=1, rngs=nnx.Rngs(1))
    found = made(np.array([[1, 5, 1, 7, 0], [5, 7, 0, 0, 0], [1, 1, 0, 0, 0]]), np.array([4, 2, 2]))
    np.testing.assert_array_equal(found.valid, [[True, True, False, False, False]] * 2 + [[True] + [False] * 4])
    np.testing.assert_array_equal(found.words[0], found.words[1])
    np.testing.assert_array_equal(found.sentence[0], found.sentence[1])
    vectors = recurrent.table(without_unknown=True)["embed/embedding"]
    assert vectors.shapes((5, 2)) == ((4, 2),)
    np.testing.assert_array_equal(vectors.make(np.arange(1.0, 9).reshape(4, 2))[:, 0], [1, 0, 3, 5, 7])


@pytest.fixture(scope="module")
def transforming():
    made = transformer.Encoder(11, features=6, embedding=8, num_heads=2, dropout=0.5, passed_over=1, rngs=nnx.Rngs(0))
    made.eval()
    return made


def test_a_transformer_reads_in_both_directions_and_never_padding(transforming):
    run = nnx.jit(lambda made, tokens, lengths: made(tokens, lengths))
    tokens = np.maximum(_tokens(), 2) * (_tokens() > 0)
    found = run(transforming, tokens, _LENGTHS)
    assert found.words.shape == (3, 5, 6) and found.sentence.shape == (3, 6)
    valid = np.arange(5) < _LENGTHS[:, None]
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_array_equal(np.abs(found.words).sum(-1) > 0, valid)
    # Whatever stands behind the last word, nothing changes; alone, a text is what it is in a batch.
    full = run(transforming, np.where(valid, tokens, 7), _LENGTHS)
    np.testing.assert_allclose(full.words, found.words, rtol=0, atol=1e-6)
    alone = transforming(tokens[2:, :3], _LENGTHS[2:])
    np.testing.assert_allclose(alone.sentence[0], found.sentence[2], rtol=1e-5, atol=1e-6)
    # The last word changes the first, and the order counts.
    other = tokens.copy()
    other[0, 4] = 2 + (tokens[0, 4] - 1) % 9
    assert np.abs(run(transforming, other, _LENGTHS).words[0, 0] - found.words[0, 0]).max() > 1e-4
    turned = np.array([[3, 5, 7, 0, 0], [7, 5, 3, 0, 0], [3, 1, 5, 7, 0]])
    first, second, third = run(transforming, turned, np.array([3, 3, 4])).sentence
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(first, third)  # number 1 is passed over
    plain = transforming.alike(rngs=nnx.Rngs(1))
    assert plain.dropout is None and plain.passed_over == 1
    paths = [nnx.to_flat_state(nnx.state(made, nnx.Param)).paths for made in (plain, transforming)]
    assert paths[0] == paths[1]


def test_positions_are_waves_of_many_lengths():
    """The table of Vaswani et al.: sin and cos of place / 10000^(2i / d)."""
    waves = transformer.waves(50, 6)
    for place, i in ((0, 0), (1, 0), (7, 1), (49, 2)):
        angle = place / 10000 ** (2 * i / 6)
        np.testing.assert_allclose(waves[place, [i, 3 + i]], [np.sin(angle), np.cos(angle)], rtol=1e-5, atol=1e-7)
    # The scalar product of two depends on how far apart they are alone.
    products = waves @ waves.T
    np.testing.assert_allclose(np.diagonal(products, 5), products[0, 5], rtol=1e-4)
    with pytest.raises(ValueError, match="embedding must be even.*embedding = 7"):
        transformer.Encoder(11, embedding=7, rngs=nnx.Rngs(0))
