import itertools
import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver
from flax import nnx
from PIL import Image, ImageOps

from experiments.low_light import config, enhance, experiment, measure, methods, paper, photographs, pictures
from experiments.low_light import figure_failures as failures
from gentoolkit import training
from gentoolkit.data import columns
from gentoolkit.imaging import keypoints, quality
from gentoolkit.models import low_light

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def references():
    return methods.References()


@pytest.fixture(scope="module")
def photograph():
    bright = photographs.load(size=64)["astronaut"]
    return bright, photographs.darken(bright, 4.0)


@pytest.mark.fast
@pytest.mark.parametrize(("channels", "count"), [(1, 20_545), (3, 31_715)])
def test_the_shipped_networks_brighten(channels, count, photograph):
    network = low_light.pretrained(channels)
    assert sum(np.size(x) for x in jax.tree.leaves(nnx.state(network))) == count
    bright, dark = (jnp.asarray(x[..., :channels])[None] for x in photograph)
    made = network(dark)
    assert float(quality.psnr(made, bright)[0]) > float(quality.psnr(dark, bright)[0]) + 3


@pytest.mark.fast
def test_weights_come_back_from_a_file(tmp_path):
    network = low_light.ReferenceNetwork(1, rngs=nnx.Rngs(3))
    low_light.save(tmp_path / "weights.npz", network)
    again = low_light.load(tmp_path / "weights.npz")
    for a, b in zip(jax.tree.leaves(nnx.state(network)), jax.tree.leaves(nnx.state(again)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="does not hold"):
        low_light.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="no weights"):
        low_light.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="channels = 2"):
        low_light.pretrained(2)


@pytest.mark.fast
def test_darkening_spans_its_range_and_keeps_eight_bits():
    settings = config.get_config("rgb").darkening
    bright = jnp.full((64, 8, 8, 3), 0.5)
    dark = experiment.darkened(jax.random.key(0), bright, **{**settings, "noise_share": 0.0, "cast_share": 0.0})
    gamma = np.log(np.asarray(dark[:, 0, 0, 0])) / np.log(0.5)
    assert 0.99 < gamma.min() < 2 and 6 < gamma.max() < 9
    np.testing.assert_allclose(np.asarray(dark) * 255, np.round(np.asarray(dark) * 255), atol=1e-4)
    cast = experiment.darkened(jax.random.key(0), bright, **{**settings, "noise_share": 1.0, "cast_share": 1.0})
    assert (
        float(jnp.std(cast[0])) > 0
        and float(jnp.max(jnp.abs(cast[..., 0].mean((1, 2)) - cast[..., 2].mean((1, 2))))) > 0
    )


def test_training_runs_and_its_weights_load(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), np.uint8)
    data = columns.images(images, description="random")
    monkeypatch.setattr(experiment.cifar10, "load", lambda split, data_dir: data)
    result = experiment.run(config.get_config("smoke"), tmp_path, training.make_mesh(num_devices=1))
    assert result.step == 4 and np.isfinite(result.metrics["test/mse"])
    assert (tmp_path / "report.html").is_file()
    low_light.save(tmp_path / "weights.npz", result.models["reference"])
    assert low_light.load(tmp_path / "weights.npz").channels == 3


@pytest.mark.parametrize("method", ["improved", "lime"])
def test_methods_brighten(method, references, photograph):
    bright, dark = photograph
    outcome = methods.enhance(method, jnp.asarray(dark), references, num_clusters=8)
    assert float(quality.psnr(outcome.image, bright)) > float(quality.psnr(dark, bright)) + 2
    assert set(outcome.seconds) <= set(methods.STAGES) and sum(outcome.seconds.values()) > 0


@pytest.mark.fast
def test_an_unknown_method_is_named(references, photograph):
    with pytest.raises(ValueError, match="no method 'magic'"):
        methods.enhance("magic", jnp.asarray(photograph[1]), references)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (427, 640), (3000, 4000), (5, 2000)])
def test_reduced_sizes_suit_the_network(shape):
    height, width = methods.reduced_shape(*shape)
    assert min(height, width) >= 16 and max(height, width) <= 256
    assert methods.reduced_shape(64, 64) == (64, 64)


def _save(path, mode):
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 60, (20, 30, 3), np.uint8))
    if mode == "RGB16":
        import cv2

        assert cv2.imwrite(str(path), rng.integers(0, 9000, (20, 30, 3)).astype(np.uint16))
    elif mode == "I;16":
        import cv2

        assert cv2.imwrite(str(path), rng.integers(0, 9000, (20, 30)).astype(np.uint16))
    elif mode == "black":
        Image.new("RGB", (30, 20)).save(path)
    elif mode == "pixel":
        Image.new("RGB", (1, 1), (20, 10, 5)).save(path)
    elif mode == "RGBA":
        rgb.putalpha(Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8)))
        rgb.save(path)
    else:
        rgb.convert(mode).save(path)


FILES = {
    "rgb.png": "RGB",
    "rgb.jpg": "RGB",
    "grey.png": "L",
    "palette.png": "P",
    "cmyk.jpg": "CMYK",
    "alpha.png": "RGBA",
    "deep.png": "RGB16",
    "deep_grey.tif": "I;16",
    "black.png": "black",
    "pixel.png": "pixel",
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_is_enhanced(name, tmp_path, references):
    _save(tmp_path / name, FILES[name])
    picture = pictures.read(tmp_path / name)
    made = enhance.enhance(picture.pixels, references, num_clusters=8)
    (tmp_path / "out").mkdir()
    pictures.write(tmp_path / "out" / name, picture._replace(pixels=made))
    again = pictures.read(tmp_path / "out" / name)
    assert again.pixels.shape == picture.pixels.shape and again.pixels.dtype == picture.pixels.dtype
    assert again.grey == picture.grey and (again.alpha is None) == (picture.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    if FILES[name] == "black":
        assert not again.pixels.any()
    else:
        assert again.pixels.mean() > picture.pixels.mean()


@pytest.mark.fast
@pytest.mark.parametrize(("orientation", "deep"), list(itertools.product(range(1, 9), (False, True))))
def test_photographs_stay_upright(orientation, deep, tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    if deep:
        np.testing.assert_array_equal(pictures._upright(stored, orientation), upright)
        return
    picture = pictures.read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, upright)
    pictures.write(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as image:
        np.testing.assert_array_equal(np.asarray(image), upright)
        assert image.getexif().get(0x0112, 1) == 1 and image.getexif()[0x010F] == "maker"


@pytest.mark.parametrize("method", ["improved", "cm"])
def test_strips_of_a_large_photograph_join(method, references, photograph, monkeypatch):
    pixels = np.round(photograph[1][:20, :30] * 255).astype(np.uint8)
    whole = enhance.enhance(pixels, references, method=method, num_clusters=8)
    monkeypatch.setattr(enhance, "_STRIP_PIXELS", 30 * 9)
    strips = enhance.enhance(pixels, references, method=method, num_clusters=8)
    assert np.abs(whole.astype(int) - strips).max() <= 1


def test_a_photograph_of_12_megapixels_fits_into_two_gibibytes(tmp_path):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 60, (30, 40, 3), np.uint8)
    Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC).save(tmp_path / "in.jpg")
    command = [sys.executable, "-m", "experiments.low_light.enhance", f"--input={tmp_path / 'in.jpg'}"]
    done = subprocess.run(
        [*command, f"--output={tmp_path / 'out.jpg'}"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    (peak,) = re.findall(r"Peak memory: (\d+) MiB", done.stdout)
    assert 100 < int(peak) < 2048
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (4000, 3000)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (300, 17)])
def test_strips_are_reduced_as_the_whole(shape, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    small = methods.reduced_shape(*shape, shorter=16)
    whole = methods.reduce(pixels / 255, small)
    monkeypatch.setattr(enhance, "_STRIP_PIXELS", 7 * shape[1])
    np.testing.assert_allclose(enhance._reduced(pixels, small), whole, atol=1e-5)


def test_a_cast_is_undone_in_part_and_zero_strength_is_none(references, photograph):
    bright, _ = photograph
    dark = jnp.asarray(photographs.darken(bright, np.asarray([2.2, 3.0, 4.2])))
    skew = {}
    for share in (0.0, 0.6):
        made = methods.enhance("improved", dark, references, num_clusters=8, white_balance=share)
        skew[share] = failures.skew(made.image, bright)
    plain = methods.enhance("improved", dark, references, num_clusters=8)
    assert skew[0.6] < skew[0.0] == failures.skew(plain.image, bright)


@pytest.mark.fast
def test_failures_are_tabulated_and_stated(monkeypatch):
    labels = ("published CM", "LIME", "improved", *failures.REMEDIES.values())
    variants = [v for v in failures.VARIANTS if v[0] in labels]
    monkeypatch.setattr(failures, "VARIANTS", variants)
    figures = {
        (condition, label): [{"psnr": 20.0 + i, "f1": 0.5 + i / 100, "skew": 0.1 - i / 100}]
        for condition in failures.REMEDIES
        for i, (label, _, _) in enumerate(variants)
    }
    table, statements = failures._table(figures)
    assert len(table.columns) == 10 and [row[0] for row in table.rows] == [v[0] for v in variants]
    assert len(statements) == 4 * 3 + 4 * 2 and all(one.startswith("holds") for one in statements)
    figures["colour cast", "improved"][0]["psnr"] = 1.0
    assert sum(one.startswith("DOES NOT HOLD") for one in failures._table(figures)[1]) == 2


def test_a_bad_file_does_not_stop_a_folder(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "broken.jpg").write_bytes(b"not an image")
    _save(source / "good.png", "RGB")
    command = [sys.executable, "-m", "experiments.low_light.enhance", f"--input={source}", f"--output={target}"]
    done = subprocess.run([*command, "--num_clusters=5"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and "1 of 2 could not be enhanced" in done.stderr and "broken.jpg" in done.stderr
    assert (target / "good.png").is_file() and not (target / "broken.jpg").exists()
    assert "data:image/png;base64" in (target / "report" / "report.html").read_text()


def test_a_table_resumes_and_states_what_holds(tmp_path, monkeypatch, photograph):
    bright, _ = photograph
    monkeypatch.setattr(photographs, "load", lambda directory, size: {"one": bright})
    monkeypatch.setattr(photographs, "levels", lambda every: [2.0, 5.0])
    measure.define_flags()
    measure.flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(workdir=str(tmp_path)):
        first = measure.measure([("dark", 0), ("improved", 8)])
        text = (tmp_path / "results.jsonl").read_text()
        (tmp_path / "results.jsonl").write_text(text[:-20])  # cut off while writing
        again = measure.measure([("dark", 0), ("improved", 8)])
        assert first.keys() == again.keys() and len(first) == 4
        found = measure.means(again, ("improved", 8))
        assert found["psnr"] > measure.means(again, ("dark", 0))["psnr"]
        table = measure.table(again, [("dark", 0), ("improved", 8)], measure.caption(again))
        assert [row[0] for row in table.rows] == ["dark, ours", "dark, paper", "improved k=8, ours"]
        measure.finish("table3", table, [measure.held("a", True, "b")], again)
    lines = [json.loads(line) for line in (tmp_path / "table3" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and (tmp_path / "table3" / "report.html").is_file()


@pytest.mark.fast
def test_the_same_image_scores_perfectly(photograph):
    found = measure.figures(photograph[0], photograph[0])
    assert found["f1"] == found["precision"] == found["recall"] == 1 and found["psnr"] > 50
    assert measure.figures(np.zeros((64, 64, 3), np.float32), photograph[0])["f1"] == 0
    assert keypoints.detect(photograph[0]).scale.size > 0


@pytest.mark.fast
def test_the_papers_tables_are_whole():
    assert sorted(paper.LM) == sorted(paper.CM) == sorted(paper.CLUSTERS)
    assert paper.row("improved", 8) is None and paper.row("cm", 30).psnr == 16.61
    assert set(paper.OTHERS) == set(methods.BASELINES)
