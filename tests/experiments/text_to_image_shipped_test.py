"""The painter that is shipped paints what its texts say, as seen by the colours of pixels and not by the judge."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.text_to_image import files, judges, painters

_COLOURS = {"red": (0.86, 0.12, 0.15), "green": (0.1, 0.6, 0.25), "blue": (0.15, 0.3, 0.85), "yellow": (0.97, 0.8, 0.1)}
_SIDES = {"to the left of": (0, -1), "to the right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis and sign


def _middle(picture, colour):
    """Where the pixels of a colour have their middle, x and y; None where there are next to none."""
    hue, own = picture - picture.mean(-1, keepdims=True), np.array(_COLOURS[colour]) - np.mean(_COLOURS[colour])
    alike = hue @ own / (np.linalg.norm(hue, axis=-1) * np.linalg.norm(own) + 1e-6)
    rows, columns = np.nonzero((alike > 0.9) & (np.ptp(picture, axis=-1) > 0.35))
    return (columns.mean(), rows.mean()) if len(rows) >= 4 else None


def test_two_objects_of_said_colours_lie_as_said(tmp_path):
    shapes = itertools.cycle(("circle", "square", "triangle"))
    asked = list(itertools.product(itertools.permutations(_COLOURS, 2), _SIDES))
    texts = [f"a {one} {next(shapes)} {side} a {other} {next(shapes)}" for (one, other), side in asked]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    command = [sys.executable, "-m", "experiments.text_to_image.sample", f"--texts={tmp_path / 'texts.txt'}"]
    done = subprocess.run(
        [*command, "--num_seeds=1", f"--output={tmp_path / 'pictures'}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "each the best of 64 by detector_scenes32" in done.stdout
    there, right = 0, 0
    for number, ((one, other), side) in enumerate(asked):
        with Image.open(tmp_path / "pictures" / f"{number:04d}.png") as file:
            picture = np.asarray(file, np.float32) / 255
        middles = _middle(picture, one), _middle(picture, other)
        if None in middles:
            continue
        axis, sign = _SIDES[side]
        there += 1
        right += (middles[0][axis] - middles[1][axis]) * sign > 0
    # 47 of 48 pictures had both colours, all 47 of them on the said sides, when this was written.
    assert there >= 0.85 * len(asked) and right >= 0.95 * there, (there, right, len(asked))


@pytest.mark.fast
def test_what_is_shipped_is_small_and_of_known_presets():
    for path in files.shipped(("vae", "dfgan", "attngan", "detector")).values():
        assert path.stat().st_size <= 1.5e6, path
        config, _, _ = files.read(path)
        assert config.preset == path.stem
        assert not config.encoder and not config.initial  # no folder of another machine
    assert painters.shipped()[0] == "vae_scenes32" and judges.shipped() == ["detector_scenes32"]
