"""What shape an object has, by drawing every shape over it."""

import numpy as np
import pytest

from gentoolkit.data import scenes
from gentoolkit.data.scenes import render

pytestmark = pytest.mark.fast


def _flat(shape, *, radius=5.2, at=(15.3, 16.6), turn=0.1, paint=(0.8, 0.1, 0.2), ground=(0.7, 0.9, 0.8)):
    """A picture of 32 pixels with one object without rim or shading, and its box."""
    places = np.arange(32) + 0.5
    x, y = (places[None, :] - at[0]) / radius, (places[:, None] - at[1]) / radius
    cos, sin = np.cos(turn), np.sin(turn)
    distance = render.DISTANCES[shape](cos * x + sin * y, cos * y - sin * x) * radius
    share = np.clip(0.5 - distance, 0, 1)[..., None]
    image = np.array(ground) + share * (np.array(paint) - np.array(ground))
    return image.astype(np.float32), render.boxes(distance < 0)


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_an_object_fits_its_own_shape_whatever_its_colours_and_place(shape):
    image, box = _flat(shape)
    (apart,) = scenes.misfits(image[None], box[None])
    assert apart.argmin() == scenes.SHAPES.index(shape)
    # Its size, turn and place lie between those that are tried; a thin ring has most of its pixels at its border.
    assert apart.min() < (0.07 if shape == "ring" else 0.035) and np.sort(apart)[1] > 2 * apart.min(), apart
    moved, its_box = _flat(shape, at=(11.3, 19.6), paint=(0.1, 0.2, 0.9), ground=(0.9, 0.9, 0.6))
    again = scenes.misfits(np.stack([image, moved]), np.stack([box, its_box]))
    np.testing.assert_allclose(again, [apart, apart], atol=2e-3)


def test_half_an_object_fits_nothing():
    """So that a picture is not chosen for a torn square, though a square is still what it is nearest to."""
    image, box = _flat("square", turn=0.0)
    torn = image.copy()
    torn[:, :15] = np.where(np.add.outer(np.arange(32), np.arange(15))[..., None] % 3 > 0, image[0, 0], image[:, :15])
    whole, half = scenes.misfits(np.stack([image, torn]), np.stack([box, box]))[:, scenes.SHAPES.index("square")]
    assert half > 5 * whole and half > 0.2, (whole, half)


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_of_drawn_scenes_are_read(size):
    """0.99 of them, also by boxes that are a pixel off, as a detector's are."""
    source = scenes.load("all", 150, image_size=size).take(np.arange(150))
    count = source["objects"].lengths
    rows, places = np.repeat(np.arange(150), count), np.concatenate([np.arange(num) for num in count])
    images, true = source["image"][rows] / np.float32(255), source["objects"].values[rows, places]
    boxes = source["boxes"].values[rows, places]
    apart = scenes.misfits(images, boxes + np.random.default_rng(0).uniform(-1, 1, boxes.shape) / 32)
    assert (apart.argmin(1) == true).mean() >= 0.97
    plain = source["textures"].values[rows, places] == 0
    own = apart[np.arange(len(true)), true][plain]
    assert 0.01 < np.median(own) < 0.03 and np.quantile(own, 0.9) < 0.07


def test_pictures_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="s a multiple of 32, and boxes"):
        scenes.misfits(np.zeros((2, 48, 48, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="got .2, 32, 32, 3. and .1, 4."):
        scenes.misfits(np.zeros((2, 32, 32, 3)), np.zeros((1, 4)))
