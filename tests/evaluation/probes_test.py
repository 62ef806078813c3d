"""Probes: shares at known readings, and chance as all ways to deal pictures out give it."""

import itertools

import numpy as np
import pytest

from gentoolkit.evaluation import probes

pytestmark = pytest.mark.fast


def test_shares_at_known_readings():
    found = probes.accuracy([0, 1, 1, 2, 0], [0, 1, 2, 2, -1])
    assert (found.value, found.num, found.most_frequent) == (0.75, 4, 0.5)
    assert found.standard_error == pytest.approx((0.75 * 0.25 / 3) ** 0.5)
    alone = probes.accuracy([1], [1])
    assert alone.value == 1 and np.isnan([alone.standard_error, alone.chance]).all()


def test_chance_is_the_mean_over_all_ways_to_deal_pictures_to_texts_of_others():
    read, asked = [0, 1, 1, 2, 0, 0], [0, 1, 2, 2, 0, 1]
    shares = [
        np.mean([read[place] == of for place, of in zip(order, asked, strict=True)])
        for order in itertools.permutations(range(6))
        if all(place != row for row, place in enumerate(order))
    ]
    assert probes.accuracy(read, asked).chance == pytest.approx(np.mean(shares))
    assert probes.accuracy([3] * 6, asked).chance == 0


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"of the same pictures, got \(2,\) and \(3,\)"):
        probes.accuracy([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="got -1 for all"):
        probes.accuracy([0, 1], [-1, -1])
