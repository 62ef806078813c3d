"""Mutual information by three density destructors."""

import jax
import jax.numpy as jnp

from gentoolkit._array import is_traced
from gentoolkit.gaussianization import rbig
from gentoolkit.information import _flow, _forms
from gentoolkit.information._checks import paired_rows
from gentoolkit.information._measures import Form, Progress, check_options, mean_of, null_key, over_problems, with_null
from gentoolkit.information._samples import centered, in_units
from gentoolkit.information.estimate import Estimate, permuted


def mutual_information(
    key: jax.Array,
    x: jax.Array,
    z: jax.Array,
    *,
    form: Form = "likelihood",
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
    num_permutations: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Mutual information of a paired sample, `H(x) + H(z) - H(x, z)`.

    The default `"likelihood"` form takes three destructors, of x, of z and of both, and averages
    log q(x, z) - log q(x) - log q(z) over rows, for the most part such as none of them has seen (the rest is the
    shortfall of `total_correlation`): that is
    T(x, z) - T(x) - T(z), whose errors largely cancel row by row. The other forms are those of the paper: destroy each
    block, and take the total correlation of both results side by side, T([D_x(x), D_z(z)]); what each destructor left
    within its own block would count as mutual information, and is estimated and subtracted.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples.
      z: `[..., n, e]` samples, row by row those of `x`.
      form: static, see `total_correlation`.
      num_layers: layers of RBIG in each destructor (static), see `total_correlation`.
      num_folds: folds of the likelihood form (static).
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.
      num_permutations: B (static) copies with the rows of `z` permuted, as in `total_correlation`; 0 for no null.
      progress: static; called on the host after each estimate with how many are done, how many there will be, and the
        `Estimate` on the data (without its null), if nothing is traced and `x` is one problem.

    Returns:
      `Estimate` in nats, as of `total_correlation`. In the likelihood form rows of `x` or `z` may be replaced by any
      increasing maps of their features. Not clipped at 0.

    Raises:
      ValueError: samples that are not paired, too few rows, or an unknown option.

    References:
      Johnson et al. (2019), "Information theory in density destructors", eq. (8) and appendix.
    """
    (x, z), _ = in_units(*centered(x=x, z=z))
    num_layers = check_options(form, num_layers, num_folds, num_permutations, paired_rows(x, z), max_components)

    def one(key, x, z):
        def estimate(z):
            return _value(key, x, z, form, num_layers, num_folds, max_components)

        def copies():
            return permuted(null_key(key), z, num=num_permutations)

        traced = is_traced((null_key(key), x, z))
        return with_null(estimate, z, copies, num_permutations, progress, traced=traced)

    return over_problems(one, key, x, z)


def _value(key, x, z, form, num_layers, num_folds, max_components) -> Estimate:
    if form != "likelihood":
        return _of_destroyed(key, x, z, form, num_layers)
    scores_key, fit_key = jax.random.split(key)
    both = _flow.normal_scores(scores_key, jnp.concatenate([x, z], axis=-1))
    blocks = [(1.0, both), (-1.0, both[:, : x.shape[1]]), (-1.0, both[:, x.shape[1] :])]
    found = _flow.dependence(fit_key, blocks, num_layers, num_folds, max_components)
    return mean_of(found.terms, found.trace, x, z, shortfall=found.shortfall)


def _of_destroyed(key, x, z, form, num_layers) -> Estimate:
    keys = jax.random.split(key, 5)
    destroyed = [
        rbig.forward(rbig.fit(k, block, num_layers=num_layers), block)[0]
        for k, block in zip(keys[:2], (x, z), strict=True)
    ]
    joint = _forms.trace(keys[2], jnp.concatenate(destroyed, axis=-1), form, num_layers)
    left = [_forms.trace(k, block, form, num_layers) for k, block in zip(keys[3:], destroyed, strict=True)]
    trace = joint - left[0] - left[1]
    return Estimate(trace[-1], trace=trace)
