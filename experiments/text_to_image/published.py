r"""Painters of others: the checkpoints that the authors of DF-GAN and AttnGAN publish, taken as a run is.

    python -m experiments.text_to_image.sample --run=FOLDER --text="this bird is red" --output=PICTURES

What to put into the folder (nothing is downloaded; each set of files is linked from the README of its code):

| file | of DF-GAN | of AttnGAN |
|---|---|---|
| the generator | `state_epoch_1220.pth` | `bird_AttnGAN2.pth`, `coco_AttnGAN2.pth`, `netG_epoch_600.pth` |
| the text encoder | `text_encoder200.pth` | the same |
| its words | `captions_DAMSM.pickle` | `captions.pickle` |
| the image encoder, which painting does not need | `image_encoder200.pth` | the same |

No code of a file runs: pickles and checkpoints are read by machines of this package that know numbers and names alone.
Sizes are read off the weights. Texts are split into words as everywhere here, and words that the encoder does not know
are passed over, as by the authors. Texts that are painted together have each their own mask (`models/.../attngan.py`
says what the authors' code does; a text alone is painted as theirs paints it).
"""

import pathlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import encoders
from experiments.text_to_image.systems import build
from experiments.text_to_image.systems.system import System
from gentoolkit.data.text import Vocabulary
from gentoolkit.models import weights
from gentoolkit.models.text.encoded import TextEncoder
from gentoolkit.models.text_to_image import attngan, dfgan

_OTHERS = (encoders.TEXT, encoders.IMAGES, "netD*.pth")  # files beside that of the generator
_SMALLEST = 4  # height and width at which both generators begin


class Published(NamedTuple):
    """What a `painters.Painter` is made of, in its order."""

    name: str
    config: ConfigDict
    system: System
    models: dict[str, Any]
    text: TextEncoder
    vocabulary: Vocabulary
    max_words: int


def load(folder: pathlib.Path, *, encoder: str = "") -> Published:
    """Reads the files of a folder.

    Args:
      folder: see the module.
      encoder: folder of its encoder's files, where they lie elsewhere.

    Returns:
      The painter, in evaluation mode.

    Raises:
      ValueError: a file is missing, cannot be read, or does not belong to the others.
    """
    told = encoders.published(pathlib.Path(encoder or folder))
    path = encoders.only(folder, "*.pth", but=_OTHERS)
    file = _read(path)
    if "to_rgb.1.weight" in file:
        config, name, made, table = _dfgan(file, path)
        ignore: Iterable[str] = ()
    elif "ca_net.fc.weight" in file:
        config, name, made, table = _attngan(file, path)
        ignore = attngan.IGNORED
    else:
        some = ", ".join(list(file)[:3])
        raise ValueError(f"{path} is neither a generator of DF-GAN nor of AttnGAN; it has {some}, ...")
    generator = weights.assign(made, table, file, ignore=ignore)
    generator.eval()
    of_text = getattr(made, "sentence_dim", None) or made.text_dim
    if of_text != told.features:
        raise ValueError(
            f"{path} is told by sentences of {of_text} features, and the text encoder beside it has {told.features}."
        )
    config.text.features, config.text.embedding = told.features, told.text.embed.features
    config.text.dropout, config.text.unknown = 0.0, "pass over"
    config.encoder = str(encoder or folder)
    return Published(
        str(folder), config, build.painter(config, told), {name: generator}, told.text, told.vocabulary, told.max_words
    )


def _read(path: pathlib.Path) -> weights.Weights:
    """A state_dict, or that of the generator in a checkpoint of several networks."""
    found = weights.read(path)
    if not any(name.startswith("netG.") for name in found):
        return found
    return weights.read(path, within=f"{found.within}.netG" if found.within else "netG")


def _dfgan(file: weights.Weights, path: pathlib.Path) -> tuple[ConfigDict, str, Any, weights.Table]:
    """The generator of DF-GAN: its configuration, its name here, its shapes, and where its weights stand."""
    config = config_lib.get_config("dfgan_cub256")
    blocks = _number(file, r"GBlocks\.(\d+)\.", first=0)
    options = {
        "width": _size(file, "to_rgb.1.weight", 1, path),
        "noise_dim": _size(file, "fc.weight", 1, path),
    }
    condition = _size(file, "GBlocks.0.fuse1.affine0.fc_gamma.linear1.weight", 1, path)
    config.image_size = _SMALLEST << blocks
    config.dfgan.update(options)
    sizes = {**options, "image_size": config.image_size, "sentence_dim": condition - options["noise_dim"]}
    made = nnx.eval_shape(lambda: dfgan.Generator(**sizes, rngs=nnx.Rngs(0)))
    return config, "generator", made, dfgan.generator_table(config.image_size, options["width"])


def _attngan(file: weights.Weights, path: pathlib.Path) -> tuple[ConfigDict, str, Any, weights.Table]:
    """The same of AttnGAN."""
    config = config_lib.get_config("attngan_cub256")
    condition = _size(file, "ca_net.fc.weight", 0, path) // 4
    num_stages = _number(file, r"img_net(\d+)\.", first=1)
    depth = {"num_stages": num_stages, "num_residual": _number(file, r"h_net2\.residual\.(\d+)\.", first=0)}
    options = {
        **depth,
        "width": _size(file, "img_net1.img.0.weight", 1, path),
        "condition_dim": condition,
        "noise_dim": _size(file, "h_net1.fc.0.weight", 1, path) - condition,
    }
    config.image_size = 16 * _SMALLEST << (num_stages - 1)  # the first of them paints 64 x 64 pixels
    config.attngan.update(options)
    text_dim = _size(file, "ca_net.fc.weight", 1, path)
    made = nnx.eval_shape(
        lambda: attngan.Generator(image_size=config.image_size, text_dim=text_dim, **options, rngs=nnx.Rngs(0))
    )
    return config, "paint", made, attngan.generator_table(image_size=config.image_size, **depth)


def _size(file: weights.Weights, name: str, axis: int, path: pathlib.Path) -> int:
    if name not in file or file[name].ndim <= axis:
        raise ValueError(f"{path} has no {name}, which its authors' generators have.")
    return file[name].shape[axis]


def _number(file: weights.Weights, pattern: str, *, first: int) -> int:
    """How many parts of one kind there are, by the highest number in their names."""
    found = [int(match.group(1)) for name in file if (match := re.match(pattern, name))]
    return max(found, default=first - 1) - first + 1
