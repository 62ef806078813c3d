"""The grid of runs behind the tables: the methods, the variants of the paper's own, and how missing ones are made."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import collapse, data, experiment
from experiments.image_translation.config import METHODS
from experiments.image_translation.systems import build
from gentoolkit import study, training
from gentoolkit.training import launch

# What a variant of dsvib changes in the configuration.
VARIANTS: dict[str, dict[str, Any]] = {
    "no_information": {"dsvib.alpha_information": 0.0},
    "beta_0.01": {"dsvib.beta": 0.01},
    "beta_0.1": {"dsvib.beta": 0.1},
    "beta_10": {"dsvib.beta": 10.0},
    "divergence": {"dsvib.code_prior": "divergence"},
    "no_content_cycle": {"dsvib.lambda_content": 0.0},
    "no_code_cycle": {"dsvib.lambda_code": 0.0},
}

Main = Callable[[ConfigDict, str, jax.sharding.Mesh], None]
Runs = dict[str, list[study.Run]]


def start(main: Main) -> None:
    """Runs a script that makes something of a grid of runs; flags of its own are defined before."""
    define_flags()

    def checked(config: ConfigDict, workdir: str, mesh: jax.sharding.Mesh) -> None:
        if jax.process_count() > 1:
            raise ValueError("Tables are made by one process; train single runs with main.py on several.")
        study.check_folder(workdir, name="--workdir")
        main(config, workdir, mesh)

    launch.run(checked, expected=(OSError, ValueError, ImportError))


def define_flags() -> None:
    """Defines the flags that all scripts have."""
    flags.DEFINE_integer("seeds", 3, "Runs of each row, with seeds 0, 1, ...", lower_bound=1)
    flags.DEFINE_string("weights", "", "Folder with the networks of LPIPS, FID and KID; empty for neither.")
    flags.DEFINE_integer("pairs", 20, "Pairs of images of each of 100 contents for LPIPS.", lower_bound=1)
    flags.DEFINE_integer("samples", 10_000, "Images of each run for FID and KID.", lower_bound=2)


def configure(base: ConfigDict, name: str, seed: int) -> ConfigDict:
    """Returns the configuration of a run.

    Args:
      base: what all runs share, as the flags say; its method and seed are not looked at.
      name: a method, or one of `VARIANTS`.
      seed: of the run.

    Raises:
      ValueError: another name.
    """
    study.choose("run", name, (*METHODS, *VARIANTS))
    config = ConfigDict(base.to_dict())
    config.seed, config.method = seed, name if name in METHODS else "dsvib"
    config.update_from_flattened_dict(VARIANTS.get(name, {}))
    return config


def complete(base: ConfigDict, names: Sequence[str], *, num_seeds: int, workdir: str, mesh: jax.sharding.Mesh) -> Runs:
    """Trains what is missing of some runs, and returns all by name, one for each seed.

    All scripts share the runs of one folder. A run whose training comes to values that are not finite is told of, and
    has no metrics; of one that collapses there is the step alone. Neither is trained again.

    Args:
      base: what all runs share.
      names: methods and variants.
      num_seeds: of each.
      workdir: of all runs: `NAME-SEED` below it, and `results.jsonl`.
      mesh: devices.

    Raises:
      ValueError: options that one of the runs cannot have, before any is trained.
    """
    for name in names:
        config = configure(base, name, 0)
        build.build(config, optax.identity())
        if config.method == "bicyclegan":
            data.load(config)  # there must be pairs

    def train(config: ConfigDict, folder: Any) -> dict[str, float]:
        try:
            return experiment.run(config, folder, mesh)
        except training.NonFiniteError as error:
            print(f"{folder}: {error}", file=sys.stderr, flush=True)
            return {}
        except collapse.Collapsed as error:
            print(f"{folder}: {error}", file=sys.stderr, flush=True)
            return {collapse.METRIC: error.step}
        finally:
            jax.clear_caches()  # nothing of one run serves another

    # Seed by seed, so that a table of one seed is whole early.
    keys = [{"run": name, "seed": seed} for seed in range(num_seeds) for name in names]
    made = study.complete_runs(workdir, keys, lambda key: configure(base, key["run"], key["seed"]), train)
    return {name: [run for run in made if run.key["run"] == name] for name in names}


def is_sound(run: study.Run) -> bool:
    """Whether a run came to its end, so that its networks can be measured and shown."""
    return bool(run.metrics) and collapse.METRIC not in run.metrics


def caption(config: ConfigDict, notes: Sequence[str]) -> str:
    """What is to be said under a table of the runs."""
    told = (
        f"{config.dataset}, {config.image_size} pixels, {config.num_steps:,} steps of {config.batch_size}, held-out "
        f"images; mean ± standard deviation over {flags.FLAGS.seeds} seed(s)."
    )
    return " ".join([told, *notes])
