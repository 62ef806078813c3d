"""Configurations of the sliced auto-encoders, chosen as `config.py:PRESET`.

    python -m experiments.sliced_autoencoders.main \
        --config=experiments/sliced_autoencoders/config.py:digits --workdir=runs/digits

| preset | data | network | time on two CPU cores |
|---|---|---|---|
| digits | 8x8 digits of scikit-learn, nothing to download | dense 2x128, latent 8 | under a minute |
| mnist | `--config.data_dir`, idx files | dense 3x200, latent 20 (the paper's) | some ten minutes |
| cifar10 | `--config.data_dir`, binary files or class folders | convolutional, latent 64 | hours |
| celeb_a | `--config.data_dir`, `img_align_celeba` | convolutional, latent 64 | for an accelerator |
| folder | `--config.data_dir`, any folder of images | as celeb_a | for an accelerator |

Every value can be set from the command line, e.g. `--config.objective.method=sksae --config.num_epochs=50`.
Methods: ae, vae, wae_mmd, wae_gan, cwae, swae, scfwae, scwae, scvmae, sksae, anderson_darling, epps_pulley.
"""

from ml_collections import ConfigDict, config_dict

from gentoolkit import study

# What the paper leaves open (slices, epochs, optimizer, latent sizes beyond MNIST) follows the code of CWAE by the same
# group: Adam 1e-3, batches of 128, 20 and 64 latent units.
_PRESETS = {
    "digits": {"image_shape": (8, 8, 1), "latent_dim": 8, "num_epochs": 150.0},
    "mnist": {"image_shape": (28, 28, 1), "latent_dim": 20, "num_epochs": 100.0},
    "cifar10": {"image_shape": (32, 32, 3), "latent_dim": 64, "num_epochs": 40.0},
    "celeb_a": {"image_shape": (64, 64, 3), "latent_dim": 64, "num_epochs": 55.0},
    "folder": {"image_shape": (64, 64, 3), "latent_dim": 64, "num_epochs": 55.0},
}


def get_config(preset: str = "digits") -> ConfigDict:
    """Returns the configuration of a preset."""
    chosen = study.choose("preset", preset, _PRESETS)
    small = preset == "digits"
    labelled = preset in ("digits", "mnist", "cifar10")
    return ConfigDict(
        {
            "dataset": preset,
            "data_dir": "",  # empty: the folder named by the environment variable GENTOOLKIT_DATA
            # Of a folder of one's own: "headers" finds a picture that is damaged beyond when it is read; "all" decodes
            # every picture before training, and stops at broken ones; "skip" does the same, and leaves them out.
            "check": "headers",
            "seed": 0,
            "num_epochs": chosen["num_epochs"],
            "batch_size": 128,
            "model": {"image_shape": chosen["image_shape"], "latent_dim": chosen["latent_dim"]},
            "objective": {
                "method": "scwae",
                "cost": "log",  # the paper's: error + log distance; or "weighted": error + weight * distance
                "weight": config_dict.placeholder(float),  # None: 10 for wae_gan, 1 for the others
                "directions": "orthogonal",  # or "random", "sobol"; drawn afresh at every step
                "num_directions": 50,
            },
            "optimizer": {"peak": 1e-3, "decay": "constant", "warmup_steps": 0},
            "train": {"log_every": 50 if small else 200, "checkpoint_every": 500 if small else 2000},
            "evaluate_epochs": {"digits": 25.0, "mnist": 10.0}.get(preset, 5.0),
            "evaluation": {"num_directions": 256, "num_samples": 1000 if small else 10000, "batch_size": 500},
            # A small classifier of the same data, whose features the Frechet distance is taken on; 0 epochs: none.
            "features": {"num_epochs": (30.0 if small else 2.0) if labelled else 0.0, "num_features": 64},
            "features_workdir": "",  # empty: inside the workdir; runs on the same data can share one
        }
    )
