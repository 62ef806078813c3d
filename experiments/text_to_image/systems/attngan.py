"""AttnGAN: stages that look at words, a discriminator for each size, and DAMSM's word on the last picture."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import damsm, opposites
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image import attngan
from gentoolkit.objectives import adversarial, variational
from gentoolkit.training import Player


def system(config: ConfigDict, encoders: Pretrained) -> System:
    """Builds the system of a configuration."""
    options = config.attngan

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        return attngan.networks(
            rngs, image_size=config.image_size, num_stages=options.num_stages, width=options.width,
            judge_width=options.judge_width, num_residual=options.num_residual, noise_dim=options.noise_dim,
            condition_dim=options.condition_dim, text_dim=encoders.features,
        )  # fmt: skip

    opposite = opposites.table(config.opposites, encoders.vocabulary)
    sizes = [config.image_size >> level for level in range(options.num_stages)][::-1]
    adam = optax.adam(options.peak, b1=options.b1, b2=options.b2)
    painters = functools.partial(painting, sizes=sizes, options=options, matching=config.damsm, opposite=opposite)
    frozen: dict[str, nnx.Module] = {"text": encoders.text}
    return System(
        models=models,
        columns=damsm.columns(config),
        players={
            "painters": Player(painters, adam, ("paint",)),
            "judges": Player(functools.partial(judging, sizes=sizes), adam, tuple(f"judge_{size}" for size in sizes)),
        },
        frozen=frozen | ({} if encoders.images is None else {"images": encoders.images}),
        averaged=("paint",),
        draw=draw,
        noise_dim=options.noise_dim + options.condition_dim,
        attention=attention if options.num_stages > 1 else None,  # the first stage sees no words
    )


def painted(models: Models, texts: Encoded, noise: jax.Array) -> attngan.Painted:
    """The pictures of all stages; the last features of the noise choose the code of the sentence from its law."""
    paint = models["paint"]
    z, jitter = noise[:, : paint.noise_dim], noise[:, paint.noise_dim :]
    return paint(z, jitter, texts.sentence, texts.words, texts.valid)


def draw(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """Paints a picture of each text."""
    return painted(models, texts, noise).images[-1]


def attention(models: Models, texts: Encoded, noise: jax.Array) -> jax.Array:
    """How much each pixel of the last stage looked at each word, `[b, s, s, t]`."""
    return painted(models, texts, noise).attention[-1]


def painting(models: Models, batch, turn, *, sizes, options, matching, opposite=None):
    """Objective: every size passes for real, alone and with its sentence, and the last fits its words."""
    texts, paint = encode(models, batch), models["paint"]
    key_noise, key_wrong = jax.random.split(turn.key)
    noise = jax.random.normal(key_noise, (len(texts.sentence), paint.noise_dim + paint.condition_dim))
    found = painted(models, texts, noise)
    form, terms = adversarial.logistic(), {}
    for size, fake in zip(sizes, found.images, strict=True):
        logits = models[f"judge_{size}"](fake, texts.sentence)
        terms[f"fooling_{size}"] = sum(mean(adversarial.generator(form, part)) for part in logits)
    # The public code takes the mean over features, not the sum.
    divergence = mean(variational.kl_to_standard(found.law.mean, found.law.log_variance)) / paint.condition_dim
    terms["divergence"] = options.divergence * divergence
    if options.damsm:
        seen = models["images"](found.images[-1])
        terms["damsm"] = options.damsm * damsm.loss(seen, texts, matching, groups=batch.get("label"))
    handed = {f"fake_{size}": fake for size, fake in zip(sizes, found.images, strict=True)}
    wrong = opposites.wrong(models, batch, texts.sentence, opposite, key_wrong)
    return sum(terms.values()), terms, handed | {"sentence": texts.sentence, "wrong": wrong}


def judging(models: Models, batch, turn, *, sizes):
    """Objective: for every size, real pictures are told from painted ones, and from those with a wrong sentence."""
    del turn
    sentence, wrong = batch["painters/sentence"], batch["painters/wrong"]
    form, losses = adversarial.logistic(), {}
    real = smaller(batch["image"], sizes)
    for size in sizes:
        judge = models[f"judge_{size}"]
        seen, fake = judge.look(real[size]), judge.look(batch[f"painters/fake_{size}"])
        positive = [judge.judge_alone(seen), judge.judge(seen, sentence)]
        negative = [judge.judge_alone(fake), judge.judge(fake, sentence), judge.judge(seen, wrong)]
        # Means of both kinds of truth and of the three kinds of untruth, as in the public code.
        loss = sum(mean(form.real(logits)) for logits in positive) / 2
        losses[f"loss_{size}"] = loss + sum(mean(form.fake(logits)) for logits in negative) / 3
    return sum(losses.values()), losses


def smaller(images: jax.Array, sizes) -> dict[int, jax.Array]:
    """Pictures in several sizes, by means over squares of pixels."""
    found = {}
    for size in sizes:
        factor = images.shape[1] // size
        shape = (images.shape[0], size, factor, size, factor, images.shape[-1])
        found[size] = jnp.mean(images.reshape(shape), axis=(2, 4))
    return found
