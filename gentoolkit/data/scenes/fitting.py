"""Which shape an object in a picture has, told without a network: every shape is drawn over it, and the nearest fits.

A trained detector can be pleased by what no eye takes for a square. A drawing cannot, so this is what pictures are
chosen by beside it, and of drawn scenes of 32 pixels it reads 0.99 of shapes.
"""

import functools

import numpy as np

from gentoolkit.data.scenes.law import SHAPES
from gentoolkit.data.scenes.render import DISTANCES

FITTED_SIDE = 32  # pixels of a picture, to which larger ones are brought
_WINDOW = 20  # pixels around the middle of an object; the largest is 14 wide
_BORDER = 1.5  # pixels around a box that are looked at; what lies further away is of others
_CORE = 0.6  # share of a box's sides in whose middle its colour is taken
_RADII = np.arange(2.5, 7.3, 0.3)  # in pixels, beyond all that are drawn
_TURNS = np.linspace(-0.25, 0.25, 5)  # in radians, all that are drawn
_OFFSETS = np.linspace(-1.0, 1.0, 5)  # in pixels, of the middle of a box from that of its shape


def misfits(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How far objects are from each shape, at the size, turn and place at which it fits best.

    How much of a pixel is the object's is read off its colour, between that around the box and that in its middle.

    Args:
      images: `[n, s, s, 3]` in [0, 1], s a multiple of 32.
      boxes: `[n, 4]` left, top, right, bottom of an object in each, as shares of the side, right to about a
        pixel of 32.

    Returns:
      `[n, 8]` for each of `SHAPES` the squared differences of its pixels, as shares of the larger area: 0 for the same,
      about 1 for nothing in common. A plain drawn object of 32 pixels has 0.02 for its own (nine tenths below 0.05),
      one with a pattern 0.1 to 0.4; rings, in whose middle is a hole, are read in nine of ten cases.

    Raises:
      ValueError: pictures of another size.
    """
    count, side = len(images), images.shape[1]
    if images.shape[1:] != (side, side, 3) or side % FITTED_SIDE or boxes.shape != (count, 4):
        raise ValueError(
            f"images must be [n, s, s, 3] with s a multiple of {FITTED_SIDE}, and boxes [n, 4]; got {images.shape} and "
            f"{boxes.shape}."
        )
    block = side // FITTED_SIDE
    small = images.reshape(count, FITTED_SIDE, block, FITTED_SIDE, block, 3).mean((2, 4), dtype=np.float32)
    shares = _shares(small, np.asarray(boxes, np.float32) * FITTED_SIDE).reshape(count, _WINDOW**2)
    area = shares.sum(1)[:, None]
    found = np.empty((count, len(SHAPES)), np.float32)
    for place, name in enumerate(SHAPES):
        drawn, own, squares = _drawn(name)
        errors = (shares**2).sum(1)[:, None] + squares - 2 * shares @ drawn.T
        found[:, place] = (errors / np.maximum(area, own)).min(1)
    return np.maximum(found, 0)


def _shares(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How much of each pixel around the middle of a box is its object's: `[n, w, w]`."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    middle = (low + high) / 2
    begin = np.rint(middle - _WINDOW / 2).astype(np.int64)
    at = begin + np.arange(_WINDOW)[None, :, None]  # [n, w, 2]: x and y of pixels
    near = (at >= 0) & (at < FITTED_SIDE) & (at + 0.5 > low - _BORDER) & (at + 0.5 < high + _BORDER)
    inside = (at + 0.5 > low - 0.2) & (at + 0.5 < high + 0.2)
    core = np.abs(at + 0.5 - middle) < np.maximum((high - low) / 2 * _CORE, 1)
    near, inside, core = (part[:, None, :, 0] & part[:, :, None, 1] for part in (near, inside, core))
    places = at.clip(0, FITTED_SIDE - 1)
    seen = images[np.arange(len(images))[:, None, None], places[:, :, None, 1], places[:, None, :, 0]]
    around, own = _median(seen, near & ~inside), _median(seen, core)
    way = own - around
    along = ((seen - around) * way).sum(-1) / ((way**2).sum(-1) + 1e-6)
    return np.clip(along, 0, 1) * near


def _median(pixels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The median of pixels `[n, w, w, 3]` where they count, of all where none does: `[n, 1, 1, 3]`."""
    where = where | ~where.any((1, 2), keepdims=True)
    return np.nanmedian(np.where(where[..., None], pixels, np.nan), axis=(1, 2), keepdims=True)


@functools.cache
def _drawn(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shape at all sizes, turns and places, as shares of pixels `[m, w * w]`; their sums and sums of squares."""
    radius, turn, across, down = (
        part.reshape(-1, 1, 1).astype(np.float32)
        for part in np.meshgrid(_RADII, _TURNS, _OFFSETS, _OFFSETS, indexing="ij")
    )
    places = (np.arange(_WINDOW, dtype=np.float32) + 0.5) - _WINDOW / 2
    x, y = places[None, None, :] - across, places[None, :, None] - down
    cos, sin = np.cos(turn), np.sin(turn)
    distance = DISTANCES[name]((cos * x + sin * y) / radius, (cos * y - sin * x) / radius) * radius
    drawn = np.clip(0.5 - distance, 0, 1).reshape(len(radius), -1).astype(np.float32)
    return drawn, drawn.sum(1), (drawn**2).sum(1)
