"""Every form of a convolution against XLA's own: values, derivatives, and derivatives of derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn import _closed, _few_channels, _winograd, convolution
from gentoolkit.nn._closed import Geometry


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def xla(x, w, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    return jax.lax.conv_general_dilated(
        x, w, strides, padding, lhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def as_form(form, size, kernel, pad):
    padding = ((pad, pad), (pad, pad))
    geometry = Geometry((size, size), (kernel, kernel), (1, 1), padding)
    return lambda x, w: _closed.forward(form, geometry, x, w), lambda x, w: xla(x, w, padding=padding)


def strided(strides, padding):
    return (
        lambda x, w: convolution.convolve(x, w, strides=strides, padding=padding),
        lambda x, w: xla(x, w, strides, padding),
    )


def enlarged(kernel, reflect):
    half = kernel // 2
    around = ((0, 0), (half, half), (half, half), (0, 0))
    return (
        lambda x, w: convolution.resized(x, w, reflect=reflect),
        lambda x, w: xla(
            jnp.pad(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), around, "reflect" if reflect else "constant"), w
        ),
    )


ONE = ((1, 1), (1, 1))
# (ours, XLA's), shapes of image and kernel.
CASES = {
    "4x4 stride 2": (strided((2, 2), ONE), (2, 8, 8, 3), (4, 4, 3, 2)),
    "3x3 stride 2 by 1": (strided((2, 1), ((0, 1), (2, 0))), (2, 8, 7, 3), (3, 3, 3, 2)),
    "transposed 3x3": (
        (
            lambda x, w: convolution.transposed(x, w.swapaxes(2, 3), (8, 8), strides=(2, 2), padding=1),
            lambda x, w: xla(x, jnp.flip(w, (0, 1)), padding=((1, 2), (1, 2)), dilation=(2, 2)),
        ),
        (2, 4, 4, 3),
        (3, 3, 3, 2),
    ),
    "Winograd 3x3": (as_form(_winograd.FORM, 8, 3, 1), (2, 8, 8, 3), (3, 3, 3, 2)),
    "Winograd 3x3, odd": (as_form(_winograd.FORM, 7, 3, 0), (2, 7, 7, 3), (3, 3, 3, 2)),
    "Winograd 4x4": (as_form(_winograd.FORM, 8, 4, 1), (2, 8, 8, 3), (4, 4, 3, 2)),
    "rows 7x7": (as_form(_few_channels.ONTO_FEW, 8, 7, 3), (2, 8, 8, 3), (7, 7, 3, 2)),
    "rows 3x3": (as_form(_few_channels.ONTO_FEW, 8, 3, 1), (2, 8, 8, 4), (3, 3, 4, 3)),
    "rows 4x4": (as_form(_few_channels.ONTO_FEW, 8, 4, 0), (2, 8, 8, 3), (4, 4, 3, 1)),
    "from rows 7x7": (as_form(_few_channels.FROM_FEW, 8, 7, 3), (2, 8, 8, 2), (7, 7, 2, 3)),
    "resized 3x3": (enlarged(3, False), (2, 4, 5, 3), (3, 3, 3, 2)),
    "resized 3x3, reflected": (enlarged(3, True), (2, 4, 5, 3), (3, 3, 3, 2)),
    "resized 5x5": (enlarged(5, False), (2, 4, 4, 2), (5, 5, 2, 2)),
    "resized 5x5, reflected": (enlarged(5, True), (2, 4, 5, 2), (5, 5, 2, 2)),
    "resized 7x7, reflected": (enlarged(7, True), (1, 3, 3, 1), (7, 7, 1, 1)),
}


@pytest.fixture(scope="module")
def found():
    """Of each case and both sides: the output, the slopes of a loss, and those of the squared slope in the image."""
    inputs = {name: (draw(0, *image), draw(1, *kernel)) for name, (_, image, kernel) in CASES.items()}

    def both(function, x, w):
        y = function(x, w)
        weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)

        def penalty(x, w):
            slopes = jax.grad(lambda x, w: jnp.sum(jnp.tanh(function(x, w) / 8) * weights), (0, 1))(x, w)
            return jnp.sum(slopes[0] ** 2), slopes

        (_, slopes), second = jax.value_and_grad(penalty, (0, 1), has_aux=True)(x, w)
        return {"value": y, "slopes": slopes, "second": second}

    @jax.jit
    def everything(inputs):
        return {name: [both(side, *inputs[name]) for side in CASES[name][0]] for name in CASES}

    return everything(inputs)


@pytest.mark.parametrize("name", CASES)
def test_every_form_is_xla_s_to_the_second_derivative(found, name):
    ours, theirs = found[name]
    for part in ("value", "slopes", "second"):
        for a, b in zip(jax.tree.leaves(ours[part]), jax.tree.leaves(theirs[part]), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max(), err_msg=part)


@pytest.mark.fast
def test_the_form_goes_by_shape():
    def form(ci, co, kernel, size=16, strides=(1, 1), dtype=jnp.float32):
        geometry = Geometry((size, size), (kernel, kernel), strides, ONE)
        image, w = (jax.ShapeDtypeStruct(shape, dtype) for shape in ((1, size, size, ci), (kernel, kernel, ci, co)))
        return convolution._form(geometry, image, w)

    assert form(128, 256, 3) is form(64, 64, 4) is _winograd.FORM
    assert form(64, 256, 3) is form(3, 8, 7) is form(3, 64, 2) is None  # plain
    assert form(64, 3, 7) is form(32, 3, 3) is form(256, 1, 4) is _few_channels.ONTO_FEW
    assert form(3, 64, 7) is form(3, 16, 3) is _few_channels.FROM_FEW
    assert form(64, 128, 4, strides=(2, 2)) is _closed.PLAIN
    assert form(128, 256, 3, dtype=jnp.bfloat16) is None


@pytest.mark.fast
def test_platforms_other_than_cpus_compile_xla_s_own():
    def lowered(platform):
        x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))
        traced = jax.jit(as_form(_winograd.FORM, 8, 3, 1)[0]).trace(x, w)
        return traced.lower(lowering_platforms=(platform,)).as_text()

    on_cpu, on_gpu = lowered("cpu"), lowered("cuda")
    assert "dot_general" in on_cpu and "stablehlo.convolution" not in on_cpu
    assert "dot_general" not in on_gpu and "stablehlo.convolution" in on_gpu


TRANSPOSED = [
    ((2, 2), (1, 1), "SAME", True),
    ((3, 3), (1, 1), "VALID", False),
    ((3, 3), (2, 2), "VALID", True),
    ((3, 3), (2, 2), "SAME", True),
    ((4, 4), (2, 2), "SAME", False),
    ((2, 2), (2, 2), "SAME", True),
    ((5, 3), (3, 2), "SAME", True),
    ((5, 3), (3, 2), "VALID", True),
]


@pytest.fixture(scope="module")
def transposed():
    """Outputs and slopes of ours and of Flax's, with the same parameters."""
    x = draw(0, 2, 5, 6, 3)

    def modules(size, strides, padding, use_bias):
        options = {"strides": strides, "padding": padding, "use_bias": use_bias}
        kinds = convolution.TransposedConvolution, nnx.ConvTranspose
        return [kind(3, 4, size, **options, rngs=nnx.Rngs(0)) for kind in kinds]

    @jax.jit
    def run(x):
        def both(module):
            graph, params, rest = nnx.split(module, nnx.Param, ...)

            def value(params, x):
                y = nnx.merge(graph, params, rest, copy=True)(x)
                weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
                return jnp.sum(y * weights), y

            (_, y), slopes = jax.value_and_grad(value, (0, 1), has_aux=True)(params, x)
            return y, slopes

        return [[both(module) for module in modules(*case)] for case in TRANSPOSED]

    return run(x)


@pytest.mark.parametrize("case", range(len(TRANSPOSED)), ids=[str(case) for case in TRANSPOSED])
def test_a_transposed_convolution_is_flax_s(transposed, case):
    ours, theirs = (jax.tree.leaves(side) for side in transposed[case])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.fast
@pytest.mark.parametrize(("kernel", "output_padding"), [(3, 1), (4, 0)])
def test_a_transposed_convolution_by_pytorch_s_padding_is_the_direct_sum(kernel, output_padding):
    x = draw(0, 1, 3, 4, 2)
    layer = convolution.TransposedConvolution(
        2, 5, (kernel, kernel), strides=(2, 2), padding=1, output_padding=output_padding, rngs=nnx.Rngs(0)
    )
    # PyTorch counts taps from the near end, Flax from the far one.
    taps = np.asarray(layer.kernel[...])[::-1, ::-1]
    expected = np.zeros((1, 6 + kernel, 8 + kernel, 5))
    for i in range(3):
        for j in range(4):
            expected[:, 2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel] += np.einsum("bc,hwcd->bhwd", x[:, i, j], taps)
    np.testing.assert_allclose(layer(x), expected[:, 1:7, 1:9], rtol=1e-4, atol=1e-5)


@pytest.mark.fast
def test_modules_take_padding_reflection_bias_and_dtype():
    x, rngs = draw(0, 2, 6, 6, 3), nnx.Rngs(0)
    layer = convolution.Convolution(3, 4, 3, strides=2, padding=1, reflect=True, rngs=rngs)
    layer.bias[...] = jnp.arange(4.0)
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    np.testing.assert_allclose(layer(x), xla(around, layer.kernel[...], (2, 2)) + layer.bias[...], rtol=1e-4, atol=1e-5)
    kernel = convolution.Convolution(64, 64, 3, rngs=rngs).kernel[...]
    np.testing.assert_allclose([np.mean(kernel), np.std(kernel)], [0, 0.02], atol=3e-4)
    layer.dtype = jnp.bfloat16
    assert jax.eval_shape(layer, x).dtype == jnp.bfloat16
    for module, shape in (
        (convolution.Convolution(3, 4, 7, rngs=rngs), (2, 6, 6, 4)),
        (convolution.ResizedConvolution(3, 4, reflect=True, rngs=rngs), (2, 12, 12, 4)),
    ):
        assert jax.eval_shape(module, x).shape == shape
    for ours, flax in (
        (convolution.TransposedConvolution, nnx.ConvTranspose),
        (convolution.Convolution, nnx.Conv),
    ):
        states = [nnx.state(kind(3, 4, (3, 3), rngs=nnx.Rngs(0)), nnx.Param) for kind in (ours, flax)]
        names = [[(path, leaf.shape) for path, leaf in nnx.to_flat_state(state)] for state in states]
        assert names[0] == names[1]
        if flax is nnx.ConvTranspose:
            np.testing.assert_array_equal(states[0]["kernel"][...], states[1]["kernel"][...])


@pytest.mark.fast
def test_halving_undoes_enlarging():
    x = draw(0, 1, 3, 4, 2)
    np.testing.assert_array_equal(convolution.enlarge(x), x.repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(convolution.halve(convolution.enlarge(x)), x, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: convolution.convolve(x, w[:, :, :1]), "x must be .* channels of the kernel"),
        (lambda x, w: convolution.convolve(x[:, :2], w), "kernel must fit the padded image"),
        (lambda x, w: convolution.transposed(x, w.swapaxes(2, 3), (9, 9), strides=(2, 2), padding=1), "size = "),
        (lambda x, w: convolution.resized(x, w[:2, :2]), "odd number of taps"),
        (lambda x, w: convolution.pad_reflect(x, 4), "smaller than the image"),
        (lambda x, w: convolution.halve(x[:, :3]), "even height"),
        (
            lambda x, w: convolution.Convolution(3, 4, (3, 5), reflect=True, rngs=nnx.Rngs(0)),
            "padding must be one number",
        ),
        (lambda x, w: convolution.Convolution(3, 4, (3,), rngs=nnx.Rngs(0)), "kernel_size must be one number"),
        (lambda x, w: convolution.ResizedConvolution(3, 4, 4, rngs=nnx.Rngs(0)), "kernel_size must be odd"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(draw(0, 1, 4, 4, 3), draw(1, 3, 3, 3, 2))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "CIRCULAR"}, 'padding must be "SAME", "VALID"'),
        ({"padding": 3}, "below the size of the kernel"),
        ({"output_padding": 1, "strides": (2, 2)}, "output_padding must be less"),
        ({"output_padding": 2, "strides": (2, 2), "padding": 1}, "output_padding must be less"),
        ({"strides": (4, 4)}, "strides no larger"),
        ({"strides": (1,)}, "two axes"),
    ],
)
def test_what_a_transposed_convolution_does_not_do_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        convolution.TransposedConvolution(3, 4, (3, 3), **options, rngs=nnx.Rngs(0))
