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


def load(split: str, num: int, *, image_size: int = 32, seed: int = 0) -> Columns:
    """Makes a data set of scenes; nothing is drawn before it is read.

    Args:
      split: "train", "test" (other scenes of the same kind) or "held_out" (whose first object is of a combination of
        shape and colour that neither of the two has).
      num: how many; the first ones of a longer data set are the same.
      image_size: height and width in pixels, 16 or more.
      seed: non-negative; another seed draws others.

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
    size, most = (image_size, image_size), law.MOST
    classes = {"shapes": law.SHAPES, "colours": law.COLOURS, "sizes": law.SIZES, "textures": law.TEXTURES}
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
        _Read(split, seed, image_size),
        description=f"Captioned scenes ({split}, {num} of {image_size} x {image_size}, drawn with seed {seed})",
    )


def texts(split: str, index: int, *, seed: int = 0) -> tuple[str, ...]:
    """The texts of one scene, as words.

    Args:
      split: as in `load`.
      index: of the scene.
      seed: as in `load`.

    Returns:
      `NUM_TEXTS` texts.
    """
    _locate.check_split("scenes", split, law.SPLITS)
    return captions.write(law.draw(split, seed, np.array([index])), 0)


@dataclasses.dataclass(frozen=True)
class _Read:
    split: str
    seed: int
    image_size: int

    def __call__(self, indices: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        scenes = law.draw(self.split, self.seed, indices)
        wanted = {
            "image": "image" in names,
            "masks": bool({"masks", "boxes"} & set(names)),
            "outline": "outline" in names,
        }
        drawn = render.draw(scenes, self.image_size, **wanted)
        there = np.arange(law.MOST) < scenes.num[:, None]
        lengths = scenes.num.astype(np.int32)
        found: dict[str, Any] = {"image": drawn.image, "outline": drawn.outline}
        for name in ("shape", "colour", "size", "texture"):
            values = np.where(there, getattr(scenes, name), 0).astype(np.int32)
            found[f"{name}s"] = Ragged(values, lengths)
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
