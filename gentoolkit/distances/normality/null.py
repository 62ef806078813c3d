"""What a statistic gives for a sample that is normal indeed: its mean and its p-values. On the host, in float64.

excess = statistic(y) - null_mean(statistic, n)      a debiased loss: mean zero under N(0, 1), may be negative
p = p_value(statistic, statistic(y), n)              uniform under N(0, 1), small for another law
p_all = cauchy_combination(p)                        one p-value of many dependent slices
"""

import functools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import check_positive
from gentoolkit.distances import multivariate_normality
from gentoolkit.distances.normality import _constants, _null_laws, quadrature
from gentoolkit.distances.normality.characteristic import cramer_wold, epps_pulley
from gentoolkit.distances.normality.ecdf import (
    anderson_darling,
    cramer_von_mises,
    kolmogorov_smirnov,
    likelihood,
    watson,
)
from gentoolkit.distances.normality.moment_statistics import (
    extended_jarque_bera,
    jarque_bera,
    mean_and_variance,
    moments,
)
from gentoolkit.distances.normality.order_statistics import (
    normal_score_cosine,
    shapiro_francia,
    shapiro_wilk,
    wasserstein,
)
from gentoolkit.distances.normality.quadrature import epps_pulley_quadrature
from gentoolkit.distances.normality.spacings import negentropy

Statistic = Callable[[jax.Array], jax.Array]

_NUM_SIMULATIONS = 20_000
_NUM_SIMULATIONS_OF_PAIRS = 2_000  # of statistics of all pairs in d dimensions
_SMALLEST_EXPANSION = 5  # below, the expansions in 1/n of the null laws are off by up to 0.03 and simulation takes over


def null_mean(
    statistic: Statistic, n: int, *, dim: int | None = None, num_simulations: int | None = None, seed: int = 0
) -> float:
    r"""Mean of a statistic over samples of n independent draws of N(0, 1), or of N(0, I).

    A distance between n atoms and a continuous law is never zero; this is what it is on average when there is nothing
    to find. Subtract it to debias a loss (the result may be negative, so put no logarithm on it)::

        offset = normality.null_mean(normality.wasserstein, y.shape[-1])      # a host number, fine inside jit
        excess = normality.wasserstein(y) - offset

    Exact but for those named last:

    - `wasserstein`: 2 - 2 mean(m_i E[Z_(i:n)]), bin means and expected order statistics in float64;
    - `cramer_wold`, whatever its bandwidth, and `epps_pulley`: the characteristic function of the sample misses that
      of N(0, 1) by (1 - exp(-t²))/n in mean square, integrated in closed form;
    - `epps_pulley_quadrature`: the same summed over its nodes, for every n alike;
    - `cramer_von_mises`: 1/(6n); `watson`: 1/(12n); `anderson_darling`: 1/n; `kolmogorov_smirnov`: the mean of the
      exact law; `likelihood`: the mean entropy of the order statistics;
    - `mean_and_variance`: (n - 1)/(n - 3) + 1, infinite up to n = 3; `jarque_bera` and `extended_jarque_bera`: from
      Fisher's moments of skewness and kurtosis;
    - of `multivariate_normality`, with `dim`: `bhep`, `henze_zirkler`, `henze_koch`, `henze_visagie` and `combined` as
      they stand, infinite where they have no mean;
    - `shapiro_francia`, `shapiro_wilk`, `normal_score_cosine`, `negentropy`, `moments`, and with `affine_invariant` all
      of `multivariate_normality`: no formula is known for them; the mean of 20,000 seeded samples (relative error about
      0.5 %; 2,000 in d dimensions), which take seconds at n = 10,000.

    Args:
      statistic: a function of this package, or one with its options bound by `functools.partial`; any other function
        `[..., n] → [...]` when `num_simulations` is given.
      n: sample size.
      dim: for statistics of samples `[..., n, d]`, d; None for those of `[..., n]`.
      num_simulations: None uses the formula where there is one. A number simulates that many samples instead, for any
        statistic; samples are drawn and the statistic jitted in float32, and the result is kept for the next call.
      seed: of the simulated samples.

    Returns:
      The mean, a Python float.

    Raises:
      ValueError: n, dim or num_simulations < 1, a function not known here without `num_simulations`, or one that does
        not return one value a sample.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (the distances; they give no null means).
    """
    n = _at_least_one(n, "n")
    dim = None if dim is None else _at_least_one(dim, "dim")
    if num_simulations is None:
        function, options = _unbind(statistic)
        if dim is None and function in _MEANS:
            return float(_MEANS[function](n, **dict(options)))
        if dim is not None and function in _MEANS_OF_PAIRS and not dict(options).get("affine_invariant"):
            return float(_MEANS_OF_PAIRS[function](n, dim, **_mathematical(options)))
    return float(np.mean(_simulate(statistic, n, dim, num_simulations, seed)))


def p_value(
    statistic: Statistic,
    value: jax.Array | np.ndarray | float,
    n: int,
    *,
    dim: int | None = None,
    num_simulations: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    r"""Probability that n independent draws of N(0, 1), or of N(0, I), give a statistic as large as the one seen.

    - `kolmogorov_smirnov`: the exact law (SciPy's `kstwo`).
    - `cramer_von_mises`: SciPy's expansion in 1/n, and the shape of the limit law where p < 1e-3;
      `anderson_darling`: the limit law with the correction of Marsaglia and Marsaglia. Both are exact for n = 1, and
      from n = 5 off by less than 0.002 in absolute terms, and by some 10 % of p at p = 1e-3, less as n grows. For n of
      2 to 4 they are simulated.
    - `watson`: the limit law with Stephens' modification, off by less than 0.005 where p < 0.2, above that by up to
      0.08 at n = 5 and 0.01 at n = 60; below n = 5 simulated.
    - `shapiro_wilk`: Royston's, that of SciPy, for n of 3 to 5000; beyond, simulated.
    - `bhep` and `henze_zirkler`, with `dim`: the log-normal law of the limit's mean and variance, as Henze and Zirkler
      have it; within some 0.02 of the truth where p is not small.
    - The others: simulated, (1 + #{null >= value}) / (1 + 20,000), so never below 5e-5 (2,000 in d
      dimensions); samples of up to n = 10,000 or so take seconds, once. `combined` is signed: this is its upper tail.

    Args:
      statistic: as in `null_mean`.
      value: values of the statistic on samples of size n, any shape.
      n: sample size.
      dim: as in `null_mean`.
      num_simulations: None uses the law where it is known. A number simulates that many samples, for any statistic.
      seed: of the simulated samples.

    Returns:
      p-values of the shape of `value`, NumPy float64, in [0, 1]. NaN where `value` is.

    Raises:
      ValueError: as in `null_mean`.

    References:
      Csörgő and Faraway, "The exact and asymptotic distributions of Cramér-von Mises statistics", JRSS B 1996.
      Marsaglia and Marsaglia, "Evaluating the Anderson-Darling distribution", J. Stat. Software 2004.
      Stephens, "Use of the Kolmogorov-Smirnov, Cramér-von Mises and related statistics without extensive tables",
      JRSS B 1970 (Watson's U²).
      Royston, "Remark AS R94", Applied Statistics 1995.
      Henze and Zirkler, Communications in Statistics 1990, section 2.
      Smirnov's formula for weighted sums of chi-squares, for both limit laws.
    """
    n = _at_least_one(n, "n")
    dim = None if dim is None else _at_least_one(dim, "dim")
    value = np.asarray(value, np.float64)
    seen = np.where(np.isnan(value), 0.0, value)
    function, options = _unbind(statistic)
    if num_simulations is None and dim is None and not options and _law_is_known(function, n):
        p = _SURVIVAL[function](seen, n)
    elif num_simulations is None and dim is not None and function in (bhep, henze_zirkler):
        own = _mathematical(options)
        if function is henze_zirkler:
            own["beta"] = multivariate_normality.optimal_beta(n, dim)
        p = _null_laws.log_normal(seen * n, *multivariate_normality.bhep_null(n, dim, **own))
    else:
        null = _simulate(statistic, n, dim, num_simulations, seed)
        p = (1 + len(null) - np.searchsorted(null, seen, side="left")) / (1 + len(null))
    return np.where(np.isnan(value), np.nan, p)


def cauchy_combination(p: jax.Array | np.ndarray, *, axis: int = -1) -> np.ndarray:
    r"""Combines dependent p-values into one: of the slices of one sample, say.

    The mean of tan(π (1/2 - p)) is close to a standard Cauchy variable in its upper tail however the p-values depend on
    one another, so that the result may be trusted where it is small (below 0.1, say); it is not uniform all over. A
    p-value of exactly 1 would outweigh all others: it is read as 1 - 0.01/k, with k the number of p-values.

    Args:
      p: p-values, in [0, 1].
      axis: the axis to combine.

    Returns:
      p-values without that axis, NumPy float64. NaN where any of the combined is.

    Raises:
      ValueError: a p-value outside [0, 1], or none to combine.

    References:
      Liu and Xie, "Cauchy combination test: a powerful test with analytic p-value calculation under arbitrary
      dependency structures", JASA 2020.
    """
    p = np.asarray(p, np.float64)
    if p.ndim == 0 or p.shape[axis] == 0:
        raise ValueError(f"p must hold at least one p-value along axis {axis}, got p.shape = {p.shape}.")
    if np.any((p < 0) | (p > 1)):
        raise ValueError(f"p must lie in [0, 1], got values from {np.nanmin(p)} to {np.nanmax(p)}.")
    angle = np.pi * np.minimum(p, 1 - 0.01 / p.shape[axis])
    with np.errstate(divide="ignore", over="ignore"):  # a p-value of 0, or next to it: the combined one is 0
        mean = np.mean(np.cos(angle) / np.sin(angle), axis=axis)
    return np.arctan2(1.0, mean) / np.pi


def _wasserstein_mean(n: int) -> float:
    return 2.0 - 2.0 * float(np.mean(_constants.bin_means(n) * _constants.expected_order_statistics(n)))


def _cramer_wold_mean(n: int, bandwidth: float | None = None) -> float:
    variance = (4 / (3 * n)) ** 0.4 if bandwidth is None else float(bandwidth)
    check_positive(bandwidth=variance)
    return ((4 * math.pi * variance) ** -0.5 - (4 * math.pi * (1 + variance)) ** -0.5) / n


def _epps_pulley_mean(n: int) -> float:
    return (1 - 3**-0.5) / n


@functools.lru_cache(maxsize=64)
def _kolmogorov_smirnov_mean(n: int) -> float:
    from scipy import stats

    return float(stats.kstwo.mean(n))


def _epps_pulley_quadrature_mean(n: int, num_nodes: int = 17, last_node: float = 3.0, weight=None) -> float:
    del n
    nodes, weights = quadrature.nodes_and_weights(num_nodes, last_node, weight)
    return float(np.sum(weights * -np.expm1(-nodes * nodes)))


def _likelihood_mean(n: int) -> float:
    from scipy import special

    order = np.arange(1, n + 1)
    counts = special.gammaln(n + 1) - special.gammaln(order) - special.gammaln(n - order + 1)
    # E log of the i-th smallest of n uniforms, twice by symmetry.
    logarithms = (order - 1) * (special.digamma(order) - special.digamma(n + 1))
    return float(np.mean(-counts - 2 * logarithms) + 0.5 * np.log(2 * np.pi) + 0.5)


def _mean_and_variance_mean(n: int) -> float:
    return math.inf if n <= 3 else (n - 1) / (n - 3) + 1


def _skewness_and_kurtosis_mean(n: int, share: float) -> float:
    """Of n/6 (S² + (K - 3)²/4), with variances of `share` times the divisor n."""
    skewness = 6 * (n - 2) / ((n + 1) * (n + 3)) * share**3
    kurtosis = 3 * (n - 1) / (n + 1) * share**2
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)) * share**4
    return n / 6 * (skewness + (variance + (kurtosis - 3) ** 2) / 4)


def _bhep_mean(n: int, dim: int, beta: float) -> float:
    return multivariate_normality.bhep_null(n, dim, beta=beta).mean / n


def _henze_zirkler_mean(n: int, dim: int) -> float:
    return _bhep_mean(n, dim, multivariate_normality.optimal_beta(n, dim))


def _henze_koch_mean(n: int, dim: int, beta: float = 10.0) -> float:
    # Pairs of different samples have the mean of the other terms; what is left is of each sample with itself.
    return math.inf if beta <= 2 else (beta - 2) ** (-dim / 2) - (beta - 1) ** (-dim / 2)


def _henze_visagie_mean(n: int, dim: int, gamma: float = 5.0) -> float:
    left = 1 - 2 / gamma
    return math.inf if gamma <= 2 else dim * left ** (-dim / 2) * ((1 - 1 / gamma) ** 2 / left + 1 / (2 * gamma))


def _combined_mean(n: int, dim: int, gamma: float = 1.0) -> float:
    return math.inf if gamma <= 0.5 else ((1 - 1j / gamma) ** (-dim / 2)).real / n**0.5 - n**-0.5


bhep, henze_zirkler = multivariate_normality.bhep, multivariate_normality.henze_zirkler

_MEANS: dict[Callable, Callable[..., float]] = {
    wasserstein: _wasserstein_mean,
    cramer_wold: _cramer_wold_mean,
    epps_pulley: _epps_pulley_mean,
    epps_pulley_quadrature: _epps_pulley_quadrature_mean,
    cramer_von_mises: lambda n: 1 / (6 * n),
    watson: lambda n: 1 / (12 * n),
    kolmogorov_smirnov: _kolmogorov_smirnov_mean,
    anderson_darling: lambda n: 1 / n,
    likelihood: _likelihood_mean,
    mean_and_variance: _mean_and_variance_mean,
    jarque_bera: lambda n: _skewness_and_kurtosis_mean(n, 1.0),
    extended_jarque_bera: lambda n: _mean_and_variance_mean(n) + _skewness_and_kurtosis_mean(n, (n - 1) / n),
}
_MEANS_OF_PAIRS: dict[Callable, Callable[..., float]] = {
    bhep: _bhep_mean,
    henze_zirkler: _henze_zirkler_mean,
    multivariate_normality.henze_koch: _henze_koch_mean,
    multivariate_normality.henze_visagie: _henze_visagie_mean,
    multivariate_normality.combined: _combined_mean,
}
_SURVIVAL: dict[Callable, Callable[[np.ndarray, int], np.ndarray]] = {
    kolmogorov_smirnov: _null_laws.kolmogorov_smirnov,
    cramer_von_mises: _null_laws.cramer_von_mises,
    watson: _null_laws.watson,
    anderson_darling: _null_laws.anderson_darling,
    shapiro_wilk: _null_laws.shapiro_wilk,
}
_KNOWN = {*_MEANS, *_SURVIVAL, shapiro_francia, normal_score_cosine, negentropy, moments}


def _law_is_known(function: Callable, n: int) -> bool:
    if function is shapiro_wilk:
        return 3 <= n <= 5000
    return function in _SURVIVAL and (
        function is kolmogorov_smirnov or (n == 1 and function is not watson) or n >= _SMALLEST_EXPANSION
    )


def _mathematical(options: tuple) -> dict:
    """The options that change the statistic, not how it is computed."""
    return {name: value for name, value in options if name != "block_size"}


def _unbind(statistic: Statistic) -> tuple[Callable, tuple]:
    """Returns a function and its bound keyword options, hashable; two equal partial objects give the same."""
    if not isinstance(statistic, functools.partial) or statistic.args:
        return statistic, ()
    options = {
        name: option.item() if hasattr(option, "item") else option
        for name, option in statistic.keywords.items()
        if name != "axis_name"  # where the samples are held, here on one device
    }
    return statistic.func, tuple(sorted(options.items()))


def _at_least_one(number: int, name: str) -> int:
    number = operator.index(number)
    if number < 1:
        raise ValueError(f"{name} must be >= 1, got {name} = {number}.")
    return number


def _simulate(statistic: Statistic, n: int, dim: int | None, num_simulations: int | None, seed: int) -> np.ndarray:
    function, options = _unbind(statistic)
    if num_simulations is None:
        if function not in (_KNOWN if dim is None else _MEANS_OF_PAIRS):
            known = ", ".join(sorted(known.__name__ for known in (_KNOWN if dim is None else _MEANS_OF_PAIRS)))
            raise ValueError(
                f"statistic must be one of the package's own functions ({known}), got {statistic!r}; for any other, "
                "give num_simulations to simulate its null law."
            )
        num_simulations = _NUM_SIMULATIONS if dim is None else _NUM_SIMULATIONS_OF_PAIRS
    shape = (n,) if dim is None else (n, dim)
    return _simulated_null(function, options, shape, _at_least_one(num_simulations, "num_simulations"), seed)


@functools.lru_cache(maxsize=64)
def _simulated_null(
    function: Callable, options: tuple, shape: tuple[int, ...], num_simulations: int, seed: int
) -> np.ndarray:
    """Returns the sorted values of a statistic on simulated samples of N(0, 1) or N(0, I)."""
    rows = min(num_simulations, max(1, 2**20 // math.prod(shape)))
    random = np.random.default_rng(seed)
    evaluate = jax.jit(functools.partial(function, **dict(options)))
    values: list[np.ndarray] = []
    # A constant of the loss may be asked for while that loss is being traced.
    with jax.ensure_compile_time_eval():
        for _ in range(-(-num_simulations // rows)):
            block = np.asarray(evaluate(jnp.asarray(random.standard_normal((rows, *shape), np.float32))))
            if block.shape != (rows,):
                raise ValueError(
                    f"statistic must map [..., n] to [...], or with dim [..., n, d], got shape {block.shape} for "
                    f"samples of shape {(rows, *shape)}."
                )
            values.append(block)
    null = np.sort(np.concatenate(values)[:num_simulations].astype(np.float64))
    null.setflags(write=False)
    return null
