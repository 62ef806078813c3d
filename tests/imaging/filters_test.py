import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from gentoolkit.imaging import clahe, filters, pyramid


def photo(shape=(13, 11, 2), seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=shape), jnp.float32)


def slow_box(x, radius):
    out = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            window = x[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1]
            out[i, j] = window.mean((0, 1))
    return out


@pytest.mark.fast
@pytest.mark.parametrize("radius", [0, 1, 2, 3, 6, 30])
def test_box_counts_the_pixels_that_exist(radius):
    x = photo()
    np.testing.assert_allclose(jax.jit(lambda x: filters.box(x, radius))(x), slow_box(np.asarray(x), radius), rtol=1e-5)


@pytest.mark.fast
def test_a_wide_box_loses_nothing_on_a_long_row():
    x = jnp.concatenate([jnp.full((1, 20000, 1), 1e3), jnp.full((1, 20000, 1), 1e-3)], axis=1)
    np.testing.assert_allclose(jax.jit(lambda x: filters.box(x, 5))(x)[0, -100:], 1e-3, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(("padding", "mode"), [("reflect", "mirror"), ("symmetric", "reflect"), ("edge", "nearest")])
def test_gaussian_against_scipy(padding, mode):
    x = photo()
    expected = scipy.ndimage.gaussian_filter(np.asarray(x, np.float64), (1.3, 1.3, 0), mode=mode)
    gaussian = jax.jit(lambda x: filters.gaussian(x, 1.3, padding=padding))
    np.testing.assert_allclose(gaussian(x), expected, atol=1e-6)


guided = jax.jit(filters.guided, static_argnames="radius")  # untraced, each operation is a program of its own


@pytest.mark.fast
def test_guided_filter_against_its_definition():
    x, guide = np.asarray(photo(), np.float64), np.asarray(photo(seed=1), np.float64)
    mean_g, mean_x = slow_box(guide, 2), slow_box(x, 2)
    a = (slow_box(guide * x, 2) - mean_g * mean_x) / (slow_box(guide**2, 2) - mean_g**2 + 0.01)
    expected = slow_box(a, 2) * guide + slow_box(mean_x - a * mean_g, 2)
    result = guided(photo(), photo(seed=1), radius=2, epsilon=0.01)
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.fast
def test_guided_filter_limits():
    x = photo()
    constant = jnp.full_like(x, 0.3)
    np.testing.assert_allclose(guided(constant, x, radius=2, epsilon=1e-3), 0.3, atol=1e-6)
    mean = jnp.broadcast_to(jnp.mean(x, axis=(0, 1), keepdims=True), x.shape)
    np.testing.assert_allclose(guided(x, x, radius=50, epsilon=1e6), mean, atol=1e-5)
    np.testing.assert_allclose(guided(x, x, radius=2, epsilon=1e-9), x, atol=1e-4)


@pytest.mark.fast
def test_bilateral_against_its_definition():
    x = np.asarray(photo((6, 7, 3)), np.float64)
    padded = np.pad(x, [(2, 2), (2, 2), (0, 0)], mode="reflect")
    total, mass = np.zeros_like(x), np.zeros((6, 7, 1))
    for i in range(-2, 3):
        for j in range(-2, 3):
            other = padded[2 + i : 8 + i, 2 + j : 9 + j]
            away = ((other - x) ** 2).sum(-1, keepdims=True)
            weight = np.exp(-(i * i + j * j) / (2 * 1.5**2) - away / (2 * 0.2**2))
            total, mass = total + weight * other, mass + weight
    result = jax.jit(functools.partial(filters.bilateral, radius=2, sigma_space=1.5, sigma_range=0.2))(photo((6, 7, 3)))
    np.testing.assert_allclose(result, total / mass, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("shape", ["disc", "square"])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_morphology_against_scipy(shape, radius):
    x = photo((15, 9, 1))
    i, j = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    footprint = (i**2 + j**2 <= radius**2) if shape == "disc" else np.ones_like(i, bool)
    wide = scipy.ndimage.grey_dilation(np.asarray(x[..., 0]), footprint=footprint, mode="constant", cval=-np.inf)
    closed = scipy.ndimage.grey_erosion(wide, footprint=footprint, mode="constant", cval=np.inf)
    each = filters.dilation, filters.closing, filters.erosion
    dilated, made, eroded = jax.jit(lambda x: [function(x, radius, shape=shape) for function in each])(x)
    np.testing.assert_array_equal(dilated[..., 0], wide)
    np.testing.assert_array_equal(made[..., 0], closed)
    opposite = scipy.ndimage.grey_erosion(np.asarray(x[..., 0]), footprint=footprint, mode="constant", cval=np.inf)
    np.testing.assert_array_equal(eroded[..., 0], opposite)


@pytest.mark.parametrize("shape", [(16, 16, 1), (13, 10, 2), (1, 1, 1), (1, 7, 3)])
def test_a_pyramid_collapses_exactly(shape):
    x = photo(shape)
    build = jax.jit(lambda x: pyramid.laplacian_pyramid(x, 4))
    levels = build(x)
    assert len(levels) == 4
    np.testing.assert_allclose(jax.jit(pyramid.collapse)(levels), x, atol=3e-7)
    flat = build(jnp.full(shape, 0.7))
    for band in flat[:-1]:
        np.testing.assert_allclose(band, 0.0, atol=1e-6)


@pytest.mark.fast
def test_pyramid_against_opencv():
    cv2 = pytest.importorskip("cv2")
    x = photo((16, 12, 1))
    down = cv2.pyrDown(np.asarray(x[..., 0]))
    np.testing.assert_allclose(pyramid.reduce(x)[..., 0], down, atol=1e-6)
    np.testing.assert_allclose(
        pyramid.expand(jnp.asarray(down)[..., None], (16, 12))[..., 0], cv2.pyrUp(down), atol=1e-6
    )


@pytest.mark.fast
def test_one_tile_without_a_limit_is_histogram_equalisation():
    x = np.random.default_rng(0).integers(0, 256, (20, 17, 1))
    expected = (x.reshape(-1)[None, :] <= x.reshape(-1)[:, None]).mean(1).reshape(x.shape)
    image = jnp.asarray(x / 255, jnp.float32)
    np.testing.assert_allclose(
        jax.jit(lambda x: clahe.clahe(x, num_tiles=(1, 1), clip_limit=np.inf))(image), expected, atol=1e-5
    )


def test_a_bin_of_one_tile_holds_more_pixels_than_float32_counts():
    """Twenty million pixels, all but a row of them in the darker of two bins."""

    @jax.jit
    def table():
        row = jnp.arange(5000, dtype=jnp.int32)[:, None]
        return clahe._tables(jnp.broadcast_to(row == 0, (5000, 4000)).astype(jnp.float32), (1, 1), np.inf, 2, False)

    np.testing.assert_allclose(table(), [1 - 1 / 5000, 1], rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("clip_limit", [1.0, 3.0, 40.0])
def test_clahe_against_opencv(clip_limit):
    cv2 = pytest.importorskip("cv2")
    ramp = np.add.outer(np.arange(64), np.arange(96)) * 0.8
    x = np.clip(ramp + np.random.default_rng(0).normal(scale=20, size=ramp.shape), 0, 255).astype(np.uint8)
    expected = cv2.createCLAHE(clip_limit, (8, 8)).apply(x).astype(float)
    equalise = jax.jit(lambda x: clahe.clahe(x, clip_limit=clip_limit, whole_counts=True))
    result = 255 * equalise(jnp.asarray(x / 255, jnp.float32)[..., None])[..., 0]
    # OpenCV rounds its tables, then the blend of four of them.
    assert np.abs(result - expected).max() <= 1.0


def test_the_excess_is_spread_evenly():
    x = np.random.default_rng(0).integers(0, 64, (16, 16)) / 255
    counts = np.bincount(np.round(255 * x).astype(int).reshape(-1), minlength=256)
    clipped = np.minimum(counts, 3)
    table = np.cumsum(clipped + (counts - clipped).sum() / 256) / 256
    result = clahe.clahe(jnp.asarray(x, jnp.float32)[..., None], num_tiles=(1, 1), clip_limit=3.0)
    np.testing.assert_allclose(result[..., 0], table[np.round(255 * x).astype(int)], atol=1e-5)


FILTERS = {
    "box": lambda x: filters.box(x, 2),
    "gaussian": lambda x: filters.gaussian(x, 0.8),
    "guided": lambda x: filters.guided(x, x, radius=2, epsilon=0.01),
    "bilateral": lambda x: filters.bilateral(x, radius=2, sigma_space=1.5, sigma_range=0.3),
    "closing": lambda x: filters.closing(x, 2),
    "clahe": lambda x: clahe.clahe(x, num_tiles=(2, 2)),
    "pyramid": lambda x: pyramid.reduce(x),
}


@pytest.mark.parametrize("name", FILTERS)
def test_batch_gradient_and_bad_input(name):
    function = jax.jit(FILTERS[name])
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(FILTERS[name](x))))
    x = photo((2, 6, 5, 2))
    batch = function(x)
    np.testing.assert_allclose(jax.jit(jax.vmap(FILTERS[name]))(x), batch, atol=1e-6)
    np.testing.assert_allclose(function(x[::-1])[0], batch[1], atol=1e-6)
    for images in (x, jnp.zeros_like(x), jnp.full((1, 1, 1), 0.5)):
        assert np.isfinite(function(images)).all()
        assert np.isfinite(gradient(images)).all()
    spread = np.isnan(function(x.at[0, 3, 2, 0].set(jnp.nan)))
    assert spread[0].any() and not spread[1].any()
    assert not spread[..., 1].any() or name == "bilateral"  # whose channels share their weights
    with pytest.raises(ValueError, match="non-empty"):
        FILTERS[name](jnp.zeros((5, 0, 1)))
    with pytest.raises(TypeError, match="floats"):
        FILTERS[name](jnp.zeros((5, 5, 1), jnp.uint8))


@pytest.mark.parametrize("name", ["box", "gaussian", "guided", "bilateral", "closing", "pyramid"])
def test_gradients_against_differences(x64, name):
    x = jnp.asarray(photo((6, 5, 1)), jnp.float64)
    weight = jnp.asarray(photo(jax.eval_shape(FILTERS[name], x).shape, 5), jnp.float64)

    @jax.jit
    def loss(x):
        return jnp.sum(weight * FILTERS[name](x))

    step = jnp.zeros_like(x).at[3, 2, 0].set(1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(x)[3, 2, 0], (loss(x + step) - loss(x - step)) / 2e-6, atol=1e-7)


@pytest.mark.fast
def test_bad_options_are_refused():
    x = photo()
    with pytest.raises(ValueError, match="radius"):
        filters.box(x, -1)
    with pytest.raises(ValueError, match="padding"):
        filters.gaussian(x, 1.0, padding="none")
    with pytest.raises(ValueError, match="guide"):
        filters.guided(x, x[:, :3], radius=1, epsilon=0.1)
    with pytest.raises(ValueError, match="epsilon"):
        filters.guided(x, x, radius=1, epsilon=0.0)
    with pytest.raises(ValueError, match="shape"):
        filters.closing(x, 1, shape="star")
    with pytest.raises(ValueError, match="clip_limit"):
        clahe.clahe(x, clip_limit=0.0)
    with pytest.raises(ValueError, match="halves"):
        pyramid.expand(x, (10, 10))
