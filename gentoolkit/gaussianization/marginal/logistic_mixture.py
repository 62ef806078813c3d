"""A mixture of logistic laws as marginal map: smooth everywhere, with tails of its own."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import check_positive
from gentoolkit.gaussianization import _normal
from gentoolkit.gaussianization.marginal._rows import ascending, nan_where_not_finite, smallest_gap
from gentoolkit.gaussianization.marginal.variant import Marginal

_NUM_QUANTILES = 512  # what the sample is thinned to for fitting
_NUM_BISECTIONS = 40


class Mixture(NamedTuple):
    """Weights, locations and scales of logistic laws, `[..., k]` each.

    Attributes:
      log_weight: normalized to sum of weights one.
      location: in units of y.
      log_scale: log of the scale, in units of y.
    """

    log_weight: jax.Array
    location: jax.Array
    log_scale: jax.Array


def mixture(*, num_components: int = 8, num_steps: int = 200, learning_rate: float = 0.05) -> Marginal:
    """A mixture of logistic laws, fitted by maximum likelihood.

    No tail rule: the mixture has a density on the whole line, with exponential tails. The likelihood is that of at most
    512 quantiles of the sample, climbed by Adam from components laid over the quantiles; the cost of fitting beyond the
    sort does not depend on n. The inverse is bisection between the components' own quantiles, which bracket the
    mixture's, with a Newton step at the end. In a gap between components where the density is below the rounding of the
    cdf, z stands still and the inverse can only name some point of the gap.

    Args:
      num_components: static, >= 1.
      num_steps: static, of Adam, >= 0.
      learning_rate: static, of Adam, > 0; the parameters are log weights, locations in units of the sample's spread,
        and log scales.

    Returns:
      A `Marginal`. The same options give the same object.

    Raises:
      ValueError: options outside their ranges; when fitting, fewer than 2 samples.

    References:
      Meng, Song, Song, Ermon (2020), "Gaussianization flows", section 3.1.
    """
    check_positive(num_components=num_components, learning_rate=learning_rate)
    if num_steps < 0:
        raise ValueError(f"num_steps must be >= 0, got num_steps = {num_steps}.")
    return _mixture(num_components, num_steps, float(learning_rate))


@functools.lru_cache(maxsize=64)
def _mixture(num_components: int, num_steps: int, learning_rate: float) -> Marginal:
    def fit(y: jax.Array, is_sorted: bool = False) -> Mixture:
        y = ascending(y, is_sorted)
        n = y.shape[-1]
        num = min(n, _NUM_QUANTILES)
        thin = jnp.take(y, np.floor((np.arange(num) + 0.5) * (n / num)).astype(np.int32), axis=-1)
        gap = smallest_gap(y)
        center = thin[..., num // 2, None]
        spread = jnp.maximum(jnp.mean(jnp.abs(thin - center), axis=-1, keepdims=True), gap)
        standard = (thin - center) / spread
        at = np.floor((np.arange(num_components) + 0.5) * (num / num_components)).astype(np.int32)
        location = jnp.take(standard, np.minimum(at, num - 1), axis=-1)
        flat = jnp.zeros_like(location)
        start = Mixture(flat - math.log(num_components), location, flat - math.log(num_components))
        fitted = _normalized(_adam(_negative_log_likelihood(standard), start, num_steps, learning_rate))
        # A component on a tie would shrink without end; a millionth of the spread is far below any bandwidth.
        log_scale = jnp.maximum(fitted.log_scale, math.log(1e-6)) + jnp.log(spread)
        return nan_where_not_finite(y, Mixture(fitted.log_weight, center + spread * fitted.location, log_scale))

    def forward(fitted: Mixture, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_cdf, log_sf, log_density = _logs(fitted, y)
        z = _normal.from_log_probabilities(log_cdf, log_sf)
        return z, log_density - _normal.log_density(z)

    def inverse(fitted: Mixture, z: jax.Array) -> jax.Array:
        log_cdf, log_sf = (part[..., None, :] for part in _normal.log_probabilities(z))
        by_component = fitted.location[..., :, None] + jnp.exp(fitted.log_scale)[..., :, None] * (log_cdf - log_sf)
        low, high = jax.lax.stop_gradient((jnp.min(by_component, axis=-2), jnp.max(by_component, axis=-2)))
        fixed, target = jax.lax.stop_gradient((fitted, z))

        def halve(_, bracket):
            low, high = bracket
            middle = low + (high - low) / 2
            above = forward(fixed, middle)[0] > target
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        low, high = jax.lax.fori_loop(0, _NUM_BISECTIONS, halve, (low, high))
        x = low + (high - low) / 2
        # One Newton step outside the loop: it adds a digit, and carries the derivative of the root.
        value, log_derivative = forward(fitted, x)
        step = (value - z) * jnp.exp(-jax.lax.stop_gradient(log_derivative))
        return x - jnp.where(jnp.isfinite(step), step, 0) + 0 * z

    options = (("num_components", num_components), ("num_steps", num_steps), ("learning_rate", learning_rate))
    return Marginal(fit, forward, inverse, "mixture", options)


def _logs(fitted: Mixture, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log cdf, log survival function and log density at `y` `[..., m]`."""
    log_weight, location, log_scale = (leaf[..., :, None] for leaf in fitted)
    t = (y[..., None, :] - location) * jnp.exp(-log_scale)
    below, above = jax.nn.log_sigmoid(t), jax.nn.log_sigmoid(-t)
    return (
        jax.nn.logsumexp(log_weight + below, axis=-2),
        jax.nn.logsumexp(log_weight + above, axis=-2),
        jax.nn.logsumexp(log_weight + below + above - log_scale, axis=-2),
    )


def _normalized(fitted: Mixture) -> Mixture:
    return fitted._replace(log_weight=jax.nn.log_softmax(fitted.log_weight, axis=-1))


def _negative_log_likelihood(y: jax.Array):
    return lambda fitted: -jnp.sum(jnp.mean(_logs(_normalized(fitted), y)[2], axis=-1))


def _adam(loss, start: Mixture, num_steps: int, learning_rate: float) -> Mixture:
    """Adam with a cosine decay; a component's numbers have one scale, so nothing else is tuned."""
    zeros = jax.tree.map(jnp.zeros_like, start)
    rates = learning_rate * 0.5 * (1 + np.cos(np.pi * np.arange(num_steps) / max(num_steps, 1)))
    first = 1 - 0.9 ** np.arange(1, num_steps + 1)
    second = 1 - 0.99 ** np.arange(1, num_steps + 1)
    dtype = start.location.dtype
    schedule = tuple(jnp.asarray(column, dtype) for column in (rates, first, second))

    def step(state, now):
        fitted, mean, square = state
        rate, first, second = now
        slope = jax.grad(loss)(fitted)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g * g, square, slope)
        fitted = jax.tree.map(
            lambda p, m, s: p - rate * (m / first) / (jnp.sqrt(s / second) + 1e-8), fitted, mean, square
        )
        return (fitted, mean, square), None

    return jax.lax.scan(step, (start, zeros, zeros), schedule)[0][0]
