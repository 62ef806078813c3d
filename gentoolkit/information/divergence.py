"""Kullback-Leibler divergence by density destructors."""

import jax
import jax.numpy as jnp

from gentoolkit._array import check_samples
from gentoolkit.information import _flow
from gentoolkit.information._measures import check_options, mean_of, null_key, over_problems, with_null
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
      num_permutations: B (static) splits of the pooled rows into two new samples, in one vmapped batch, as the null
        p = q; 0 for no null.

    Returns:
      `Estimate` in nats. Its standard error is over rows of `x` alone. Not clipped at 0.

    Raises:
      ValueError: samples of different features, too few rows, or a bad count.

    References:
      Johnson et al. (2019), "Information theory in density destructors", eq. (5) and section 3.2.
    """
    check_samples(x=x, z=z)
    fewer = min(x.shape[-2], z.shape[-2])
    num_layers = check_options("likelihood", num_layers, num_folds, num_permutations, fewer, max_components)

    def one(key, x, z):
        n = x.shape[0]

        def estimate(pooled):
            return _value(key, pooled[:n], pooled[n:], num_layers, num_folds, max_components)

        pooled = jnp.concatenate([x, z])
        if not num_permutations:
            return estimate(pooled)
        return with_null(estimate, pooled, permuted(null_key(key), pooled, num=num_permutations))

    return over_problems(one, key, x, z)


def _value(key, x, z, num_layers, num_folds, max_components) -> Estimate:
    p_key, choice_key, order_key, q_key = jax.random.split(key, 4)
    own, rows = _flow.left_out_log_density(p_key, x, num_layers, num_folds, max_components)
    # How many layers q takes is found on rows of z left out; then it is fitted to all of them.
    left_out, _ = _flow.left_out_log_density(choice_key, z, num_layers, num_folds, max_components)
    likely = left_out.mean(axis=(0, 2))
    best = jnp.argmax(jnp.where(jnp.isnan(likely), -jnp.inf, likely))
    q = _flow.fit_density(q_key, jax.random.permutation(order_key, z), num_layers, max_components)
    other = _flow.log_density(q, x, num_layers)
    terms = _flow.after(own, _flow.select(own)).reshape(-1) - other[best][rows.reshape(-1)]
    trace = own.mean(axis=(0, 2)) - other[:, rows.reshape(-1)].mean(axis=-1)
    return mean_of(terms, trace, x, z)
