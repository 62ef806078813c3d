"""Norms against their definitions and published values; spectral norms against the singular values themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit import training
from gentoolkit.nn import convolution, normalization

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def standardized(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def test_instance_and_batch_norm_are_their_definitions():
    x = 3 * draw(0, 4, 5, 6, 3) + 40  # far from 0, where a difference of squares loses digits
    layers = normalization.instance(3, rngs=nnx.Rngs(0)), normalization.batch(3, rngs=nnx.Rngs(0))
    found = nnx.jit(lambda layers, x: [layer(x) for layer in layers])(layers, x)
    for y, axes in zip(found, ((1, 2), (0, 1, 2)), strict=True):
        np.testing.assert_allclose(y, standardized(np.float64(x), axes), atol=2e-4)
    assert nnx.state(layers[0]) == {}
    affine = normalization.instance(3, affine=True, rngs=nnx.Rngs(0))
    affine.scale[...], affine.bias[...] = jnp.float32([1, 2, 3]), jnp.float32([0, 5, 0])
    np.testing.assert_allclose(affine(x), standardized(np.float64(x), (1, 2)) * [1, 2, 3] + [0, 5, 0], atol=1e-3)


@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_values_slopes_and_running_statistics_are_those_of_flax(kind):
    x, wanted = jnp.float32(draw(0, 4, 5, 6, 3)) + 2, draw(1, 4, 5, 6, 3)
    ours = getattr(normalization, kind)(3, affine=True, rngs=nnx.Rngs(0))
    cls = {"instance": nnx.InstanceNorm, "batch": nnx.BatchNorm}[kind]
    options = {"momentum": 0.9} if kind == "batch" else {}
    theirs = cls(3, epsilon=1e-5, use_fast_variance=False, rngs=nnx.Rngs(0), **options)

    @nnx.jit
    def run(layer, x):
        layer.scale[...], layer.bias[...] = jnp.float32([1, 2, 3]), jnp.float32([0, 5, 0])
        slopes = nnx.grad(lambda layer, x: jnp.sum(wanted * layer(x)), argnums=(0, 1))(layer, x)
        return layer(x), slopes, nnx.state(layer)

    for ours_, theirs_ in zip(*(jax.tree.leaves(run(layer, x)) for layer in (ours, theirs)), strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=1e-4, atol=1e-4)
    if kind == "batch":
        assert np.all(np.asarray(ours.mean[...]) > 0.1)  # they have moved, and are used then
        ours.eval()
        theirs.eval()
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_layer_norm_of_an_image():
    layer = normalization.LayerNorm(2, rngs=nnx.Rngs(0))
    scale = np.asarray(layer.scale[...])
    assert np.all((scale >= 0) & (scale < 1)) and not np.any(layer.bias[...])
    layer.scale[...] = jnp.ones(2)
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    run = nnx.jit(lambda layer, x: layer(x))
    y = run(layer, np.concatenate([x, 3 * x]))
    np.testing.assert_allclose(y[0, 0, 0, 0], -1.4288631, rtol=1e-6)  # the unbiased deviation
    np.testing.assert_allclose(y[1], y[0], atol=1e-4)  # of each image by itself
    layer.scale[...], layer.bias[...] = jnp.float32([2, 0]), jnp.float32([0, 7])
    expected = np.stack([2 * y[..., 0], 7 + 0 * y[..., 1]], -1)
    np.testing.assert_allclose(run(layer, np.concatenate([x, 3 * x])), expected, rtol=1e-6)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(layer(x))))(jnp.ones((1, 2, 2, 2)))
    assert np.all(np.isfinite(slope))
    assert jax.eval_shape(layer, jnp.bfloat16(x)).dtype == jnp.bfloat16


def test_conditions_scale_and_shift():
    rngs, x = nnx.Rngs(0), draw(0, 3, 4, 4, 2)
    condition, labels = draw(1, 3, 5), np.array([0, 2, 0])
    by_vector = normalization.Conditional.by_vector(normalization.instance(2, rngs=rngs), 2, 5, rngs=rngs)
    by_label = normalization.Conditional.by_label(normalization.batch(2, affine=False, rngs=rngs), 2, 3, rngs=rngs)
    nothing = normalization.Conditional.by_vector(None, 2, 5, rngs=rngs)
    np.testing.assert_array_equal(nothing(x, condition), x)  # all begin as the norm alone
    np.testing.assert_allclose(by_vector(x, condition), standardized(x, (1, 2)), atol=1e-4)
    np.testing.assert_allclose(by_label(x, labels), standardized(x, (0, 1, 2)), atol=1e-4)
    by_vector.project.kernel[...] = draw(2, 5, 4)
    scale, shift = np.split(condition @ draw(2, 5, 4), 2, axis=1)
    expected = standardized(x, (1, 2)) * (1 + scale[:, None, None]) + shift[:, None, None]
    np.testing.assert_allclose(by_vector(x, condition), expected, rtol=1e-3, atol=1e-3)
    by_label.project.embedding[...] = draw(3, 3, 4)
    y = by_label(x, labels)
    np.testing.assert_allclose(
        y[1], standardized(x, (0, 1, 2))[1] * (1 + draw(3, 3, 4)[2, :2]) + draw(3, 3, 4)[2, 2:], atol=1e-3
    )
    found = normalization.adaptive(x, scale, shift)
    np.testing.assert_allclose(found.mean((1, 2)), shift, atol=1e-5)
    np.testing.assert_allclose(found.std((1, 2)), np.abs(scale), rtol=1e-3)
    half = jax.eval_shape(normalization.modulate, jnp.bfloat16(x), scale, shift)
    assert half.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="scale and shift"):
        normalization.adaptive(x, scale[:1], shift[:1])


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_spectral_norm_is_the_largest_singular_value(kind):
    rngs = nnx.Rngs(0)
    if kind == "linear":
        layer, x = nnx.Linear(6, 5, rngs=rngs), draw(0, 2, 6)
    else:
        layer, x = convolution.Convolution(3, 5, 2, rngs=rngs), draw(0, 2, 4, 4, 3)
    kernel = draw(1, *layer.kernel.shape)
    layer.kernel[...] = jnp.asarray(kernel)
    plain = layer(x)
    wrapped = normalization.SpectralNorm(layer, rngs=rngs)

    @nnx.jit
    def many(module, x):
        for _ in range(5):
            y = module(x)
        return y

    for _ in range(8):
        y = many(wrapped, x)
    largest = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    np.testing.assert_allclose(y, plain / largest, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(wrapped.layer.kernel[...], kernel)  # the parameter is not touched
    before = np.asarray(wrapped.vector[...])
    wrapped.eval()
    np.testing.assert_allclose(wrapped(x), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(wrapped.vector[...], before)


def test_spectral_norm_s_derivative_is_that_of_the_singular_value_and_pure_runs_inside_one():
    wrapped = normalization.SpectralNorm(
        nnx.Linear(4, 3, use_bias=False, rngs=nnx.Rngs(0)), num_steps=60, rngs=nnx.Rngs(1)
    )
    x, kernel = draw(0, 2, 4), wrapped.layer.kernel[...]

    @jax.jit
    def slopes(kernel, x):
        def ours(kernel):
            wrapped.layer.kernel[...] = kernel
            return jnp.sum(jnp.sin(training.pure(wrapped)(x)))

        exact = lambda kernel: jnp.sum(jnp.sin(x @ kernel / jnp.linalg.svd(kernel, compute_uv=False)[0]))  # noqa: E731
        penalty = jax.grad(lambda x: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(training.pure(wrapped)(x))))(x) ** 2))
        return jax.grad(exact)(kernel), penalty(x)

    exact, penalty = slopes(kernel, x)
    graph, params, rest = nnx.split(wrapped, nnx.Param, ...)

    def loss(params):
        return jnp.sum(jnp.sin(nnx.merge(graph, params, rest, copy=True)(x)))

    np.testing.assert_allclose(jax.grad(loss)(params)["layer"]["kernel"][...], exact, rtol=1e-3, atol=1e-4)
    assert np.all(np.isfinite(penalty)) and np.any(penalty)


def test_what_a_spectral_norm_does_not_take_is_said():
    with pytest.raises(ValueError, match="must have a kernel or an embedding, got Dropout"):
        normalization.SpectralNorm(nnx.Dropout(0.5), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="num_steps must be"):
        normalization.SpectralNorm(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), num_steps=0, rngs=nnx.Rngs(0))
