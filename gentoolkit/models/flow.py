"""Normalizing flows with a normal base: destructors that are trained instead of fitted layer by layer.

    model = flow.gaussianization(2, data=x, rngs=nnx.Rngs(0))
    z, log_det = model(x)             # [n, d], [n]
    x = model.inverse(z)
    model.log_prob(x)                 # [n], nats
    model.sample(key, 1000)           # [1000, d]

| function | layers |
|---|---|
| `gaussianization` | mixtures of logistic laws a feature, rotations between them |
| `divisive_normalization` | linear, divisive normalization, then a marginal map |
| `spline_coupling` | rational-quadratic splines of one half of the features, shaped by the other half |
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.nn.bijections import bijection
from gentoolkit.nn.bijections.affine import Affine
from gentoolkit.nn.bijections.bijection import Bijection, Chain
from gentoolkit.nn.bijections.divisive_normalization import DivisiveNormalization
from gentoolkit.nn.bijections.householder import Householder
from gentoolkit.nn.bijections.mixture_marginal import MixtureMarginal
from gentoolkit.nn.bijections.spline_coupling import SplineCoupling

Data = np.ndarray | jax.Array | None


class Flow(nnx.Module):
    """A bijection to a space in which the law is N(0, I).

    Attributes:
      num_features: d.
    """

    def __init__(self, num_features: int, layers: Sequence[Bijection]):
        """Puts the layers together.

        Args:
          num_features: d.
          layers: from the data on.
        """
        self.num_features = num_features
        self.chain = Chain(layers)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]` to latent points `[..., d]`; returns them with the log-determinant `[...]`."""
        return self.chain(bijection.check_features(x, self.num_features))

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps latent points `[..., d]` to samples `[..., d]`."""
        return self.chain.inverse(bijection.check_features(z, self.num_features))

    def log_prob(self, x: jax.Array) -> jax.Array:
        """Log-density of samples `[..., d]`, in nats, `[...]`."""
        z, log_det = self(x)
        return jnp.sum(jax.scipy.stats.norm.logpdf(z), axis=-1) + log_det

    def sample(self, key: jax.Array, num: int) -> jax.Array:
        """Draws `[num, d]` samples.

        Args:
          key: random key.
          num: how many.

        Returns:
          `[num, d]`.
        """
        return self.inverse(jax.random.normal(key, (num, self.num_features)))


def gaussianization(
    num_features: int, *, num_layers: int = 6, num_components: int = 8, data: Data = None, rngs: nnx.Rngs
) -> Flow:
    """Marginal Gaussianization and rotation, layer upon layer, all trained at once; RBIG's trainable twin.

    Args:
      num_features: d.
      num_layers: pairs of a marginal map and a rotation; one more marginal map ends the flow.
      num_components: logistic laws in each mixture.
      data: `[n, d]` samples that the first layer standardizes at the start.
      rngs: of the initial weights.

    Returns:
      The flow.

    References:
      Meng, Song, Song, Ermon (2020), "Gaussianization flows".
    """
    layers: list[Bijection] = [Affine(num_features, data=data)]
    for _ in range(num_layers):
        layers.append(MixtureMarginal(num_features, num_components=num_components, rngs=rngs))
        layers.append(Householder(num_features, rngs=rngs))
    return Flow(num_features, [*layers, MixtureMarginal(num_features, num_components=num_components, rngs=rngs)])


def divisive_normalization(
    num_features: int, *, num_layers: int = 1, num_components: int = 8, data: Data = None, rngs: nnx.Rngs
) -> Flow:
    """Divisive normalization destructor: rotation, division by the neighbours' energy, and a marginal map.

    Args:
      num_features: d.
      num_layers: triples of rotation, division and marginal map.
      num_components: logistic laws in each mixture.
      data: `[n, d]` samples that the first layer standardizes at the start.
      rngs: of the initial weights.

    Returns:
      The flow.

    References:
      Ballé, Laparra, Simoncelli (2016), "Density modeling of images using a generalized normalization transformation".
      Johnson, Laparra, Camps-Valls, Santos-Rodriguez, Malo, "Information theory in density destructors".
    """
    layers: list[Bijection] = [Affine(num_features, data=data)]
    for _ in range(num_layers):
        layers.append(Householder(num_features, rngs=rngs))
        layers.append(DivisiveNormalization(num_features))
        layers.append(MixtureMarginal(num_features, num_components=num_components, rngs=rngs))
    return Flow(num_features, layers)


def spline_coupling(
    num_features: int,
    *,
    num_layers: int = 6,
    widths: Sequence[int] = (64, 64),
    num_bins: int = 8,
    bound: float = 5.0,
    data: Data = None,
    rngs: nnx.Rngs,
) -> Flow:
    """Spline coupling layers with the halves exchanged and rotated in between.

    Args:
      num_features: d >= 2.
      num_layers: coupling layers.
      widths: hidden units of each layer's network.
      num_bins: of each spline.
      bound: half range of the splines, in standard deviations where `data` is given.
      data: `[n, d]` samples that the first layer standardizes at the start.
      rngs: of the initial weights.

    Returns:
      The flow.

    References:
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows".
    """
    layers: list[Bijection] = [Affine(num_features, data=data)]
    for index in range(num_layers):
        odd = index % 2 == 1
        layers.append(SplineCoupling(num_features, widths=widths, num_bins=num_bins, bound=bound, odd=odd, rngs=rngs))
        if odd and index < num_layers - 1:
            layers.append(Householder(num_features, rngs=rngs))
    return Flow(num_features, layers)
