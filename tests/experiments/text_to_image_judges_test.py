"""What chooses among candidates: by what a detector finds, and by shapes drawn over it."""

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import files, judges, painters, search
from experiments.text_to_image.systems import detector
from gentoolkit.data import scenes
from gentoolkit.models.detector import Grid


def test_a_detector_in_one_file_sees_what_it_saw_and_is_no_painter(tmp_path):
    config = config_lib.get_config("detector_scenes32")
    config.update_from_flattened_dict(
        {"image_size": 16, "detector.width": 4, "detector.num_blocks": 1, "prepared": "/of/this/machine"}
    )
    network = nnx.jit(lambda: detector.network(config, nnx.Rngs(0))["detector"])()
    network.eval()
    files.write(tmp_path / "judge.npz", config, {"detector": network}, {})
    assert not files.read(tmp_path / "judge.npz")[0].prepared
    judge, images = judges.load(tmp_path / "judge.npz"), np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3))
    images = images.astype(np.float32)
    for one, other in zip(
        jax.tree.leaves(detector.grid(judge.models, images)),
        jax.tree.leaves(detector.grid({"detector": network}, images)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=2e-2)  # weights of half precision
    with pytest.raises(ValueError, match="judge.npz holds a detector, which does not paint"):
        painters.load(tmp_path / "judge.npz")


@pytest.mark.fast
def test_a_picture_that_shows_what_is_said_scores_most(monkeypatch):
    """Of three candidates the second has a red circle above a blue square, the third the same upside down."""
    presence = np.full((3, 2), 9.0)
    presence[0, 1] = -9.0
    boxes = np.array([[0.4, 0.1, 0.6, 0.3], [0.4, 0.7, 0.6, 0.9]])[None].repeat(3, 0)
    kinds = {name: np.zeros((3, 2, len(known))) for name, (_, known) in detector.KINDS.items()}
    for name, classes in (("shape", (0, 1)), ("colour", (0, 2))):
        for row, order in ((0, (0, 1)), (1, (0, 1)), (2, (1, 0))):
            kinds[name][row, order, classes] = 9.0
    monkeypatch.setattr(judges.detector, "grid", lambda models, images: Grid(presence, kinds, boxes))
    judge, images = judges.Judge("judge", config_lib.get_config("detector_scenes32"), {}), np.zeros((3, 2, 2, 3))
    for text, best in (
        ("a red circle above a blue square", 1),
        ("a red circle below a blue square", 2),
        ("a red circle", 0),
    ):
        assert judges.scores(judge, images, text).argmax() == best, text
    with pytest.raises(ValueError, match="No shape is named"):
        judges.scores(judge, images, "a red dog")


@pytest.mark.fast
def test_of_pictures_that_please_the_detector_that_of_the_drawn_shape_scores_most(monkeypatch):
    """A detector that takes all for what was said leaves it to the outlines: a torn square is chosen before none."""
    places = np.arange(32) + 0.5
    apart = np.maximum(np.abs(places - 16)[:, None], np.abs(places - 16))  # from the middle, in squares
    square, torn = (np.ones((32, 32, 3), np.float32) for _ in range(2))
    square[apart < 5] = torn[apart < 5] = (0.2, -0.9, -0.7)
    torn[np.add.outer(np.arange(32), np.arange(32)) % 5 == 0] = 1.0
    circle = np.where((np.hypot(places - 16, (places - 16)[:, None]) < 5.5)[..., None], square[16, 16], square[0, 0])
    presence, boxes = np.array([[9.0, -9.0]] * 4), np.array([[[11 / 32, 11 / 32, 21 / 32, 21 / 32]] * 2] * 4)
    presence[3] = -9.0  # nothing is seen
    kinds = {name: np.zeros((4, 2, len(known))) for name, (_, known) in detector.KINDS.items()}
    monkeypatch.setattr(judges.detector, "grid", lambda models, images: Grid(presence, kinds, boxes))
    judge = judges.Judge("judge", config_lib.get_config("detector_scenes32"), {})
    images = np.stack([torn, circle, square, square])
    for text, best in (("a square", 2), ("a circle", 1), ("a striped circle", 1)):
        assert judges.scores(judge, images, text).argmax() == best, text
    named = ({"shape": scenes.SHAPES.index("square")},)
    empty = np.full((1, 1, 4), np.nan)
    assert judges._fits(torn[None], boxes[:1], named) > judges._fits(torn[None], empty, named) == -20
    assert judges._fits(torn[None], boxes[:1], ({"colour": 0},)) == 0
    assert judges._fits(torn[None, :24, :24], boxes[:1], named) == 0  # a size that shapes are not drawn at


@pytest.mark.fast
def test_where_there_are_many_pictures_the_half_that_the_detector_likes_less_is_left_out(monkeypatch):
    monkeypatch.setattr(judges.detector, "grid", lambda models, images: (images[:, 0, 0, 0],))
    monkeypatch.setattr(judges.objects, "agreement", lambda x, asked, directions: (x, np.zeros((len(x), 1, 4))))
    monkeypatch.setattr(judges, "_fits", lambda images, boxes, named: -2 * images[:, 0, 0, 0])
    images = np.zeros((40, 2, 2, 3)) + np.arange(40.0)[::-1, None, None, None]
    judge = judges.Judge("judge", config_lib.get_config("detector_scenes32"), {})
    found = judges.scores(judge, images, "a square")
    np.testing.assert_array_equal(found, [*-np.arange(39.0, 19, -1), *[-np.inf] * 20])
    np.testing.assert_array_equal(judges.scores(judge, images[:12], "a square"), -np.arange(39.0, 27, -1))


@pytest.mark.fast
def test_a_search_finds_more_than_as_many_pictures_as_they_come():
    """A picture is its noise, and best where a point is that no noise of this length comes near."""
    rng, goal, looked_at = np.random.default_rng(0), np.full(8, 0.8), []

    def paint(codes):
        looked_at.append(codes)
        return codes

    def score(pictures):
        return -np.sum((pictures - goal) ** 2, axis=1)

    gains = []
    for _ in range(20):
        noise = rng.standard_normal((256, 8)).astype(np.float32)
        found = search.among(paint, score, noise)
        codes = np.concatenate(looked_at)
        looked_at.clear()
        assert len(codes) == 256 and codes.dtype == np.float32
        np.testing.assert_array_equal(codes[:64], noise[:64])
        np.testing.assert_array_equal(found, codes[score(codes).argmax()])
        gains.append(score(found[None]).item() - score(noise).max())
    assert np.mean(gains) > 5 * np.std(gains) / np.sqrt(20) and np.min(gains) > -0.5
    for num in (1, 2, 5):  # and where there are hardly any
        search.among(paint, score, noise[:num])
        assert sum(map(len, looked_at)) == num
        looked_at.clear()


@pytest.mark.fast
def test_steps_of_a_search_leave_the_law_of_noise_and_its_bounds_as_they_are():
    rng, seen = np.random.default_rng(0), []

    def paint(codes):
        seen.append(codes)
        return codes

    search.among(paint, lambda pictures: rng.random(len(pictures)), rng.standard_normal((4000, 16)))  # any is as good
    for generation in seen[1:]:
        # 62 parents of 16 features: three standard errors. Steps added to noise that is not shortened make 1.12.
        assert generation.std() == pytest.approx(1, abs=0.07)
    seen.clear()
    noise = np.clip(rng.standard_normal((4000, 16)), -1.5, 1.5)
    search.among(paint, lambda pictures: pictures.sum(axis=1), noise)
    assert np.abs(np.concatenate(seen)).max() == 1.5
