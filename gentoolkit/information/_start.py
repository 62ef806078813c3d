"""What the destructor of normal scores starts with: one elliptical heap, or clusters; rows left out decide."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import is_traced
from gentoolkit.information import elliptical, mixture

_COMPONENTS = (2, 4, 8)  # that are tried
_ROWS_A_COMPONENT = 2  # for each mean and each row of the covariance; what they lack comes from the pooled covariance
_SELECTION_ROWS = 1 << 12  # of them a quarter is left out to choose by; the chosen one goes on to all rows


class Start(NamedTuple):
    """Both fitted destructors, and which of them counts.

    Attributes:
      heap: the elliptical one.
      clusters: the mixture; None if none was tried.
      apart: `[]` True where the mixture counts.
    """

    heap: elliptical.Elliptical
    clusters: mixture.Mixture | None
    apart: jax.Array


def fit(key: jax.Array, z: jax.Array, max_components: int) -> tuple[Start, jax.Array]:
    """Fits both, and chooses.

    Args:
      key: PRNG key.
      z: `[n, d]` scores with N(0, 1) margins, d >= 2, the rows in random order.
      max_components: clusters that may be tried (static).

    Returns:
      The start, and the scores as it maps them.
    """
    heap, w, of_heap = _fit_heap(z)
    few = min(z.shape[0], _SELECTION_ROWS)
    most = min(max_components, (few - few // 4) // (_ROWS_A_COMPONENT * (z.shape[1] + 1)))
    components = tuple(k for k in _COMPONENTS if k <= most)
    if not components:
        return Start(heap, None, jnp.zeros((), bool)), w
    clusters, apart = _try_clusters(key, z, of_heap, components)
    if not is_traced(apart):
        if not apart:
            return Start(heap, clusters, apart), w
        clusters = _refit(clusters, z)
        return Start(heap, clusters, apart), _forward_clusters(clusters, z)[0]
    clusters = jax.lax.cond(apart, lambda m: mixture.refit(m, z), lambda m: m, clusters)
    w = jax.lax.cond(apart, lambda: mixture.forward(clusters, z)[0], lambda: w)
    return Start(heap, clusters, apart), w


@functools.partial(jax.jit, inline=True, static_argnames="components")
def _try_clusters(
    key: jax.Array, z: jax.Array, of_heap: jax.Array, components: tuple[int, ...]
) -> tuple[mixture.Mixture, jax.Array]:
    """The best of several numbers of clusters, and whether it is better than one heap on rows left out."""
    few = z[:_SELECTION_ROWS]
    tail = few.shape[0] // 4
    left_out, rest = few[:tail], few[tail:]

    def tried(num_components):
        clusters = mixture.fit(key, rest, num_components)
        return clusters, mixture.log_ratio(clusters, left_out)

    every, of_clusters = jax.lax.map(tried, jnp.asarray(np.array(components), jnp.int32))
    best = jnp.argmax(of_clusters.mean(axis=-1))
    clusters, more = jax.tree.map(lambda a: a[best], every), of_clusters[best] - of_heap[:tail]
    # One heap unless clusters are better beyond chance: by a standard error.
    return clusters, more.mean() > jnp.std(more) / tail**0.5


_fit_heap, _forward_heap, _refit, _forward_clusters = (
    jax.jit(function, inline=True) for function in (elliptical.fit, elliptical.forward, mixture.refit, mixture.forward)
)


def forward(fitted: Start, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps normal scores `[m, d]` to (nearly) independent ones, and `[m]` log-determinants."""
    if fitted.clusters is None:
        return _forward_heap(fitted.heap, z)
    if not is_traced(fitted.apart):
        return _forward_clusters(fitted.clusters, z) if fitted.apart else _forward_heap(fitted.heap, z)
    return jax.lax.cond(
        fitted.apart,
        functools.partial(mixture.forward, fitted.clusters),
        functools.partial(elliptical.forward, fitted.heap),
        z,
    )
