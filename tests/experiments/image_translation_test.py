"""Image translation: measurements that know the truth, domains that share no example, and a run from end to end."""

import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.image_translation import config as config_lib
from experiments.image_translation import data, judgement
from gentoolkit.data import polygons
from tests.training import interruption, scale


@pytest.fixture(scope="module")
def shapes():
    return polygons.load(120, image_size=24).take(np.arange(120))


@pytest.mark.fast
def test_a_perfect_painter_is_given_full_marks(shapes):
    image, inside, colour = shapes["image"] / 255, shapes["inside"], shapes["colour"]
    found = judgement.of_references(image, colour, inside)
    assert found["reference_error"] < 0.05 < 0.3 < found["colour_spread"] < 0.4  # pixels at the border are part white
    other = judgement.of_references(image, np.roll(colour, 1, axis=0), inside)["reference_error"]
    assert abs(other - found["colour_spread"]) < 0.05
    assert judgement.of_content(image, inside)["outline_f1"] > 0.99
    assert judgement.of_content(np.roll(image, 5, axis=1), inside)["outline_f1"] < 0.5
    # A code that decides the colour by any curve, one that decides half of it, and one that has nothing to do with it.
    rng = np.random.default_rng(0)
    code, noise = rng.random((1, 40, 3)), rng.random((60, 40, 3))
    for share, truth in ((1.0, 1.0), (0.5, 0.5), (0.0, 0.0)):
        told = np.sqrt(share) * code + np.sqrt(1 - share) * noise
        painted = np.where(inside[:60, None, ..., None], told[:, :, None, None], 1.0)
        assert abs(judgement.of_colours(painted, inside[:60])["colour_from_code"] - truth) < 0.12 * (share != 1) + 1e-6


@pytest.mark.fast
def test_samples_are_told_from_true_pictures_that_they_reach():
    true = [np.stack([np.full((4, 4, 3), level) for level in (0.0, 0.4, 1.0)])] * 2
    # The first content reaches two of three; the second stands between two of them and reaches none.
    painted = [np.stack([np.full((4, 4, 3), level) for level in (0.1, 0.39, 0.1)]), np.full((2, 4, 4, 3), 0.65)]
    found = judgement.of_coverage(painted, true)
    assert found["covered"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["nearest"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["distance"] == pytest.approx(((0.1 + 0.01 + 0.1) / 3 + 0.25) / 2)
    assert found["missed"] == pytest.approx(((0.1 + 0.01 + 0.61) / 3 + (0.65 + 0.25 + 0.35) / 3) / 2)
    assert found["apart"] == pytest.approx((0.4 + 0.6 + 1.0) / 3)


@pytest.mark.fast
def test_ignored_codes_and_collapse_raise_an_alarm():
    rng = np.random.default_rng(0)
    contents, codes = rng.random((5, 1, 4, 4, 3)), rng.random((1, 3, 4, 4, 3))
    healthy = judgement.of_codes((contents + codes) / 2)
    assert judgement.alarm(healthy) == ""
    assert "codes are ignored" in judgement.alarm(judgement.of_codes(np.repeat(contents, 3, axis=1)))
    assert "collapsed" in judgement.alarm(judgement.of_codes(np.repeat(codes, 5, axis=0)))
    assert judgement.of_codes(contents).keys() == {"contents"}  # a system without codes
    assert judgement.of_codes(codes).keys() == {"diversity"}  # a single picture to measure on


@pytest.mark.fast
def test_no_drawing_is_trained_beside_its_own_painting(tmp_path):
    config = config_lib.get_config("polygons")
    config.image_size = 16
    unpaired = data.load(config)
    assert len(unpaired.x) == len(unpaired.y) == 1000 and not unpaired.paired
    x, y = (source.take(np.arange(1000))["image"] for source in (unpaired.x, unpaired.y))
    filled = {image.min(-1).tobytes() for image in y}
    assert len(filled) > 990 and x.mean() > 180
    config.method = "bicyclegan"
    paired = data.load(config)
    assert paired.paired and len(paired.x) == 2000
    batch = data.stream(config, paired)[3]
    # Mirrored alike: the line goes around what is painted.
    painted = batch["y"]["image"].min(-1) < 128
    line = batch["x"]["image"][..., 0] < 255
    assert (line & painted).sum() > 0.3 * line.sum()
    config.dataset = "facades"
    with pytest.raises(ValueError, match="config.data_dir must name the folder of facades"):
        data.load(config)


_TINY = [
    sys.executable, "-m", "experiments.image_translation.main",
    "--config=experiments/image_translation/config.py:polygons", "--config.image_size=16", "--config.width=2",
    "--config.dsvib.num_blocks=1", "--config.train.log_every=2", "--config.ema_decay=0.9", "--config.pool=12",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_from_end_to_end_and_its_resume(tmp_path):
    for steps in (2, 4):  # the second goes on
        command = [*_TINY, f"--workdir={tmp_path / 'run'}", f"--config.num_steps={steps}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    assert "outline_f1" in done.stdout and (tmp_path / "run" / "pictures" / "samples.png").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines][-1] == 4
    assert "share" not in done.stderr and (tmp_path / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_kills_leave_the_same_run_with_pools_codes_and_averages_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [*_TINY, "--config.num_steps=40", "--config.train.checkpoint_every=8", "--config.train.evaluate_every=40"]
    assert interruption.check(command, tmp_path, kills=2, seed=0) == 0


@pytest.mark.slow
def test_devices_and_processes_do_not_change_the_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Few steps: two players at odds amplify the rounding of the first. The share of the colour that the code of a
    # hardly trained painter decides is a small difference of variances: 4.5e-5 where all else agrees to 3e-6.
    looser = {"test/colour_from_code": 1e-4}
    assert scale.check([*_TINY, "--config.num_steps=4"], tmp_path, tolerance=1e-5, of=looser) == 0
