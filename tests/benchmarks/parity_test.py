"""The commands that compare with public code say what is absent, and count what differs."""

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from benchmarks import public_code, text_to_image_parity, translation_parity

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
        (translation_parity, ["contrastive-unpaired-translation", "BicycleGAN", "MUNIT", "UNIT"]),
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
