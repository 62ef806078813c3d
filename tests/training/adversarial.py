"""Two toy GANs that use everything a turn offers, and a binary for processes of their own.

`cycle`: CycleGAN with pools of past images. `frozen`: a GAN with batch norm, dropout, spectral norm, a bank of codes, a
frozen encoder read from a file, a sort over the whole batch, and a gradient penalty (R1) at every 16th step.
"""

import functools
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from gentoolkit import training
from gentoolkit.nn import normalization, pools
from gentoolkit.objectives import adversarial, penalties, reconstruction, variational
from gentoolkit.training import launch
from tests.training import toy

PIXELS, PENALTY_EVERY = 12, 16


class Images(toy.Stream):
    """Batches of random bytes by name, each process its part."""

    def __init__(self, *names, **options):
        super().__init__(**options)
        self.names = names

    def __next__(self):
        rng = np.random.default_rng([5, self.index])
        part = super().__next__()["x"].shape[0]
        mine = slice(first := part * (jax.process_index() % self.parts), first + part)
        shape = (self.batch, PIXELS)
        scale = {name: 256 >> index for index, name in enumerate(self.names)}
        return {"images": {name: rng.integers(0, scale[name], shape, np.uint8)[mine] for name in self.names}}


def prepare(batch):
    """Bytes to [-1, 1]."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) / 127.5 - 1, batch)


class Dense(nnx.Module):
    """Two layers. Dense throughout: what is tested is the trainer, and convolutions take long to compile."""

    def __init__(self, sizes, rngs, *, spectral=False):
        wrap = functools.partial(normalization.SpectralNorm, rngs=rngs) if spectral else lambda layer: layer
        self.first, self.last = (wrap(nnx.Linear(*pair, rngs=rngs)) for pair in itertools.pairwise(sizes))

    def features(self, x):
        return jnp.tanh(self.first(x))

    def __call__(self, x):
        return self.last(self.features(x))


class Generator(nnx.Module):
    """Noise [b, 4] to images, with batch norm (no bias before it, whose gradient is rounding)."""

    def __init__(self, width, rngs):
        self.first = nnx.Linear(4, width, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.last = nnx.Linear(width, PIXELS, rngs=rngs)

    def __call__(self, z):
        return jnp.tanh(self.last(self.dropout(jnp.tanh(self.norm(self.first(z))))))


# --- CycleGAN: everything that is not a network ----------------------------------------------------------------------


def translate(models, batch, turn, *, cycle=10.0):
    """Both translators against both critics, with least squares and a cycle; the fakes are handed on."""
    a, b = batch["images"]["a"], batch["images"]["b"]
    fake_a, fake_b = models["to_a"](b), models["to_b"](a)
    form, distance = adversarial.least_squares(), reconstruction.absolute
    logits = models["critic_a"](fake_a), models["critic_b"](fake_b)
    fooled = sum(jnp.mean(adversarial.generator(form, fake)) for fake in logits)
    returned = jnp.mean(distance(a, models["to_a"](fake_b)) + distance(b, models["to_b"](fake_a)))
    return fooled + cycle * returned, {"fooled": fooled, "cycle": returned}, {"a": fake_a, "b": fake_b}


def judge(models, batch, turn, *, domain):
    """A critic on real images and on fakes out of its pool."""
    past = models[f"pool_{domain}"](turn.key, batch[f"translators/{domain}"])
    critic = models[f"critic_{domain}"]
    logits = critic(batch["images"][domain]), critic(past)
    return jnp.mean(adversarial.discriminator(adversarial.least_squares(), *logits)), {}


def cycle_players(optimizer):
    """Three players."""
    judges = {
        f"judge_{d}": training.Player(functools.partial(judge, domain=d), optimizer, (f"critic_{d}",)) for d in "ab"
    }
    return {"translators": training.Player(translate, optimizer, ("to_a", "to_b"))} | judges


# --- a GAN beside a frozen encoder ------------------------------------------------------------------------------------


def generate(models, batch, turn):
    """Fools the critic and meets the features of the encoder, sorted over the batch; that weight warms up."""
    real = batch["images"]["real"]
    fake = models["generator"](jax.random.normal(turn.key, (real.shape[0], 4)))
    codes = [jnp.sort(models["encoder"](images), axis=0) for images in (fake, real)]
    matched, warm = jnp.mean(reconstruction.squared(*codes)), jnp.minimum(turn.step / 8, 1.0)
    fooled = jnp.mean(adversarial.generator(adversarial.logistic(), models["critic"](fake)))
    spread = variational.gaussian_mmd_to_standard(models["bank"](codes[0]), bandwidth=variational.prior_bandwidth(4))
    return fooled + warm * matched + spread, {"matched": matched}, {"fake": fake}


def criticize(models, batch, turn):
    """The logistic loss, and R1 at every 16th step, sixteen times as strong."""
    real, critic = batch["images"]["real"], training.pure(models["critic"])

    def penalty():
        return PENALTY_EVERY * jnp.mean(penalties.r1(critic, real))

    r1 = jax.lax.cond(turn.step % PENALTY_EVERY == 0, penalty, lambda: jnp.float32(0))
    real, fake = models["critic"](real), models["critic"](batch["generator/fake"])
    return jnp.mean(adversarial.discriminator(adversarial.logistic(), real, fake)) + r1, {"r1": r1}


def frozen_players(optimizer):
    """Two players."""
    return {
        "generator": training.Player(generate, optimizer, ("generator",)),
        "critic": training.Player(criticize, optimizer, ("critic",)),
    }


# --- systems ----------------------------------------------------------------------------------------------------------


def cycle_models(rngs, width=16):
    """Two translators, two critics, two pools."""
    nets = {f"to_{d}": Dense((PIXELS, width, PIXELS), rngs) for d in "ab"}
    nets |= {f"critic_{d}": Dense((PIXELS, width, 1), rngs) for d in "ab"}
    return nets | {f"pool_{d}": pools.ImagePool(32, (PIXELS,)) for d in "ab"}


def frozen_models(rngs, width=16):
    """A generator and a critic."""
    critic = Dense((PIXELS, width, 1), rngs, spectral=True)
    return {"generator": Generator(width, rngs), "critic": critic, "bank": pools.CodeBank(64, 4)}


def encoder_models(rngs):
    """The frozen encoder, larger than all else."""
    return {"encoder": Dense((PIXELS, 256, 4), rngs)}


def write_encoder(path, seed=9):
    """Writes a file of weights for it."""
    rng, sizes = np.random.default_rng(seed), {"first": (PIXELS, 256), "last": (256, 4)}
    arrays = {f"encoder/{layer}/kernel": rng.normal(size=shape) / 8 for layer, shape in sizes.items()}
    biases = {f"encoder/{layer}/bias": np.zeros(shape[1]) for layer, shape in sizes.items()}
    np.savez(path, **{name: array.astype(np.float32) for name, array in (arrays | biases).items()})
    return path


def system(name, source=None, mesh=None):
    """`(models, players, stream, options)` of a system."""
    optimizer = optax.adam(2e-3, b1=0.5, eps=1e-4)
    options = {"prepare": prepare, "ema_decay": 0.9}
    if name == "cycle":
        return cycle_models, cycle_players(optimizer), Images("a", "b"), options
    frozen = training.load(source, encoder_models, mesh=mesh)
    return frozen_models, frozen_players(optimizer), Images("real"), options | {"frozen": frozen}


def mean_of_fakes(name):
    """An evaluator that sees averages and prepared batches."""

    def fakes(models, batch):
        if name == "cycle":
            return jnp.mean(models["to_b"](batch["images"]["a"]))
        return jnp.mean(models["encoder"](models["generator"](jnp.ones((2, 4))) + batch["images"]["real"][:1]))

    apply = training.jit(fakes, prepare=prepare)
    batch = next(Images(*("ab" if name == "cycle" else ("real",)), batch=8, parts=1))
    return lambda models, step: {"mean": apply(models, batch)}


def get_config(preset="cycle"):
    """Lengths and traps that the command line can set."""
    return ConfigDict(
        {
            "system": preset,
            "encoder": "",
            "seconds": 0.0,
            "train": {"num_steps": 18, "log_every": 3, "checkpoint_every": 8, "evaluate_every": 9},
        }
    )


def main(config, workdir, mesh):
    """Trains."""
    models, players, stream, options = system(config.system, pathlib.Path(config.encoder), mesh)
    stream.seconds = config.seconds
    train = {"workdir": workdir, "config": config, "mesh": mesh, "tensorboard": False, **config.train, **options}
    result = training.train(models, players, stream, evaluators={"held": mean_of_fakes(config.system)}, **train)
    print(f"finished at step {result.step}")


def start():
    """The command line."""
    launch.run(main, config=f"{__file__}:cycle")


if __name__ == "__main__":
    start()
