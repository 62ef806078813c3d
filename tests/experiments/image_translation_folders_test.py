"""Two folders of one's own, and what may be wrong with them and with the numbers of a run."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from PIL import Image, ImageOps

from experiments.image_translation import collapse, data, experiment, judgement, values
from experiments.image_translation import config as config_lib
from experiments.image_translation.systems import build
from experiments.image_translation.systems.system import System
from gentoolkit import training
from gentoolkit.data import columns, polygons, preparation
from gentoolkit.training import checkpoint

SIZE = 8


def _drawn(folder, names, *, grey=False, seed=0, colours=256):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        levels = rng.integers(0, colours, (12, 10) if grey else (12, 10, 3), np.uint8)
        if colours == 2:  # lines on white
            levels = np.uint8(rng.random(levels.shape) > 0.05)
        Image.fromarray(levels * (255 // (colours - 1))).save(folder / f"{name}.png")


@pytest.fixture
def config(tmp_path):
    config = config_lib.get_config("folders")
    config.update(image_size=SIZE, data_dir=str(tmp_path), batch_size=4)
    return config


@pytest.mark.fast
def test_folders_of_unequal_numbers_and_channels_are_two_domains(tmp_path, config, capsys):
    _drawn(tmp_path / "trainA", "abcdefghijk", grey=True, colours=2)
    _drawn(tmp_path / "trainB", "abcdefg", seed=1)
    config.channels = (1, 3)
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (10, 6, 1)
    assert not domains.paired and domains.beside == "some other y"
    batch = data.stream(config, domains)[5]
    assert batch["x"]["image"].shape == (4, SIZE, SIZE, 1) and batch["y"]["image"].shape == (4, SIZE, SIZE, 3)
    assert capsys.readouterr().err == ""
    # What is held out is not trained on.
    seen = {image.tobytes() for image in domains.y.take(np.arange(6))["image"]}
    assert domains.test.take(np.arange(1))["y"][0].tobytes() not in seen
    _drawn(tmp_path / "testA", "uv", grey=True)
    _drawn(tmp_path / "testB", "wxy", seed=2)
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (11, 7, 2)
    config.method = "bicyclegan"
    with pytest.raises(ValueError, match="4 pictures of .* have no partner in the other folder: h, i, j, k"):
        data.load(config)


@pytest.mark.fast
def test_folders_that_cannot_be_domains(tmp_path, config, capsys):
    with pytest.raises(FileNotFoundError, match="must hold the folders x and y"):
        data.load(config)
    _drawn(tmp_path / "x", "abc")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(ValueError, match="are one folder"):
        data.load(config)
    (tmp_path / "y").unlink()
    (tmp_path / "y").mkdir()
    with pytest.raises(FileNotFoundError, match="No image in .*y"):
        data.load(config)
    _drawn(tmp_path / "y", "n", seed=1)
    with pytest.raises(ValueError, match="y holds one picture; two are needed"):
        data.load(config)
    (tmp_path / "y" / "n.png").unlink()
    for name in "ab":  # the same pictures in both, under other names
        (tmp_path / "y" / f"copy-{name}.png").write_bytes((tmp_path / "x" / f"{name}.png").read_bytes())
    with pytest.raises(ValueError, match="are in the other folder too"):
        data.load(config)
    _drawn(tmp_path / "y", "mn", grey=True, seed=2)
    data.load(config)
    said = capsys.readouterr().err
    assert "2 pictures are in both" in said and "y: 2 of 3 pictures looked at are grey" in said
    for path in (tmp_path / "y").iterdir():
        path.unlink()
    for level, name in enumerate("opq"):  # drawings where photographs should be
        Image.new("RGB", (12, 10), (level, 0, 0)).save(tmp_path / "y" / f"{name}.png")
    data.load(config)
    assert (
        "x has more levels of grey than y, as if photographs stood where drawings should. Swapped?"
        in capsys.readouterr().err
    )
    (tmp_path / "y" / "o.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"o.png' cannot be read as an image"):
        data.load(config)


def _two_folders(root, num, names=("x", "y"), **tests):
    for seed, side in enumerate(names):
        _drawn(root / side, [f"{index:03d}" for index in range(num)], seed=seed)
    for seed, (side, count) in enumerate(tests.items()):
        _drawn(root / side, [f"{index:03d}" for index in range(count)], seed=7 + seed)


@pytest.mark.fast
@pytest.mark.parametrize("channels", [(3, 3), (1, 3)])
def test_equal_names_on_both_sides_are_decided_about_aloud(tmp_path, config, capsys, channels):
    config.channels = channels
    _two_folders(tmp_path, 20, ("trainA", "trainB"), testA=6, testB=6)

    def sizes():
        domains = data.load(config)
        return [len(domains.x), len(domains.y), len(domains.test)], domains

    # Folders of data without pairs: all of them, whatever the channels; the folders of tests are tests.
    found, domains = sizes()
    assert found == [20, 20, 6] and domains.beside == "some other y"
    assert "nobody says which example of one belongs" in experiment._notes(domains)[0]
    assert "without pairs; --config.pairs=names takes them for pairs" in capsys.readouterr().err
    config.pairs = "names"
    found, domains = sizes()
    assert found == [10, 10, 6] and domains.beside == "the true y" and capsys.readouterr().err == ""
    assert "have no example in common" in experiment._notes(domains)[0]
    config.unpair = "shuffle"
    found, domains = sizes()
    assert found == [20, 20, 6] and not domains.paired
    assert "partners meet in a batch by chance alone" in experiment._notes(domains)[0]
    config.method = "bicyclegan"
    for config.pairs in ("auto", "names"):
        found, domains = sizes()
        assert found == [20, 20, 6] and domains.paired and "are pairs" in experiment._notes(domains)[0]
        assert domains.x.fields["image"].shape == (SIZE, SIZE, channels[0])
    config.pairs = "none"
    with pytest.raises(ValueError, match="bicyclegan needs pairs, and config.pairs = 'none'"):
        data.load(config)
    with pytest.raises(ValueError, match="config.unpair"):
        data.load(_changed(config, unpair="deal"))


def _changed(config, **options):
    changed = config.copy_and_resolve_references()
    changed.update(**options)
    return changed


@pytest.mark.fast
def test_one_folder_for_each_side_holds_pairs_unless_told_otherwise(tmp_path, config, capsys):
    _two_folders(tmp_path, 20)
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (9, 9, 2)
    assert "all 20 names are the same on both sides. Taken for pairs" in capsys.readouterr().err
    with pytest.raises(
        ValueError, match=r"batch_size = 10 .*9 pictures of x and 9 of y, beside 2 .*config.unpair=shuf"
    ):
        data.stream(_changed(config, batch_size=10), domains)
    config.pairs = "none"
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (18, 18, 2)
    # Pictures of both sides are noise here, which is all that is told of them.
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "like those of the other domain" in said[0] and domains.beside == "some other y"
    with pytest.raises(ValueError, match=r"batch_size = 19 is larger .* beside 2 of each to measure on\.$"):
        data.stream(_changed(config, batch_size=19), domains)
    for index in range(0, 20, 2):  # grey, though the file has colours; pairs are looked at too
        _drawn(tmp_path / "y", [f"{index:03d}"], grey=True)
        Image.open(tmp_path / "y" / f"{index:03d}.png").convert("RGB").save(tmp_path / "y" / f"{index:03d}.png")
    data.load(_changed(config, pairs="names"))
    assert "of 9 pictures looked at are grey, the others in colour" in capsys.readouterr().err
    (tmp_path / "y" / "000.png").rename(tmp_path / "y" / "other.png")
    with pytest.raises(ValueError, match="2 pictures of .* have no partner in the other folder: 000, other"):
        data.load(_changed(config, pairs="names"))


@pytest.mark.fast
def test_published_pairs_of_one_channel_and_of_another_layout(tmp_path, config, capsys):
    rng = np.random.default_rng(0)
    for part, num in (("train", 6), ("val", 2)):
        (tmp_path / part).mkdir()
        for index in range(num):  # grey edges left, a photograph right
            edges = np.where(rng.random((12, 12, 1)) < 0.2, 0, 255).astype(np.uint8).repeat(3, -1)
            both = np.concatenate([edges, rng.integers(0, 256, (12, 12, 3), np.uint8)], axis=1)
            Image.fromarray(both).save(tmp_path / part / f"{index}.png")
    config.update(dataset="edges2shoes", channels=(1, 3))
    for method, num in (("dsvib", 3), ("bicyclegan", 6)):
        domains = data.load(_changed(config, method=method))
        assert (len(domains.x), len(domains.test)) == (num, 2)
        grey, colour = domains.x.take([0])["image"], domains.y.take([0])["image"]
        assert grey.shape == (1, SIZE, SIZE, 1) and colour.shape == (1, SIZE, SIZE, 3)
    in_colour = data.load(_changed(config, method="bicyclegan", channels=(3, 3))).x.take([0])["image"]
    np.testing.assert_array_equal(in_colour, grey.repeat(3, -1))
    assert capsys.readouterr().err == ""
    (tmp_path / "train").rename(tmp_path / "trainA")
    with pytest.raises(FileNotFoundError, match="It has trainA, .* take config.py:folders --config.data_dir="):
        data.load(_changed(config, dataset="facades"))


@pytest.mark.fast
def test_a_list_of_pairs_and_what_tfds_prepared(tmp_path, config):
    _two_folders(tmp_path, 8)
    lines = [f"x/{index:03d}.png y/{7 - index:03d}.png\n" for index in range(8)]
    (tmp_path / "pairs.txt").write_text("".join(lines))
    config.data_dir = str(tmp_path / "pairs.txt")
    domains = data.load(_changed(config, method="bicyclegan"))
    assert domains.paired and (len(domains.x), len(domains.test)) == (7, 1)
    (tmp_path / "test.txt").write_text("".join(lines[:3]))
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (4, 4, 3) and domains.relation == "disjoint"
    shown = domains.test.take([0])
    for name, file in (("x", "x/000.png"), ("y", "y/007.png")):
        own = Image.open(tmp_path / file).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(shown[name][0], np.asarray(own))
    with pytest.raises(ValueError, match="pairs.txt lists pairs; config.unpair=shuffle"):
        data.load(_changed(config, pairs="none"))
    rng = np.random.default_rng(0)
    parts = {
        split: columns.images(rng.integers(0, 256, (num, 6, 6, 3), np.uint8))
        for split, num in (("trainA", 5), ("trainB", 7), ("testA", 2), ("testB", 3))
    }
    place = preparation.prepare({name: lambda part=part: part for name, part in parts.items()}, tmp_path, name="set")
    config.update(dataset="cycle_gan", data_dir=str(place), channels=(1, 3))
    domains = data.load(config)
    assert (len(domains.x), len(domains.y), len(domains.test)) == (5, 7, 2) and domains.relation == "none"
    assert domains.x.take([0])["image"].shape == (1, SIZE, SIZE, 1)
    with pytest.raises(ValueError, match="bicyclegan needs pairs, and cycle_gan has none"):
        data.load(_changed(config, method="bicyclegan"))
    assert config_lib.get_config("cycle_gan").dataset == "cycle_gan"


@pytest.mark.fast
def test_windows_are_cut_from_larger_pictures_alike_for_pairs_and_in_training_alone(tmp_path, config):
    _two_folders(tmp_path, 8, ("x",))
    (tmp_path / "y").mkdir()
    for path in (tmp_path / "x").iterdir():  # the negative of each
        Image.fromarray(255 - np.asarray(Image.open(path))).save(tmp_path / "y" / path.name)
    config.update(method="bicyclegan", load_scale=1.5)
    domains = data.load(config)
    assert domains.x.fields["image"].shape == domains.test.fields["y"].shape == (SIZE, SIZE, 3)
    batches = [data.stream(config, domains)[step] for step in range(6)]
    x, y = (np.concatenate([batch[name]["image"].astype(int) for batch in batches]) for name in "xy")
    assert x.shape == (24, SIZE, SIZE, 3) and np.abs(x + y - 255).max() <= 2  # two resizes of bytes
    whole = {
        np.asarray(Image.open(path).resize((12, 12), Image.Resampling.BILINEAR))[top : top + 8, left : left + 8][
            :, ::way
        ].tobytes()
        for path in (tmp_path / "x").iterdir()
        for top in range(5)
        for left in range(5)
        for way in (1, -1)
    }
    assert {image.astype(np.uint8).tobytes() for image in x} <= whole and len(np.unique(x, axis=0)) > 16
    config.update(load_scale=1.0, fit="cover", method="dsvib")
    first = sorted((tmp_path / "x").iterdir())
    covered = [ImageOps.fit(Image.open(path), (SIZE, SIZE), Image.Resampling.BILINEAR).tobytes() for path in first]
    domains = data.load(config)
    assert domains.test.take([0])["x"].tobytes() in covered
    for given in ({"load_scale": 0.5}, {"fit": "exact"}):
        with pytest.raises(ValueError, match=f"config.{next(iter(given))}"):
            data.load(_changed(config, **given))
    with pytest.raises(ValueError, match="config.pairs is of folders, got 'names' for facades"):
        data.load(_changed(config, dataset="facades", pairs="names"))
    with pytest.raises(ValueError, match="are of pictures from files; polygons is drawn"):
        data.load(_changed(config, dataset="polygons"))


@pytest.mark.fast
def test_pixels_that_look_wrong_are_told_of():
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    drawings = np.where(rng.random((5, 16, 16, 1)) < 0.2, 0, 255).astype(np.uint8).repeat(3, -1)

    def told(x, y):
        return list(values.told(columns.images(x), columns.images(y)))

    assert told(drawings, photographs) == told(photographs[:4], photographs[:3]) == []
    assert "Swapped?" in told(photographs, drawings)[0]
    assert told(photographs, photographs // 2) == []
    grey = np.concatenate([photographs[:2, ..., :1].repeat(3, -1), photographs[2:]])
    grey[:2, :4] += (grey[:2, :4, :, :1] < 200) * np.array([0, 2, 1], np.uint8)  # as JPEG leaves it
    assert told(drawings, grey) == [
        "y: 2 of 5 pictures looked at are grey, the others in colour; all are read alike, in colour."
    ]
    assert any(
        "all of 5 pictures looked at are the same" in line for line in told(drawings, photographs[:1].repeat(5, 0))
    )
    # Drawings among photographs on one side, a few or half of all, or on both; none where sides are of one kind each.
    many = rng.integers(0, 256, (128, 16, 16, 3), np.uint8)
    plain = np.where(rng.random((128, 16, 16, 1)) < 0.2, 0, 255).astype(np.uint8).repeat(3, -1)
    assert told(plain[:64], many[:64]) == told(plain[:64], many[:16]) == told(plain[:16], many[:64]) == []
    few, half = np.concatenate([plain[64:82], many[64:110]]), np.concatenate([plain[64:96], many[64:96]])
    (line,) = (line for line in told(plain[:64], few) if "in edges" in line)
    assert re.match(r"y: 1\d of 64 pictures looked at are .* more like those of x. Are domains mixed up\?", line)
    for x, y in ((half, many[:64]), (plain[:64], half), (half, np.concatenate([plain[:32], many[:32]]))):
        assert any("in edges, colours" in line for line in told(x, y))
    assert any("x: 5 of 5 pictures looked at are of one colour" in line for line in told(0 * drawings, photographs))
    assert any("brighter than 1 of 255" in line for line in told(drawings // 255, photographs))


@pytest.mark.fast
def test_numbers_that_do_not_fit_a_method(config):
    for method, given, message in (
        ("dsvib", {"image_size": 18}, "image_size must divide by 4 for dsvib, got 18"),
        ("bicyclegan", {"batch_size": 3}, "batch_size must be even for bicyclegan, got 3"),
        ("dsvib", {"batch_size": 0}, "config.batch_size must be at least 1 for dsvib, got 0"),
        ("dsvib", {"width": 0}, "config.width must be at least 1 for dsvib, got 0"),
        ("bicyclegan", {"width": 1}, "config.width must be at least 2 for bicyclegan, got 1"),
        ("dsvib", {"num_steps": 0}, "config.num_steps must be at least 1"),
        ("munit", {"munit": {"num_scales": 0}}, "config.munit.num_scales must be at least 1 for munit, got 0"),
        ("dsvib", {"channels": (3,)}, r"config.channels must be those of x and of y, 1 or 3 each, got \(3,\)"),
        ("dsvib", {"optimizer": {"clip_norm": -1.0}}, r"clip_norm must be 0 \(none\) or more, got -1.0"),
        ("cyclegan", {"image_size": 16}, "at least 24 for cyclegan, or a smaller config.judge_layers, got 16"),
        ("dsvib", {"image_size": 8}, "image_size must be at least 12 for dsvib, or a smaller config.judge_layers"),
        (
            "munit",
            {"munit": {"num_scales": 3}, "image_size": 32},
            "image_size must be at least 64 for munit, or a smaller config.munit.num_scales, got 32",
        ),
        ("unit", {"unit": {"form": "2017_leaky", "num_scales": 3}, "image_size": 8}, "at least 16 for unit"),
        ("other", {}, "config.method"),
        ("cyclegan", {"adversarial": "lsgan"}, "config.adversarial must be one of least_squares, logistic, hinge; got"),
        ("dsvib", {"dsvib": {"code_from": "means"}}, "config.dsvib.code_from must be one of mean, sample; got 'means'"),
        ("dsvib", {"dsvib": {"bound": "matched"}}, "num_codes must be at least 2 for config.dsvib.bound = 'matched'"),
        ("dsvib", {"dsvib": {"num_codes": 0}}, "num_codes must be at least 1 for config.dsvib.bound = 'each', got 0"),
        ("munit", {"way_back_noise": -0.1}, "way_back_noise is a standard deviation, 0 or more"),
        (
            "unit",
            {"unit": {"form": "2016"}},
            "config.unit.form must be one of 2018, 2017_leaky, 2017_norms; got",
        ),
    ):
        changed = config.copy_and_resolve_references()
        changed.update(method=method, **given)
        with pytest.raises(ValueError, match=message):
            build.build(changed, optax.identity())
    config.dsvib.bank = 0
    config.batch_size, config.image_size = 1, 16
    with pytest.raises(
        ValueError, match="takes two codes at least: got config.dsvib.bank = 0 and config.batch_size = 1"
    ):
        build.build(config, optax.identity())
    config.dsvib.code_prior = "divergence"
    build.build(config, optax.identity())
    config.update(method="bicyclegan", image_size=48, batch_size=2)
    with pytest.raises(ValueError, match="image_size must be a power of two of at least 32, got image_size = 48"):
        jax.eval_shape(build.build(config, optax.identity()).models, jax.random.key(0))


def _contents(painted):
    return judgement.of_codes(np.broadcast_to(painted, (4, 2, 3, 3, 3)))


@pytest.mark.fast
def test_a_collapse_ends_a_run_that_was_sound(tmp_path):
    rng = np.random.default_rng(0)
    sound, same = _contents(rng.random((4, 2, 3, 3, 3))), _contents(rng.random((1, 2, 3, 3, 3)))
    watch = collapse.Watch("painters", tmp_path, evaluator="test")
    assert watch.check(same, 10) == 0  # as at the beginning
    assert watch.check(sound | {"x_contents": 0.1}, 20) == 20
    for found in (same, {"contents": float("nan")}, {"contents": 0.1, "x_contents": 0.001}):
        with pytest.raises(
            collapse.Collapsed, match=r"^Step 30: player 'painters' has collapsed: .* at step 20"
        ) as told:
            watch.check(found, 30)
        assert told.value.step == 30
    blank = {"contents": 0.1, "x_contents": 0.001}
    assert "images of x" in judgement.alarm(blank)
    assert "way_back_noise" in judgement.alarm(blank | {"hidden_error": 0.05})
    assert "way_back_noise" not in judgement.alarm(blank | {"hidden_error": 0.2})


class _Fading(nnx.Module):
    """What it paints fades with every step, if it is trained by `_fade`."""

    def __init__(self):
        self.contrast = nnx.Param(jnp.ones(()))

    def __call__(self, images):
        return self.contrast[...] * images


def _fade(models, batch, turn, *, name):
    del batch, turn
    return jnp.square(models[name].contrast[...]), {}


@pytest.mark.parametrize("fading", ["paint_x", "paint_y"])
def test_a_collapse_ends_a_run_that_was_restarted_at_the_same_step(tmp_path, monkeypatch, fading):
    config = config_lib.get_config("polygons")
    config.update(image_size=16, num_steps=40)
    config.train.update(log_every=40, checkpoint_every=1, evaluate_every=3)
    painters = ("paint_x", "paint_y")
    player = training.Player(functools.partial(_fade, name=fading), optax.sgd(0.15), painters)
    fake = System(
        models=lambda rngs: {name: _Fading() for name in painters},
        players={"painters": player},
        translate=lambda models, images, code, to: models[f"paint_{to}"](images),
    )
    monkeypatch.setattr(experiment.build, "build", lambda *_: fake)
    monkeypatch.setattr(data, "_NUM_POLYGONS", 32)
    run = functools.partial(experiment.run, config, tmp_path / "run", None)
    with pytest.raises(collapse.Collapsed) as first:
        run()
    assert 6 < first.value.step < 40 and f"of {fading[-1]} of" in str(first.value)
    # The checkpoint of the last evaluation that was sound is there, though there was one at every step.
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    name = "test/contents" if fading == "paint_y" else "test/x_contents"
    sound = max(line["step"] for line in lines if line.get(name, 0) >= 0.02)
    with checkpoint.reading(tmp_path / "run" / "checkpoints") as checkpoints:
        assert checkpoints.resolve("best") == sound
    assert f"The checkpoint of step {sound} stays" in str(first.value)
    with pytest.raises(collapse.Collapsed) as second:
        run()
    assert str(second.value) == str(first.value)


@pytest.mark.fast
def test_rows_to_measure_on_are_spread_over_all():
    assert data.spread_places(10, 4).tolist() == [0, 3, 6, 9] and data.spread_places(3, 8).tolist() == [0, 1, 2]
    source = polygons.load(5, image_size=16)
    np.testing.assert_array_equal(data.spread(source, 3)["image"], source.take([0, 2, 4])["image"])
