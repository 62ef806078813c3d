"""DAMSM: encoders of texts and pictures, trained until each text finds its picture by words and as a whole."""

import functools

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from experiments.text_to_image import encoders
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.recurrent import Encoded
from gentoolkit.models.text_to_image.damsm import Seen
from gentoolkit.objectives import contrastive, damsm
from gentoolkit.training import Player

_BLOCK = 8  # texts that are scored together, and cut to about the length of the longest: half the time of all at once


def system(config: ConfigDict, vocabulary: Vocabulary) -> System:
    """Builds the system of a configuration.

    Texts of a batch are of different pictures, and all others are what each must be told from.
    """
    options = config.damsm
    rate = training.learning_rate(options.peak, num_steps=config.num_steps, decay="cosine")

    def of_text(params):
        return {name: name.startswith("text/") for name in params}

    optimizer = optax.chain(
        optax.masked(optax.clip_by_global_norm(options.clip_norm), of_text), optax.adam(rate, b1=0.5, b2=0.999)
    )
    objective = functools.partial(matching, options=options)
    return System(
        models=lambda rngs: encoders.networks(config, vocabulary, rngs),
        players={"encoders": Player(objective, optimizer)},
    )


def matching(models: Models, batch, turn, *, options):
    """Objective: both cross-entropies, of words with regions and of sentences with pictures."""
    del turn
    texts, pictures = encode(models, batch), models["images"](batch["image"])
    terms = scores(pictures, texts, options)
    losses = {name: mean(both.rows) + mean(both.columns) for name, both in terms.items()}
    hits = jnp.mean((terms["sentences"].rows < jnp.log(2.0)).astype(jnp.float32))  # surer of its own than of the rest
    return sum(losses.values()), losses | {"sure": hits}


def scores(pictures: Seen, texts: Encoded, options) -> dict[str, contrastive.Matching]:
    """The cross-entropies of `words` and of `sentences` of a batch of pairs."""
    words = damsm.word_scores(
        pictures.regions, texts.words, valid=texts.valid, gamma_1=options.gamma_1, gamma_2=options.gamma_2,
        scale=options.scale, block_size=_BLOCK,
    )  # fmt: skip
    sentences = contrastive.cosines(pictures.picture, texts.sentence)
    return {
        "words": contrastive.matching(options.gamma_3 * words),
        "sentences": contrastive.matching(options.gamma_3 * sentences),
    }


def loss(pictures: Seen, texts: Encoded, options) -> jax.Array:
    """All four terms, with the encoders as they are: what AttnGAN's generator is told by."""
    return sum(mean(both.rows) + mean(both.columns) for both in scores(pictures, texts, options).values())
