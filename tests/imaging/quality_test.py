import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import degradation, quality

pytestmark = pytest.mark.fast
# Compiled whole: untraced, each operation is a program of its own.
psnr, ssim = jax.jit(quality.psnr, static_argnames="smallest_error"), jax.jit(quality.ssim)
darken = jax.jit(degradation.darken, static_argnames="num_bits")
poisson_gaussian = jax.jit(degradation.poisson_gaussian, static_argnames=("peak", "read_noise", "clip"))


def photo(seed=0, shape=(16, 18, 3), dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=shape), dtype)


def test_psnr_of_known_errors():
    x = 0.5 * photo(shape=(2, 16, 18, 3))
    np.testing.assert_allclose(psnr(x, x), -20 * np.log10(0.5 / 255), rtol=1e-5)
    np.testing.assert_allclose(psnr(x + 7 / 255, x), -20 * np.log10(7 / 255), rtol=1e-5)
    assert np.isinf(psnr(x, x, smallest_error=0.0)).all()
    assert np.isfinite(jax.jit(jax.grad(lambda y: jnp.sum(psnr(y, x))))(x)).all()
    assert np.isnan(psnr(x.at[0, 0, 0, 0].set(jnp.nan), x)).tolist() == [True, False]


@pytest.mark.parametrize("shape", [(16, 18, 3), (11, 11, 1)])
def test_ssim_against_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    x, y = photo(0, shape), jnp.clip(photo(0, shape) + 0.2 * photo(1, shape), 0, 1)
    expected = metrics.structural_similarity(
        np.asarray(x, np.float64),
        np.asarray(y, np.float64),
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )
    np.testing.assert_allclose(ssim(x, y), expected, atol=1e-6)


def test_ssim_identities():
    x, y = photo(0, (2, 16, 18, 3)), photo(1, (2, 16, 18, 3))
    np.testing.assert_allclose(ssim(x, x), 1.0, rtol=1e-6)
    np.testing.assert_allclose(ssim(x, y), ssim(y, x), atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(ssim))(x, y), ssim(x, y), atol=1e-6)
    flat = jnp.full((12, 12, 1), 0.3)
    assert np.isfinite(jax.jit(jax.grad(ssim))(flat, 0.5 * flat)).all()


def test_gradients_against_differences(x64):
    x, y = photo(0, (12, 12, 1), np.float64), photo(1, (12, 12, 1), np.float64)
    step = jnp.zeros_like(x).at[5, 6, 0].set(1e-6)
    for function in (psnr, ssim):
        expected = (function(x + step, y) - function(x - step, y)) / 2e-6
        np.testing.assert_allclose(jax.jit(jax.grad(function))(x, y)[5, 6, 0], expected, rtol=1e-5)


def test_lpips_input():
    x = jnp.asarray([0.0, 0.5, 1.0]).reshape(1, 1, 3)
    np.testing.assert_allclose(quality.lpips_input(x)[0, 0], [-1, 0, 1])
    np.testing.assert_allclose(
        quality.lpips_input(x, scaling_layer=True)[0, 0], [-0.970 / 0.458, 0.088 / 0.448, 1.188 / 0.450], rtol=1e-5
    )


def test_bad_images_are_refused():
    x = photo()
    with pytest.raises(ValueError, match="agree"):
        quality.psnr(x, x[:4])
    with pytest.raises(ValueError, match="at least 11"):
        quality.ssim(x[:10], x[:10])
    with pytest.raises(ValueError, match="3 channel"):
        quality.lpips_input(x[..., :1])
    with pytest.raises(TypeError, match="floats"):
        quality.psnr(jnp.zeros((4, 4, 3), jnp.uint8), x)


def test_darkening_composes():
    x = photo()
    np.testing.assert_allclose(darken(x, 1.0), x, rtol=1e-6)
    twice = darken(darken(x, 1.5), 2.0)
    np.testing.assert_allclose(twice, darken(x, 3.0), atol=1e-6)
    cast = degradation.color_cast(x, jnp.asarray([2.2, 3.0, 4.2]))
    np.testing.assert_allclose(cast[..., 1], darken(x, 3.0)[..., 1], atol=1e-6)
    levels = degradation.gamma_levels()
    assert len(levels) == 26 and levels[0] == 1.0
    np.testing.assert_allclose(levels[-1], 8.5)


def test_darkening_rounds_as_eight_bits_do():
    x = jnp.asarray(np.arange(256) / 255, jnp.float32).reshape(16, 16, 1)
    dark = darken(x, 2.0, num_bits=8)
    np.testing.assert_allclose(255 * dark, np.round(255 * (np.arange(256) / 255) ** 2).reshape(16, 16, 1), atol=1e-3)
    np.testing.assert_allclose(degradation.quantize(x), x, atol=1e-7)
    assert len(np.unique(degradation.quantize(photo(), num_bits=2))) == 4


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.2])
def test_gradients_of_darkening_are_finite(gamma):
    x = jnp.zeros((3, 3, 3)).at[0].set(0.4)
    gradient = jax.jit(jax.grad(lambda x, g: jnp.sum(darken(x, g)), (0, 1)))(x, gamma)
    assert all(np.isfinite(part).all() for part in gradient)


def test_noise_has_its_moments_and_passes_gradients():
    key, x = jax.random.key(0), jnp.full((200, 200, 1), 0.3)
    noisy = poisson_gaussian(key, x, peak=100.0, read_noise=0.02, clip=False)
    variance = 0.3 / 100 + 0.02**2
    np.testing.assert_allclose(jnp.mean(noisy), 0.3, atol=4 * (variance / 40000) ** 0.5)
    np.testing.assert_allclose(jnp.var(noisy), variance, rtol=0.05)
    np.testing.assert_array_equal(noisy, poisson_gaussian(key, x, peak=100.0, read_noise=0.02, clip=False))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(poisson_gaussian(key, x, clip=False))))(x)
    np.testing.assert_array_equal(gradient, 1.0)
    assert np.isnan(poisson_gaussian(key, x.at[3, 4, 0].set(jnp.nan))).sum() == 1
    assert poisson_gaussian(key, x, peak=5.0).min() >= 0


def test_bad_degradations_are_refused():
    x = photo()
    with pytest.raises(ValueError, match="gamma"):
        degradation.darken(x, 0.0)
    with pytest.raises(ValueError, match="gamma"):
        degradation.darken(x, jnp.ones(2))
    with pytest.raises(ValueError, match="each channel"):
        degradation.color_cast(x, 2.0)
    with pytest.raises(ValueError, match="num_bits"):
        degradation.quantize(x, num_bits=17)
    with pytest.raises(ValueError, match="peak"):
        degradation.poisson_gaussian(jax.random.key(0), x, peak=0.0)
