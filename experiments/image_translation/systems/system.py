"""What the rest of the experiment knows of a system."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.training import Player

Models = Mapping[str, Any]
Domain = Literal["x", "y"]


class System(NamedTuple):
    """A method of translation between the domains x and y. Images are `[b, h, w, c]` in [-1, 1].

    Attributes:
      models: builds the networks.
      players: who trains them, in the order in which they move: what encodes and paints, then what judges.
      translate: `(models, images, code, to) -> images`; the code, `[b, code_dim]`, is of the domain that is painted,
        and None where there is none.
      style: `(models, images, of) -> code [b, code_dim]`, without noise; None where there is no code.
      restyle: `(models, images, code, of) -> images` of the same domain in another style; None where there is no way.
      code_dim: features of a code, 0 for a system that paints one image only.
      directions: the domains that it paints.
      multiple: height and width of images must divide by it.
      least: the smallest height and width of images in training.
    """

    models: Callable[[nnx.Rngs], dict[str, nnx.Module]]
    players: dict[str, Player]
    translate: Callable[[Models, jax.Array, jax.Array | None, Domain], jax.Array]
    style: Callable[[Models, jax.Array, Domain], jax.Array] | None = None
    restyle: Callable[[Models, jax.Array, jax.Array, Domain], jax.Array] | None = None
    code_dim: int = 0
    directions: tuple[Domain, ...] = ("y", "x")
    multiple: int = 4
    least: int = 4


def other(domain: Domain) -> Domain:
    """The other domain."""
    return "x" if domain == "y" else "y"


def way_back(key: jax.Array, painted: jax.Array, noise: float) -> jax.Array:
    """What is encoded again of translated images: these with noise, under which a painter cannot hide its source.

    Args:
      key: draws the noise.
      painted: `[b, h, w, c]` in [-1, 1].
      noise: its standard deviation, on the same scale; 0 leaves the images as they are.

    Returns:
      As `painted`.

    References:
      Bashkirova, Usman, Saenko, Adversarial self-defense for cycle-consistent GANs, NeurIPS 2019: the first defence.
    """
    if not noise:
        return painted
    return painted + noise * jax.random.normal(key, painted.shape, painted.dtype)


def mean(rows: jax.Array) -> jax.Array:
    """The mean of a loss of each row, as the float32 scalar that a player returns."""
    return jnp.mean(rows.astype(jnp.float32))
