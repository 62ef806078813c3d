"""Several outputs with shared structure: the intrinsic coregionalisation model, with any data or with complete data."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _lapack, _pytree, _scale
from gentoolkit.gaussian_process import _blocks, _data, _origin
from gentoolkit.gaussian_process._composition import FromOne
from gentoolkit.gaussian_process.covariance import Covariance


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Coregionalized(Covariance):
    """See `coregionalized`."""

    covariance: Covariance
    outputs: jax.Array

    def _split(self, x):
        if x.shape[-1] < 2:
            raise ValueError(f"x must be [n, d + 1], the output in the last column, got x.shape = {x.shape}.")
        return x[:, :-1], x[:, -1].astype(jnp.int32)

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        (x, x_output), (z, z_output) = self._split(x), self._split(z)
        outputs = jnp.asarray(self.outputs, x.dtype)
        # By selection and not by one-hot products: exact, and its derivative by the outputs is a scatter.
        rows = jnp.take(outputs, x_output, axis=0, mode="fill", fill_value=jnp.nan)
        return jnp.take(rows, z_output, axis=1, mode="fill", fill_value=jnp.nan) * self.covariance.gram(x, z)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        x, output = self._split(x)
        diagonal = jnp.diagonal(jnp.asarray(self.outputs, x.dtype))
        return jnp.take(diagonal, output, mode="fill", fill_value=jnp.nan) * self.covariance.diagonal(x)

    def _from_one(self, x: jax.Array) -> FromOne:
        x, x_output = self._split(x)
        outputs, inner = jnp.asarray(self.outputs, x.dtype), self.covariance._from_one(x)

        def function(z):
            row = jnp.take(outputs, z[-1].astype(jnp.int32), axis=0, mode="fill", fill_value=jnp.nan)
            return jnp.take(row, x_output, mode="fill", fill_value=jnp.nan) * inner(z[:-1])

        return function

    def _shift_invariant(self, num: int) -> np.ndarray:
        return np.append(self.covariance._shift_invariant(num - 1), False)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Posterior:
    """Posterior of all outputs after all of them were seen at the same points; a pytree.

    Attributes:
      covariance: over points.
      prior_mean: `[p]`.
      outputs: `[p, p]`, covariance of the outputs.
      centered: `[n, d]`, the points less `origin`; `points` has them whole.
      origin: None or `[2, d]`, see `posterior.Posterior`.
      weights: `[n, p]`.
      point_vectors: `[n, n]` eigenvectors over points; `output_vectors` `[p, p]` over outputs, scaled by the noise.
      output_vectors: `[p, p]`.
      gain: `[n, p]`, 1 / (1 + product of the eigenvalues).
      log_marginal_likelihood: `[]`, in nats.
    """

    covariance: Covariance
    prior_mean: jax.Array
    outputs: jax.Array
    centered: jax.Array
    origin: jax.Array | None
    weights: jax.Array
    point_vectors: jax.Array
    output_vectors: jax.Array
    gain: jax.Array
    log_marginal_likelihood: jax.Array

    @property
    def points(self) -> jax.Array:
        """`[n, d]` points, rounded to the dtype computed in."""
        return _origin.restored(self.centered, self.origin)


def coregionalized(covariance: Covariance, outputs: jax.Array) -> Covariance:
    """Covariance B[c, c'] k(x, x') of points that carry the number of their output c in the last column.

    For data where each output is seen at points of its own: an ordinary covariance for `posterior` and `sparse`.

    Args:
      covariance: k, of points without that column.
      outputs: `[p, p]` covariance B of the outputs, see `outputs_covariance`.

    Returns:
      A covariance of `[n, d + 1]` points; an output that is not one of 0 ... p - 1 gives NaN.

    Raises:
      ValueError: `outputs` is not square.

    References:
      Álvarez, Rosasco, Lawrence, Kernels for vector-valued functions: a review, Foundations and Trends in Machine
      Learning 2012, section 4.2.1.
    """
    _check_square(outputs)
    return Coregionalized(covariance, *_array.as_floating(outputs=outputs))


def outputs_covariance(factor: jax.Array, variances: ArrayLike) -> jax.Array:
    """Covariance of outputs, factor factor^T + diag(variances): positive semi-definite whatever the factor.

    Args:
      factor: `[p, rank]`, what the outputs share.
      variances: scalar or `[p]`, >= 0, what each has for itself.

    Returns:
      `[p, p]`.

    Raises:
      ValueError: shapes disagree or a variance is negative.
    """
    if jnp.ndim(factor) != 2:
        raise ValueError(f"factor must be [p, rank], got factor.shape = {jnp.shape(factor)}.")
    num = jnp.shape(factor)[0]
    if jnp.shape(variances) not in ((), (num,)):
        raise ValueError(f"variances must be a scalar or [p] with p = {num}, got shape {jnp.shape(variances)}.")
    if not isinstance(variances, jax.core.Tracer) and np.any(np.asarray(variances) < 0):
        raise ValueError(f"variances must be >= 0, got variances = {variances}.")
    (factor,) = _array.as_floating(factor=factor)
    own = jnp.broadcast_to(jnp.asarray(variances, factor.dtype), (num,))
    return _blocks.matmul(factor, factor.T) + jnp.diag(own)


def condition(
    covariance: Covariance, x: jax.Array, y: jax.Array, *, outputs: jax.Array, noise: ArrayLike, mean: ArrayLike = 0.0
) -> Posterior:
    """Posterior of p coregionalised outputs, all seen at the same n points: O(n^3 + p^3) instead of O(n^3 p^3).

    The covariance of all data is B kron K plus the noise of each output; two small eigendecompositions solve it. Its
    derivative is that of `eigh`: not finite where eigenvalues coincide. To fit by gradients, use `coregionalized`.

    Args:
      covariance: K, over points.
      x: `[n, d]` points.
      y: `[n, p]` values.
      outputs: `[p, p]`, B.
      noise: noise variance, scalar or `[p]` (one for each output), > 0.
      mean: prior mean, scalar or `[p]`.

    Returns:
      A `Posterior`; NaN where an input is.

    Raises:
      ValueError: shapes disagree or the noise is not positive.
      TypeError: an argument is not a real array.

    References:
      Rakitsch, Lippert, Borgwardt, Stegle, It is all in the noise: efficient multi-task Gaussian process inference with
      structured residuals, NeurIPS 2013, section 2.1 (diagonal residuals).
    """
    x, y, outputs, noise, mean = _origin.arrays(x=x, y=y, outputs=outputs, noise=noise, mean=mean)
    _blocks.check_points(x=x)
    n = jnp.shape(x)[0]
    _check_square(outputs)
    num = jnp.shape(outputs)[0]
    if jnp.shape(y) != (n, num):
        raise ValueError(f"y must be [n, p] = {(n, num)}, got y.shape = {jnp.shape(y)}.")
    for name, value in (("noise", noise), ("mean", mean)):
        if jnp.shape(value) not in ((), (num,)):
            raise ValueError(f"{name} must be a scalar or [p] with p = {num}, got shape {jnp.shape(value)}.")
    _array.check_positive(noise=noise)
    dtype = _array.floating_dtype(x=x, y=y, outputs=outputs)
    outputs, noise = jnp.asarray(outputs, dtype), jnp.broadcast_to(jnp.asarray(noise, dtype), (num,))
    given = _data.prepare(covariance, x, y, 0.0, mean, also=[outputs])
    mean = jnp.broadcast_to(jnp.asarray(mean, dtype), (num,))
    return _condition(covariance, given, outputs, noise, mean)


# An untraced caller would otherwise compile the loops of these at every call; to a traced one they are no boundaries.
@functools.partial(jax.jit, inline=True)
def _condition(covariance, given, outputs, noise, mean):
    data = _data.ready(given)
    x, (n, num) = data.x, data.residual.shape
    root = jnp.sqrt(noise)
    level = _level(covariance, x)
    over_points, point_vectors = _lapack.eigh(covariance.gram(x, x) / level)
    scaled = level * (outputs / root[:, None]) / root[None, :]
    over_outputs, output_vectors = _lapack.eigh(scaled)
    # Rounding makes small eigenvalues negative.
    power = 1.0 + jnp.maximum(over_points, 0.0)[:, None] * jnp.maximum(over_outputs, 0.0)[None, :]
    turned = _blocks.matmul(_blocks.matmul(point_vectors.T, data.residual / root[None, :]), output_vectors)
    output_vectors = output_vectors / root[:, None]
    weights = _blocks.matmul(_blocks.matmul(point_vectors, turned / power), output_vectors.T)
    size = n * num
    evidence = -0.5 * (
        jnp.sum(turned**2 / power) + jnp.sum(jnp.log(power)) + n * jnp.sum(jnp.log(noise)) + size * np.log(2.0 * np.pi)
    )
    return Posterior(
        covariance, mean, outputs, x, data.origin, weights, point_vectors, output_vectors, 1.0 / power, evidence
    )


def mean(p: Posterior, x: jax.Array, *, block_size: int | None = None) -> jax.Array:
    """Posterior means of all outputs at new points.

    Args:
      p: from `condition`.
      x: `[m, d]` points.
      block_size: points at a time (static), None to choose.

    Returns:
      `[m, p]`.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    x, size = _new_points(p, x, block_size)
    return _mean(p, x, size)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _mean(p, x, size):
    weights = _blocks.matmul(p.weights, p.outputs)
    return p.prior_mean[None, :] + _blocks.map_rows(
        lambda rows: _blocks.matmul(p.covariance.gram(_origin.less(rows, p.origin), p.centered), weights), x, size
    )


def variance(p: Posterior, x: jax.Array, *, block_size: int | None = None) -> jax.Array:
    """Posterior variances of all outputs at new points, without noise.

    Args:
      p: from `condition`.
      x: `[m, d]` points.
      block_size: points at a time (static), None to choose.

    Returns:
      `[m, p]`, >= 0.

    Raises:
      ValueError: shapes disagree or `block_size` < 1.
    """
    x, size = _new_points(p, x, block_size)
    return _variance(p, x, size)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _variance(p, x, size):
    level = _level(p.covariance, p.centered)
    over_outputs = _blocks.matmul(level * p.outputs, p.output_vectors) ** 2

    def block(rows):
        rows = _origin.less(rows, p.origin)
        over_points = _blocks.matmul(p.covariance.gram(rows, p.centered) / level, p.point_vectors) ** 2
        explained = _blocks.matmul(_blocks.matmul(over_points, p.gain), over_outputs.T)
        prior = p.covariance.diagonal(rows)[:, None] * jnp.diagonal(p.outputs)[None, :]
        return jnp.maximum(prior - explained, 0.0)

    return _blocks.map_rows(block, x, size)


def _level(covariance, x):
    """The unit of a covariance over points, `[1, 1]`: in it, its squares are normal numbers."""
    return _scale.unit(covariance.diagonal(x)[:, None])


def _new_points(p, x, block_size):
    x = _origin.new_points(x, p.centered, p.origin)
    return x, _blocks.rows_of_block(p.centered.shape[0], x.high.shape[0], block_size)


def _check_square(outputs):
    shape = jnp.shape(outputs)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"outputs must be [p, p] with p >= 1, got outputs.shape = {shape}.")
