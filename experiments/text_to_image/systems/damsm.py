"""DAMSM: encoders of texts and pictures, trained until each text finds its picture by words and as a whole.

Where words exclude each other (`opposites`), each sentence that has such a word must also fit its picture better than
the same text with another in its place does; that is not in AttnGAN.
"""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image import encoders
from experiments.text_to_image.systems import opposites
from experiments.text_to_image.systems.opposites import Opposites
from experiments.text_to_image.systems.system import Models, System, encode, mean
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image import damsm as damsm_models
from gentoolkit.models.text_to_image.damsm import Seen
from gentoolkit.objectives import contrastive, damsm
from gentoolkit.training import Player

_TRUNK = "images/trunk/"  # of the published encoder of pictures, which stays as it is
_NO_CHANGE = 1e-4  # squared length of a change of directions below which its own direction counts less and less
_BLOCK = 8  # texts that are scored together, and cut to about the length of the longest: half the time of all at once


def system(config: ConfigDict, vocabulary: Vocabulary) -> System:
    """Builds the system of a configuration.

    Texts of a batch are of different pictures, and all others are what each must be told from; where the data say of
    which kind a picture is, other pictures of that kind are neither right nor wrong.

    Raises:
      ValueError: Inception is asked for without a file of its weights, or the file is another's; or
        `config.opposites` are no groups of words, or are given with dropout.
    """
    options = config.damsm
    initial = None
    if options.images == "inception":
        if not options.inception:
            raise ValueError(
                "config.damsm.inception must be a file of weights: torchvision's inception_v3_google-*.pth, or "
                "AttnGAN's image_encoder*.pth. Or give config.damsm.images=small, for pictures of up to 128 pixels."
            )
        _, trunk = nnx.split(damsm_models.read_trunk(options.inception))
        arrays = {"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(trunk))}
        initial = training.Initial({f"{_TRUNK}{name}": leaf for name, leaf in arrays.items()}, into=(_TRUNK[:-1],))
    rate = training.learning_rate(
        options.peak, num_steps=config.num_steps, decay=options.decay, final_fraction=options.final_fraction
    )

    def of_text(params):
        return {name: name.startswith("text/") for name in params}

    def part(params):
        return {name: "stays" if name.startswith(_TRUNK) else "learns" for name in params}

    adam = optax.adam(rate, b1=0.5, b2=0.999)
    if options.images == "inception":
        adam = optax.multi_transform({"learns": adam, "stays": optax.set_to_zero()}, part)
    optimizer = optax.chain(optax.masked(optax.clip_by_global_norm(options.clip_norm), of_text), adam)
    opposite = opposites.table(config.opposites, vocabulary)
    if opposite is not None and config.text.dropout:
        raise ValueError(
            "config.opposites need config.text.dropout=0, got config.text.dropout = "
            f"{config.text.dropout}: its noise is greater than what one word changes, and nothing is learned of it."
        )
    objective = functools.partial(matching, options=options, opposite=opposite)
    return System(
        models=lambda rngs: encoders.networks(config, vocabulary, rngs),
        players={"encoders": Player(objective, optimizer)},
        columns=columns(config),
        initial=initial,
    )


def columns(config: ConfigDict) -> tuple[str, ...]:
    """The column that says which pictures are of one kind: species of birds and flowers, as in the public code."""
    return ("label",) if config.dataset in ("cub", "flowers") else ()


def matching(models: Models, batch, turn, *, options, opposite: Opposites | None = None):
    """Objective: both cross-entropies, of words with regions and of sentences with pictures.

    With `opposite` also how surely a sentence is told from the one with another word in place of one.
    """
    texts, pictures = encode(models, batch), models["images"](batch["image"])
    terms = scores(pictures, texts, options, groups=batch.get("label"))
    losses = {name: mean(both.rows) + mean(both.columns) for name, both in terms.items()}
    hits = jnp.mean((terms["sentences"].rows < jnp.log(2.0)).astype(jnp.float32))  # surer of its own than of the rest
    metrics = losses | {"sure": hits}
    if opposite is not None:
        tokens, lengths = batch["caption"]
        turned, has = opposites.exchange(opposite, tokens, turn.key)
        telling, right = told_apart(
            pictures.picture, texts.sentence, models["text"](turned, lengths).sentence, options.gamma_3
        )
        num = jnp.maximum(jnp.sum(has), 1)
        losses["opposites"] = options.opposites * jnp.sum(jnp.where(has, telling, 0)) / num
        metrics |= {"opposites": losses["opposites"], "right": (jnp.sum(has & right) / num).astype(jnp.float32)}
    return sum(losses.values()), metrics


def told_apart(pictures: jax.Array, own: jax.Array, wrong: jax.Array, sharpness: float) -> tuple[jax.Array, jax.Array]:
    """How badly pictures tell their own sentence from one that is wrong in a word, and whether they do.

    Sentences that differ in a word are hardly different at first, and so is what pulls them apart. So what changes
    between them counts twice: by its size, and by its direction alone.

    Args:
      pictures: `[b, d]`.
      own: `[b, d]`.
      wrong: `[b, d]`.
      sharpness: times cosines.

    Returns:
      `[b]` losses, 2 log 2 where nothing is told apart, and `[b]` bool.
    """
    picture, change = _directions(pictures), _directions(own) - _directions(wrong)
    gain = jnp.sum(picture * change, axis=-1)
    by_direction = gain * jax.lax.rsqrt(jnp.sum(change * change, axis=-1) + _NO_CHANGE)
    return sum(jax.nn.softplus(-sharpness * x) for x in (gain, by_direction)), gain > 0


def _directions(rows: jax.Array) -> jax.Array:
    return rows * jax.lax.rsqrt(jnp.sum(rows * rows, axis=-1, keepdims=True) + 1e-12)


def scores(
    pictures: Seen, texts: Encoded, options, *, groups: jax.Array | None = None
) -> dict[str, contrastive.Matching]:
    """The cross-entropies of `words` and of `sentences` of a batch of pairs."""
    words = damsm.word_scores(
        pictures.regions, texts.words, valid=texts.valid, gamma_1=options.gamma_1, gamma_2=options.gamma_2,
        scale=options.scale, block_size=_BLOCK,
    )  # fmt: skip
    sentences = contrastive.cosines(pictures.picture, texts.sentence)
    return {
        "words": contrastive.matching(options.gamma_3 * words, groups=groups),
        "sentences": contrastive.matching(options.gamma_3 * sentences, groups=groups),
    }


def loss(pictures: Seen, texts: Encoded, options, *, groups: jax.Array | None = None) -> jax.Array:
    """All four terms, with the encoders as they are: what AttnGAN's generator is told by."""
    found = scores(pictures, texts, options, groups=groups)
    return sum(mean(both.rows) + mean(both.columns) for both in found.values())
