import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import color

pytestmark = pytest.mark.fast
# Compiled whole: untraced, each operation is a program of its own.
hsv_to_rgb, linear_to_srgb, luma, rgb_to_hsv, srgb_to_linear, value = map(
    jax.jit, (color.hsv_to_rgb, color.linear_to_srgb, color.luma, color.rgb_to_hsv, color.srgb_to_linear, color.value)
)
replace_luma = jax.jit(color.replace_luma, static_argnames="maximum_chroma_gain")
rgb_to_ycbcr = jax.jit(color.rgb_to_ycbcr, static_argnames="studio_range")
scale_value = jax.jit(color.scale_value, static_argnames="floor")
ycbcr_to_rgb = jax.jit(color.ycbcr_to_rgb, static_argnames="studio_range")


def photo(seed=0, shape=(6, 7, 3), dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=shape), dtype)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (rgb_to_ycbcr, ycbcr_to_rgb),
        (
            lambda x: rgb_to_ycbcr(x, studio_range=True),
            lambda x: ycbcr_to_rgb(x, studio_range=True),
        ),
        (rgb_to_hsv, hsv_to_rgb),
        (srgb_to_linear, linear_to_srgb),
    ],
)
def test_there_and_back(there, back):
    x = photo(shape=(2, 6, 7, 3))
    np.testing.assert_allclose(back(there(x)), x, atol=1e-6)
    np.testing.assert_allclose(there(x)[1], there(x[1]), atol=1e-7)


def test_white_grey_and_primaries():
    x = jnp.asarray([[[1.0, 1, 1], [0.3, 0.3, 0.3], [1, 0, 0], [0, 0, 1]]], jnp.float32)
    full = color.rgb_to_ycbcr(x)[0]  # untraced
    np.testing.assert_allclose(full[:2], [[1, 0.5, 0.5], [0.3, 0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(full[2, [0, 2]], [0.299, 1.0], atol=1e-6)
    np.testing.assert_allclose(full[3, [0, 1]], [0.114, 1.0], atol=1e-6)
    studio = 255 * rgb_to_ycbcr(x, studio_range=True)[0]
    np.testing.assert_allclose(studio[0], [235, 128, 128], atol=1e-4)
    np.testing.assert_allclose(studio[3, 1], 240, atol=1e-4)
    np.testing.assert_allclose(luma(x)[..., 0], rgb_to_ycbcr(x)[..., 0], atol=1e-7)


def test_against_scikit_image():
    reference = pytest.importorskip("skimage.color")
    x = photo()
    np.testing.assert_allclose(255 * rgb_to_ycbcr(x, studio_range=True), reference.rgb2ycbcr(x), atol=1e-3)
    np.testing.assert_allclose(rgb_to_hsv(x), reference.rgb2hsv(x), atol=1e-5)


def test_against_opencv():
    cv2 = pytest.importorskip("cv2")
    x = photo()
    y, cr, cb = np.moveaxis(cv2.cvtColor(np.asarray(x), cv2.COLOR_RGB2YCrCb), -1, 0)
    # OpenCV rounds the factors of the chroma to three digits.
    np.testing.assert_allclose(rgb_to_ycbcr(x), np.stack([y, cb, cr], -1), atol=1e-3)


def test_a_new_luma_keeps_chroma_or_saturation():
    x = photo() * 0.2
    y = luma(x) * 3.0
    pale = rgb_to_ycbcr(replace_luma(x, y))
    np.testing.assert_allclose(pale[..., :1], y, atol=1e-6)
    np.testing.assert_allclose(pale[..., 1:], rgb_to_ycbcr(x)[..., 1:], atol=1e-6)
    np.testing.assert_allclose(replace_luma(x, y, maximum_chroma_gain=4.0), 3.0 * x, atol=1e-6)
    np.testing.assert_allclose(color.luma_gain(y * 0, y), 4.0)
    np.testing.assert_allclose(color.luma_gain(y, y * 0), 0.0)


def test_a_new_value_keeps_hue_and_saturation():
    x = photo() * 0.3
    new = value(x) * 2.5
    np.testing.assert_allclose(scale_value(x, new), 2.5 * x, rtol=1e-5)
    black = jnp.zeros((1, 1, 3))
    np.testing.assert_allclose(scale_value(black, jnp.full((1, 1, 1), 0.4)), 0.4)
    np.testing.assert_allclose(scale_value(black, jnp.full((1, 1, 1), 0.4), floor=0.01), 0.0)


@pytest.mark.parametrize(
    "function",
    [
        rgb_to_hsv,
        hsv_to_rgb,
        srgb_to_linear,
        linear_to_srgb,
        lambda x: scale_value(x, jnp.full((2, 2, 1), 0.5)),
        lambda x: replace_luma(x, jnp.full((2, 2, 1), 0.5), maximum_chroma_gain=4.0),
    ],
)
def test_gradients_are_finite_on_flat_images(function):
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(function(x)))))
    for level in (0.0, 0.5, 1.0):
        assert np.isfinite(gradient(jnp.full((2, 2, 3), level))).all()


@pytest.mark.parametrize("there", [rgb_to_hsv, srgb_to_linear, linear_to_srgb])
def test_gradients_against_differences(x64, there):
    x = photo(3, (2, 2, 3), np.float64)
    weight = photo(4, (2, 2, 3), np.float64)

    @jax.jit
    def loss(x):
        return jnp.sum(weight * there(x))

    gradient = jax.jit(jax.grad(loss))(x)
    step = jnp.zeros_like(x).at[1, 0, 2].set(1e-6)
    np.testing.assert_allclose(gradient[1, 0, 2], (loss(x + step) - loss(x - step)) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("function", [color.luma, color.rgb_to_ycbcr, color.rgb_to_hsv, color.hsv_to_rgb])
def test_bad_images_are_refused(function):
    with pytest.raises(ValueError, match="3 channel"):
        function(jnp.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match="non-empty"):
        function(jnp.zeros((0, 4, 3)))
    with pytest.raises(ValueError, match="non-empty"):
        function(jnp.zeros((4, 3)))
    with pytest.raises(TypeError, match="divide 8-bit"):
        function(jnp.zeros((4, 4, 3), jnp.uint8))


def test_nan_stays_and_width_is_kept(x64):
    x = photo().at[2, 3, 1].set(jnp.nan)
    for function in (rgb_to_ycbcr, rgb_to_hsv, srgb_to_linear):
        result = function(x)
        assert np.isnan(result[2, 3]).any()
        assert np.isnan(result).any(-1).sum() == 1
    assert jax.eval_shape(luma, x.astype(jnp.bfloat16)).dtype == jnp.float32
    assert jax.eval_shape(luma, x.astype(jnp.float64)).dtype == jnp.float64
