r"""Configurations of text to picture, chosen as `config.py:SYSTEM_DATA`.

Every value can be set from the command line, e.g. `--config.num_steps=2000 --config.dfgan.gradient_penalty=0`.

Systems: encoders of texts and pictures (`damsm`, `clip`), a `detector` of objects, and what paints: `vae`, `dfgan`,
`attngan`. Data: `scenes32` and `scenes64`, which are drawn and need no download. What paints needs an encoder:
`--config.encoder=` the folder of a damsm run.
"""

from ml_collections import ConfigDict

from gentoolkit import study

ENCODERS = ("damsm", "clip")
PAINTERS = ("vae", "dfgan", "attngan")
SYSTEMS = (*ENCODERS, "detector", *PAINTERS)
DATA = {
    "scenes32": {"dataset": "scenes", "image_size": 32},
    "scenes64": {"dataset": "scenes", "image_size": 64},
}
_STEPS = {"damsm": 6000, "clip": 6000, "detector": 6000, "vae": 20000, "dfgan": 20000, "attngan": 20000}


def get_config(preset: str = "dfgan_scenes32") -> ConfigDict:
    """Returns the configuration of a preset."""
    chosen = study.choose("preset", preset, [f"{system}_{data}" for data in DATA for system in SYSTEMS])
    system, data = chosen.split("_")
    return ConfigDict(
        {
            "preset": preset,
            "system": system,
            **DATA[data],
            "num_train": 50000,  # scenes
            "num_test": 2000,
            "max_objects": 4,  # of a scene
            "seed": 0,
            "num_steps": _STEPS[system],
            "batch_size": 48 if system == "damsm" else 64,
            "encoder": "",  # folder of the damsm run whose frozen encoder painters are told by
            "compute_dtype": "float32",  # or "bfloat16" on accelerators
            "ema_decay": 0.999 if system in PAINTERS else 0.0,
            "train": {"log_every": 100, "checkpoint_every": 1000, "evaluate_every": 2000},
            "text": {"features": 128, "embedding": 64, "dropout": 0.5},
            "damsm": {
                "width": 32,
                "gamma_1": 4.0,
                "gamma_2": 5.0,
                "gamma_3": 10.0,
                "scale": "public",  # or "paper", whose scores are gamma_2 times smaller
                "peak": 2e-3,
                "clip_norm": 0.25,  # of the text encoder's gradient
            },
            "clip": {"width": 96, "num_layers": 2, "num_heads": 4, "patch_size": 4, "features": 64, "peak": 1e-3},
            "detector": {"width": 32, "num_blocks": 2, "peak": 2e-3},
            "vae": {
                "width": 32,
                "noise_dim": 64,
                "scale": 0.1,  # of the Laplace law of a pixel in [-1, 1]: a smaller one makes codes say more
                "peak": 1e-3,
            },
            "dfgan": {
                "width": 16,
                "noise_dim": 32,
                "gradient_penalty": 2.0,  # its strength; 0 leaves it out
                "power": 6.0,
                "mismatched": 0.5,  # weight of real pictures with the text of others, and of painted ones
                "peak_generator": 1e-4,
                "peak_discriminator": 4e-4,
                "b1": 0.0,
                "b2": 0.9,
            },
            "attngan": {
                "width": 24,
                "judge_width": 24,
                "num_stages": 2,
                "noise_dim": 64,
                "condition_dim": 32,
                "num_residual": 2,
                "damsm": 5.0,  # lambda
                "divergence": 1.0,
                "peak": 2e-4,
                "b1": 0.5,
                "b2": 0.999,
            },
        }
    )
