"""Penalties against slopes known in closed form, and their own gradients against finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.objectives import penalties

pytestmark = pytest.mark.fast


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def quadratic(x):
    """Slope x in every row."""
    return jnp.sum(jnp.square(x), axis=(1, 2)) / 2


def test_zero_centred_is_the_squared_norm_of_the_slope():
    x, text = draw(0, 3, 2, 2), draw(1, 3, 5)
    for penalty in (penalties.r1, penalties.r2):
        np.testing.assert_allclose(penalty(quadratic, x), np.square(x).sum((1, 2)), rtol=1e-6)
        scaled = penalty(lambda x, text: quadratic(x) * jnp.sum(text, axis=1), x, text)
        np.testing.assert_allclose(scaled, np.square(x).sum((1, 2)) * text.sum(1) ** 2, rtol=1e-5)


def test_wasserstein_of_a_linear_critic_and_of_one_that_tells_the_place():
    key, w = jax.random.key(0), draw(2, 4)
    real, fake = draw(0, 3, 4), draw(1, 3, 4)
    linear = lambda x: jnp.sum(x * jnp.broadcast_to(w, x.shape), axis=1)  # noqa: E731
    norm = np.linalg.norm(w)
    assert norm > 1

    @jax.jit
    def of_linear(center):
        penalty = functools.partial(penalties.wasserstein, key, linear, real, fake, center=center)
        return penalty(), penalty(one_sided=True)

    np.testing.assert_allclose(of_linear(1.0), (norm - 1) ** 2, rtol=1e-5)
    both, one = of_linear(norm + 1)
    np.testing.assert_allclose(both, 1, rtol=1e-5)
    np.testing.assert_array_equal(one, 0)
    # The slope of the quadratic is the place itself: anywhere between a real row at (1, 0) and one made at (3, 0).
    near, far = (np.broadcast_to(np.float32([place, 0]), (4000, 1, 2)) for place in (1, 3))
    places = np.sqrt(penalties.wasserstein(key, quadratic, near, far, center=0.0))
    assert 1 <= places.min() < 1.01 and 2.99 < places.max() <= 3.00001
    np.testing.assert_allclose(places.mean(), 2, atol=4 * 2 / np.sqrt(12 * 4000))


def test_matching_aware_of_a_linear_critic():
    w, u = draw(2, 4) / 2, draw(3, 5) / 2
    x, e = draw(0, 3, 4), draw(1, 3, 5)

    def critic(x, e):
        return jnp.sum(x * jnp.broadcast_to(w, x.shape), axis=1) + jnp.sum(e * jnp.broadcast_to(u, e.shape), axis=1)

    squares = np.square(w).sum(), np.square(u).sum()
    np.testing.assert_allclose(penalties.matching_aware(critic, x, e), 2 * sum(squares) ** 3, rtol=1e-5)
    other = penalties.matching_aware(critic, x, e, strength=0.5, power=3.0)
    np.testing.assert_allclose(other, 0.5 * sum(squares) ** 1.5, rtol=1e-5)
    printed = penalties.matching_aware(critic, x, e, sum_of_norms=True)
    np.testing.assert_allclose(printed, 2 * sum(np.sqrt(squares)) ** 6, rtol=1e-5)


@pytest.mark.parametrize("name", ["r1", "wasserstein", "matching_aware", "printed"])
def test_gradients_in_the_weights(x64, name):
    x, fake, w = (np.float64(draw(seed, 2, 3)) for seed in range(3))

    def penalty(w):
        critic = lambda *rows: sum(jnp.tanh(jnp.sum(r * w, axis=1)) for r in rows)  # noqa: E731
        return jnp.sum(
            {
                "r1": lambda: penalties.r1(critic, x),
                "wasserstein": lambda: penalties.wasserstein(jax.random.key(0), critic, x, fake),
                "matching_aware": lambda: penalties.matching_aware(critic, x, fake),
                "printed": lambda: penalties.matching_aware(critic, x, fake, sum_of_norms=True),
            }[name]()
        )

    step = 1e-5 * np.float64(draw(5, 2, 3))
    compiled = jax.jit(jax.value_and_grad(penalty))
    slope = (compiled(w + step)[0] - compiled(w - step)[0]) / 2
    np.testing.assert_allclose(np.sum(np.asarray(compiled(w)[1]) * step), slope, rtol=1e-6)


def test_a_flat_critic_has_finite_slopes():
    def flat(w):
        critic = lambda x: jnp.sum(x, axis=1) * w  # noqa: E731
        rows = jnp.ones((2, 3))
        terms = penalties.wasserstein(jax.random.key(0), critic, rows, rows), penalties.matching_aware(critic, rows)
        return sum(jnp.sum(term) for term in terms)

    value, slope = jax.jit(jax.value_and_grad(flat))(0.0)
    assert value == 2 and slope == 0


def test_maps_of_patches_count_as_their_sum_and_wrong_critics_are_named():
    x = draw(0, 3, 2, 2)
    np.testing.assert_allclose(penalties.r1(lambda x: x, x), 4.0)
    with pytest.raises(ValueError, match="a row for each of 3 rows"):
        penalties.r1(jnp.sum, x)
    with pytest.raises(ValueError, match="power must be at least 1"):
        penalties.matching_aware(quadratic, x, power=0.5)
    with pytest.raises(ValueError, match="inputs must be given"):
        penalties.matching_aware(quadratic)
    with pytest.raises(ValueError, match="Shapes must agree: real.shape"):
        penalties.wasserstein(jax.random.key(0), quadratic, x, x[:, :1])
