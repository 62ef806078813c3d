"""What is measured of painted scenes: texts that say the same, rare combinations alone, errors of all figures."""

import re

import numpy as np
import pytest
from flax import nnx

from experiments.text_to_image import encoders, experiment, measures
from experiments.text_to_image.systems import clip, detector
from gentoolkit import training
from gentoolkit.data import scenes
from gentoolkit.data.text import Vocabulary
from gentoolkit.evaluation import objects
from gentoolkit.models import weights
from gentoolkit.models.detector import Grid
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image.damsm import Seen

pytestmark = pytest.mark.fast


def test_texts_that_say_the_same_are_one_group_in_whatever_words():
    texts = [
        "a red circle above a blue square",
        "Below a red circle there is a star.",  # says less than any other
        "A blue square below a red circle.",
        "a red circle below a blue square",
        "a blue square and a red circle",
        "a red circle and a blue square",
        "two red circles",
        "a red circle and a red circle",
    ]
    found = measures.groups_of_scenes(texts)
    assert found[0] == found[2] and found[4] == found[5] and found[6] == found[7]
    assert len(set(found.tolist())) == 5


def _seen(*named):
    classes = {kind: np.array([one[kind] for one in named]) for kind in ("shape", "colour")}
    classes |= {kind: np.zeros(len(named), int) for kind in ("size", "texture")}
    boxes = np.tile([0.1, 0.1, 0.3, 0.3], (len(named), 1))
    return objects.Found(classes, boxes, np.ones(len(named)))


def test_of_held_out_combinations_those_alone_count():
    """A rare circle that is missed beside a square that is found: one half of the objects, nothing of the rare ones."""
    assert scenes.held_out(0, 2) and not scenes.held_out(1, 0)
    text = f"a {scenes.COLOURS[2]} {scenes.SHAPES[0]} and a {scenes.COLOURS[0]} {scenes.SHAPES[1]}"
    rare, usual = scenes.read(text).objects
    for seen, whole, alone in (((usual,), 0.5, 0.0), ((rare,), 0.5, 1.0), ((rare, usual), 1.0, 1.0)):
        found = measures.of_texts([_seen(*seen)], [text])
        assert (found["objects"].value, found["objects_held_out"].value) == (whole, alone)
        assert found["objects"].num == 2 and found["objects_held_out"].num == 1
    assert "objects_held_out" not in measures.of_texts([_seen(usual)], [f"a {scenes.COLOURS[0]} {scenes.SHAPES[1]}"])


@pytest.mark.parametrize(("most", "share"), [(2, 0.629), (4, 0.500)])
def test_of_the_objects_of_held_out_texts_about_half_are_of_such_combinations(most, share):
    texts = [scenes.texts("held_out", row, max_objects=most)[0] for row in range(1000)]
    named = [one for text in texts for one in scenes.read(text).objects]
    assert np.mean([measures._is_held_out(one) for one in named]) == pytest.approx(share, abs=5e-4)


class _Trunk(nnx.Module):
    """Features: the picture's own colours."""

    def look(self, images):
        return images


def _measured(monkeypatch, num, *, again=True, real=True, groups=None):
    rng = np.random.default_rng(0)
    images, others = (rng.uniform(-1, 1, (num, 2, 2, 3)).astype(np.float32) for _ in range(2))
    own = rng.normal(size=(num, 8))
    monkeypatch.setattr(encoders, "encode_images", lambda network, images: Seen(None, own))
    monkeypatch.setattr(clip, "embed", lambda *args: (own, own))
    monkeypatch.setattr(detector, "grid", lambda models, images: (images,))
    monkeypatch.setattr(measures.objects, "decode", lambda cells: [_seen({"shape": 1, "colour": 0})] * len(cells))
    told = encoders.Pretrained(None, "any", Vocabulary(()), 9, 8, 2)
    judges = measures.Judges(told, {"detector": _Trunk()}, {"clip": None})
    return measures.of_pictures(
        images, others[: num // 2] if again else None, others if real else None, judges,
        texts=[f"a {scenes.COLOURS[0]} {scenes.SHAPES[1]}"] * num, tokens=np.zeros((num, 3), int),
        lengths=np.full(num, 3), encoded=Encoded(None, own, None), groups=np.arange(num) if groups is None else groups,
    )  # fmt: skip


def test_shapes_are_read_by_drawing_them_where_the_rest_of_a_text_says():
    """A detector that knows all but shapes; every drawn one is found, none where the texts say others."""
    num, kinds = 48, detector.KINDS
    part = scenes.load("all", num, image_size=32, max_objects=2)
    part = part.select("image", "boxes", *(column for column, _ in kinds.values())).take(np.arange(num))
    presence = np.where(np.arange(4) < part["boxes"].lengths[:, None], 9.0, -9.0)
    sure = {name: 9.0 * np.eye(len(known))[part[column].values] for name, (column, known) in kinds.items()}
    cells = Grid(presence, sure | {"shape": np.zeros_like(sure["shape"])}, part["boxes"].values)
    texts = [scenes.texts("all", row, max_objects=2)[0] for row in range(num)]
    told = measures.of_shapes(measures.signed(part["image"]), cells, texts)["shapes_drawn"]
    named = sum(len(scenes.read(text).objects) for text in texts)
    assert told.value >= 0.9 and told.num == named > num and told.standard_error < 0.1
    texts = [re.sub("circle|square|triangle|star|cross|diamond", "ring", text) for text in texts]
    texts = [text.replace("heart", "ring").replace("ringes", "rings") for text in texts]
    assert measures.of_shapes(measures.signed(part["image"]), cells, texts)["shapes_drawn"].value < 0.2
    nothing = cells._replace(presence=np.full_like(presence, -9.0))
    assert measures.of_shapes(measures.signed(part["image"]), nothing, texts)["shapes_drawn"].value == 0
    assert not measures.of_shapes(np.zeros((1, 24, 24, 3)), cells, texts[:1])


def test_every_figure_has_its_error(monkeypatch):
    found = _measured(monkeypatch, 120)
    beside = ("_error", "_chance", "_others")
    for name in {"r_precision", "clip_score", "frechet_detector", "diversity", "objects"}:
        assert np.isfinite(found[name]) and np.isfinite(found[f"{name}_error"]), name
    assert not [n for n in found if n != "num" and not n.endswith(beside) and f"{n}_error" not in found]
    assert found["frechet_detector_error"] > 0 and found["clip_score"] == pytest.approx(1)
    assert found["r_precision_others"] == 99 and found["r_precision_chance"] == pytest.approx(0.01)


def test_fewer_other_texts_are_said_with_their_chance(monkeypatch):
    found = _measured(monkeypatch, 24)
    assert found["r_precision_others"] == 23 and found["r_precision_clip_chance"] == pytest.approx(1 / 24)
    found = _measured(monkeypatch, 24, groups=np.arange(24) // 2)
    assert found["r_precision_others"] == 22 and found["r_precision"] == 1.0
    assert "r_precision" not in _measured(monkeypatch, 24, groups=np.zeros(24))


def test_pictures_are_not_set_beside_themselves(monkeypatch):
    found = _measured(monkeypatch, 24, again=False, real=False)
    assert not [name for name in found if name.startswith(("frechet", "diversity"))]


def test_a_distance_is_that_of_moments(monkeypatch):
    """The squared distance of two normal laws that differ in their mean alone."""
    monkeypatch.setattr(measures, "_features", lambda trunk, images: images)
    rows = np.random.default_rng(1).normal(size=(500, 3))
    found = measures._distance("detector", {"detector": None}, rows + [1.0, 0.0, 2.0], rows)
    assert found["frechet_detector"] == pytest.approx(5.0, rel=1e-5)


class _Inception(nnx.Module):
    """Features: the mean colours; logits that are sure of one class each, in turn."""

    def __init__(self):
        self.origin = weights.of_random("inception-v3-fid")

    def __call__(self, images, taps):
        assert images.shape[1:] == (299, 299, 3) and taps == ("2048", "logits_unbiased")
        colours = images.mean((1, 2))
        return {"2048": colours, "logits_unbiased": 500 * colours}


def test_fid_and_inception_score_where_weights_are_at_hand(monkeypatch):
    """Red, green and blue pictures are three sure classes; those a little brighter are at the offset's square."""
    real = -np.ones((30, 4, 4, 3), np.float32)
    for row in range(30):
        real[row, ..., row % 3] = 0.5
    monkeypatch.setattr(measures, "_SPLITS", 2)  # of 15 pictures each, so that no class lacks in one
    found = measures._of_inception(_Inception(), real + 0.25, real)
    assert found["fid"] == pytest.approx(3 * 0.25**2, rel=1e-3) and np.isfinite(found["fid_error"])
    assert 2.6 < found["inception_score"] <= 3.0 and np.isfinite(found["inception_score_error"])
    assert "fid" not in measures._of_inception(_Inception(), real, None)


def test_a_detector_is_scored_in_all_parts_of_layouts(monkeypatch):
    test = scenes.load("test", 6, image_size=16)
    monkeypatch.setattr(detector, "look", lambda models, images: [_seen({"shape": 1, "colour": 0})] * len(images))
    found = measures.of_detector(None, test, 6)
    parts = sum(found[f"lqs_{name}"] for name in ("recall", "precision", "location", "area"))
    assert parts == pytest.approx(found["lqs_reimpl"]) and "lqs_recall_error" in found
    # An untrained detector says boxes that are none.
    seen = _seen({"shape": 1, "colour": 0})._replace(boxes=np.array([[0.1, 0.9, -0.1, 1.2]]))
    monkeypatch.setattr(detector, "look", lambda models, images: [seen] * len(images))
    assert np.isfinite(measures.of_detector(None, test, 6)["lqs_reimpl"])


def test_a_painter_of_one_picture_is_stopped():
    pictures = np.stack([np.full((4, 4, 3), level) for level in (-1.0, 0.0, 1.0)])
    assert experiment._apart(pictures, "dfgan", 7) == {"apart": pytest.approx((0.5 + 0.5 + 1) / 3)}
    assert experiment._apart(pictures[:1], "dfgan", 7) == {}  # of a folder with one held-out picture
    told = r"Step 7: the painter of dfgan has collapsed: all of its 3 pictures.*mean level 1.000 of 1.*bounded=False"
    for white in (1.0, 3.0):  # what is beyond white is shown as white
        with pytest.raises(training.TrainingError, match=told):
            experiment._apart(np.full((3, 4, 4, 3), white), "dfgan", 7)
    with pytest.raises(training.TrainingError, match=r"try lower learning rates \(config.vae.peak…\) or larger"):
        experiment._apart(np.full((3, 4, 4, 3), np.nan), "vae", 7)
    # In the beginning all is grey.
    assert experiment._apart(np.zeros((3, 4, 4, 3)), "vae", 2) == {"apart": 0.0}
    with pytest.raises(training.TrainingError, match="Step 200"):
        experiment._apart(np.zeros((3, 4, 4, 3)), "vae", 200)
