"""The Layout Quality Score on layouts whose parts are known."""

import math

import numpy as np
import pytest

from gentoolkit.evaluation import layout
from gentoolkit.evaluation.layout import Layout

pytestmark = pytest.mark.fast


def _random(num, *, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0.1, 0.5, (num, 2)), rng.uniform(0.05, 0.3, (num, 2))
    return Layout(rng.integers(0, classes, num), np.concatenate([corner, corner + size], 1))


def _values(found, asked, **options):
    return {name: share.value for name, share in layout.quality([found], [asked], **options).items()}


def test_a_layout_is_itself():
    one = _random(6)
    values = _values(one, one)
    assert values.pop("lqs_reimpl") == pytest.approx(4)
    assert values == pytest.approx(dict.fromkeys(("recall", "precision", "location", "area", "iou", "relations"), 1))
    order = np.array([3, 5, 0, 2, 4, 1])
    assert _values(Layout(one.labels[order], one.boxes[order]), one)["lqs_reimpl"] == pytest.approx(4)


def test_moving_everything_leaves_pairs_as_they_are():
    one = _random(5)
    moved = _values(Layout(one.labels, one.boxes + np.array([0.03, 0.04, 0.03, 0.04])), one, sigma=0.5)
    # Each centre is 0.05 off, each offset of two is right; sizes too, equal ones among them.
    assert moved["location"] == pytest.approx(0.75 + 0.25 * math.exp(-0.05 / 0.5))
    assert moved["area"] == pytest.approx(1) and moved["relations"] == 1
    corner = np.linspace(0.01, 0.5, 7)[:, None] * np.ones(2)
    grid = Layout(np.arange(7), np.concatenate([corner, corner + 0.2], 1))  # equal but for rounding
    assert _values(Layout(grid.labels, grid.boxes + 0.07), grid)["area"] == pytest.approx(1)


def test_what_is_missing_is_recall_and_what_is_too_much_is_precision():
    asked = _random(5)
    fewer = Layout(asked.labels[1:], asked.boxes[1:])
    values = _values(fewer, asked)
    assert (values["recall"], values["precision"]) == pytest.approx((4 / 5, 1))
    assert values["lqs_reimpl"] == pytest.approx(4 - 1 / 5)
    values = _values(asked, fewer)
    assert (values["recall"], values["precision"]) == pytest.approx((1, 4 / 5))
    nothing, other = Layout(np.zeros(0, int), np.zeros((0, 4))), Layout(asked.labels + 9, asked.boxes)
    for found, precision in ((nothing, 0), (other, 0)):
        values = _values(found, asked)
        assert (values["recall"], values["precision"], values["lqs_reimpl"]) == (0, precision, 0)
        assert math.isnan(values["iou"]) and math.isnan(values["relations"])


def test_parts_of_a_layout_of_two_as_they_are_written():
    asked = Layout(np.array([1, 2]), np.array([[0.0, 0.0, 0.2, 0.2], [0.4, 0.0, 0.8, 0.4]]))
    found = Layout(np.array([2, 1]), np.array([[0.4, 0.3, 0.6, 0.5], [0.0, 0.0, 0.4, 0.4]]))
    # Centres (0.1, 0.1), (0.6, 0.2) beside (0.2, 0.2), (0.5, 0.4): 0.1414 and 0.2236 off, their offset by (0.2, -0.1).
    absolute, relative = (math.hypot(0.1, 0.1) + math.hypot(0.1, 0.2)) / 2, math.hypot(0.2, 0.1)
    location = 0.25 * math.exp(-absolute / 0.125) + 0.75 * math.exp(-relative / 0.125)
    # Areas 0.04 and 0.16 beside 0.16 and 0.04: 0.12 off each, and the other one is the larger.
    values = _values(found, asked)
    assert values["location"] == pytest.approx(location) and values["area"] == pytest.approx(0.25 * 0.88)
    assert values["lqs_reimpl"] == pytest.approx(2 + location + 0.22)
    assert values["iou"] == pytest.approx((0.04 / 0.16 + 0.02 / 0.18) / 2) and values["relations"] == 1
    # One object has no pair that could be wrong.
    one = _values(Layout(found.labels[1:], found.boxes[1:]), Layout(asked.labels[:1], asked.boxes[:1]))
    assert one["location"] == pytest.approx(0.75 + 0.25 * math.exp(-math.hypot(0.1, 0.1) / 0.125))
    assert one["area"] == pytest.approx(1 - 0.25 * 0.12) and math.isnan(one["relations"])


def test_objects_of_a_class_are_matched_by_the_smallest_sum_of_distances():
    boxes = np.array([[0.0, 0, 0.1, 0.1], [0.3, 0, 0.4, 0.1], [0.5, 0, 0.6, 0.1]])
    # The nearest of each would take the second twice; in all, moving along is shortest.
    found = Layout(np.zeros(3, int), boxes + np.array([0.14, 0, 0.14, 0]))
    assert sorted(layout.matched(found, Layout(np.zeros(3, int), boxes))) == [(0, 0), (1, 1), (2, 2)]
    assert layout.matched(Layout(np.array([5, 7]), boxes[:2]), Layout(np.array([7, 7]), boxes[:2])) == [(1, 1)]


def test_relations_are_turned_round_with_their_objects():
    turned = dict(zip(layout.RELATIONS, ("right", "left", "below", "above", "surrounding", "inside"), strict=True))
    turned[""] = ""
    seen = set()
    for seed in range(60):
        one, other = _random(2, seed=seed).boxes
        if seed % 3 == 0:  # a box around another is rare
            other = one + np.array([-0.05, -0.02, 0.03, 0.04]) * (1 if seed % 2 else -0.1)
        found = layout.relation(one, other)
        assert layout.relation(other, one) == turned[found]
        seen.add(found)
    assert seen == set(layout.RELATIONS)
    assert layout.relation([0, 0, 0.1, 0.1], [0.3, 0.1, 0.4, 0.2]) == "left"
    assert layout.relation([0, 0, 0.1, 0.1], [0.1, 0.3, 0.2, 0.4]) == "above"
    assert layout.relation([0.1, 0.1, 0.2, 0.2], [0, 0, 0.4, 0.4]) == "inside"
    assert layout.relation([0, 0, 0.4, 0.4], [0, 0, 0.4, 0.2]) == "surrounding"  # they may touch
    assert layout.relation([0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.2, 0.2]) == ""


def test_means_are_over_pictures_and_have_their_error():
    asked = _random(2)
    scores = layout.quality([asked, Layout(asked.labels[:1], asked.boxes[:1])], [asked, asked])
    assert scores["recall"].value == pytest.approx(0.75) and scores["recall"].num == 2
    assert scores["recall"].standard_error == pytest.approx(0.25)
    assert scores["iou"].num == 3 and scores["relations"].num == 1
    assert math.isnan(layout.quality([asked], [asked])["recall"].standard_error)


def test_bad_arguments():
    one = _random(2)
    nothing = Layout(np.zeros(0, int), np.zeros((0, 4)))
    for found, asked, match in (
        ([one], [], "of the same pictures, got 1 and 0"),
        ([], [], "of the same pictures, got 0 and 0"),
        ([one], [nothing], r"asked\[0\] must have an object"),
        ([Layout(one.labels, one.boxes[:1])], [one], r"found\[0\] must have labels \[n\] and boxes"),
        (
            [one],
            [Layout(one.labels, one.boxes * 64)],
            r"asked\[0\]: boxes must be left, top, right and bottom as shares",
        ),
        ([one], [Layout(one.labels, one.boxes[:, ::-1])], "boxes must be left, top"),
        ([one], [Layout(one.labels, np.full((2, 4), np.nan))], "boxes must be left, top"),
    ):
        with pytest.raises(ValueError, match=match):
            layout.quality(found, asked)
    with pytest.raises(ValueError, match="sigma must be > 0"):
        layout.quality([one], [one], sigma=0.0)
