"""Distances of a 1-D sample from N(0, 1) that compare its distribution function with the normal one.

All compare z_i = Phi(y_(i)) with p_i = (i - 1/2)/n: Cramér-von Mises is the mean of (z_i - p_i)², Watson's the variance
of z_i - p_i, Kolmogorov-Smirnov the largest |z_i - p_i|, and Anderson-Darling twice the mean divergence of
Bernoulli(p_i) from Bernoulli(z_i), each plus a constant. In these forms nothing cancels, and the least value of each is
visible. The likelihood asks instead how probable each y_(i) is as the i-th of n.
"""

import jax
import jax.numpy as jnp

from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import sorting
from gentoolkit.distances._numerics import maximum_along_last, minus_log1p
from gentoolkit.distances.normality import _constants, tails


def cramer_von_mises(y: jax.Array) -> jax.Array:
    r"""Cramér-von Mises distance between a sample and N(0, 1) (the loss of SCvMAE).

        d = ∫ (F_n - Phi)² dPhi = mean_i r_i² + 1/(12 n²),    r_i = Phi(y_(i)) - (i - 1/2)/n.

    This is SciPy's `cramervonmises` statistic over n. It is also the squared 2-Wasserstein distance between Phi(y) and
    the uniform law. The gradient with respect to y_(i) is (2/n) r_i phi(y_(i)): a value far out is hardly pulled in
    (phi(6) = 6e-9), whatever the loss.

    Two misprints of the paper are corrected: the linear term of the last line of eq. (4) has a minus sign,
    `mean(z²) - (1/n²) Σ (2i - 1) z_(i) + 1/3`, and the ordered values are z = Phi(y), the normal cdf P_0, not the
    uniform cdf P_1.

    Infinite entries are values like any others: Phi is 0 or 1 there, and their gradient is zero. NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Values `[...]` in `[1/(12 n²), 1/3]`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", eq. (4).
    """
    residual = _residuals(y)
    n = residual.shape[-1]
    return jnp.mean(residual * residual, axis=-1) + 1 / (12 * n * n)


def kolmogorov_smirnov(y: jax.Array) -> jax.Array:
    r"""Two-sided Kolmogorov-Smirnov distance between a sample and N(0, 1) (the loss of SKSAE).

        d = sup |F_n - Phi| = max_i |r_i| + 1/(2n),    r_i = Phi(y_(i)) - (i - 1/2)/n.

    This is SciPy's `kstest` statistic. The paper prints the one-sided max_i |i/n - Phi(y_(i))|, which falls short by up
    to 1/n and has its least value at 0; the two-sided supremum is meant.

    One value of the sample gets a gradient, sign(r) phi(y) at the largest |r|. Where several are the largest, each gets
    an equal share of its own (a subgradient); where the largest is 0, the gradient is zero. Infinite entries are values
    like any others: Phi is 0 or 1 there, and their gradient is zero. NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Values `[...]` in `[1/(2n), 1]`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", the Kolmogorov-Smirnov distance.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import normality
      >>> float(normality.kolmogorov_smirnov(jnp.zeros(5)))
      0.5
    """
    residual = _residuals(y)
    n = residual.shape[-1]
    # sign(0) = 0 makes 0 the derivative at 0; that of abs is 1.
    size = residual * jax.lax.stop_gradient(jnp.sign(residual))
    return maximum_along_last(size) + 1 / (2 * n)


def anderson_darling(y: jax.Array) -> jax.Array:
    r"""Anderson-Darling distance between a sample and N(0, 1): Cramér-von Mises with weight on the tails.

        d = ∫ (F_n - Phi)² / (Phi (1 - Phi)) dPhi = A²/n,

    with A² the classical statistic of the fully specified N(0, 1) (`scipy.stats.goodness_of_fit` with
    `statistic="ad"` and `known_params` loc 0 and scale 1; `scipy.stats.anderson` fits both and is another statistic).
    With p_i = (i - 1/2)/n it is

        d = 2 mean_i KL(Bernoulli(p_i) || Bernoulli(Phi(y_(i)))) + A_n,    A_n = 2 mean_i H(p_i) - 1,

    H the binary entropy: terms that are never negative, and a constant that is the least value there is. The usual sum
    of logarithms is a difference of numbers near one. Far out the gradient grows like y (that of Cramér-von Mises
    vanishes), so that outliers are pulled in.

    An infinite entry gives `inf`, and an infinite gradient at that entry alone. NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Values `[...]` in `[A_n, inf)`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Anderson and Darling, "Asymptotic theory of certain goodness of fit criteria based on stochastic processes", 1952.
    """
    ordered, lower, upper = _ordered_with_positions(y)
    divergence = _bernoulli_divergence(ordered, lower, upper)
    return 2 * jnp.mean(divergence, axis=-1) + _constants.anderson_darling_floor(ordered.shape[-1])


def watson(y: jax.Array) -> jax.Array:
    r"""Watson's distance between a sample and N(0, 1): Cramér-von Mises less what a turn of the circle explains.

        d = U²/n = mean_i (r_i - r̄)² + 1/(12 n²),    r_i = Phi(y_(i)) - (i - 1/2)/n,

    the Cramér-von Mises distance of the best rotation of Phi(y) around the circle of length one. It does not see a
    common shift of all Phi(y_i), only part of a shift of y, therefore; and far out its gradient vanishes.

    `Watson` of lejepa is this less 1/(12 n²). Infinite entries are values like any others, and their gradient is zero.
    NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Values `[...]` in `[1/(12 n²), 1/3)`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Watson, "Goodness-of-fit tests on a circle", Biometrika 1961.
    """
    residual = _residuals(y)
    n = residual.shape[-1]
    residual = residual - jnp.mean(residual, axis=-1, keepdims=True)
    return jnp.mean(residual * residual, axis=-1) + 1 / (12 * n * n)


def likelihood(y: jax.Array) -> jax.Array:
    r"""Mean negative log-likelihood of the ordered sample, each value as the order statistic that it is.

        - mean_i log f_i(y_(i)),    f_i = n!/((i - 1)! (n - i)!) Phi^(i-1) (1 - Phi)^(n-i) φ,

    the density of the i-th smallest of n draws of N(0, 1). It is no distance (its least value is negative, and lower
    the larger n is; `null_mean` says what a normal sample gives), and it is not the likelihood of the sample, which
    does not see the order. Far out the gradient grows like n y.

    `NLL` of lejepa is one value an entry, of which this is the mean; what it does for `alpha < 0.5` (NaN for the middle
    of each density) and for a given `k` is not here.

    An infinite entry gives `inf`, and an infinite gradient at that entry alone. NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Values `[...]` in nats, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Balestriero and LeCun, arXiv:2511.08544 (the class `NLL` of its library).
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    n = y.shape[-1]
    ordered = sorting.sort(y)
    surprise = 0.5 * ordered * ordered
    if n > 1:
        # -(i - 1) log Phi - (n - i) log(1 - Phi) is n - 1 times the entropy of Bernoulli(p), p = (i - 1)/(n - 1), and
        # its divergence from Bernoulli(Phi): the entropies are a constant, and what is left is small.
        lower, upper = (_constants.along_last(each, y) for each in _constants.ranks_between_zero_and_one(n))
        inner = _bernoulli_divergence(ordered, jnp.where(lower > 0, lower, 0.5), jnp.where(upper > 0, upper, 0.5))
        divergence = jnp.where(lower == 0, -_log_cdf(-ordered), jnp.where(upper == 0, -_log_cdf(ordered), inner))
        surprise = surprise + (n - 1) * divergence
    return jnp.mean(surprise, axis=-1) + _constants.likelihood_constant(n)


def _ordered_with_positions(y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    lower, upper = _constants.plotting_positions(y.shape[-1])
    return sorting.sort(y), _constants.along_last(lower, y), _constants.along_last(upper, y)


def _residuals(y: jax.Array) -> jax.Array:
    """Returns Phi(y_(i)) - (i - 1/2)/n, as a difference of tails: left ones below zero, right ones above."""
    ordered, lower, upper = _ordered_with_positions(y)
    return _signed_tail(ordered) + jnp.where(ordered < 0, -lower, upper)


@jax.custom_jvp
def _signed_tail(y: jax.Array) -> jax.Array:
    """Returns Phi(y) below zero and Phi(y) - 1 above: the cdf less its limit on that side."""
    tail = tails.tail(jnp.abs(y))
    return jnp.where(y < 0, tail, -tail)


@_signed_tail.defjvp
def _signed_tail_jvp(primals, tangents):
    # Own derivative: the density on either side and at zero, where that of |y| jumps; and one exponential, not three.
    (y,), (y_dot,) = primals, tangents
    return _signed_tail(y), tails.density(y) * y_dot


@jax.custom_jvp
def _bernoulli_divergence(y: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    """Returns KL(Bernoulli(lower) || Bernoulli(Phi(y))), where lower + upper = 1."""
    z = jnp.abs(y)
    tail = tails.tail(z)
    near, far = jnp.where(y < 0, lower, upper), jnp.where(y < 0, upper, lower)  # masses on the side of y, and beyond 0
    # a log(a/t) + b log(b/(1 - t)) with a + b = 1 is a g(t/a - 1) + b g((1 - t)/b - 1), g(x) = x - log(1 + x) >= 0.
    x = (tail - near) / near
    near_excess = jnp.where(x < -0.5, x + jnp.log(near) - tails.log_tail(z), minus_log1p(jnp.maximum(x, -0.5)))
    return near * near_excess + far * minus_log1p((near - tail) / far)


@_bernoulli_divergence.defjvp
def _bernoulli_divergence_jvp(primals, tangents):
    # Own derivative: (Phi - p) phi / (Phi (1 - Phi)) with the ratio phi/tail as one function. Autodiff would divide
    # underflowed numbers beyond |y| = 13. The positions are constants, and their tangents zero.
    y, lower, upper = primals
    y_dot = tangents[0]
    z = jnp.abs(y)
    tail = tails.tail(z)
    residual = jnp.where(y < 0, tail - lower, upper - tail)
    slope = residual * tails.hazard(z) / (1 - tail)
    return _bernoulli_divergence(y, lower, upper), slope * y_dot


@jax.custom_jvp
def _log_cdf(y: jax.Array) -> jax.Array:
    """Returns log Phi(y)."""
    tail = tails.tail(jnp.abs(y))
    return jnp.where(y < 0, tails.log_tail(jnp.abs(y)), jnp.log1p(-tail))


@_log_cdf.defjvp
def _log_cdf_jvp(primals, tangents):
    # Own derivative: the hazard as one function below zero, where autodiff would divide underflowed numbers.
    (y,), (y_dot,) = primals, tangents
    z = jnp.abs(y)
    slope = jnp.where(y < 0, tails.hazard(z), tails.density(z) / (1 - tails.tail(z)))
    return _log_cdf(y), slope * y_dot
