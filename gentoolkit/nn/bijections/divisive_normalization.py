"""Generalized divisive normalization, invertible in closed form."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit import _lapack
from gentoolkit.nn.bijections import bijection

_LARGE = 1e8  # beyond this a sample is divided by its largest feature, so that squares stay finite,
_LARGEST = 1e37  # or by this, since the reciprocal of more is no normal float32
_SMALL = 1e-30  # least excess of a row, so that its logarithm stays finite
_FLOOR = 1e-6  # of beta: a division by zero at the origin is out of reach


class DivisiveNormalization(nnx.Module):
    """Divides each feature by its neighbours' energy: `z_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)`, gamma >= 0.

    Elliptical laws (the multivariate Student t among them) lose nearly all of their dependence in one such layer behind
    a linear one. The exponents are fixed at 2 and 1/2, as in the later work of the same authors: with them the inverse
    is the solution of a linear system in the squares, `y = (I - diag(z^2) gamma)^-1 (z^2 beta)` with y = x^2.

    The image is bounded; what lies outside has no preimage, and `inverse` gives NaN there. A marginal layer behind
    this one gives the image Gaussian marginals. A forward pass takes a d x d determinant for each sample, and its
    derivative d^3 numbers for each. Far out the derivative is next to a singular matrix; its determinant is computed
    without a subtraction, so that it keeps its digits for samples up to 1e15.

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
        # The unit of samples whose squares would overflow; of no consequence to the result, so a constant.
        largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
        unit = jnp.where(largest > _LARGE, jnp.minimum(largest, _LARGEST), 1)
        x = x / unit
        energy = beta / unit / unit + jnp.einsum("ij,...j->...i", gamma, jnp.square(x), precision="highest")
        z = x * jax.lax.rsqrt(energy)
        # dz_i / dx_j = energy_i^-3/2 (energy_i delta_ij - x_i gamma_ij x_j). Without the first factor, its determinant
        # is that of diag(energy) - gamma diag(x^2): no positive entry beside the diagonal, and rows that sum to beta.
        excess = jnp.maximum(beta / unit / unit, _SMALL)
        log_energy = jnp.sum(jnp.log(energy), axis=-1)
        log_det = _log_det(gamma * jnp.square(x)[..., None, :], excess) - 1.5 * log_energy
        log_det = log_det - self.num_features * jnp.log(unit[..., 0])
        return z, log_det

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back; NaN for what no sample is mapped to."""
        z = bijection.check_features(z, self.num_features)
        beta, gamma = self._parameters()
        square = jnp.square(z)
        system = jnp.eye(self.num_features, dtype=z.dtype) - square[..., :, None] * gamma
        y = _lapack.solve(system, (square * beta)[..., None])[..., 0]
        # Inside the image every energy is positive, at every feature at once.
        energy = beta + jnp.einsum("ij,...j->...i", gamma, y, precision="highest")
        valid = jnp.all((y >= 0) & (energy > 0), axis=-1, keepdims=True)
        return jnp.where(valid, z * jnp.sqrt(jnp.where(energy > 0, energy, 1)), jnp.nan)


def _log_det(beside: jax.Array, excess: jax.Array) -> jax.Array:
    """Log-determinant of the matrix with entries `-beside` off the diagonal and rows that sum to `excess` > 0.

    Gaussian elimination that carries the sums of rows instead of the diagonal, so that nothing is ever subtracted: all
    digits are right, however near to singular the matrix is.

    Args:
      beside: `[..., d, d]`, not negative; the diagonal is not looked at.
      excess: `[..., d]`.

    Returns:
      `[...]`.

    References:
      Grassmann, Taksar, Heyman, "Regenerative analysis and steady state distributions for Markov chains", 1985.
      Alfa, Xue, Ye, "Accurate computation of the smallest eigenvalue of a diagonally dominant M-matrix", 2002.
    """
    index = jnp.arange(excess.shape[-1])

    def eliminate(carry, k):
        beside, excess = carry
        row = jnp.where(index > k, jax.lax.dynamic_index_in_dim(beside, k, -2, keepdims=False), 0)
        column = jnp.where(index > k, jax.lax.dynamic_index_in_dim(beside, k, -1, keepdims=False), 0)
        own = jax.lax.dynamic_index_in_dim(excess, k, -1)
        pivot = own + jnp.sum(row, axis=-1, keepdims=True)
        share = column / pivot
        return (beside + share[..., :, None] * row[..., None, :], excess + share * own), jnp.log(pivot[..., 0])

    excess = jnp.broadcast_to(excess, beside.shape[:-1])
    return jnp.sum(jax.lax.scan(eliminate, (beside, excess), index)[1], axis=0)
