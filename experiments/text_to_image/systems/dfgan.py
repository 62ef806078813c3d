"""DF-GAN: one generator, one discriminator of pictures with their sentence, a penalty on its slope at true pairs."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import damsm, opposites
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit import training
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image import dfgan
from gentoolkit.objectives import adversarial, penalties
from gentoolkit.training import Player


def system(config: ConfigDict, encoders: Pretrained) -> System:
    """Builds the system of a configuration."""
    options = config.dfgan
    opposite = opposites.table(config.opposites, encoders.vocabulary)
    sizes = {"image_size": config.image_size, "width": options.width, "sentence_dim": encoders.features}

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        return {
            "generator": dfgan.Generator(**sizes, noise_dim=options.noise_dim, bounded=options.bounded, rngs=rngs),
            "discriminator": dfgan.Discriminator(**sizes, rngs=rngs),
        }

    adam = functools.partial(optax.adam, b1=options.b1, b2=options.b2)
    frozen: dict[str, nnx.Module] = {"text": encoders.text}
    if options.damsm and encoders.images is not None:  # what a file holds to paint with has none
        frozen["images"] = encoders.images
    return System(
        models=models,
        columns=damsm.columns(config) if options.damsm else (),
        players={
            "generator": Player(
                functools.partial(painting, weight=options.damsm, matching=config.damsm, opposite=opposite),
                adam(options.peak_generator),
                ("generator",),
            ),
            "discriminator": Player(
                functools.partial(judging, options=options), adam(options.peak_discriminator), ("discriminator",)
            ),
        },
        frozen=frozen,
        averaged=("generator",),
        draw=draw,
        noise_dim=options.noise_dim,
    )


def draw(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """Paints a picture of each text, in [-1, 1]."""
    return jnp.clip(models["generator"](noise, texts.sentence), -1, 1)


def painting(models: Models, batch, turn, *, weight=0.0, matching=None, opposite=None):
    """Objective: painted pictures pass for real ones that belong to their text and, with a weight, find it by DAMSM."""
    texts = encode(models, batch)
    key_noise, key_wrong = jax.random.split(turn.key)
    noise = jax.random.normal(key_noise, (len(texts.sentence), models["generator"].noise_dim))
    fake = models["generator"](noise, texts.sentence)
    logits = models["discriminator"](fake, texts.sentence)
    handed = {"fake": fake, "sentence": texts.sentence}
    handed["wrong"] = opposites.wrong(models, batch, texts.sentence, opposite, key_wrong)
    loss, metrics = mean(adversarial.generator(adversarial.hinge(), logits)), {}
    if weight:
        found = damsm.loss(models["images"](fake), texts, matching, groups=batch.get("label"))
        loss, metrics = loss + weight * found, {"damsm": found}
    return loss, metrics, handed


def judging(models: Models, batch, turn, *, options):
    """Objective: real pictures with their own text are told from painted ones and from those with another's."""
    del turn
    judge, sentence = models["discriminator"], batch["generator/sentence"]
    seen = judge.look(batch["image"])
    real = judge.judge(seen, sentence)
    other = judge.judge(seen, batch["generator/wrong"])
    fake = judge(batch["generator/fake"], sentence)
    weight = options.mismatched
    loss = mean(adversarial.discriminator(adversarial.hinge(), real, fake, other, weights=(weight, weight)))
    metrics = {"real": jnp.mean(real), "fake": jnp.mean(fake), "mismatched": jnp.mean(other)}
    if options.gradient_penalty:
        slopes = penalties.matching_aware(
            training.pure(judge), batch["image"], sentence, strength=options.gradient_penalty, power=options.power
        )
        loss, metrics = loss + mean(slopes), metrics | {"penalty": mean(slopes)}
    return loss, metrics
