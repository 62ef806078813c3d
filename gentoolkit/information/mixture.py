"""A destructor of clusters: mixture margins, a normal mixture, and the conditional distribution functions of it.

Layers of one-dimensional maps between rotations do not part clusters that overlap in every direction. A mixture of
normal laws does, and has its density in closed form. In order, for normal scores z:

    y_j   = F_j^-1(Phi(z_j))                          margins on the scale on which the clusters are normal
    out_j = Phi^-1(F(y_j given y_1 .. y_{j-1}))       F the mixture: N(0, I) if that was the law of y

The margins of scores tell nothing; so each is carried to the margin F_j that the mixture itself has, and what is fitted
is the copula of a mixture. Steps of expectation and maximization go from equal spheres, which find the centres, to a
covariance for each component, drawn towards what they have in common as far as rows are few.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _lapack
from gentoolkit._array import as_floating
from gentoolkit.distances import products
from gentoolkit.gaussianization import normal_law, splines
from gentoolkit.information._checks import gram

MOST_COMPONENTS = 8
_LARGEST_SCORE, _NODES, _BISECTIONS = 6.0, 97, 24
_ROUNDS, _MORE_ROUNDS, _STEPS = 6, 3, 4  # rounds of so many steps each


class Mixture(NamedTuple):
    """A fitted destructor, a pytree of arrays.

    Attributes:
      margin: `[d]` splines, F_j^-1 of Phi.
      log_weight: `[k]`, minus infinity for components that are not there; k = `MOST_COMPONENTS`.
      mean: `[k, d]`.
      spread: `[k, d]` standard deviations of the features in each component.
      whitening: `[k, d, d]` lower triangular inverse Cholesky factors of the covariances.
    """

    margin: splines.Spline
    log_weight: jax.Array
    mean: jax.Array
    spread: jax.Array
    whitening: jax.Array


def fit(key: jax.Array, z: jax.Array, num_components: jax.Array) -> Mixture:
    """Fits the destructor.

    Args:
      key: PRNG key of the first centres.
      z: `[n, d]` scores with N(0, 1) margins.
      num_components: `[]` integer from 1 to `MOST_COMPONENTS`; it may be traced, so that one program tries several.

    Returns:
      The destructor, of `MOST_COMPONENTS` of which the others have weight 0.

    References:
      Tewari, Giering, Raghunathan (2011), "Parametric characterization of multimodal distributions with non-Gaussian
      modes", for copulas of normal mixtures.
    """
    (z,) = as_floating(z=z)
    dim = z.shape[1]
    mean = _seeds(key, z)
    spheres = jnp.broadcast_to(jnp.eye(dim, dtype=z.dtype), (MOST_COMPONENTS, dim, dim))
    there = jnp.arange(MOST_COMPONENTS) < num_components
    weight = jnp.where(there, -jnp.log(jnp.asarray(num_components, z.dtype)), -jnp.inf)
    start = Mixture(_identity(z), weight, mean, jnp.ones_like(mean), spheres)
    # The sphere goes in the first half of the rounds; margins wait until the components are found.
    share = np.clip(1 - np.arange(_ROUNDS * _STEPS) / (_ROUNDS * _STEPS / 2), 0, 1)
    share = np.concatenate([share, np.zeros(_MORE_ROUNDS * _STEPS)]).reshape(-1, _STEPS)
    return _rounds(start, z, jnp.asarray(share, z.dtype), np.arange(len(share)) >= _ROUNDS)


def refit(fitted: Mixture, z: jax.Array) -> Mixture:
    """Goes on from a mixture: margins from those of its components and a few more steps, in turn.

    Args:
      fitted: where to begin.
      z: `[n, d]` scores, those it was fitted to or others of the same law.

    Returns:
      The destructor.
    """
    (z,) = as_floating(z=z)
    return _rounds(fitted, z, jnp.zeros_like(z, shape=(_MORE_ROUNDS, _STEPS)), np.ones(_MORE_ROUNDS, bool))


def forward(fitted: Mixture, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps normal scores to (nearly) independent ones.

    Args:
      fitted: from `fit`.
      z: `[m, d]` scores.

    Returns:
      `[m, d]`, and `[m]` the log-determinant of the map.
    """
    (z,) = as_floating(z=z)
    y, log_slope = _to_margin(fitted.margin, z)

    def add(k, sums):
        w, log_scale = _whitened(fitted, k, y)
        each = normal_law.log_density(w) + log_scale[None, :]
        upto = fitted.log_weight[k] + jnp.cumsum(each, axis=-1)
        # Which component it is, as far as the features before tell.
        share = upto - each
        log_cdf, log_sf = normal_law.log_probabilities(w)
        terms = share, share + log_cdf, share + log_sf, upto[:, -1:]
        return tuple(jnp.logaddexp(total, term) for total, term in zip(sums, terms, strict=True))

    # A loop over the components that are there: nothing is held for all of them.
    none = jnp.full_like(y, -jnp.inf)
    before, log_cdf, log_sf, log_density = jax.lax.fori_loop(0, _num(fitted), add, (none, none, none, none[:, :1]))
    out = normal_law.from_log_probabilities(log_cdf - before, log_sf - before)
    return out, log_density[:, 0] + (log_slope - normal_law.log_density(out)).sum(axis=-1)


def log_ratio(fitted: Mixture, z: jax.Array) -> jax.Array:
    """Log of the density of the scores over that of N(0, I).

    Args:
      fitted: from `fit`.
      z: `[m, d]` scores.

    Returns:
      `[m]`.
    """
    (z,) = as_floating(z=z)
    y, log_slope = _to_margin(fitted.margin, z)
    log_density = jax.nn.logsumexp(_log_densities(fitted, y), axis=0)
    return log_density + (log_slope - normal_law.log_density(z)).sum(axis=-1)


def _num(fitted: Mixture) -> jax.Array:
    return jnp.sum(fitted.log_weight > -jnp.inf, dtype=jnp.int32)


def _whitened(fitted: Mixture, k: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[m, d]`, N(0, I) under component k, and the logs of the scales `[d]`."""
    w = products.matmul(y - fitted.mean[k][None, :], fitted.whitening[k].T)
    return w, jnp.log(jnp.diagonal(fitted.whitening[k]))


def _log_densities(fitted: Mixture, y: jax.Array) -> jax.Array:
    """Log of weight times density of each component, `[k, m]`."""

    def one(k, found):
        w, log_scale = _whitened(fitted, k, y)
        return found.at[k].set(fitted.log_weight[k] + (normal_law.log_density(w) + log_scale[None, :]).sum(axis=-1))

    none = jnp.full_like(y, -jnp.inf, shape=(MOST_COMPONENTS, y.shape[0]))
    return jax.lax.fori_loop(0, _num(fitted), one, none)


def _rounds(fitted: Mixture, z: jax.Array, shares: jax.Array, with_margins: np.ndarray) -> Mixture:
    """Rounds of steps, one for each row of `shares`, before some of which the margins are made anew."""

    def one(fitted, now):
        share, with_margin = now
        fitted = fitted._replace(margin=jax.lax.cond(with_margin, _margins, lambda same: same.margin, fitted))
        return _steps(fitted, _to_margin(fitted.margin, z)[0], share), None

    return jax.lax.scan(one, fitted, (shares, jnp.asarray(with_margins)))[0]


def _steps(fitted: Mixture, y: jax.Array, shares: jax.Array) -> Mixture:
    """Steps of expectation and maximization; `shares` says how much of a sphere is in the covariances of each."""
    n, dim = y.shape
    identity = jnp.eye(dim, dtype=y.dtype)
    num = _num(fitted)

    def step(fitted, share):
        responsibility = jax.nn.softmax(_log_densities(fitted, y), axis=0)
        size = responsibility.sum(axis=-1) + 1e-3  # one that lost all of its rows stays finite
        mean = gram(responsibility.T, y) / size[:, None]

        def scattered(k, scatter):
            rest = y - mean[k][None, :]
            return scatter.at[k].set(gram(rest * responsibility[k][:, None], rest) / size[k])

        scatter = jax.lax.fori_loop(0, num, scattered, jnp.zeros_like(fitted.whitening))
        weight = size / size.sum()
        pooled = jnp.sum(scatter * weight[:, None, None], axis=0)
        sphere = identity * jnp.maximum(jnp.trace(pooled) / dim, 1e-6)
        # As if d rows of each component had the covariance that all have in common, and one row of that a sphere.
        pooled = (n * pooled + sphere) / (n + 1)
        own = (size / (size + dim))[:, None, None]
        scatter = own * scatter + (1 - own) * pooled[None]
        scatter = (1 - share) * scatter + share * sphere[None]
        factor = _lapack.cholesky(scatter)
        whitening = _lapack.triangular_solve(factor, jnp.broadcast_to(identity, scatter.shape))
        spread = jnp.sqrt(jnp.diagonal(scatter, axis1=-2, axis2=-1))
        log_weight = jax.nn.log_softmax(jnp.where(fitted.log_weight > -jnp.inf, jnp.log(weight), -jnp.inf))
        return Mixture(fitted.margin, log_weight, mean, spread, whitening), None

    return jax.lax.scan(step, fitted, shares)[0]


def _seeds(key: jax.Array, z: jax.Array) -> jax.Array:
    """Rows far from one another, each drawn by its squared distance to the nearest of those before (k-means++)."""
    noise = jax.random.gumbel(key, (MOST_COMPONENTS, z.shape[0]), z.dtype)

    def add(k, found):
        seeds, nearest = found
        row = z[jnp.argmax(jnp.log(nearest) + noise[k])]
        return seeds.at[k].set(row), jnp.minimum(nearest, jnp.sum((z - row[None, :]) ** 2, axis=-1))

    seeds = jnp.zeros_like(z, shape=(MOST_COMPONENTS, z.shape[1]))
    return jax.lax.fori_loop(0, MOST_COMPONENTS, add, (seeds, jnp.ones_like(noise[0])))[0]


def _identity(z: jax.Array) -> splines.Spline:
    nodes = jnp.broadcast_to(_nodes(z.dtype)[None, :], (z.shape[1], _NODES))
    return splines.through(nodes, nodes, jnp.zeros_like(nodes))


def _nodes(dtype) -> jax.Array:
    return jnp.asarray(np.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, _NODES), dtype)


@functools.lru_cache
def _tail_probabilities() -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(-np.abs(np.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, _NODES)))


def _margins(fitted: Mixture) -> splines.Spline:
    """`F_j^-1(Phi(.))` for the margins of the mixture: at even nodes by bisection, with exact slopes there."""
    nodes = jnp.broadcast_to(_nodes(fitted.mean.dtype)[None, :], (fitted.mean.shape[1], _NODES))
    weight, mean, spread = fitted.log_weight[:, None, None], fitted.mean[:, :, None], fitted.spread[:, :, None]

    # Both tails, so that probabilities near 1 keep their digits.
    tail = jnp.asarray(_tail_probabilities(), fitted.mean.dtype)[None, :]

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        w = jnp.where(nodes < 0, 1, -1)[None] * (middle[None] - mean) / spread
        probability = jnp.sum(jnp.exp(weight) * jax.scipy.special.ndtr(w), axis=0)
        above = (probability > tail) == (nodes < 0)
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    reach = (_LARGEST_SCORE + 1) * spread
    ends = jnp.min(mean - reach, axis=0), jnp.max(mean + reach, axis=0)
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, tuple(jnp.broadcast_to(end, nodes.shape) for end in ends))
    y = 0.5 * (low + high)
    log_density = jax.nn.logsumexp(weight + normal_law.log_density((y[None] - mean) / spread) - jnp.log(spread), axis=0)
    floor = 1e-6 * (y[:, -1:] - y[:, :1])
    return splines.through(nodes, splines.strictly_increasing(y, floor), normal_law.log_density(nodes) - log_density)


def _to_margin(margin: splines.Spline, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`F_j^-1(Phi(z_j))` of `[m, d]` and the logs of its slopes; beyond the nodes it goes on by lines."""
    y, log_slope = splines.forward(margin, z.T, evenly=True)
    return y.T, log_slope.T
