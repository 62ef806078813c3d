r"""Trains one system of image translation, measures it, and writes a page about it.

    python -m experiments.image_translation.main \
        --config=experiments/image_translation/config.py:polygons --workdir=runs/polygons

The same command goes on where an interrupted run stopped. Flags: see `--help`, and config.py for what can be set.
"""

import pathlib

import jax

from experiments.image_translation import experiment
from gentoolkit.training import launch


def main(config, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Runs the experiment and prints what came of it."""
    metrics = experiment.run(config, workdir, mesh)
    if jax.process_index() != 0:
        return
    print(f"\n{config.method} on {config.dataset}, held-out images:")
    for name, value in sorted(metrics.items()):
        if name.startswith("test/"):
            print(f"  {name.removeprefix('test/'):<24} {value:.4g}")
    print(f"\nReport: {pathlib.Path(workdir) / 'report.html'}")


if __name__ == "__main__":
    launch.run(main, expected=(FileNotFoundError, ImportError, ValueError))
