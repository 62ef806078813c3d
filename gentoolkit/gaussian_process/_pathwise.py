"""Draws of a posterior as functions: a prior of random waves, corrected at the points that govern the posterior."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks, cholesky


class Function(NamedTuple):
    """`num_samples * p` functions: waves of the prior plus `update` `[n, num_samples * p]` through the covariance."""

    frequencies: jax.Array
    phases_cos: jax.Array
    phases_sin: jax.Array
    update: jax.Array


def draw(key: jax.Array, p: Any, num_samples: int, num_features: int) -> Function:
    """Draws functions from the posterior `p` (exact or sparse)."""
    key_waves, key_cos, key_sin, key_noise = jax.random.split(key, 4)
    dtype, (n, outputs) = p.whitened.dtype, p.whitened.shape
    columns = num_samples * outputs
    noise = jax.random.normal(key_noise, (n, columns), dtype)
    # Columns run over samples first, then outputs, as `[num_samples, p]`.
    targets = jnp.tile(p.whitened, (1, num_samples))
    if p.degenerate:
        empty = jnp.zeros((0, columns), dtype)
        waves = Function(jnp.zeros((0, p.centered.shape[1]), dtype), empty, empty, empty)
        at_points = jnp.zeros((n, columns), dtype)
    else:
        frequencies, power = p.covariance.spectrum(key_waves, num_features, p.centered.shape[1])
        amplitude = jnp.sqrt(power.astype(dtype))[:, None]
        cos, sin = (amplitude * jax.random.normal(k, (num_features, columns), dtype) for k in (key_cos, key_sin))
        waves = Function(frequencies.astype(dtype), cos, sin, targets)
        at_points = prior(waves, p.centered)
    if p.reduced is None:
        # y - f(X) - noise, solved with the factor that holds the noise.
        missing = p.used[:, None] * (at_points + jnp.sqrt(p.noise)[:, None] * noise)
        whitened = targets - cholesky.half_solve(p.lower, missing)
    else:
        # Values at the inducing points, whitened: mean and factor of their posterior.
        values = cholesky.transposed_half_solve(p.reduced, targets + noise)
        whitened = values - cholesky.half_solve(p.lower, at_points)
    return waves._replace(update=cholesky.transposed_half_solve(p.lower, whitened))


def prior(function: Function, x: jax.Array) -> jax.Array:
    """The waves alone, `[m, num_samples * p]` at `x` `[m, d]`."""
    angle = _blocks.matmul(x, function.frequencies.T)
    waves = _blocks.matmul(jnp.cos(angle), function.phases_cos)
    return waves + _blocks.matmul(jnp.sin(angle), function.phases_sin)
