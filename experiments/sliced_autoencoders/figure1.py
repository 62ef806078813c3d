r"""Figure 1 of the paper: reconstructions, samples and interpolations of each method.

    python -m experiments.sliced_autoencoders.figure1 --dataset=mnist --data_dir=DIR \
        --seeds=1 --workdir=runs/table1_mnist

Uses the runs of `table1.py` in the same folder, and trains those that are missing. Writes `figure1/METHOD_*.png`.
"""

import functools
import pathlib

import jax
import numpy as np
from absl import app, flags, logging

from experiments.sliced_autoencoders import experiment, runs
from gentoolkit import report, training

_ROWS, _COLUMNS = 5, 10


def draw(run: runs.Run, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the three pictures of a run."""
    _, test = experiment.load(run.config.dataset, run.config.data_dir, tuple(run.config.model.image_shape))
    models = training.load(run.workdir, functools.partial(experiment.make_models, run.config))
    encode = training.jit(lambda m, x: m["autoencoder"].encode(x))
    decode = training.jit(lambda m, z: m["autoencoder"].decode(z))
    num = min(_ROWS * _COLUMNS, len(test))
    images = test.take(np.arange(num))["image"] / np.float32(255)
    codes = np.asarray(encode(models, images))

    def decoded(z):
        return np.asarray(decode(models, z.astype(np.float32)))

    ends = codes[:_ROWS, None], codes[_ROWS : 2 * _ROWS, None]
    t = np.linspace(0, 1, _COLUMNS)[None, :, None]
    between = ((1 - t) * ends[0] + t * ends[1]).reshape(-1, codes.shape[-1])
    prior = np.asarray(jax.random.normal(jax.random.key(3), (_ROWS * _COLUMNS, codes.shape[-1])))
    return [
        report.save_pairs(folder / f"{run.method}_reconstructions.png", images, decoded(codes), columns=_COLUMNS),
        report.save_grid(folder / f"{run.method}_samples.png", decoded(prior), columns=_COLUMNS),
        report.save_grid(folder / f"{run.method}_interpolations.png", decoded(between), columns=_COLUMNS),
    ]


def main(argv: list[str]) -> None:
    """Makes the runs and the pictures of seed 0."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    logging.set_verbosity(logging.ERROR)
    chosen = [run for run in runs.grid() if run.seed == 0]
    for run, _ in runs.make(chosen):
        for path in draw(run, pathlib.Path(flags.FLAGS.workdir) / "figure1"):
            print(f"  {path}")


if __name__ == "__main__":
    runs.define_flags()
    app.run(main)
