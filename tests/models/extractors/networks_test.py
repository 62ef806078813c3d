"""Frozen networks give what PyTorch gave on the same weights, at full precision, and refuse what is not theirs.

Values beside "by PyTorch" are those of pytorch-fid 0.3, torchvision 0.29 and lpips 0.1.4 on the weights of
`benchmarks.image_peers.random_state`; `python -m benchmarks.image_parity` compares everything where they are installed.
"""

import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from benchmarks import image_peers
from experiments.weights import classify
from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers, alexnet, inception, mobilenet, normalization, squeezenet, vgg

SHARED = pathlib.Path(__file__).parents[3].parent / "shared" / "data" / "weights"
NETWORKS = {
    "inception": (inception.InceptionV3, (1, 75, 75, 3), inception.TAPS),
    "vgg": (lambda **options: vgg.VGG16(dense=True, **options), (1, 224, 224, 3), vgg.TAPS),
    "alexnet": (alexnet.AlexNet, (1, 31, 31, 3), alexnet.TRUNK_TAPS),
    "squeezenet": (squeezenet.SqueezeNet, (1, 17, 17, 3), squeezenet.TRUNK_TAPS),
    "keras squeezenet": (squeezenet.KerasSqueezeNet, (1, 31, 31, 3), squeezenet.TRUNK_TAPS),
    "mobilenet": (mobilenet.MobileNetV2, (1, 32, 32, 3), mobilenet.TAPS),
}
# Mean, standard deviation, and mean with the cosines of 0, 1, 2, ... as weights, which tells channels apart.
BY_PYTORCH = {
    "64": (1.249365, 0.977142, 0.169272),
    "192": (1.674122, 1.938336, 0.047778),
    "768": (1.746781, 2.341486, -0.040873),
    "2048": (1.934942, 2.995979, -0.017769),
    "logits_unbiased": (-0.317516, 4.973981, 0.196012),
}
# The same of networks written anew in PyTorch, in float64, from the tables of their papers: see `drawn`.
MOBILENET = {"1280": (2.026280, 1.805049, 0.018191), "logits": (-0.163203, 4.614077, -0.095316)}
KERAS_SQUEEZENET = {
    "relu1": (0.516996, 0.795170, 0.044064),
    "fire3": (2.829579, 3.871990, -0.125378),
    "fire5": (10.336591, 15.481980, 0.623724),
    "fire9": (23.927544, 41.353299, -0.110703),
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def save(path, arrays):
    with path.open("wb") as file:  # by whatever name
        np.savez(file, **arrays)
    return path


def test_inception_gives_the_features_of_pytorch_fid(tmp_path):
    network = inception.InceptionV3.load(save(tmp_path / inception.FILE, image_peers.inception_state()))
    graphdef, state = nnx.split(network)
    run = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x, inception.TAPS))
    found = run(state, 2 * images(1, 107, 107, 3) - 1)  # the smallest size at which the pool of the last block tells
    for tap, (mean, deviation, turned) in BY_PYTORCH.items():
        x = np.asarray(found[tap][0])
        turns = np.cos(np.arange(len(x)))
        np.testing.assert_allclose([x.mean(), x.std(), (x * turns).mean()], [mean, deviation, turned], atol=5e-6)
    np.testing.assert_allclose(found["logits"] - found["logits_unbiased"], network.fc.bias[...][None], atol=1e-5)
    assert network.origin.name == "inception-v3-fid" and not network.origin.published


def drawn(network, table):
    """Weights that fill the range of ReLU6, a third of it cut off; each array's seed is the checksum of its name."""
    shapes = {"/".join(map(str, p)): v.shape for p, v in nnx.to_flat_state(nnx.as_pure(nnx.state(network)))}
    arrays = {}
    for path, entry in table.items():
        shape = shapes[path]
        x = np.random.default_rng(zlib.crc32(entry.names[0].encode())).standard_normal(shape, np.float32)
        arrays[entry.names[0]] = x * np.float32(0.5 if len(shape) == 1 else np.sqrt(3 / np.prod(shape[:-1])))
    return arrays


def assert_is(found, wanted):
    for tap, want in wanted.items():
        x = np.asarray(found[tap], np.float64).reshape(-1, found[tap].shape[-1])
        got = [x.mean(), x.std(), (x * np.cos(np.arange(x.shape[-1]))).mean()]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_mobilenet_gives_the_features_of_its_paper_with_tensorflows_padding(tmp_path):
    path = save(tmp_path / "m.npz", drawn(*_mobilenet({})))
    graphdef, state = nnx.split(mobilenet.MobileNetV2.load(path))
    run = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x, mobilenet.TAPS))
    images_of_contrast = 4 * (2 * images(1, 64, 96, 3) - 1)  # so that the first ReLU6 cuts off, too
    assert_is(run(state, images_of_contrast), MOBILENET)


def test_keras_squeezenet_gives_its_features_with_pools_inside_the_image(tmp_path):
    empty = nnx.eval_shape(squeezenet.KerasSqueezeNet)
    path = save(tmp_path / "s.npz", drawn(empty, squeezenet.keras_table()))
    graphdef, state = nnx.split(squeezenet.KerasSqueezeNet.load(path))
    run = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x, tuple(KERAS_SQUEEZENET)))
    assert_is(run(state, squeezenet.KerasSqueezeNet.preprocess(images(1, 38, 43, 3)) / 100), KERAS_SQUEEZENET)


@pytest.mark.fast
@pytest.mark.parametrize("name", NETWORKS)
def test_every_product_asks_for_full_precision_and_float32(name):
    make, shape, taps = NETWORKS[name]
    network = nnx.eval_shape(make)
    graphdef, state = nnx.split(network)
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    with jax.default_matmul_precision("bfloat16"):
        traced = jax.make_jaxpr(lambda state, x: nnx.merge(graphdef, state)(x, taps))(state, x)
    products = list(_products(traced.jaxpr))
    plain = [e for e in products if e.primitive.name == "conv_general_dilated" or e in traced.eqns]
    assert len(plain) >= sum(leaf.ndim > 1 for leaf in jax.tree.leaves(state)), "one for each kernel"
    for equation in products:
        assert set(equation.params["precision"]) == {jax.lax.Precision.HIGHEST}
    assert {leaf.dtype for leaf in traced.out_avals} == {jnp.dtype(jnp.float32)}


def _products(jaxpr):
    """All products of a program, those inside others too: forms of one convolution for different platforms."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _products(inner)


@pytest.mark.fast
@pytest.mark.parametrize("name", NETWORKS)
def test_wrong_images_and_taps_are_refused_by_name(name):
    make, shape, taps = NETWORKS[name]
    network = nnx.eval_shape(make)

    def call(shape, dtype=jnp.float32, taps=taps):
        return jax.eval_shape(lambda x: network(x, taps), jax.ShapeDtypeStruct(shape, dtype))

    for wrong in (shape[1:], (*shape[:3], 4), (1, 15, 15, 3)):
        with pytest.raises(ValueError, match="images must"):
            call(wrong)
    with pytest.raises(TypeError, match="images must be floats.*uint8"):
        call(shape, jnp.uint8)
    with pytest.raises(ValueError, match=f"taps must be some of {taps[0]}.*2049"):
        call(shape, taps=("2049",))


@pytest.mark.fast
def test_a_tap_runs_only_what_it_needs():
    network = nnx.eval_shape(inception.InceptionV3)
    graphdef, state = nnx.split(network)
    x = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    counts = []
    for tap in inception.TAPS[:4]:
        traced = jax.make_jaxpr(lambda state, x, tap=tap: nnx.merge(graphdef, state)(x, tap))(state, x)
        counts.append(sum(e.primitive.name == "conv_general_dilated" for e in traced.eqns))
    assert counts == [3, 5, 70, 94]


@pytest.mark.fast
def test_numbers_of_parameters_are_those_of_the_published_networks():
    def count(make):
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(nnx.eval_shape(make))))

    # Published: 21,785,568 in the trunk, with a scale and a shift for each of its 17,216 channels; here one number.
    assert count(inception.InceptionV3) == 21_785_568 - 17_216 + 2048 * 1008 + 1008
    assert count(lambda: vgg.VGG16(dense=True)) == 138_357_544 - 4096 * 1000 - 1000
    assert count(alexnet.AlexNet) == 2_469_696
    assert count(squeezenet.SqueezeNet) == 722_496
    # A normalization has four numbers for each of 17,056 channels; here a bias is left.
    assert count(mobilenet.MobileNetV2) == 3_538_984 - 3 * 17_056


@pytest.mark.fast
def test_nvidias_inception_is_the_same_network_by_other_names():
    ours, theirs = inception.table(), inception.nvidia_table()
    # As public reconstructions of the TorchScript file call its tensors, a convolution of each kind.
    for path, name in {
        "conv2d_2b_3x3": "layers.conv_2",
        "mixed_5b/branch5x5_2": "layers.mixed.tower.conv_1",
        "mixed_5d/branch_pool": "layers.mixed_2.tower_2.conv",
        "mixed_6a/branch3x3": "layers.mixed_3.conv",
        "mixed_6a/branch3x3dbl_3": "layers.mixed_3.tower.conv_2",
        "mixed_6e/branch7x7dbl_5": "layers.mixed_7.tower_1.conv_4",
        "mixed_7a/branch3x3_1": "layers.mixed_8.tower.conv",
        "mixed_7a/branch7x7x3_4": "layers.mixed_8.tower_1.conv_3",
        "mixed_7c/branch3x3_2b": "layers.mixed_10.tower_mixed_conv_1",
        "mixed_7c/branch3x3dbl_3a": "layers.mixed_10.tower_1_mixed_conv",
    }.items():
        assert theirs[f"{path}/kernel"].names == (f"{name}.weight", f"{name}.var")
        assert theirs[f"{path}/bias"].names == (f"{name}.beta", f"{name}.mean", f"{name}.var")
    assert theirs["fc/kernel"].names == ("output.weight",) and len(theirs) == len(ours) == 2 * 95
    # pytorch-fid's tensors under NVIDIA's names, which leave out the scales (1 in both): the same parameters.
    rng = np.random.default_rng(0)
    shapes = dict(nnx.to_flat_state(nnx.as_pure(nnx.state(nnx.eval_shape(inception.InceptionV3)))))
    for path in ("conv2d_1a_3x3", "mixed_7b/branch_pool"):
        for part in ("kernel", "bias"):
            name = f"{path}/{part}"
            shape = shapes[tuple(name.split("/"))].shape
            tensors = [rng.random(size, np.float32) for size in theirs[name].shapes(shape)]
            scale = np.ones(shape[-1:], np.float32)
            inserted = [*tensors[:-1], scale, tensors[-1]]
            np.testing.assert_allclose(theirs[name].make(*tensors), ours[name].make(*inserted), rtol=1e-12)
    file = weights.Weights({"layers.conv.weight": rng.random(1)}, path="", format="npz", sha256="f58cb9b6ec323ed6ab")
    assert inception.table_of(file).keys() == theirs.keys()
    with pytest.raises(weights.WeightsError, match="layers.conv.var"):
        weights.assign(nnx.eval_shape(inception.InceptionV3), inception.table_of(file), file)


def test_torchvisions_inception_is_told_apart(tmp_path):
    for arrays in ({"fc.weight": np.zeros((1000, 2048))}, {"AuxLogits.fc.bias": np.zeros(3)}):
        with pytest.raises(weights.WeightsError, match="torchvision's Inception.*not FID.*6726825d"):
            inception.InceptionV3.load(save(tmp_path / "inception_v3_google-0cc3c7bd.pth", arrays))


@pytest.mark.fast
def test_random_networks_say_so():
    for network in (squeezenet.SqueezeNet, mobilenet.MobileNetV2):
        assert str(network.random(nnx.Rngs(0)).origin).startswith("random ")


@pytest.mark.fast
def test_pools_at_the_borders():
    ones = jnp.ones((1, 4, 5, 2))
    np.testing.assert_allclose(_layers.mean_pool(ones), ones, rtol=1e-6)  # what lies outside is not counted
    counted = np.asarray(_layers.mean_pool(ones, outside=True))[0, ..., 0]  # as zeros: torchvision's
    np.testing.assert_allclose(counted[[0, 0, 1], [0, 1, 1]], [4 / 9, 6 / 9, 1], rtol=1e-6)
    x = jnp.arange(36.0).reshape(1, 6, 6, 1)
    mean = np.asarray(_layers.mean_pool(x)).reshape(6, 6)
    assert mean[0, 0] == pytest.approx((0 + 1 + 6 + 7) / 4) and mean[2, 3] == pytest.approx(15)
    assert _layers.max_pool(x, 3, 2)[0, ..., 0].tolist() == [[14, 16], [26, 28]]
    assert _layers.max_pool(x, 3, 2, ceil=True)[0, ..., 0].tolist() == [[14, 16, 17], [26, 28, 29], [32, 34, 35]]
    assert _layers.max_pool(-x, 3, 1, padding=1)[0, 5, 5, 0] == -28  # zeros outside do not win


@pytest.mark.fast
def test_normalizations():
    black_and_white = np.asarray([[0.0] * 3, [1.0] * 3], np.float32)
    np.testing.assert_allclose(
        normalization.imagenet(black_and_white)[:, 0], [-0.485 / 0.229, 0.515 / 0.229], rtol=1e-6
    )
    red = squeezenet.KerasSqueezeNet.preprocess(np.asarray([1.0, 0.0, 0.0], np.float32))
    np.testing.assert_allclose(red, [-103.939, -116.779, 255 - 123.68], rtol=1e-6)


def test_mobilenet_reads_scales_and_refuses_other_arrays(tmp_path):
    arrays = {name: x for name, x in image_peers.random_state(*_mobilenet({})).items()}
    for scales in (np.full(16, 0.5, np.float32), np.full(1, 0.5, np.float32)):
        quantized = arrays | {"02_conv/kernel": np.full((1, 1, 32, 16), 3, np.int8), "02_conv/scale": scales}
        network = mobilenet.MobileNetV2.load(save(tmp_path / "m.npz", quantized | {"plan.json": np.zeros(3, np.uint8)}))
        np.testing.assert_array_equal(network.layers[2].kernel[...], 1.5)
    with pytest.raises(weights.WeightsError, match=r"m.npz.*02_conv/scale has the shape \[3\] and should have \[16\]"):
        mobilenet.MobileNetV2.load(save(tmp_path / "m.npz", quantized | {"02_conv/scale": np.zeros(3)}))


def _mobilenet(arrays):
    file = weights.Weights(arrays, path="", format="npz", sha256="")
    return nnx.eval_shape(mobilenet.MobileNetV2), mobilenet.table(file)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real weights of ../shared/data are not here")
def test_real_weights_see_a_cat():
    pytest.importorskip("skimage", reason="the photograph is in scikit-image")
    network = mobilenet.MobileNetV2.load(SHARED / "mobilenet_v2_1.0_224.npz")
    assert network.origin.name == "mobilenet-v2-keras"
    found = classify.top(network, {"chelsea": classify.photographs()["chelsea"]}, num=1)
    assert found["chelsea"][0][0] in classify.KNOWN["chelsea"][0] and found["chelsea"][0][1] > 0.5
    assert squeezenet.KerasSqueezeNet.load(SHARED / "squeezenet1.1_features.npz").origin.name == "keras-squeezenet1.1"


@pytest.mark.fast
@pytest.mark.parametrize("stride", [1, 2])
def test_a_depthwise_convolution_by_shifts_is_that_by_groups(stride):
    rng = np.random.default_rng(0)
    layer = _layers.Convolution(4, 4, 3, stride=stride, padding=((0, 1), (1, 1)), groups=4)
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 8, 7, 4), (3, 3, 1, 4)))
    shifted, grouped = layer._by_shifts(x, kernel), layer._by_groups(x, kernel)
    assert shifted.shape == (2, 7, 7, 4) if stride == 1 else (2, 4, 4, 4)
    np.testing.assert_allclose(shifted, grouped, rtol=1e-5, atol=1e-5)
