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

A caller who traces gets one program, in which folds are a loop. Without a tracer the steps are programs of their own,
each compiled once for a shape and called for fold after fold, and a branch that is not taken is not compiled.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import is_traced
from gentoolkit.distances import sorting
from gentoolkit.gaussianization import marginal, rbig, rotation
from gentoolkit.information import _start

NUM_LAYERS = 6
NUM_FOLDS = 5
MAX_COMPONENTS = 8


_compiled = functools.partial(jax.jit, inline=True)


class Flow(NamedTuple):
    """A fitted destructor of normal scores; of one feature there is nothing to destroy, and both parts are None."""

    start: Any
    layers: Any


@_compiled
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
    return _ratio_by_layers(flow.layers, z, *_start.forward(flow.start, z))


@_compiled
def _ratio_by_layers(layers: rbig.Destructor | None, z: jax.Array, w: jax.Array, log_det: jax.Array) -> jax.Array:
    normal = _log_normal(z.T)
    first = (log_det + _log_normal(w.T) - normal)[None]
    if layers is None:
        return first
    values = rbig.layers(layers, w, summary=_log_normal)
    more = values.gaussianized + jnp.cumsum(values.log_det, axis=0) + (log_det - normal)[None]
    return jnp.concatenate([first, more])


def _log_normal(rows: jax.Array) -> jax.Array:
    return -0.5 * jnp.sum(rows * rows, axis=0) - 0.5 * rows.shape[0] * math.log(2 * math.pi)


@functools.partial(jax.jit, inline=True, static_argnums=(1, 2))
def folds(key: jax.Array, n: int, num_folds: int) -> tuple[jax.Array, jax.Array]:
    """Rows to fit to `[folds, n - size]` and rows to evaluate at `[folds, size]`, in random order."""
    size = n // num_folds
    order = jax.random.permutation(key, n)
    first = size * jnp.arange(num_folds, dtype=jnp.int32)[:, None]
    test = first + jnp.arange(size, dtype=jnp.int32)[None, :]
    train = (first + size + jnp.arange(n - size, dtype=jnp.int32)[None, :]) % n
    return order[train], order[test]


def cross_fit(fitted_at: Callable, x: jax.Array, train: jax.Array, test: jax.Array, keys: jax.Array) -> Any:
    """`fitted_at(key, rows of x to fit to, rows to evaluate at)` on every fold, one after the other."""

    def one(key, train, test):
        return fitted_at(key, *_rows(x, train, test))

    if is_traced((x, train)):
        return jax.lax.map(lambda fold: one(*fold), (keys, train, test))
    each = [one(*fold) for fold in zip(keys, train, test, strict=True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


@_compiled
def _rows(x: jax.Array, *indices: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(x[index] for index in indices)


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
    train, test, both = _folds_twice(fold_key, blocks[0][1].shape[0], num_folds)
    terms: Any = jnp.zeros_like(blocks[0][1], shape=test.size)
    shortfall: Any = jnp.zeros_like(terms[0])
    trace: Any = jnp.zeros_like(terms, shape=1 + num_layers)
    for index, (sign, z) in enumerate(blocks):
        if z.shape[1] == 1:
            continue
        keys = jax.random.split(jax.random.fold_in(fit_key, index), num_folds)

        def fitted_at(key, train, rows):
            return log_ratio(fit(key, train, num_layers, max_components), rows, num_layers)

        more = _of_folds(cross_fit(fitted_at, z, train, both, keys))
        terms, shortfall, trace = (old + sign * new for old, new in zip((terms, shortfall, trace), more, strict=True))
    return Dependence(terms, shortfall, test.reshape(-1), trace)


@functools.partial(jax.jit, inline=True, static_argnums=(1, 2))
def _folds_twice(key: jax.Array, n: int, num_folds: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `folds`, and the rows to evaluate at once more, beside those of the next fold, which the fit saw.

    So each row is asked about once in either way.
    """
    train, test = folds(key, n, num_folds)
    return train, test, jnp.concatenate([test, jnp.roll(test, -1, axis=0)], axis=1)


@_compiled
def _of_folds(ratio: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Terms, shortfall and trace of `[folds, 1 + layers, 2 size]`, left out and seen."""
    size = ratio.shape[-1] // 2
    left_out = ratio[..., :size]
    layers = select(left_out)
    own, seen = after(left_out, layers), jnp.roll(after(ratio[..., size:], layers), 1, axis=0)
    return (0.5 * (own + seen)).reshape(-1), 0.5 * (seen - own).mean(), left_out.mean(axis=(0, 2))


_MARGINAL = marginal.quantile(tails="pareto")


class Density(NamedTuple):
    """A density of samples: marginal maps to normal scores, and the destructor of these."""

    margins: Any
    flow: Flow


def fit_density(key: jax.Array, x: jax.Array, num_layers: int, max_components: int) -> Density:
    """Fits a density to `[n, d]`, the rows in random order."""
    margins, z = _fit_margins(x)
    return Density(margins, fit(key, z, num_layers, max_components))


@_compiled
def _fit_margins(x: jax.Array) -> tuple[Any, jax.Array]:
    margins = _MARGINAL.fit(x.T)
    return margins, _MARGINAL.forward(margins, x.T)[0].T


@_compiled
def _to_scores(margins: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Scores `[m, d]`, and the log-density that the margins alone give, `[m]`."""
    z, log_slope = _MARGINAL.forward(margins, x.T)
    return z.T, _log_normal(z) + jnp.sum(log_slope, axis=0)


def log_density(density: Density, x: jax.Array, num_layers: int) -> jax.Array:
    """`[1 + num_layers, m]`, after the start and after each layer."""
    z, alone = _to_scores(density.margins, x)
    return alone[None] + log_ratio(density.flow, z, num_layers)


def left_out_log_density(
    key: jax.Array, x: jax.Array, num_layers: int, num_folds: int, max_components: int
) -> tuple[jax.Array, jax.Array]:
    """Log-density of each row by a fit to the other folds, `[folds, 1 + layers, size]`, and the rows themselves."""
    fold_key, fit_key = jax.random.split(key)
    train, test = folds(fold_key, x.shape[0], num_folds)

    def fitted_at(key, train, test):
        return log_density(fit_density(key, train, num_layers, max_components), test, num_layers)

    return cross_fit(fitted_at, x, train, test, jax.random.split(fit_key, num_folds)), test


def marginal_log_density(train: jax.Array, test: jax.Array) -> jax.Array:
    """Sum over features of the log marginal densities, fitted to `[n, d]`, at `[m, d]`."""
    return _to_scores(_fit_margins(train)[0], test)[1]
