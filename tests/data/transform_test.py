"""Transforms move everything that belongs to a picture together, and so does each kind of field alone."""

import dataclasses

import numpy as np
import pytest

from gentoolkit.data import columns, pipeline
from gentoolkit.data.fields import Boxes, Field, Image, Label, Mask, Ragged, Sound, Tokens
from gentoolkit.data.transform import RandomCrop, horizontal_flip

pytestmark = pytest.mark.fast
H, W = 6, 9


@pytest.fixture(scope="module")
def scenes():
    """Pictures of rectangles, drawn alike as image, mask, object masks and boxes."""
    rng = np.random.default_rng(0)
    n, k = 40, 3
    image, mask = np.zeros((n, H, W, 3), np.uint8), np.zeros((n, H, W), np.uint8)
    boxes, objects = [], []
    for i in range(n):
        own, drawn = [], []
        for j in range(i % (k + 1)):
            top, left = rng.integers(0, H - 1), rng.integers(0, W - 1)
            bottom, right = rng.integers(top + 1, H + 1), rng.integers(left + 1, W + 1)
            image[i, top:bottom, left:right, j], mask[i, top:bottom, left:right] = 255, j + 1
            own.append([left / W, top / H, right / W, bottom / H])
            drawn.append(image[i, ..., j] > 0)
        boxes.append(np.array(own, np.float32).reshape(-1, 4))
        objects.append(np.array(drawn, bool).reshape(-1, H, W))
    fields = {
        "image": Image(shape=(H, W, 3)),
        "target": Image(shape=(H, W, 1)),
        "mask": Mask(shape=(H, W)),
        "boxes": Boxes(max_length=k),
        "objects": Mask(shape=(H, W), dtype=bool, max_length=k),
        "caption": Tokens(max_length=4),
        "label": Label(),
    }
    values = {
        "image": image,
        "target": image[..., :1],
        "mask": mask,
        "boxes": boxes,
        "objects": objects,
        "caption": [[1, 2, 3]] * n,
        "label": np.arange(n),
    }
    return columns.from_values(fields, values)


def drawn_again(boxes, size):
    """Object masks from boxes, `[b, k, h, w]`."""
    h, w = size
    edges = np.rint(boxes.values * [w, h, w, h])[..., None, None]
    y, x = np.mgrid[:h, :w]
    inside = (x >= edges[:, :, 0]) & (x < edges[:, :, 2]) & (y >= edges[:, :, 1]) & (y < edges[:, :, 3])
    return inside & boxes.valid[..., None, None]


def agrees(batch, size):
    """Everything in the batch shows the same rectangles."""
    np.testing.assert_array_equal(drawn_again(batch["boxes"], size), batch["objects"].values)
    np.testing.assert_array_equal(np.moveaxis(batch["image"] > 0, -1, 1), batch["objects"].values)
    np.testing.assert_array_equal(batch["target"], batch["image"][..., :1])
    # The last object drawn lies on top.
    top = np.max(batch["objects"].values * np.arange(1, 4)[:, None, None], axis=1)
    np.testing.assert_array_equal(batch["mask"], top)


def test_a_flip_moves_image_target_mask_and_boxes_together(scenes):
    """It once left everything but the image where it was."""
    plain = pipeline.Stream(scenes, seed=0, batch_size=40, image_range=None)
    stream = dataclasses.replace(plain, transforms=(horizontal_flip,))
    assert stream.fields == scenes.fields
    batch, before = stream[0], plain[0]
    agrees(before, (H, W))
    agrees(batch, (H, W))
    mirrored = np.array([not np.array_equal(a, b) for a, b in zip(batch["image"], before["image"], strict=True)])
    np.testing.assert_array_equal(batch["image"][mirrored], before["image"][mirrored, :, ::-1])
    assert 10 < mirrored.sum() < 30
    for name in ("caption", "label"):
        np.testing.assert_array_equal(np.asarray(batch[name][0]), np.asarray(before[name][0]))
    padding = ~batch["boxes"].valid
    assert padding.any() and not batch["boxes"].values[padding].any()


def test_a_crop_moves_image_target_mask_and_boxes_together(scenes):
    size = (4, 5)
    stream = pipeline.Stream(scenes, seed=0, batch_size=40, image_range=None, transforms=(RandomCrop(size),))
    fields = stream.fields
    assert fields["image"].shape == (4, 5, 3) and fields["objects"].shape == (4, 5) and fields["boxes"].shape == (4,)
    batch = stream[0]
    agrees(batch, size)
    boxes = batch["boxes"].values
    assert 0 <= boxes.min() and boxes.max() <= 1
    for name, field in fields.items():
        values = batch[name].values if isinstance(batch[name], Ragged) else batch[name]
        assert values.shape[-len(field.shape) :] == field.shape or field.shape == ()


def test_places_of_crops_are_uniform():
    picture = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    batch = {"image": np.repeat(picture, 3000, axis=0)}
    words = np.random.Philox(7).random_raw(3000)
    _, cut = RandomCrop((2, 2))({"image": Image(shape=(3, 4, 1))}, batch, words)
    places, counts = np.unique(cut["image"][:, 0, 0, 0], return_counts=True)
    assert places.tolist() == [0, 1, 2, 4, 5, 6]
    assert np.abs(counts - 500).max() < 5 * np.sqrt(3000 * (1 / 6) * (5 / 6))


def test_crops_that_cannot_be_are_refused(scenes):
    for size, message in (((7, 5), r"\(7, 5\) does not fit into pictures of \(6, 9\)"), ((0, 5), "does not fit")):
        with pytest.raises(ValueError, match=message):
            pipeline.Stream(scenes, seed=0, batch_size=4, transforms=(RandomCrop(size),))[0]
    for fields in ({"a": Image(shape=(6, 9, 1)), "b": Mask(shape=(6, 6))}, {"a": Field()}):
        with pytest.raises(ValueError, match="of one size, got"):
            RandomCrop((2, 2))(fields, {}, np.zeros(0, np.uint64))


def test_a_transform_of_ones_own_may_change_the_columns(scenes):
    """Here: objects are counted, and their masks are not handed on."""

    def count(fields, batch, words):
        kept = {name: field for name, field in fields.items() if name != "objects"}
        made = {name: batch[name] for name in kept} | {"number": batch["objects"].lengths}
        return kept | {"number": Field(dtype=np.int32)}, made

    stream = pipeline.Stream(scenes, seed=0, batch_size=8, shuffle=False, transforms=(horizontal_flip, count))
    batch = stream[0]
    assert batch.keys() == stream.fields.keys() and "objects" not in batch
    assert batch["number"].tolist() == [0, 1, 2, 3] * 2


def test_a_field_of_ones_own_needs_no_edit_elsewhere(scenes):
    """Here: "left of" and "right of" change places in a mirror."""

    class Relation(Field):
        def flip(self, column, flipped):
            return np.where(flipped, 1 - column, column)

    fields = {"image": Image(shape=(1, 2, 1)), "relation": Relation(dtype=np.int32)}
    pictures = np.tile(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1), (16, 1, 1, 1))
    source = columns.from_values(fields, {"image": pictures, "relation": np.zeros(16, np.int32)})
    batch = pipeline.Stream(source, seed=0, batch_size=16, transforms=(horizontal_flip,))[0]
    np.testing.assert_array_equal(batch["relation"], batch["image"][:, 0, 0, 0])
    assert 0 < batch["relation"].sum() < 16


def test_stored_numbers_are_scaled_on_the_host_and_on_the_device_alike(scenes):
    import jax

    fields = {"image": Image(shape=(16, 16, 1)), "sound": Sound(max_length=3), "mask": Mask(shape=(2, 2))}
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    sound = Ragged(np.array([[-32768, 16384, 0]], np.int16), np.array([2], np.int32))
    stored = {"image": every, "sound": sound, "mask": np.full((1, 2, 2), 255, np.uint8), "counts": np.array([True])}
    assert pipeline.scale(fields, stored, None)["image"] is every
    for image_range in ((0.0, 1.0), (-1.0, 1.0)):
        host = pipeline.scale(fields, stored, image_range)
        low, high = image_range
        assert host["image"].dtype == np.float32 and (host["image"].min(), host["image"].max()) == image_range
        np.testing.assert_allclose(host["image"], every / 255.0 * (high - low) + low, atol=1e-7)
        np.testing.assert_array_equal(host["sound"].values, np.float32([[-1, 0.5, 0]]))
        assert host["mask"].dtype == np.uint8 and host["counts"].dtype == bool
        device = jax.jit(lambda batch, to=image_range: pipeline.scale(fields, batch, to))(stored)
        assert (float(device["image"].min()), float(device["image"].max())) == image_range
        np.testing.assert_allclose(device["image"], host["image"], rtol=0, atol=2e-7)
        np.testing.assert_array_equal(device["sound"].values, host["sound"].values)
