"""Pictures beside what was asked for: shares on tables made by hand, and boxes taken from a grid."""

import time
from typing import NamedTuple

import numpy as np
import pytest

from gentoolkit.evaluation import objects

pytestmark = pytest.mark.fast
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class Text(NamedTuple):
    objects: tuple
    relations: tuple = ()


def _found(*seen):
    """`(shape, colour, size, x, y)` each."""
    rows = np.array(seen, float).reshape(-1, 5)
    boxes = np.stack([rows[:, 3] - 0.1, rows[:, 4] - 0.1, rows[:, 3] + 0.1, rows[:, 4] + 0.1], axis=1)
    classes = {name: rows[:, place].astype(int) for place, name in enumerate(("shape", "colour", "size"))}
    return objects.Found(classes, boxes, np.ones(len(rows)))


def _accuracy(found, asked, **options):
    return objects.accuracy(
        found, asked, kind="shape", num_classes=3, bound=("shape", "colour"), directions=_SIDES, **options
    )


def test_shares_of_a_table_made_by_hand():
    red_0, blue_1 = {"shape": 0, "colour": 0}, {"shape": 1, "colour": 1, "size": 2}
    asked = [
        Text((red_0, blue_1), ((0, 0, 1),)),  # red 0 to the left of blue 1
        Text((red_0, red_0)),
        Text((blue_1,)),
        Text((red_0, blue_1), ((0, 2, 1),)),
    ]
    found = [
        _found((0, 0, 0, 0.2, 0.5), (1, 1, 2, 0.8, 0.5)),  # all as asked
        _found((0, 0, 0, 0.2, 0.2)),  # one is missing
        _found((1, 0, 2, 0.5, 0.5), (2, 1, 0, 0.1, 0.1)),  # attributes bound to the wrong objects
        _found((0, 0, 1, 0.5, 0.8), (1, 1, 1, 0.5, 0.2)),  # below instead of above, another size
    ]
    scores = _accuracy(found, asked)
    assert scores["objects"].value == pytest.approx((2 + 1 + 0 + 2) / 7) and scores["objects"].num == 7
    assert scores["relations"].value == 0.5 and scores["relations"].num == 2
    assert scores["count"].value == pytest.approx(2 / 4)
    assert scores["size"].value == 0.5 and scores["size"].num == 2
    # Shape 0 is there in all three pictures that name it, shape 1 in all three too; the mean is not by pictures.
    assert scores["soa_c"].value == scores["soa_i"].value == 1.0
    found[3] = _found((0, 0, 1, 0.5, 0.8))
    scores = _accuracy(found, asked)
    assert scores["soa_c"].value == pytest.approx((1 + 2 / 3) / 2) and scores["soa_i"].value == pytest.approx(5 / 6)
    assert scores["relations"].value == 0.5  # what is not there is on no side
    # Leaving out one of four pictures at a time: 1, 1, 1 and 1/2 ... of the two that ask for a side.
    parts = np.array([0.0, 0.5, 0.5, 1.0])
    assert scores["relations"].standard_error == pytest.approx(np.sqrt(3 / 4 * np.sum((parts - parts.mean()) ** 2)))


def test_relations_must_be_clear():
    asked = [Text(({"shape": 0, "colour": 0}, {"shape": 1, "colour": 0}), ((0, 1, 1),))]
    for x, y, want in ((0.9, 0.5, 1.0), (0.82, 0.75, 1.0), (0.76, 0.8, 0.0), (0.1, 0.5, 0.0)):
        scores = _accuracy([_found((0, 0, 0, x, y), (1, 0, 0, 0.5, 0.5))], asked)
        assert scores["relations"].value == want, (x, y)


def test_each_found_object_stands_for_the_named_one_that_needs_it():
    red_0 = {"shape": 0, "colour": 0}
    both = _found((0, 0, 0, 0.2, 0.5), (0, 1, 0, 0.8, 0.5))
    scores = _accuracy([both], [Text(({"shape": 0}, red_0))])  # the one of any colour leaves the red one to the other
    assert scores["objects"].value == 1.0
    for one, other in ((0.2, 0.8), (0.8, 0.2)):  # of two that are alike, one above the other, whichever is surer
        scores = _accuracy([_found((0, 0, 0, 0.5, one), (0, 0, 0, 0.5, other))], [Text((red_0, red_0), ((0, 2, 1),))])
        assert scores["objects"].value == scores["relations"].value == 1.0
    # Which ones are taken is by what is said and how sure they are: a third, less sure one makes no relation true.
    found = _found((0, 0, 0, 0.5, 0.8), (1, 1, 0, 0.5, 0.5), (0, 0, 0, 0.5, 0.1))
    assert _accuracy([found], [Text((red_0, {"shape": 1}), ((0, 2, 1),))])["relations"].value == 0.0


def test_asked_boxes_are_met_by_the_best_of_their_class():
    asked = [Text(({"shape": 0, "colour": 0},))]
    found = [_found((0, 1, 0, 0.5, 0.5), (0, 0, 0, 0.6, 0.5), (1, 0, 0, 0.4, 0.5))]
    scores = _accuracy(found, asked, boxes=[np.array([[0.3, 0.4, 0.5, 0.6]])])
    assert scores["soa_iou"].value == pytest.approx(0.01 * 2 / (0.04 * 2 - 0.02))  # half of each box in common


def test_the_overlap_of_a_class_is_its_best_and_what_is_not_found_is_left_out():
    """Two boxes of class 0, of which one is met exactly; class 1 is asked for and not seen; a picture without any."""
    zero, one = {"shape": 0, "colour": 0}, {"shape": 1, "colour": 0}
    asked = [Text((zero, zero, one)), Text((zero,))]
    found = [_found((0, 0, 0, 0.5, 0.5), (2, 0, 0, 0.8, 0.8)), _found()]
    boxes = [np.array([[0.1, 0.1, 0.3, 0.3], [0.4, 0.4, 0.6, 0.6], [0.7, 0.7, 0.9, 0.9]]), np.array([[0, 0, 0.2, 0.2]])]
    score = _accuracy(found, asked, boxes=boxes)["soa_iou"]
    assert score.value == pytest.approx(1.0) and score.num == 1


def test_a_grid_gives_each_object_once():
    presence = np.full((2, 4), -9.0)
    presence[0, :3] = [3.0, 2.0, 1.0]
    boxes = np.zeros((2, 4, 4))
    boxes[0, :3] = [[0.0, 0.0, 0.5, 0.5], [0.02, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]
    shape = np.zeros((2, 4, 3))
    shape[0, 0, 2] = shape[0, 2, 1] = 5.0
    one, none = objects.decode(presence, {"shape": shape}, boxes)
    assert one.classes["shape"].tolist() == [2, 1] and one.scores[0] > one.scores[1] > 0.5
    np.testing.assert_array_equal(one.boxes, boxes[0, [0, 2]])
    assert len(none.scores) == 0 and none.boxes.shape == (0, 4)
    assert len(objects.decode(presence, {"shape": shape}, boxes, overlap=1.0)[0].scores) == 3
    assert len(objects.decode(presence, {"shape": shape}, boxes, threshold=0.8)[0].scores) == 1


def test_what_cannot_be():
    with pytest.raises(ValueError, match="of the same pictures, got 1 and 0"):
        _accuracy([_found()], [])
    nothing = _accuracy([_found()], [Text(({"shape": 0, "colour": 0},))])
    assert np.isnan(nothing["relations"].value) and nothing["objects"].value == 0.0


def _grid(*seen, cells=6, sure=0.9):
    """`(shape, colour, x, y)` each, every class with probability `sure`; the other cells are empty."""
    rows = np.array(seen, float).reshape(-1, 4)
    presence = np.full((1, cells), -20.0)
    presence[0, : len(rows)] = np.log(sure / (1 - sure))
    boxes = np.zeros((1, cells, 4))
    boxes[0, : len(rows)] = np.concatenate([rows[:, 2:] - 0.1, rows[:, 2:] + 0.1], axis=1)
    classes = {}
    for place, name in enumerate(("shape", "colour")):
        probabilities = np.full((1, cells, 3), 1 / 3)
        probabilities[0, : len(rows)] = (1 - sure) / 2
        probabilities[0, range(len(rows)), rows[:, place].astype(int)] = sure
        classes[name] = np.log(probabilities) + 5  # logits are known up to a constant
    return presence, classes, boxes


def _agreement(asked, *seen):
    return float(objects.agreement(*_grid(*seen), asked, directions=_SIDES).nats[0])


def test_agreement_is_the_probability_of_what_was_asked():
    red_0, blue_1 = {"shape": 0, "colour": 0}, {"shape": 1, "colour": 1}
    both = Text((red_0, blue_1), ((0, 0, 1),))  # red 0 to the left of blue 1
    right, wrong = np.log(0.9), np.log(0.05)
    left, middle = (0, 0, 0.2, 0.5), (1, 1, 0.8, 0.5)
    assert _agreement(both, left, middle) == pytest.approx(6 * right, abs=1e-3)
    assert _agreement(both, middle, left) == pytest.approx(6 * right, abs=1e-3)  # whichever is surer
    # One attribute is another; an object too many; one is missing; the other side.
    assert _agreement(both, left, (1, 2, 0.8, 0.5)) == pytest.approx(5 * right + wrong, abs=1e-3)
    assert _agreement(both, left, middle, (2, 2, 0.5, 0.1)) == pytest.approx(6 * right + np.log(0.1), abs=1e-3)
    assert _agreement(Text((red_0, blue_1)), left) == pytest.approx(3 * right - 7, abs=1e-3)
    assert _agreement(both, left) == pytest.approx(3 * right - 14, abs=1e-3)  # and so no side of it
    assert _agreement(both, (0, 0, 0.8, 0.5), (1, 1, 0.2, 0.5)) == pytest.approx(6 * right - 7, abs=1e-3)
    assert _agreement(Text((red_0,))) == pytest.approx(-7, abs=1e-3)  # an empty picture
    # Of two that are alike each stands for one, and what is not said costs nothing.
    assert _agreement(Text((red_0, red_0)), left, (0, 0, 0.8, 0.5)) == pytest.approx(6 * right, abs=1e-3)
    assert _agreement(Text(({"shape": 0},)), left) == pytest.approx(2 * right, abs=1e-3)


def test_agreement_says_where_the_named_objects_are():
    """Whichever the detector is surer of; nowhere where one is missing."""
    red_0, blue_1 = {"shape": 0, "colour": 0}, {"shape": 1, "colour": 1}
    grid = _grid((1, 1, 0.8, 0.5), (0, 0, 0.2, 0.5))
    found = objects.agreement(*grid, Text((red_0, blue_1, {"shape": 2, "colour": 0})), directions=_SIDES)
    want = [[0.1, 0.4, 0.3, 0.6], [0.7, 0.4, 0.9, 0.6], [np.nan] * 4]
    np.testing.assert_allclose(found.boxes[0], want)


def test_agreement_of_many_named_objects_takes_no_time():
    """By all ways to say which is which, eight took half a second a picture and nine twenty."""
    red_0, blue_1 = {"shape": 0, "colour": 0}, {"shape": 1, "colour": 1}
    grid = _grid((0, 0, 0.2, 0.5), (1, 1, 0.8, 0.5), (0, 0, 0.5, 0.1))
    begin = time.process_time()
    for num in (4, 8):
        asked = Text((red_0,) * num + (blue_1,) * num, tuple((i, 0, num + j) for i in range(num) for j in range(num)))
        found = objects.agreement(*grid, asked, directions=_SIDES)
        # Three are there, one pair of them on the asked sides, the other one not clearly so.
        want = 9 * np.log(0.9) - 7 * (2 * num - 3) - 7 * (num * num - 1)
        assert found.nats == pytest.approx(want, abs=1e-3)
    assert time.process_time() - begin < 5
    # Relations have their say in who is who of up to four: the surest of three circles is on the wrong side.
    asked = Text((red_0, red_0, blue_1), ((0, 0, 2), (1, 1, 2)))
    assert _agreement(asked, (0, 0, 0.9, 0.5), (0, 0, 0.1, 0.5), (1, 1, 0.5, 0.5)) == pytest.approx(
        9 * np.log(0.9), abs=1e-3
    )
