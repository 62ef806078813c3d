"""The grid of runs behind the table and the figures: which there are, where they lie, how to make the missing ones."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict

from experiments.sliced_autoencoders import experiment, objectives, paper
from experiments.sliced_autoencoders.config import get_config
from gentoolkit import training


class Run(NamedTuple):
    """One cell of the grid."""

    method: str
    seed: int
    workdir: pathlib.Path
    config: ConfigDict


def define_flags() -> None:
    """Defines the flags that choose the grid."""
    flags.DEFINE_enum("dataset", "digits", ["digits", "mnist", "cifar10", "celeb_a"], "What to train on.")
    flags.DEFINE_string("data_dir", "", "Where the data set lies; empty: the environment variable GENTOOLKIT_DATA.")
    flags.DEFINE_list("methods", [*paper.METHODS, "ae"], f"Methods, among {', '.join(objectives.METHODS)}.")
    flags.DEFINE_integer("seeds", 3, "Runs of each method, with seeds 0, 1, ...", lower_bound=1)
    flags.DEFINE_float("epochs", None, "Length of a run; by default that of the data set's preset.", lower_bound=0.01)
    flags.DEFINE_string("workdir", None, "Folder of all the runs; finished ones are not trained again.", required=True)


def grid() -> list[Run]:
    """Returns the runs that the flags ask for, seed by seed, so that a table of one seed is whole early."""
    values = flags.FLAGS
    base = pathlib.Path(values.workdir)
    runs = []
    for seed in range(values.seeds):
        for method in values.methods:
            config = get_config(values.dataset)
            config.seed = seed
            config.data_dir = values.data_dir
            config.objective.method = method
            config.features_workdir = str(base / "features")
            if values.epochs is not None:
                config.num_epochs = type(config.num_epochs)(values.epochs)
                config.evaluate_epochs = max(values.epochs / 10, 0.5)
            runs.append(Run(method, seed, base / f"{method}-{seed}", config))
    return runs


def make(runs: Sequence[Run]) -> Iterator[tuple[Run, dict[str, float]]]:
    """Trains what is not finished yet and yields every run with its latest metrics."""
    mesh = training.make_mesh()
    for number, run in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {run.method}, seed {run.seed}: {run.workdir}", flush=True)
        yield run, finished(run) or experiment.run(run.config, run.workdir, mesh)


def finished(run: Run) -> dict[str, float] | None:
    """Returns the metrics of a run that has its page already, None otherwise."""
    if not (run.workdir / "report.html").is_file():
        return None
    # Written once by the same configuration? A run of another one is refused by `training.train`, not shown here.
    stored = json.loads((run.workdir / "config.json").read_text())
    if stored != json.loads(run.config.to_json_best_effort()):
        return None
    metrics: dict[str, float] = {}
    for line in (run.workdir / "metrics.jsonl").read_text().splitlines():
        metrics |= json.loads(line)
    return metrics
