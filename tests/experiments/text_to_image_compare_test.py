"""The table of all systems: which runs are one row, what is refused, and which figures are measured anew."""

import json

import jax.numpy as jnp
import pytest
from absl import app
from absl.testing import flagsaver
from flax import nnx

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import encoders, judges, painters, rows
from experiments.text_to_image.systems import detector
from experiments.text_to_image.systems.system import System
from gentoolkit.data import scenes
from tests.experiments import programs


class _Paint(nnx.Module):
    """One colour with some noise."""

    def __init__(self, red):
        self.red = nnx.Param(jnp.float32(red))

    def __call__(self, noise):
        return jnp.tanh(self.red[...] + 0.1 * noise[:, :1, None, None] * jnp.ones((1, 16, 16, 3)))


def _config(**changes):
    config = config_lib.get_config("attngan_scenes32")
    config.update_from_flattened_dict(
        {"image_size": 16, "num_train": 8, "num_test": 6, "text.features": 4, "text.embedding": 4} | changes
    )
    return config


@pytest.fixture(scope="module")
def text():
    return encoders.networks(_config(), scenes.VOCABULARY, nnx.Rngs(0))["text"]


_SYSTEM = System(models=lambda rngs: {}, players={}, draw=lambda m, texts, noise: m["paint"](noise), noise_dim=2)


def _painter(name, red, text, *, step=0, **changes):
    models = {"paint": _Paint(red)}
    return painters.Painter(name, _config(**changes), _SYSTEM, models, text, scenes.VOCABULARY, 36, step)


@pytest.mark.fast
def test_runs_that_differ_in_their_seed_alone_are_one_row(text):
    runs = [
        _painter("a", 0.0, text, encoder="runs/damsm", data_dir="/here"),
        _painter("b", 0.1, text, encoder="runs/damsm", data_dir="/there", seed=1),
        _painter("c", 0.2, text, encoder="runs/damsm", **{"attngan.damsm": 1.0}),
        _painter("d", 0.3, text, encoder="runs/damsm", system="vae"),
    ]
    five, one = "attngan (attngan.damsm=5.0)", "attngan (attngan.damsm=1.0)"
    assert rows.labels(runs) == {"a": five, "b": five, "c": one, "d": "vae"}
    assert rows.labels(runs[:2]) == {"a": "attngan", "b": "attngan"}
    # Trained for fewer steps, whatever the configuration says; of another encoder; of the same seed.
    runs = [runs[0], runs[1]._replace(step=5), _painter("e", 0.4, text, seed=2, encoder="runs/other")]
    assert [rows.labels(runs)[name] for name in "abe"] == [
        "attngan (encoder=runs/damsm, steps=0)", "attngan (encoder=runs/damsm, steps=5)",
        "attngan (encoder=runs/other, steps=0)",
    ]  # fmt: skip
    again = runs[0]._replace(name="x", models={"paint": _Paint(0.9)})
    assert rows.labels([runs[0], again]) == {"a": "attngan (a)", "x": "attngan (x)"}


@pytest.mark.fast
def test_encoders_that_differ_in_their_seed_alone_are_one(text, tmp_path):
    for name, seed, width in (("one", 0, 32), ("two", 1, 32), ("wide", 1, 64)):
        (tmp_path / name).mkdir()
        config = config_lib.get_config("damsm_scenes32")
        config.seed, config.damsm.width = seed, width
        (tmp_path / name / "config.json").write_text(config.to_json())
    one, two, wide = (
        _painter(name, seed, text, seed=seed, encoder=str(tmp_path / name))
        for seed, name in enumerate(("one", "two", "wide"))
    )
    assert rows.labels([one, two]) == {"one": "attngan", "two": "attngan"}
    assert rows.labels([one, wide])["wide"] == "attngan (encoder.damsm.width=64)"


@pytest.mark.fast
def test_a_painter_is_named_once(text):
    for first, second in ((("x", 0.0), ("x", 0.5)), (("x", 0.0), ("y", 0.0))):
        with pytest.raises(ValueError, match=f"x and {second[0]} are the same painter"):
            rows.labels([_painter(*first, text), _painter(*second, text)])


def test_files_of_one_name_are_two_painters(tmp_path):
    """Each is called by its whole path, so neither takes the other's place."""
    painter = painters.load("vae_scenes32")
    assert painter.name == "vae_scenes32"
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        painters.save(tmp_path / folder / "painter.npz", painter)
    found = [painters.load(tmp_path / folder / "painter.npz") for folder in ("x", "y")]
    assert [one.name for one in found] == [str(tmp_path / folder / "painter.npz") for folder in ("x", "y")]


@pytest.fixture(scope="module")
def compare():
    with programs.compare() as script:
        yield script


@pytest.fixture
def table(compare, text, tmp_path, monkeypatch):
    """Runs the program with these painters, and gives the lines of its results."""
    told = encoders.Pretrained(text, None, scenes.VOCABULARY, 36, 4, 16)
    monkeypatch.setattr(encoders, "find", lambda where: told)

    def run(*chosen, **options):
        known = {one.name: one for one in chosen}
        monkeypatch.setattr(painters, "load", known.__getitem__)
        with flagsaver.flagsaver(runs=list(known), workdir=str(tmp_path), texts=6, encoder="runs/damsm", **options):
            compare.main()
        lines = (tmp_path / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines], (tmp_path / "compare.md").read_text()

    return run


def test_figures_of_other_weights_texts_or_judges_are_measured_anew(table, text):
    first = _painter("runs/a", 0.0, text)
    lines, _ = table(first)
    assert len(lines) == 6 and len(table(first)[0]) == 6  # three rows of two splits, and nothing twice
    assert (
        lines[0]["key"]["run"] == "real pictures" and "diversity" not in lines[0]["values"]
    )  # beside themselves: none
    trained_on = first._replace(models={"paint": _Paint(2.0)})
    lines, page = table(trained_on)
    assert [line["key"]["run"] for line in lines[6:]] == ["runs/a", "runs/a"]
    # The table is of the new ones: nearly all white, which noise moves less.
    assert f"{lines[6]['values']['diversity']:.3f}" in page and lines[6]["values"] != lines[2]["values"]
    assert len(table(_painter("runs/a", 2.0, text, max_objects=2))[0]) == 8 + 6
    lines, page = table(trained_on, first._replace(name="runs/b"))
    assert len(lines) == 14 + 2 and "| attngan (runs/a)" in page and "| attngan (runs/b)" in page


def test_who_chooses_is_the_shipped_judge_or_said_to_lack(table, text, monkeypatch):
    first = _painter("runs/a", 0.0, text)
    with pytest.raises(ValueError, match="No judge of runs/a's pictures is shipped; give --judge, or --best_of=1"):
        table(first, best_of=2)
    config = _config(**{"detector.width": 4, "detector.num_blocks": 1})
    network = detector.network(config, nnx.Rngs(0))
    network["detector"].eval()
    judge = judges.Judge("detector_scenes16", config, network)
    monkeypatch.setattr(judges, "shipped", lambda: ["detector_scenes16"])
    monkeypatch.setattr(judges, "load", lambda source: judge)
    lines, page = table(first, best_of=2)
    assert len(lines) == 8 and "| attngan, best of 2" in page
    with pytest.raises(app.UsageError, match="detector_scenes16 would both choose pictures and measure them"):
        table(first, best_of=2, detector="detector_scenes16")
    other = judge._replace(config=_config(image_size=32))
    monkeypatch.setattr(judges, "load", lambda source: other)
    with pytest.raises(ValueError, match="judges scenes of 32 pixels; runs/a paints scenes of 16"):
        table(first, best_of=2, judge="runs/judge")


def test_folders_are_told_apart_by_the_ends_of_their_paths():
    assert rows.ends(["runs/a/vae-0", "runs/b/dfgan-0"]) == {"runs/a/vae-0": "vae-0", "runs/b/dfgan-0": "dfgan-0"}
    assert rows.ends(["runs/a/0", "runs/b/0"]) == {"runs/a/0": "a/0", "runs/b/0": "b/0"}
    assert rows.ends(["runs/a", "runs/a", "/a"]) == {"runs/a": "runs/a", "/a": "/a"}
