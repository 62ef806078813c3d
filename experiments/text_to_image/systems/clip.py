"""Mini-CLIP: two small transformers, trained so that a picture and its text have like embeddings.

It measures painters that were told by another encoder, and can be trained on any captioned pictures.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.text_to_image.systems.system import Models, System, mean
from gentoolkit import training
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.clip import CLIP, Architecture, Tower
from gentoolkit.objectives import contrastive
from gentoolkit.training import Player

_LARGEST_SCALE = 100.0  # of the logits, as in CLIP


def network(config: ConfigDict, vocabulary: Vocabulary, length: int, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds the network of a configuration.

    Args:
      config: of the run.
      vocabulary: of the texts; the number behind the last word ends a text.
      length: words that a text has room for.
      rngs: of the initial weights.
    """
    options = config.clip
    tower = Tower(options.width, options.num_layers, options.num_heads)
    architecture = Architecture(
        config.image_size, options.patch_size, tower, tower, options.features,
        vocabulary_size=len(vocabulary) + 1, context_length=length + 1,
    )  # fmt: skip
    return {"clip": CLIP(architecture, rngs=rngs)}


def system(config: ConfigDict, vocabulary: Vocabulary, length: int) -> System:
    """Builds the system of a configuration."""
    rate = training.learning_rate(
        config.clip.peak, num_steps=config.num_steps, decay="cosine", warmup_steps=min(200, config.num_steps // 10)
    )
    return System(
        models=functools.partial(network, config, vocabulary, length),
        players={"clip": Player(matching, optax.adamw(rate, b2=0.98, weight_decay=1e-3))},
    )


def matching(models: Models, batch, turn):
    """Objective: the cross-entropy of each text among the pictures of the batch, and the other way round."""
    del turn
    clip = models["clip"]
    images = clip.encode_image((batch["image"] + 1.0) / 2.0)
    texts = clip.encode_text(ended(batch["caption"].values, batch["caption"].lengths, clip))
    scale = jnp.minimum(jnp.exp(clip.log_scale[...]), _LARGEST_SCALE)
    both = contrastive.matching(scale * contrastive.cosines(images, texts))
    sure = jnp.mean((both.rows < jnp.log(2.0)).astype(jnp.float32))
    return (mean(both.rows) + mean(both.columns)) / 2, {"scale": scale, "sure": sure}


def ended(tokens: jax.Array, lengths: jax.Array, clip: CLIP) -> jax.Array:
    """Puts the number that ends a text behind its last word: `[b, t]` to `[b, t + 1]`."""
    places = jnp.arange(tokens.shape[1] + 1)
    longer = jnp.pad(tokens, ((0, 0), (0, 1)))
    return jnp.where(places == lengths[:, None], clip.architecture.vocabulary_size - 1, longer)


def embed(
    models: Models, images: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, *, batch_size: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings `[n, d]` of pictures in [-1, 1] and of texts, row by row."""
    found = []
    for start in range(0, len(images), batch_size):
        part = [rows[start : start + batch_size] for rows in (images, tokens, lengths)]
        filled = [np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows), axis=0)]) for rows in part]
        found.append([np.asarray(rows)[: len(part[0])] for rows in _embed(models, *filled)])
    return tuple(np.concatenate(rows) for rows in zip(*found, strict=True))


def _both(models: Models, images, tokens, lengths):
    clip = models["clip"]
    return clip.encode_image((images + 1.0) / 2.0), clip.encode_text(ended(tokens, lengths, clip))


_embed = training.jit(_both)
