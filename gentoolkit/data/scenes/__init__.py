"""Captioned scenes, drawn: some objects on a background, and texts that say what is seen and how it lies.

Every picture comes with all that a system of text to picture may ask for: several texts, the objects with their
attributes, boxes and masks, how they lie to one another, an outline. Example i is the same whenever it is asked for,
nothing is kept in memory, and at 32 pixels a core draws some thousands a second.

    train = scenes.load("train", 50_000, image_size=32)
    train[0]["captions"]                       # [5, 36] numbers of words; scenes.VOCABULARY has them
    scenes.texts("train", 0)                   # ("a small red circle above a blue square", ...)

| column | one example |
|---|---|
| `image` | `[s, s, 3]` bytes |
| `captions` | `[5, 36]` words' numbers, zeros behind the last one: five texts that all say the truth |
| `objects` | the shape of each object, up to four, the first ones named first |
| `colours`, `sizes`, `textures` | the same, of each object |
| `boxes`, `masks` | of each object, exact to the pixel |
| `relations` | `[3]` for each relation that holds clearly: subject, relation (`RELATIONS`), object |
| `outline` | `[s, s, 1]` bytes, black on white |

Words leave things unsaid (background, rotation, shade, medium size), so that one text has many pictures. Some shapes
are rare. Eight combinations of shape and colour, one of each shape, are in "held_out" and not in "train" and "test":
what a system makes of them tells whether it takes words apart. What is to paint anything is trained on "all". Do not
mirror these pictures: texts say "left".
"""

from gentoolkit.data.scenes.captions import MAX_WORDS as MAX_WORDS
from gentoolkit.data.scenes.captions import NUM_TEXTS as NUM_TEXTS
from gentoolkit.data.scenes.captions import VOCABULARY as VOCABULARY
from gentoolkit.data.scenes.fitting import FITTED_SIDE as FITTED_SIDE
from gentoolkit.data.scenes.fitting import misfits as misfits
from gentoolkit.data.scenes.law import COLOURS as COLOURS
from gentoolkit.data.scenes.law import RELATIONS as RELATIONS
from gentoolkit.data.scenes.law import SHAPES as SHAPES
from gentoolkit.data.scenes.law import SIZES as SIZES
from gentoolkit.data.scenes.law import SPLITS as SPLITS
from gentoolkit.data.scenes.law import TEXTURES as TEXTURES
from gentoolkit.data.scenes.law import held_out as held_out
from gentoolkit.data.scenes.reading import Asked as Asked
from gentoolkit.data.scenes.reading import read as read
from gentoolkit.data.scenes.source import load as load
from gentoolkit.data.scenes.source import texts as texts
from gentoolkit.data.scenes.wording import reworded as reworded
