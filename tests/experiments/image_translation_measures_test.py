"""What tables of image translation measure of trained systems: hidden traces, what codes mean, distances."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.image_translation import hidden, measures, networks, runs, sampling
from experiments.image_translation.data import Domains
from experiments.image_translation.systems.system import System
from gentoolkit.data import polygons
from gentoolkit.evaluation import preprocessing
from gentoolkit.models.extractors import normalization, squeezenet


def _system(translate, style=lambda models, images, of: jnp.mean(images, (1, 2))):
    return System(models=lambda rngs: {}, players={}, translate=translate, style=style, code_dim=3)


def _paint(code, like):
    return jnp.broadcast_to(code[:, None, None, :], like.shape)


@pytest.mark.fast
def test_a_painter_that_hides_colours_is_found_out():
    def honest(models, images, code, to):
        return jnp.zeros_like(images) if to == "x" else _paint(code + 0.02, images)

    def hider(models, images, code, to):  # less than one of 256 levels, and no look at the code
        return 0.004 * images if to == "x" else images / 0.004

    images = np.broadcast_to(np.random.default_rng(0).uniform(-0.9, 0.9, (6, 1, 1, 3)), (6, 16, 16, 3))
    images = images.astype(np.float32)
    found, _ = hidden.cycles(_system(honest), {}, images)
    assert found["error"] == pytest.approx(0.01, abs=1e-5) and found["another style"] > 10
    assert all(found[name] == pytest.approx(1, abs=1e-4) for name in hidden.TOUCHES)
    found, pictures = hidden.cycles(_system(hider), {}, images)
    assert found["error"] < 1e-4 and found["another style"] == pytest.approx(1)
    assert all(found[name] > 100 for name in hidden.TOUCHES)
    assert pictures["between"].std() < 0.002 and pictures["8 bits"].shape == images.shape


@pytest.mark.fast
def test_equalizing_spreads_faint_levels():
    faint = np.full((1, 4, 4, 1), 200 / 255)
    faint[0, 0, :2] = 201 / 255
    got = hidden.equalized(faint)
    assert got[0, 0, 0] == 1 and got[0, 3, 3] == 0
    assert (hidden.equalized(np.full((1, 4, 4, 3), 0.5)) == 1).all()


@pytest.mark.fast
def test_measures_of_a_system_that_paints_as_it_is_told():
    shapes = polygons.load(40, image_size=16)
    test = shapes.select("inside", "colour", x="outline", y="image")
    domains = Domains(shapes.select(image="outline"), shapes.select(image="image"), test, False)

    def translate(models, images, code, to):  # a dark square on white, on the left or the right as the code says
        column, left = jnp.arange(16)[:, None], 1 + 7 * (code[:, :1, None, None] > 0)
        inside = (column >= left) & (column < left + 5)
        return jnp.where(inside, jnp.tanh(_paint(code, images)) - 1, 1)

    eyes = networks.Eyes(
        (networks.Distance("lpips of means", "", lambda a, b, image_range: jnp.abs(a - b).mean((1, 2, 3))),),
        networks.Extractor(
            "means", "", False, (preprocessing.clean(size=32),), lambda images: jnp.mean(images, (1, 2))
        ),
        (),
    )
    options = measures.Options(contents=4, pairs=3, samples=40, fid_contents=40, subsets=2)
    real = measures._real_features(domains, eyes.extractor, options)
    assert real[0].num == 40
    trained = runs.Trained(_system(translate), {}, None, 0)
    found = measures.of_system(trained, domains, eyes, options, real)
    right = np.random.default_rng(3).standard_normal((6, 3), np.float32)[:, 0] > 0
    assert 0 < np.mean(right[1:] == right[:-1]) < 1
    assert found["outline F1 of two codes"] == pytest.approx(np.mean(right[1:] == right[:-1]))
    assert 0.1 < found["lpips of means"] < 0.5
    assert found["Fréchet distance (means, clean)"] > 0.01
    assert measures.distances(real[0], real[0], eyes.extractor, options)["Fréchet distance (means, clean)"] < 1e-9
    assert 0.01 < measures.of_real(domains, eyes, options)["lpips of means"] < 0.3
    # A system without codes: one image of each content, no diversity.
    plain = _system(lambda models, images, code, to: images, style=None)._replace(code_dim=0)
    found = measures.of_system(trained._replace(system=plain), domains, eyes, options, real)
    assert list(map(str.split, found)) == [
        ["Fréchet", "distance", "(means,", "clean)"],
        ["1000", "kernel", "distance", "(means,", "clean)"],
    ]


@pytest.mark.fast
def test_a_style_is_read_again_or_not():
    x, y = np.random.default_rng(0).random((2, 20, 4, 4, 3), np.float32)
    name = "R² of a reference's code, read again"
    for translate, least, most in (
        (lambda models, images, code, to: _paint(code, images), 0.999, 1),
        (lambda models, images, code, to: images, -2, 0),  # the next content's own
    ):
        sampler = sampling.Sampler(runs.Trained(_system(translate), {}, None, 0))
        assert least <= measures.style_again(sampler, x, y)[name] <= most
    y[..., 1:] = 0.5 + 0.01 * y[..., 1:]  # one colour of three differs from image to image
    assert measures.style_again(sampler, x, y)[measures.ACTIVE_UNITS] == 1


@pytest.mark.fast
def test_what_a_folder_of_weights_allows(tmp_path):
    assert "--weights names no folder" in networks.find("").notes[0]
    with pytest.raises(FileNotFoundError, match="has no network that measures: put alexnet-owt-7be5be79.pth"):
        networks.find(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        networks.find(str(tmp_path / "none"))
    network = networks.KerasTrunk.random(nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).random((1, 32, 32, 3)), jnp.float32)
    got = network(normalization.imagenet(images), ("fire3",))["fire3"]
    wanted = squeezenet.KerasSqueezeNet.__call__(network, network.preprocess(images), ("fire3",))["fire3"]
    np.testing.assert_allclose(got, wanted, atol=1e-3, rtol=1e-4)
