r"""Trains one generative auto-encoder, measures it, and writes a page about it.

    python -m experiments.sliced_autoencoders.main \
        --config=experiments/sliced_autoencoders/config.py:digits --workdir=runs/digits

The same command goes on where an interrupted run stopped. Flags: see `--help`, and config.py for what can be set.
"""

import pathlib

import jax

from experiments.sliced_autoencoders import experiment
from gentoolkit.training import launch


def main(config, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Runs the experiment and prints what came of it."""
    metrics = experiment.run(config, workdir, mesh)
    if jax.process_index() != 0:
        return
    print(f"\n{config.objective.method} on {config.dataset}, held-out data:")
    for name, value in sorted(metrics.items()):
        if name.startswith("test/"):
            print(f"  {name.removeprefix('test/'):<44} {value:.5g}")
    print(f"\nReport: {pathlib.Path(workdir) / 'report.html'}")
    print(
        "Next: another distance with --config.objective.method=sksae and a workdir of its own, or all of them side by"
        " side:\n  python -m experiments.sliced_autoencoders.table1 --dataset=digits --workdir=runs/table1_digits"
    )


if __name__ == "__main__":
    launch.run(main, expected=(FileNotFoundError, ValueError))
