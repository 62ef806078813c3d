"""A variational auto-encoder of pictures given their sentence, with a flow between noise and codes or without."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit import training
from gentoolkit.models.text.recurrent import Encoded
from gentoolkit.models.text_to_image import vae
from gentoolkit.objectives import variational
from gentoolkit.training import Player

_MEETINGS = 4  # of a code and noises in a step of the flow


def system(config: ConfigDict, encoders: Pretrained) -> System:
    """Builds the system of a configuration."""
    options = config.vae
    sizes = {
        "image_size": config.image_size,
        "width": options.width,
        "noise_dim": options.noise_dim,
        "sentence_dim": encoders.features,
    }

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        made = {"encoder": vae.Encoder(**sizes, rngs=rngs), "generator": vae.Generator(**sizes, rngs=rngs)}
        if options.flow_width:
            made["flow"] = vae.Flow(
                noise_dim=options.noise_dim, sentence_dim=encoders.features, width=options.flow_width, rngs=rngs
            )
        return made

    def adam():
        return optax.adam(training.learning_rate(options.peak, num_steps=config.num_steps, decay="cosine"))

    players = {"vae": Player(functools.partial(bound, scale=options.scale), adam(), ("encoder", "generator"))}
    if options.flow_width:
        players["flow"] = Player(carrying, adam(), ("flow",))
    return System(
        models=models,
        players=players,
        frozen={"text": encoders.text},
        averaged=("generator", "flow") if options.flow_width else ("generator",),
        draw=draw,
        noise_dim=options.noise_dim,
    )


def draw(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """Paints a picture of each text."""
    if "flow" in models:
        noise = models["flow"].carry(noise, texts.sentence)
    return models["generator"](noise, texts.sentence)


def bound(models: Models, batch, turn, *, scale: float):
    """Objective: the negative evidence bound of a picture given its sentence, in nats a picture, over 1,000."""
    sentence = encode(models, batch).sentence
    law, prior = models["encoder"](batch["image"], sentence), models["generator"].prior(sentence)
    code = variational.sample(turn.key, law.mean, law.log_variance)
    painted = models["generator"].paint(code, sentence)
    # The loss of a row is a mean over its numbers, the bound has their sum: else codes would say nothing.
    misfit = batch["image"][0].size * mean(variational.laplace_nll(batch["image"], painted, scale=scale))
    divergence = mean(variational.kl_between(*law, *prior))
    in_units = (code - prior.mean) * jnp.exp(-prior.log_variance / 2.0)
    metrics = {"misfit": misfit, "divergence": divergence}
    return (misfit + divergence) / 1000.0, metrics, {"code": in_units, "sentence": sentence}


def carrying(models: Models, batch, turn):
    """Objective: the flow's velocity is that of straight lines from noise to codes (flow matching, eq. 23).

    Lipman et al., Flow matching for generative modeling, ICLR 2023. Each code is met several times, by noises and at
    times of their own: the flow costs little beside the networks of pictures.
    """
    codes, sentence = (jnp.repeat(batch[f"vae/{name}"], _MEETINGS, axis=0) for name in ("code", "sentence"))
    key_noise, key_time = jax.random.split(turn.key)
    noise = jax.random.normal(key_noise, codes.shape)
    times = jax.random.uniform(key_time, (len(codes),))
    between = noise + times[:, None] * (codes - noise)
    velocity = models["flow"](between, times, sentence)
    return mean(jnp.mean(jnp.square(velocity - (codes - noise)), axis=1)), {}
