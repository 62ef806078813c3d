"""Shift and scale of each feature."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.nn.bijections import bijection


class Affine(nnx.Module):
    """Shift and scale of each feature, trainable, begun at the mean and spread of some data."""

    def __init__(self, num_features: int, *, data: np.ndarray | jax.Array | None = None):
        """Makes the parameters.

        Args:
          num_features: d.
          data: `[n, d]` samples that the layer shall standardize at the start; None begins at the identity.

        Raises:
          ValueError: data of another shape, or fewer than two samples.
        """
        self.num_features = num_features
        shift, log_scale = np.zeros(num_features), np.zeros(num_features)
        if data is not None:
            data = np.asarray(data, np.float64)
            if data.ndim != 2 or data.shape[1] != num_features or len(data) < 2:
                raise ValueError(f"data must be [n >= 2, {num_features}], got data.shape = {data.shape}.")
            spread = data.std(axis=0)
            shift, log_scale = data.mean(axis=0), np.log(np.where(spread > 0, spread, 1.0))
        self.shift = nnx.Param(jnp.asarray(shift, jnp.float32))
        self.log_scale = nnx.Param(jnp.asarray(log_scale, jnp.float32))

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant `[...]`."""
        x = bijection.check_features(x, self.num_features)
        z = (x - self.shift[...]) * jnp.exp(-self.log_scale[...])
        return z, jnp.full(x.shape[:-1], 1, z.dtype) * -jnp.sum(self.log_scale[...])

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back."""
        z = bijection.check_features(z, self.num_features)
        return z * jnp.exp(self.log_scale[...]) + self.shift[...]
