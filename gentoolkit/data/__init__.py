"""Image data: random-access sources, one-time preparation, and step-indexed streams of batches.

Importing this package loads nothing heavy; a room is loaded when it is first named::

    from gentoolkit.data import mnist, pipeline

    train = mnist.load("train", data_dir="~/data")
    batches = pipeline.Stream(train, seed=0, batch_size=128)
    batches[7]                      # step 7, always the same
    iterator = iter(batches)        # prefetching; get_state() and set_state(...) go into a checkpoint

A *source* is any object with `len(source)` and `source[i] -> {"image": uint8 [h, w, c], "label": int}`.

| module | what it gives |
|---|---|
| `source` | `Source`, `ArraySource`, `ImageFiles`, `Subset`; `split`, `in_memory` |
| `digits` | `load(split)`: 8x8 digits shipped inside scikit-learn, the embedded default |
| `mnist` | `load(split, data_dir=)`: idx files, plain or gzip, verified by SHA-256 of their contents |
| `cifar10` | `load(split, data_dir=)`: binary version or class folders of images; `prepare` |
| `celeb_a` | `load(split, data_dir=)`: 64x64, the published crop; `prepare` |
| `folder` | `load(directory, image_shape=)`: any folder of images, with explicit conversions |
| `prepared` | `load(directory, split)`: any data set that tensorflow-datasets has prepared, tensorflow not needed |
| `preparation` | `prepare(sources, directory, name=)`: decodes once and writes array_record, without tensorflow |
| `pipeline` | `Stream` for training, `EvaluationPass` for one pass in order |
| `transform` | `horizontal_flip`, an augmentation for `Stream(transforms=...)` |

Files are looked for in `data_dir`, or, when that is not given, in the folder named by the environment variable
`GENTOOLKIT_DATA`; each data set may lie in it directly or in a subfolder of its own name (`mnist`, `cifar10`,
`celeb_a`). Nothing is ever downloaded: a missing file is a `FileNotFoundError` that says what to put where, and a
damaged or unfitting one is a `ValueError` that names the file.
"""

import importlib
import types

_MODULES = (
    "celeb_a",
    "cifar10",
    "digits",
    "folder",
    "mnist",
    "pipeline",
    "preparation",
    "prepared",
    "source",
    "transform",
)


def __getattr__(name: str) -> types.ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
