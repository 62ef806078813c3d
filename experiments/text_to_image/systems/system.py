"""What the rest of the experiment knows of a system."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models.text.encoded import Encoded
from gentoolkit.training import Initial, Player

Models = Mapping[str, Any]


class System(NamedTuple):
    """Something that is trained on captioned pictures. Pictures are `[b, h, w, 3]` in [-1, 1].

    Attributes:
      models: builds the networks.
      players: who trains them, in the order in which they move.
      columns: of the data, besides pictures and texts.
      frozen: networks of others that players use.
      averaged: names of networks of which a moving average is kept and measured.
      draw: of what paints: `(models, texts, noise [b, noise_dim]) -> pictures`.
      noise_dim: features of the noise.
      attention: of what looks at words while it paints: `(models, texts, noise) -> weights [b, h, w, t]`.
      initial: weights that training begins with.
    """

    models: Callable[[nnx.Rngs], dict[str, nnx.Module]]
    players: dict[str, Player]
    columns: tuple[str, ...] = ()
    frozen: Mapping[str, nnx.Module] = {}
    averaged: tuple[str, ...] = ()
    draw: Callable[[Models, Encoded, jax.Array], jax.Array] | None = None
    noise_dim: int = 0
    attention: Callable[[Models, Encoded, jax.Array], jax.Array] | None = None
    initial: Initial | None = None


def encode(models: Models, batch: Mapping[str, Any]) -> Encoded:
    """The texts of a batch, by the encoder that stands beside."""
    return models["text"](batch["caption"].values, batch["caption"].lengths)


def mean(rows: jax.Array) -> jax.Array:
    """The mean of a loss of each row, as the float32 scalar that a player returns."""
    return jnp.mean(rows.astype(jnp.float32))


def disturbed(key: jax.Array, images: jax.Array) -> jax.Array:
    """Noise and a change of contrast, so that what a painter blurs a little is still told by a judge trained so."""
    key_noise, key_scale = jax.random.split(key)
    scale = jax.random.uniform(key_scale, (len(images), 1, 1, 1), minval=0.8, maxval=1.1)
    return jnp.clip(images * scale + 0.06 * jax.random.normal(key_noise, images.shape), -1.0, 1.0)


def next_rows(x: jax.Array) -> jax.Array:
    """Each row's neighbour, which is another example of the batch."""
    return jnp.roll(x, -1, axis=0)
