"""N(0, 1) by logarithms: density, probabilities, and quantiles from them, in float32 as far out as the logarithm goes.

All functions work entry by entry.
"""

import math

import jax
import jax.numpy as jnp

from gentoolkit.distances.normality import tails

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_SWITCH = -60.0  # exp(-60) is still a normal float32; below it the logarithm alone is used


def log_density(z: jax.Array) -> jax.Array:
    """The log-density of N(0, 1).

    Args:
      z: `[...]`.

    Returns:
      `[...]`.
    """
    return -0.5 * z * z - LOG_SQRT_2PI


# Its own derivative: the root of an equation has the derivative of the equation (-1 / hazard), whatever steps found it;
# differentiating the steps would go through `ndtri` of a clipped probability.
@jax.custom_jvp
def from_log_tail(log_tail: jax.Array) -> jax.Array:
    """The upper quantile of a tail probability up to 1/2.

    Args:
      log_tail: `[...]`, <= log(1/2).

    Returns:
      `[...]`, z >= 0 with log P(Z > z) = `log_tail`; 0 where rounding puts that above log(1/2).
    """
    near = -jax.scipy.special.ndtri(jnp.exp(jnp.maximum(log_tail, _SWITCH)))
    square = -2 * jnp.minimum(log_tail, _SWITCH)
    far = jnp.sqrt(square - 2 * LOG_SQRT_2PI - jnp.log(square - 2 * LOG_SQRT_2PI))
    z = jnp.where(log_tail > _SWITCH, jnp.maximum(near, 0), far)
    for _ in range(2):  # Newton: log P is nearly a parabola, one step is enough at 1e-7 and two at 1e-14
        z = jnp.maximum(z + (tails.log_tail(z) - log_tail) / tails.hazard(z), 0)
    return z


@from_log_tail.defjvp
def _from_log_tail_jvp(primals, tangents):
    z = from_log_tail(*primals)
    return z, -tangents[0] / tails.hazard(z)


def from_log_probabilities(log_cdf: jax.Array, log_sf: jax.Array) -> jax.Array:
    """The quantile of two probabilities that sum to one, of which the smaller is read.

    Args:
      log_cdf: `[...]`, log P(Z <= z).
      log_sf: `[...]`, log P(Z > z).

    Returns:
      `[...]`, z.
    """
    lower = log_cdf < log_sf
    z = from_log_tail(jnp.where(lower, log_cdf, log_sf))
    return jnp.where(lower, -z, z)


def log_probabilities(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The logarithms of both probabilities.

    Args:
      z: `[...]`.

    Returns:
      log P(Z <= z) and log P(Z > z), `[...]` each.
    """
    small = tails.log_tail(jnp.abs(z))
    large = jnp.log1p(-jnp.exp(small))
    return jnp.where(z < 0, small, large), jnp.where(z < 0, large, small)
