"""Perceptual distances: PyTorch's values on the same weights, identities of a distance, arguments that are checked."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import image_peers
from gentoolkit.models import weights
from gentoolkit.models.extractors import alexnet, lpips, squeezenet, vgg

SHARED = pathlib.Path(__file__).parents[3].parent / "shared" / "data" / "weights"
# Without heads, by lpips 0.1.4 on PyTorch: the distance of version 0.1, first and last pixel of its map, its gradient
# at pixel (5, 7); the distance of version 0.0. Of images drawn with seeds 0 and 1; the gradient of VGG16 with 2 and 3,
# since at 0 and 1 a unit stands within a rounding of the kink of its ReLU, and a convolution in another form ends on
# the other side of it; five other pairs of images agree to 3e-6 of the whole gradient in both forms.
_SLOPE_AT = {"vgg16": (2, 3)}
CASES = {
    "alexnet": (
        alexnet.AlexNet,
        alexnet.table,
        (31, 35),
        ([1.75519, 1.935754, 1.919309], [0.00056933, -0.00035205, -0.015382], 1.789942),
    ),
    "vgg16": (
        vgg.VGG16,
        vgg.table,
        (16, 19),
        ([1.372741, 1.281239, 1.341978], [0.001214, -0.0017672, -0.010157], 1.451214),
    ),
    "squeezenet": (
        squeezenet.SqueezeNet,
        squeezenet.table,
        (18, 25),
        ([1.584548, 1.558058, 1.551251], [-0.0016353, -0.0020961, -0.0019319], 1.65657),
    ),
}


def images(*shape, seed):
    return np.random.default_rng(seed).random((1, *shape, 3), np.float32)


def compiled(distance, call):
    graphdef, state = nnx.split(distance)
    run = jax.jit(lambda state, *images: call(nnx.merge(graphdef, state), *images))
    return lambda *images: run(state, *images)


@pytest.fixture(scope="module")
def distances(tmp_path_factory):
    """Value, gradient and map of the distance on each trunk, as functions of two images; each is compiled once."""

    def make(name):
        trunk, table, *_ = CASES[name]
        path = tmp_path_factory.mktemp("weights") / f"{name}.npz"
        np.savez(path, **image_peers.random_state(nnx.eval_shape(trunk), table()))

        def call(distance, x, y):
            value, gradient = jax.value_and_grad(lambda x: distance(x, y, image_range=(0, 1))[0])(x)
            return value, gradient, distance.maps(x, y, image_range=(0, 1))[0]

        return compiled(lpips.Lpips(trunk.load(path)), call)

    return {name: make(name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_distances_maps_and_gradients_are_those_of_pytorch(name, distances):
    size, (values, slope, _) = CASES[name][2:]
    value, _, there = distances[name](images(*size, seed=0), images(*size, seed=1))
    np.testing.assert_allclose([value, there[0, 0], there[-1, -1]], values, rtol=1e-5)
    gradient = distances[name](*(images(*size, seed=seed) for seed in _SLOPE_AT.get(name, (0, 1))))[1]
    np.testing.assert_allclose(gradient[0, 5, 7], slope, rtol=1e-3, atol=1e-6)


def test_version_0_0_is_that_of_pytorch():
    trunk, table, size, (_, _, want) = CASES["alexnet"]
    file = weights.Weights(image_peers.random_state(nnx.eval_shape(trunk), table()), path="", format="", sha256="")
    distance = lpips.Lpips(weights.assign(nnx.eval_shape(trunk), table(), file), version="0.0")
    run = compiled(distance, lambda distance, x, y: distance(x, y, image_range=(0, 1)))
    np.testing.assert_allclose(run(images(*size, seed=0), images(*size, seed=1))[0], want, rtol=1e-5)


def test_identities_of_a_distance_and_finite_gradients(distances):
    run, size = distances["squeezenet"], CASES["squeezenet"][2]
    first, second = images(*size, seed=0), images(*size, seed=1)
    assert abs(run(first, first)[0]) < 1e-12 and np.abs(run(first, first)[1]).max() < 1e-7
    np.testing.assert_allclose(run(first, second)[0], run(second, first)[0], rtol=1e-6)
    for x in (np.zeros_like(first), np.ones_like(first)):  # planes, at which features of a pixel may all be 0
        assert np.isfinite(run(x, second)[1]).all() and np.isfinite(run(first, x)[0])


class Waves(squeezenet.SqueezeNet):
    """Stands in for a trunk where the distance itself is tested: it compiles in no time."""

    def __call__(self, images, taps=()):
        waves = [jnp.sin(jnp.arange(n) * images.mean(-1, keepdims=True)) for n in squeezenet.TRUNK_CHANNELS]
        return dict(zip(squeezenet.TRUNK_TAPS, waves, strict=True))


@pytest.mark.fast
def test_images_of_bfloat16_one_by_one_under_vmap():
    pair = np.random.default_rng(2).random((2, 2, 17, 17, 3), np.float32)  # two pairs
    first, second = jnp.asarray(pair, jnp.bfloat16)

    def call(distance, a, b):
        def value(a, b):
            return distance(a[None], b[None], image_range=(0, 1))[0]

        wide = distance(a.astype(jnp.float32), b.astype(jnp.float32), image_range=(0, 1))
        return wide, *jax.vmap(jax.value_and_grad(value))(a, b)

    wide, each, slopes = compiled(lpips.Lpips(Waves()), call)(first, second)
    assert each.dtype == jnp.float32 and slopes.dtype == jnp.bfloat16
    np.testing.assert_allclose(each, wide, rtol=1e-5)
    assert np.isfinite(np.float32(slopes)).all() and np.any(np.float32(slopes), (1, 2, 3)).all()


@pytest.mark.fast
def test_where_all_features_are_zero_the_gradient_is_finite():
    def squared(a):
        return jnp.sum((lpips._unit(a) - lpips._unit(jnp.asarray([[4.0, 3.0], [1.0, 0.0]]))) ** 2, -1)

    toy = jnp.asarray([[3.0, 4.0], [0.0, 0.0]])
    value, gradient = jax.jit(lambda a: (squared(a), jax.grad(lambda a: squared(nnx.relu(a)).sum())(a)))(toy)
    np.testing.assert_allclose(value, [0.08, 1.0], rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.fast
def test_ranges_and_shapes_are_checked():
    distance = lpips.Lpips.random(nnx.Rngs(0), trunk=squeezenet.SqueezeNet)
    assert str(distance.origin).startswith("random lpips v0.1")
    first = images(17, 17, seed=0)
    with pytest.raises(TypeError, match="image_range"):
        distance(first, first)
    for scaled, image_range in ((255 * first, (0, 1)), (2 * first - 1, (0, 1)), (300 * first, (-1, 1))):
        with pytest.raises(ValueError, match="first must lie in image_range = .*, got values from "):
            distance(scaled, first, image_range=image_range)
    with pytest.raises(ValueError, match="second hold values that are not finite"):
        distance._prepared(np.where(first > 0.5, np.nan, first), (0, 1), "second")
    for image_range in ((-1, 1), (0, 255)):  # the images lie in these ranges, and are most likely of [0, 1]
        with pytest.warns(UserWarning, match=r"first lie between .* is it \[0, 1\]"):
            distance._prepared(first, image_range, "first")
    with pytest.raises(ValueError, match="white > black"):
        distance(first, first, image_range=(1, 0))
    with pytest.raises(TypeError, match="first must be floats, got uint8"):
        distance(np.uint8(first), np.uint8(first), image_range=(0, 1))
    with pytest.raises(ValueError, match="of one shape"):
        distance(first, first[:, 1:], image_range=(0, 1))
    with pytest.raises(ValueError, match="version must be"):
        lpips.Lpips(distance.trunk, version="1.0")


@pytest.mark.fast
def test_ranges_are_ways_to_write_one_image():
    distance = lpips.Lpips(nnx.eval_shape(squeezenet.SqueezeNet))
    for scale, shift, image_range in ((1, 0, (0, 1)), (2, -1, (-1, 1)), (255, 0, (0, 255))):
        x = np.float32([[[[0.0, 0.5, 1.0]]]]) * scale + shift
        found = np.asarray(distance._prepared(x, image_range, "first")).ravel()
        # The constants of lpips: shift and scale of images in [-1, 1].
        want = (np.asarray([-1.0, 0.0, 1.0]) - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        np.testing.assert_allclose(found, want, rtol=1e-5)
    distance.version = "0.0"  # which forgot to normalize
    np.testing.assert_allclose(distance._prepared(x, (0, 255), "first").ravel(), [-1, 0, 1], atol=1e-6)


def _save_heads(path, heads, published_names=False):
    named = {f"lin{i}.model.1.weight": h[None, :, None, None] for i, h in enumerate(heads)}
    np.savez(path, **(named if published_names else {f"lin{i}": h for i, h in enumerate(heads)}))
    return path


@pytest.mark.fast
def test_heads_are_read_under_both_names_and_refused_where_they_cannot_be(tmp_path):
    trunk = squeezenet.SqueezeNet.random(nnx.Rngs(0))
    heads = [np.full(n, i + 1, np.float32) for i, n in enumerate(squeezenet.TRUNK_CHANNELS)]
    for published_names in (False, True):
        made = lpips.Lpips.load(trunk, _save_heads(tmp_path / "h.npz", heads, published_names))
        np.testing.assert_array_equal(made.heads[6][...], np.full(512, 7))
        assert made.origin.name.startswith("lpips-like v0.1 on random squeezenet1.1") and not made.origin.published
    with pytest.raises(weights.WeightsError, match=r"h.npz.*lin0 has the shape \[128\] and should have \[64\]"):
        lpips.Lpips.load(trunk, _save_heads(tmp_path / "h.npz", [heads[1], *heads[1:]]))
    with pytest.raises(weights.WeightsError, match="negative weights"):
        lpips.Lpips.load(trunk, _save_heads(tmp_path / "h.npz", [-heads[0], *heads[1:]]))


@pytest.mark.fast
@pytest.mark.skipif(not SHARED.is_dir(), reason="the published heads of ../shared/data are not here")
def test_published_heads_are_known_in_any_format():
    sums = {"alex": (2.34953, 16.1430, 39.2684, 27.1972, 20.3172), "vgg": (6.92599, 8.85833, 17.5150, 51.5213, 47.0349)}
    for name, trunk, known in (("alex", alexnet.AlexNet(), "alexnet"), ("vgg", vgg.VGG16(), "vgg16")):
        trunk.origin = weights.Origin(known, "0" * 64, published=True)
        made = lpips.Lpips.load(trunk, SHARED / f"lpips_v0.1_{name}.npz")
        np.testing.assert_allclose([float(h[...].sum()) for h in made.heads], sums[name], rtol=1e-5)
        assert made.origin.name == f"lpips v0.1 on {known}" and made.origin.published
    with pytest.raises(weights.WeightsError, match="heads of LPIPS 0.1, got version = '0.0'"):
        lpips.Lpips.load(trunk, SHARED / "lpips_v0.1_vgg.npz", version="0.0")
