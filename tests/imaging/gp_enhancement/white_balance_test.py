import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import degradation
from gentoolkit.imaging.gp_enhancement import improved, white_balance


def grey(height=30, width=40):
    return jnp.broadcast_to(jax.random.uniform(jax.random.key(0), (height, width, 1), minval=0.3), (height, width, 3))


@pytest.mark.fast
def test_the_cast_of_a_grey_image_is_undone():
    cast = degradation.color_cast(grey(), jnp.asarray([2.2, 3.0, 4.2]))
    powers = white_balance.exponents(cast, strength=1.0)
    np.testing.assert_allclose(jnp.prod(powers), 1.0, rtol=1e-5)
    np.testing.assert_allclose(powers * jnp.asarray([2.2, 3.0, 4.2]), (2.2 * 3.0 * 4.2) ** (1 / 3), rtol=1e-2)
    made = white_balance.apply(cast, powers)
    np.testing.assert_allclose(jnp.ptp(made, axis=-1), 0.0, atol=1e-5)


@pytest.mark.fast
def test_a_cast_moves_the_estimate_by_itself_whatever_the_colours():
    image = jax.random.uniform(jax.random.key(1), (20, 20, 3), minval=0.2) ** jnp.asarray([[[0.8, 1.0, 1.5]]])
    cast = degradation.color_cast(image, jnp.asarray([0.9, 1.0, 1.2]))
    for strength in (0.3, 1.0):
        moved = white_balance.exponents(image, strength=strength) / white_balance.exponents(cast, strength=strength)
        expected = (jnp.asarray([0.9, 1.0, 1.2]) / 1.08 ** (1 / 3)) ** strength
        np.testing.assert_allclose(moved, expected, rtol=2e-3)


@pytest.mark.fast
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_flat_images_stay_as_they_are(value):
    image = jnp.full((4, 5, 3), value)
    powers = white_balance.exponents(image, strength=1.0)
    np.testing.assert_allclose(white_balance.apply(image, powers), image, atol=1e-6)
    grad = jax.grad(lambda x: jnp.sum(white_balance.apply(x, white_balance.exponents(x))))(image)
    assert bool(jnp.all(jnp.isfinite(grad)))


@pytest.mark.fast
def test_leading_axes_are_images_of_their_own():
    images = jnp.stack([grey() ** 2, degradation.color_cast(grey(), jnp.asarray([2.0, 3.0, 4.0]))])
    powers = white_balance.exponents(images)
    for image, row in zip(images, powers, strict=True):
        np.testing.assert_allclose(white_balance.exponents(image), row, rtol=1e-5)
    made = white_balance.apply(images, powers)
    np.testing.assert_allclose(made[1], white_balance.apply(images[1], powers[1]), rtol=1e-5)
    with pytest.raises(ValueError, match="exponents must be"):
        white_balance.apply(images, jnp.ones(2))


@pytest.mark.fast
def test_a_table_takes_the_balance_in():
    nodes = (jnp.arange(1024, dtype=jnp.float32) / 1023.0) ** 3
    table = jnp.stack([nodes**0.5, nodes**0.4, nodes**0.3], -1)
    powers = jnp.asarray([1.3, 1.0, 0.7])
    image = grey()
    balanced = improved.apply(table, white_balance.apply(image, powers))
    np.testing.assert_allclose(improved.apply(improved.rebalance(table, powers), image), balanced, atol=2e-3)
    with pytest.raises(ValueError, match="exponents"):
        improved.rebalance(table, jnp.ones(2))
