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
