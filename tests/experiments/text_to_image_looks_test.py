"""What lies between two texts, and which word drew where: the pages, of painters that are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from absl import app
from absl.testing import flagsaver
from flax import nnx
from PIL import Image

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import encoders, painters
from experiments.text_to_image.systems.system import System
from gentoolkit.data import scenes
from tests.experiments import programs

pytestmark = pytest.mark.fast

_SIZE = 8
_GAP = 2  # pixels between those of a sheet
_TEXTS = ["a red circle", "a blue square"]


@pytest.fixture(scope="module")
def text():
    config = config_lib.get_config("attngan_scenes32")
    config.update_from_flattened_dict(
        {"text.network": "transformer", "text.num_heads": 2, "text.features": 4, "text.embedding": 4}
    )
    encoder = encoders.networks(config, scenes.VOCABULARY, nnx.Rngs(0))["text"]
    encoder.eval()
    return encoder


@pytest.fixture
def painter(text, monkeypatch):
    """Loads, in place of any, a painter with this way to draw and to look."""

    def stands_in(preset, draw, attention=None):
        config = config_lib.get_config(preset)
        system = System(models=lambda rngs: {}, players={}, draw=draw, noise_dim=2, attention=attention)
        made = painters.Painter("runs/one", config, system, {}, text, scenes.VOCABULARY, 8)
        monkeypatch.setattr(painters, "load", lambda name, encoder="": made)
        return made

    return stands_in


def _level(models, texts, noise):
    """The first feature of the sentence as red, the noise as green and blue."""
    del models
    colour = jnp.concatenate([texts.sentence[:, :1], jnp.tanh(noise)], axis=1)
    return jnp.broadcast_to(colour[:, None, None], (len(noise), _SIZE, _SIZE, 3))


def _cells(path, columns):
    """Red, green and blue of the middle of each picture of a sheet, from 0 to 1."""
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet) / 255
    pitch = (pixels.shape[1] + _GAP) // columns
    return pixels[pitch // 2 :: pitch, pitch // 2 :: pitch]


def test_from_text_to_text_and_from_noise_to_noise(painter, tmp_path):
    made = painter("dfgan_scenes32", _level)
    encoded, _ = made.read(_TEXTS)
    options = {"text": _TEXTS, "output": str(tmp_path), "steps": 3, "rows": 3, "run": "runs/one"}
    with programs.program("interpolate", "run painter encoder text output steps rows truncation seed") as interpolate:
        with flagsaver.flagsaver(**options):
            interpolate.main()
        for texts, preset, message in (
            (["one", "two", "three"], "dfgan_scenes32", "once or twice, got 3"),
            (_TEXTS, "attngan_scenes32", "none between two texts; give one text"),
        ):
            painter(preset, _level)
            with flagsaver.flagsaver(**options | {"text": texts}), pytest.raises(app.UsageError, match=message):
                interpolate.main()
    first, last = (np.asarray(encoded.sentence)[:, 0] + 1) / 2
    found = _cells(tmp_path / "sheet.png", 3)
    assert found.shape[:2] == (3, 3)
    for row in found:
        np.testing.assert_allclose(row[:, 0], [first, (first + last) / 2, last], atol=1 / 255)
    ends = np.arctanh(found[[0, 2], 0, 1:] * 2 - 1)
    between = np.arctanh(found[1, 0, 1:] * 2 - 1)  # on a circle, halfway
    np.testing.assert_allclose(between, ends.sum(axis=0) / np.sqrt(2), atol=0.05)
    assert np.abs(ends[0] - ends[1]).max() > 0.2
    page = (tmp_path / "index.html").read_text()
    assert "From &#x27;a red circle&#x27; to &#x27;a blue square&#x27;; down from one noise to another." in page


def test_which_word_drew_where(painter, tmp_path):
    def look(models, texts, noise):
        """Each word looks at a quarter of its own, the first one at the upper left."""
        del models, noise
        return jnp.broadcast_to(jnp.eye(4).reshape(2, 2, 4), (len(texts.sentence), 2, 2, 4))

    def white(models, texts, noise):
        del models, texts
        return jnp.ones((len(noise), _SIZE, _SIZE, 3))

    painter("attngan_scenes32", white, look)
    options = {"text": ["a red circle", "a dog"], "output": str(tmp_path), "run": "runs/one"}
    with programs.program("attention", "run encoder text output seed") as attention:
        with flagsaver.flagsaver(**options):
            attention.main()
        painter("dfgan_scenes32", white)
        with flagsaver.flagsaver(**options), pytest.raises(app.UsageError, match="dfgan does not look at words"):
            attention.main()
        with flagsaver.flagsaver(**options | {"text": []}), pytest.raises(app.UsageError, match="Give texts by --text"):
            attention.main()
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)[..., 0] / 255
    pitch = (pixels.shape[1] + _GAP) // 4  # the picture, then three words
    assert pixels.shape == (2 * pitch - _GAP, 4 * pitch - _GAP)
    quarter = (pitch // 4, 3 * pitch // 4)
    for word, place in enumerate([(0, 0), (0, 1), (1, 0)]):
        shown = np.array([[pixels[y, (word + 1) * pitch + x] for x in quarter] for y in quarter])
        expected = np.full((2, 2), 0.15)
        expected[place] = 1
        np.testing.assert_allclose(shown, expected, atol=1 / 255)
    page = (tmp_path / "index.html").read_text()
    assert "circle (1.00)" in page and "dog" in page
