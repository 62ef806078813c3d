"""Pictures of scenes, by signed distances: of any size, with smooth borders, a whole batch at once."""

from typing import NamedTuple

import numpy as np

from gentoolkit.data.scenes.law import COLOURS, MOST, SHAPES, Scenes

_PAINTS = {
    "red": (0.84, 0.14, 0.16),
    "green": (0.13, 0.60, 0.24),
    "blue": (0.14, 0.33, 0.80),
    "yellow": (0.96, 0.80, 0.12),
    "purple": (0.53, 0.22, 0.66),
    "orange": (0.95, 0.50, 0.10),
    "cyan": (0.12, 0.72, 0.80),
    "pink": (0.96, 0.50, 0.70),
}
_RGB = np.array([_PAINTS[name] for name in COLOURS], np.float32)
_LINE = 1 / 24  # width of an outline, a share of the picture's side, at least a pixel


class Drawn(NamedTuple):
    """Pictures of a batch; each is None where it was not asked for.

    Attributes:
      image: `[b, s, s, 3]` uint8.
      masks: `[b, 4, s, s]` bool, none beyond the number of objects.
      outline: `[b, s, s, 1]` uint8, black lines on white.
    """

    image: np.ndarray | None
    masks: np.ndarray | None
    outline: np.ndarray | None


def draw(scenes: Scenes, image_size: int, *, image: bool = True, masks: bool = True, outline: bool = True) -> Drawn:
    """Draws scenes.

    Args:
      scenes: b of them.
      image_size: height and width in pixels.
      image: whether pictures are asked for.
      masks: whether masks are.
      outline: whether outlines are.

    Returns:
      What was asked for.
    """
    count, side = len(scenes.num), image_size
    places = ((np.arange(side) + 0.5) / side).astype(np.float32)
    canvas = _background(scenes.background, places) if image else None
    covered = np.zeros((count, MOST, side, side), np.bool_) if masks else None
    away = np.full((count, side, side), np.inf, np.float32) if outline else None
    for place in range(MOST):
        there = scenes.num > place
        for kind in np.unique(scenes.shape[there, place]):
            rows = np.flatnonzero(there & (scenes.shape[:, place] == kind))
            radius = scenes.radius[rows, place, None, None].astype(np.float32)
            x, y = _local(scenes, rows, place, places)
            distance = DISTANCES[SHAPES[kind]](x, y) * radius  # in sides of the picture
            if covered is not None:
                covered[rows, place] = distance < 0
            if away is not None:
                away[rows] = np.minimum(away[rows], np.abs(distance))
            if canvas is not None:
                share = np.clip(0.5 - distance * side, 0, 1)[..., None]
                paint = _paint(scenes, rows, place, x, y, distance / radius)
                canvas[rows] += share * (paint - canvas[rows])
    return Drawn(
        None if canvas is None else np.rint(canvas * 255).astype(np.uint8),
        covered,
        None if away is None else _line(away, side),
    )


def boxes(masks: np.ndarray) -> np.ndarray:
    """The rectangles around masks: left, top, right, bottom, as shares of the side.

    Args:
      masks: `[..., s, s]` bool.

    Returns:
      `[..., 4]` float32, zeros for an empty mask.
    """
    side = masks.shape[-1]
    across, down = np.any(masks, axis=-2), np.any(masks, axis=-1)
    left, top = across.argmax(-1), down.argmax(-1)
    right, bottom = side - across[..., ::-1].argmax(-1), side - down[..., ::-1].argmax(-1)
    found = np.stack([left, top, right, bottom], axis=-1) / np.float32(side)
    return np.where(np.any(across, axis=-1)[..., None], found, 0).astype(np.float32)


def _local(scenes: Scenes, rows: np.ndarray, place: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the picture in the object's own turned coordinates, in radii: `[m, s, s]` each."""
    centre = scenes.centre[rows, place].astype(np.float32)
    scale = (1 / scenes.radius[rows, place]).astype(np.float32)
    cos, sin = (f(scenes.turn[rows, place]).astype(np.float32) * scale for f in (np.cos, np.sin))
    across, down = (places - centre[:, axis, None] for axis in (0, 1))
    x = (cos[:, None] * across)[:, None, :] + (sin[:, None] * down)[:, :, None]
    y = (cos[:, None] * down)[:, :, None] - (sin[:, None] * across)[:, None, :]
    return x, y


def _paint(scenes: Scenes, rows: np.ndarray, place: int, x: np.ndarray, y: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The colour of every pixel of an object, `[m, s, s, 3]`: lighter above, darker at the rim, and its pattern."""
    base = _RGB[scenes.colour[rows, place]]
    light = scenes.shade[rows, place, None, None].astype(np.float32) - 0.10 * np.clip(y, -1, 1)
    light = light * np.where(depth > -0.12, np.float32(0.78), np.float32(1))
    paint = base[:, None, None] * light[..., None]
    texture = scenes.texture[rows, place]
    for kind, pattern in ((1, _stripes), (2, _dots)):
        own = np.flatnonzero(texture == kind)
        if own.size:
            share = 0.75 * pattern(x[own], y[own])[..., None]
            paint[own] += share * (1 - paint[own])
    return np.clip(paint, 0, 1, out=paint)


def _stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + 2 * np.sin(np.float32(2 * np.pi / 0.7) * (x + y)), 0, 1)


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    period = np.float32(0.62)
    away = np.hypot(np.mod(x, period) - period / 2, np.mod(y, period) - period / 2)
    return np.clip(0.5 + 9 * (0.19 - away), 0, 1)


def _background(numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Pale, from one tint to another, with a faint wave: `[b, s, s, 3]`."""
    numbers = numbers.astype(np.float32)
    hue, other = 2 * np.pi * numbers[:, :1], 2 * np.pi * numbers[:, 1:2]
    phases = np.array([0, 2 * np.pi / 3, 4 * np.pi / 3], np.float32)
    level = 0.80 + 0.12 * numbers[:, 2:3]
    top, bottom = (level + 0.06 * np.cos(angle + phases) for angle in (hue, other))
    share = places[None, :, None, None]
    wave = 0.02 * np.sin(
        2 * np.pi * (1 + 3 * numbers[:, 3, None, None]) * places[None, None, :]
        + 2 * np.pi * (1 + 3 * numbers[:, 4, None, None]) * places[None, :, None]
    )
    faded = top[:, None, None] + share * (bottom - top)[:, None, None]
    return np.clip(faded + wave[..., None], 0, 1).astype(np.float32)


def _line(away: np.ndarray, side: int) -> np.ndarray:
    half = max(_LINE, 1 / side) / 2
    share = np.clip(0.5 - (away - half) * side, 0, 1)
    return np.rint(255 * (1 - share)).astype(np.uint8)[..., None]


# Signed distances in radii, negative inside; y points down. All but the star's are exact near the border.


def _circle(x, y):
    return np.hypot(x, y) - np.float32(0.95)


def _square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.70)


def _diamond(x, y):
    # Taller than wide, so that it is no square that was turned.
    wide, tall = 0.66, 1.0
    return (np.abs(x) / wide + np.abs(y) / tall - 1) * np.float32(wide * tall / np.hypot(wide, tall))


def _triangle(x, y):
    sides = [np.cos(a) * x + np.sin(a) * y for a in np.pi * np.array([0.5, 0.5 + 2 / 3, 0.5 + 4 / 3])]
    return np.maximum.reduce(sides).astype(x.dtype) - np.float32(0.5)


def _cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 0.9, y - 0.32), np.maximum(x - 0.32, y - 0.9))


def _ring(x, y):
    return np.abs(np.hypot(x, y) - np.float32(0.70)) - np.float32(0.25)


def _heart(x, y):
    """A square on its corner and a disc on each of its upper sides."""
    half, low = 0.62, 0.16  # of the diagonal; how far its middle lies below the centre
    y = y - np.float32(low)
    corner = (np.abs(x) + np.abs(y) - half) * np.float32(0.5**0.5)
    disc = np.hypot(np.abs(x) - half / 2, y + half / 2) - np.float32(half * 0.5**0.5)
    return np.minimum(corner, disc)


def _star(x, y):
    """Five tips at radius 1; the line from a tip to the next notch, folded into one of ten sectors."""
    notch, sector = 0.42, np.pi / 5
    angle = np.abs(np.mod(np.arctan2(x, -y) + sector, 2 * sector) - sector)
    length = np.hypot(x, y)
    along, aside = length * np.cos(angle), length * np.sin(angle)
    to = np.array([notch * np.cos(sector) - 1, notch * np.sin(sector)])
    normal = np.array([to[1], -to[0]]) / np.hypot(*to)
    return ((along - 1) * normal[0] + aside * normal[1]).astype(x.dtype)


DISTANCES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "diamond": _diamond,
    "heart": _heart,
    "ring": _ring,
}
