"""Contact sheets of trained systems: who stands where, what lies between two styles, and what is left out."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import data, figures, runs, sampling
from experiments.image_translation.data import Domains
from experiments.image_translation.systems.system import System
from gentoolkit.data import polygons


def _colour(models, images, of):
    return jnp.mean(images, (1, 2))


def _paint(models, images, code, to):
    """Half of the content, half of the code."""
    return (images + code[:, None, None, :]) / 2


def _trained(**changes):
    system = System(lambda rngs: {}, {}, _paint, style=_colour, restyle=_paint, code_dim=3)._replace(**changes)
    return runs.Trained(system, {}, ConfigDict({"method": "toy", "dataset": "polygons", "image_size": 16}), 7)


@pytest.fixture(scope="module")
def images():
    x, y = np.random.default_rng(0).random((2, 20, 4, 4, 3), np.float32)
    return x, y


@pytest.mark.fast
def test_every_image_stands_in_its_row_and_style_in_its_column(images):
    x, y = images
    sampler = sampling.Sampler(_trained())
    codes = sampler.style(y)
    np.testing.assert_allclose(codes, 2 * y.mean((1, 2)) - 1, atol=1e-6)  # twenty, in two batches

    def mixed(content, style):
        return (content + style.mean((0, 1))) / 2

    sheet = figures.references(sampler, x[:5], y[:4], 0)
    assert sheet.rows[0][0] is None and np.array_equal(sheet.rows[0][2], y[1])
    np.testing.assert_allclose(sheet.rows[3][4], mixed(x[2], y[3]), atol=1e-6)
    np.testing.assert_allclose(figures.restyle(sampler, x[:3], y[:3], 0).rows[1][3], mixed(y[0], y[2]), atol=1e-6)
    again = figures.reconstruct(sampler, x, y, 0).rows[1]
    np.testing.assert_allclose(again[18], mixed(y[18], y[18]), atol=1e-6)  # each in its own style
    between = figures.interpolations(sampler, x[:3], y[:3], 0)
    for row in between.rows[2:4]:
        np.testing.assert_allclose(row[1], mixed(x[1], y[1]), atol=1e-6)
        np.testing.assert_allclose(row[-2], mixed(x[1], y[2]), atol=1e-6)
    samples = figures.samples(sampler, x, y, 0)
    drawn = np.random.default_rng(0).standard_normal((6, 3), np.float32)
    wanted = np.clip((x[18] + (drawn[3] + 1) / 2) / 2, 0, 1)
    np.testing.assert_allclose(samples.rows[18][4], wanted, atol=1e-6)
    assert np.array_equal(samples.rows[18][0], x[18]) and np.array_equal(samples.rows[18][-1], y[18])
    np.testing.assert_allclose(
        figures.reverse(sampler, x, y, 0).rows[1][1], np.clip((y[1] + (drawn[0] + 1) / 2) / 2, 0, 1), atol=1e-6
    )


@pytest.mark.fast
def test_a_page_of_sheets_says_what_a_method_has_no_way_to(monkeypatch, tmp_path, capsys):
    shapes = polygons.load(6, image_size=16)
    test = shapes.select("inside", "colour", x="outline", y="image")
    monkeypatch.setattr(data, "load", lambda config: Domains(shapes, shapes, test, True, "Drawn by nobody."))
    plain = _trained(translate=lambda m, x, code, to: x, style=None, restyle=None, code_dim=0, directions=("y",))
    systems = {"all": _trained(), "plain": plain}
    monkeypatch.setattr(runs, "load", lambda folder: systems[folder])
    given = {"runs": ["all", "b=plain"], "sheets": [], "num": 3, "first": 0, "seed": 0, "workdir": tmp_path}
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**given))
    figures.main()
    page = (tmp_path / "figures.html").read_text()
    assert "Drawn by nobody." in page and "the same with its histogram equalized" in page
    assert {path.stem for path in tmp_path.glob("*.png")} == {f"toy_{name}" for name in figures.SHEETS} | {
        "b_samples",
        "side_by_side",
    }
    assert "Methods side by side" in page and "toy, code 2" in page and "b, code" not in page
    assert page.count("this method has no way to it") == len(figures.SHEETS) - 1
    with pytest.raises(ValueError, match="two runs called toy; name them, as in --runs=toy_a=plain"):
        sampling.named(["all", "plain"])
    with pytest.raises(ValueError, match="toy paints y alone, not x"):
        sampling.Sampler(plain).translate(np.ones((1, 4, 4, 3)), None, "x")
