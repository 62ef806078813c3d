"""Covariances of the distance of two points alone: squared exponential, Matérn, rational quadratic."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks
from gentoolkit.gaussian_process._composition import Covariance, FromOne, close_points

# Squared distance in lengthscales beyond which every covariance is 0; capped, so that derivatives stay finite.
_FARTHEST = 1e30
# Up to this many features differences are taken directly: exact for close points wherever they lie.
_DIRECT_FEATURES = 16


@_pytree.register
@dataclasses.dataclass(frozen=True)
class _Stationary(Covariance):
    """`variance * profile(|(x - z) / lengthscale|^2)`."""

    lengthscale: jax.Array
    variance: jax.Array

    def _profile(self, r2: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _mixing(self, key: jax.Array, num: int, dtype: Any) -> jax.Array:
        """Factors `[num]` that make the frequencies of this covariance of normal ones."""
        raise NotImplementedError

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        several = jnp.ndim(self.lengthscale) > 0
        # In units of the points, lengthscales can be squared, as their derivative does it too.
        unit = _unit(z, 0 if several else None)
        least = 2.0 * float(jnp.finfo(x.dtype).max) ** -0.5
        scale = jnp.maximum(self._lengthscale(x) / unit, least)
        x, z = x / unit, z / unit
        if several:
            return self._variance(x) * self._profile(squared_distance(x / scale, z / scale))
        # One lengthscale is a factor of all distances. Behind them, its derivative takes one pass instead of one for
        # each feature, and in a loop over lengthscales the distances are computed once.
        return self._variance(x) * self._profile(squared_distance(x, z) * (1.0 / scale[:, :1]) ** 2)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        # A lengthscale that is not positive is NaN here too, and so are the values at a NaN.
        unit = 1.0 + 0.0 * jnp.sum(x / self._lengthscale(x), axis=-1)
        return self._variance(x) * unit

    def _from_one(self, x: jax.Array) -> FromOne:
        if x.shape[1] > _DIRECT_FEATURES:
            return super()._from_one(x)
        scale, variance = self._lengthscale(x)[0], self._variance(x)
        # Feature by feature: where they were joined from slices of one array, XLA reads those and never joins them.
        features = [x[:, feature] / scale[feature] for feature in range(x.shape[1])]

        def function(z):
            z = z / scale
            return variance * self._profile(sum((column - z[i]) ** 2 for i, column in enumerate(features)))

        return function

    def _shift_invariant(self, num: int) -> np.ndarray:
        # A class that derives from one of these may have made it another function.
        return np.full(num, type(self)._gram is _Stationary._gram)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        dtype = _array.floating_dtype(lengthscale=self.lengthscale, variance=self.variance)
        key_normal, key_mixing = jax.random.split(key)
        normal = jax.random.normal(key_normal, (num, dim), dtype)
        scale = self._lengthscale(normal)
        frequencies = normal * self._mixing(key_mixing, num, dtype)[:, None] / scale
        return frequencies, jnp.full((num,), 1.0 / num, dtype) * self._variance(normal)

    def _lengthscale(self, x: jax.Array) -> jax.Array:
        scale = jnp.asarray(self.lengthscale, x.dtype)
        if scale.ndim > 1 or (scale.ndim == 1 and scale.shape[0] != x.shape[-1]):
            raise ValueError(
                f"lengthscale must be a scalar or [d] with d = {x.shape[-1]} features, got shape {scale.shape}."
            )
        return jnp.broadcast_to(jnp.where(scale > 0, scale, jnp.nan), (1, x.shape[-1]))

    def _variance(self, x: jax.Array) -> jax.Array:
        variance = jnp.asarray(self.variance, x.dtype)
        if variance.ndim:
            raise ValueError(f"variance must be a scalar, got shape {variance.shape}: batch with jax.vmap.")
        return jnp.where(variance >= 0, variance, jnp.nan)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class SquaredExponential(_Stationary):
    """See `squared_exponential`."""

    def _profile(self, r2):
        return jnp.exp(-0.5 * r2)

    def _mixing(self, key, num, dtype):
        return jnp.ones((num,), dtype)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Matern32(_Stationary):
    """See `matern32`."""

    def _profile(self, r2):
        return _matern32(r2)

    def _mixing(self, key, num, dtype):
        return 1.0 / jnp.sqrt(jax.random.gamma(key, 1.5, (num,), dtype) / 1.5)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Matern52(_Stationary):
    """See `matern52`."""

    def _profile(self, r2):
        return _matern52(r2)

    def _mixing(self, key, num, dtype):
        return 1.0 / jnp.sqrt(jax.random.gamma(key, 2.5, (num,), dtype) / 2.5)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class RationalQuadratic(_Stationary):
    """See `rational_quadratic`."""

    alpha: jax.Array

    def _alpha(self, dtype):
        alpha = jnp.asarray(self.alpha, dtype)
        return jnp.where(alpha > 0, alpha, jnp.nan)

    def _profile(self, r2):
        alpha = self._alpha(r2.dtype)
        r2 = jnp.minimum(r2, _FARTHEST)
        return jnp.exp(-alpha * jnp.log1p(r2 / (2.0 * alpha)))

    def _mixing(self, key, num, dtype):
        alpha = self._alpha(dtype)
        return jnp.sqrt(jax.random.gamma(key, alpha, (num,), dtype) / alpha)


def squared_distance(x: jax.Array, z: jax.Array) -> jax.Array:
    """Squared Euclidean distances of all pairs.

    Up to 16 features the differences are squared and summed, exact to rounding wherever the points lie. Beyond that
    they come from one matrix product of the centred points, with an absolute error of about eps times the squares of
    how far both points are from the centre of most, never negative.

    Args:
      x: `[n, d]`.
      z: `[m, d]`.

    Returns:
      `[n, m]`, float32 or wider, in squared units of the points.

    Raises:
      ValueError: shapes disagree or are empty.
    """
    x, z = close_points(lambda num: np.ones(num, bool), x=x, z=z)
    if x.shape[1] <= _DIRECT_FEATURES:
        # A feature of z is read once for every row of the result: laid out in one piece, which XLA on CPU takes back
        # into the loop unless told not to, all takes a third of the time.
        columns = jax.lax.optimization_barrier(z.T)
        r2 = jnp.zeros((x.shape[0], z.shape[0]), x.dtype)
        for feature in range(x.shape[1]):
            difference = x[:, feature][:, None] - columns[feature][None, :]
            r2 = r2 + difference * difference
        return r2
    # The centre has no derivative: a distance does not depend on it.
    center = jax.lax.stop_gradient(_center(z))
    x, z = x - center, z - center
    norms = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(z * z, axis=1)[None, :]
    return jnp.maximum(norms - 2.0 * _blocks.matmul(x, z.T), 0.0)


def _center(z: jax.Array) -> jax.Array:
    """Mean `[1, d]` of the points that are as close to the mean of all as the closest is, within a factor of four.

    A few points far away move the mean of all, but not this one.
    """
    usable = jnp.all(jnp.isfinite(z), axis=1, keepdims=True)
    z = jnp.where(usable, z, 0.0)
    size = jnp.max(jnp.abs(z))
    z = z / jnp.where(size > 0, size, 1.0)
    mean = jnp.sum(z, axis=0, keepdims=True) / jnp.maximum(jnp.sum(usable.astype(z.dtype)), 1.0)
    distance = jnp.where(usable, jnp.sum((z - mean) ** 2, axis=1, keepdims=True), jnp.inf)
    close = (distance <= 16.0 * jnp.min(distance)) & usable
    number = jnp.maximum(jnp.sum(close.astype(z.dtype)), 1.0)
    return jnp.sum(jnp.where(close, z, 0.0), axis=0, keepdims=True) / number * size


def _unit(z: jax.Array, axis: int | None) -> jax.Array:
    """A power of two, 2^-40 of the largest finite entry: in it, no square is too large or too small.

    Next to one point far away, up to 1e30 times as far as others from one another, these keep their distances.
    """
    size = jnp.max(jnp.where(jnp.isfinite(z), jnp.abs(z), 0.0), axis=axis, keepdims=True)
    # Halved, so that the largest of all numbers is not rounded to infinity.
    power = jax.lax.reduce_precision(0.5 * size, jnp.finfo(z.dtype).nexp, 0)
    least = float(jnp.finfo(z.dtype).tiny)
    return jax.lax.stop_gradient(jnp.where(power > 0, jnp.maximum(power * 2.0**-40, least), 1.0))


def _root(r2: jax.Array) -> jax.Array:
    """Square root whose derivative at 0 is 0, not infinite."""
    # The usual `where(r2 > 0, sqrt(where(r2 > 0, r2, 1)), 0)` is compiled wrongly by XLA on CPU (jax 0.10.2): beside a
    # reduction of the profile, entries at r2 = 0 come out as another number.
    return jnp.sqrt(jnp.clip(r2, float(jnp.finfo(r2.dtype).tiny), _FARTHEST))


# The derivatives of the Matérn profiles by r^2 are finite at 0, but the chain rule reaches them as 0 / 0 through the
# square root, and next to 0 as a difference of nearly equal terms over 2 r. Written out they are exact there.
@jax.custom_jvp
def _matern32(r2):
    a = 3.0**0.5 * _root(r2)
    return (1.0 + a) * jnp.exp(-a)


@_matern32.defjvp
def _matern32_jvp(primals, tangents):
    ((r2,), (r2_dot,)) = primals, tangents
    a = 3.0**0.5 * _root(r2)
    decay = jnp.exp(-a)
    return (1.0 + a) * decay, -1.5 * decay * r2_dot


@jax.custom_jvp
def _matern52(r2):
    a = 5.0**0.5 * _root(r2)
    return (1.0 + a + a * a / 3.0) * jnp.exp(-a)


@_matern52.defjvp
def _matern52_jvp(primals, tangents):
    ((r2,), (r2_dot,)) = primals, tangents
    a = 5.0**0.5 * _root(r2)
    decay = jnp.exp(-a)
    return (1.0 + a + a * a / 3.0) * decay, -5.0 / 6.0 * (1.0 + a) * decay * r2_dot
