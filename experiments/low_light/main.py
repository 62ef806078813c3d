r"""Trains the reference network of low-light enhancement, measures it, and writes a page about it.

    python -m experiments.low_light.main \
        --config=experiments/low_light/config.py:rgb --config.data_dir=DIR --workdir=runs/low_light_rgb

`weights.npz` in the workdir is what the library ships (`low_light.pretrained`) and what `--weights` of the other
binaries takes. The same command goes on where an interrupted run stopped.
"""

import pathlib

import jax

from experiments.low_light import experiment
from gentoolkit.models import low_light
from gentoolkit.training import launch


def main(config, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Runs the experiment and prints what came of it."""
    result = experiment.run(config, workdir, mesh)
    if jax.process_index() != 0:
        return
    weights = pathlib.Path(workdir) / "weights.npz"
    low_light.save(weights, result.models["reference"])
    print(f"\nReference network with {config.channels} channel(s), {result.step} steps, held-out images:")
    for name, value in sorted(result.metrics.items()):
        if name.startswith("test/"):
            print(f"  {name.removeprefix('test/'):<44} {value:.5g}")
    print(f"\nReport: {pathlib.Path(workdir) / 'report.html'}\nWeights: {weights}")
    print(f"Next: python -m experiments.low_light.enhance --weights={weights} --input=FILE --output=FILE")


if __name__ == "__main__":
    launch.run(main, expected=(FileNotFoundError, ValueError))
