"""Covariance functions: immutable pytrees with their hyper-parameters as leaves, combined by `+` and `*`."""

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks

# Up to this many features differences are taken directly: exact for close points wherever they lie.
_DIRECT_FEATURES = 16

_Own = TypeVar("_Own", bound="Covariance")


class Covariance:
    """What every covariance can do; `+` and `*` of two covariances are covariances.

    Hyper-parameters are leaves: differentiate with respect to the covariance, or batch it with `jax.vmap`. One of your
    own is a frozen dataclass under `register` that defines `_gram(x, z)` and `_diagonal(x)`, and
    `_spectrum(key, num, dim)` if it is stationary.
    """

    def gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        """Covariances `[n, m]` of the values at `x` `[n, d]` and at `z` `[m, d]`, float32 or wider.

        Raises:
          ValueError: shapes disagree.
        """
        return self._gram(*_points(x=x, z=z))

    def diagonal(self, x: jax.Array) -> jax.Array:
        """Prior variances `[n]` at `x` `[n, d]`.

        Raises:
          ValueError: `x` has another shape.
        """
        return self._diagonal(*_points(x=x))

    def spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        """Random frequencies `[num, dim]` and powers `[num]`: `k(x, z) = E sum_j power_j cos(frequency_j . (x - z))`.

        Raises:
          ValueError: the covariance is not stationary.
        """
        return self._spectrum(key, num, dim)

    def __add__(self, other: "Covariance") -> "Covariance":
        """Covariance of the sum of two independent processes."""
        return Sum(self, other)

    def __mul__(self, other: "Covariance") -> "Covariance":
        """Product, entry by entry."""
        return Product(self, other)

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _diagonal(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        raise ValueError(f"{type(self).__name__} is not stationary and has no spectrum: sample with method='joint'.")


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
        scale = self._lengthscale(x)
        if jnp.ndim(self.lengthscale):
            return self._variance(x) * self._profile(squared_distance(x / scale, z / scale))
        # One lengthscale is a factor of all distances. Behind them, its derivative takes one pass instead of one for
        # each feature, and in a loop over lengthscales the distances are computed once.
        unit = _unit(z)
        largest = float(jnp.finfo(x.dtype).max) ** 0.5
        factor = jnp.minimum(unit / scale[:, :1], largest) ** 2
        return self._variance(x) * self._profile(squared_distance(x / unit, z / unit) * factor)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        # A lengthscale that is not positive is NaN here too, and so are the values at a NaN.
        unit = 1.0 + 0.0 * jnp.sum(x / self._lengthscale(x), axis=-1)
        return self._variance(x) * unit

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
        return jnp.exp(-alpha * jnp.log1p(r2 / (2.0 * alpha)))

    def _mixing(self, key, num, dtype):
        alpha = self._alpha(dtype)
        return jnp.sqrt(jax.random.gamma(key, alpha, (num,), dtype) / alpha)


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Sum(Covariance):
    """Covariance of the sum of two independent processes."""

    first: Covariance
    second: Covariance

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.first.gram(x, z) + self.second.gram(x, z)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.first.diagonal(x) + self.second.diagonal(x)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        if num < 2:
            raise ValueError(f"a sum needs at least two frequencies, got num = {num}.")
        key_first, key_second, key_order = jax.random.split(key, 3)
        first, power_first = self.first.spectrum(key_first, num - num // 2, dim)
        second, power_second = self.second.spectrum(key_second, num // 2, dim)
        # In random order: a product pairs the frequencies of its two factors one by one.
        order = jax.random.permutation(key_order, num)
        return jnp.concatenate([first, second])[order], jnp.concatenate([power_first, power_second])[order]


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Product(Covariance):
    """Entry-wise product of two covariances."""

    first: Covariance
    second: Covariance

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.first.gram(x, z) * self.second.gram(x, z)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.first.diagonal(x) * self.second.diagonal(x)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        key_first, key_second = jax.random.split(key)
        first, power_first = self.first.spectrum(key_first, num, dim)
        second, power_second = self.second.spectrum(key_second, num, dim)
        return first + second, num * power_first * power_second


@_pytree.register
@dataclasses.dataclass(frozen=True)
class OnFeatures(Covariance):
    """See `on_features`."""

    covariance: Covariance
    features: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def _select(self, x):
        if max(self.features) >= x.shape[1]:
            raise ValueError(f"features = {self.features} are not all among the {x.shape[1]} of x.")
        return x[:, np.array(self.features)]

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.covariance.gram(self._select(x), self._select(z))

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.covariance.diagonal(self._select(x))

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        inner, power = self.covariance.spectrum(key, num, len(self.features))
        return jnp.zeros((num, dim), inner.dtype).at[:, np.array(self.features)].set(inner), power


def register(cls: type[_Own]) -> type[_Own]:
    """Class decorator that makes a covariance of your own a pytree.

    Take it and not `jax.tree_util.register_dataclass`: with jax 0.10.2 a function compiled for one such class may be
    called with another that has as many fields.

    Args:
      cls: a frozen dataclass that derives from `Covariance`; fields with metadata `{"static": True}` are structure, the
        others leaves.

    Returns:
      The class.

    Raises:
      TypeError: `cls` is not a dataclass.
      ValueError: it is registered already.
    """
    return _pytree.register(cls)


def squared_exponential(lengthscale: ArrayLike, variance: ArrayLike) -> Covariance:
    """Squared exponential covariance, variance * exp(-r^2 / 2) with r = |(x - z) / lengthscale|.

    Args:
      lengthscale: in units of the inputs, scalar or `[d]` (one for each feature). May be traced and differentiated.
      variance: of the process, in squared units of the targets, scalar.

    Returns:
      A covariance. A traced lengthscale that is not positive, or a negative variance, gives NaN.

    Raises:
      ValueError: the lengthscale is not positive or the variance negative.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (4.9).
    """
    return SquaredExponential(*_hyper(lengthscale, variance))


def matern32(lengthscale: ArrayLike, variance: ArrayLike) -> Covariance:
    """Matérn covariance of smoothness 3/2, variance * (1 + a) exp(-a) with a = sqrt(3) |(x - z) / lengthscale|.

    Args:
      lengthscale: in units of the inputs, scalar or `[d]` (one for each feature). May be traced and differentiated.
      variance: of the process, in squared units of the targets, scalar.

    Returns:
      A covariance with gradient 0 where points coincide. Traced bad hyper-parameters give NaN.

    Raises:
      ValueError: the lengthscale is not positive or the variance negative.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (4.17).
    """
    return Matern32(*_hyper(lengthscale, variance))


def matern52(lengthscale: ArrayLike, variance: ArrayLike) -> Covariance:
    """Matérn covariance of smoothness 5/2, variance * (1 + a + a^2 / 3) exp(-a) with a = sqrt(5) |x - z| / lengthscale.

    Args:
      lengthscale: in units of the inputs, scalar or `[d]` (one for each feature). May be traced and differentiated.
      variance: of the process, in squared units of the targets, scalar.

    Returns:
      A covariance with gradient 0 where points coincide. Traced bad hyper-parameters give NaN.

    Raises:
      ValueError: the lengthscale is not positive or the variance negative.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (4.17).
    """
    return Matern52(*_hyper(lengthscale, variance))


def rational_quadratic(lengthscale: ArrayLike, variance: ArrayLike, *, alpha: ArrayLike) -> Covariance:
    """Rational quadratic covariance, variance * (1 + r^2 / (2 alpha))^-alpha with r = |(x - z) / lengthscale|.

    Args:
      lengthscale: in units of the inputs, scalar or `[d]` (one for each feature). May be traced and differentiated.
      variance: of the process, in squared units of the targets, scalar.
      alpha: tail index, scalar; large values tend to the squared exponential.

    Returns:
      A covariance. Traced bad hyper-parameters give NaN.

    Raises:
      ValueError: the lengthscale or alpha is not positive, or the variance negative.

    References:
      Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, eq. (4.19).
    """
    _array.check_positive(alpha=alpha)
    scale, power = _hyper(lengthscale, variance)
    return RationalQuadratic(scale, power, _leaf(alpha=alpha))


def on_features(covariance: Covariance, features: tuple[int, ...]) -> Covariance:
    """A covariance that looks at some of the features only, to be added to or multiplied with others.

    Args:
      covariance: of points with as many features as are named.
      features: which columns of the inputs it sees (static).

    Returns:
      A covariance of the full inputs.

    Raises:
      ValueError: no feature is named, or one is negative.
    """
    features = tuple(int(feature) for feature in features)
    if not features or min(features) < 0:
        raise ValueError(f"features must be columns, counted from 0, got features = {features}.")
    return OnFeatures(covariance, features)


def squared_distance(x: jax.Array, z: jax.Array) -> jax.Array:
    """Squared Euclidean distances of all pairs.

    Up to 16 features the differences are squared and summed, exact to rounding wherever the points lie. Beyond that
    they come from one matrix product of the centred points, with an absolute error of about eps times the squared
    diameter, never negative.

    Args:
      x: `[n, d]`.
      z: `[m, d]`.

    Returns:
      `[n, m]`, float32 or wider, in squared units of the points.

    Raises:
      ValueError: shapes disagree or are empty.
    """
    x, z = _points(x=x, z=z)
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
    center = jax.lax.stop_gradient(jnp.mean(z, axis=0, keepdims=True))
    x, z = x - center, z - center
    norms = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(z * z, axis=1)[None, :]
    return jnp.maximum(norms - 2.0 * _blocks.matmul(x, z.T), 0.0)


def _unit(points: jax.Array) -> jax.Array:
    """A power of two of the size of the points' largest finite entry: in it, no square is too large or too small."""
    size = jnp.max(jnp.where(jnp.isfinite(points), jnp.abs(points), 0.0))
    # Halved, so that the largest of all numbers is not rounded to infinity.
    power = jax.lax.reduce_precision(0.5 * size, jnp.finfo(points.dtype).nexp, 0)
    return jax.lax.stop_gradient(jnp.where(power > 0, power, 1.0))


def _points(**arrays) -> list[jax.Array]:
    _blocks.check_points(**arrays)
    return _array.as_floating(**arrays)


def _hyper(lengthscale: ArrayLike, variance: ArrayLike) -> list:
    _array.check_positive(lengthscale=lengthscale)
    if not isinstance(variance, jax.core.Tracer) and not np.all(np.asarray(variance) >= 0):
        raise ValueError(f"variance must be >= 0, got variance = {variance}.")
    return [_leaf(lengthscale=lengthscale), _leaf(variance=variance)]


def _leaf(**named):
    """A hyper-parameter as an array; numbers of the host stay float64 there and are rounded where they meet data."""
    ((name, value),) = named.items()
    if isinstance(value, jax.Array):
        return _array.as_floating(**named)[0]
    value = np.asarray(value)
    _array.floating_dtype(**{name: value})
    return value.astype(np.float64)


def _root(r2: jax.Array) -> jax.Array:
    """Square root whose derivative at 0 is 0, not infinite."""
    # The usual `where(r2 > 0, sqrt(where(r2 > 0, r2, 1)), 0)` is compiled wrongly by XLA on CPU (jax 0.10.2): beside a
    # reduction of the profile, entries at r2 = 0 come out as another number.
    return jnp.sqrt(jnp.maximum(r2, float(jnp.finfo(r2.dtype).tiny)))


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
