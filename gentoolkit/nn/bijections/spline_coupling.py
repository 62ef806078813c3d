"""Coupling layers: half of the features through splines that the other half shapes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.gaussianization import splines
from gentoolkit.nn.bijections import bijection

_LEAST = 1e-3  # of a bin's width and height, as a share of an even one


class SplineCoupling(nnx.Module):
    """Sends one half of the features through monotone rational-quadratic splines whose knots the other half decides.

    Between -bound and bound the map is a spline, outside it is the identity, and the slopes meet at the ends.

    References:
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows", section 3.
    """

    def __init__(
        self,
        num_features: int,
        *,
        widths: Sequence[int] = (64, 64),
        num_bins: int = 8,
        bound: float = 5.0,
        odd: bool = False,
        rngs: nnx.Rngs,
    ):
        """Makes the network that shapes the splines; it begins at the identity.

        Args:
          num_features: d >= 2.
          widths: hidden units of the network, first to last.
          num_bins: of a spline, >= 2.
          bound: the splines' half range, > 0; scale the data to fit in.
          odd: whether the odd features are transformed (and the even ones decide), or the even ones.
          rngs: of the initial weights.

        Raises:
          ValueError: a number outside its range.
        """
        if num_features < 2 or num_bins < 2 or not bound > 0:
            raise ValueError(
                f"num_features and num_bins must be >= 2 and bound > 0, got {num_features}, {num_bins}, {bound}."
            )
        self.num_features, self.num_bins, self.bound = num_features, num_bins, bound
        chosen = np.arange(num_features) % 2 == (1 if odd else 0)
        self.moving = tuple(int(i) for i in np.flatnonzero(chosen))
        self.deciding = tuple(int(i) for i in np.flatnonzero(~chosen))
        sizes = [len(self.deciding), *widths]
        self.hidden = nnx.List(nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        outputs = len(self.moving) * (3 * num_bins - 1)
        self.last = nnx.Linear(
            sizes[-1], outputs, kernel_init=nnx.initializers.normal(1e-3), bias_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant `[...]`."""
        x = bijection.check_features(x, self.num_features)
        spline = self._spline(x[..., np.array(self.deciding)])
        moved, log_derivative = splines.forward(spline, x[..., np.array(self.moving), None], evenly=False)
        return x.at[..., np.array(self.moving)].set(moved[..., 0]), jnp.sum(log_derivative[..., 0], axis=-1)

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back."""
        z = bijection.check_features(z, self.num_features)
        spline = self._spline(z[..., np.array(self.deciding)])
        moved = splines.inverse(spline, z[..., np.array(self.moving), None], evenly=False)
        return z.at[..., np.array(self.moving)].set(moved[..., 0])

    def _spline(self, deciding: jax.Array) -> splines.Spline:
        """Knots `[..., moving features, bins + 1]` from the features that stay."""
        h = deciding / self.bound  # of order one, whatever the range
        for layer in self.hidden:
            h = nnx.silu(layer(h))
        raw = self.last(h).reshape(*deciding.shape[:-1], len(self.moving), 3 * self.num_bins - 1)
        widths, heights, slopes = jnp.split(raw, [self.num_bins, 2 * self.num_bins], axis=-1)
        ends = ((0, 0),) * (slopes.ndim - 1) + ((1, 1),)
        # The slope at the outer knots is one: the spline goes on by the identity.
        return splines.through(self._knots(widths), self._knots(heights), jnp.pad(slopes, ends))

    def _knots(self, raw: jax.Array) -> jax.Array:
        share = _LEAST + (1 - _LEAST) * jax.nn.softmax(raw, axis=-1) * self.num_bins  # mean one
        inner = jnp.cumsum(share[..., :-1], axis=-1) * (2 * self.bound / self.num_bins) - self.bound
        end = jnp.full_like(inner[..., :1], self.bound)
        return jnp.concatenate([-end, inner, end], axis=-1)
