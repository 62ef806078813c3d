"""The system of a configuration."""

import functools
import math

import optax
from ml_collections import ConfigDict

from experiments.image_translation.config import METHODS
from experiments.image_translation.systems import bicyclegan, cyclegan, dsvib, judges, munit, unit
from experiments.image_translation.systems.system import System
from gentoolkit import study, training

# What options may say that are words.
_WORDS: dict[str, tuple[str, ...]] = {
    "adversarial": tuple(judges.FORMS),
    "upsample": ("transposed", "nearest"),
    "dsvib.inject": ("fuse", "literal", "adain"),
    "dsvib.share": ("weights", "activations", "none"),
    "dsvib.norm": ("instance", "batch"),
    "dsvib.init": ("he", "normal"),
    "dsvib.code_init": ("he", "normal"),
    "dsvib.up_norm": ("instance", "layer"),
    "dsvib.bound": ("each", "mixture", "matched"),
    "dsvib.code_prior": ("discrepancy", "divergence"),
    "dsvib.kernel": ("dim", "infovae", "literal", "literal_squared", "median", "laplace", "multiquadric"),
    "dsvib.code_from": ("mean", "sample"),
    "dsvib.code_cycle_updates": ("both", "generator"),
    "dsvib.image_distance": ("absolute", "euclidean"),
    "dsvib.latent_distance": ("squared", "euclidean"),
    "dsvib.likelihood": ("cycle", "direct", "off"),
    "unit.form": ("2018", "2017_leaky", "2017_norms"),
}
_SYSTEMS = {
    "dsvib": dsvib.system,
    "cyclegan": cyclegan.system,
    "unit": unit.system,
    "bicyclegan": bicyclegan.system,
    "munit": munit.system,
}
# Learning rate and weight decay of the public code of a method, where they are not CycleGAN's 2e-4 and 0.
_PUBLISHED_STEPS = {"unit": (1e-4, 1e-4), "munit": (1e-4, 1e-4)}


def resolved(config: ConfigDict) -> ConfigDict:
    """A copy in which the learning rate and the weight decay are numbers: where they are None, those of the method."""
    config = ConfigDict(config.to_dict())
    for name, published in zip(("peak", "weight_decay"), _PUBLISHED_STEPS.get(config.method, (2e-4, 0.0)), strict=True):
        if config.optimizer[name] is None:
            config.optimizer[name] = published
    return config


def optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam of a resolved configuration, whose rate falls to 0 over the second half of the steps.

    The weight decay is added to the gradient, as PyTorch's Adam has it.
    """
    peak, decay, num_steps = config.optimizer.peak, config.optimizer.weight_decay, config.num_steps
    rate = training.learning_rate(
        peak, num_steps=num_steps, decay="linear", final_fraction=0.0, hold_steps=num_steps // 2
    )
    chained = [
        *([optax.clip_by_global_norm(config.optimizer.clip_norm)] if config.optimizer.clip_norm else []),
        *([optax.add_decayed_weights(decay)] if decay else []),
        optax.adam(rate, b1=config.optimizer.b1, b2=config.optimizer.b2),
    ]
    return optax.chain(*chained) if len(chained) > 1 else chained[0]


def _check_sizes(config: ConfigDict) -> None:
    """Refuses networks that cannot be, before they are built."""
    # Half of the width is that of BicycleGAN's second discriminator.
    sizes = {"width": 2 if config.method == "bicyclegan" else 1, "num_steps": 1, "image_size": 4, "batch_size": 1}
    own = {
        "dsvib": {"code_dim": 1, "num_blocks": 0},
        "cyclegan": {"num_blocks": 0},
        "unit": {"num_blocks": 0, "num_scales": 1},
        "bicyclegan": {"code_dim": 1},
        "munit": {"code_dim": 1, "num_blocks": 0, "num_scales": 1},
    }
    sizes |= {f"{config.method}.{name}": least for name, least in own[config.method].items()}
    for name, least in {**sizes, "judge_layers": 0, "pool": 0}.items():
        found = functools.reduce(getattr, name.split("."), config)
        if found < least:
            raise ValueError(f"config.{name} must be at least {least} for {config.method}, got {found}.")
    channels = tuple(config.channels)
    if len(channels) != 2 or not set(channels) <= {1, 3}:
        raise ValueError(f"config.channels must be those of x and of y, 1 or 3 each, got {channels}.")
    if not 0 <= config.optimizer.clip_norm < math.inf:
        raise ValueError(f"config.optimizer.clip_norm must be 0 (none) or more, got {config.optimizer.clip_norm}.")


def build(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system that `config.method` names.

    Raises:
      ValueError: there is no such method, an option says a word that it does not know, numbers do not fit one another,
        or `config.image_size` does not divide as its networks need.
    """
    study.choose("config.method", config.method, METHODS)
    for name, known in _WORDS.items():
        study.choose(f"config.{name}", functools.reduce(getattr, name.split("."), config), known)
    _check_sizes(config)
    least = 1 if config.dsvib.bound == "each" else 2
    if config.dsvib.num_codes < least:
        raise ValueError(
            f"config.dsvib.num_codes must be at least {least} for config.dsvib.bound = {config.dsvib.bound!r}, "
            f"got {config.dsvib.num_codes}."
        )
    if not 0 <= config.way_back_noise < math.inf:
        raise ValueError(
            f"config.way_back_noise is a standard deviation, 0 or more, in [-1, 1]; got {config.way_back_noise}."
        )
    bank = max(config.dsvib.bank, config.batch_size)
    if config.method == "dsvib" and config.dsvib.code_prior == "discrepancy" and bank < 2:
        raise ValueError(
            "The discrepancy of codes from N(0, I) takes two codes at least: "
            f"got config.dsvib.bank = {config.dsvib.bank} and config.batch_size = {config.batch_size}."
        )
    system = _SYSTEMS[config.method](config, optimizer)
    if config.image_size < system.least:
        smaller = f"{config.method}.num_scales" if config.method in ("unit", "munit") else "judge_layers"
        fewer = "" if config.method == "bicyclegan" else f", or a smaller config.{smaller}"
        raise ValueError(
            f"config.image_size must be at least {system.least} for {config.method}{fewer}, got {config.image_size}."
        )
    if config.image_size % system.multiple:
        raise ValueError(
            f"config.image_size must divide by {system.multiple} for {config.method}, got {config.image_size}."
        )
    return system
