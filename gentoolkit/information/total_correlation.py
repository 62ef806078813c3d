"""Total correlation by density destructors."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from gentoolkit._array import as_floating, check_samples
from gentoolkit.information import _flow, _forms
from gentoolkit.information.estimate import Estimate, check_count, null_summary, permuted_columns

Form = Literal["likelihood", "telescoped", "classical", "unstopped"]


def total_correlation(
    key: jax.Array,
    x: jax.Array,
    *,
    form: Form = "likelihood",
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    num_permutations: int = 0,
) -> Estimate:
    """Total correlation: the information that the features share, `sum_j H(x_j) - H(x)`.

    Forms:

    - `"likelihood"`, the default: the mean over rows of log q(x) - sum_j log q_j(x_j), q a destructor fitted to the
      other folds. It starts with an elliptical layer (`elliptical`) and goes on by layers of marginal maps and
      rotations for as long as they help rows left out. Features enter by their ranks: increasing maps of a feature
      change nothing, infinities are ranks like others, ties are put in random order (a constant feature shares
      nothing).
      What the destructor misses makes the estimate low, on average never high; both errors fall with n.
    - `"telescoped"`: RBIG fitted to half of the rows; what its rotations take off the marginal entropies of the other
      half, up to the best layer. A lower bound but for the error of the entropies, and a low one for elliptical laws.
    - `"classical"`: RBIG on all rows, with the stopping rule of Laparra et al.: small layers are not counted.
    - `"unstopped"`: all layers counted. Its bias is of the order of `num_layers * d`, and needs `debiased`.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples, d >= 2.
      form: static, see above.
      num_layers: layers of RBIG (static); None takes 6 after the elliptical start, 40 for the other forms.
      num_folds: folds of the likelihood form (static): each row is evaluated by a fit to the other folds.
      num_permutations: B (static) copies with permuted features, in one vmapped batch whose memory grows with B, for
        `null_mean`, `null_std`, `p_value`, and with them `debiased`; 0 leaves these None.

    Returns:
      `Estimate` in nats. The likelihood form has a standard error (of the mean over rows); `trace` is the estimate
      after the start and after each layer, or after each layer. NaN entries give NaN. Not clipped at 0.

    Raises:
      ValueError: `x` is not `[..., n, d]` with d >= 2, fewer than 20 rows (10 a fold), or an unknown form.

    References:
      Johnson et al. (2019), "Information theory in density destructors", eqs. (5) to (7); eq. (6) as printed is T after
      less T before, here its negative is meant. Laparra, Camps-Valls, Malo (2011) for the stopping rule.
    """
    check_samples(x=x)
    num_layers = check_options(form, num_layers, num_folds, num_permutations, x.shape[-2])
    if x.shape[-1] < 2:
        raise ValueError(f"x must have at least two features to share anything, got x.shape = {x.shape}.")

    def one(key, x):
        value = _value(key, x, form, num_layers, num_folds)
        if not num_permutations:
            return value
        null_key, same = jax.random.split(key)
        copies = permuted_columns(null_key, x, num=num_permutations)
        null = jax.vmap(lambda x: _value(same, x, form, num_layers, num_folds).value)(copies)
        return with_null(value, null)

    return over_problems(one, key, x)


def _value(key, x, form, num_layers, num_folds) -> Estimate:
    if form != "likelihood":
        trace = _forms.trace(key, x, form, num_layers)
        return Estimate(trace[-1], trace=trace)
    scores_key, fit_key = jax.random.split(key)
    z = _flow.normal_scores(scores_key, x)
    terms, _, trace = _flow.dependence(fit_key, [(1.0, z)], num_layers, num_folds)
    return mean_of(terms, trace, x)


def mean_of(terms: jax.Array, trace: jax.Array, *samples: jax.Array) -> Estimate:
    """Estimate from one term a row.

    Args:
      terms: `[rows]`.
      trace: `[layers]`.
      *samples: `[n, d]` arrays, for NaN.

    Returns:
      `Estimate` with the mean and its standard error.
    """
    bad = jnp.any(jnp.stack([jnp.isnan(x).any() for x in samples]))
    value = jnp.where(bad, jnp.nan, terms.mean())
    error = jnp.where(bad, jnp.nan, jnp.std(terms, ddof=1) / terms.size**0.5)
    return Estimate(value, error, trace=jnp.where(bad, jnp.nan, trace))


def with_null(value: Estimate, null: jax.Array) -> Estimate:
    """Puts the null of permuted data into an estimate.

    Args:
      value: on the data.
      null: `[B]` on permuted data.

    Returns:
      `Estimate`.
    """
    null_mean, null_std, p = null_summary(value.value, null)
    return value._replace(null_mean=null_mean, null_std=null_std, p_value=p)


def check_options(form: str, num_layers: int | None, num_folds: int, num_permutations: int, n: int) -> int:
    """Checks the options that the measures share.

    Args:
      form: one of `Form`.
      num_layers: or None for the default of the form.
      num_folds: at least 2.
      num_permutations: at least 0.
      n: rows.

    Returns:
      The number of layers.

    Raises:
      ValueError: an unknown form, a bad count, or too few rows.
    """
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {get_args(Form)}, got {form!r}.")
    if num_layers is None:
        num_layers = _flow.NUM_LAYERS if form == "likelihood" else _forms.NUM_LAYERS
    check_count(0 if form == "likelihood" else 1, num_layers=num_layers)
    check_count(2, num_folds=num_folds)
    check_count(0, num_permutations=num_permutations)
    least = 10 * num_folds if form == "likelihood" else 20
    if n < least:
        raise ValueError(f"The {form} form needs at least {least} rows, got n = {n}.")
    return num_layers


def over_problems(one, key: jax.Array, *samples: jax.Array) -> Estimate:
    """`one(key, *samples [n, d])` on every leading problem, each with its own key.

    Args:
      one: function of one problem.
      key: PRNG key.
      *samples: `[..., n, d]` arrays with the same leading axes.

    Returns:
      `Estimate` with the leading axes in front.

    Raises:
      ValueError: leading axes differ.
    """
    batch = samples[0].shape[:-2]
    if any(x.shape[:-2] != batch for x in samples):
        raise ValueError(f"Leading axes must agree, got {[x.shape for x in samples]}.")
    arrays = as_floating(**{f"sample_{i}": x for i, x in enumerate(samples)})
    if not batch:
        return one(key, *arrays)
    flat = [x.reshape(-1, *x.shape[-2:]) for x in arrays]
    out = jax.vmap(one)(jax.random.split(key, flat[0].shape[0]), *flat)
    return jax.tree.map(lambda a: a.reshape(batch + a.shape[1:]), out)
