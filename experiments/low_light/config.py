"""Configurations of the reference network of low-light enhancement, chosen as `config.py:PRESET`.

    python -m experiments.low_light.main \
        --config=experiments/low_light/config.py:rgb --config.data_dir=DIR --workdir=runs/low_light_rgb

| preset | network | data | time on one slow CPU core |
|---|---|---|---|
| rgb | three channels, 31,715 parameters | CIFAR-10 in `--config.data_dir` (folders or binary files) | 15 minutes |
| luminance | one channel, 20,545 parameters | the same, luma only | 15 minutes |
| smoke | three channels | the same, a few steps: does it run | under a minute |

Expected: a held-out PSNR near 20 dB, mean over the 26 levels of darkness; how bright a small crop was is not in the
crop, and no length of training changes that.
"""

import difflib

from ml_collections import ConfigDict

_PRESETS = {
    "rgb": {"channels": 3, "num_steps": 4000},
    "luminance": {"channels": 1, "num_steps": 4000},
    "smoke": {"channels": 3, "num_steps": 4},
}


def get_config(preset: str = "rgb") -> ConfigDict:
    """Returns the configuration of a preset."""
    if preset not in _PRESETS:
        near = difflib.get_close_matches(preset, _PRESETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no preset {preset!r}; there are: {', '.join(_PRESETS)}.{hint}")
    chosen = _PRESETS[preset]
    small = preset == "smoke"
    return ConfigDict(
        {
            "data_dir": "",  # empty: the folder named by the environment variable GENTOOLKIT_DATA
            "seed": 0,
            "num_steps": chosen["num_steps"],
            "batch_size": 8 if small else 32,  # the paper's network was trained in batches of 32, or a divisor of it
            "channels": chosen["channels"],
            "darkening": {
                # Share of images whose channels are darkened by different gammas, and the spread of their logarithms;
                # the paper has none. The luminance network sees no casts.
                "cast_share": 0.3 if chosen["channels"] == 3 else 0.0,
                "cast_spread": 0.25,
                # Share of images with sensor noise: photons of a white pixel and read noise, drawn between these.
                "noise_share": 0.3,
                "least_peak": 50.0,
                "largest_peak": 2000.0,
                "largest_read_noise": 0.02,
            },
            "optimizer": {"peak": 1e-3, "decay": "cosine", "warmup_steps": 0, "final_fraction": 0.01},
            "train": {"log_every": 2 if small else 50, "checkpoint_every": 4 if small else 500},
            "num_held_out": 64 if small else 1024,
        }
    )
