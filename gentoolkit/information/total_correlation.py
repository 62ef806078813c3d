"""Total correlation by density destructors."""

import jax

from gentoolkit._array import is_traced
from gentoolkit.information import _flow, _forms
from gentoolkit.information._measures import Form, Progress, check_options, mean_of, null_key, over_problems, with_null
from gentoolkit.information._samples import centered, in_units
from gentoolkit.information.estimate import Estimate, permuted_columns


def total_correlation(
    key: jax.Array,
    x: jax.Array,
    *,
    form: Form = "likelihood",
    num_layers: int | None = None,
    num_folds: int = _flow.NUM_FOLDS,
    max_components: int = _flow.MAX_COMPONENTS,
    num_permutations: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Total correlation: the information that the features share, `sum_j H(x_j) - H(x)`.

    Forms:

    - `"likelihood"`, the default: the mean over rows of log q(x) - sum_j log q_j(x_j), q a destructor fitted to the
      other folds. It starts with one elliptical layer (`elliptical`) or, where rows left out are better off by it, with
      clusters (`mixture`), and goes on by layers of marginal maps and rotations for as long as they help rows left out.
      Features enter by their ranks: increasing maps of a feature change nothing, infinities are ranks like others, ties
      are put in random order (a constant feature shares nothing).
      What the destructor misses makes rows left out say too little, on average never too much. As far as it misses it
      for want of rows the estimate makes up for it, by half of what rows say more to a fit that saw them (`shortfall`);
      all of it falls with n.
    - `"telescoped"`: RBIG fitted to half of the rows; what its rotations take off the marginal entropies of the other
      half, up to the best layer. A lower bound but for the error of the entropies, and a low one for elliptical laws.
    - `"classical"`: RBIG on all rows, with the stopping rule of Laparra et al.: small layers are not counted.
    - `"unstopped"`: all layers counted. Its bias is of the order of `num_layers * d`, and needs `debiased`.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples, d >= 2.
      form: static, see above.
      num_layers: layers of RBIG (static); None takes 6 after the start, 40 for the other forms.
      num_folds: folds of the likelihood form (static): each row is evaluated by a fit to the other folds.
      max_components: of 2, 4 and 8 clusters to start with those up to this are tried (static); 1 compiles in half
        the time.
      num_permutations: B (static) copies with permuted features, for `null_mean`, `null_std`, `p_value`, and with
        them `debiased`; 0 leaves these None. Traced, or off the CPU, they are one vmapped batch, whose memory grows
        with B.
      progress: static; called on the host after each estimate with how many are done, how many there will be, and the
        `Estimate` on the data (without its null), if nothing is traced and `x` is one problem.

    Returns:
      `Estimate` in nats. The likelihood form has a standard error (of the mean over rows and of the shortfall); `trace`
      is what rows left out say after the start and after each layer, or the estimate after each layer. NaN entries give
      NaN. Not clipped at 0.

    Raises:
      ValueError: `x` is not `[..., n, d]` with d >= 2, too few rows (10 a fold, 20 for the other forms), or an
        unknown form.

    References:
      Johnson et al. (2019), "Information theory in density destructors", eqs. (5) to (7); eq. (6) as printed is T after
      less T before, here its negative is meant. Laparra, Camps-Valls, Malo (2011) for the stopping rule. Akaike (1974),
      "A new look at the statistical model identification", for what a fit gains on its own rows and loses on others.
    """
    (x,), _ = in_units(*centered(x=x))
    num_layers = check_options(form, num_layers, num_folds, num_permutations, x.shape[-2], max_components)
    if x.shape[-1] < 2:
        raise ValueError(f"x must have at least two features to share anything, got x.shape = {x.shape}.")

    def one(key, x):
        def estimate(x):
            return _value(key, x, form, num_layers, num_folds, max_components)

        def copies():
            return permuted_columns(null_key(key), x, num=num_permutations)

        return with_null(estimate, x, copies, num_permutations, progress, traced=is_traced((null_key(key), x)))

    return over_problems(one, key, x)


def _value(key, x, form, num_layers, num_folds, max_components) -> Estimate:
    if form != "likelihood":
        trace = _forms.trace(key, x, form, num_layers)
        return Estimate(trace[-1], trace=trace)
    scores_key, fit_key = jax.random.split(key)
    z = _flow.normal_scores(scores_key, x)
    found = _flow.dependence(fit_key, [(1.0, z)], num_layers, num_folds, max_components)
    return mean_of(found.terms, found.trace, x, shortfall=found.shortfall)
