"""The destructor behind the recommended estimates, and its cross-fitting.

On normal scores z (each feature through its own ranks to N(0, 1)) the total correlation is the mean of

    r(z) = log q(z) - sum_j log phi(z_j)

with q the density of z. Here q is that of a destructor: a start for one heap or for clusters, then a few layers of
marginal maps and rotations. Rows that q was not fitted to give, on average, no more than the truth (Gibbs), and how
much less is what the destructor misses: so layers are added as long as they help rows left out, and more data can only
help.

Part of what it misses is what it learnt wrong from few rows, and that can be told. A fit of p parameters to n rows
loses p / 2n on new rows and gains as much on its own (Akaike 1974): half of the difference of the two is added, and
half of that again counts as error, so that the interval reaches from what new rows say to what its own rows say.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.distances import sorting
from gentoolkit.gaussianization import marginal, rbig, rotation
from gentoolkit.information import _start

NUM_LAYERS = 6
NUM_FOLDS = 5
MAX_COMPONENTS = 8


class Flow(NamedTuple):
    """A fitted destructor of normal scores; of one feature there is nothing to destroy, and both parts are None."""

    start: Any
    layers: Any


def normal_scores(key: jax.Array, x: jax.Array) -> jax.Array:
    """`Phi^-1((rank + 1/2) / n)` of every feature of `[n, d]`, ties in random order.

    By that order a feature that is rounded, or constant, is dithered: what is tied shares nothing. NaN ranks last.
    """
    n = x.shape[0]
    rows = x.T
    place = sorting.ranks(jax.random.uniform(key, rows.shape))
    rank = sorting.ranks(jnp.take_along_axis(rows, place, axis=-1))
    law = jnp.asarray(_quantiles(n), x.dtype)
    back = jax.vmap(lambda place, score: jnp.zeros_like(score).at[place].set(score, unique_indices=True))
    return back(place, law[rank]).T


@functools.lru_cache(maxsize=16)
def _quantiles(n: int) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.arange(n) + 0.5) / n)


def fit(key: jax.Array, z: jax.Array, num_layers: int, max_components: int) -> Flow:
    """Fits the destructor to `[n, d]` scores, the rows in random order."""
    if z.shape[1] == 1:
        return Flow(None, None)
    start_key, layers_key = jax.random.split(key)
    start, w = _start.fit(start_key, z, max_components)
    if num_layers == 0:
        return Flow(start, None)
    knots = int(np.clip(round(1.5 * z.shape[0] ** (1 / 3)), 6, 129)) | 1
    layers = rbig.fit(
        layers_key,
        w,
        marginal=marginal.quantile(num_knots=knots),
        rotation=rotation.max_sliced(),
        num_layers=num_layers,
    )
    return Flow(start, layers)


def log_ratio(flow: Flow, z: jax.Array, num_layers: int) -> jax.Array:
    """`r` at `[m, d]` scores after the start and after each layer, `[1 + num_layers, m]`."""
    if flow.start is None:
        return jnp.zeros_like(z, shape=(1 + num_layers, z.shape[0]))
    w, log_det = _start.forward(flow.start, z)
    normal = _log_normal(z.T)
    first = (log_det + _log_normal(w.T) - normal)[None]
    if flow.layers is None:
        return first
    values = rbig.layers(flow.layers, w, summary=_log_normal)
    more = values.gaussianized + jnp.cumsum(values.log_det, axis=0) + (log_det - normal)[None]
    return jnp.concatenate([first, more])


def _log_normal(rows: jax.Array) -> jax.Array:
    return -0.5 * jnp.sum(rows * rows, axis=0) - 0.5 * rows.shape[0] * math.log(2 * math.pi)


def folds(key: jax.Array, n: int, num_folds: int) -> tuple[jax.Array, jax.Array]:
    """Rows to fit to `[folds, n - size]` and rows to evaluate at `[folds, size]`, in random order."""
    size = n // num_folds
    order = jax.random.permutation(key, n)
    first = size * jnp.arange(num_folds, dtype=jnp.int32)[:, None]
    test = first + jnp.arange(size, dtype=jnp.int32)[None, :]
    train = (first + size + jnp.arange(n - size, dtype=jnp.int32)[None, :]) % n
    return order[train], order[test]


def cross_fit(fitted_at: Callable, train: jax.Array, test: jax.Array, keys: jax.Array) -> Any:
    """`fitted_at(key, train rows, test rows)` on every fold, one after the other."""
    return jax.lax.map(lambda fold: fitted_at(*fold), (keys, train, test))


def select(ratio: jax.Array) -> jax.Array:
    """For each fold the number of layers that the other folds like best: `[folds, 1 + layers, size]` to `[folds]`."""
    mean = ratio.mean(axis=-1)
    others = mean.sum(axis=0, keepdims=True) - mean
    return jnp.argmax(jnp.where(jnp.isnan(others), -jnp.inf, others), axis=-1)


def after(ratio: jax.Array, layers: jax.Array) -> jax.Array:
    """`[folds, 1 + layers, size]` after a number of layers for each fold, `[folds, size]`."""
    return jnp.take_along_axis(ratio, layers[:, None, None], axis=1)[:, 0]


class Dependence(NamedTuple):
    """An estimate row by row.

    Attributes:
      terms: `[rows]`, whose mean is the estimate.
      shortfall: `[]`, half of what rows show to fits that saw them above what they show to fits that did not; it is
        part of the terms.
      rows: `[rows]` which they are.
      trace: `[1 + num_layers]` the mean over rows left out, after the start and after each layer.
    """

    terms: jax.Array
    shortfall: jax.Array
    rows: jax.Array
    trace: jax.Array


def dependence(
    key: jax.Array, blocks: list[tuple[float, jax.Array]], num_layers: int, num_folds: int, max_components: int
) -> Dependence:
    """A sum of total correlations with signs, every row evaluated by a destructor that saw it and by one that did not.

    Args:
      key: PRNG key.
      blocks: pairs of a sign and the columns `[n, d_b]` of normal scores, rows paired.
      num_layers: after the start.
      num_folds: of the cross-fitting.
      max_components: of the start.

    Returns:
      `Dependence`.
    """
    fold_key, fit_key = jax.random.split(key)
    train, test = folds(fold_key, blocks[0][1].shape[0], num_folds)
    # Every fit is also asked about the rows of the next fold, which it saw: each row once in either way.
    both = jnp.concatenate([test, jnp.roll(test, -1, axis=0)], axis=1)
    size = test.shape[1]
    terms: Any = jnp.zeros_like(blocks[0][1], shape=test.size)
    shortfall: Any = jnp.zeros_like(terms[0])
    trace: Any = jnp.zeros_like(terms, shape=1 + num_layers)
    for index, (sign, z) in enumerate(blocks):
        if z.shape[1] == 1:
            continue
        keys = jax.random.split(jax.random.fold_in(fit_key, index), num_folds)

        def fitted_at(key, train, rows, z=z):
            return log_ratio(fit(key, z[train], num_layers, max_components), z[rows], num_layers)

        ratio = cross_fit(fitted_at, train, both, keys)
        left_out = ratio[..., :size]
        layers = select(left_out)
        own, seen = after(left_out, layers), jnp.roll(after(ratio[..., size:], layers), 1, axis=0)
        terms = terms + sign * (0.5 * (own + seen)).reshape(-1)
        shortfall = shortfall + sign * 0.5 * (seen - own).mean()
        trace = trace + sign * left_out.mean(axis=(0, 2))
    return Dependence(terms, shortfall, test.reshape(-1), trace)


_MARGINAL = marginal.quantile(tails="pareto")


class Density(NamedTuple):
    """A density of samples: marginal maps to normal scores, and the destructor of these."""

    margins: Any
    flow: Flow


def fit_density(key: jax.Array, x: jax.Array, num_layers: int, max_components: int) -> Density:
    """Fits a density to `[n, d]`, the rows in random order."""
    margins = _MARGINAL.fit(x.T)
    return Density(margins, fit(key, _MARGINAL.forward(margins, x.T)[0].T, num_layers, max_components))


def log_density(density: Density, x: jax.Array, num_layers: int) -> jax.Array:
    """`[1 + num_layers, m]`, after the start and after each layer."""
    z, log_slope = _MARGINAL.forward(density.margins, x.T)
    return (_log_normal(z) + jnp.sum(log_slope, axis=0))[None] + log_ratio(density.flow, z.T, num_layers)


def left_out_log_density(
    key: jax.Array, x: jax.Array, num_layers: int, num_folds: int, max_components: int
) -> tuple[jax.Array, jax.Array]:
    """Log-density of each row by a fit to the other folds, `[folds, 1 + layers, size]`, and the rows themselves."""
    fold_key, fit_key = jax.random.split(key)
    train, test = folds(fold_key, x.shape[0], num_folds)

    def fitted_at(key, train, test):
        return log_density(fit_density(key, x[train], num_layers, max_components), x[test], num_layers)

    return cross_fit(fitted_at, train, test, jax.random.split(fit_key, num_folds)), test


def marginal_log_density(train: jax.Array, test: jax.Array) -> jax.Array:
    """Sum over features of the log marginal densities, fitted to `[n, d]`, at `[m, d]`."""
    z, log_slope = _MARGINAL.forward(_MARGINAL.fit(train.T), test.T)
    return _log_normal(z) + jnp.sum(log_slope, axis=0)
