"""Streams side by side: independent, disjoint or aligned, and as exact in resuming as one alone."""

import json

import numpy as np
import pytest

from gentoolkit.data import columns
from gentoolkit.data.fields import Field, Image
from gentoolkit.data.pairs import Together
from gentoolkit.data.pipeline import Stream, scale
from gentoolkit.data.transform import horizontal_flip

pytestmark = pytest.mark.fast


def numbered(num, offset=0):
    """Examples that say who they are, with a picture that says whether it was mirrored."""
    number = np.arange(num, dtype=np.int32) + offset
    picture = np.stack([number, number + 100], axis=-1).astype(np.uint8).reshape(num, 1, 2, 1)
    fields = {"image": Image(shape=(1, 2, 1)), "number": Field(dtype=np.int32)}
    return columns.from_values(fields, {"image": picture, "number": number})


def stream(source, **options):
    return Stream(source, **{"seed": 0, "batch_size": 4, "image_range": None, **options})


def seen(together, name, steps):
    return np.stack([together[t][name]["number"] for t in steps])


def test_each_set_goes_through_its_own_epochs_in_an_order_of_its_own():
    together = Together(a=stream(numbered(12)), b=stream(numbered(8)), c=stream(numbered(12)))
    assert together.steps_per_epoch == 3 and together.fields.keys() == {"a", "b", "c"}
    a, b, c = (seen(together, name, range(6)) for name in "abc")
    for rows, num in ((a[:3], 12), (a[3:], 12), (b[:2], 8), (b[2:4], 8), (b[4:], 8), (c[:3], 12)):
        np.testing.assert_array_equal(np.sort(rows.ravel()), np.arange(num))
    # Equal seeds, yet rows are no pairs; over many epochs a partner is met as often as chance has it.
    many = range(3 * 200)
    met = (seen(together, "a", many) == seen(together, "c", many)).mean()
    assert abs(met - 1 / 12) < 5 * np.sqrt(1 / 12 / (600 * 4))
    assert not np.array_equal(b[:2], b[2:4])


def test_disjoint_halves_never_meet_their_partners():
    pairs = columns.from_values(
        {"photo": Image(shape=(1, 2, 1)), "edges": Image(shape=(1, 2, 1)), "number": Field(dtype=np.int32)},
        {"photo": np.zeros((13, 1, 2, 1), "u1"), "edges": np.ones((13, 1, 2, 1), "u1"), "number": np.arange(13)},
    )
    sides = {"a": pairs.select("number", image="photo"), "b": pairs.select("number", image="edges")}
    together = Together(order="disjoint", **{name: stream(side, batch_size=3) for name, side in sides.items()})
    a, b = (set(seen(together, name, range(40)).ravel().tolist()) for name in "ab")
    assert not a & b and a | b == set(range(13)) and len(a) == 7
    batch = together[0]
    assert not batch["a"]["image"].any() and batch["b"]["image"].all()


def test_aligned_rows_are_pairs_and_are_mirrored_alike():
    options = {"transforms": (horizontal_flip,)}
    together = Together(order="aligned", a=stream(numbered(12), **options), b=stream(numbered(12, 50), **options))
    mirrored = []
    for step in range(9):
        batch = together[step]
        np.testing.assert_array_equal(batch["a"]["number"] + 50, batch["b"]["number"])
        np.testing.assert_array_equal(batch["a"]["image"] + 50, batch["b"]["image"])
        mirrored.append(batch["a"]["image"][:, 0, 0, 0] >= 100)
    assert 0.2 < np.mean(mirrored) < 0.8


def test_bytes_of_all_sets_are_scaled_where_they_are_used():
    together = Together(a=stream(numbered(12)), b=stream(numbered(8)))
    stored, scaled = together[0], scale(together.fields, together[0], (0.0, 1.0))
    for name in "ab":
        np.testing.assert_array_equal(scaled[name]["image"], stored[name]["image"] / np.float32(255))
        np.testing.assert_array_equal(scaled[name]["number"], stored[name]["number"])


def test_a_saved_position_goes_on_exactly_and_only_in_the_same_sets():
    def make(**options):
        return Together(a=stream(numbered(12), transforms=(horizontal_flip,)), b=stream(numbered(9), **options))

    iterator = iter(make())
    for step in range(5):
        batch = next(iterator)
        np.testing.assert_array_equal(batch["a"]["image"], make()[step]["a"]["image"])
    state = json.loads(json.dumps(iterator.get_state()))
    following = [next(iterator) for _ in range(3)]
    iterator.close()
    fresh = iter(make())
    fresh.set_state(state)
    for batch in following:
        again = next(fresh)
        for name in "ab":
            for column in batch[name]:
                np.testing.assert_array_equal(again[name][column], batch[name][column])
    fresh.close()
    with pytest.raises(ValueError, match="b = .*'seed'"):
        iter(make(seed=1)).set_state(state)
    parts = [
        Together(**{name: stream(numbered(12), process_index=p, process_count=2) for name in "ab"})[2] for p in (0, 1)
    ]
    whole = Together(**{name: stream(numbered(12)) for name in "ab"})[2]
    for name in "ab":
        np.testing.assert_array_equal(np.concatenate([part[name]["number"] for part in parts]), whole[name]["number"])


def test_sets_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="order = 'pairs'"):
        Together(order="pairs", a=stream(numbered(4)))
    with pytest.raises(ValueError, match="at least one"):
        Together()
    for order in ("disjoint", "aligned"):
        with pytest.raises(ValueError, match="of one length, got {'a': 8, 'b': 9}"):
            Together(order=order, a=stream(numbered(8)), b=stream(numbered(9)))
    with pytest.raises(ValueError, match="streams that agree"):
        Together(order="aligned", a=stream(numbered(8)), b=stream(numbered(8), seed=1))
