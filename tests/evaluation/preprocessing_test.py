import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gentoolkit.evaluation import preprocessing, resizing

pytestmark = pytest.mark.fast


def photograph(height, width, seed=0):
    """Smooth colours with sharp edges and noise, as bytes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 100 * np.sin(x[..., None] / rng.uniform(2, 9, 3) + y[..., None] / rng.uniform(2, 9, 3))
    waves[height // 3 : height // 2] = 255
    return np.clip(waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)


def test_a_ramp_is_as_each_tool_makes_it():
    ramp = np.float64([0, 1, 2, 3])
    half = resizing.matrix(4, 6, method="bilinear_half_pixel") @ ramp
    first = resizing.matrix(4, 6, method="bilinear_tensorflow1") @ ramp
    np.testing.assert_allclose(half, [0, 0.5, 7 / 6, 11 / 6, 2.5, 3], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(first, [0, 2 / 3, 4 / 3, 2, 8 / 3, 3], rtol=1e-14)


@pytest.mark.parametrize(
    ("method", "filtered"),
    [("bicubic_antialiased", Image.Resampling.BICUBIC), ("bilinear_antialiased", Image.Resampling.BILINEAR)],
)
@pytest.mark.parametrize(("shape", "size"), [((37, 64), (19, 23)), ((17, 9), (32, 31)), ((150, 40), (13, 41))])
def test_antialiased_methods_are_those_of_pillow(method, filtered, shape, size):
    image = photograph(*shape)
    channels = [Image.fromarray(np.float32(image[..., c])).resize(size[::-1], filtered) for c in range(3)]
    made = resizing.resize(image, size, method=method)
    np.testing.assert_allclose(made, np.stack(channels, -1), atol=5e-3)


@pytest.mark.parametrize("method", ["bilinear_tensorflow1", "bilinear_half_pixel", "bicubic_antialiased"])
def test_host_and_device_agree_on_any_shape_and_a_size_is_left_as_it_is(method):
    images = np.stack([photograph(12, 20), photograph(12, 20, 1)])
    host = resizing.resize(images, (7, 30), method=method)
    device = jax.jit(lambda x: resizing.resize(x, (7, 30), method=method))(jnp.asarray(images))
    assert host.dtype == device.dtype == np.float32
    np.testing.assert_allclose(host, device, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(resizing.resize(images, (12, 20), method=method), images)
    np.testing.assert_allclose(resizing.matrix(20, 30, method=method).sum(axis=1), 1, rtol=1e-14)


def test_preprocessings_scale_as_their_tools():
    flat = np.full((1, 5, 5, 3), 255, np.uint8)
    flat[..., 1] = 0
    expected = {
        preprocessing.legacy_tensorflow: (127 / 128, -1.0),
        preprocessing.legacy_pytorch: (1.0, -1.0),
        preprocessing.clean: (127 / 128, -1.0),
        preprocessing.imagenet: ((1 - 0.485) / 0.229, -0.456 / 0.224),
    }
    for make, (bright, dark) in expected.items():
        prepare = make(size=8)
        made = prepare(flat)
        assert prepare.name == make.__name__ and made.shape == (1, 8, 8, 3)
        np.testing.assert_allclose(made[..., 0], bright, rtol=1e-5)
        np.testing.assert_allclose(made[..., 1], dark, rtol=1e-5)
        # Floats in [0, 1] and bytes are the same image.
        np.testing.assert_allclose(prepare(flat / np.float32(255)), made, atol=1e-6)
    device = jax.jit(preprocessing.clean(size=8))(jnp.asarray(flat))
    np.testing.assert_allclose(device, preprocessing.clean(size=8)(flat), atol=1e-5)
    # A cubic overshoots at an edge; clean-fid cuts it off.
    edge = np.zeros((1, 8, 8, 1), np.uint8)
    edge[:, :, 4:] = 255
    made = preprocessing.clean(size=23)(edge)
    assert made.min() == -1 and made.max() == 127 / 128
    assert preprocessing.legacy_tensorflow(size=8)(np.full((1, 8, 8, 3), 100.4 / 255, np.float32)).max() == -28 / 128


def test_what_is_no_image_is_refused_and_what_hardly_is_one_is_said():
    def images(low, high, dtype=np.float32):
        return np.linspace(low, high, 2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(dtype)

    prepare = preprocessing.clean(size=4)
    for wrong, told in (
        (images(0, 255), r"in image_range = \(0, 1\), got values from 0 to 255. Divide by 255"),
        (images(-1, 1), r"from -1 to 1. Of \[-1, 1\]"),
        (images(0, 255, np.int32), "uint8 in .* got int32"),
        (images(0, 1)[0], "got shape"),
        (np.zeros((1, 4, 4, 4), np.uint8), "Drop the fourth channel"),
        (np.zeros((0, 4, 4, 3), np.uint8), "with pixels"),
    ):
        with pytest.raises(ValueError, match=told):
            prepare(wrong)
        with pytest.raises(ValueError, match=told):
            prepare(jnp.asarray(wrong))
    bad = images(0, 1)
    bad[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 2 images hold values that are not finite"):
        prepare(bad)
    with pytest.warns(UserWarning, match=r"said to lie in \(0, 255\): is it \[0, 1\]"):
        prepare(images(0, 1, np.uint8))
    with pytest.warns(UserWarning, match="divided by 255 twice"):
        prepare(images(0, 1 / 255))
    with pytest.raises(ValueError, match="method must be one of"):
        resizing.matrix(3, 4, method="nearest")
