"""Covariance functions: immutable pytrees with their hyper-parameters as leaves, combined by `+` and `*`."""

from typing import TypeVar

import jax
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process._composition import Covariance, OnFeatures, Product, Sum
from gentoolkit.gaussian_process._stationary import (
    Matern32,
    Matern52,
    RationalQuadratic,
    SquaredExponential,
    squared_distance,
)

__all__ = [
    "Covariance",
    "Matern32",
    "Matern52",
    "OnFeatures",
    "Product",
    "RationalQuadratic",
    "SquaredExponential",
    "Sum",
    "matern32",
    "matern52",
    "on_features",
    "rational_quadratic",
    "register",
    "squared_distance",
    "squared_exponential",
]

_Own = TypeVar("_Own", bound=Covariance)


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

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.gaussian_process import covariance
      >>> k = covariance.squared_exponential(1.0, 2.0)
      >>> [round(float(value), 4) for value in k.gram(jnp.zeros((1, 1)), jnp.float32([[0], [1]]))[0]]
      [2.0, 1.2131]
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
