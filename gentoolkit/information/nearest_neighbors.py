"""Information measures by nearest neighbours: Kozachenko-Leonenko, KSG 1 and 2, local non-uniformity, Wang et al.

Every function takes `method`, how neighbours are searched (static):

- `"blocks"`, the default: all pairs, a block of rows at a time, in JAX. O(n^2 d) time, memory O(n) times a constant;
  runs under jit and vmap (so a permutation null is one batch) and on accelerators, and gives the same anywhere. Where
  float32 cannot tell which rows are nearest (beside a row far from all others, or between clusters far apart), and the
  data can be looked at, it is done by `"tree"`; under jit distances that float32 rounds alike are ties, see below.
- `"tree"`: `scipy.spatial.cKDTree` on the host, in float64. About O(n log n) for few dimensions, so faster on CPU from
  some thousand rows on; it loses that in some ten dimensions. Cannot be traced.

What they have in common: a sample needs n > k rows (`ValueError`); entries that are not finite give NaN; the
gradient is not meant. Wide data (float64, integers) have a center of each feature taken off on the host before
anything is rounded, and `"tree"` rounds nothing; the unit of the data changes nothing but entropy, by its logarithm.
Values may be negative: that is their chance error, and nothing is clipped. The bias grows with the number of dimensions
and with the dependence (strong dependence is under-estimated), slowly falling with n.

Ties (rounded or integer data) break the assumption of a density: many neighbours at distance 0 send the entropies to
-infinity, and make the KSG forms, which stay finite, count nothing inside the radius and come out too high. First
make a rounded variable continuous again: `gaussianization.marginal.dither(key, x.T).T`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from gentoolkit import _lapack, _scale
from gentoolkit._array import as_floating, floating_dtype, is_traced
from gentoolkit.distances import products
from gentoolkit.information import _neighbors, _samples
from gentoolkit.information._checks import check_count, paired_rows

_NUM_CALIBRATIONS = 20_000


def entropy(x: jax.Array, *, k: int = 3, metric: str = "euclidean", method: str = "blocks") -> jax.Array:
    """Differential entropy of Kozachenko and Leonenko: `psi(n) - psi(k) + log V_d + (d / n) sum log eps_i`.

    Args:
      x: `[..., n, d]` samples.
      k: neighbour whose distance `eps_i` is taken (static).
      metric: `"euclidean"` (V_d the unit ball) or `"chebyshev"` (V_d = 2^d), static.
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats, float32 or wider; -infinity where a row has k duplicates.

    Raises:
      ValueError: `x` is not `[..., n, d]`, `k` is not from 1 to n - 1, or an option is unknown.

    References:
      Kozachenko and Leonenko (1987). Kraskov, Stoegbauer, Grassberger (2004), eq. (20). Goria et al. (2005), who write
      log(n - 1) for psi(n).
    """
    (x,) = _samples.centered(x=x)
    _check_neighbors(k, x.shape[-2])
    if metric not in ("euclidean", "chebyshev"):
        raise ValueError(f'metric must be "euclidean" or "chebyshev", got {metric!r}.')
    (x,), log_unit = _samples.in_one_unit(x)
    search = _search(method, k, x)
    value = _problems(_entropy(search, k, metric), search, x)
    return value if log_unit is None else value + x.shape[-1] * jnp.asarray(log_unit, value.dtype)


def total_correlation(x: jax.Array, *, k: int = 3, algorithm: int = 1, method: str = "blocks") -> jax.Array:
    """Total correlation of Kraskov, Stoegbauer and Grassberger, generalised from two variables to d.

    Algorithm 1: `psi(k) + (d - 1) psi(n) - mean sum_j psi(n_j + 1)`, `n_j` the rows closer in feature j than the k-th
    neighbour in max norm. Algorithm 2: `psi(k) - (d - 1)/k + (d - 1) psi(n) - mean sum_j psi(n_j)`, with the
    projections of the k neighbours as radii, not strictly.

    Args:
      x: `[..., n, d]` samples, d >= 2.
      k: neighbours (static): more for less chance error, fewer for less bias.
      algorithm: 1 or 2 (static).
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats, float32 or wider.

    Raises:
      ValueError: `x` is not `[..., n, d]` with d >= 2, `k` is not from 1 to n - 1, or an option is unknown.

    References:
      Kraskov, Stoegbauer, Grassberger (2004), "Estimating mutual information", eqs. (23) and (24), (29) and (30).
    """
    (x,) = _samples.centered(x=x)
    if x.shape[-1] < 2:
        raise ValueError(f"x must have at least two features to share anything, got x.shape = {x.shape}.")
    return _ksg([x[..., i : i + 1] for i in range(x.shape[-1])], k, algorithm, method)


def mutual_information(
    x: jax.Array, z: jax.Array, *, k: int = 3, algorithm: int = 1, method: str = "blocks"
) -> jax.Array:
    """Mutual information of Kraskov, Stoegbauer and Grassberger, max norm within and between the two variables.

    Args:
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`. Scale features alike: the radius is common to all.
      k: neighbours (static).
      algorithm: 1 (`psi(k) + psi(n) - mean[psi(n_x + 1) + psi(n_z + 1)]`) or 2 (its `-1/k` form), static.
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats, float32 or wider.

    Raises:
      ValueError: samples that are not paired, `k` is not from 1 to n - 1, or an option is unknown.

    References:
      Kraskov, Stoegbauer, Grassberger (2004), "Estimating mutual information", eqs. (8) and (9).
    """
    x, z = _samples.centered(x=x, z=z)
    paired_rows(x, z)
    return _ksg([x, z], k, algorithm, method)


def conditional_mutual_information(
    x: jax.Array, z: jax.Array, given: jax.Array, *, k: int = 3, method: str = "blocks"
) -> jax.Array:
    """Mutual information of `x` and `z` given a third variable, the KSG-1 form of Frenzel and Pompe.

    `psi(k) + mean[psi(n_g + 1) - psi(n_xg + 1) - psi(n_zg + 1)]`.

    Args:
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.
      given: `[..., n, f]` samples of the condition.
      k: neighbours (static).
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats, float32 or wider.

    Raises:
      ValueError: samples that are not paired, `k` is not from 1 to n - 1, or an option is unknown.

    References:
      Frenzel and Pompe (2007), "Partial mutual information for coupling analysis of multivariate time series", eq. (5).
    """
    x, z, given = _samples.centered(x=x, z=z, given=given)
    _check_neighbors(k, paired_rows(x, z, given))
    samples = _samples.in_one_unit(x, z, given)[0]
    search = _search(method, k, *samples)
    return _problems(_conditional(search, k), search, *samples)


def local_nonuniformity(*samples: jax.Array, k: int = 5, alpha: float | None = None, method: str = "blocks"):
    """What to add to a KSG estimate for dependence so strong that the k neighbours lie in a slanted sheet.

    KSG takes the density as constant in a box along the axes. Where the k neighbours fill a box along their own
    principal axes that is smaller by the factor `alpha` or more, the logarithm of the ratio is added.

        k = 5
        value = mutual_information(x, z, k=k) + local_nonuniformity(x, z, k=k)

    Args:
      *samples: `[..., n, d]` arrays, one (total correlation) or several paired (mutual information).
      k: neighbours (static), more than the total number of features, so that they span a box.
      alpha: ratio of volumes below which a point is corrected (static); None takes `nonuniformity_threshold(k, dim)`.
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats to add, at least 0. NaN where a row is duplicated k times (its box is a point).

    Raises:
      ValueError: samples that are not paired, `k` is not from d + 1 to n - 1, or `alpha` is not in (0, 1].

    References:
      Gao, Ver Steeg, Galstyan (2015), "Efficient estimation of mutual information for strongly dependent variables",
      eqs. (13) to (15), algorithm 1.
    """
    arrays = _samples.centered(**{f"samples[{i}]": x for i, x in enumerate(samples)})
    n = paired_rows(*arrays)
    _check_neighbors(k, n)
    dim = sum(x.shape[-1] for x in arrays)
    if k <= dim:
        raise ValueError(f"k must exceed the number of features {dim}: fewer neighbours span no box, got k = {k}.")
    alpha = nonuniformity_threshold(k, dim) if alpha is None else alpha
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], got alpha = {alpha}.")
    arrays = _samples.in_one_unit(*arrays)[0]
    search = _search(method, k, *arrays)
    return _problems(_nonuniformity(search, k, alpha), search, *arrays)


@functools.lru_cache
def nonuniformity_threshold(k: int, dim: int, *, level: float = 5e-3) -> float:
    """The ratio of volumes that k neighbours of a locally uniform density undercut with probability `level`.

    Args:
      k: neighbours.
      dim: features.
      level: probability of correcting a point that needs no correction.

    Returns:
      `alpha` of `local_nonuniformity`, from 20,000 seeded simulations on the host.

    Raises:
      ValueError: `level` is not in (0, 1), or `k` or `dim` is no positive integer.

    References:
      Gao, Ver Steeg, Galstyan (2015), section 3.3 and algorithm 2.
    """
    check_count(1, k=k, dim=dim)
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got level = {level}.")
    offset = np.random.default_rng(0).uniform(-1, 1, size=(_NUM_CALIBRATIONS, k, dim))
    axes = np.linalg.eigh(np.einsum("nki,nkj->nij", offset, offset))[1]
    own = np.log(np.abs(np.einsum("nki,nij->nkj", offset, axes)).max(axis=1)).sum(axis=-1)
    along = np.log(np.abs(offset).max(axis=1)).sum(axis=-1)
    return float(min(1.0, np.exp(np.quantile(own - along, level))))


def kl_divergence(x: jax.Array, z: jax.Array, *, k: int = 3, method: str = "blocks") -> jax.Array:
    """Kullback-Leibler divergence of p to q: `(d / n) sum log(nu_i / rho_i) + log(m / (n - 1))`.

    `rho_i` is the distance of row i of `x` to its k-th neighbour in `x`, `nu_i` to its k-th neighbour in `z`.

    Args:
      x: `[..., n, d]` samples of p.
      z: `[..., m, d]` samples of q.
      k: neighbour (static), at most n - 1 and m.
      method: `"blocks"` or `"tree"`, see the top of this module.

    Returns:
      `[...]` nats, float32 or wider. Infinite or NaN where rows are duplicated (distances of 0).

    Raises:
      ValueError: samples that are not `[..., n, d]` with one d, `k` out of range, or an unknown option.

    References:
      Wang, Kulkarni, Verdu (2009), "Divergence estimation for multidimensional densities via k-nearest-neighbor
      distances", eq. (14).
    """
    x, z = _samples.centered_alike(x=x, z=z)
    _check_neighbors(k, min(x.shape[-2], z.shape[-2] + 1))
    samples = _samples.in_one_unit(x, z)[0]
    search = _search(method, k, *samples)
    return _problems(_divergence(search, k), search, *samples)


def _ksg(blocks: Sequence[jax.Array], k: int, algorithm: int, method: str) -> jax.Array:
    """Information that paired blocks `[..., n, d_b]` share."""
    _check_neighbors(k, blocks[0].shape[-2])
    if algorithm not in (1, 2):
        raise ValueError(f"algorithm must be 1 or 2, got algorithm = {algorithm!r}.")
    blocks = _samples.in_one_unit(*blocks)[0]
    search = _search(method, k, *blocks)
    return _problems(_shared(search, k, algorithm), search, *blocks)


def _search(method: str, k: int, *samples: Any) -> _neighbors.Search:
    """The search of a name; that of trees, in float64, where float32 would not find the nearest rows."""
    search = _neighbors.choose(method)
    floating_dtype(**{f"sample_{i}": x for i, x in enumerate(samples)})  # refuses what is not real
    if search is _neighbors.TREE or is_traced(samples) or _scale.keeps_float64():
        return search
    lost = any(_samples.order_is_lost(np.asarray(x), k) for x in samples)
    return _neighbors.TREE if lost else search


# What is done to one problem. The same options give the same function, so that what was compiled is found again.
@functools.lru_cache(maxsize=64)
def _entropy(search: _neighbors.Search, k: int, metric: str) -> Callable:
    def one(x):
        n, dim = x.shape
        volume = dim * math.log(2) if metric == "chebyshev" else dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
        distance, _ = search.nearest(x, None, k, metric)
        return _psi(n) - _psi(k) + volume + dim * _log(search, distance[:, -1]).mean()

    return one


@functools.lru_cache(maxsize=64)
def _conditional(search: _neighbors.Search, k: int) -> Callable:
    def one(x, z, given):
        distance, _ = search.nearest(search.xp.concatenate([x, z, given], axis=-1), None, k, "chebyshev")

        def inside(*parts):
            count = search.count(search.xp.concatenate(parts, axis=-1), distance[:, -1], True)
            return digamma(jnp.asarray(count + 1.0))

        return _psi(k) + (inside(given) - inside(x, given) - inside(z, given)).mean()

    return one


@functools.lru_cache(maxsize=64)
def _nonuniformity(search: _neighbors.Search, k: int, alpha: float) -> Callable:
    def one(*blocks):
        x = search.xp.concatenate(blocks, axis=-1)
        _, index = search.nearest(x, None, k, "chebyshev")
        log_ratio = _log_volume_ratio(x[index] - x[:, None, :])
        return -jnp.where(log_ratio < math.log(alpha), log_ratio, jnp.where(jnp.isnan(log_ratio), jnp.nan, 0.0)).mean()

    return one


@functools.lru_cache(maxsize=64)
def _divergence(search: _neighbors.Search, k: int) -> Callable:
    def one(x, z):
        within, across = (search.nearest(x, other, k, "euclidean")[0][:, -1] for other in (None, z))
        ratio = (_log(search, across) - _log(search, within)).mean()
        return x.shape[1] * ratio + math.log(z.shape[0] / (x.shape[0] - 1))

    return one


@functools.lru_cache(maxsize=64)
def _shared(search: _neighbors.Search, k: int, algorithm: int) -> Callable:
    def one(*blocks):
        n, more = blocks[0].shape[0], len(blocks) - 1
        distance, index = search.nearest(search.xp.concatenate(blocks, axis=-1), None, k, "chebyshev")

        def inside(block):
            """Psi of how many rows are as near as the neighbours in this block alone, `[n]`."""
            if algorithm == 1:
                return digamma(jnp.asarray(search.count(block, distance[:, -1], True) + 1.0))
            radius = abs(block[index] - block[:, None, :]).max(axis=(1, 2))
            return digamma(jnp.asarray(search.count(block, radius, False)))

        if search.xp is jnp and len({block.shape[1] for block in blocks}) == 1:
            # One program for all of them: apart, those of 50 features would compile for minutes.
            parts = jax.lax.map(inside, jnp.stack(blocks))
            total = parts.sum(axis=0)
        else:
            total = functools.reduce(jnp.add, [inside(block) for block in blocks])
        return _psi(k) - (more / k if algorithm == 2 else 0.0) + more * _psi(n) - total.mean()

    return one


def _log(search: _neighbors.Search, distance):
    """-infinity at 0, without NumPy's warning."""
    with np.errstate(divide="ignore"):
        return search.xp.log(distance)


def _log_volume_ratio(offset: jax.Array) -> jax.Array:
    """Log of the volume of the box of `[n, k, d]` neighbours along their principal axes, over that along the axes."""
    offset = jnp.asarray(offset, floating_dtype(offset=offset))
    offset = offset / _scale.unit(offset, axes=(-2, -1))  # each row by its own: neighbours are far apart in a tail
    scatter = products.matmul(products.transpose(offset), offset)
    _, axes = _lapack.eigh(scatter)
    own = jnp.log(jnp.abs(products.matmul(offset, axes)).max(axis=-2)).sum(axis=-1)
    along = jnp.log(jnp.abs(offset).max(axis=-2)).sum(axis=-1)
    return own - along


def _problems(one: Callable, search: _neighbors.Search, *samples: jax.Array) -> jax.Array:
    """`one` on every leading problem, NaN where an entry is not finite."""
    batch = samples[0].shape[:-2]
    if any(x.shape[:-2] != batch for x in samples):
        raise ValueError(f"Leading axes must agree, got {[x.shape for x in samples]}.")
    named = {f"sample_{i}": x for i, x in enumerate(samples)}
    if search.xp is jnp:
        return _by_blocks(one, batch, *as_floating(**named))
    if is_traced(samples):
        raise TypeError('method "tree" runs on the host and cannot be traced by jit, vmap or grad; take "blocks".')
    dtype = floating_dtype(**named)
    hosts = [np.asarray(x, np.float64).reshape(-1, *x.shape[-2:]) for x in samples]
    finite = [all(np.isfinite(x[i]).all() for x in hosts) for i in range(len(hosts[0]))]
    values = [float(one(*(x[i] for x in hosts))) if finite[i] else math.nan for i in range(len(hosts[0]))]
    return jnp.asarray(np.reshape(values, batch), dtype)


@functools.partial(jax.jit, inline=True, static_argnums=(0, 1))
def _by_blocks(one: Callable, batch: tuple[int, ...], *arrays: jax.Array) -> jax.Array:
    finite = functools.reduce(jnp.logical_and, [jnp.isfinite(x).all(axis=(-2, -1)) for x in arrays])
    flat = tuple(jnp.where(finite[..., None, None], x, 0.0).reshape(-1, *x.shape[-2:]) for x in arrays)
    value = jax.lax.map(lambda problem: one(*problem), flat)
    return jnp.where(finite, value.reshape(batch), jnp.nan)


def _psi(count: int) -> float:
    """Digamma of a positive integer, on the host in float64."""
    return float(np.sum(1.0 / np.arange(1, count)) - np.euler_gamma)


def _check_neighbors(k: int, n: int) -> None:
    check_count(1, k=k)
    if k >= n:
        raise ValueError(f"k must be below the number of rows, got k = {k} and n = {n}.")
