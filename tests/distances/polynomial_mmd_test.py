import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.distances import polynomial_mmd

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def reference(x, z, *, degree, scale, offset, estimator):
    xx, zz, xz = ((scale * a @ b.T + offset) ** degree for a, b in ((x, x), (z, z), (x, z)))
    n, m = len(x), len(z)
    if estimator == "biased":
        return xx.mean() + zz.mean() - 2 * xz.mean()
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (zz.sum() - np.trace(zz)) / (m * (m - 1)) - 2 * xz.mean()


def test_the_worked_example_of_kid():
    x, z = np.float32([[1, 0], [0, 1]]), np.float32([[1, 1], [0, 0]])
    np.testing.assert_allclose(polynomial_mmd.squared(x, z), -2.375, rtol=1e-6)


def test_value_and_gradient_are_those_of_the_definition_for_several_problems(x64):
    x, z = draw(0, 2, 9, 4), draw(1, 7, 4) + 0.3
    options = {"degree": 3, "scale": 0.4, "offset": 0.7, "estimator": "unbiased"}

    @jax.jit
    def run(x, z, scale, offset):
        def loss(*arrays):
            x, z, scale, offset = arrays
            found = polynomial_mmd.squared(x, z, scale=scale, offset=offset, block_size=4)
            return found.sum(), found

        return jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(x, z, scale, offset)

    arguments = (x, z, 0.4, 0.7)
    gradients, found = run(*arguments)
    np.testing.assert_allclose(found, [reference(one, z, **options) for one in x], rtol=1e-12)
    for place, gradient in enumerate(gradients):
        direction = draw(2 + place, *np.shape(arguments[place]))
        ends = []
        for step in (1e-5, -1e-5):
            moved = list(arguments)
            moved[place] = moved[place] + step * direction
            ends.append(run(*moved)[1].sum())
        np.testing.assert_allclose(np.sum(gradient * direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-7)


def test_equal_samples_are_at_distance_zero_by_the_biased_form_whatever_the_width():
    x = jnp.asarray(draw(0, 12, 5), jnp.float32)
    run = jax.jit(functools.partial(polynomial_mmd.squared, estimator="biased"))
    assert abs(run(x, x)) < 1e-6
    z = x[:7] + 1
    expected = reference(np.float64(x), np.float64(z), degree=3, scale=0.2, offset=1.0, estimator="biased")
    np.testing.assert_allclose(run(x, z), expected, rtol=1e-5)
    broken = x.at[0, 0].set(jnp.nan)
    assert jnp.isnan(run(broken, broken))
    assert jax.eval_shape(run, *[jax.ShapeDtypeStruct((12, 5), jnp.bfloat16)] * 2).dtype == jnp.float32


def test_options_out_of_range_are_refused():
    x = np.ones((3, 2), np.float32)
    for wrong, told in (
        ({"degree": 0}, "degree must be at least 1"),
        ({"block_size": 0}, "block_size"),
        ({"estimator": "u"}, "estimator must be one of"),
    ):
        with pytest.raises(ValueError, match=told):
            polynomial_mmd.squared(x, x, **wrong)
    with pytest.raises(ValueError, match="needs two samples"):
        polynomial_mmd.squared(x[:1], x)
    with pytest.raises(ValueError, match="Leading axes must broadcast"):
        polynomial_mmd.squared(np.ones((2, 3, 2), np.float32), np.ones((4, 3, 2), np.float32))
