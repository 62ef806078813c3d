"""DF-GAN: what the networks are at first, the order of doubling and fusing, numbers of parameters, names of files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.text_to_image import dfgan

pytestmark = pytest.mark.fast


def _count(make):
    return sum(x.size for x in jax.tree.leaves(nnx.state(nnx.eval_shape(make), nnx.Param)))


def _restless(module):
    """Parameters that begin at 0 or 1 hide what is left out."""
    rng = np.random.default_rng(0)
    state = nnx.state(module, nnx.Param)
    nnx.update(module, jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape) * 0.3, jnp.float32), state))
    return module


def test_a_block_fuses_before_it_doubles_and_paints_what_the_other_order_paints():
    """Doubling first, as the public code writes it: nearest neighbours, then fusions and convolutions at that size."""
    block = _restless(dfgan.Up(3, 4, 6, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    x, condition = rng.standard_normal((2, 4, 4, 4)).astype(np.float32), rng.standard_normal((2, 3)).astype(np.float32)

    def convolve(layer, x):
        kernel, numbers = layer.kernel[...], ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers) + layer.bias[...]

    @jax.jit
    def other(x):
        x = x.repeat(2, axis=1).repeat(2, axis=2)
        y = convolve(block.conv_1, block.fuse_1(x, condition))
        return convolve(block.conv_2, block.fuse_2(y, condition)) + convolve(block.shortcut, x)

    np.testing.assert_allclose(jax.jit(block)(x, condition), other(x), rtol=1e-4, atol=1e-4)


def test_scales_and_shifts_begin_as_the_identity_and_blocks_that_judge_as_their_shortcut():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 4, 6)).astype(np.float32)
    affine = dfgan.Affine(3, 6, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(affine(x, jnp.asarray(rng.standard_normal((2, 3)), jnp.float32)), x)
    down = dfgan.Down(6, 6, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(down(x), x.reshape(2, 2, 2, 2, 2, 6).mean((2, 4)), rtol=1e-6, atol=1e-7)
    slope = nnx.grad(lambda down: jnp.sum(down(x)))(down)
    assert np.abs(slope["gamma"][...]) > 0  # so it does not stay at 0


def test_sizes_are_those_of_the_public_code():
    """Counted there by PyTorch, for 256 pixels; its shortcuts that nothing uses left out."""
    assert _count(lambda: dfgan.Generator(rngs=nnx.Rngs(0))) == 9_744_131
    assert _count(lambda: dfgan.Discriminator(rngs=nnx.Rngs(0))) == 6_717_766
    for size in (32, 64):
        given = {"image_size": size, "width": 4}
        painted = jax.eval_shape(
            lambda given=given: dfgan.Generator(**given, rngs=nnx.Rngs(0))(jnp.ones((2, 100)), jnp.ones((2, 256)))
        )
        assert painted.shape == (2, size, size, 3)
        for network, table in (
            (dfgan.Generator, dfgan.generator_table),
            (dfgan.Discriminator, dfgan.discriminator_table),
        ):
            made = nnx.eval_shape(lambda network=network, given=given: network(**given, rngs=nnx.Rngs(0)))
            paths = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(made, nnx.Param))}
            assert paths == table(size, 4).keys()


def test_a_picture_is_judged_with_its_own_sentence():
    judge = _restless(dfgan.Discriminator(image_size=8, width=2, sentence_dim=5, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3, 8, 8, 3)).astype(np.float32)
    sentences = rng.standard_normal((3, 5)).astype(np.float32)
    both = jax.jit(lambda images, sentences: judge(images, sentences))
    logits = both(images, sentences)
    assert logits.shape == (3,)
    np.testing.assert_allclose(both(images[::-1], sentences[::-1]), logits[::-1], rtol=1e-5)
    assert np.abs(both(images, sentences[::-1]) - logits)[[0, 2]].min() > 1e-3


def test_colours_are_bounded_by_tanh_or_free():
    one, other = (
        dfgan.Generator(image_size=8, width=1, noise_dim=3, sentence_dim=2, bounded=bounded, rngs=nnx.Rngs(0))
        for bounded in (True, False)
    )
    noise, sentence = 30 * jnp.ones((1, 3)), jnp.ones((1, 2))
    free = nnx.jit(lambda painter: painter(noise, sentence))(other)
    assert np.abs(free).max() > 1
    np.testing.assert_allclose(nnx.jit(lambda painter: painter(noise, sentence))(one), np.tanh(free), atol=1e-6)


def test_bad_arguments():
    for size in (4, 48):
        with pytest.raises(ValueError, match="image_size must be a power of two"):
            dfgan.Generator(image_size=size, rngs=nnx.Rngs(0))
    painter = dfgan.Generator(image_size=8, width=1, noise_dim=3, sentence_dim=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="noise and sentence must be"):
        painter(jnp.ones((1, 3)), jnp.ones((1, 3)))
    judge = nnx.eval_shape(lambda: dfgan.Discriminator(image_size=8, width=1, sentence_dim=2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="images must be of size 8 x 8"):
        judge(jnp.ones((1, 16, 16, 3)), jnp.ones((1, 2)))
