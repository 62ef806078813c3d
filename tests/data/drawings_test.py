"""OpenMoji and polygons: what the columns claim of one another is true of the pixels."""

import numpy as np
import pytest

from gentoolkit.data import openmoji, polygons

pytestmark = pytest.mark.fast

HANDS = ["1F44B", *(f"1F44B-1F3F{tone}" for tone in "BCDEF")]
OTHERS = ["1F34E", "1F1E6-1F1E8", "1F1E6-1F1E9"]  # an apple and two flags


def everything(source):
    return source.take(np.arange(len(source)))


def test_skin_tones_share_an_outline_and_differ_in_colour():
    source = openmoji.load("all", image_size=32, codes=[*HANDS, *OTHERS])
    assert sorted(source.names) == sorted([*HANDS, "1F34E"])  # flags are left out
    batch = everything(source)
    hands = np.array([name in HANDS for name in source.names])
    assert len(set(batch["outline_number"][hands])) == 1 != len(set(batch["outline_number"]))
    assert (batch["outline"][hands] == batch["outline"][hands][0]).all()
    assert len({image.tobytes() for image in batch["image"][hands]}) == 6
    # Lines lie on top of colours; what is red in the apple is white in its outline.
    black = batch["outline"][..., 0] < 40
    assert black.sum() > 50 and (batch["image"][black].max(-1) < 60).all()
    apple = batch["image"][~hands][0].astype(int)
    red = (apple[..., 0] > 180) & (apple[..., 1] < 120)
    assert red.mean() > 0.1 and (batch["outline"][~hands][0][red] > 128).mean() > 0.5


def test_flags_splits_and_codes():
    flags = openmoji.load("all", image_size=16, codes=OTHERS, flags=True)
    assert flags.names == sorted(OTHERS) or set(flags.names) == set(OTHERS)
    numbers = dict(zip(flags.names, everything(flags)["outline_number"].tolist(), strict=True))
    assert numbers["1F1E6-1F1E8"] == numbers["1F1E6-1F1E9"] != numbers["1F34E"]
    codes = [f"1F4{first}{second}" for first in "012" for second in "0123456789ABCDEF"] + HANDS[1:]
    parts = [openmoji.load(split, image_size=16, codes=codes) for split in openmoji.SPLITS]
    train, test, both = (set(part.names) for part in parts)
    assert train | test == both and not train & test and len(train) > 4 * len(test) > 0
    assert train >= set(HANDS[1:]) or test >= set(HANDS[1:])
    with pytest.raises(ValueError, match="OpenMoji has no drawing 'hand'"):
        openmoji.load("all", codes=["hand"])
    with pytest.raises(ValueError, match="split must be one of train, test, all"):
        openmoji.load("validation")
    with pytest.raises(ValueError, match="image_size must be >= 16"):
        openmoji.load("all", image_size=8)


def test_drawings_are_kept_for_the_next_time(tmp_path, monkeypatch):
    files = dict(list(openmoji._files().items())[:3])
    monkeypatch.setattr(openmoji, "_files", lambda: files)
    first = everything(openmoji.load("all", image_size=16, cache=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(openmoji, "_render", None)  # not called again
        again = everything(openmoji.load("all", image_size=16, cache=tmp_path))
    for name, column in first.items():
        np.testing.assert_array_equal(column, again[name])
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])  # cut short: drawn again
    np.testing.assert_array_equal(
        everything(openmoji.load("all", image_size=16, cache=tmp_path))["image"], first["image"]
    )


def test_a_polygon_has_its_colour_inside_its_outline():
    source = polygons.load(24, image_size=32, seed=3)
    batch = everything(source)
    inside, colour = batch["inside"], batch["colour"]
    for row in range(24):
        image, line = batch["image"][row], batch["outline"][row]
        covered = inside[row]
        # In the middle of the shape the colour is exact, far outside all is white.
        deep = covered & (line[..., 0] == 255)
        assert deep.sum() > 20 and (image[deep] == np.rint(colour[row] * 255)).all()
        assert (image[~covered & (line[..., 0] == 255)] > 127).all() and (image[0] == 255).all()
        # The line goes around: a step from inside to outside always crosses it.
        edge = covered[:, 1:] != covered[:, :-1]
        assert (np.minimum(line[:, 1:, 0], line[:, :-1, 0])[edge] < 160).all()
    assert len({tuple(row) for row in colour}) == 24
    np.testing.assert_array_equal(everything(polygons.load(6, image_size=32, seed=3))["image"], batch["image"][:6])
    assert (everything(polygons.load(6, image_size=32, seed=4))["image"] != batch["image"][:6]).any()
    with pytest.raises(ValueError, match="num_corners must be"):
        polygons.load(1, num_corners=(2, 5))
