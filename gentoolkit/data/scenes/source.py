"""Scenes as a data set: each column is drawn when it is asked for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gentoolkit.data import _locate
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Boxes, Field, Image, Label, Mask, Ragged
from gentoolkit.data.scenes import captions, law, render

_RELATIONS_AT_MOST = law.MOST * (law.MOST - 1) // 2


def load(split: str, num: int, *, image_size: int = 32, seed: int = 0, max_objects: int = law.MOST) -> Columns:
    """Makes a data set of scenes; nothing is drawn before it is read.

    Args:
      split: "train", "test" (other scenes of the same kind) or "held_out" (whose first object is of a combination of
        shape and colour that neither of the two has), or "all" (of every combination; others than those of the rest).
      num: how many; the first ones of a longer data set are the same.
      image_size: height and width in pixels, 16 or more.
      seed: non-negative; another seed draws others.
      max_objects: of a scene, 1 to 4; with fewer the same scenes lack their last ones, and texts say so.

    Returns:
      The data set, with the columns that the module lists.

    Raises:
      ValueError: an option outside its range.
    """
    _locate.check_split("scenes", split, law.SPLITS)
    if num < 1 or image_size < 16 or seed < 0:
        raise ValueError(
            "num must be >= 1, image_size >= 16 and seed >= 0, "
            f"got num = {num}, image_size = {image_size}, seed = {seed}."
        )
    _check_most(max_objects)
    size, most = (image_size, image_size), law.MOST
    classes = {"objects": law.SHAPES, "colours": law.COLOURS, "sizes": law.SIZES, "textures": law.TEXTURES}
    return Columns(
        num,
        {
            "image": Image(shape=(*size, 3)),
            "captions": Field(shape=(captions.NUM_TEXTS, captions.MAX_WORDS), dtype=np.int32),
            **{name: Label(class_names=names, max_length=most) for name, names in classes.items()},
            "boxes": Boxes(max_length=most),
            "masks": Mask(shape=size, dtype=np.bool_, max_length=most),
            "relations": Field(shape=(3,), dtype=np.int32, max_length=_RELATIONS_AT_MOST),
            "outline": Image(shape=(*size, 1)),
        },
        _Read(split, seed, image_size, max_objects),
        description=f"Captioned scenes ({split}, {num} of {image_size} x {image_size}, drawn with seed {seed})",
    )


def texts(split: str, index: int, *, seed: int = 0, max_objects: int = law.MOST) -> tuple[str, ...]:
    """The texts of one scene, as words.

    Args:
      split: as in `load`.
      index: of the scene.
      seed: as in `load`.
      max_objects: as in `load`.

    Returns:
      `NUM_TEXTS` texts.
    """
    _locate.check_split("scenes", split, law.SPLITS)
    _check_most(max_objects)
    return captions.write(_drawn(split, seed, np.array([index]), max_objects), 0)


def _check_most(max_objects: int) -> None:
    if not 1 <= max_objects <= law.MOST:
        raise ValueError(f"max_objects must be from 1 to {law.MOST}, got max_objects = {max_objects}.")


def _drawn(split: str, seed: int, indices: np.ndarray, most: int) -> law.Scenes:
    scenes = law.draw(split, seed, indices)
    return scenes._replace(num=np.minimum(scenes.num, most))


@dataclasses.dataclass(frozen=True)
class _Read:
    split: str
    seed: int
    image_size: int
    most: int

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        scenes = _drawn(self.split, self.seed, indices, self.most)
        wanted = {
            "image": "image" in names,
            "masks": bool({"masks", "boxes"} & set(names)),
            "outline": "outline" in names,
        }
        drawn = render.draw(scenes, self.image_size, **wanted)
        there = np.arange(law.MOST) < scenes.num[:, None]
        lengths = scenes.num.astype(np.int32)
        found: dict[str, Any] = {"image": drawn.image, "outline": drawn.outline}
        for column, drawn_class in (
            ("objects", scenes.shape),
            ("colours", scenes.colour),
            ("sizes", scenes.size),
            ("textures", scenes.texture),
        ):
            found[column] = Ragged(np.where(there, drawn_class, 0).astype(np.int32), lengths)
        if drawn.masks is not None:
            found |= {"masks": Ragged(drawn.masks, lengths), "boxes": Ragged(render.boxes(drawn.masks), lengths)}
        if "captions" in names:
            written = [captions.write(scenes, row) for row in range(len(indices))]
            flat = [text for several in written for text in several]
            tokens = captions.VOCABULARY.encode(flat, max_length=captions.MAX_WORDS).values
            found["captions"] = tokens.reshape(len(indices), captions.NUM_TEXTS, -1)
        if "relations" in names:
            found["relations"] = [law.relations(scenes, row) for row in range(len(indices))]
        return {name: found[name] for name in names}
