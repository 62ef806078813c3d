"""A variational auto-encoder of pictures given their sentence: the reference that adversarial systems must beat."""

import functools

import jax
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
        return {"encoder": vae.Encoder(**sizes, rngs=rngs), "generator": vae.Generator(**sizes, rngs=rngs)}

    rate = training.learning_rate(options.peak, num_steps=config.num_steps, decay="cosine")
    return System(
        models=models,
        players={"vae": Player(functools.partial(bound, scale=options.scale), optax.adam(rate))},
        frozen={"text": encoders.text},
        averaged=("generator",),
        draw=draw,
        noise_dim=options.noise_dim,
    )


def draw(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """Paints a picture of each text."""
    return models["generator"](noise, texts.sentence)


def bound(models: Models, batch, turn, *, scale: float):
    """Objective: the negative evidence bound of a picture given its sentence, in nats a picture, over 1,000."""
    sentence = encode(models, batch).sentence
    law = models["encoder"](batch["image"], sentence)
    code = variational.sample(turn.key, law.mean, law.log_variance)
    painted = models["generator"](code, sentence)
    # The loss of a row is a mean over its numbers, the bound has their sum: else codes would say nothing.
    misfit = batch["image"][0].size * mean(variational.laplace_nll(batch["image"], painted, scale=scale))
    divergence = mean(variational.kl_to_standard(law.mean, law.log_variance))
    return (misfit + divergence) / 1000.0, {"misfit": misfit, "divergence": divergence}
