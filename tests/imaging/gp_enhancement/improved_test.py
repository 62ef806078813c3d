import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import degradation, quality
from gentoolkit.imaging.gp_enhancement import improved, shrinkage

KEY = jax.random.key(0)
# Untraced, and of one size: k-means, the search and the posterior are programs of their own, which all options share.
fit = improved.fit
apply = jax.jit(improved.apply, static_argnames=("num_bits", "strength"))


def ramp(height=40, width=60):
    rows, columns = np.mgrid[0:height, 0:width]
    return jnp.asarray(np.stack([columns / width, rows / height, (rows + columns) / (height + width)], -1), jnp.float32)


@pytest.mark.fast
def test_a_straight_table_leaves_an_image_without_noise_as_it_is():
    nodes = (jnp.arange(1024, dtype=jnp.float32) / 1023.0) ** 3
    table = jnp.broadcast_to(nodes[:, None], (1024, 3))
    made = apply(table, ramp(), num_bits=None, strength=1.0)
    np.testing.assert_allclose(made, ramp(), atol=2e-6)


def test_a_table_holds_the_curves():
    bright = ramp()
    dark = degradation.color_cast(bright, jnp.asarray([2.0, 3.0, 4.0]))
    table = fit(KEY, dark, bright, channels="coregionalized", num_bits=None)
    nodes = (np.arange(1024) / 1023.0) ** 3
    exact = np.stack([nodes ** (1 / gamma) for gamma in (2.0, 3.0, 4.0)], -1)
    seen = slice(512, 1000)  # where all three channels have data
    np.testing.assert_allclose(table[seen], exact[seen], atol=0.02)
    assert float(quality.psnr(apply(table, dark, num_bits=None), bright)) > 35


def test_the_reduced_image_has_the_curve_of_the_whole():
    bright = ramp(120, 120)
    dark = degradation.darken(bright, 3.0)
    table = fit(KEY, dark[::3, ::2], bright[::3, ::2], num_bits=None)
    assert float(quality.psnr(apply(table, dark, num_bits=None), bright)) > 35


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
def test_pixels_without_weight_have_no_influence_on_others():
    rng = np.random.default_rng(0)
    image = rng.uniform(0.2, 0.6, (14, 12, 2)).astype(np.float32)
    variance = rng.uniform(0.001, 0.02, image.shape).astype(np.float32)
    weights = (rng.uniform(size=(14, 12, 1)) > 0.3).astype(np.float32) * rng.uniform(0.5, 2, (14, 12, 1))
    weights = weights.astype(np.float32)
    made = shrinkage.shrink(image, variance, radius=1, strength=0.7, weights=weights)

    def average(values):
        """The weighted mean of each square of nine, of the pixels that are there."""
        rows, columns = np.mgrid[0:14, 0:12]
        near = (abs(rows[..., None, None] - rows) <= 1) & (abs(columns[..., None, None] - columns) <= 1)
        share = near * np.float64(weights[..., 0])
        total = share.sum((-2, -1))[..., None]
        return np.einsum("ijkl,klc->ijc", share, values) / np.where(total > 0, total, 1)

    mean = average(image)
    spread, noise = average((image - mean) ** 2), 0.7 * average(variance)
    kept = 1 - np.minimum(noise / np.maximum(spread, 1e-30), 1)
    seen = weights[..., 0] > 0
    np.testing.assert_allclose(made[seen], (average(kept) * image + average((1 - kept) * mean))[seen], atol=1e-5)
    hidden = np.where(seen[..., None], image, 9.0)
    np.testing.assert_allclose(
        shrinkage.shrink(hidden, variance, radius=1, strength=0.7, weights=weights)[seen], made[seen], atol=1e-6
    )
    same = shrinkage.shrink(image, variance, weights=np.full((14, 12, 1), 3, np.float32))
    np.testing.assert_allclose(same, shrinkage.shrink(image, variance), atol=1e-6)
    with pytest.raises(ValueError, match="weights must be"):
        shrinkage.shrink(image, variance, weights=weights[..., 0])


@pytest.mark.fast
def test_gradients_are_finite():
    table = jnp.broadcast_to(jnp.linspace(0, 1, 1024)[:, None], (1024, 3))
    image = ramp(8, 8).at[0, 0].set(0.0)
    grad = jax.jit(jax.grad(lambda table: jnp.sum(improved.apply(table, image, strength=1.0))))(table)
    assert bool(jnp.all(jnp.isfinite(grad)))


@pytest.mark.fast
def test_shapes_are_checked():
    with pytest.raises(ValueError, match="table.shape"):
        improved.apply(jnp.zeros((10, 1)), ramp())
    with pytest.raises(ValueError, match="must agree"):
        shrinkage.shrink(ramp(), ramp(20, 60))
