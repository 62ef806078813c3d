"""The transposed convolution against Flax's own: same parameters, same values, same derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn.convolution import TransposedConvolution

CASES = [
    ((2, 2), (1, 1), "SAME", True),
    ((3, 3), (1, 1), "VALID", False),
    ((3, 3), (2, 2), "VALID", True),
    ((3, 3), (2, 2), "SAME", True),
    ((4, 4), (2, 2), "SAME", False),
    ((2, 2), (2, 2), "SAME", True),
    ((5, 3), (3, 2), "SAME", True),
    ((5, 3), (3, 2), "VALID", True),
]


@pytest.mark.parametrize(("size", "strides", "padding", "use_bias"), CASES)
def test_it_is_flax_s(size, strides, padding, use_bias):
    options = {"strides": strides, "padding": padding, "use_bias": use_bias}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    kinds = [
        (kind, nnx.eval_shape(lambda k=kind: k(3, 4, size, **options, rngs=nnx.Rngs(0))))
        for kind in (TransposedConvolution, nnx.ConvTranspose)
    ]
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), nnx.state(kinds[0][1], nnx.Param))
    graphs = [nnx.graphdef(module) for _, module in kinds]

    @jax.jit
    def run(params, x):
        def both(graph):
            def value(params, x):
                y = nnx.merge(graph, params, copy=True)(x)
                weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
                return jnp.sum(y * weights), y

            (_, y), slopes = jax.value_and_grad(value, (0, 1), has_aux=True)(params, x)
            return y, slopes

        return [both(graph) for graph in graphs]

    (ours, ours_by), (theirs, theirs_by) = run(params, x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for a, b in zip(jax.tree.leaves(ours_by), jax.tree.leaves(theirs_by), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.fast
def test_parameters_begin_as_those_of_flax():
    ours, theirs = (
        kind(3, 4, (3, 3), strides=(2, 2), rngs=nnx.Rngs(0)) for kind in (TransposedConvolution, nnx.ConvTranspose)
    )
    np.testing.assert_array_equal(ours.kernel[...], theirs.kernel[...])
    np.testing.assert_array_equal(ours.bias[...], theirs.bias[...])


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
