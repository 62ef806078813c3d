"""Probes of real pictures: which values are asked for, one that learns two colours, and the table that it adds to."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app
from absl.testing import flagsaver
from flax import nnx
from PIL import Image

from experiments.text_to_image import attributes, data, encoders, experiment, measures, painters
from experiments.text_to_image import config as config_lib
from experiments.text_to_image.systems import probe
from experiments.text_to_image.systems.system import System
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from tests.experiments import programs

_COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 220, 30)}


def _write(root, *, train=12, test=6, columns=("colour", "kind", "brand")):
    """Pictures of one colour each with some noise: red and blue in turn, one green one to train on and one to test."""
    rng, lines = np.random.default_rng(0), [",".join(("file", "caption", "split", *columns))]
    for split, num in (("train", train), ("test", test)):
        for number in range(num):
            colour = "green" if number == num - 1 else ("red", "blue")[number % 2]
            row = {"colour": colour, "kind": ("hat", "bag", "")[number % 3], "brand": "one"}
            pixels = np.array(_COLOURS[colour]) + rng.integers(-25, 25, (16, 16, 3))
            name = f"{split}{number}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name)
            lines.append(",".join((name, f"a {colour} hat", split, *(row[column] for column in columns))))
    (root / "captions.csv").write_text("\n".join(lines) + "\n")


def _config(root, preset="probe_folder64", **changes):
    config = config_lib.get_config(preset)
    config.update_from_flattened_dict(
        {
            "data_dir": str(root),
            "image_size": 16,
            "batch_size": 8,
            "num_steps": 40,
            "folder.attributes": "colour",
            "folder.least": 3,
            "probe.width": 4,
            "probe.num_blocks": 0,
            "probe.peak": 3e-2,
            "train.log_every": 20,
            "train.checkpoint_every": 40,
            "train.evaluate_every": 40,
        }
        | changes
    )
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of pictures, and a probe of their colours."""
    root = tmp_path_factory.mktemp("shop")
    _write(root)
    run = tmp_path_factory.mktemp("runs") / "probe"
    found = experiment.run(_config(root), run, training.make_mesh(num_devices=1))
    return root, run, found


def test_a_probe_learns_two_colours_and_the_rare_one_is_not_asked_for(trained):
    root, run, found = trained
    assert found["test/colour"] == 1.0 and found["test/colour_error"] == 0.0
    # Of six pictures to test one is green: three are red, two blue.
    assert found["test/colour_constant"] == pytest.approx(3 / 5)
    assert found["test/colour_chance"] == pytest.approx((3 * 2 + 2 * 1) / (5 * 4))
    assert attributes.read(run) == {"colour": ("blue", "red")}


@pytest.mark.fast
def test_values_with_enough_pictures_are_told_apart_and_the_others_said(tmp_path, capsys):
    _write(tmp_path)
    found = data.load(_config(tmp_path, **{"folder.attributes": "colour, kind,colour", "folder.least": 4}))
    assert found.attributes == {"colour": ("blue", "red"), "kind": ("bag", "hat")}  # what is empty says nothing
    told = capsys.readouterr().err
    assert "colour: 2 values are told apart; 1 of fewer than 4 training pictures are not asked for (green; 1 " in told
    assert attributes.asked(found.test, found.attributes, 6)["colour"].tolist() == [1, 0, 1, 0, 1, -1]
    # Columns that nobody asks for are no attributes, and where there is no split the same holds.
    assert not data.load(_config(tmp_path, **{"folder.attributes": ""})).attributes
    found = data.load(_config(tmp_path, **{"folder.split": "part"}))
    assert found.attributes == {"colour": ("blue", "red")} and len(found.test) == 2


@pytest.mark.fast
def test_attributes_that_cannot_be(tmp_path):
    _write(tmp_path)
    for changes, message in (
        ({"folder.attributes": "colour,shape"}, "has no column 'shape'; there are file, caption, split, colour, kind"),
        ({"folder.attributes": "brand"}, "needs two values of at least 3 training .*'brand' has 'one': 12. Leave it"),
        ({"folder.least": 6}, "'colour' has 'red': 6, 'blue': 5, 'green': 1.*smaller config.folder.least"),
        ({"folder.attributes": "colour,image"}, "config.folder.attributes: image cannot be an attribute"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(_config(tmp_path, **changes))
    mesh = training.make_mesh(num_devices=1)
    with pytest.raises(ValueError, match="config.folder.attributes must name columns of the table for the probe"):
        experiment.run(_config(tmp_path, **{"folder.attributes": ""}), tmp_path / "run", mesh)
    config = config_lib.get_config("damsm_scenes32")
    with pytest.raises(ValueError, match="trained on a folder with a table of attributes; got 'scenes'"):
        probe.system(config, data.Captioned(None, None, None, Vocabulary(())))
    with pytest.raises(ValueError, match="got 'probe_scenes32'"):
        config_lib.get_config("probe_scenes32")


@pytest.mark.fast
def test_the_loss_is_of_the_pictures_whose_value_is_told_apart():
    """Classes 0 and 2 of the table are values 1 and 0 of the probe; the picture of class 1 does not count."""
    logits = {"colour": jnp.array([[0.0, 1.0], [5.0, -5.0], [2.0, 0.0]]), "kind": jnp.zeros((3, 4))}
    batch = {"image": jnp.zeros((3, 2, 2, 3)), "colour": np.array([0, 1, 2]), "kind": np.array([0, 0, 0])}
    numbers = {"colour": np.array([1, -1, 0]), "kind": np.array([-1, 2])}
    turn = training.Turn(jax.random.key(0), 0, {})
    loss, terms = probe.reading({"probe": lambda images: logits}, batch, turn, numbers=numbers)
    want = (np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2
    assert float(terms["colour"]) == pytest.approx(want, rel=1e-6) and float(terms["kind"]) == 0
    assert float(loss) == pytest.approx(want, rel=1e-6)


@pytest.mark.fast
def test_probes_of_other_data(tmp_path):
    for path, message in (("gone", "must hold the attributes of the run"), ("bad", "must hold the attributes")):
        (tmp_path / path).mkdir()
        (tmp_path / "bad" / "attributes.json").write_text("[1]") if path == "bad" else None
        with pytest.raises(ValueError, match=message):
            attributes.read(tmp_path / path)
    known = {"colour": ("blue", "red")}
    attributes.check(known, {**known, "kind": ("bag", "hat")}, source="runs/x")
    for other, message in (
        ({}, "2 and 0; they differ in 'blue', 'red'"),
        ({"colour": ("red", "white")}, "2 and 2; they differ in 'blue', 'white'"),
        ({"colour": ("red", "blue")}, "they differ in 'their order'"),
    ):
        with pytest.raises(ValueError, match=f"probe in runs/x was trained on other data.*{message}"):
            attributes.check(known, other, source="runs/x")


@pytest.fixture(scope="module")
def compare():
    with programs.compare() as script:
        yield script


def _draw(models, texts, noise):
    """Pictures of one red, whatever is said."""
    del models, texts
    red = jnp.array(_COLOURS["red"]) / 127.5 - 1
    return jnp.broadcast_to(red, (len(noise), 16, 16, 3)) + 0.05 * noise[:, :1, None, None]


def test_the_table_has_what_a_probe_reads(trained, compare, tmp_path, monkeypatch):
    root, run, _ = trained
    config = _config(root, "dfgan_folder64", encoder="runs/damsm", **{"folder.attributes": ""})
    vocabulary = data.load(config).vocabulary
    config.text.features, config.text.embedding = 4, 4
    text = encoders.networks(config, vocabulary, nnx.Rngs(0))["text"]
    text.eval()
    told = encoders.Pretrained(text, None, vocabulary, config.max_words, 4, 16)
    red = System(models=lambda rngs: {}, players={}, draw=_draw, noise_dim=2)
    monkeypatch.setattr(painters, "load", lambda name: painters.Painter(name, config, red, {}, text, vocabulary, 32))
    monkeypatch.setattr(encoders, "find", lambda where: told)
    options = {"runs": ["runs/red"], "probe": str(run), "workdir": str(tmp_path / "compare"), "texts": 6}
    with flagsaver.flagsaver(**options):
        compare.main()
    table = pathlib.Path(tmp_path / "compare" / "compare.md").read_text()
    assert "colour (2 values, 0.400 by chance, 0.600 by the most frequent)" in table and "probe's features" in table
    lines = [line.split("|") for line in table.split("\n") if line.startswith("|")][2:]
    shares = {line[1].strip(): line[2].split()[0] for line in lines}
    # What is painted red is right for three of five texts. Colours alternate, so a neighbour's picture would never be
    # right; another at random is for two (text 0 has picture 4, text 3 has picture 1).
    assert shares == {"real pictures": "1.000", "texts exchanged": "0.400", "dfgan": "0.600"}
    with pytest.raises(ValueError, match="is of pictures of 16 pixels, not 32"):
        measures.load_judges(told, probe_run=str(run), image_size=32)
    # A probe of other values, and data without a table.
    attributes.save(tmp_path, {"colour": ("blue", "white")})
    monkeypatch.setattr(attributes, "read", lambda run: {"colour": ("blue", "white")})
    with flagsaver.flagsaver(**options | {"workdir": str(tmp_path / "other")}):
        with pytest.raises(ValueError, match="was trained on other data: its values of 'colour'"):
            compare.main()
        config.dataset = "openmoji"
        with pytest.raises(app.UsageError, match="and runs/red paints openmoji"):
            compare.main()
