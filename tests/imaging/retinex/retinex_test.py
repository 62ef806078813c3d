import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import solvers
from gentoolkit.imaging.retinex import fbe, gradient_based, lime, srrm, wvm

# Fewer iterations than the defaults: the properties below hold at every one.
METHODS = {
    "fbe": functools.partial(fbe.enhance, closing_radius=2, num_levels=2),
    "wvm": functools.partial(wvm.enhance, num_iterations=3),
    "lime": lime.enhance,
    "lime_exact": functools.partial(lime.enhance, method="exact", max_iterations=5),
    "srrm": functools.partial(srrm.enhance, num_iterations=3),
    "gradient_based": functools.partial(gradient_based.enhance, num_iterations=5),
}


def compiled(function, *arrays, **options):
    """Of arrays, as one program: untraced, each operation is one of its own."""
    return jax.jit(functools.partial(function, **options))(*arrays)


def dark_photo(shape=(16, 14, 3), seed=0):
    smooth = np.random.default_rng(seed).uniform(size=shape)
    smooth = (smooth + np.roll(smooth, 1, -3) + np.roll(smooth, 1, -2)) / 3
    return jnp.asarray(smooth**3, jnp.float32)


@pytest.mark.parametrize("name", METHODS)
def test_range_brightness_batch_and_nan(name):
    x = dark_photo((2, 16, 14, 3))
    enhance = jax.jit(METHODS[name])
    bright = enhance(x)
    assert bright.shape == x.shape and bright.dtype == jnp.float32
    assert bright.min() >= 0 and bright.max() <= 1
    assert jnp.mean(bright) > 1.2 * jnp.mean(x)
    np.testing.assert_allclose(enhance(x[::-1]), bright[::-1], atol=1e-5)
    assert np.isnan(enhance(x.at[0, 8, 7, 1].set(jnp.nan))[0]).any()
    black = enhance(jnp.zeros_like(x))
    assert np.isfinite(black).all()


@pytest.mark.parametrize("name", ["fbe", "wvm", "lime", "srrm", "gradient_based"])
def test_single_images_tiny_images_and_gradients(name):
    # One pixel: every filter and every solver at its smallest.
    x = jnp.full((1, 1, 3), 0.2)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(METHODS[name](x))))(x)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["wvm", "lime", "srrm", "gradient_based"])
def test_gradients_are_finite_and_right(x64, name):
    options = {"lime": {"tolerance": 1e-13}}.get(name, {})
    enhance = functools.partial(METHODS[name], **options)
    x = 0.3 * jnp.asarray(dark_photo((6, 5, 3)), jnp.float64) + 0.05
    direction = jnp.asarray(dark_photo((6, 5, 3), 3), jnp.float64)
    loss = jax.jit(jax.value_and_grad(lambda x: jnp.sum(jnp.sin(3 * enhance(x)))))
    step = 1e-6
    expected = (loss(x + step * direction)[0] - loss(x - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose(jnp.sum(loss(x)[1] * direction), expected, rtol=1e-3)


@pytest.mark.fast
@pytest.mark.parametrize("name", METHODS)
def test_bad_images_are_refused(name):
    with pytest.raises(ValueError, match="3 channel"):
        METHODS[name](jnp.zeros((4, 4, 1)))
    with pytest.raises(ValueError, match="non-empty"):
        METHODS[name](jnp.zeros((4, 0, 3)))
    with pytest.raises(TypeError, match="floats"):
        METHODS[name](jnp.zeros((4, 4, 3), jnp.uint8))


@pytest.mark.fast
def test_unknown_options_are_refused():
    x = dark_photo()
    with pytest.raises(ValueError, match="method"):
        lime.enhance(x, method="slow")
    with pytest.raises(ValueError, match="weighting"):
        lime.weights(x[..., 0], weighting="none")


def test_fusion_weights_sum_to_one():
    inputs = [dark_photo((4, 5, 1), i) for i in range(3)]
    weights = compiled(fbe._weights, inputs, dark_photo((4, 5, 1), 4))
    np.testing.assert_allclose(sum(weights), 1.0, rtol=1e-6)


def test_lime_limits():
    rough = jnp.max(dark_photo(), axis=-1)
    np.testing.assert_allclose(compiled(lime.refine_fast, rough, alpha=0.0).value, rough, atol=1e-6)
    np.testing.assert_allclose(compiled(lime.refine_exact, rough, alpha=0.0), rough, atol=1e-5)
    flat = jnp.full((9, 8), 0.3)
    np.testing.assert_allclose(compiled(lime.refine_fast, flat).value, 0.3, atol=1e-6)
    np.testing.assert_allclose(compiled(lime.refine_exact, flat, num_iterations=3), 0.3, atol=1e-6)
    x = dark_photo()
    plain, denoised = jax.jit(lambda x: (lime.enhance(x), lime.enhance(x, denoise=True)))(x)
    assert (plain >= x - 1e-6).all()
    assert jnp.abs(denoised - plain).max() > 0


def test_lime_weights_are_those_of_its_strategies():
    rough = jnp.max(dark_photo(), axis=-1)
    slope = np.abs(solvers.differences(rough))
    np.testing.assert_array_equal(lime.weights(rough, weighting="uniform"), 1.0)
    np.testing.assert_allclose(lime.weights(rough, weighting="gradient"), 1 / (slope + 1e-3), rtol=1e-5)


def test_wvm_constraints_hold_and_each_step_lowers_its_objective():
    value = jnp.max(dark_photo(), axis=-1)
    r, light = compiled(wvm.decompose, value, num_iterations=4)
    s = jnp.log(jnp.maximum(value, 1 / 255))
    assert (r <= 0).all() and (light >= s).all()

    target = 0.1 * solvers.differences(s)
    weight_r, weight_l = jnp.exp(r)[None], jnp.exp(light)[None]

    def of_r(x):
        return jnp.sum((x + light - s) ** 2) + 0.01 * jnp.sum((weight_r * solvers.differences(x) - target) ** 2)

    def of_light(x):
        return jnp.sum((r + x - s) ** 2) + 0.1 * jnp.sum((weight_l * solvers.differences(x)) ** 2)

    @jax.jit
    def steps():
        new_r = wvm._update_reflectance(s, r, light, target, 0.01)
        new_light = wvm._update_illumination(s, r, light, 0.1)
        cases = ((of_r, r, new_r), (of_light, light, new_light))
        return [(objective(old), *jax.value_and_grad(objective)(new)) for objective, old, new in cases]

    for before, after, slope in steps():
        assert after < before
        assert np.abs(slope).max() < 1e-4


def test_srrm_steps_lower_the_objective_and_a_constant_has_no_noise():
    value = jnp.max(dark_photo(), axis=-1)
    target = 2.0 * solvers.differences(value)
    r, light, n = compiled(srrm.decompose, value, num_iterations=2)
    zero = jnp.zeros_like(target)

    def of_r(x):
        return jnp.sum((x * light + n - value) ** 2) + 0.01 * jnp.sum((solvers.differences(x) - target) ** 2)

    def of_light(x):
        return jnp.sum((r * x + n - value) ** 2) + 0.5 * jnp.sum(solvers.differences(x) ** 2)

    @jax.jit
    def steps():
        new_r = srrm._update_reflectance(value, r, light, n, target, 0.01)
        new_light = srrm._update_illumination(value, r, light, n, zero, zero, 1.0)
        cases = ((of_r, r, new_r), (of_light, light, new_light))
        return [(objective(old), *jax.value_and_grad(objective)(new)) for objective, old, new in cases]

    for before, after, slope in steps():
        assert after < before
        assert np.abs(slope).max() < 1e-4
    _, _, noise = compiled(srrm.decompose, jnp.full((9, 8), 0.3), num_iterations=5)
    np.testing.assert_allclose(noise, 0.0, atol=1e-5)


def test_integration_returns_a_field_from_its_own_differences():
    x = dark_photo()[..., 0]
    integrate = functools.partial(compiled, gradient_based.integrate)
    result = integrate(solvers.differences(x), x, data_weight=0.02, num_iterations=5)
    np.testing.assert_allclose(result, x, atol=1e-5)
    # Without data term only the differences count: right up to a constant.
    far = integrate(solvers.differences(0.3 * x), 0.3 * x + 0.2, data_weight=1e-4, num_iterations=40)
    np.testing.assert_allclose(far - jnp.mean(far), 0.3 * (x - jnp.mean(x)), atol=1e-3)
    steep = integrate(10.0 * solvers.differences(x), x, num_iterations=40)
    assert steep.min() >= 0 and steep.max() <= 1
