"""Total correlation by the trace of an RBIG fit: with the classical rule, without one, and telescoped on new rows."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.gaussianization import rbig, univariate_entropy

NUM_LAYERS = 40
_PATIENCE = 10
# Tolerance of the stopping rule against n, interpolated linearly in n.
_SIZES = (1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_TOLERANCES = (0.1571, 0.0468, 0.0145, 0.0046, 0.0014, 0.0001, 0.00001)


@functools.partial(jax.jit, inline=True, static_argnums=(2, 3))
def trace(key: jax.Array, x: jax.Array, form: str, num_layers: int) -> jax.Array:
    """Cumulative total correlation removed from `[n, d]`, `[num_layers]`; the estimate is its last entry."""
    if x.shape[1] == 1:
        return jnp.zeros_like(x, shape=(num_layers,))
    if form == "telescoped":
        return _telescoped(key, x, num_layers)
    fitted = rbig.fit(key, x, num_layers=num_layers, entropy=_histogram)
    if form == "unstopped":
        return jnp.cumsum(fitted.trace.delta)
    return jnp.cumsum(_stopped(fitted.trace, x.shape[0]))


def _histogram(ordered: jax.Array) -> jax.Array:
    return univariate_entropy.histogram(ordered, is_sorted=True)


def tolerance(n: int) -> float:
    """What a layer must remove to count, for a sample of n."""
    return float(np.interp(n, _SIZES, _TOLERANCES))


def _stopped(told: rbig.Trace, n: int) -> jax.Array:
    """Removed by each layer under the rule: small and negative layers count 0; after ten of them the fit is over."""
    change = told.entropy_gaussianized - told.entropy_rotated
    dim = change.shape[-1]
    small = jnp.sqrt(jnp.sum(change**2, axis=-1)) < math.sqrt(dim * 0.25) * tolerance(n)
    idle = small | (told.delta < 0)

    def step(run, idle):
        over = run >= _PATIENCE
        return jnp.where(over, run, jnp.where(idle, run + 1, 0)), over

    _, over = jax.lax.scan(step, jnp.zeros_like(idle[0], jnp.int32), idle)
    # NaN is neither small nor negative, and stays.
    return jnp.where(idle | over, 0.0, told.delta)


def _telescoped(key, x, num_layers):
    """Maps of one half of the rows, entropies of the other; after the largest sum so far, layers count 0."""
    order_key, fit_key = jax.random.split(key)
    order = jax.random.permutation(order_key, x.shape[0])
    half = x.shape[0] // 2
    fitted = rbig.fit(fit_key, x[order[:half]], num_layers=num_layers)
    told = rbig.layers(fitted, x[order[half:]], summary=univariate_entropy.spacing)
    return jax.lax.cummax(jnp.cumsum(jnp.sum(told.gaussianized - told.rotated, axis=-1)))
