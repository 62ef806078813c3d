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
from gentoolkit.distances.normality import _constants, _null_laws
from gentoolkit.distances.normality.characteristic import cramer_wold, epps_pulley
from gentoolkit.distances.normality.ecdf import anderson_darling, cramer_von_mises, kolmogorov_smirnov
from gentoolkit.distances.normality.order_statistics import shapiro_francia, wasserstein

Statistic = Callable[[jax.Array], jax.Array]

_NUM_SIMULATIONS = 20_000
_SMALLEST_EXPANSION = 5  # below, the expansions in 1/n of the null laws are off by up to 0.03 and simulation takes over


def null_mean(statistic: Statistic, n: int, *, num_simulations: int | None = None, seed: int = 0) -> float:
    r"""Mean of a statistic over samples of n independent draws of N(0, 1).

    A distance between n atoms and a continuous law is never zero; this is what it is on average when there is nothing
    to find. Subtract it to debias a loss (the result may be negative, so put no logarithm on it)::

        offset = normality.null_mean(normality.wasserstein, y.shape[-1])      # a host number, fine inside jit
        excess = normality.wasserstein(y) - offset

    Exact for every statistic of this package but one:

    - `wasserstein`: 2 - 2 mean(m_i E[Z_(i:n)]), bin means and expected order statistics in float64;
    - `cramer_wold`, whatever its bandwidth, and `epps_pulley`: the characteristic function of the sample misses that
      of N(0, 1) by (1 - exp(-t²))/n in mean square, integrated in closed form;
    - `cramer_von_mises`: 1/(6n); `anderson_darling`: 1/n; `kolmogorov_smirnov`: the mean of the exact law;
    - `shapiro_francia`: no formula is known for it; the mean of 20,000 seeded samples (relative error about 0.5 %),
      which take seconds at n = 10,000.

    Args:
      statistic: a function of this package, or one with its options bound by `functools.partial`; any other function
        `[..., n] → [...]` when `num_simulations` is given.
      n: sample size.
      num_simulations: None uses the formula where there is one. A number simulates that many samples instead, for any
        statistic; samples are drawn and the statistic jitted in float32, and the result is kept for the next call.
      seed: of the simulated samples.

    Returns:
      The mean, a Python float.

    Raises:
      ValueError: n < 1, num_simulations < 1, a function not known here without `num_simulations`, or one that does not
        return one value a sample.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (the distances; they give no null means).
    """
    n = _at_least_one(n, "n")
    if num_simulations is None:
        function, options = _unbind(statistic)
        if function in _MEANS:
            return float(_MEANS[function](n, **dict(options)))
    return float(np.mean(_simulate(statistic, n, num_simulations, seed)))


def p_value(
    statistic: Statistic,
    value: jax.Array | np.ndarray | float,
    n: int,
    *,
    num_simulations: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    r"""Probability that n independent draws of N(0, 1) give a statistic as large as the one seen.

    - `kolmogorov_smirnov`: the exact law (SciPy's `kstwo`).
    - `cramer_von_mises`: SciPy's expansion in 1/n, and the shape of the limit law where p < 1e-3;
      `anderson_darling`: the limit law with the correction of Marsaglia and Marsaglia. Both are exact for n = 1, and
      from n = 5 off by less than 0.002 in absolute terms, and by some 10 % of p at p = 1e-3, less as n grows. For n of
      2 to 4 they are simulated.
    - The others: simulated, (1 + #{null >= value}) / (1 + 20,000), so never below 5e-5; samples of up to
      n = 10,000 or so take seconds, once.

    Args:
      statistic: as in `null_mean`.
      value: values of the statistic on samples of size n, any shape.
      n: sample size.
      num_simulations: None uses the law where it is known. A number simulates that many samples, for any statistic.
      seed: of the simulated samples.

    Returns:
      p-values of the shape of `value`, NumPy float64, in [0, 1]. NaN where `value` is.

    Raises:
      ValueError: as in `null_mean`.

    References:
      Csörgő and Faraway, "The exact and asymptotic distributions of Cramér-von Mises statistics", JRSS B 1996.
      Marsaglia and Marsaglia, "Evaluating the Anderson-Darling distribution", J. Stat. Software 2004.
      Smirnov's formula for weighted sums of chi-squares, for both limit laws.
    """
    n = _at_least_one(n, "n")
    value = np.asarray(value, np.float64)
    seen = np.where(np.isnan(value), 0.0, value)
    function, options = _unbind(statistic)
    if num_simulations is None and not options and _law_is_known(function, n):
        p = _SURVIVAL[function](seen, n)
    else:
        null = _simulate(statistic, n, num_simulations, seed)
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


_MEANS: dict[Callable, Callable[..., float]] = {
    wasserstein: _wasserstein_mean,
    cramer_wold: _cramer_wold_mean,
    epps_pulley: _epps_pulley_mean,
    cramer_von_mises: lambda n: 1 / (6 * n),
    kolmogorov_smirnov: _kolmogorov_smirnov_mean,
    anderson_darling: lambda n: 1 / n,
}
_SURVIVAL: dict[Callable, Callable[[np.ndarray, int], np.ndarray]] = {
    kolmogorov_smirnov: _null_laws.kolmogorov_smirnov,
    cramer_von_mises: _null_laws.cramer_von_mises,
    anderson_darling: _null_laws.anderson_darling,
}
_KNOWN = {*_MEANS, *_SURVIVAL, shapiro_francia}


def _law_is_known(function: Callable, n: int) -> bool:
    return function in _SURVIVAL and (function is kolmogorov_smirnov or n == 1 or n >= _SMALLEST_EXPANSION)


def _unbind(statistic: Statistic) -> tuple[Callable, tuple]:
    """Returns a function and its bound keyword options, hashable; two equal partial objects give the same."""
    if not isinstance(statistic, functools.partial) or statistic.args:
        return statistic, ()
    options = {
        name: option.item() if hasattr(option, "item") else option for name, option in statistic.keywords.items()
    }
    return statistic.func, tuple(sorted(options.items()))


def _at_least_one(number: int, name: str) -> int:
    number = operator.index(number)
    if number < 1:
        raise ValueError(f"{name} must be >= 1, got {name} = {number}.")
    return number


def _simulate(statistic: Statistic, n: int, num_simulations: int | None, seed: int) -> np.ndarray:
    function, options = _unbind(statistic)
    if num_simulations is None:
        if function not in _KNOWN:
            known = ", ".join(sorted(known.__name__ for known in _KNOWN))
            raise ValueError(
                f"statistic must be one of normality's own functions ({known}), got {statistic!r}; for any other, give "
                "num_simulations to simulate its null law."
            )
        num_simulations = _NUM_SIMULATIONS
    return _simulated_null(function, options, n, _at_least_one(num_simulations, "num_simulations"), seed)


@functools.lru_cache(maxsize=64)
def _simulated_null(function: Callable, options: tuple, n: int, num_simulations: int, seed: int) -> np.ndarray:
    """Returns the sorted values of a statistic on simulated samples of N(0, 1)."""
    rows = min(num_simulations, max(1, 2**20 // n))
    random = np.random.default_rng(seed)
    evaluate = jax.jit(functools.partial(function, **dict(options)))
    values: list[np.ndarray] = []
    # A constant of the loss may be asked for while that loss is being traced.
    with jax.ensure_compile_time_eval():
        for _ in range(-(-num_simulations // rows)):
            block = np.asarray(evaluate(jnp.asarray(random.standard_normal((rows, n), np.float32))))
            if block.shape != (rows,):
                raise ValueError(
                    f"statistic must map [..., n] to [...], got shape {block.shape} for samples of shape {(rows, n)}."
                )
            values.append(block)
    null = np.sort(np.concatenate(values)[:num_simulations].astype(np.float64))
    null.setflags(write=False)
    return null
