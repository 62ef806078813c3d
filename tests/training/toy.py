"""A tiny model, a step-indexed stream and a binary to start in a process of its own: what the training tests train."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from gentoolkit import training
from gentoolkit.training import launch


class Stream:
    """Batch t is a function of t alone; every process takes its part of it."""

    def __init__(self, *, batch=16, features=4, seconds=0.0, poison=None, parts=None):
        self.index, self.seconds, self.poison = 0, seconds, poison
        self.batch, self.features, self.parts = batch, features, parts or jax.process_count()
        self.weights = np.random.default_rng(7).normal(size=(features, features)).astype(np.float32)

    def __next__(self):
        time.sleep(self.seconds)
        rng = np.random.default_rng([3, self.index])
        self.index += 1
        x = rng.normal(size=(self.batch, self.features)).astype(np.float32)
        if self.index == self.poison:
            x[0, 0] = np.nan
        part = self.batch // self.parts
        first = part * (jax.process_index() % self.parts)
        mine = slice(first, first + part)
        return {"x": x[mine], "y": (x @ self.weights)[mine]}

    def get_state(self):
        return {"next_index": self.index}

    def set_state(self, state):
        self.index = state["next_index"]


class Net(nnx.Module):
    """Two layers, batch norm and dropout: parameters, statistics and a key that is part of the model."""

    def __init__(self, features, *, width=32, dropout=0.1, rngs):
        first = nnx.Linear(features, width, use_bias=False, rngs=rngs)  # Before a norm a bias has no gradient.
        self.layers = nnx.List([first, nnx.Linear(width, features, rngs=rngs)])
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x):
        return self.layers[1](self.dropout(jnp.tanh(self.norm(self.layers[0](x)))))


def models(rngs, features=4, **options):
    """One model."""
    return {"net": Net(features, **options, rngs=rngs)}


def objective(models, batch, turn):
    """Regression with noise on the targets, so that the key matters; a sort, so that the whole batch matters."""
    out = models["net"](batch["x"]).astype(jnp.float32)
    noise = 0.01 * jax.random.normal(turn.key, batch["y"].shape)
    error = jnp.mean(jnp.square(out - batch["y"].astype(jnp.float32) - noise))
    sliced = jnp.mean(jnp.square(jnp.sort(out[:, 0]) - jnp.sort(batch["y"][:, 0].astype(jnp.float32))))
    return error + 0.1 * sliced, {"error": error, "sliced": sliced}


def players(rate=1e-2, **options):
    """One player."""
    return {"net": training.Player(objective, optax.adam(rate), **options)}


def held_out(models, step):
    """An evaluator: every process measures the same examples."""
    batch = next(Stream(batch=32, parts=1))
    out = training.jit(lambda m, x: jnp.mean(jnp.square(m["net"](x) - x)))(models, batch["x"])
    return {"error": out, "step": step}


def get_config(preset="small"):
    """Lengths and traps that the command line can set."""
    if preset not in ("small",):
        raise ValueError(f"There is no preset {preset!r}; there are: small.")
    return ConfigDict(
        {
            "train": {"num_steps": 40, "log_every": 4, "checkpoint_every": 10, "evaluate_every": 20},
            "data": {"seconds": 0.0, "poison": 0, "batch": 16},
            "rate": 1e-2,
            "model": {"dropout": 0.1, "width": 32},
        }
    )


def main(config, workdir, mesh):
    """The experiment."""
    result = training.train(
        lambda rngs: models(rngs, **config.model),
        players(config.rate, clip_norm=1.0),
        Stream(**config.data),
        workdir=workdir,
        config=config,
        evaluators={"held_out": held_out},
        ema_decay=0.9,
        best="held_out/error",
        mesh=mesh,
        progress_seconds=1.0,
        **config.train,
    )
    if jax.process_index() == 0:
        print(f"finished at step {result.step}: {result.metrics['held_out/error']:.6f}")


def start():
    """The command line."""
    launch.run(main, config=f"{__file__}:small")


if __name__ == "__main__":
    start()
