import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from PIL import Image

from experiments.low_light import before_after, command, methods, photographs, tiles
from experiments.low_light.options import METHODS, Options
from gentoolkit.data import pictures
from gentoolkit.gaussian_process import covariance, posterior
from gentoolkit.imaging import quality
from gentoolkit.imaging.gp_enhancement import improved, tone_map
from gentoolkit.models import low_light

ROOT = pathlib.Path(__file__).parents[2]
FEW = {"num_clusters": 8}


@pytest.fixture(scope="module")
def references():
    return methods.References()


@pytest.fixture(scope="module")
def photograph():
    bright = photographs.load(size=64)["astronaut"]
    return bright, photographs.darken(bright, 4.0)


@pytest.fixture(scope="module")
def dark(photograph):
    return np.round(photograph[1] * 255).astype(np.uint8)


@pytest.mark.parametrize("method", ["improved", "cm", "lm", "lime", pytest.param("gpe", marks=pytest.mark.slow)])
def test_methods_brighten(method, references, photograph):
    bright, dark = photograph
    outcome = methods.enhance(dark, references, Options(method, **FEW if method in ("improved", "cm", "lm") else {}))
    assert float(quality.psnr(jnp.asarray(outcome.image), bright)) > float(quality.psnr(dark, bright)) + 2
    assert set(outcome.seconds) <= set(methods.STAGES) and sum(outcome.seconds.values()) > 0


def test_integers_of_8_and_16_bits_and_floats_are_one_photograph(references, dark):
    options = Options(**FEW)
    eight = methods.enhance(dark, references, options).image
    floats = methods.enhance((dark / 255).astype(np.float32), references, options, num_bits=8).image
    np.testing.assert_array_equal(eight, np.round(np.clip(floats, 0, 1) * 255).astype(np.uint8))
    sixteen = methods.enhance(dark.astype(np.uint16) * 257, references, options).image
    # That black is known more exactly is all that 16 bits change.
    assert sixteen.dtype == np.uint16 and np.abs(sixteen / 257 - eight)[dark > 8].mean() < 3
    black = np.zeros((5, 7, 3), np.uint16)
    assert methods.enhance(black, references, options).image is black


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (30, 50), (90, 17)])
def test_another_size_takes_no_program(shape, references, dark):
    options = Options(**FEW)
    methods.enhance(dark, references, options)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        small = np.ascontiguousarray(np.resize(dark, (*shape, 3)))
        made = methods.enhance(small, references, options).image
    finally:
        jax.monitoring.clear_event_listeners()
    assert compiled == [] and made.shape == small.shape and made.mean() > small.mean()
    jax.jit(lambda x: x + shape[1])(1)


def test_the_reference_in_tiles_is_that_of_the_whole(references):
    image = np.random.default_rng(0).uniform(0, 0.5, (40, 90, 3)).astype(np.float32)
    exponents = np.asarray([0.8, 1.0, 1.3], np.float32)
    whole = low_light.pretrained(3)((image**exponents)[None])[0]
    np.testing.assert_allclose(references(image, exponents, side=32), whole, atol=2e-6)


def test_strips_of_a_patch_map_join(photograph):
    image = photograph[1][:45, :61]
    points = np.random.default_rng(0).uniform(size=(8, 9)).astype(np.float32)
    process = posterior.condition(covariance.squared_exponential(1.0, 1.0), points, np.sqrt(points.mean(1)), noise=0.01)
    found = tone_map.ToneMap(process, jnp.ones(8), jnp.zeros(()), 3, "none", "pooled", 3)
    apply = jax.jit(tone_map.apply)
    made = tiles.over(lambda tile, weights: apply(found, tile), image, border=1, side=20)
    np.testing.assert_allclose(made, apply(found, image), atol=2e-6)


def test_strips_of_shrunk_noise_join_and_invisible_pixels_have_no_part(photograph):
    image = photograph[1][:45, :61]
    table = jnp.asarray(np.linspace(0, 1, 1024)[:, None].repeat(3, 1), jnp.float32)
    run = jax.jit(lambda image, weights: improved.apply(table, image, noise_level=0.02, strength=1.0, weights=weights))
    ones = jnp.ones((45, 61, 1))
    whole = jax.jit(lambda image: improved.apply(table, image, noise_level=0.02, strength=1.0))(image)
    np.testing.assert_allclose(run(image, ones), whole, atol=1e-6)
    np.testing.assert_allclose(tiles.over(run, image, border=6, side=20), whole, atol=1e-6)
    visible = np.ones((45, 61), bool)
    visible[10:30, 20:40] = False
    other = np.where(visible[..., None], image, 1 - image)
    first, second = (tiles.over(run, one, border=6, side=20, visible=visible) for one in (image, other))
    np.testing.assert_array_equal(first[visible], second[visible])
    assert np.abs(first - whole)[9, 25].max() > 1e-4  # the neighbours did have a part


def test_tiles_of_an_enhanced_photograph_join(references, dark, monkeypatch):
    options = Options(**FEW, strength=1.0)
    whole = methods.enhance(dark, references, options).image
    monkeypatch.setattr(tiles, "over", functools.partial(tiles.over, side=20))
    np.testing.assert_allclose(methods.enhance(dark, references, options).image.astype(int), whole, atol=1)


@pytest.mark.fast
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_table_of_levels_is_the_function(dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (9, 7, 3)).astype(dtype)

    def function(image, weights):
        return image ** jnp.asarray([0.5, 1.0, 2.0])

    np.testing.assert_array_equal(tiles.by_level(function, pixels), tiles.over(function, pixels, border=0, side=4))


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (300, 17)])
def test_strips_are_reduced_as_the_whole(shape, monkeypatch):
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    small = methods.reduced_shape(*shape, shorter=16)
    whole = cv2.resize(pixels.astype(np.float32) / 255, small[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(tiles.reduced(pixels, small), whole.reshape(*small, 3), atol=1e-6)
    monkeypatch.setattr(tiles, "_STRIP_PIXELS", 7 * shape[1])
    np.testing.assert_allclose(tiles.reduced(pixels, small), whole.reshape(*small, 3), atol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (427, 640), (3000, 4000), (5, 2000)])
def test_reduced_sizes_suit_the_network(shape):
    height, width = methods.reduced_shape(*shape)
    assert min(height, width) >= 16 and max(height, width) <= 256
    assert methods.reduced_shape(64, 64) == (64, 64)


@pytest.mark.fast
def test_patches_are_spread_evenly():
    image = np.arange(6 * 8, dtype=np.float32).reshape(6, 8, 1)
    same = tiles.patches(image, size=1, num=16)
    assert same.shape == (4, 4, 1) and (np.diff(same.ravel()) == 3).all()
    more = np.bincount(tiles.patches(image, size=1, num=100).astype(int).ravel())
    assert set(more) == {2, 3} and more.sum() == 100
    blocks = tiles.patches(image, size=2, num=9)
    np.testing.assert_array_equal(blocks[:2, :2, 0], [[0, 1], [8, 9]])
    square = np.random.default_rng(0).uniform(size=(9, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(tiles.patches(square, size=3, num=9), square)
    seen = np.ones((6, 8))
    seen[:, 4:] = 0.4
    assert (tiles.patches(image, size=1, num=16, visible=seen) % 8 < 4).all()
    assert tiles.patches(image, size=1, num=16, visible=np.full((6, 8), 0.1)).shape == (4, 4, 1)


@pytest.mark.fast
def test_invisible_pixels_get_the_nearest_colour():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    visible = np.zeros((7, 9), bool)
    visible[3, 2], visible[3, 6] = True, True
    made = tiles.filled(pixels, visible)
    assert (made[:, :4] == pixels[3, 2]).all() and (made[:, 5:] == pixels[3, 6]).all()
    mixed = np.random.default_rng(1).uniform(size=(7, 9)) < 0.5
    np.testing.assert_array_equal(tiles.filled(pixels, mixed)[mixed], pixels[mixed])


@pytest.mark.parametrize("method", ["improved", "cm"])
def test_invisible_pixels_do_not_steer_the_tone(method, references, dark):
    options = Options(method, **FEW)
    visible = np.ones((64, 64), bool)
    visible[:, 40:] = False
    black, white = (np.where(visible[..., None], dark, level).astype(np.uint8) for level in (0, 255))
    made = [methods.enhance(one, references, options, visible=visible).image for one in (black, white)]
    np.testing.assert_array_equal(made[0][visible], made[1][visible])
    assert not made[0][~visible].any() and (made[1][~visible] == 255).all()
    alone = methods.enhance(np.ascontiguousarray(dark[:, :40]), references, options).image
    steered = methods.enhance(black, references, options).image
    near, far = (np.abs(one[:, :40].astype(int) - alone).mean() for one in (made[0], steered))
    if method == "improved":  # patches of so small a photograph differ more than that
        assert near < 4 and near < far / 2


@pytest.mark.fast
@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "magic"},
        {"num_clusters": 0},
        {"num_clusters": 5000},
        {"white_balance": float("nan")},
        {"white_balance": 1.5},
        {"strength": float("nan")},
        {"strength": float("inf")},
        {"method": "cm", "strength": 1.0},
        {"method": "lm", "white_balance": 0.5},
        {"method": "lime", "channels": "feature"},
    ],
)
def test_options_out_of_range_or_without_effect_are_named(wrong):
    with pytest.raises(ValueError, match=f"{list(wrong)[-1]} (must|has no effect)"):
        Options(**wrong)
    assert all(Options(method).num_clusters == 30 for method in METHODS)


@pytest.fixture(scope="module")
def command_flags():
    # Flags of other programs that this process has imported would be in the way, and come back afterwards.
    before = {name: flags.FLAGS[name] for name in flags.FLAGS}
    for name in ("input", "output", "method", "weights", "page"):
        if name in before:
            delattr(flags.FLAGS, name)
    left = set(flags.FLAGS)
    command.define_flags()
    flags.FLAGS.mark_as_parsed()
    yield flagsaver.flagsaver
    for name in set(flags.FLAGS) - left:
        delattr(flags.FLAGS, name)
    for name in before.keys() - left:
        flags.FLAGS[name] = before[name]


def _photograph(path, shape=(20, 30)):
    Image.fromarray(np.random.default_rng(0).integers(0, 60, (*shape, 3), np.uint8)).save(path)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"input": "none.jpg"}, "no file or folder"),
        ({"input": ""}, "--input is empty"),
        ({"output": ""}, "--output is empty"),
        ({"input": "pipe"}, "neither a file nor a folder"),
        ({"output": "a.gif"}, "must end in"),
        ({"output": "a.jpg/b.jpg"}, "cannot be written"),
        ({"output": "x" * 300 + ".jpg"}, "cannot be written"),
        ({"output": "a.jpg"}, "overwrite"),
        ({"white_balance": float("nan")}, "white_balance must"),
        ({"method": "cm", "strength": 1.0}, "no effect with cm"),
        ({"weights": "none.npz"}, "no weights"),
        ({"input": ".", "output": "."}, "another folder"),
        ({"input": "empty", "output": "new"}, "holds no image.*1 folder.*1 file of other kinds"),
    ],
)
def test_mistakes_are_told_before_the_work(given, reason, tmp_path, monkeypatch, command_flags):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "enhance", None)
    _photograph(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty" / "dir.jpg").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    with command_flags(**{"input": "a.jpg", "output": "b.jpg"} | given):
        with pytest.raises((app.UsageError, FileNotFoundError), match=reason) as raised:
            command.main(["enhance"])
    assert "\n" not in str(raised.value) and sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_fails_one_file_and_leaves_what_was_there(tmp_path, monkeypatch, command_flags, capsys):
    import resource

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name, shape in (("a.png", (20, 30)), ("large.png", (300, 300))):
        _photograph(tmp_path / "in" / name, shape)
        (tmp_path / "out" / name).write_bytes(b"good")
    monkeypatch.setattr(methods, "enhance", lambda pixels, *_, **__: methods.Outcome(pixels + 1, {}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Without the page, which asks git for the commit: under the limit that would leave its lock behind.
    with command_flags(input=str(tmp_path / "in"), output=str(tmp_path / "out"), page=False):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            assert command.main(["enhance"]) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr()
    assert "large.png: File too large" in said.err and "Traceback" not in said.err
    assert (tmp_path / "out" / "large.png").read_bytes() == b"good"
    assert pictures.read(tmp_path / "out" / "a.png").pixels.shape == (20, 30, 3)
    assert not [name for name in os.listdir(tmp_path / "out") if name.endswith(".part")]


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch, command_flags, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        _photograph(tmp_path / "in" / name)
    met = []

    def enhance(pixels, *_, **__):
        met.append(1)
        if len(met) == 2:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt as error:  # as a callback of a compiled program turns it
                raise RuntimeError("CpuCallback error") from error
        return methods.Outcome(pixels + 1, {})

    monkeypatch.setattr(methods, "enhance", enhance)
    with command_flags(input=str(tmp_path / "in"), output=str(tmp_path / "out")):
        assert command.main(["enhance"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted: 1 of 3 are done and stay."
    assert os.listdir(tmp_path / "out") == ["a.png"] or sorted(os.listdir(tmp_path / "out")) == ["a.png", "report"]


def test_names_that_are_no_text(tmp_path, monkeypatch, command_flags, capsys):
    monkeypatch.setattr(methods, "enhance", lambda pixels, *_, **__: methods.Outcome(pixels + 1, {}))
    source = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png")
    _photograph(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", source)
    with command_flags(input=source, output=source.replace(".png", ".jpg")):
        assert command.main(["enhance"]) == 0
    assert "\\xff\\n.png -> " in capsys.readouterr().out
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"\xff\n.jpg", b"\xff\n.png", b"\xff\n_report"]


def test_a_page_shows_every_photograph(tmp_path):
    strip = np.random.default_rng(0).integers(0, 99, (1, 4000, 3), np.uint8)
    shown = [
        before_after.pair("strip", strip, strip + 9, []),
        before_after.pair("a <b>", strip.reshape(40, 100, 3), strip.reshape(40, 100, 3), ["CMYK, written as RGB"]),
    ]
    assert shown[0].before.shape == (1, 480, 3)
    clear = before_after.pair("", strip, strip, [], alpha=np.zeros((1, 4000), np.uint8))
    assert (clear.before == 1).all()
    page = before_after.write(tmp_path, {"method": "improved"}, shown, {"x.jpg": "broken"}).read_text()
    assert page.count("<img") == 4 and "a &lt;b&gt;" in page and "CMYK" in page and "x.jpg: broken" in page


@pytest.mark.slow
def test_a_folder_as_people_have_it(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "dir.jpg").mkdir(parents=True)
    (source / "broken.jpg").write_bytes(b"not an image")
    (source / "notes.txt").touch()
    _photograph(source / "small.png")
    _photograph(source / "small.png")
    os.rename(source / "small.png", os.fsencode(source) + b"/\xff\xfe.png")
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 60, (30, 40, 3), np.uint8))
    small.resize((4000, 3000), Image.Resampling.BICUBIC).save(source / "large.jpg")
    arguments = [f"--input={source}", f"--output={target}", "--num_clusters=5"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.low_light.enhance", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (
        done.returncode == 1
        and "1 of 3 could not be enhanced" in done.stderr
        and "broken.jpg: It cannot" in done.stderr
    )
    assert "1 folder and 1 file of other kinds (.txt)" in done.stdout and "\\xff\\xfe.png" in done.stdout
    assert sorted(os.listdir(os.fsencode(target))) == [b"large.jpg", b"report", b"\xff\xfe.png"]
    with Image.open(target / "large.jpg") as image:
        assert image.size == (4000, 3000)
    (peak,) = re.findall(r"Peak memory: (\d+) MiB", done.stdout)
    assert 100 < int(peak) < 2048
    assert "data:image/" in (target / "report" / "report.html").read_text()


def test_ctrl_c_while_it_loads_is_one_line(tmp_path):
    run = [sys.executable, "-m", "experiments.low_light.enhance"]
    process = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(1000):  # until it loads
        if "numpy" in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130 and len(said.strip().splitlines()) <= 1
