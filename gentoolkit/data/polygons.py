"""Drawn polygons: an outline and the same shape filled with one colour; content and style are known exactly.

The smallest set on which an image translation can be judged without a person: the content of a picture is its polygon,
the style its colour, and an outline says nothing of the colour.
"""

import numpy as np

from gentoolkit.data import columns
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image

_FINER = 4  # times as many pixels a side when drawn, for smooth edges


def load(num: int, *, image_size: int = 32, seed: int = 0, num_corners: tuple[int, int] = (3, 7)) -> Columns:
    """Draws polygons, the same for the same seed.

    Args:
      num: how many.
      image_size: height and width in pixels, 16 or more.
      seed: non-negative; another seed draws others.
      num_corners: the fewest and the most corners; at least 3.

    Returns:
      A data set with the columns `outline` `[s, s, 3]` (black on white), `image` `[s, s, 3]` (the shape in its colour
      on white, without a line), `colour` `[3]` float32 in [0, 1] and `inside` `[s, s]` bool.

    Raises:
      ValueError: an option outside its range.
    """
    if num < 1 or image_size < 16 or seed < 0:
        raise ValueError(
            "num must be >= 1, image_size >= 16 and seed >= 0, "
            f"got num = {num}, image_size = {image_size}, seed = {seed}."
        )
    fewest, most = num_corners
    if not 3 <= fewest <= most:
        raise ValueError(f"num_corners must be (fewest, most) with 3 <= fewest <= most, got {num_corners}.")
    size = (image_size, image_size)
    outlines, images = np.empty((2, num, *size, 3), np.uint8)
    colours, inside = np.empty((num, 3), np.uint8), np.empty((num, *size), np.bool_)
    for index in range(num):
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index])))
        corners = _corners(generator, int(generator.integers(fewest, most + 1)), image_size)
        # White would leave nothing to see.
        colours[index] = colour = generator.integers(0, 208, 3)
        filled, line = _drawn(corners, image_size)
        inside[index] = filled > 127
        outlines[index] = 255 - line[..., None]
        share = filled[..., None].astype(np.float64) / 255
        images[index] = np.rint(255 + share * (colour.astype(np.float64) - 255))
    return columns.from_values(
        {
            "outline": Image(shape=(*size, 3)),
            "image": Image(shape=(*size, 3)),
            "colour": Field(shape=(3,)),
            "inside": Field(shape=size, dtype=np.bool_),
        },
        {
            "outline": outlines,
            "image": images,
            "colour": (colours / np.float32(255)).astype(np.float32),
            "inside": inside,
        },
        description=f"Polygons ({num} of {image_size} x {image_size}, drawn with seed {seed})",
    )


def _corners(generator: np.random.Generator, num: int, image_size: int) -> np.ndarray:
    """Corners of a polygon around a point near the middle, `[num, 2]`, in pixels: never crossing itself."""
    # A gap in every sector keeps the polygon from becoming a needle.
    angles = 2 * np.pi * (np.arange(num) + generator.uniform(0.15, 0.85, num)) / num + generator.uniform(0, 2 * np.pi)
    radii = image_size * generator.uniform(0.25, 0.42, num)
    middle = image_size * generator.uniform(0.46, 0.54, 2)
    return middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _drawn(corners: np.ndarray, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The filled shape and its line, `[s, s]` uint8 each: how much of a pixel is covered."""
    from PIL import Image as pillow
    from PIL import ImageDraw

    side, points = image_size * _FINER, [tuple(point) for point in corners * _FINER]
    drawn = []
    for line_only in (False, True):
        canvas = pillow.new("L", (side, side), 0)
        pen = ImageDraw.Draw(canvas)
        if line_only:
            width = max(_FINER, round(side / 24))
            pen.line([*points, points[0], points[1]], fill=255, width=width, joint="curve")
        else:
            pen.polygon(points, fill=255)
        drawn.append(np.asarray(canvas.resize((image_size, image_size), pillow.Resampling.BOX)))
    return drawn[0], drawn[1]
