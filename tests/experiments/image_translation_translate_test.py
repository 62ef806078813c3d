"""Pictures of one's own through a system: any size, windows, styles, and everything that is refused."""

import functools

import imagecodecs
import jax
import numpy as np
import pytest
from absl import app, flags
from flax import nnx
from PIL import Image

from experiments.image_translation import codes, command, painting, pixels, published, runs, windows
from gentoolkit import training
from gentoolkit.data import pictures
from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan
from tests.experiments.image_translation_runs_test import written


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of runs: with codes, and without."""
    folder = tmp_path_factory.mktemp("runs")
    written(folder / "munit", "munit")
    written(folder / "cyclegan", "cyclegan")
    load = functools.cache(runs.load)
    with pytest.MonkeyPatch.context() as patch:
        # Once each: every load traces all networks.
        patch.setattr(runs, "load", load)
        yield folder


def translate(**given) -> int:
    """The command with these flags."""
    values = flags.FlagValues()
    command.define_flags(values)
    values(["translate", *(f"--{name}={value}" for name, value in given.items())])
    return command.main(["translate"], values)


@pytest.mark.fast
def test_codes_are_the_same_however_many_and_arcs_keep_their_length():
    few, many = codes.drawn(3, 2, 8), codes.drawn(3, 5, 8)
    np.testing.assert_array_equal(few, many[:2])
    own = [codes.drawn(3, 2, 8, name=name) for name in ("", "a.png", "b.png", "a.png")]
    assert len({code.tobytes() for code in own}) == 3 and np.array_equal(own[1], own[3])
    line, arc = (codes.between(*few, 5, spherical=spherical) for spherical in (False, True))
    for way in (line, arc):
        np.testing.assert_allclose(way[[0, -1]], few, atol=1e-6)
    np.testing.assert_allclose(line[2], few.mean(0), atol=1e-6)
    lengths = np.linalg.norm(arc, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 5), rtol=1e-5)
    assert np.linalg.norm(line[2]) < 0.9 * lengths[2]
    with pytest.raises(ValueError, match="opposite"):
        codes.between(few[0], -few[0], 3, spherical=True)


@pytest.mark.fast
def test_the_last_sound_checkpoint_of_a_run_is_taken_when_asked_for(tmp_path, monkeypatch):
    asked = []

    def load(run, *, step, averaged):
        asked.append(step)
        raise training.CheckpointError("none")

    monkeypatch.setattr(runs, "load", load)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for given in ({}, {"checkpoint": "best"}):
        with pytest.raises(training.CheckpointError):
            translate(run=tmp_path, input=tmp_path / "a.png", output=tmp_path / "out", **given)
    assert asked == ["latest", "best"]


@pytest.mark.fast
def test_windows_make_up_a_picture_and_keep_their_distance():
    for size, count in (((400, 404), 36), ((96, 1000), 9), ((300, 100), 3)):
        window = windows.shape(size, side=128, reach=32, multiple=4)
        assert window[0] * window[1] <= 128**2 and all(length % 4 == 0 for length in window)
        covered = np.zeros(size, int)
        for one in windows.over(size, window, reach=32):
            covered[one.place()] += 1
            assert one.top % 4 == 0 == one.left % 4
            for (first, last), begin, length, whole in zip(
                (one.inside[:2], one.inside[2:]), (one.top, one.left), window, size, strict=True
            ):
                assert begin == 0 or first - begin >= 32
                assert begin + length == whole or begin + length - last >= 32
        assert (covered == 1).all()
        assert len(list(windows.over(size, window, reach=32))) == count
        places = windows.spread(size, side=64, num=6, multiple=4)
        assert 2 <= len(places) <= 6
        assert all(0 <= top <= size[0] - 64 and 0 <= left <= size[1] - 64 for top, left in places)


def test_windows_give_what_the_whole_gives(made, monkeypatch):
    # All kinds of norms: of instances, adaptive, and of layers.
    trained = runs.load(made / "munit")
    rng = np.random.default_rng(0)
    height, width = 240, 330
    slope = np.linspace(-0.7, 0.7, width)[None, :, None] * np.linspace(1, -0.5, height)[:, None, None]
    image = (slope + 0.3 * rng.standard_normal((height, width, 3)))[None].clip(-1, 1).astype(np.float32)
    image[:, :, :200] = 1  # of which windows that are looked at first see much or little
    code = codes.drawn(0, 1, 8)
    whole = painting.Painter(trained.system, trained.models, to="y")(image, code)
    assert whole.num_windows == 1 and whole.images.shape == image.shape
    painter = painting.Painter(trained.system, trained.models, to="y", side=4 * whole_reach(trained))
    found = {}
    for tolerance in (1e9, painting.TOLERANCE, 1e-4):
        monkeypatch.setattr(painting, "TOLERANCE", tolerance)
        taken = painter(image, code)
        found[tolerance] = float(np.abs(taken.images - whole.images).max())
        assert taken.num_windows > 1 and taken.off < tolerance
    level, (first, usual, close) = 2 / 255, found.values()
    assert first > 3 * level  # the windows that are looked at first are not enough
    assert usual < level
    assert close < 5e-4  # nothing else is approximate


def whole_reach(trained) -> int:
    reach = painting.Painter(trained.system, trained.models, to="y").reach
    with pytest.raises(ValueError, match=f"Windows must be of {4 * reach} pixels at least"):
        painting.Painter(trained.system, trained.models, to="y", side=4 * reach - 1)
    return reach


@pytest.mark.fast
def test_pixels_come_and_go_as_the_files_have_them():
    levels = np.array([[[0, 10, 65535], [300, 300, 300]]], np.uint16)
    alpha = np.array([[65535, 0]], np.uint16)
    shown = pictures.Picture(levels, alpha)
    seen = pixels.to_network(shown, 3)
    np.testing.assert_allclose(seen[0, 0], [-1, 20 / 65535 - 1, 1], atol=1e-6)
    np.testing.assert_array_equal(seen[0, 1], 1)  # transparent: white
    back = pixels.to_picture(seen, shown)
    np.testing.assert_array_equal(back.pixels[0, 0], levels[0, 0])
    assert back.pixels.dtype == np.uint16 and back.alpha is alpha and not back.grey
    assert pixels.to_network(shown, 1)[0, 0, 0] == pytest.approx(2 * (0.587 * 10 / 65535 + 0.114) - 1, abs=1e-6)
    profile = pictures.Picture(
        levels[..., :1].repeat(3, -1), grey=True, metadata=pictures.Metadata(icc_profile=b"grey")
    )
    assert pixels.to_picture(seen, profile).metadata.icc_profile is None  # of one channel, and now there are three


def test_a_folder_goes_through_and_what_fails_is_told(made, tmp_path, capsys, monkeypatch):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (17, 23, 3), np.uint8)).save(source / name)
    (source / "d.png").write_bytes(imagecodecs.png_encode(rng.integers(0, 65535, (17, 23), np.uint16)))
    (source / "bad.png").write_bytes(b"nothing")
    given = {"run": made / "munit", "input": source, "output": target, "samples": 2}
    assert translate(**given) == 1
    said = capsys.readouterr()
    assert "bad.png: It cannot be read" in said.err and "1 of 5 could not be translated" in said.err
    assert "is at step 3 of 5000" in said.out and "8 images painted" in said.out and "Peak memory" in said.out
    names = sorted(path.name for path in target.iterdir())
    assert names == [f"{n}_{k}.png" for n in "abcd" for k in (0, 1)] + ["translate.json"]
    first = {name: pictures.read(target / name) for name in names[:-1]}
    assert all(picture.pixels.shape == (17, 23, 3) for picture in first.values())
    assert first["d_0.png"].pixels.dtype == np.uint16 and not first["d_0.png"].grey
    # The same picture alone, its styles the same; in batches, beside others, or padded it is the same.
    trained = runs.load(made / "munit")
    image = pixels.to_network(pictures.read(source / "b.png"), 3)
    wide = np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="reflect")[None]
    paint = training.jit(lambda models, x, code: trained.system.translate(models, x, code, "y"))
    alone = np.asarray(paint(trained.models, wide, codes.drawn(0, 2, 8)[1:]))[0, :17, :23]
    np.testing.assert_allclose(first["b_1.png"].pixels, np.round((alone + 1) * 127.5), atol=1)
    assert not np.array_equal(first["b_0.png"].pixels, first["b_1.png"].pixels)
    # Again: told, and the same; another task is refused.
    (source / "bad.png").unlink()
    assert translate(**given) == 0
    assert f"8 files in {target} are written over" in capsys.readouterr().out
    assert np.array_equal(pictures.read(target / "b_1.png").pixels, first["b_1.png"].pixels)
    with pytest.raises(ValueError, match="holds pictures of another task"):
        translate(**given, restyle=True)
    broken = painting.Painted(np.full((4, 17, 23, 3), np.nan, np.float32))
    monkeypatch.setattr(painting.Painter, "__call__", lambda *_: broken)
    assert translate(**given) == 1
    assert "4 of 4 could not be translated" in (said := capsys.readouterr()).err and "NaN or infinity" in said.err
    assert np.array_equal(pictures.read(target / "b_1.png").pixels, first["b_1.png"].pixels)
    (target / "translate.json").unlink()
    with pytest.raises(ValueError, match="a_0.png is there already, and not of this program"):
        translate(**given)


def test_styles_of_references_and_between_them(made, tmp_path):
    rng = np.random.default_rng(1)
    for name in ("x.png", "r.png", "s.png"):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / name)
    given = {"run": made / "munit", "input": tmp_path / "x.png"}
    assert translate(**given, output=tmp_path / "one", reference=tmp_path / "r.png") == 0
    ends = f"{tmp_path / 'r.png'},7"
    assert translate(**given, output=tmp_path / "row", interpolate=ends, steps=3, slerp=True) == 0
    assert translate(**given, output=tmp_path / "seed", seed=7) == 0
    names = sorted(path.name for path in (tmp_path / "row").iterdir())
    assert names == ["translate.json", "x_0.png", "x_1.png", "x_2.png", "x_sheet.png"]
    row = [pictures.read(tmp_path / "row" / f"x_{k}.png").pixels.astype(int) for k in range(3)]
    assert np.abs(row[0] - pictures.read(tmp_path / "one" / "x_0.png").pixels).max() <= 1
    assert np.abs(row[2] - pictures.read(tmp_path / "seed" / "x_0.png").pixels).max() <= 1
    assert np.abs(row[0] - row[2]).max() > 3
    width = Image.open(tmp_path / "row" / "x_sheet.png").width
    assert width % 16 >= 0 and width > 4 * 16


def test_a_reference_is_cut_as_training_images_were(made, tmp_path, monkeypatch):
    """With `fit=cover` all that is seen of a wide picture is its middle."""
    wide = np.random.default_rng(2).integers(0, 255, (16, 48, 3), np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide[:, 16:32]).save(tmp_path / "middle.png")
    Image.fromarray(wide[:, :16]).save(tmp_path / "x.png")
    trained = runs.load(made / "munit")
    painted = {}
    for fit in ("cover", "stretch"):
        config = trained.config.copy_and_resolve_references()
        config.unlock()
        config.fit = fit
        monkeypatch.setattr(runs, "load", lambda *_, config=config, **__: trained._replace(config=config))
        for name in ("wide", "middle"):
            output = tmp_path / fit / name
            given = {"input": tmp_path / "x.png", "output": output, "reference": tmp_path / f"{name}.png"}
            assert translate(run=made / "munit", **given) == 0
            painted[fit, name] = pictures.read(output / "x_0.png").pixels.astype(int)
    np.testing.assert_array_equal(painted["cover", "wide"], painted["cover", "middle"])
    assert np.abs(painted["stretch", "wide"] - painted["stretch", "middle"]).max() > 0


def test_what_cannot_be_done_is_refused_before_the_work(made, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "a.png")
    Image.new("RGB", (3, 16)).save(tmp_path / "thin.png")
    (tmp_path / "text.png").write_text("no picture")
    run, plain = made / "munit", made / "cyclegan"
    monkeypatch.setattr(painting.Painter, "__call__", lambda *_: pytest.fail("work was begun"))
    usage, value = app.UsageError, ValueError
    for error, message, given in (
        (usage, "--input is empty", {"input": ""}),
        (usage, "There is no file or folder", {"input": tmp_path / "nowhere"}),
        (usage, "--samples and --reference exclude", {"samples": 2, "reference": "a.png"}),
        (usage, "Name a trained system", {"run": ""}),
        (usage, "Name a trained system", {"weights": "a.pth"}),
        (usage, "takes two pictures or two seeds, got 3", {"interpolate": "1,2,3"}),
        (usage, "another folder than that of --input", {"output": tmp_path / "in"}),
        (usage, "text.png is a file", {"output": tmp_path / "text.png"}),
        (value, "is not the folder of a run", {"run": tmp_path}),
        (value, "cyclegan paints one image of each, without a code: leave --samples", {"run": plain, "samples": 2}),
        (value, "without a code: leave --reference", {"run": plain, "reference": "a.png"}),
        (value, "without a code: leave --interpolate", {"run": plain, "interpolate": "1,2"}),
        (value, "cyclegan cannot --restyle", {"run": plain, "restyle": True}),
        (value, "--restyle needs a style", {"restyle": True}),
        (value, "There is no such file", {"reference": tmp_path / "nowhere.png"}),
        (value, "text.png: It cannot be read", {"reference": tmp_path / "text.png"}),
        (value, "thin.png is 3 x 16; a reference must be of 4 x 4", {"reference": tmp_path / "thin.png"}),
        (value, "Windows must be of", {"tile": 8}),
        (value, "cannot be written", {"output": "/proc/none"}),
    ):
        with pytest.raises(error, match=message) as raised:
            translate(**{"run": run, "input": tmp_path / "in", "output": tmp_path / "out"} | given)
        assert "\n" not in str(raised.value)
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "a.jpg")
    with pytest.raises(usage, match="a.jpg and a.png would both be written as a_0.png"):
        translate(run=run, input=tmp_path / "in", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_files_stand_in_for_a_run(tmp_path):
    def file(name, make, table, seed):
        rng, tensors = np.random.default_rng(seed), {}
        shapes = {"/".join(map(str, p)): v.shape for p, v in nnx.to_flat_state(nnx.as_pure(nnx.state(make())))}
        for path, entry in table.items():
            for tensor, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
                tensors[tensor] = rng.normal(0, 0.3, shape).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", **tensors)
        return tmp_path / f"{name}.npz"

    def shaped(make):
        return lambda: nnx.eval_shape(make)

    scheme = cyclegan.Scheme(width=2)
    translator = shaped(lambda: cyclegan.Translator(1, 3, num_blocks=2, scheme=scheme, rngs=nnx.Rngs(0)))
    painter = shaped(
        lambda: bicyclegan.Painter(1, 3, code_dim=4, num_halvings=5, width=2, dropout=0.0, rngs=nnx.Rngs(0))
    )
    encoder = shaped(lambda: bicyclegan.Encoder(3, code_dim=4, num_blocks=2, width=2, rngs=nnx.Rngs(0)))
    files = {
        "to_y": file("G_A", translator, cyclegan.table(2), 0),
        "paint_y": file("G", painter, bicyclegan.painter_table(5), 1),
        "encode_y": file("E", encoder, bicyclegan.encoder_table(2), 2),
    }
    one = published.load("cyclegan", [files["to_y"]])
    assert one.config.channels == (1, 3) and not one.system.code_dim and one.system.directions == ("y",)
    expected = weights.assign(translator(), cyclegan.table(2), weights.read(files["to_y"]))
    for found, wanted in zip(*(jax.tree.leaves(nnx.state(m)) for m in (one.models["to_y"], expected)), strict=True):
        np.testing.assert_array_equal(found, wanted)
    both = published.load("bicyclegan", [files["paint_y"], files["encode_y"]])
    assert both.system.code_dim == 4 and both.system.multiple == 32 and both.system.style is not None
    assert published.load("bicyclegan", [files["paint_y"]]).system.style is None
    assert painting.Painter(both.system, both.models, to="y").padded((33, 20)) == (64, 32)
    with pytest.raises(ValueError, match="takes 1 file for cyclegan, got 2"):
        published.load("cyclegan", [files["to_y"], files["paint_y"]])
    with pytest.raises(ValueError, match="not the weights of a generator of bicyclegan"):
        published.load("bicyclegan", [files["to_y"]])
    with pytest.raises(FileNotFoundError):
        published.load("cyclegan", [tmp_path / "nowhere.npz"])
    rng = np.random.default_rng(0)
    for name, shape in (("x.png", (20, 33)), ("r.png", (64, 64, 3))):
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / name)
    pair = f"{files['paint_y']},{files['encode_y']}"
    given = {"weights": pair, "method": "bicyclegan", "input": tmp_path / "x.png", "output": tmp_path / "out"}
    assert translate(**given, reference=tmp_path / "r.png") == 0
    made = pictures.read(tmp_path / "out" / "x_0.png")
    assert made.pixels.shape == (20, 33, 3) and not made.grey
    for flag, message in (
        ({"reverse": True}, "bicyclegan paints y alone; leave --reverse out"),
        ({"reference": tmp_path / "x.png"}, "x.png is grey, and y, which is painted, is in colour"),
        ({"weights": files["paint_y"], "reference": tmp_path / "r.png"}, "there is no encoder of style"),
    ):
        with pytest.raises(ValueError, match=message):
            translate(**given | flag)
