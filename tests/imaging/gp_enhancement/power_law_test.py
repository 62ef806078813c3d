import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import degradation
from gentoolkit.imaging.gp_enhancement import power_law


@pytest.mark.fast
@pytest.mark.parametrize("gamma", [0.7, 1.0, 2.2, 8.5])
def test_a_power_that_was_not_rounded_is_undone(gamma):
    bright = jnp.linspace(0.0, 1.0, 101)
    np.testing.assert_allclose(power_law.brighten(bright**gamma, gamma, num_bits=None), bright, atol=2e-6)
    np.testing.assert_allclose(power_law.fit(bright**gamma, bright, num_bits=None), gamma, rtol=3e-3)


@pytest.mark.fast
@pytest.mark.parametrize("num_bits", [8, 16])
def test_a_rounded_value_becomes_the_middle_of_what_rounds_to_it(num_bits):
    # The mean over all bright values of a uniform law is the guess of least squares.
    bright = (np.arange(1_000_000) + 0.5) / 1_000_000
    dark = np.asarray(degradation.darken(bright[:, None, None], 4.0, num_bits=num_bits)).ravel()
    black = dark == 0
    made = power_law.brighten(jnp.asarray([0.0]), 4.0, num_bits=num_bits)
    np.testing.assert_allclose(made[0], bright[black].mean(), rtol=1e-3)
    np.testing.assert_allclose(made[0], 0.105 if num_bits == 8 else 0.0263, rtol=1e-2)
    one = dark == dark[np.searchsorted(dark, 3.5 / (2**num_bits - 1))]
    made = power_law.brighten(jnp.asarray(dark[one][:1]), 4.0, num_bits=num_bits)
    np.testing.assert_allclose(made[0], bright[one].mean(), rtol=1e-3)


@pytest.mark.fast
def test_it_rises_from_black_to_white():
    made = power_law.brighten(jnp.linspace(0.0, 1.0, 256), 5.0)
    assert bool(jnp.all(jnp.diff(made) > 0)) and made[0] > 0 and made[-1] < 1


@pytest.mark.fast
def test_weights_count_and_bounds_hold():
    bright = jnp.linspace(0.01, 1.0, 100)
    dark = jnp.concatenate([bright**2, bright**5])
    both, weights = jnp.tile(bright, 2), jnp.repeat(jnp.asarray([1.0, 0.0]), 100)
    np.testing.assert_allclose(power_law.fit(dark, both, weights=weights, num_bits=None), 2.0, rtol=3e-3)
    np.testing.assert_allclose(power_law.fit(dark, both, weights=1 - weights, num_bits=None), 5.0, rtol=3e-3)
    assert 0.4 < float(power_law.fit(bright, 0 * bright)) < 0.6
    assert 14 < float(power_law.fit(0.001 * bright, 0 * bright + 1)) < 18


@pytest.mark.fast
def test_gradients_are_finite_and_nan_stays():
    grad = jax.grad(lambda x: jnp.sum(power_law.brighten(x, 3.0)))(jnp.asarray([0.0, 0.5 / 255, 0.3, 1.0]))
    assert bool(jnp.all(jnp.isfinite(grad)))
    assert bool(jnp.isnan(power_law.brighten(jnp.asarray([jnp.nan]), 3.0))[0])
    assert bool(jnp.isnan(power_law.fit(jnp.asarray([0.1, jnp.nan]), jnp.ones(2))))


@pytest.mark.fast
def test_shapes_are_checked_and_low_precision_is_widened():
    with pytest.raises(ValueError, match=r"\(3,\), \(4,\)"):
        power_law.fit(jnp.ones(3), jnp.ones(4))
    assert power_law.brighten(jnp.ones(2, jnp.bfloat16), 2.0).dtype == jnp.float32
