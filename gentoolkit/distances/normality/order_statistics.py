"""Distances of a 1-D sample from N(0, 1) that compare the ordered sample with a fixed vector."""

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import sorting
from gentoolkit.distances._numerics import maximum_along_last
from gentoolkit.distances.normality import _constants


def wasserstein(y: jax.Array) -> jax.Array:
    r"""Squared 2-Wasserstein distance between a sample and N(0, 1), in closed form (the loss of SCFWAE).

    The mass at the i-th smallest value is carried to the i-th of the n bins of N(0, 1) that hold probability 1/n each.
    With m_i the mean of that bin,

        d = mean_i (y_(i) - m_i)² + C_n,    C_n = 1 - mean(m_i²),

    which is the paper's `1 + mean(y²) - 2/n Σ m_i y_(i)` in a form that keeps float32 accuracy. `C_n` is the least
    value there is: n atoms cannot be a normal law. It is 1 at n = 1 and about 0.15/n at n = 1000. The gradient with
    respect to y_(i) is (2/n)(y_(i) - m_i).

    An infinite entry gives `inf`, and an infinite gradient at that entry alone. NaN gives NaN.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law.

    Returns:
      Squared distances `[...]`, in `[C_n, inf)`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models": the closed-form sliced Wasserstein distance
      (their derivation holds as printed).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import normality
      >>> float(normality.wasserstein(jnp.zeros(5)))  # a point at 0: all of the variance 1 is missing
      1.0
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    n = y.shape[-1]
    residual = sorting.sort(y) - _constants.along_last(_constants.bin_means(n), y)
    return jnp.sum(residual * (residual * (1 / n)), axis=-1) + _constants.transport_floor(n)


def shapiro_francia(y: jax.Array) -> jax.Array:
    r"""One minus the Shapiro-Francia statistic W': departure from normality, whatever the mean and scale.

    W' is the squared correlation of the ordered sample with the expected order statistics m_i = E[Z_(i:n)] of N(0, 1)
    (exact ones, not Blom's approximation). The value here is

        1 - W' = min_{a, b} Σ (y_(i) - a - b m_i)² / Σ (y_i - ȳ)²,

    computed as that ratio of residuals, not as a difference from one, which would lose all digits near normality.
    It is zero for a sample on a straight normal plot, does not change under y → a + s y, and is no distance to N(0, 1):
    combine it with a penalty on mean and variance.

    A constant sample (and so every sample with n = 1) has no scale. The statistic has no limit there; the value is set
    to 1, the worst, with gradient zero. A spread below 2e-37 (float32) counts as constant. An infinite entry or NaN
    gives NaN.

    Args:
      y: samples `[..., n]`, in any unit. Float64 samples on the host lose their median before they become float32.

    Returns:
      Values `[...]` in `[0, 1]`, float32 or wider.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Shapiro and Francia, "An approximate analysis of variance test for normality", JASA 1972.
    """
    check_univariate(y=y)
    (y,) = as_floating(y=_scale.center_on_host(y, axes=-1)[0])
    n = y.shape[-1]
    ordered = sorting.sort(y)

    # The statistic does not depend on location and scale, so that neither constant below needs a derivative. The shift
    # makes a constant sample exactly zero; the scale keeps every square within range.
    middle = jax.lax.stop_gradient(jax.lax.slice_in_dim(ordered, (n - 1) // 2, (n - 1) // 2 + 1, axis=-1))
    shifted = ordered - middle
    scale = jax.lax.stop_gradient(maximum_along_last(jnp.abs(shifted))[..., None])
    constant = scale <= 16 * float(jnp.finfo(y.dtype).tiny)
    scaled = shifted / jnp.where(constant, 1, scale)
    centred = scaled - jnp.mean(scaled, axis=-1, keepdims=True)

    expected = _constants.expected_order_statistics(n)
    unit = jnp.asarray(expected / max(float(np.linalg.norm(expected)), 1e-300), y.dtype)
    # Not `z - u * sum(u * z)`: the CPU backend of jaxlib 0.10.2 fuses that into one YNN kernel, which is wrong from
    # element 32,768 on (see jax-ml/jax#39103).
    slope = jnp.einsum("...n,n->...", centred, unit, precision=jax.lax.Precision.HIGHEST)
    residual = centred - jnp.expand_dims(slope, -1) * _constants.along_last(unit, y)
    constant = jnp.squeeze(constant, axis=-1)
    total = jnp.sum(centred * centred, axis=-1)
    ratio = jnp.sum(residual * residual, axis=-1) / jnp.where(constant, 1, total)
    return jnp.where(constant, 1, ratio)
