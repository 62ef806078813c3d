"""A variational auto-encoder of pictures given their sentence, with a flow between noise and codes or without."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit import training
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image import vae
from gentoolkit.objectives import variational
from gentoolkit.training import Player

_MEETINGS = 4  # of a code and noises in a step of the flow


def system(config: ConfigDict, encoders: Pretrained) -> System:
    """Builds the system of a configuration.

    What reads texts begins as the encoder that is handed in. That one was trained to find a picture among others, for
    which what lies above what hardly matters; so it is trained on here, unless `trains_text` says no.
    """
    options = config.vae
    sizes = {
        "image_size": config.image_size,
        "width": options.width,
        "noise_dim": options.noise_dim,
        "sentence_dim": encoders.features,
    }
    # As NumPy, which any number of processes may hold.
    read = jax.tree.map(np.asarray, nnx.state(encoders.text, nnx.Param))

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        made = {"encoder": vae.Encoder(**sizes, rngs=rngs), "generator": vae.Generator(**sizes, rngs=rngs)}
        if options.flow_width:
            made["flow"] = vae.Flow(
                noise_dim=options.noise_dim, sentence_dim=encoders.features, width=options.flow_width, rngs=rngs
            )
        if options.trains_text:
            made["text"] = encoders.text.alike(rngs=rngs)
            nnx.update(made["text"], read)
        return made

    names = nnx.eval_shape(lambda: models(nnx.Rngs(0))).keys()
    rate = training.learning_rate(options.peak, num_steps=config.num_steps, decay="cosine")
    return System(
        models=models,
        players={"vae": Player(functools.partial(bound, scale=options.scale), optax.adam(rate))},
        frozen={} if options.trains_text else {"text": encoders.text},
        averaged=tuple(name for name in names if name != "encoder"),
        draw=draw,
        noise_dim=options.noise_dim,
    )


def draw(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """Paints a picture of each text."""
    if "flow" in models:
        noise = models["flow"].carry(noise, texts.sentence)
    return models["generator"](noise, texts.sentence)


def bound(models: Models, batch, turn, *, scale: float):
    """Objective: the negative evidence bound of a picture given its sentence, in nats a picture, over 1,000.

    And the flow's own, for which codes are as they are.
    """
    key_code, key_flow = jax.random.split(turn.key)
    sentence = encode(models, batch).sentence
    law, prior = models["encoder"](batch["image"], sentence), models["generator"].prior(sentence)
    code = variational.sample(key_code, law.mean, law.log_variance)
    painted = models["generator"].paint(code, sentence)
    # The loss of a row is a mean over its numbers, the bound has their sum: else codes would say nothing.
    misfit = batch["image"][0].size * mean(variational.laplace_nll(batch["image"], painted, scale=scale))
    divergence = mean(variational.kl_between(*law, *prior))
    loss, metrics = (misfit + divergence) / 1000.0, {"misfit": misfit, "divergence": divergence}
    if "flow" in models:
        codes = (code - prior.mean) * jnp.exp(-prior.log_variance / 2.0)
        metrics["flow"] = carrying(models["flow"], jax.lax.stop_gradient(codes), sentence, key_flow)
        loss += metrics["flow"]
    return loss, metrics


def carrying(flow, codes: jax.Array, sentence: jax.Array, key: jax.Array) -> jax.Array:
    """How far a flow's velocity is from that of straight lines from noise to codes (flow matching, eq. 23).

    Lipman et al., Flow matching for generative modeling, ICLR 2023. Each code is met several times, by noises and at
    times of their own: the flow costs little beside the networks of pictures.
    """
    codes, sentence = (jnp.repeat(rows, _MEETINGS, axis=0) for rows in (codes, sentence))
    key_noise, key_time = jax.random.split(key)
    noise = jax.random.normal(key_noise, codes.shape)
    times = jax.random.uniform(key_time, (len(codes),))
    velocity = flow(noise + times[:, None] * (codes - noise), times, sentence)
    return mean(jnp.mean(jnp.square(velocity - (codes - noise)), axis=1))
