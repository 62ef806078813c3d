"""What is in a scene: objects, attributes, places and relations, drawn from a number for the scene alone."""

from typing import Any, NamedTuple

import numpy as np

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "heart", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "pink")
SIZES = ("small", "medium", "large")
TEXTURES = ("plain", "striped", "dotted")
RELATIONS = ("to the left of", "to the right of", "above", "below")
SPLITS = ("train", "test", "held_out", "all")  # in this order, by which scenes are numbered
MOST = 4  # objects of a scene

_OFTEN = np.cumsum([0.22, 0.22, 0.22, 0.10, 0.09, 0.09, 0.03, 0.03])  # of the shapes: the last two are rare
_HOW_MANY = np.cumsum([0.25, 0.40, 0.22, 0.13])
_TEXTURED = np.cumsum([0.70, 0.15, 0.15])
# Radii as shares of the picture's side; between two sizes there is a gap.
_RADII = np.array([[0.085, 0.105], [0.13, 0.15], [0.185, 0.215]])
_MARGIN = 0.025  # between two objects, and to the border
_TRIES = 24  # places that are tried for an object
_ALIGNED = 0.75  # share of the tries that lie clearly to one side of an earlier object
_CLEAR = 1.6  # how many times further along one axis than along the other is "above" and not "above and left"
_TWICE = 0.12  # share of scenes of several objects whose first two are alike
_PER_OBJECT, _PER_TRY = 8, 4
_NUMBERS = 4 + 6 + MOST * (_PER_OBJECT + _TRIES * _PER_TRY)


class Scenes(NamedTuple):
    """A batch of scenes; what is beyond the number of objects of a scene means nothing.

    Attributes:
      num: `[b]` objects, 1 to 4.
      shape: `[b, 4]` in `SHAPES`, and so on.
      colour: `[b, 4]`.
      size: `[b, 4]`.
      texture: `[b, 4]`.
      centre: `[b, 4, 2]`, x and y as shares of the side, y downwards.
      radius: `[b, 4]`, a share of the side.
      turn: `[b, 4]` radians.
      shade: `[b, 4]`, about 1: how light.
      background: `[b, 6]` uniform numbers.
      wording: `[b]` uint32, decides which words the texts take.
    """

    num: np.ndarray
    shape: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    texture: np.ndarray
    centre: np.ndarray
    radius: np.ndarray
    turn: np.ndarray
    shade: np.ndarray
    background: np.ndarray
    wording: np.ndarray


def held_out(shape: Any, colour: Any) -> Any:
    """Whether "train" and "test" lack a combination: one colour of each shape, one shape of each colour.

    Args:
      shape: places in `SHAPES`, a number or an array.
      colour: places in `COLOURS`, of the same shape.
    """
    return (colour - 3 * shape) % len(COLOURS) == 2


def draw(split: str, seed: int, indices: np.ndarray) -> Scenes:
    """Draws scenes.

    Args:
      split: of `SPLITS`; other splits are other scenes.
      seed: of the data set.
      indices: `[b]`, which scenes: each depends on its own number alone.

    Returns:
      The scenes.
    """
    # A key of its own for each split, and a place far apart in the generator's sequence for each scene.
    key = np.array([seed, SPLITS.index(split)], np.uint64)
    numbers = np.empty((len(indices), _NUMBERS))
    for row, index in enumerate(indices):
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, int(index)]))
        generator.random(out=numbers[row])
    of_scene, background, rest = np.split(numbers, [4, 10], axis=1)
    rest = rest.reshape(len(indices), MOST, -1)
    of_object, tries = rest[..., :_PER_OBJECT], rest[..., _PER_OBJECT:].reshape(*rest.shape[:2], _TRIES, _PER_TRY)
    num = np.searchsorted(_HOW_MANY, of_scene[:, 0], side="right").clip(0, MOST - 1) + 1
    shape = np.searchsorted(_OFTEN, of_object[..., 0], side="right").clip(0, len(SHAPES) - 1)
    colour = (of_object[..., 1] * len(COLOURS)).astype(np.int64)
    size = (of_object[..., 2] * len(SIZES)).astype(np.int64)
    texture = np.searchsorted(_TEXTURED, of_object[..., 3], side="right").clip(0, len(TEXTURES) - 1)
    # Four large objects have no room, and nobody sees a pattern on a small one.
    size = np.where((size == 2) & (np.arange(MOST) > 1), 1, size)
    texture = np.where(size == 0, 0, texture)
    twice = (of_scene[:, 1] < _TWICE) & (num > 1)
    # The second of two that are alike is made a copy of the first only then.
    colour = _distinct(shape, colour, split)
    for attribute in (shape, colour, size, texture):
        attribute[:, 1] = np.where(twice, attribute[:, 0], attribute[:, 1])
    low, high = np.moveaxis(_RADII[size], -1, 0)
    radius = low + (high - low) * of_object[..., 4]
    radius[:, 1] = np.where(twice, radius[:, 0], radius[:, 1])
    centre, num = _places(num, radius, tries)
    return Scenes(
        num, shape, colour, size, texture, centre, radius,
        turn=(of_object[..., 5] - 0.5) * 0.5,
        shade=0.9 + 0.2 * of_object[..., 6],
        background=background,
        wording=(of_scene[:, 2] * 2**32).astype(np.uint32),
    )  # fmt: skip


def relations(scenes: Scenes, row: int) -> list[tuple[int, int, int]]:
    """The relations of a scene that hold clearly, each pair of objects once, as `(subject, relation, object)`.

    A pair lies clearly so where its centres are much further apart along one axis than along the other. Of a pair the
    object with the smaller number is the subject; the other way round the opposite relation holds.
    """
    found = []
    for one in range(scenes.num[row]):
        for other in range(one + 1, scenes.num[row]):
            across, down = scenes.centre[row, one] - scenes.centre[row, other]
            if abs(across) > _CLEAR * abs(down):
                found.append((one, 0 if across < 0 else 1, other))
            elif abs(down) > _CLEAR * abs(across):
                found.append((one, 2 if down < 0 else 3, other))
    return found


def opposite(relation: int) -> int:
    """Left for right, above for below."""
    return relation ^ 1


def _distinct(shape: np.ndarray, colour: np.ndarray, split: str) -> np.ndarray:
    """Colours such that no two objects of a scene are of one shape and colour, and combinations are of the split."""
    colour = colour.copy()
    for place in range(MOST):
        if place == 0 and split == "held_out":
            colour[:, 0] = (3 * shape[:, 0] + 2) % len(COLOURS)
            continue
        for _ in range(MOST + 1):  # as many changes as there may be reasons for
            taken = held_out(shape[:, place], colour[:, place]) & (split != "all")
            for before in range(place):
                same = (shape[:, before] == shape[:, place]) & (colour[:, before] == colour[:, place])
                taken = taken | same
            colour[:, place] = np.where(taken, (colour[:, place] + 1) % len(COLOURS), colour[:, place])
    return colour


def _places(num: np.ndarray, radius: np.ndarray, tries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres without overlap; an object that finds no place is left out, with those after it.

    Returns:
      `[b, 4, 2]` centres and `[b]` numbers of objects.
    """
    count = len(num)
    centre = np.empty((count, MOST, 2))
    rows, num = np.arange(count), num.copy()
    for place in range(MOST):
        own = radius[:, place, None]
        free = own + _MARGIN
        u, v, which, how = np.moveaxis(tries[:, place], -1, 0)  # [b, tries] each
        x, y = (free + (1 - 2 * free) * part for part in (u, v))
        if place:
            # Beside an earlier object, a little off one of the four directions.
            beside = (which * place).astype(np.int64)
            side = np.floor(4 * how / _ALIGNED)
            angle = np.pi / 2 * side + (u - 0.5) * 0.7
            apart = own + np.take_along_axis(radius, beside, 1) + _MARGIN + 0.25 * v
            at = np.take_along_axis(centre, beside[..., None], 1)
            aligned = how < _ALIGNED
            x = np.where(aligned, at[..., 0] + apart * np.cos(angle), x)
            y = np.where(aligned, at[..., 1] + apart * np.sin(angle), y)
        fits = (np.minimum(x, y) >= free) & (np.maximum(x, y) <= 1 - free)
        for before in range(place):
            far = np.hypot(x - centre[:, before, None, 0], y - centre[:, before, None, 1])
            fits &= far >= own + radius[:, before, None] + _MARGIN
        best = fits.argmax(1)
        centre[:, place, 0], centre[:, place, 1] = x[rows, best], y[rows, best]
        num = np.where(~fits[rows, best], np.minimum(num, max(place, 1)), num)
    return centre, num
