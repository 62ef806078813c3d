"""The record of captioned pictures: what is called as it is elsewhere and holds something else is refused."""

import numpy as np
import pytest

from gentoolkit.data import columns, pipeline, record, scenes
from gentoolkit.data.captions import OneText
from gentoolkit.data.fields import Boxes, Field, Image, Label, Mask

pytestmark = pytest.mark.fast
_SIZE = (8, 8)
_FIELDS = {
    "image": Image(shape=(*_SIZE, 3)),
    "captions": Field(shape=(2, 3), dtype=np.int32),
    "objects": Label(class_names=("cat", "dog"), max_length=3),
    "boxes": Boxes(max_length=3),
    "relations": Field(shape=(3,), dtype=np.int32, max_length=4),
}
_VALUES = {
    "image": np.zeros((2, *_SIZE, 3), np.uint8),
    "captions": np.ones((2, 2, 3), np.int32),
    "objects": [np.array([0, 1], np.int32), np.array([1], np.int32)],
    "boxes": [np.array([[0, 0, 1, 1], [0.5, 0, 1, 0.25]]), np.array([[0, 0, 0.5, 0.5]])],
    "relations": [np.array([[1, 7, 0]], np.int32), np.zeros((0, 3), np.int32)],
}


def source(**changed):
    """The record above with other (field, values), None for none."""
    held = {name: (_FIELDS[name], _VALUES[name]) for name in _FIELDS} | changed
    held = {name: pair for name, pair in held.items() if pair is not None}
    return columns.from_values(
        {name: field for name, (field, _) in held.items()},
        {name: values for name, (_, values) in held.items()},
        description="Pets",
    )


def test_what_is_right_passes_and_scenes_have_all_but_sounds():
    record.check(source(), num=5)
    record.check(source(objects=None, relations=None), num=5)  # boxes of what the picture is of
    record.check(source(sureness=(Field(max_length=3), [np.zeros(2), np.zeros(1)])), num=5)
    stream = pipeline.Stream(source(), seed=0, batch_size=2, image_range=None, transforms=(OneText(),))
    record.check(columns.from_values(stream.fields, stream[0]), num=2)
    drawn = scenes.load("train", 40, image_size=16)
    record.check(drawn, num=40)
    assert {"objects", "boxes", "masks", "relations", "outline", "captions", "image"} <= set(drawn.fields)


@pytest.mark.parametrize(
    "changed, match",
    [
        ({"image": (Image(shape=(8, 8, 1)), np.zeros((2, 8, 8, 1), np.uint8))}, "'image' must be an Image of three"),
        (
            {"captions": (Field(shape=(3,), dtype=np.int32), np.ones((2, 3), np.int32))},
            r"'captions' must be a Field \[k",
        ),
        ({"captions_de": (Field(), np.zeros(2, np.float32))}, r"'captions_de' must be a Field \[k, t\]"),
        ({"objects": (Label(class_names=("cat",)), np.zeros(2, np.int32))}, "'objects' must be a Label of variable"),
        ({"label": (_FIELDS["objects"], _VALUES["objects"])}, "'label' must be one Label"),
        ({"image": (Image(shape=(8, 8, 3), dtype=np.float32), np.zeros((2, 8, 8, 3)))}, "must be .* in bytes"),
        ({"captions": None, "regions": (Boxes(max_length=2), [np.ones((2, 4))] * 2)}, "'regions' are of 'captions'"),
        ({"segmentation": (Mask(shape=(4, 4)), np.zeros((2, 4, 4), np.uint8))}, "must have one height and width"),
        ({"boxes": (Boxes(max_length=2), _VALUES["boxes"])}, r"'objects' \(3\), 'boxes' \(2\) are of the same objects"),
        ({"objects": None}, "'relations' are of 'objects', which are not there"),
    ],
)
def test_columns_of_another_kind_are_named(changed, match):
    with pytest.raises(ValueError, match=f"Pets: .*{match}"):
        record.check(source(**changed))


@pytest.mark.parametrize(
    "name, second, match",
    [
        ("boxes", np.zeros((2, 4)), r"'objects' \(1\), 'boxes' \(2\) are of the same objects, and must be as many"),
        ("boxes", np.array([[0, 0, 1.5, 0.5]]), "a box of 'boxes' is not within the picture"),
        ("boxes", np.array([[0.5, 0, 0.2, 0.5]]), "a box of 'boxes' is not within the picture"),
        ("objects", np.array([2], np.int32), r"'objects' must be from 0 to 1, got \[2\]"),
        ("relations", np.array([[0, 0, 1]], np.int32), r"\[\[0, 0, 1\]\] must relate objects, of which .* 1"),
        ("relations", np.array([[0, -7, 0]], np.int32), ".* must relate objects"),
        ("captions", np.array([[2, 0, 3], [2, 0, 0]], np.int32), "'captions' must hold a word in each text, zeros"),
        ("captions", np.array([[0, 0, 0], [2, 0, 0]], np.int32), ".* must hold a word in each text"),
        ("captions", np.array([[2, -3, 0], [2, 0, 0]], np.int32), ".* no negative number"),
    ],
)
def test_examples_that_break_it_are_named_where_they_are_looked_at(name, second, match):
    wrong = source(**{name: (_FIELDS[name], [_VALUES[name][0], second])})
    record.check(wrong, num=1)
    with pytest.raises(ValueError, match=f"Pets, example 1: {match}"):
        record.check(wrong, num=2)
    with pytest.raises(ValueError, match="num must be at least 0, got num = -1"):
        record.check(source(), num=-1)
