r"""Normality by moments: mean and variance, skewness and kurtosis, and plain power means.

Nothing but means of powers is taken of the sample, so that devices that hold parts of it exchange a few numbers a slice
(`axis_name`). None of these tells every law from the normal one: they are zero for any law of the same few moments.
"""

import functools
import math

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances.normality import _sums
from gentoolkit.distances.normality._sums import AxisName


def mean_and_variance(y: jax.Array, *, axis_name: AxisName | None = None) -> jax.Array:
    r"""Tests of mean 0 and variance 1 added up: t² of Student and the standardised square of the sample variance.

        n m² / v + (n - 1)/2 (v - 1)²,    m the mean, v the variance with divisor n - 1.

    `VCReg` of lejepa. Near the null each term is close to a chi-square of one degree of freedom. The first divides by
    the sample's own variance: where that tends to 0 the value grows without end and so does the gradient, which pulls
    a collapsed slice apart only as far as its mean is off 0; the second is (n - 1)/2 at a point with slope n - 1.

    Args:
      y: samples `[..., n]`, n >= 2.
      axis_name: static, inside `jax.shard_map` only: the mesh axis (or axes) over which the samples are spread along n,
        equally; two numbers a row are exchanged, one more for the gradient.

    Returns:
      Values `[...]`, >= 0, float32 or wider. NaN and infinite entries give NaN. A variance below rounding (that of
      entries of the size of the mean and of 1) is taken as that, so that a constant sample has a finite value.

    Raises:
      ValueError: y is not `[..., n]` with n >= 2.
      TypeError: y is not real.

    References:
      Balestriero and LeCun, "LeJEPA: provable and scalable self-supervised learning without the heuristics",
      arXiv:2511.08544 (the class `VCReg` of its library).
    """
    (y,) = _checked(y, axis_name)
    n = _sums.size(y, axis_name)
    mean, deviation = _sums.centered(y, axis_name)
    return _mean_and_variance(n, mean, deviation, axis_name)


def jarque_bera(y: jax.Array, *, axis_name: AxisName | None = None) -> jax.Array:
    r"""Jarque-Bera statistic: skewness and kurtosis, whatever the mean and scale.

        n/6 (S² + (K - 3)²/4),    S = m_3 / m_2^(3/2),  K = m_4 / m_2²,

    with central moments of divisor n. It is `scipy.stats.jarque_bera`. It tends to a chi-square of two degrees of
    freedom so slowly that `p_value` simulates.

    Args:
      y: samples `[..., n]`, in any unit, n >= 2. Float64 samples on the host lose their median before they become
        float32.
      axis_name: static, as in `mean_and_variance`; five numbers a row are exchanged, one more for the gradient.

    Returns:
      Values `[...]`, >= 0, float32 or wider. NaN and infinite entries give NaN. A constant sample has no skewness and
      no kurtosis: both are taken as 0, which gives 3 n / 8, and no gradient.

    Raises:
      ValueError: y is not `[..., n]` with n >= 2.
      TypeError: y is not real.

    References:
      Jarque and Bera, "A test for normality of observations and regression residuals", 1987.
    """
    (y,) = _checked(_scale.center_on_host(y, axes=-1)[0], axis_name)
    n = _sums.size(y, axis_name)
    return _skewness_and_kurtosis(n, *_sums.centered(y, axis_name), axis_name, divisor=n)


def extended_jarque_bera(y: jax.Array, *, axis_name: AxisName | None = None) -> jax.Array:
    r"""Jarque-Bera with mean and variance: the first four moments of N(0, 1).

    `mean_and_variance` plus n/6 (S² + (K - 3)²/4), where S and K are standardised by the variance with divisor n - 1,
    as in `ExtendedJarqueBera` of lejepa (`jarque_bera` takes n).

    Args:
      y: samples `[..., n]`, n >= 2.
      axis_name: static, as in `mean_and_variance`; six numbers a row are exchanged, one more for the gradient.

    Returns:
      Values `[...]`, >= 0, float32 or wider; constant samples, NaN and infinities as in `mean_and_variance` and
      `jarque_bera`.

    Raises:
      ValueError: y is not `[..., n]` with n >= 2.
      TypeError: y is not real.

    References:
      Jarque and Bera, "A test for normality of observations and regression residuals", 1987.
      Balestriero and LeCun, arXiv:2511.08544 (the class `ExtendedJarqueBera` of its library).
    """
    (y,) = _checked(y, axis_name)
    n = _sums.size(y, axis_name)
    mean, deviation = _sums.centered(y, axis_name)
    shape = _skewness_and_kurtosis(n, mean, deviation, axis_name, divisor=n - 1)
    return _mean_and_variance(n, mean, deviation, axis_name) + shape


def moments(y: jax.Array, *, num_moments: int = 4, axis_name: AxisName | None = None) -> jax.Array:
    r"""Weighted absolute errors of the power means: |mean y| + Σ_k exp(-k) |mean y^k - E Z^k|, k = 2 … num_moments.

    E Z^k is that of N(0, 1): 0 for odd k, (k - 1)!! for even ones. `Moments` of lejepa on one device (on several it
    divides by their number, which is left out here).

    Args:
      y: samples `[..., n]`.
      num_moments: static, >= 1.
      axis_name: static, as in `mean_and_variance`; `num_moments` numbers a row are exchanged.

    Returns:
      Values `[...]`, >= 0, float32 or wider. NaN gives NaN, an infinity infinity or NaN. At an error of exactly 0 the
      derivative of its absolute value is taken as 0.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1, or `num_moments` < 1.
      TypeError: y is not real.

    References:
      Balestriero and LeCun, arXiv:2511.08544, section on moments (the class `Moments` of its library).
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    if num_moments < 1:
        raise ValueError(f"num_moments must be >= 1, got num_moments = {num_moments}.")
    errors, power = [], jnp.ones_like(y)
    for k in range(1, num_moments + 1):
        power = power * y
        expected = float(math.prod(range(k - 1, 0, -2))) if k % 2 == 0 else 0.0
        # Subtracted entry by entry, so that what is summed is small where the sample is normal.
        errors.append(jnp.mean(power - expected, axis=-1))
    if axis_name is not None:
        errors = jax.lax.pmean(errors, axis_name)
    weights = [1.0, *(math.exp(-k) for k in range(2, num_moments + 1))]
    # sign(0) = 0 makes 0 the derivative at 0; that of abs is 1.
    sizes = [error * jax.lax.stop_gradient(jnp.sign(error)) for error in errors]
    return functools.reduce(jnp.add, [weight * size for weight, size in zip(weights, sizes, strict=True)])


def _checked(y: jax.Array, axis_name: AxisName | None) -> list[jax.Array]:
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    if _sums.size(y, axis_name) < 2:
        raise ValueError(f"y must hold at least two samples a row, for a variance; got y.shape = {y.shape}.")
    return [y]


def _mean_and_variance(n: int, mean: jax.Array, deviation: jax.Array, axis_name: AxisName | None) -> jax.Array:
    (square,) = _sums.power_means(deviation, (2,), axis_name)
    variance = square * (n / (n - 1))
    least = (4 * float(jnp.finfo(mean.dtype).eps)) ** 2
    own = jnp.maximum(variance, least * (1 + jax.lax.stop_gradient(mean * mean)))
    return n * mean * (mean / own) + (n - 1) / 2 * (variance - 1) ** 2


def _skewness_and_kurtosis(
    n: int, mean: jax.Array, deviation: jax.Array, axis_name: AxisName | None, *, divisor: int
) -> jax.Array:
    # Neither depends on the unit, so that it needs no derivative.
    unit = _sums.unit(deviation, axis_name)
    fixed = jnp.abs(jax.lax.stop_gradient(mean))
    constant = (unit[..., 0] <= 8 * float(jnp.finfo(mean.dtype).eps) * fixed) & jnp.isfinite(fixed)
    square, third, fourth = _sums.power_means(deviation / unit, (2, 3, 4), axis_name)
    constant = constant | (jax.lax.stop_gradient(square) == 0)
    variance = jnp.where(constant, 1, square * (n / divisor))
    third, fourth = (jnp.where(constant, 0, each) for each in (third, fourth))
    skewness_squared = third * third / (variance * variance * variance)
    kurtosis = fourth / (variance * variance)
    return n / 6 * (skewness_squared + (kurtosis - 3) ** 2 / 4)
