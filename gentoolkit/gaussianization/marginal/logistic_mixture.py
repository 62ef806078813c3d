"""A mixture of logistic laws as marginal map: smooth everywhere, with tails of its own."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_positive
from gentoolkit.distances.normality import tails
from gentoolkit.gaussianization import normal_law
from gentoolkit.gaussianization.marginal._rows import ascending, nan_where_not_finite, rounding
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
        center = thin[..., num // 2, None]
        spread = jnp.maximum(_spread(thin, center), rounding(center, center))
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
        (y,) = as_floating(y=y)
        log_cdf, log_sf, log_hazard = _logs(fitted, y)
        z = normal_law.from_log_probabilities(log_cdf, log_sf)
        return z, log_hazard - jnp.log(tails.hazard(jnp.abs(z)))

    def inverse(fitted: Mixture, z: jax.Array) -> jax.Array:
        (z,) = as_floating(z=z)
        log_cdf, log_sf = normal_law.log_probabilities(z)
        logit = (log_cdf - log_sf)[..., None, :]
        by_component = fitted.location[..., :, None] + jnp.exp(fitted.log_scale)[..., :, None] * logit
        low, high = jax.lax.stop_gradient((jnp.min(by_component, axis=-2), jnp.max(by_component, axis=-2)))
        # By the smaller of the two probabilities, as a logarithm: it has all its digits however far out.
        lower = z < 0
        target = jnp.where(lower, log_cdf, -log_sf)
        fixed, fixed_target = jax.lax.stop_gradient((fitted, target))

        def halve(_, bracket):
            low, high = bracket
            middle = low + (high - low) / 2
            above = _ascending_logs(fixed, middle, lower) > fixed_target
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        low, high = jax.lax.fori_loop(0, _NUM_BISECTIONS, halve, (low, high))
        x = jnp.where(low < high, low + (high - low) / 2, low)
        # A Newton step outside the loop, kept within the bracket: it adds a digit, and carries the root's derivative.
        hazard = jax.lax.stop_gradient(jnp.exp(_logs(fitted, x)[2]))
        inside_gap = hazard < float(jnp.finfo(hazard.dtype).tiny)
        step = (target - _ascending_logs(fitted, x, lower)) / jnp.where(inside_gap, 1, hazard)
        step = jnp.where(inside_gap | ~jnp.isfinite(jax.lax.stop_gradient(step)), 0, step)
        root = jax.lax.stop_gradient(jnp.clip(x + step, low, high))
        return root + (step - jax.lax.stop_gradient(step)) + 0 * z

    options = (("num_components", num_components), ("num_steps", num_steps), ("learning_rate", learning_rate))
    return Marginal(fit, forward, inverse, "mixture", options)


def _spread(thin: jax.Array, center: jax.Array) -> jax.Array:
    """Mean distance from the center, or twice the interquartile range where a heavy tail makes that the smaller."""
    unit = _scale.unit(thin - center, axes=-1)
    mean = unit * jnp.mean(jnp.abs((thin - center) / unit), axis=-1, keepdims=True)
    num = thin.shape[-1]
    quartiles = thin[..., (3 * num) // 4, None] - thin[..., num // 4, None]
    return jnp.where(quartiles > 0, jnp.minimum(mean, 2 * quartiles), mean)


def _by_component(fitted: Mixture, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log weight times cdf, and times survival function, of each component at `y` `[..., m]`: `[..., k, m]`."""
    log_weight, location, log_scale = (leaf[..., :, None] for leaf in fitted)
    t = (y[..., None, :] - location) * jnp.exp(-log_scale)
    return log_weight + jax.nn.log_sigmoid(t), log_weight + jax.nn.log_sigmoid(-t)


def _logs(fitted: Mixture, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log cdf, log survival function, and log of the density over the smaller of the two, at `y` `[..., m]`.

    The last is a mean of what each component says, `f_i = F_i S_i / scale_i`. As a difference of the logarithms of a
    density and of a probability, of -1e9 each far out, it would be noise.
    """
    below, above = _by_component(fitted, y)
    log_cdf, log_sf = jax.nn.logsumexp(below, axis=-2), jax.nn.logsumexp(above, axis=-2)
    lower = (log_cdf < log_sf)[..., None, :]
    share = jnp.where(lower, below - log_cdf[..., None, :], above - log_sf[..., None, :])
    other = jnp.where(lower, above, below) - fitted.log_weight[..., :, None]
    return log_cdf, log_sf, jax.nn.logsumexp(share + other - fitted.log_scale[..., :, None], axis=-2)


def _ascending_logs(fitted: Mixture, y: jax.Array, lower: jax.Array) -> jax.Array:
    """Log cdf where `lower`, minus the log survival function elsewhere: ascending in y on either side."""
    below, above = _by_component(fitted, y)
    return jnp.where(lower, jax.nn.logsumexp(below, axis=-2), -jax.nn.logsumexp(above, axis=-2))


def _log_density(fitted: Mixture, y: jax.Array) -> jax.Array:
    below, above = _by_component(fitted, y)
    each = below + above - fitted.log_weight[..., :, None] - fitted.log_scale[..., :, None]
    return jax.nn.logsumexp(each, axis=-2)


def _normalized(fitted: Mixture) -> Mixture:
    return fitted._replace(log_weight=jax.nn.log_softmax(fitted.log_weight, axis=-1))


def _negative_log_likelihood(y: jax.Array):
    return lambda fitted: -jnp.sum(jnp.mean(_log_density(_normalized(fitted), y), axis=-1))


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
