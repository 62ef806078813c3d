"""What a layer of a flow is, and the chain of several.

A bijection is a module with two functions::

    z, log_det = layer(x)          # x [..., d] to z [..., d]; log |det dz/dx| [...]
    x = layer.inverse(z)

Leading axes are independent samples. Both directions are differentiable, in the argument and in the parameters.
"""

from collections.abc import Iterable
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx


class Bijection(Protocol):
    """An invertible layer."""

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant `[...]`."""

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back."""


class Chain(nnx.Module):
    """Bijections one after another, the first nearest to the data."""

    def __init__(self, layers: Iterable[Bijection]):
        """Keeps the layers.

        Args:
          layers: modules with the functions of a `Bijection`, each of its own (none twice).
        """
        self.layers = nnx.List(layers)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the sum of the log-determinants `[...]`."""
        total = jnp.zeros(x.shape[:-1], x.dtype)
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back, last layer first."""
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


def check_features(x: jax.Array, num_features: int) -> jax.Array:
    """Returns `x` as float32 or wider; refuses what is not `[..., num_features]` (`ValueError`)."""
    x = jnp.asarray(x)
    if jnp.ndim(x) < 1 or jnp.shape(x)[-1] != num_features:
        raise ValueError(f"This layer takes samples [..., {num_features}], got shape {jnp.shape(x)}.")
    return jnp.asarray(x, jnp.promote_types(jnp.result_type(x), jnp.float32))
