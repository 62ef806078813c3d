"""Marginal Gaussianization that is trained: each feature through the cdf of a mixture of logistic laws."""

import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.gaussianization.marginal import logistic_mixture
from gentoolkit.nn.bijections import bijection

_MAP = logistic_mixture.mixture()


class MixtureMarginal(nnx.Module):
    """Sends each feature to the normal quantile of its mixture's cdf; the mixture is trained.

    The trainable twin of `gaussianization.marginal.mixture`, whose functions it calls.

    References:
      Meng, Song, Song, Ermon (2020), "Gaussianization flows", section 3.1.
    """

    def __init__(self, num_features: int, *, num_components: int = 8, rngs: nnx.Rngs):
        """Makes the parameters: components spread over the normal quantiles, so that the map begins near the identity.

        Args:
          num_features: d.
          num_components: logistic laws a feature, >= 1.
          rngs: jitters the locations, so that components can part.

        Raises:
          ValueError: a number below 1.
        """
        if num_features < 1 or num_components < 1:
            raise ValueError(f"num_features and num_components must be >= 1, got {num_features} and {num_components}.")
        self.num_features = num_features
        law = statistics.NormalDist()
        spread = np.array([law.inv_cdf((i + 0.5) / num_components) for i in range(num_components)], np.float32)
        noise = 0.05 * jax.random.normal(rngs.params(), (num_features, num_components))
        # A logistic law of scale s has variance (pi s)^2 / 3: what the locations leave of the unit variance.
        left = max(1.0 - float(np.var(spread)), 0.05)
        self.location = nnx.Param(spread + noise)
        self.log_scale = nnx.Param(jnp.full((num_features, num_components), math.log(math.sqrt(3 * left) / math.pi)))
        self.logits = nnx.Param(jnp.zeros((num_features, num_components)))

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant `[...]`."""
        rows, shape = self._rows(x)
        z, log_derivative = _MAP.forward(self._mixture(), rows)
        return z.T.reshape(shape), jnp.sum(log_derivative, axis=0).reshape(shape[:-1])

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back, by bisection and a Newton step that carries the derivative."""
        rows, shape = self._rows(z)
        return _MAP.inverse(self._mixture(), rows).T.reshape(shape)

    def _rows(self, x: jax.Array) -> tuple[jax.Array, tuple[int, ...]]:
        x = bijection.check_features(x, self.num_features)
        return x.reshape(-1, self.num_features).T, x.shape

    def _mixture(self) -> logistic_mixture.Mixture:
        log_weight = jax.nn.log_softmax(self.logits[...], axis=-1)
        return logistic_mixture.Mixture(log_weight, self.location[...], self.log_scale[...])
