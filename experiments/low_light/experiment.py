"""One run: photographs, darkness, network, training, held-out error, pictures, page. `main.py` calls `run`."""

import functools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from gentoolkit import report, training
from gentoolkit.data import cifar10, columns, pipeline, transform
from gentoolkit.imaging import color, degradation
from gentoolkit.models import low_light

BORDER = low_light.BORDER


def run(config: ConfigDict, workdir: str | pathlib.Path, mesh: jax.sharding.Mesh) -> training.Result:
    """Trains a reference network (or goes on with it), measures it, and writes the page of the run.

    Args:
      config: as from `config.get_config`.
      workdir: folder of the run.
      mesh: devices, from `training.make_mesh`.

    Returns:
      The network under `"reference"` and the latest metrics; those of the held-out data begin with `test/`.
    """
    workdir = pathlib.Path(workdir)
    where = {"data_dir": config.data_dir or None}
    # Decoded once: 150 MB of memory, and batches at the speed of indexing.
    train_data = columns.in_memory(cifar10.load("train", **where))
    test_data = cifar10.load("test", **where)
    chosen = np.linspace(0, len(test_data) - 1, config.num_held_out).astype(int)
    held_out = test_data.take(chosen)["image"] / np.float32(255)
    parts = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    stream = pipeline.Stream(
        train_data, seed=config.seed, batch_size=config.batch_size, transforms=(transform.horizontal_flip,), **parts
    )
    rate = training.learning_rate(num_steps=config.num_steps, **config.optimizer)
    loss = functools.partial(objective, channels=config.channels, **config.darkening)
    result = training.train(
        lambda rngs: {"reference": low_light.ReferenceNetwork(config.channels, rngs=rngs)},
        {"reference": training.Player(loss, optax.adam(rate))},
        iter(stream),
        workdir=workdir,
        num_steps=config.num_steps,
        seed=config.seed,
        config=config,
        evaluators={"test": evaluator(held_out, config.channels)},
        evaluate_every=max(1, config.num_steps // 4),
        mesh=mesh,
        tensorboard=False,
        **config.train,
    )
    if jax.process_index() == 0:
        _write_page(config, workdir, result, held_out[:16])
    return result


def darkened(
    key: jax.Array,
    bright: jax.Array,
    *,
    cast_share: float,
    cast_spread: float,
    noise_share: float,
    least_peak: float,
    largest_peak: float,
    largest_read_noise: float,
) -> jax.Array:
    """Makes photographs dark: one of the 26 gammas each, some with a colour cast, some with noise; 8 bits.

    Args:
      key: PRNG key.
      bright: `[b, h, w, c]` in [0, 1].
      cast_share: share of images whose channels have gammas of their own.
      cast_spread: standard deviation of the logarithms of those.
      noise_share: share of images with sensor noise.
      least_peak: fewest photons of a white pixel.
      largest_peak: most of them.
      largest_read_noise: in units of the image.

    Returns:
      `[b, h, w, c]` in [0, 1].
    """
    keys = jax.random.split(key, 8)
    num, channels = bright.shape[0], bright.shape[-1]
    levels = jnp.asarray(degradation.gamma_levels(), bright.dtype)
    gamma = jax.random.choice(keys[0], levels, (num, 1))
    cast = (
        cast_spread * jax.random.normal(keys[1], (num, channels)) * jax.random.bernoulli(keys[2], cast_share, (num, 1))
    )
    dark = degradation.darken(bright, jnp.maximum(gamma * jnp.exp(cast), 1.0))
    shape = (num, 1, 1, 1)
    peak = least_peak * (largest_peak / least_peak) ** jax.random.uniform(keys[3], shape)
    read = largest_read_noise * jax.random.uniform(keys[4], shape)
    # Photons as a Gaussian of their variance: drawing from Poisson laws takes longer than the rest of the step.
    deviation = jnp.sqrt(dark / peak + read**2) * jax.random.bernoulli(keys[5], noise_share, shape)
    return degradation.quantize(dark + deviation * jax.random.normal(keys[6], dark.shape), num_bits=8)


def objective(
    models: training.functional.Models,
    batch: Mapping[str, Any],
    turn: training.Turn,
    *,
    channels: int,
    **darkening: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean squared error of the brightened inside of dark images."""
    bright = color.luma(batch["image"]) if channels == 1 else batch["image"]
    made = models["reference"](darkened(turn.key, bright, **darkening), padded=False)
    loss = jnp.mean((made - bright[:, BORDER:-BORDER, BORDER:-BORDER]) ** 2)
    return loss, {"mse": loss}


def evaluator(images: np.ndarray, channels: int):
    """Returns a measurement of the network on held-out images, each darkened by one of the 26 gammas in turn."""
    levels = degradation.gamma_levels()
    bright = np.asarray(color.luma(images)) if channels == 1 else images
    gamma = np.resize(levels, len(bright))[:, None] * np.ones((1, bright.shape[-1]))
    dark = np.asarray(degradation.darken(bright, gamma.astype(np.float32), num_bits=8))
    brighten = training.jit(lambda models, x: models["reference"](x, padded=False))

    def measure(models, step):
        del step
        made = np.concatenate([np.asarray(brighten(models, dark[i : i + 64])) for i in range(0, len(dark), 64)])
        errors = np.mean((made - bright[:, BORDER:-BORDER, BORDER:-BORDER]) ** 2, axis=(1, 2, 3))
        psnr = -10 * np.log10(np.maximum(errors, (0.5 / 255) ** 2))
        return {"mse": float(errors.mean()), "psnr": float(psnr.mean())}

    return measure


def _write_page(config: ConfigDict, workdir: pathlib.Path, result: training.Result, images: np.ndarray) -> None:
    bright = np.asarray(color.luma(images)) if config.channels == 1 else images
    dark = np.asarray(degradation.darken(bright, 4.0, num_bits=8))
    brighten = training.jit(lambda models, x: models["reference"](x))
    pictures = workdir / "pictures"
    report.save_pairs(pictures / "references.png", dark, np.asarray(brighten(result.models, dark)))
    report.write_summary(
        workdir,
        title=f"Reference network, {config.channels} channel(s)",
        command=" ".join(["python -m experiments.low_light.main", *sys.argv[1:]]),
        pictures=[("references.png", "Held-out images darkened by gamma 4, and what the network makes of them")],
        notes=["A rough bright image of the same content, from which a Gaussian process takes the tone alone."],
    )
    report.write_run(workdir)
