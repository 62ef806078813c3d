"""Text to picture: texts of users, and one tiny run from captions to pictures in a folder."""

import html
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.text_to_image import beginning, encoders, experiment, measures, painters, rewording, runs, texts
from experiments.text_to_image import config as config_lib
from experiments.text_to_image.systems import attngan, build, system
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.data.fields import Ragged
from gentoolkit.data.text import Vocabulary
from tests.training import interruption, scale

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.fast
def test_what_users_write():
    vocabulary = Vocabulary(("a", "red", "circle"))
    tokens, lengths, told = texts.encode(["A red circle", "a red zebra"], vocabulary, max_words=4)
    np.testing.assert_array_equal(tokens, [[2, 3, 4, 0], [2, 3, 1, 0]])
    assert lengths.tolist() == [3, 3] and len(told) == 1 and "zebra" in told[0] and "'a red zebra'" in told[0]
    for text, message in (
        ("", "has no words"),
        (" ,.! ", "has no words"),
        ("zebras gallop", "no word that the encoder knows; it knows a, red, circle"),
        ("красный круг", "no word that the encoder knows"),
        ("红色的圆", "no word that the encoder knows"),
        ("دائرة حمراء", "no word that the encoder knows"),
        ("🔴", "no word that the encoder knows"),
        ("\udcff\udcfe", r"bytes that are no text in UTF-8: U\+DCFE, U\+DCFF"),  # of a command line
        ("a red \udcff circle", r"bytes that are no text in UTF-8: U\+DCFF"),
        ("a red \u202ecircle", r"control characters: U\+202E"),
        ("a red\x00circle", r"control characters: U\+0000"),
        ("a red\x1b[31m circle\x9b", r"control characters: U\+001B, U\+009B"),
        (
            "a\x0bred\x1ccircle\x85",
            r"control characters: U\+000B, U\+001C, U\+0085",
        ),  # blanks and ends of lines to Python
        ("a " * 500, "has 500 words; the encoder reads at most 4"),
    ):
        with pytest.raises(ValueError, match=message):
            texts.encode(["a red circle", text], vocabulary, max_words=4)
    # Blanks of any kind and signs are between words; letters of other scripts are words that are not known.
    tokens, _, told = texts.encode(["A\tred\u2003(круг) -- CIRCLE!\n"], vocabulary, max_words=4)
    assert tokens.tolist() == [[2, 3, 1, 4]] and "круг" in told[0]
    with pytest.raises(ValueError, match="A text is needed"):
        texts.encode([], vocabulary, max_words=4)


@pytest.mark.fast
def test_texts_of_scenes_are_painted_from_words_that_were_learned():
    config = config_lib.get_config("vae_scenes32")
    painter = painters.Painter("vae_scenes32", config, *[None] * 3, scenes.VOCABULARY, 36)
    said = ["above a blue square there is a red circle", "a red circle above a blue square", "a red dog near it"]
    worded, told = rewording.reworded(painter, said, literal=False)
    assert worded == ["a red circle above a blue square", *said[1:]]
    assert told == [f'{said[0]!r}: read as "{worded[0]}" (--literal paints the words as they are)']
    assert rewording.reworded(painter, said, literal=True) == (said, [])
    unread, patterns = "a red circle beneath the moon and a blue square", "two striped red circles"
    _, told = rewording.reworded(painter, [unread, patterns], literal=False)
    assert "not understood, by beneath" in told[0] and "does not paint stripes and dots" in told[1] and len(told) == 2
    _, told = rewording.reworded(painter, ["a red-and-blue circle"], literal=False)
    assert told == ["'a red-and-blue circle': not read as part of a scene, so no judge looks for it: red"]
    painter.config.dataset = "folder"
    assert rewording.reworded(painter, said, literal=False) == (said, [])


@pytest.mark.fast
def test_files_of_texts(tmp_path, caplog):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffa red circle\r\n a blue\x1csquare \n\n".encode())
    assert texts.read_file(path) == ["a red circle", "a blue\x1csquare"] and not caplog.text
    path.write_text("\na red circle\n\n a blue square \n")
    assert texts.read_file(path) == ["a red circle", "a blue square"]
    assert "texts.txt: 2 empty lines are passed over (line 1, 3)" in caplog.text
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no text"):
        texts.read_file(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="texts.txt must be text in UTF-8"):
        texts.read_file(path)


@pytest.mark.fast
def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        runs.read_config(tmp_path / "missing")
    with pytest.raises(ValueError, match="has no config.json"):
        runs.read_config(tmp_path)
    path = tmp_path / "config.json"
    for stored, message in (
        ("{", "cannot be read"),
        ('{"system": "bigan"}', "not the folder of a run of text to picture"),
        (config_lib.get_config("damsm_scenes32").to_json(), "is a run of damsm; one of vae, dfgan, attngan is needed"),
    ):
        path.write_text(stored)
        with pytest.raises(ValueError, match=message):
            runs.read_config(tmp_path, systems=config_lib.PAINTERS)
    stored = config_lib.get_config("vae_scenes32").to_dict() | {"more": 1}
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="does not know: config.more"):
        runs.read_config(tmp_path)
    config = config_lib.get_config("dfgan_scenes32")
    with pytest.raises(ValueError, match="config.encoder must be the folder of a damsm run; train one by"):
        experiment.run(config, tmp_path / "new", training.make_mesh(num_devices=1))


def _tiny(preset, **changes):
    config = config_lib.get_config(preset)
    config.update_from_flattened_dict(
        {
            "image_size": 16,
            "num_train": 64,
            "num_test": 12,
            "num_steps": 2,
            "batch_size": 4,
            "text.features": 8,
            "text.embedding": 6,
            "damsm.width": 4,
            "dfgan.width": 4,
            "dfgan.noise_dim": 5,
            "train.log_every": 1,
            "train.checkpoint_every": 2,
            "train.evaluate_every": 2,
        }
        | changes
    )
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny encoder, and a painter that was told by it."""
    folder = tmp_path_factory.mktemp("text_to_image")
    mesh = training.make_mesh(num_devices=1)
    encoder = experiment.run(_tiny("damsm_scenes32"), folder / "damsm", mesh)
    config = _tiny("dfgan_scenes32", encoder=str(folder / "damsm"))
    return folder, encoder, experiment.run(config, folder / "dfgan", mesh)


def test_a_run_from_captions_to_pictures(trained):
    folder, encoder, painter = trained
    assert np.isfinite(encoder["encoders/loss"]) and np.isfinite(painter["discriminator/penalty"])
    assert {"test/r_precision", "test/diversity"} <= set(painter)
    with Image.open(folder / "dfgan" / "pictures" / "samples.png") as sheet:
        assert sheet.width > sheet.height / 2
    page = html.unescape((folder / "dfgan" / "report.html").read_text())
    for row in range(8):  # each text as it was written, under its pictures
        text = scenes.texts("test", row, max_objects=4)[0]
        assert f"<figcaption>{text} (on the right the real picture)</figcaption>" in page, text
    with Image.open(folder / "dfgan" / "pictures" / "samples" / "7.png") as strip:
        assert strip.width > 4 * strip.height
    assert "Row 1 of the sheet" not in page
    assert not list((folder / "dfgan" / "checkpoints").rglob("*text*"))


def test_a_painter_in_one_file_paints_as_its_run_does(trained, tmp_path):
    painter = painters.load(trained[0] / "dfgan")
    painters.save(tmp_path / "small.npz", painter)
    again = painters.load(tmp_path / "small.npz")
    said = ["a small red circle above a blue square", "two green stars"]
    pictures = []
    for one in (painter, again):
        encoded, told = one.read(said)
        assert not told
        pictures.append(measures.paint(one.system, one.models, encoded, noise=painters.noise(one, 2, seed=3)))
    assert pictures[0].shape == (2, 16, 16, 3)
    np.testing.assert_allclose(*pictures, atol=5e-3)  # weights of half precision
    assert np.abs(pictures[0][0] - pictures[0][1]).max() > 1e-4
    np.testing.assert_array_equal(painters.noise(painter, 3, seed=3)[:2], painters.noise(painter, 2, seed=3))
    assert np.abs(painters.noise(painter, 200, seed=0, truncation=0.5)).max() <= 1.0
    with pytest.raises(ValueError, match="truncation must be from 0 to 1"):
        painters.noise(painter, 1, seed=0, truncation=2.0)
    with pytest.raises(
        FileNotFoundError, match="There is no folder vae_scenes. These painters are shipped: vae_scenes32, dfgan"
    ):
        painters.load("vae_scenes")
    # Whatever else its run says of texts, a file has the sizes of the encoder inside.
    painter.config.text.update({"network": "transformer", "features": 12, "embedding": 4})
    painters.save(tmp_path / "other_text.npz", painter)
    assert painters.load(tmp_path / "other_text.npz").config.text.features == 8
    with pytest.raises(FileNotFoundError, match=r"There is no file .*gone.npz"):
        painters.load(tmp_path / "gone.npz")
    (tmp_path / "other.npz").write_bytes(b"no file of arrays")
    with pytest.raises(ValueError, match=r"other.npz is not a file that .export. wrote"):
        painters.load(tmp_path / "other.npz")


def test_a_painter_in_one_file_is_what_training_goes_on_from(trained, tmp_path):
    """Its networks are taken, what it lacks begins anew; what reads its texts stays the frozen encoder."""
    told = encoders.find(str(trained[0] / "damsm"))
    painters.save(tmp_path / "small.npz", painters.load(trained[0] / "dfgan"))
    config = _tiny("dfgan_scenes32", encoder=str(trained[0] / "damsm"), initial=str(tmp_path / "small.npz"))
    begun = beginning.initial(config, build.painter(config, told))
    assert begun.into == ["generator"] and {name.partition("/")[0] for name in begun.source} == {"generator"}
    own = nnx.state(painters.load(tmp_path / "small.npz").models["generator"], nnx.Param)
    taken = {f"generator/{'/'.join(map(str, path))}": leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(own))}
    assert taken.keys() == begun.source.keys()
    for name, leaf in taken.items():
        np.testing.assert_array_equal(leaf, begun.source[name].astype(np.float32))
    config.initial = str(trained[0] / "dfgan")
    assert set(beginning.initial(config, build.painter(config, told)).into) == {"generator", "discriminator"}
    config.initial = str(tmp_path / "small.npz")
    other = told.text.alike(rngs=nnx.Rngs(7))
    with pytest.raises(ValueError, match="has read its texts by another encoder than config.encoder"):
        beginning.initial(config, build.painter(config, told._replace(text=other)))
    config.dfgan.width *= 2
    with pytest.raises(ValueError, match=rf"small.npz is of config.dfgan.width = {config.dfgan.width // 2}, not"):
        beginning.initial(config, build.painter(config, told))
    config.dfgan.width //= 2
    config.initial = "vae_scenes32"
    with pytest.raises(ValueError, match=r"vae_scenes32.npz holds a vae, not a dfgan"):
        beginning.initial(config, build.painter(config, told))
    config.initial = str(tmp_path / "small.npz")
    config.update({"system": "vae"})
    with pytest.raises(ValueError, match=r"config.initial: .*small.npz holds a dfgan, not a vae"):
        beginning.initial(config, build.painter(config, told))


def test_an_encoder_that_is_missing_or_another(trained, tmp_path, monkeypatch):
    run = trained[0] / "dfgan"
    with pytest.raises(ValueError, match="cannot be loaded .--encoder=FOLDER if it has moved.: There"):
        painters.load(run, encoder=str(tmp_path / "gone"))
    told = encoders.load(trained[0] / "damsm", runs.read_config(trained[0] / "damsm"))
    with pytest.raises(ValueError, match="trained on another vocabulary than that of the data: it lacks zebra"):
        encoders.check(told, Vocabulary((*told.vocabulary.words, "zebra")), image_size=16, source="runs/x")
    with pytest.raises(ValueError, match="of pictures of 16 pixels, those here have 32"):
        encoders.check(told, told.vocabulary, image_size=32, source="runs/x")
    assert told.max_objects == 4
    with pytest.raises(
        ValueError, match=r"scenes of at most 2 objects, those here have up to 4; give --config.max_obj"
    ):
        encoders.check(told._replace(max_objects=2), told.vocabulary, image_size=16, source="runs/x", max_objects=4)
    # Of another width, or as wide with other weights, of whatever run.
    config = runs.read_config(trained[0] / "damsm")
    for width in (10, 8):
        config.text.features = width
        made = encoders.networks(config, told.vocabulary, nnx.Rngs(5))
        monkeypatch.setattr(
            encoders, "find", lambda where, made=made, width=width: told._replace(**made, features=width)
        )
        with pytest.raises(
            ValueError, match=r"not trained beside the encoder in .*other \(\d+ features\), but beside another"
        ):
            painters.load(run, encoder=str(tmp_path / "other"))


@pytest.mark.fast
def test_words_of_a_run_are_there_before_its_first_step(tmp_path, monkeypatch):
    def train(*args, workdir, **options):
        raise training.TrainingError((workdir / "vocabulary.json").read_text())

    monkeypatch.setattr(experiment.training, "train", train)
    mesh = training.make_mesh(num_devices=1)
    with pytest.raises(training.TrainingError, match="circle"):
        experiment.run(_tiny("clip_scenes32"), tmp_path, mesh)
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)  # of a run on other data, which training will not go on with
    (tmp_path / "vocabulary.json").write_text("other words")
    with pytest.raises(training.TrainingError, match="other words"):
        experiment.run(_tiny("clip_scenes32"), tmp_path, mesh)


@pytest.mark.fast
def test_an_encoder_of_fewer_objects_is_refused(tmp_path):
    config = config_lib.get_config("dfgan_scenes32")
    config.encoder = "damsm_scenes32"
    with pytest.raises(ValueError, match=r"damsm_scenes32 is of scenes of at most 2 objects, those here have up to 4"):
        experiment.run(config, tmp_path, training.make_mesh(num_devices=1))


@pytest.mark.fast
def test_flags_that_would_be_ignored():
    with pytest.raises(ValueError, match="vae_scenes32 has its encoder inside; --encoder=/nowhere is for the folder"):
        painters.load("vae_scenes32", encoder="/nowhere")
    config = _tiny("attngan_scenes32", **{"attngan.num_stages": 1})
    told = encoders.Pretrained(None, None, scenes.VOCABULARY, 6, 8, 16)
    assert attngan.system(config, told).attention is None  # the only stage sees no words


def test_between_two_draws_of_noise_of_one_text(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "experiments.text_to_image.interpolate", "--painter=vae_scenes32", "--truncation=0.9",
            "--text=a red circle", "--steps=3", "--rows=2", f"--output={tmp_path}",
        ],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "6 pictures by vae_scenes32" in done.stdout, done.stderr
    assert "in each row from one noise to another" in (tmp_path / "index.html").read_text()


@pytest.mark.fast
def test_judges_of_other_words_or_sizes(tmp_path):
    (tmp_path / "config.json").write_text(config_lib.get_config("clip_scenes32").to_json())
    told = encoders.Pretrained(None, None, Vocabulary(("a", "red")), 9, 8, 32)
    with pytest.raises(
        ValueError, match=r"vocabulary.json must hold the words of the run, which training writes at its beginning"
    ):
        measures.load_judges(told, clip_run=str(tmp_path))
    encoders.save_vocabulary(tmp_path, Vocabulary(("a", "blue")), 9)
    with pytest.raises(ValueError, match="was trained on another vocabulary than the encoder"):
        measures.load_judges(told, clip_run=str(tmp_path))
    with pytest.raises(ValueError, match="is of pictures of 32 pixels, not 64"):
        measures.load_judges(told._replace(image_size=64), clip_run=str(tmp_path))
    with pytest.raises(ValueError, match="is a run of clip; one of detector is needed"):
        measures.load_judges(told, detector_run=str(tmp_path))


def test_the_command_that_samples(trained, tmp_path):
    output = tmp_path / "pictures"
    command = [sys.executable, "-m", "experiments.text_to_image.sample", f"--run={trained[0] / 'dfgan'}"]
    done = subprocess.run(
        [*command, "--text=a red circle", "--text=a frobnicated blue star", "--num_seeds=2", f"--output={output}"],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "frobnicated" in done.stderr and "4 pictures of 2 text(s)" in done.stdout
    assert sorted(p.name for p in output.iterdir()) == [
        "0000.png", "0001.png", "0002.png", "0003.png", "index.html", "sample.json", "sheet.png",
    ]  # fmt: skip
    with Image.open(output / "0003.png") as picture:
        assert picture.size == (16, 16)
    assert "a frobnicated blue star" in (output / "index.html").read_text()
    # A smaller call into the same folder leaves no picture of the larger one; what would be ignored is refused.
    for options, message in (
        (["--text=above a ring is a star"], ""),
        (["--text=a ring", "--judge=x"], "give --best_of=512"),
    ):
        done = subprocess.run(
            [*command, *options, "--num_seeds=1", f"--output={output}"],
            cwd=_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) == bool(message) and message in done.stderr + done.stdout
    assert [p.name for p in sorted(output.glob("0*.png"))] == ["0000.png"]
    assert "above a ring is a star (read as &quot;a star above a ring&quot;)" in (output / "index.html").read_text()


@pytest.mark.fast
def test_objectives_of_the_other_systems_have_finite_slopes():
    """By shapes alone: what compiles them whole are the tests marked slow."""
    config = _tiny(
        "attngan_scenes32", **{"attngan.width": 4, "attngan.judge_width": 4, "vae.width": 4, "opposites": "a b"}
    )
    vocabulary = Vocabulary(("a", "b"))
    made = encoders.networks(config, vocabulary, nnx.Rngs(0))
    for module in made.values():
        module.eval()
    told = encoders.Pretrained(made["text"], made["images"], vocabulary, 6, 8, 16)
    batch = {"image": jnp.zeros((4, 16, 16, 3)), "caption": Ragged(jnp.ones((4, 6), jnp.int32), jnp.full(4, 3))}
    for name in ("attngan", "vae"):
        config.system = name
        built: system.System = build.painter(config, told)

        def whole(key, built=built):
            models = built.models(nnx.Rngs(0)) | dict(built.frozen)
            found = dict(batch)
            for player, one in built.players.items():
                loss, _, *handed = one.objective(models, found, training.Turn(key, 0, {}))
                assert loss.shape == () and loss.dtype == jnp.float32
                found |= {f"{player}/{k}": v for k, v in (handed[0] if handed else {}).items()}
            texts_ = system.encode(models, batch)
            return built.draw(models, texts_, jnp.zeros((4, built.noise_dim)))

        assert jax.eval_shape(whole, jax.random.key(0)).shape == (4, 16, 16, 3)


_SMALL = [
    "--config.image_size=16", "--config.num_train=64", "--config.num_test=12", "--config.batch_size=8",
    "--config.text.features=8", "--config.text.embedding=6", "--config.damsm.width=4", "--config.train.log_every=2",
]  # fmt: skip


def _main(preset, *options):
    return [
        sys.executable, "-m", "experiments.text_to_image.main",
        f"--config=experiments/text_to_image/config.py:{preset}_scenes32", *_SMALL, *options,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def attngan_command(tmp_path_factory):
    """A command that trains a tiny AttnGAN: a frozen encoder, three discriminators, batch norm, averages."""
    size = "--config.image_size=32"  # of which the first of three stages has the fewest pixels that there can be
    run = tmp_path_factory.mktemp("encoder") / "damsm"
    one = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    done = subprocess.run(
        [*_main("damsm", size, "--config.num_steps=2"), f"--workdir={run}"],
        cwd=_ROOT, capture_output=True, text=True, env=one,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return _main(
        "attngan", size, f"--config.encoder={run}", "--config.attngan.width=4", "--config.attngan.judge_width=4",
        "--config.attngan.num_residual=1", "--config.attngan.num_stages=3",
    )  # fmt: skip


@pytest.mark.slow
def test_kills_leave_the_same_attngan_bit_for_bit(attngan_command, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ["--config.num_steps=30", "--config.train.checkpoint_every=6", "--config.train.evaluate_every=30"]
    assert interruption.check([*attngan_command, *options], tmp_path, kills=2, seed=0) == 0


@pytest.mark.slow
def test_devices_and_processes_do_not_change_the_metrics_of_attngan(attngan_command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert scale.check([*attngan_command, "--config.num_steps=4"], tmp_path, tolerance=1e-5) == 0


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["vae", "clip", "detector"])
def test_every_other_system_trains_and_is_measured(preset, trained, tmp_path):
    options = {"vae.width": 4, "clip.width": 8, "clip.num_layers": 1, "clip.num_heads": 2, "detector.width": 4}
    config = _tiny(f"{preset}_scenes32", **options, encoder=str(trained[0] / "damsm") if preset == "vae" else "")
    found = experiment.run(config, tmp_path / preset, training.make_mesh(num_devices=1))
    wanted = {"vae": "test/r_precision", "clip": "clip/loss", "detector": "test/soa_c"}
    assert np.isfinite(found[wanted[preset]])
