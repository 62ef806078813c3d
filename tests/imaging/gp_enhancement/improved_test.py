import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import degradation, quality
from gentoolkit.imaging.gp_enhancement import improved, shrinkage

KEY = jax.random.key(0)
fit = jax.jit(improved.fit, static_argnames=("channels", "mean", "num_bits"))


def ramp(height=40, width=60):
    rows, columns = np.mgrid[0:height, 0:width]
    return jnp.asarray(np.stack([columns / width, rows / height, (rows + columns) / (height + width)], -1), jnp.float32)


@pytest.mark.fast
def test_a_straight_table_leaves_an_image_without_noise_as_it_is():
    nodes = (jnp.arange(1024, dtype=jnp.float32) / 1023.0) ** 3
    table = jnp.broadcast_to(nodes[:, None], (1024, 3))
    made = improved.apply(table, ramp(), num_bits=None, strength=1.0)
    np.testing.assert_allclose(made, ramp(), atol=2e-6)


@pytest.mark.fast
def test_a_table_holds_the_curves():
    bright = ramp()
    dark = degradation.color_cast(bright, jnp.asarray([2.0, 3.0, 4.0]))
    table = fit(KEY, dark, bright, channels="coregionalized", num_bits=None)
    nodes = (np.arange(1024) / 1023.0) ** 3
    exact = np.stack([nodes ** (1 / gamma) for gamma in (2.0, 3.0, 4.0)], -1)
    seen = slice(512, 1000)  # where all three channels have data
    np.testing.assert_allclose(table[seen], exact[seen], atol=0.02)
    assert float(quality.psnr(improved.apply(table, dark, num_bits=None), bright)) > 35


def test_the_reduced_image_has_the_curve_of_the_whole():
    bright = ramp(120, 120)
    dark = degradation.darken(bright, 3.0)
    table = fit(KEY, dark[::4, ::4], bright[::4, ::4], num_bits=None)
    assert float(quality.psnr(improved.apply(table, dark, num_bits=None), bright)) > 35


@pytest.mark.parametrize("mean", ["power", "centre"])
def test_black_and_white_stay_where_the_reference_draws_all_to_the_middle(mean):
    bright = ramp()
    dark = degradation.darken(bright, 3.0, num_bits=8)
    ends = fit(KEY, dark, 0.25 + 0.5 * bright, mean=mean)[jnp.asarray([0, -1]), 0]
    if mean == "power":
        assert float(ends[0]) < 0.12 and float(ends[1]) > 0.9, ends
    else:
        assert float(ends[0]) > 0.2 and float(ends[1]) < 0.8, ends


@pytest.mark.fast
def test_noise_is_measured_and_flat_planes_have_none():
    flat = 0.2 * ramp(200, 200) + 0.3
    np.testing.assert_allclose(shrinkage.noise_level(flat), 0.0, atol=1e-6)
    noisy = flat + 0.02 * jax.random.normal(KEY, flat.shape)
    np.testing.assert_allclose(shrinkage.noise_level(noisy), 0.02, rtol=0.1)
    assert shrinkage.noise_level(flat[:1, :1]).shape == (3,)


@pytest.mark.fast
def test_shrinking_averages_noise_and_keeps_an_edge():
    clean = jnp.where(jnp.arange(40)[None, :, None] < 20, 0.3, 0.8) * jnp.ones((40, 40, 1))
    noisy = clean + 0.03 * jax.random.normal(KEY, clean.shape)
    made = shrinkage.shrink(noisy, jnp.full_like(noisy, 0.03**2))
    before, after = (float(jnp.mean((x - clean) ** 2)) for x in (noisy, made))
    assert after < 0.5 * before
    np.testing.assert_array_equal(jnp.round(made[:, 21]), 1.0)
    np.testing.assert_allclose(shrinkage.shrink(noisy, jnp.zeros_like(noisy)), noisy, atol=1e-6)


@pytest.mark.fast
def test_gradients_are_finite():
    table = jnp.broadcast_to(jnp.linspace(0, 1, 1024)[:, None], (1024, 3))
    image = ramp(8, 8).at[0, 0].set(0.0)
    grad = jax.grad(lambda table: jnp.sum(improved.apply(table, image, strength=1.0)))(table)
    assert bool(jnp.all(jnp.isfinite(grad)))


@pytest.mark.fast
def test_shapes_are_checked():
    with pytest.raises(ValueError, match="table.shape"):
        improved.apply(jnp.zeros((10, 1)), ramp())
    with pytest.raises(ValueError, match="must agree"):
        shrinkage.shrink(ramp(), ramp(20, 60))
