"""Generalized divisive normalization, invertible in closed form."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.nn.bijections import bijection

_FLOOR = 1e-6  # of beta: a division by zero at the origin is out of reach


class DivisiveNormalization(nnx.Module):
    """Divides each feature by its neighbours' energy: `z_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)`, gamma >= 0.

    Elliptical laws (the multivariate Student t among them) lose nearly all of their dependence in one such layer behind
    a linear one. The exponents are fixed at 2 and 1/2, as in the later work of the same authors: with them the inverse
    is the solution of a linear system in the squares, `y = (I - diag(z^2) gamma)^-1 (z^2 beta)` with y = x^2.

    The image is bounded; what lies outside has no preimage, and `inverse` gives NaN there. A marginal layer behind
    this one gives the image Gaussian marginals. A forward pass takes a d x d determinant for each sample.

    References:
      Ballé, Laparra, Simoncelli (2016), "Density modeling of images using a generalized normalization transformation",
      eq. 3 (alpha = 2, epsilon = 1/2).
      Lyu and Simoncelli (2009), "Nonlinear extraction of independent components of natural images using radial
      Gaussianization" (why division suits elliptical laws).
    """

    def __init__(self, num_features: int, *, coupling: float = 0.1):
        """Makes the parameters.

        Args:
          num_features: d.
          coupling: where every entry of gamma begins, > 0.

        Raises:
          ValueError: a number below 1, or a coupling that is not positive.
        """
        if num_features < 1 or not coupling > 0:
            raise ValueError(f"num_features must be >= 1 and coupling > 0, got {num_features} and {coupling}.")
        self.num_features = num_features
        raw = math.log(math.expm1(coupling))
        self.raw_beta = nnx.Param(jnp.full((num_features,), math.log(math.expm1(1.0))))
        self.raw_gamma = nnx.Param(jnp.full((num_features, num_features), raw))

    def _parameters(self) -> tuple[jax.Array, jax.Array]:
        return jax.nn.softplus(self.raw_beta[...]) + _FLOOR, jax.nn.softplus(self.raw_gamma[...])

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant `[...]`."""
        x = bijection.check_features(x, self.num_features)
        beta, gamma = self._parameters()
        energy = beta + jnp.einsum("ij,...j->...i", gamma, jnp.square(x), precision="highest")
        z = x * jax.lax.rsqrt(energy)
        # dz_i / dx_j = energy_i^-1/2 (delta_ij - z_i^2 gamma_ij x_j / x_i). Without the outer factors x_j and 1 / x_i,
        # which cancel in the determinant, nothing is divided by an x that may be zero.
        inner = jnp.eye(self.num_features, dtype=z.dtype) - jnp.square(z)[..., :, None] * gamma
        log_det = jnp.linalg.slogdet(inner)[1] - 0.5 * jnp.sum(jnp.log(energy), axis=-1)
        return z, log_det

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back; NaN for what no sample is mapped to."""
        z = bijection.check_features(z, self.num_features)
        beta, gamma = self._parameters()
        square = jnp.square(z)
        system = jnp.eye(self.num_features, dtype=z.dtype) - square[..., :, None] * gamma
        y = jnp.linalg.solve(system, (square * beta)[..., None])[..., 0]
        # Inside the image every energy is positive, at every feature at once.
        energy = beta + jnp.einsum("ij,...j->...i", gamma, y, precision="highest")
        valid = jnp.all((y >= 0) & (energy > 0), axis=-1, keepdims=True)
        return jnp.where(valid, z * jnp.sqrt(jnp.where(energy > 0, energy, 1)), jnp.nan)
