"""Blocks against what they say they are, by the published counts of parameters, sizes and paths of a code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn import residual

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def num_params(make):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(nnx.eval_shape(make), nnx.Param)))


def test_a_residual_block_adds_two_convolutions():
    block = residual.ResidualBlock(2, norm=None, reflect=False, rngs=nnx.Rngs(0))
    x = draw(0, 1, 4, 4, 2)
    np.testing.assert_allclose(block(x), x + block.second(nnx.relu(block.first(x))), rtol=1e-5, atol=1e-6)
    assert num_params(lambda: residual.ResidualBlock(256, rngs=nnx.Rngs(0))) == 2 * (9 * 256 * 256 + 256)


def test_blocks_of_the_bicyclegan_encoder_have_its_parameters():
    def encoder():
        rngs = nnx.Rngs(0)
        first = residual.Convolution(3, 64, 4, strides=2, padding=1, rngs=rngs)
        widths = (64, 128, 192, 256, 256)
        blocks = [residual.PreactivationBlock(a, b, rngs=rngs) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        return nnx.List([first, *blocks, nnx.Linear(256, 8, rngs=rngs), nnx.Linear(256, 8, rngs=rngs)])

    assert num_params(encoder) == 2_590_032


def test_a_preactivation_block_halves_and_has_a_shortcut_where_it_must():
    x = draw(0, 1, 4, 6, 2)
    block = residual.PreactivationBlock(2, 3, norm=None, rngs=nnx.Rngs(0))
    for kernel in (block.first.kernel, block.second.kernel):
        kernel[...] = jnp.zeros_like(kernel[...])
    means = x.reshape(1, 2, 2, 3, 2, 2).mean((2, 4))
    np.testing.assert_allclose(block(x), block.shortcut(means), rtol=1e-5, atol=1e-6)
    same = residual.PreactivationBlock(2, 2, halve=False, rngs=nnx.Rngs(0))
    same.second.kernel[...] = jnp.zeros_like(same.second.kernel[...])
    np.testing.assert_array_equal(same(x), x)


def u_net(widths, in_features, out_features, code_features, rngs):
    net = None
    for outer, inner in reversed(list(zip(widths[:-1], widths[1:], strict=True))):
        net = residual.UNetLevel(outer, inner, net, code_features=code_features, rngs=rngs)
    return residual.UNetLevel(
        in_features, widths[0], net, out_features=out_features, code_features=code_features, rngs=rngs
    )


def test_the_u_net_of_bicyclegan_has_its_parameters():
    widths = (64, 128, 256, 512, 512, 512, 512, 512)
    assert num_params(lambda: u_net(widths, 1, 3, 8, nnx.Rngs(0))) == 54_792_579


def test_a_u_net_keeps_sizes_and_every_feature_of_a_code_counts():
    net = u_net((4, 6), 1, 3, 2, nnx.Rngs(0))
    x, code = draw(0, 2, 8, 16, 1), draw(1, 2, 2)

    @jax.jit
    def run(x, code):
        def first(code):
            y = net(x, code)
            return jnp.sum(y[0, ..., 0]), y

        return jax.grad(first, has_aux=True)(code)

    slopes, y = run(x, code)
    assert y.shape == (2, 8, 16, 3)
    assert np.all(np.asarray(slopes[0]) != 0)
    np.testing.assert_array_equal(slopes[1], 0)  # an image has its own code alone
    with pytest.raises(ValueError, match=r"code must be \[b, 2\]"):
        net(x)
    with pytest.raises(ValueError, match=r"code must be \[b, 2\]"):
        net(x, code[:, :1])
    plain = u_net((4, 4), 1, 1, 0, nnx.Rngs(0))
    with pytest.raises(ValueError, match="None for no features"):
        plain(x, code)


def test_codes_lie_behind_the_channels():
    x, code = draw(0, 2, 3, 3, 4), draw(1, 2, 2)
    y = residual.tile(x, code)
    np.testing.assert_array_equal(y[..., :4], x)
    np.testing.assert_array_equal(y[:, 2, 1, 4:], code)
    with pytest.raises(ValueError, match="code .b, d."):
        residual.tile(x, code[:1])
