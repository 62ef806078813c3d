"""Networks that training begins with: of another run, or of a painter, detector or encoders in one small file."""

import pathlib

from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import files, runs
from experiments.text_to_image.systems.system import System
from gentoolkit import training


def initial(config: ConfigDict, system: System) -> training.Initial | None:
    """What `config.initial` names, else what the system begins with of its own.

    A network that the source lacks begins anew: the discriminator of what `export` wrote, which keeps only what paints,
    and a text encoder that the other run left as it was.

    Args:
      config: of the run that begins.
      system: built of it.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: it is of another system.
    """
    if not config.initial:
        return system.initial
    names = list(nnx.eval_shape(lambda: system.models(nnx.Rngs(0))))
    path = files.shipped((config.system,)).get(config.initial, pathlib.Path(config.initial))
    if path.suffix == ".npz":
        stored, arrays, _ = files.read(path)
        if stored.system != config.system:
            raise ValueError(f"config.initial: {path} holds a {stored.system}, not a {config.system}.")
        ours = {name: array for name, array in arrays.items() if name.partition("/")[0] in names}
        held = {name.partition("/")[0] for name in ours}
        return training.Initial(ours, into=[name for name in names if name in held])
    stored = runs.read_config(path, systems=(config.system,))
    left_as_it_was = {"text"} if config.system == "vae" and not stored.vae.trains_text else set()
    return training.Initial(path, into=[name for name in names if name not in left_as_it_was])
