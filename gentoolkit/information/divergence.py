"""Kullback-Leibler divergence by density destructors."""

import functools

import jax
import jax.numpy as jnp

from gentoolkit._array import is_traced
from gentoolkit.information import _flow
from gentoolkit.information._measures import Progress, check_options, mean_of, null_key, over_problems, with_null
from gentoolkit.information._samples import centered_alike, in_units
from gentoolkit.information.estimate import Estimate, permuted


def kl_divergence(
    key: jax.Array,
    x: jax.Array,
    z: jax.Array,
    *,
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
    num_permutations: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Kullback-Leibler divergence KL(p to q) of two samples.

    The mean over rows of `x` of log p(x) - log q(x), p a destructor fitted to the other folds of `x`, q one fitted to
    `z`. With G the destructor of q this is what the paper writes as T(G(x)) + sum_j KL(G(x)_j to N(0, 1)): both are
    the divergence of p from the law that G takes to N(0, I). What counts is how q extends beyond its sample: the
    margins have generalised Pareto tails, and a divergence that lies in the tails of q is as uncertain as these.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples of p.
      z: `[..., m, d]` samples of q.
      num_layers: layers of RBIG after the start (static); None takes 6.
      num_folds: folds of the cross-fitting (static).
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.
      num_permutations: B (static) splits of the pooled rows into two new samples, as the null p = q, computed as in
        `total_correlation`; 0 for no null.
      progress: static; called on the host after each estimate with how many are done, how many there will be, and the
        `Estimate` on the data (without its null), if nothing is traced and there are no leading axes.

    Returns:
      `Estimate` in nats. Its standard error is over rows of `x` alone. Not clipped at 0.

    Raises:
      ValueError: samples of different features, too few rows, or a bad count.

    References:
      Johnson et al. (2019), "Information theory in density destructors", eq. (5) and section 3.2.
    """
    (x, z), _ = in_units(*centered_alike(x=x, z=z), alike=True)
    fewer = min(x.shape[-2], z.shape[-2])
    num_layers = check_options("likelihood", num_layers, num_folds, num_permutations, fewer, max_components)

    def one(key, x, z):
        n = x.shape[0]

        def estimate(pooled):
            return _value(key, pooled[:n], pooled[n:], num_layers, num_folds, max_components)

        pooled = jnp.concatenate([x, z])

        def copies():
            return permuted(null_key(key), pooled, num=num_permutations)

        traced = is_traced((null_key(key), pooled))
        return with_null(estimate, pooled, copies, num_permutations, progress, traced=traced)

    return over_problems(one, key, x, z)


def _value(key, x, z, num_layers, num_folds, max_components) -> Estimate:
    p_key, choice_key, order_key, q_key = jax.random.split(key, 4)
    own, rows = _flow.left_out_log_density(p_key, x, num_layers, num_folds, max_components)
    # How many layers q takes is found on rows of z left out; then it is fitted to all of them.
    left_out, _ = _flow.left_out_log_density(choice_key, z, num_layers, num_folds, max_components)
    q = _flow.fit_density(q_key, jax.random.permutation(order_key, z), num_layers, max_components)
    return _summary(own, rows, left_out, _flow.log_density(q, x, num_layers), x, z)


@functools.partial(jax.jit, inline=True)
def _summary(own, rows, left_out, other, x, z) -> Estimate:
    likely = left_out.mean(axis=(0, 2))
    best = jnp.argmax(jnp.where(jnp.isnan(likely), -jnp.inf, likely))
    terms = _flow.after(own, _flow.select(own)).reshape(-1) - other[best][rows.reshape(-1)]
    trace = own.mean(axis=(0, 2)) - other[:, rows.reshape(-1)].mean(axis=-1)
    return mean_of(terms, trace, x, z)
