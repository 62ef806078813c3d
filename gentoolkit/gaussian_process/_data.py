"""What a posterior and an evidence are made from: data checked, cast, and without their prior mean."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks, _origin
from gentoolkit.gaussian_process.covariance import Covariance

Mean = ArrayLike | Callable[[jax.Array], jax.Array]


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Given:
    """Checked arguments: points `[n, d]` and their origin, targets `[n, p]`, noise `[]` or `[n]`, the prior mean.

    `mean_low` is what float32 leaves of a constant mean, known where it is for the targets.
    """

    x: _origin.Wide
    origin: jax.Array | None
    y: _origin.Wide
    noise: jax.Array
    prior_mean: Any
    mean_low: jax.Array | None
    single: bool = dataclasses.field(metadata={"static": True})


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Data:
    """Points `[n, d]` less `origin`, targets without `prior` (the mean at the points) `[n, p]`, noise and `used` `[n]`.

    A point with infinite noise has `used` 0 (others 1), residual 0 and noise 1.
    """

    x: jax.Array
    origin: jax.Array | None
    residual: jax.Array
    prior: jax.Array
    noise: jax.Array
    used: jax.Array
    prior_mean: Any
    single: bool = dataclasses.field(metadata={"static": True})


def prepare(
    covariance: Covariance | Callable[[], Covariance],
    x: jax.Array,
    y: jax.Array,
    noise: ArrayLike,
    mean: Mean,
    *,
    divides: bool = False,
    also: Sequence[jax.Array] = (),
) -> Given:
    """Checks and casts data. What is left to compute, `ready` does.

    Args:
      covariance: that is to see the points, or a function that makes it if need be.
      x: `[n, d]`.
      y: `[n]` or `[n, p]`.
      noise: scalar or `[n]`.
      mean: prior mean.
      divides: whether noise must not be 0.
      also: arrays whose dtype counts too.

    Returns:
      `Given`.

    Raises:
      ValueError: shapes disagree or the noise is negative.
      TypeError: an argument is not a real array.
    """
    x, y, noise = _origin.arrays(x=x, y=y, noise=noise)
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
    dtype = _array.floating_dtype(x=x, y=y, **{f"array {place}": array for place, array in enumerate(also)})
    single = jnp.ndim(y) == 1
    targets = _origin.split(y[:, None] if single else y, dtype)
    prior_mean, mean_low = _as_function(mean, dtype)

    def movable(num):
        return (covariance if isinstance(covariance, Covariance) else covariance())._shift_invariant(num)

    return Given(
        x=_origin.split(x, dtype),
        origin=_origin.choose(x, dtype, movable),
        y=targets,
        noise=_origin.split(noise, dtype).high,
        prior_mean=prior_mean,
        mean_low=None if targets.low is None else mean_low,
        single=single,
    )


def ready(given: Given) -> Data:
    """Computes what `prepare` has checked, inside the program of the caller."""
    high, low = given.y
    n, outputs = high.shape
    noise = jnp.broadcast_to(jnp.asarray(given.noise), (n,))
    noise = jnp.where(noise < 0, jnp.nan, noise)
    used = ~jnp.isposinf(noise)
    high = jnp.asarray(high)
    prior = evaluate(given.prior_mean, given.x.high, outputs)
    residual = high - prior
    if low is not None:
        residual = residual + (low if given.mean_low is None else low - given.mean_low)
    return Data(
        x=_origin.less(given.x, given.origin),
        origin=given.origin,
        # The targets of what is left out may be anything, NaN too: they are replaced before they enter a product.
        residual=jnp.where(used[:, None], residual, 0.0 * prior),
        prior=prior,
        noise=jnp.where(used, noise, 1.0),
        used=used.astype(high.dtype),
        prior_mean=given.prior_mean,
        single=given.single,
    )


def system(covariance: Covariance, data: Data) -> jax.Array:
    """Covariance of the data `[n, n]`, noise included; rows of points left out are those of the identity."""
    gram = covariance.gram(data.x, data.x) * (data.used[:, None] * data.used[None, :])
    return gram + jnp.diag(data.noise)


def evaluate(prior_mean: Any, x: jax.Array, outputs: int) -> jax.Array:
    """Prior mean `[n, p]` at `x` `[n, d]`."""
    values = jnp.asarray(prior_mean(x), x.dtype)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[0] != x.shape[0] or values.shape[1] not in (1, outputs):
        raise ValueError(f"mean must give [n] or [n, p] with p = {outputs} for n = {x.shape[0]}, got {values.shape}.")
    return jnp.broadcast_to(values, (x.shape[0], outputs))


def _as_function(mean, dtype):
    """The prior mean as a `Partial`, and `[1]` or `[p]`, what rounding leaves of a constant."""
    if isinstance(mean, Partial):
        return mean, None  # wrapped once more, its parameters would count as static
    if callable(mean):
        return Partial(mean), None
    (mean,) = _origin.arrays(mean=mean)
    high, low = _origin.split(mean, dtype)
    return Partial(_constant, high), None if low is None else np.atleast_1d(low)[None]


def _constant(value, x):
    return jnp.broadcast_to(value, (x.shape[0], *value.shape))
