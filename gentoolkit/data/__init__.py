"""Data: named columns with fields, one-time preparation, and step-indexed streams of batches.

Importing this package loads nothing heavy; a room is loaded when it is first named::

    from gentoolkit.data import mnist, pipeline

    train = mnist.load("train", data_dir="~/data")
    batches = pipeline.Stream(train, seed=0, batch_size=128)
    batches[7]                      # step 7, always the same
    iterator = iter(batches)        # prefetching; get_state() and set_state(...) go into a checkpoint

A data set is a `columns.Columns`: named columns, each with a field that says what it holds and how it is mirrored,
cropped, scaled and padded.

| module | what it gives |
|---|---|
| `fields` | `Image`, `Mask`, `Boxes`, `Tokens`, `Sound`, `Label`, `Field`; `Ragged`, a column of variable lengths |
| `columns` | `Columns`; `from_values`, `images`, `split`, `deal`, `in_memory` |
| `digits` | `load(split)`: 8x8 digits shipped inside scikit-learn, the embedded default |
| `mnist` | `load(split, data_dir=)`: idx files, plain or gzip, verified by SHA-256 of their contents |
| `cifar10` | `load(split, data_dir=)`: binary version or class folders of images; `prepare` |
| `celeb_a` | `load(split, data_dir=)`: 64x64, the published crop; `prepare` |
| `cub`, `oxford_flowers` | `load(root, split)`: birds and flowers with ten texts each, AttnGAN's splits and crop |
| `coco` | `load(root, split)`: texts, objects, boxes, masks, classes of pixels; the filters of published systems |
| `visual_genome` | `load(root, split)`: objects, attributes, relations, texts of regions; `read_classes` |
| `ade20k` | `load(root, split)`: scenes with the class of every pixel; `read_classes` |
| `fashion_gen` | `load(root, split)`: clothes with descriptions, of HDF5 files |
| `multi30k` | `load(root, split)`: texts in several languages line by line, with pictures or without |
| `captioned_folder` | `load(directory, table, image=, texts=)`: any folder of pictures with a table of texts |
| `folder` | `load(directory, image_shape=)`: any folder of images, with explicit conversions |
| `prepared` | `load(directory, split)`: any data set that tensorflow-datasets has prepared, tensorflow not needed |
| `preparation` | `prepare(sources, directory, name=)`: reads once and writes array_record, without tensorflow |
| `aligned` | pairs of pictures: `halves` of one file, `folders` with the same names (CUFS too), `listed` in a file |
| `openmoji` | `load(split)`: outlines and colourings of some 4,000 drawings, without a download |
| `openmoji_texts` | `load(split)`: their names as texts, in fourteen languages, and keywords in two |
| `pictures` | photographs from and to files with all that the files say about them: depth, alpha, EXIF, profiles |
| `polygons` | `load(num)`: outlines and filled shapes, content and colour known exactly |
| `record` | what the columns of captioned pictures are called and hold, of every set; `check` |
| `captions` | `OneText`, `SomeWords`: which text of a picture, and which of its words, a step sees |
| `scenes` | `load(split, num)`: drawn scenes with texts, objects, boxes, masks and relations |
| `text` | `Vocabulary`: words to numbers of variable length, and back |
| `clip_tokens` | `read(path)`: byte pairs of CLIP's vocabulary files; texts to rows of 77 tokens |
| `pipeline` | `Stream` for training, `EvaluationPass` for one pass in order, `scale` |
| `pairs` | `Together(a=..., b=...)`: streams side by side, for sets without pairs |
| `transform` | `horizontal_flip`, `RandomCrop`: augmentations for `Stream(transforms=...)` |

Files are looked for in `data_dir`, or, when that is not given, in the folder named by the environment variable
`GENTOOLKIT_DATA`; each data set may lie in it directly or in a subfolder of its own name (`mnist`, `cifar10`,
`celeb_a`). Nothing is ever downloaded: a missing file is a `FileNotFoundError` that says what to put where, and a
damaged or unfitting one is a `ValueError` that names the file.
"""

import importlib
import types

_MODULES = (
    "ade20k",
    "aligned",
    "captioned_folder",
    "captions",
    "celeb_a",
    "cifar10",
    "clip_tokens",
    "coco",
    "columns",
    "cub",
    "digits",
    "fashion_gen",
    "fields",
    "folder",
    "mnist",
    "multi30k",
    "openmoji",
    "openmoji_texts",
    "oxford_flowers",
    "pairs",
    "pictures",
    "pipeline",
    "polygons",
    "preparation",
    "prepared",
    "record",
    "scenes",
    "text",
    "transform",
    "visual_genome",
)


def __getattr__(name: str) -> types.ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
