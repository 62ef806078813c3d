"""Captioned scenes: the same whenever asked for, and what texts, boxes, masks and outlines say is what is drawn."""

import collections
import re

import numpy as np
import pytest

from gentoolkit.data import pipeline, scenes
from gentoolkit.data.captions import OneText
from gentoolkit.data.scenes import captions, law, render

pytestmark = pytest.mark.fast
_NUM = 300


@pytest.fixture(scope="module")
def batch():
    return scenes.load("train", _NUM, image_size=48).take(np.arange(_NUM))


@pytest.fixture(scope="module")
def drawn():
    return law.draw("train", 0, np.arange(_NUM))


def test_an_example_is_the_same_alone_in_any_order_and_at_any_length(batch):
    some = np.array([7, 299, 7, 0])
    again = scenes.load("train", 1000, image_size=48).take(some)
    for name, column in again.items():
        want = batch[name]
        if isinstance(column, tuple):
            np.testing.assert_array_equal(column.lengths, want.lengths[some])
            column, want = column.values, want.values
        np.testing.assert_array_equal(column, want[some], err_msg=name)
    assert len({image.tobytes() for image in batch["image"]}) == _NUM
    for other in (scenes.load("test", 3, image_size=48), scenes.load("train", 3, image_size=48, seed=1)):
        assert not np.array_equal(other.take(np.arange(3))["image"], batch["image"][:3])


def test_masks_do_not_overlap_and_boxes_and_outlines_are_theirs(batch):
    masks, boxes, valid = batch["masks"].values, batch["boxes"].values, batch["masks"].valid
    assert masks.sum(1).max() == 1 and not masks[~valid].any() and masks[valid].any((1, 2)).all()
    for mask, box in zip(masks[valid], boxes[valid], strict=True):
        left, top, right, bottom = np.rint(box * 48).astype(int)
        assert mask[top:bottom, left:right].sum() == mask.sum()
        assert mask[top, left:right].any() and mask[bottom - 1, left:right].any()
        assert mask[top:bottom, left].any() and mask[top:bottom, right - 1].any()
    # The line runs along the borders of the masks, on both sides, and nowhere else.
    whole = masks.any(1)
    inner = whole[:, 1:-1, 1:-1]
    around = [whole[:, y : y + 46, x : x + 46] for y in range(3) for x in range(3)]
    border = np.any(around, axis=0) & ~np.all(around, axis=0)
    line = batch["outline"][:, 1:-1, 1:-1, 0]
    assert (line[inner ^ border] == 255).mean() < 1 and line[border].mean() < 128
    assert (line[~border] > 128).mean() > 0.9


def test_objects_have_the_colour_that_is_said(batch):
    """The middle of the colours of an object is nearer to its own paint than to any other's."""
    image, masks = batch["image"].astype(np.float64) / 255, batch["masks"].values
    hit = []
    for row, place in zip(*np.nonzero(batch["masks"].valid), strict=True):
        if batch["textures"].values[row, place] == 0:
            colour = np.median(image[row][masks[row, place]], axis=0)
            nearest = np.abs(render._RGB - colour).sum(-1).argmin()
            hit.append(nearest == batch["colours"].values[row, place])
    assert len(hit) > 300 and np.mean(hit) > 0.98  # the smallest are but few pixels


def test_combinations_that_are_held_out_stand_first_in_that_split_and_nowhere_else(batch, drawn):
    every = [(s, c) for s in range(8) for c in range(8) if scenes.held_out(s, c)]
    assert sorted(s for s, _ in every) == sorted(c for _, c in every) == list(range(8))
    for split, want in (("train", 0.0), ("test", 0.0), ("held_out", 1.0)):
        found = law.draw(split, 3, np.arange(_NUM))
        there = np.arange(law.MOST) < found.num[:, None]
        held = scenes.held_out(found.shape, found.colour)
        assert held[:, 0].mean() == want
        twin = (found.shape == found.shape[:, :1]) & (found.colour == found.colour[:, :1])
        assert not (held & there & ~twin)[:, 1:].any()


def test_shapes_and_numbers_are_as_often_as_they_should_be():
    found = law.draw("train", 0, np.arange(4000))
    shares = np.bincount(found.shape[:, 0], minlength=8) / 4000
    np.testing.assert_allclose(shares, np.diff(law._OFTEN, prepend=0), atol=4 * np.sqrt(0.22 * 0.78 / 4000))
    counts = np.bincount(found.num, minlength=5)[1:] / 4000
    assert counts.min() > 0.06 and counts[0] < 0.33  # an object without a place is left out
    related = np.mean([bool(law.relations(found, row)) for row in range(400) if found.num[row] > 1])
    assert related > 0.6


def test_every_text_says_the_truth(drawn):
    """Read back by a grammar of its own: each noun is there as often as it is said, each relation holds in pixels."""
    relation = "|".join(said for both in captions._CONNECTIVES.values() for said in sorted(both, key=len, reverse=True))
    shapes = "|".join(scenes.SHAPES)
    noun = re.compile(
        rf"(a|an|the|one|two) ((?:small |large |striped |dotted )*)({'|'.join(scenes.COLOURS)}) ({shapes})(?:e?s)?"
        r"(?: with (stripes|dots))?"
    )
    kinds = collections.Counter()
    for row in range(_NUM):
        there = collections.Counter()
        for place in range(drawn.num[row]):
            there[scenes.COLOURS[drawn.colour[row, place]], scenes.SHAPES[drawn.shape[row, place]]] += 1
        written = captions.write(drawn, row)
        assert len(written) == captions.NUM_TEXTS
        for said in written:
            assert len(said.split()) <= captions.MAX_WORDS
            found = list(noun.finditer(said))
            named = collections.Counter()
            for match in found:
                article, adjectives, colour, shape, behind = match.groups()
                if article != "the":
                    named[colour, shape] += {"two": 2}.get(article, 1)
                kinds[article] += 1
                size = re.search("small|large", adjectives)
                texture = re.search("striped|dotted", adjectives)
                places = [
                    p
                    for p in range(drawn.num[row])
                    if (scenes.COLOURS[drawn.colour[row, p]], scenes.SHAPES[drawn.shape[row, p]]) == (colour, shape)
                ]
                for p in places:
                    assert not size or scenes.SIZES[drawn.size[row, p]] == size[0]
                    assert not texture or scenes.TEXTURES[drawn.texture[row, p]] == texture[0]
                    assert not behind or scenes.TEXTURES[drawn.texture[row, p]].startswith(behind[:3])
            assert named == there, said
            for match in re.finditer(rf"({noun.pattern}) (?:is )?({relation}) ({noun.pattern})", said):
                kinds[match[7]] += 1
                one, other = noun.match(match[1]), noun.match(match[8])
                for p in range(drawn.num[row]):
                    for q in range(drawn.num[row]):
                        key = [
                            (scenes.COLOURS[drawn.colour[row, k]], scenes.SHAPES[drawn.shape[row, k]]) for k in (p, q)
                        ]
                        if key == [one.group(3, 4), other.group(3, 4)]:
                            across, down = drawn.centre[row, p] - drawn.centre[row, q]
                            side = {"left": -across, "righ": across, "abov": -down, "over": -down}
                            side |= {"belo": down, "unde": down}
                            amount = side[match[7].removeprefix("to the ")[:4]]
                            assert amount > 0 and amount == max(abs(across), abs(down)), said
    assert len([kind for kind in kinds if kind in relation.split("|")]) == 8 and kinds["two"] > 20


def test_words_have_numbers_whatever_was_drawn(batch, drawn):
    said = captions.write(drawn, 5)
    tokens = batch["captions"][5]
    assert scenes.texts("train", 5) == said
    assert (tokens != 1).all()  # no word is unknown
    words = [scenes.VOCABULARY.words[token - 2] for token in tokens[0] if token]
    assert words == said[0].replace(",", "").replace(".", "").split()


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_distances_have_slope_one_at_the_border(shape):
    """So that borders are equally smooth everywhere, but at corners."""
    grid = np.linspace(-1.2, 1.2, 241, dtype=np.float32)
    distance = render.DISTANCES[shape](*np.meshgrid(grid, grid))
    slopes = np.hypot(*np.gradient(distance.astype(np.float64), grid[1] - grid[0]))
    near = np.abs(distance) < 0.03
    assert near.sum() > 500 and abs(np.median(slopes[near]) - 1) < 0.01
    assert distance[120, 120] < 0 or shape == "ring"
    edge = np.concatenate([distance[0], distance[-1], distance[:, 0], distance[:, -1]])
    assert edge.min() > 0  # whole within 1.2 radii


def test_fewer_objects_are_the_first_ones_of_the_same_scenes():
    few, whole = (scenes.load("train", 40, image_size=16, max_objects=most).take(np.arange(40)) for most in (1, 4))
    np.testing.assert_array_equal(few["boxes"].values[:, 0], whole["boxes"].values[:, 0])
    assert (few["boxes"].lengths == 1).all() and whole["boxes"].lengths.max() > 2
    assert all(len(scenes.read(scenes.texts("train", row, max_objects=1)[0]).objects) == 1 for row in range(40))


def test_the_whole_law_has_every_combination_and_scenes_of_its_own():
    whole = law.draw("all", 0, np.arange(2000))
    held = scenes.held_out(whole.shape[:, 0], whole.colour[:, 0])
    assert 0.09 < held.mean() < 0.16  # one of eight
    seen = {(shape, colour) for shape, colour in zip(whole.shape[:, 0], whole.colour[:, 0], strict=True)}
    assert len(seen) == len(scenes.SHAPES) * len(scenes.COLOURS)
    for split in ("train", "test"):
        other = law.draw(split, 0, np.arange(2000))
        assert not scenes.held_out(other.shape, other.colour)[np.arange(4) < other.num[:, None]].any()
        assert not np.isin(whole.centre[:, 0, 0], other.centre[:, 0, 0]).any()


def test_options_that_cannot_be(monkeypatch):
    for options, message in (
        ({"split": "valid"}, "valid"),
        ({"num": 0}, "num must be"),
        ({"image_size": 8}, "image_size"),
        ({"seed": -1}, "seed"),
        ({"max_objects": 5}, "max_objects must be from 1 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            scenes.load(**{"split": "train", "num": 1} | options)


def test_a_stream_takes_one_text_of_each_picture_another_in_each_epoch():
    source = scenes.load("train", 64, image_size=16).select("captions", "objects")
    stream = pipeline.Stream(source, seed=0, batch_size=64, shuffle=False, transforms=(OneText(),))
    several = source.take(np.arange(64))["captions"]
    which = []
    for step in range(12):
        batch = stream[step]
        caption = batch["caption"]
        hit = (caption.values[:, None] == several).all(-1)
        assert hit.any(1).all() and "captions" not in batch
        np.testing.assert_array_equal(caption.lengths, (caption.values > 0).sum(1))
        which.append(hit.argmax(1)[0])
    assert set(which) == set(range(scenes.NUM_TEXTS))
    fields, batch = OneText(which=2)(source.fields, {"captions": several, "objects": None}, np.zeros(64, np.uint64))
    np.testing.assert_array_equal(batch["caption"].values, several[:, 2])
    assert list(fields) == ["objects", "caption"]
    with pytest.raises(ValueError, match="which must be from 0 to 4"):
        OneText(which=5)(source.fields, {"captions": several}, np.zeros(64, np.uint64))
    with pytest.raises(ValueError, match="no column 'captions'"):
        OneText()(source.select("objects").fields, {}, np.zeros(64, np.uint64))
