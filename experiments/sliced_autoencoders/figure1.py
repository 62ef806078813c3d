r"""Figure 1 of the paper: reconstructions, samples and interpolations of each method.

    python -m experiments.sliced_autoencoders.figure1 --dataset=mnist --data_dir=DIR \
        --seeds=1 --workdir=runs/table1_mnist

Uses the runs of `table1.py` in the same folder, and trains those that are missing. Writes `figure1/METHOD_*.png`
and a page.
"""

import functools
import pathlib

import jax
import numpy as np
from absl import flags

from experiments.sliced_autoencoders import experiment, runs
from gentoolkit import report, study, training

_ROWS, _COLUMNS = 5, 10


def draw(run: study.Run, folder: pathlib.Path) -> list[report.Picture]:
    """Writes the three pictures of a run, and returns them with their captions."""
    _, test = experiment.load(run.config)
    models = training.load(run.workdir, functools.partial(experiment.make_models, run.config))
    encode = training.jit(lambda m, x: m["autoencoder"].encode(x))
    decode = training.jit(lambda m, z: m["autoencoder"].decode(z))
    images = test.take(np.arange(min(_ROWS * _COLUMNS, len(test))))["image"] / np.float32(255)
    codes = np.asarray(encode(models, images))
    t = np.linspace(0, 1, _COLUMNS, dtype=np.float32)[None, :, None]
    between = (1 - t) * codes[:_ROWS, None] + t * codes[_ROWS : 2 * _ROWS, None]
    prior = jax.random.normal(jax.random.key(3), (_ROWS * _COLUMNS, codes.shape[-1]))
    begin = f"{run.key['method']}_"
    pairs = report.save_pairs(
        folder / f"{begin}reconstructions.png", images, np.asarray(decode(models, codes)), columns=_COLUMNS
    )
    grids = {"samples": prior, "interpolations": between.reshape(-1, codes.shape[-1])}
    return [report.Picture(pairs, "reconstructions, each under its original")] + [
        report.Picture(
            report.save_grid(folder / f"{begin}{kind}.png", np.asarray(decode(models, z)), columns=_COLUMNS), kind
        )
        for kind, z in grids.items()
    ]


def main() -> None:
    """Makes the runs, and the pictures of seed 0."""
    workdir = pathlib.Path(flags.FLAGS.workdir)
    made = {method: draw(found[0], workdir / "figure1") for method, found in runs.make(num_seeds=1).items()}
    shown = [report.section(method, report.pictures(drawn, longest=None)) for method, drawn in made.items()]
    study.publish(workdir, "figure1", *shown, title=f"Figure 1 on {flags.FLAGS.dataset}")


if __name__ == "__main__":
    runs.start(main)
