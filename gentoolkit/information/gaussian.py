"""Information measures of a Gaussian in closed form, from its covariance. From samples: exponential_family."""

import math

import jax
import jax.numpy as jnp

from gentoolkit import _array, _lapack
from gentoolkit.distances.gaussian import kl_divergence

__all__ = ["conditional_mutual_information", "entropy", "kl_divergence", "mutual_information", "total_correlation"]


def entropy(cov: jax.Array) -> jax.Array:
    """Differential entropy `(d log(2 pi e) + log det C) / 2`.

    Args:
      cov: `[..., d, d]` positive definite C.

    Returns:
      `[...]` nats, float32 or wider. NaN if C is not positive definite.

    Raises:
      ValueError: `cov` is not `[..., d, d]`.

    References:
      Cover and Thomas (2006), "Elements of information theory", theorem 8.4.1.
    """
    cov = _square(cov)
    return 0.5 * cov.shape[-1] * (1 + math.log(2 * math.pi)) + _half_log_det(cov)


def total_correlation(cov: jax.Array) -> jax.Array:
    """Total correlation `-log det(R) / 2`, R the correlation matrix.

    Args:
      cov: `[..., d, d]` positive definite.

    Returns:
      `[...]` nats, at least 0, float32 or wider. NaN if the matrix is not positive definite.

    Raises:
      ValueError: `cov` is not `[..., d, d]`.

    References:
      Studeny and Vejnarova (1998), "The multiinformation function as a tool for measuring stochastic dependence".

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.information import gaussian
      >>> round(float(gaussian.total_correlation(jnp.float32([[1, 0.6], [0.6, 1]]))), 4)  # -log(1 - 0.6^2) / 2
      0.2231
    """
    # From the correlation matrix: the scales cancel exactly, not in a difference of logarithms.
    return -_half_log_det(_correlation(_square(cov)))


def mutual_information(cov: jax.Array, *, split: int) -> jax.Array:
    """Mutual information `log(det C_x det C_z / det C) / 2` of the first `split` components and the rest.

    Args:
      cov: `[..., d, d]` positive definite covariance of all components.
      split: components in the first block (static), from 1 to d - 1.

    Returns:
      `[...]` nats, at least 0, float32 or wider. NaN if the matrix is not positive definite.

    Raises:
      ValueError: `cov` is not `[..., d, d]`, or `split` is out of range.

    References:
      Cover and Thomas (2006), "Elements of information theory", section 8.5.
    """
    cov = _correlation(_square(cov))
    dim = cov.shape[-1]
    if not 1 <= split <= dim - 1:
        raise ValueError(f"split must be from 1 to d - 1 = {dim - 1}, got split = {split}.")
    first, rest = cov[..., :split, :split], cov[..., split:, split:]
    return _half_log_det(first) + _half_log_det(rest) - _half_log_det(cov)


def conditional_mutual_information(cov: jax.Array, *, split: tuple[int, int]) -> jax.Array:
    """Mutual information of the first two of three blocks, given the third.

    Args:
      cov: `[..., d, d]` positive definite covariance of (x, z, given).
      split: sizes of x and of z (static); what is left, at least one component, is the condition.

    Returns:
      `[...]` nats, at least 0, float32 or wider. NaN if the matrix is not positive definite.

    Raises:
      ValueError: `cov` is not `[..., d, d]`, or a block is empty.

    References:
      Cover and Thomas (2006), "Elements of information theory", definition 2.61 (for densities).
    """
    cov = _correlation(_square(cov))
    a, b, dim = split[0], split[0] + split[1], cov.shape[-1]
    if not 0 < a < b < dim:
        raise ValueError(f"split must leave three blocks that are not empty of d = {dim}, got split = {split}.")
    # Marginals over (x, given), (z, given), given.
    without_z = jnp.concatenate(
        [
            jnp.concatenate([cov[..., :a, :a], cov[..., :a, b:]], axis=-1),
            jnp.concatenate([cov[..., b:, :a], cov[..., b:, b:]], axis=-1),
        ],
        axis=-2,
    )
    joint = _half_log_det(without_z) + _half_log_det(cov[..., a:, a:])
    return joint - _half_log_det(cov[..., b:, b:]) - _half_log_det(cov)


def _square(cov: jax.Array) -> jax.Array:
    cov = _array.as_array(cov)
    shape = jnp.shape(cov)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(f"A covariance must be [..., d, d] with d >= 1, got shape {shape}.")
    return _array.as_floating(cov=cov)[0]


def _correlation(cov: jax.Array) -> jax.Array:
    root = jnp.sqrt(jnp.diagonal(cov, axis1=-2, axis2=-1))
    return cov / root[..., :, None] / root[..., None, :]


def _half_log_det(cov: jax.Array) -> jax.Array:
    factor = _lapack.cholesky(cov, symmetrize=True)
    return jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
