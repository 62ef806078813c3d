"""Configurations of the trained destructor, `config.py:PRESET`: circles, student, skewed_copula, two_normals."""

from ml_collections import ConfigDict, config_dict

from gentoolkit import study

_PRESETS = ("circles", "student", "skewed_copula", "two_normals")


def get_config(preset: str = "circles") -> ConfigDict:
    """Returns the configuration of a preset."""
    study.choose("preset", preset, _PRESETS)
    return ConfigDict(
        {
            "law": preset,
            "dim": 10,  # of the laws other than circles
            "dof": 3.0,  # of student
            "num": 10_000,
            "seed": 0,
            "batch_size": 500,
            "num_steps": 2000,
            "evaluate_every": 500,
            "learning_rate": 3e-3,
            "clip_norm": 10.0,
            "criterion": "likelihood",  # or "total_correlation", the paper's eq. 6
            "model": {
                "kind": "spline_coupling" if preset == "circles" else "gaussianization",  # or "divisive_normalization"
                "num_layers": config_dict.placeholder(int),  # None: the model's own
            },
            "train": {"log_every": 100, "checkpoint_every": 500},
        }
    )
