"""Conditional mutual information by density destructors."""

import jax
import jax.numpy as jnp

from gentoolkit.information import _flow
from gentoolkit.information._checks import paired_rows
from gentoolkit.information._measures import check_options, mean_of, over_problems
from gentoolkit.information._samples import centered, in_units
from gentoolkit.information.estimate import Estimate


def conditional_mutual_information(
    key: jax.Array,
    x: jax.Array,
    z: jax.Array,
    given: jax.Array,
    *,
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
) -> Estimate:
    """Mutual information of `x` and `z` given a third variable.

    T(x, z, given) - T(x, given) - T(z, given) + T(given), each by the likelihood form of `total_correlation`, on the
    same folds. There is no null here: permuting rows would break the dependence on `given` too.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.
      given: `[..., n, f]` samples of the condition.
      num_layers: layers of RBIG after the start (static); None takes 6.
      num_folds: folds of the cross-fitting (static).
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.

    Returns:
      `Estimate` in nats with a standard error, and the trace over layers. Not clipped at 0.

    Raises:
      ValueError: samples that are not paired, too few rows, or a bad count.

    References:
      Cover and Thomas (2006), "Elements of information theory", eqs. (2.60) to (2.62).
    """
    (x, z, given), _ = in_units(*centered(x=x, z=z, given=given))
    num_layers = check_options("likelihood", num_layers, num_folds, 0, paired_rows(x, z, given), max_components)

    def one(key, x, z, given):
        scores_key, fit_key = jax.random.split(key)
        scores = _flow.normal_scores(scores_key, jnp.concatenate([x, z, given], axis=-1))
        a, b = x.shape[1], x.shape[1] + z.shape[1]
        with_x = jnp.concatenate([scores[:, :a], scores[:, b:]], axis=-1)
        blocks = [(1.0, scores), (-1.0, with_x), (-1.0, scores[:, a:]), (1.0, scores[:, b:])]
        found = _flow.dependence(fit_key, blocks, num_layers, num_folds, max_components)
        return mean_of(found.terms, found.trace, x, z, given, shortfall=found.shortfall)

    return over_problems(one, key, x, z, given)
