"""What a posterior and an evidence are made from: data checked, cast, and without their prior mean."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks
from gentoolkit.gaussian_process.covariance import Covariance

Mean = ArrayLike | Callable[[jax.Array], jax.Array]


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Data:
    """Checked data: points `[n, d]`, targets without prior mean `[n, p]`, noise `[n]`, `used` `[n]` of 0 and 1."""

    x: jax.Array
    residual: jax.Array
    noise: jax.Array
    used: jax.Array
    prior_mean: Any
    single: bool = dataclasses.field(metadata={"static": True})


def prepare(x: jax.Array, y: jax.Array, noise: ArrayLike, mean: Mean, *, divides: bool = False) -> Data:
    """Checks and casts data; `divides` says that noise must not be 0.

    Returns:
      `Data`; a point with infinite noise has `used` 0, residual 0 and noise 1.

    Raises:
      ValueError: shapes disagree or the noise is negative.
    """
    _blocks.check_points(x=x)
    n = jnp.shape(x)[0]
    if jnp.ndim(y) not in (1, 2) or jnp.shape(y)[0] != n or 0 in jnp.shape(y):
        raise ValueError(f"y must be [n] or [n, p] with n = {n} points, got y.shape = {jnp.shape(y)}.")
    if jnp.shape(noise) not in ((), (n,)):
        raise ValueError(f"noise must be a scalar or [n] with n = {n} points, got noise.shape = {jnp.shape(noise)}.")
    if not isinstance(noise, jax.core.Tracer) and np.any(np.asarray(noise) < 0):
        raise ValueError(f"noise must be >= 0, got noise = {noise}.")
    if divides:
        _array.check_positive(noise=noise)
    x, y = _array.as_floating(x=x, y=y)
    noise = jnp.broadcast_to(jnp.asarray(noise, x.dtype), (n,))
    noise = jnp.where(noise < 0, jnp.nan, noise)
    single = y.ndim == 1
    if isinstance(mean, Partial):
        prior_mean = mean  # wrapped once more, its parameters would count as static
    else:
        prior_mean = Partial(mean) if callable(mean) else Partial(_constant, jnp.asarray(mean, x.dtype))
    used = ~jnp.isposinf(noise)
    targets = y[:, None] if single else y
    at_points = evaluate(prior_mean, x, targets.shape[1])
    # The targets of what is left out may be anything, NaN too: they are replaced before they enter a product.
    residual = jnp.where(used[:, None], targets, at_points) - at_points
    return Data(x, residual, jnp.where(used, noise, 1.0), used.astype(x.dtype), prior_mean, single)


def system(covariance: Covariance, data: Data) -> jax.Array:
    """Covariance of the data `[n, n]`, noise included; rows of points left out are those of the identity."""
    gram = covariance.gram(data.x, data.x) * (data.used[:, None] * data.used[None, :])
    return gram + jnp.diag(data.noise)


def _constant(value, x):
    return jnp.broadcast_to(value, (x.shape[0], *value.shape))


def evaluate(prior_mean: Any, x: jax.Array, outputs: int) -> jax.Array:
    """Prior mean `[n, p]` at `x` `[n, d]`."""
    values = jnp.asarray(prior_mean(x), x.dtype)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[0] != x.shape[0] or values.shape[1] not in (1, outputs):
        raise ValueError(f"mean must give [n] or [n, p] with p = {outputs} for n = {x.shape[0]}, got {values.shape}.")
    return jnp.broadcast_to(values, (x.shape[0], outputs))
