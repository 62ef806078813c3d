import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import autoencoder, convolutional


def _num_parameters(model) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _dense(*sizes):
    return sum(a * b + b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


digits = functools.partial(autoencoder.dense, image_shape=(8, 8, 1), latent_dim=8, widths=(128, 128))
mnist = functools.partial(autoencoder.dense, image_shape=(28, 28, 1), latent_dim=20)

# By hand: weights + biases, layer by layer.
MNIST = _dense(784, 200, 200, 200, 20) + _dense(20, 200, 200, 200, 784)
DIGITS = _dense(64, 128, 128, 8) + _dense(8, 128, 128, 64)
CIFAR10 = (39 + 416 + 4128 + 4128 + _dense(8192, 128, 64)) + (_dense(64, 128, 8192) + 4128 + 4128 + 9248 + 387)
CELEB_A = (6144 + 256 + 524288 + 512 + 2097152 + 1024 + 8388608 + 2048 + _dense(16384, 64)) + (
    _dense(64, 65536) + 8388608 + 1024 + 2097152 + 512 + 524288 + 256 + 3459
)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "count", "outputs", "extra"),
    [
        (digits, DIGITS, 8, 128 * 8 + 8),
        (mnist, MNIST, 20, 200 * 20 + 20),
        (functools.partial(autoencoder.shallow, image_shape=(32, 32, 3)), CIFAR10, 64, 128 * 64 + 64),
        (functools.partial(autoencoder.strided, image_shape=(64, 64, 3)), CELEB_A, 64, 16384 * 64 + 64),
    ],
)
def test_parameters_are_those_counted_by_hand(make, count, outputs, extra):
    plain = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    variational = nnx.eval_shape(lambda: make(variational=True, rngs=nnx.Rngs(0)))
    assert _num_parameters(plain) == count and plain.latent_dim == outputs
    assert _num_parameters(variational) == count + extra
    assert isinstance(variational, autoencoder.VariationalAutoencoder) and not isinstance(
        plain, autoencoder.VariationalAutoencoder
    )


@pytest.mark.fast
def test_a_decoder_has_the_layers_of_its_encoder_in_reverse():
    model = nnx.eval_shape(
        lambda: autoencoder.dense(image_shape=(2, 2, 1), latent_dim=3, widths=(7, 5), rngs=nnx.Rngs(0))
    )
    assert [layer.kernel.shape for layer in model.encoder.layers] == [(4, 7), (7, 5), (5, 3)]
    assert [layer.kernel.shape for layer in model.decoder.layers] == [(3, 5), (5, 7), (7, 4)]


def _shapes(make, *, batch=3):
    def run():
        model = make(rngs=nnx.Rngs(0))
        z, rebuilt = model(jnp.zeros((batch, *model.image_shape)))
        assert (z.shape, rebuilt.shape) == ((batch, model.latent_dim), (batch, *model.image_shape))
        return model.decode(z)

    return jax.eval_shape(run)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "image_shape"),
    [
        (digits, (8, 8, 1)),
        (mnist, (28, 20, 1)),
        (autoencoder.shallow, (32, 32, 3)),
        (autoencoder.shallow, (28, 20, 1)),
        (autoencoder.strided, (64, 64, 3)),
        (autoencoder.strided, (48, 32, 3)),
    ],
)
def test_codes_and_images_have_the_announced_shapes(make, image_shape):
    made = functools.partial(make, image_shape=list(image_shape))
    assert _shapes(made).shape == (3, *image_shape)
    assert _shapes(functools.partial(made, variational=True, latent_dim=5)).shape == (3, *image_shape)


def _normed():
    shape, rngs = (16, 16, 3), nnx.Rngs(0)
    encoder = convolutional.StridedEncoder(shape, 4, width=2, rngs=rngs)
    decoder = convolutional.StridedDecoder(shape, 4, width=2, rngs=rngs)
    return autoencoder.Autoencoder(encoder, decoder, image_shape=shape, latent_dim=4)


def test_the_normed_network_learns_statistics_and_is_per_image_in_evaluation(filled):
    graphdef, state = nnx.split(filled(_normed))

    @jax.jit
    def run(images):
        model = nnx.merge(graphdef, state, copy=True)
        _, rebuilt = model(images)
        learned = model.encoder.norms[0].mean[...]
        model.eval()
        return rebuilt, learned, model.encode(images)[:1], model.encode(images[:1])

    rebuilt, learned, together, alone = run(jax.random.uniform(jax.random.key(0), (4, 16, 16, 3)))
    assert float(rebuilt.min()) >= 0 and float(rebuilt.max()) <= 1
    assert np.all(learned != 1)  # what it was
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_decoded_images_lie_in_the_unit_interval_and_codes_are_wide(filled):
    model = filled(lambda: digits(rngs=nnx.Rngs(0)))
    z = 100 * np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    decoded, code = jax.jit(lambda z, x: (model.decode(z), model.encode(x)))(z, jnp.zeros((2, 8, 8, 1), jnp.bfloat16))
    assert decoded.dtype == code.dtype == jnp.float32
    assert 0 <= np.min(decoded) and np.max(decoded) <= 1 and np.std(decoded) > 0.1


def test_a_variational_code_is_drawn_from_its_posterior(filled):
    model = filled(lambda: digits(variational=True, latent_dim=3, rngs=nnx.Rngs(0)))
    image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)

    @jax.jit
    def run(image):
        drawn = model.sample(jax.random.key(1), jnp.broadcast_to(image, (4000, 8, 8, 1)))
        slope = jax.grad(lambda x: model.sample(jax.random.key(1), x)[0].sum())(image)
        return *drawn, model.encode(image), model.posterior(image).mean, slope

    z, law, code, mean, slope = run(image)
    assert z.shape == law.mean.shape == law.log_variance.shape == (4000, 3)
    std = np.exp(np.asarray(law.log_variance[0]) / 2)
    np.testing.assert_allclose(np.mean(z, 0), law.mean[0], atol=5 * std.max() / 4000**0.5)
    np.testing.assert_allclose(np.std(z, 0), std, rtol=5 / 8000**0.5)
    np.testing.assert_array_equal(code, mean)
    assert np.isfinite(slope).all() and np.any(slope != 0)


def test_two_keys_make_two_networks_and_one_key_one():
    first, again, other = jax.jit(
        lambda: [digits(rngs=nnx.Rngs(seed)).encode(jnp.ones((1, 8, 8, 1))) for seed in (0, 0, 1)]
    )()
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("shape", "told"),
    [((2, 8, 8, 3), "1 channel"), ((2, 9, 8, 1), "size 8 x 8"), ((8, 8, 1), r"\[b, h, w, c\]")],
)
@pytest.mark.parametrize("method", ["encode", "posterior"])
def test_wrong_images_are_refused_by_name(shape, told, method):
    model = nnx.eval_shape(lambda: digits(variational=True, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=told):
        getattr(model, method)(jnp.zeros(shape))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (autoencoder.shallow, {"image_shape": (31, 32, 3)}, "multiples of 2"),
        (autoencoder.strided, {"image_shape": (64, 60, 3)}, "multiples of 16"),
        (digits, {"image_shape": (8, 8)}, "channels"),
        (mnist, {"latent_dim": 0}, "latent_dim = 0"),
    ],
)
def test_wrong_options_are_refused_by_name(make, options, told):
    with pytest.raises(ValueError, match=told):
        make(**options, rngs=nnx.Rngs(0))


@pytest.mark.fast
def test_wrong_codes_are_refused_by_name():
    model = nnx.eval_shape(lambda: digits(rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"z must be \[b, 8\]"):
        model.decode(jnp.zeros((2, 9)))
