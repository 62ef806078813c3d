"""What texts of scenes ask for, read back, is what was drawn; and texts that people write are read too."""

import numpy as np
import pytest

from gentoolkit.data import scenes
from gentoolkit.data.scenes import captions, law

pytestmark = pytest.mark.fast


def test_every_text_is_read_as_the_scene_that_it_was_written_of():
    drawn = law.draw("train", 1, np.arange(200))
    sizes = relations = 0
    for row in range(200):
        there = [(drawn.shape[row, p], drawn.colour[row, p]) for p in range(drawn.num[row])]
        holds = {(there[i], r, there[j]) for i, r, j in law.relations(drawn, row)}
        holds |= {(j, law.opposite(r), i) for i, r, j in holds}
        for text in captions.write(drawn, row):
            asked = scenes.read(text)
            assert sorted((one["shape"], one["colour"]) for one in asked.objects) == sorted(there), text
            for one in asked.objects:
                same = [p for p, pair in enumerate(there) if pair == (one["shape"], one["colour"])]
                assert all(drawn.size[row, p] == one["size"] for p in same) if "size" in one else True
                assert all(drawn.texture[row, p] == one["texture"] for p in same) if "texture" in one else True
                sizes += "size" in one
            for i, relation, j in asked.relations:
                pair = [(asked.objects[k]["shape"], asked.objects[k]["colour"]) for k in (i, j)]
                assert (pair[0], relation, pair[1]) in holds, text
                relations += 1
    assert sizes > 400 and relations > 300


def test_texts_that_people_write():
    red_circle, blue_square = {"colour": 0, "shape": 0}, {"colour": 2, "shape": 1}
    for text, relation in (
        ("A red circle above a blue square", 2),
        ("the red circle is to the left of the blue square", 0),
        ("Draw a red circle right of one blue square!", 1),
        ("a red circle, beneath it... a red circle beneath a blue square", 3),
    ):
        asked = scenes.read(text)
        assert asked.objects[-2:] == (red_circle, blue_square), text
        assert asked.relations[-1][1] == relation, text
    assert scenes.read("a red circle and a blue square").relations == ()
    assert scenes.read("a red circle. above a blue square").relations == ()
    several = scenes.read("two small red circles below three crosses with dots")
    assert len(several.objects) == 5 and len(several.relations) == 6
    assert several.objects[0] == {"size": 0, "colour": 0, "shape": 0}
    assert several.objects[4] == {"shape": 4, "texture": 2}
    again = scenes.read("a red circle and a blue square. The circle is over the square")
    assert len(again.objects) == 2 and again.relations == ((0, 2, 1),)


def test_a_text_without_a_shape_is_refused():
    with pytest.raises(ValueError, match="No shape is named in 'a red thing'; there are circle, square"):
        scenes.read("a red thing")


_CIRCLE, _SQUARE, _STAR = ((("colour", c), ("shape", s)) for c, s in ((0, 0), (2, 1), (1, 3)))


def _meant(text):
    asked = scenes.read(text)
    named = [tuple(sorted(one.items())) for one in asked.objects]
    return {(named[i], relation, named[j]) for i, relation, j in asked.relations}, asked.unread


@pytest.mark.parametrize("text", [
    "above a blue square there is a red circle",
    "Above the blue square is a red circle.",
    "a blue square and above it a red circle",
    "there is a blue square. above it sits a red circle",
    "a blue square with a red circle above it",
    "a blue square that has a red circle on top of it",
    "a blue square, a red circle above",
    "a red circle with a blue square below",
    "a red circle, below is a blue square",
    "a red circle right above a blue square",
    "a red circle, which is over a blue square",
    "a red circle above and a blue square below",
    "above there is a red circle, below a blue square",
    "at the top a red circle and at the bottom a blue square",
    "red circle above blue square",
    "there is a blue square above which there is a red circle",
    "the red circle hovers above the blue square",
    "\uff52\uff45\uff44 circle above a blue square",
])  # fmt: skip
def test_what_lies_above_in_many_forms(text):
    relations, unread = _meant(text)
    assert relations in ({(_CIRCLE, 2, _SQUARE)}, {(_SQUARE, 3, _CIRCLE)}) and unread == ()
    if "\uff52" not in text:
        assert scenes.reworded(text) in ("a red circle above a blue square", "a blue square below a red circle")


@pytest.mark.parametrize("text", [
    "to the left of a blue square is a red circle",
    "a red circle on the left and a blue square on the right",
    "on the left a red circle, on the right a blue square",
    "on the left is a red circle and on the right is a blue square",
    "a blue square and a red circle to its left",
    "a red circle is on the left side of a blue square",
])  # fmt: skip
def test_what_lies_to_the_left_in_many_forms(text):
    assert _meant(text) == ({(_CIRCLE, 0, _SQUARE)}, ())
    assert scenes.reworded(text) == "a red circle to the left of a blue square"


def test_three_objects_are_related_to_those_that_are_meant():
    for text, others in (
        ("a blue square has a red circle above it and a green star below it", (_STAR, 3, _SQUARE)),
        ("a red circle is above a blue square and to the left of a green star", (_CIRCLE, 0, _STAR)),
        ("a red circle above a blue square to the left of a green star", (_SQUARE, 0, _STAR)),
    ):
        assert _meant(text) == ({(_CIRCLE, 2, _SQUARE), others}, ()), text


@pytest.mark.parametrize(("text", "unread"), [
    ("a red circle next to a blue square", ("next",)),
    ("a red circle right next to a blue square", ("next",)),
    ("a red circle and a blue square, one above the other", ("above",)),
    ("a red circle not above a blue square", ("above", "not")),
    ("a red circle above the table and a blue square", ("above",)),
    ("a red circle on a blue square", ("on",)),
    ("a red circle. above a blue square", ("above",)),
    ("a red circle on the left", ("on the left",)),
])  # fmt: skip
def test_words_of_places_that_are_not_understood_are_handed_back(text, unread):
    assert _meant(text) == (set(), unread)
    assert scenes.reworded(text) == ("a red circle and a blue square" if unread == ("next",) else "")


def test_texts_are_said_in_words_of_scenes_only_where_all_is_understood():
    for text, again in (
        ("please draw two large red stars with dots over a ring", "two large dotted red stars above a ring"),
        ("a green star underneath the two red circles", "a green star below two red circles"),
        ("a red circle, a red circle", "two red circles"),
        ("the circle is red and the square is blue", "a red circle and a blue square"),
        ("a red square above a circle which is large, striped and blue", ""),
        ("The red ring is large. The square is blue; it is over the ring", "a blue square above a large red ring"),
        ("There is a red circle. It is above a blue square.", "a red circle above a blue square"),
        ("a square above a ring. the ring is red, the square is small", "a small square above a red ring"),
        ("the circle is not red", ""),
        ("the circle is red and blue", ""),
        ("a red circle is blue", ""),
        ("six red circles", ""),
        ("red circles above a blue square", ""),
        ("a red dog above a blue square and a red circle", ""),
        ("a red circle above a red circle", ""),  # no text of scenes says so
        ("a circle left of a square, above a star", ""),
        ("five red circles", ""),
        ("two red circles and three blue squares", ""),
    ):
        assert scenes.reworded(text) == again, text
    drawn = law.draw("train", 2, np.arange(100))
    for row in range(100):
        for text in captions.write(drawn, row):
            asked = scenes.read(text)
            assert asked.unread == asked.others == () and scenes.reworded(text) == "", text
