"""Two folders of one's own, and what may be wrong with them and with the numbers of a run."""

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from experiments.image_translation import collapse, data, judgement
from experiments.image_translation import config as config_lib
from experiments.image_translation.systems import build
from gentoolkit import training

SIZE = 8


def _drawn(folder, names, *, grey=False, seed=0, colours=256):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        levels = rng.integers(0, colours, (12, 10) if grey else (12, 10, 3), np.uint8)
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
    with pytest.raises(ValueError, match="channels must be"):
        data.load(config)
    config.channels = (3, 3)
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
    assert "2 pictures are in both" in said and "2 of 4 pictures looked at are grey" in said
    for path in (tmp_path / "y").iterdir():
        path.unlink()
    for level, name in enumerate("opq"):  # drawings where photographs should be
        Image.new("RGB", (12, 10), (level, 0, 0)).save(tmp_path / "y" / f"{name}.png")
    data.load(config)
    assert "drawings (x) have more colours than photographs (y). Swapped?" in capsys.readouterr().err
    (tmp_path / "y" / "o.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"o.png' cannot be read as an image"):
        data.load(config)


@pytest.mark.fast
def test_numbers_that_do_not_fit_a_method(config):
    for method, given, message in (
        ("dsvib", {"image_size": 18}, "image_size must divide by 4 for dsvib, got 18"),
        ("bicyclegan", {"batch_size": 3}, "batch_size must be even for bicyclegan, got 3"),
        ("dsvib", {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ("other", {}, "config.method"),
        ("cyclegan", {"adversarial": "lsgan"}, "config.adversarial must be one of least_squares, logistic, hinge; got"),
        ("dsvib", {"dsvib": {"code_from": "means"}}, "config.dsvib.code_from must be one of mean, sample; got 'means'"),
        ("dsvib", {"dsvib": {"bound": "matched"}}, "num_codes must be at least 2 for config.dsvib.bound = 'matched'"),
        ("dsvib", {"dsvib": {"num_codes": 0}}, "num_codes must be at least 1 for config.dsvib.bound = 'each', got 0"),
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
    config.batch_size = 1
    with pytest.raises(
        ValueError, match="takes two codes at least: got config.dsvib.bank = 0 and config.batch_size = 1"
    ):
        build.build(config, optax.identity())
    config.dsvib.code_prior = "divergence"
    build.build(config, optax.identity())
    config.update(method="bicyclegan", image_size=48, batch_size=2)
    with pytest.raises(ValueError, match="image_size must be a power of two of at least 32, got image_size = 48"):
        jax.eval_shape(build.build(config, optax.identity()).models, jax.random.key(0))


@pytest.mark.fast
def test_a_collapse_ends_a_run_that_was_sound():
    rng = np.random.default_rng(0)
    sound = judgement.of_codes(rng.random((4, 2, 3, 3, 3)))
    same = judgement.of_codes(np.broadcast_to(rng.random((1, 2, 3, 3, 3)), (4, 2, 3, 3, 3)))
    watch = collapse.Watch("painters")
    watch.check(same, 10)  # as at the beginning
    watch.check(sound, 20)
    with pytest.raises(training.TrainingError, match="^Step 30: player 'painters' has collapsed: .* at step 20"):
        watch.check(same, 30)
    with pytest.raises(collapse.Collapsed):
        watch.check({"contents": float("nan")}, 40)
