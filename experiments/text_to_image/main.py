r"""Trains one system of text to picture, or an encoder or detector for them, and writes a page about it.

    python -m experiments.text_to_image.main \
        --config=experiments/text_to_image/config.py:damsm_scenes32 --workdir=runs/damsm
    python -m experiments.text_to_image.main \
        --config=experiments/text_to_image/config.py:dfgan_scenes32 --config.encoder=runs/damsm --workdir=runs/dfgan

The same command goes on where an interrupted run stopped. Flags: see `--help`, and config.py for what can be set.
"""

import pathlib

import jax

from experiments.text_to_image import experiment
from gentoolkit.training import launch


def main(config, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Runs the experiment and prints what came of it."""
    metrics = experiment.run(config, workdir, mesh)
    if jax.process_index() != 0:
        return
    print(f"\n{config.system} on {config.dataset}, held-out texts:")
    for name, value in sorted(metrics.items()):
        if name.startswith("test/") and not name.endswith("_error"):
            error = metrics.get(f"{name}_error")
            print(f"  {name.removeprefix('test/'):<24} {value:.4g}" + (f" ± {error:.2g}" if error is not None else ""))
    print(f"\nReport: {pathlib.Path(workdir) / 'report.html'}")


if __name__ == "__main__":
    launch.run(main, expected=(OSError, ImportError, ValueError))
