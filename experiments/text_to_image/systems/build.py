"""The system of a configuration."""

from ml_collections import ConfigDict

from experiments.text_to_image.config import SYSTEMS
from experiments.text_to_image.data import Captioned
from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import attngan, clip, damsm, detector, dfgan, probe, vae
from experiments.text_to_image.systems.system import System
from gentoolkit import study

_PAINTERS = {"vae": vae.system, "dfgan": dfgan.system, "attngan": attngan.system}


def build(config: ConfigDict, captioned: Captioned, encoders: Pretrained | None) -> System:
    """Builds the system that `config.system` names.

    Args:
      config: of a run.
      captioned: its data.
      encoders: what tells a painter of texts; None for other systems.

    Raises:
      ValueError: there is no such system, or its options cannot be.
    """
    study.choose("config.system", config.system, SYSTEMS)
    if config.batch_size < 2:
        raise ValueError(f"config.batch_size must be at least 2, got {config.batch_size}.")
    if config.system == "damsm":
        return damsm.system(config, captioned.vocabulary)
    if config.system == "clip":
        return clip.system(config, captioned.vocabulary, captioned.max_words)
    if config.system == "detector":
        return detector.system(config)
    if config.system == "probe":
        return probe.system(config, captioned)
    assert encoders is not None
    if config[config.system].get("damsm") and encoders.images is None:
        raise ValueError(
            f"This painter is trained by an encoder of pictures too, and {config.encoder} has none "
            f"(image_encoder*.pth). Put it there, or give config.{config.system}.damsm=0."
        )
    return painter(config, encoders)


def painter(config: ConfigDict, encoders: Pretrained) -> System:
    """Builds a system that paints; `build` builds any."""
    return _PAINTERS[config.system](config, encoders)
