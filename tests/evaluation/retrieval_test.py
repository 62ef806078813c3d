"""Retrieval: chance where nothing is known, one where all is, ties missed, groups left out."""

import numpy as np
import pytest

from gentoolkit.evaluation import retrieval

pytestmark = pytest.mark.fast


def test_perfect_and_chance():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(1500, 16))
    for found in (
        retrieval.r_precision(3 * texts, texts, num_others=9),
        retrieval.recall_at_one(3 * texts, texts, size=100),
    ):
        assert found.value == 1.0 and found.standard_error == 0.0
    none = retrieval.r_precision(rng.normal(size=texts.shape), texts, num_others=9)
    assert none.chance == 0.1 and abs(none.value - 0.1) < 4 * np.sqrt(0.09 / 1500)
    assert none.standard_error == pytest.approx(np.sqrt(none.value * (1 - none.value) / 1499))
    none = retrieval.recall_at_one(rng.normal(size=texts.shape), texts, size=10)
    assert none.chance == 0.1 and abs(none.value - 0.1) < 4 * np.sqrt(0.09 / 1500)


def test_ties_are_missed_and_groups_are_not_set_beside_each_other():
    texts = np.eye(4)[[0, 0, 1, 2]]
    assert retrieval.r_precision(texts, texts, num_others=3).value == 0.5
    groups = [0, 0, 1, 2]
    assert retrieval.r_precision(texts, texts, num_others=2, groups=groups).value == 1.0
    assert retrieval.recall_at_one(texts, texts, size=4).value == 0.5
    assert retrieval.recall_at_one(texts, texts, size=4, groups=groups).value == 1.0


def test_recall_counts_both_ways_within_sets():
    # Picture 1 takes text 0 for its own; text 1 still finds its picture.
    images, texts = np.array([[1.0, 0.0], [1.0, 0.1]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert retrieval.recall_at_one(images, texts, size=2).value == 0.75
    assert retrieval.recall_at_one(np.tile(images, (2, 1)), np.tile(texts, (2, 1)), size=2).value == 0.75


def test_what_cannot_be():
    rows = np.eye(3)
    for call, message in (
        (lambda: retrieval.r_precision(rows, rows[:2]), "of the same shape"),
        (lambda: retrieval.r_precision(rows, rows, num_others=3), "from 1 to 2"),
        (lambda: retrieval.r_precision(rows, rows, num_others=1, groups=[0, 1]), "one entry for each of 3"),
        (lambda: retrieval.recall_at_one(rows, rows, size=4), "from 2 to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
