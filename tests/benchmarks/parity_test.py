"""The commands that compare with public code say what is absent, and count what differs."""

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from benchmarks import (
    exchange,
    normality_parity,
    normality_power,
    public_code,
    text_to_image_parity,
    translation_parity,
)

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def _no_peers(tmp_path):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["parity"])
    with flagsaver.flagsaver(peers=str(tmp_path)):
        yield


@pytest.mark.parametrize(
    ("command", "folders"),
    [
        (text_to_image_parity, ["DF-GAN", "DF-GAN", "AttnGAN", "DF-GAN", "AttnGAN"]),
        (translation_parity, ["contrastive-unpaired-translation", "BicycleGAN", "MUNIT", "UNIT", "UNIT-2017"]),
    ],
    ids=["text_to_image", "translation"],
)
def test_absent_peers_are_named(command, folders, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([""])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {folder}" for folder in folders]
    assert all(" | absent: " in line for line in lines)


def test_the_absent_library_of_normality_tests_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        normality_parity.main([""])
    assert not ended.value.code
    assert capsys.readouterr().out.splitlines()[2].startswith("| lejepa | absent: ")


def test_samples_of_parity_have_no_ties_and_end_where_asked():
    x = normality_parity._sample(5000, 2, 3.0)
    assert np.abs(x).max() <= 3 and all(len(np.unique(column)) == 5000 for column in x.T)


@pytest.mark.parametrize("law", normality_power.DEPARTURES)
def test_departures_keep_what_they_say(law):
    x = normality_power.draw(law, 20_000, np.random.default_rng(0))
    covariance = np.cov(x.T)
    others = {"shift": 1, "scale": 1, "two heaps": 4}.get(law, 0)
    np.testing.assert_allclose(np.diag(covariance)[others:], 1, atol=0.4 if law == "low rank" else 0.06)
    assert np.trace(covariance) / 16 == pytest.approx({"scale": 17.25 / 16}.get(law, 1), abs=0.03)
    ranks = {"low rank": 14}
    assert np.linalg.matrix_rank(covariance, tol=1e-3) == ranks.get(law, 16)
    assert x[:, 0].mean() == pytest.approx(0.5 if law == "shift" else 0, abs=0.05)


def test_bytes_of_collectives_are_counted_with_the_turns_of_their_loops():
    program = """HloModule jit_f

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %mine = f32[8]{0} get-tuple-element(%state), index=1
  %all = f32[8]{0} all-reduce(%mine), to_apply=%add
  ROOT %next = (s32[], f32[8]) tuple(%i, %all)
}

%condition (state: (s32[], f32[8])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (p: f32[8]) -> f32[16,8] {
  %loop = (s32[], f32[8]{0}) while(%start), condition=%condition, body=%body, KNOWN
  ROOT %gathered = f32[16,8]{1,0} all-gather(%part), dimensions={0}
}
"""
    known = program.replace("KNOWN", 'backend_config={"known_trip_count":{"n":"5"}}')
    assert exchange.handed_over(known) == 5 * 8 * 4 + 16 * 8 * 4 // 8
    with pytest.raises(ValueError, match="unknown number of turns"):
        exchange.handed_over(program)


def test_differences_and_missing_parameters_are_counted(tmp_path, capsys, monkeypatch):
    class Tensor(np.ndarray):
        def detach(self):
            return self

        def numpy(self):
            return np.asarray(self)

    theirs = np.arange(24.0).reshape(1, 2, 3, 4)
    ours, far = theirs.transpose(0, 2, 3, 1), theirs.transpose(0, 2, 3, 1) + 0.01

    def run(path):
        for what, found, count in (("alike", ours, 5), ("far", far, 5), ("fewer", ours, 4)):
            yield public_code.Found(what, found, theirs.view(Tensor), count, 7, 2)

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "file.py").touch()
    assert public_code.compare([public_code.Check("code", "file.py", run, needs=())]) == 2
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.endswith("| met |") for line in lines] == [True, False, False]
    assert "| 5 | 7 - 2 | 4.3e-04 |" in lines[1]  # 0.01 of 23
