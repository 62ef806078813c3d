"""The transposed convolution against Flax's own: same parameters, same values, same derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn.convolution import TransposedConvolution

CASES = [
    ((2, 2), (1, 1), "SAME"),
    ((3, 3), (1, 1), "VALID"),
    ((3, 3), (2, 2), "VALID"),
    ((3, 3), (2, 2), "SAME"),
    ((4, 4), (2, 2), "SAME"),
    ((2, 2), (2, 2), "SAME"),
    ((5, 3), (3, 2), "SAME"),
    ((5, 3), (3, 2), "VALID"),
]


@pytest.mark.parametrize(("size", "strides", "padding"), CASES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_it_is_flax_s(size, strides, padding, use_bias):
    options = {"strides": strides, "padding": padding, "use_bias": use_bias}
    ours = TransposedConvolution(3, 4, size, **options, rngs=nnx.Rngs(0))
    theirs = nnx.ConvTranspose(3, 4, size, **options, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ours.kernel[...], theirs.kernel[...])
    if use_bias:
        ours.bias[...] = theirs.bias[...] = jnp.arange(4.0)
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    weights = jax.random.normal(jax.random.key(1), theirs(x).shape)

    def loss(module, x):
        return jnp.sum(module(x) * weights)

    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    ours_by, theirs_by = (nnx.grad(loss, argnums=(0, 1))(module, x) for module in (ours, theirs))
    for a, b in zip(jax.tree.leaves(ours_by), jax.tree.leaves(theirs_by), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "CIRCULAR"}, 'padding must be "SAME" or "VALID"'),
        ({"strides": (4, 4)}, "strides no larger"),
        ({"strides": (1,)}, "two axes"),
    ],
)
def test_what_it_does_not_do_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        TransposedConvolution(3, 4, (3, 3), **options, rngs=nnx.Rngs(0))
