"""The grid of runs behind the table and the figures: which there are, and how to make the missing ones."""

from collections.abc import Callable

from absl import flags
from ml_collections import ConfigDict

from experiments.sliced_autoencoders import experiment, objectives, paper
from experiments.sliced_autoencoders.config import get_config
from gentoolkit import study, training
from gentoolkit.training import launch


def start(main: Callable[[], None]) -> None:
    """Runs a script that makes something of the runs."""
    flags.DEFINE_enum("dataset", "digits", ["digits", "mnist", "cifar10", "celeb_a"], "What to train on.")
    flags.DEFINE_string("data_dir", "", "Where the data set lies; empty: the environment variable GENTOOLKIT_DATA.")
    flags.DEFINE_list("methods", [*paper.METHODS, "ae"], f"Methods, among {', '.join(objectives.METHODS)}.")
    flags.DEFINE_integer("seeds", 3, "Runs of each method, with seeds 0, 1, ...", lower_bound=1)
    launch.define_float("epochs", None, "Length of a run, part of one too; by default the preset's.", lower_bound=0.01)
    flags.DEFINE_string("workdir", None, "Folder of all the runs; finished ones are not trained again.", required=True)
    launch.start(study.script(main), expected=(OSError, ValueError))


def configure(method: str, seed: int) -> ConfigDict:
    """Returns the configuration of a run, by the flags."""
    values = flags.FLAGS
    config = get_config(values.dataset)
    config.update(seed=seed, data_dir=values.data_dir, features_workdir=f"{values.workdir}/features")
    config.objective.method = method
    if values.epochs is not None:
        config.update(num_epochs=values.epochs, evaluate_epochs=max(values.epochs / 10, 0.5))
    return config


def make(*, num_seeds: int | None = None) -> dict[str, list[study.Run]]:
    """Trains what is missing of the runs that the flags ask for, and returns all by method, one for each seed.

    Args:
      num_seeds: None for as many as the flags say.

    Raises:
      ValueError: no method is named, or one that there is not.
    """
    values = flags.FLAGS
    if not values.methods:
        raise ValueError(f"--methods is empty; name some of {', '.join(objectives.METHODS)}, or leave the flag out.")
    methods = study.chosen("--methods", values.methods, objectives.METHODS)
    mesh = training.make_mesh()
    # Seed by seed, so that a table of one seed is whole early.
    keys = [{"method": method, "seed": seed} for seed in range(num_seeds or values.seeds) for method in methods]
    made = study.complete_runs(
        values.workdir,
        keys,
        lambda key: configure(**key),
        lambda config, workdir: experiment.run(config, workdir, mesh),
    )
    return {method: [run for run in made if run.key["method"] == method] for method in methods}
