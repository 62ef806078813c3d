"""Distances of a 1-D sample from N(0, 1) that compare the ordered sample with a fixed vector."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_univariate
from gentoolkit.distances import sorting
from gentoolkit.distances._numerics import maximum_along_last
from gentoolkit.distances.normality import _constants
from gentoolkit.distances.normality._constants import Positions


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
    return _straightness(y, _constants.expected_order_statistics)


def shapiro_wilk(y: jax.Array) -> jax.Array:
    r"""One minus the Shapiro-Wilk statistic W: departure from normality, whatever the mean and scale.

    W is the squared correlation of the ordered sample with Royston's weights, which stand for the best linear estimate
    of the scale; the value is 1 - W of `scipy.stats.shapiro`, computed as a ratio of residuals as in `shapiro_francia`,
    from which it differs by the weights alone. It is no distance to N(0, 1): combine it with a penalty on mean and
    variance, or take `normal_score_cosine`, which knows the mean.

    Args:
      y: samples `[..., n]`, in any unit. Float64 samples on the host lose their median before they become float32.

    Returns:
      Values `[...]` in `[0, 1]`, float32 or wider; constant samples, infinities and NaN as in `shapiro_francia`. With
      n <= 2 every sample is straight: 0, but for constant ones.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1.
      TypeError: y is not real.

    References:
      Shapiro and Wilk, "An analysis of variance test for normality (complete samples)", Biometrika 1965.
      Royston, "Remark AS R94: A remark on algorithm AS 181: the W-test for normality", Applied Statistics 1995.
    """
    return _straightness(y, _constants.royston_weights)


def normal_score_cosine(
    y: jax.Array, *, positions: Positions = "elfving", weights: Literal["francia", "rahman"] = "francia"
) -> jax.Array:
    r"""One minus the cosine of the angle between the ordered sample and normal scores: any scale, but mean 0.

        1 - |Σ a_i y_(i)| / (|a| |y|),    a from m_i = Phi⁻¹(p_i),

    `ShapiroWilk` of lejepa with its options, by their names there. Unlike W it is not squared and takes no mean off, so
    that a shifted sample is far from normal and a constant one at 1.

    Args:
      y: samples `[..., n]`, in any unit.
      positions: static, the probabilities p_i: "elfving", (i - π/8)/(n + 1/4); "blom", (i - 3/8)/(n + 1/4); "rahman",
        i/(n + 1).
      weights: static: "francia", a_i = m_i; "rahman", m times the inverse covariance of the order statistics for large
        n, 2 φ_i² m_i - φ_i φ_(i+1) m_(i+1) - φ_i φ_(i-1) m_(i-1), which gives the tails less.

    Returns:
      Values `[...]` in `[0, 1]`, float32 or wider. A sample of zeros gives 1 with gradient zero. An infinite entry or
      NaN gives NaN.

    Raises:
      ValueError: y is not `[..., n]` with n >= 1, or an unknown option.
      TypeError: y is not real.

    References:
      Elfving, "The asymptotical distribution of range in samples from a normal population", Biometrika 1947.
      Blom, "Statistical estimates and transformed beta-variables", 1958.
      Rahman and Govindarajulu, "A modification of the test of Shapiro and Wilk for normality", J. Appl. Stat. 1997.
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    n = y.shape[-1]
    scores = _constants.normal_scores(n, positions, weights)
    ordered = sorting.sort(y)
    scale = jax.lax.stop_gradient(maximum_along_last(jnp.abs(ordered))[..., None])
    zero = scale <= 16 * float(jnp.finfo(y.dtype).tiny)
    scaled = ordered / jnp.where(zero, 1, scale)
    zero = jnp.squeeze(zero, axis=-1)
    total = jnp.where(zero, 1, jnp.sum(scaled * scaled, axis=-1))
    inner = jnp.einsum("...n,n->...", scaled, jnp.asarray(scores, y.dtype), precision=jax.lax.Precision.HIGHEST)
    # 1 - |c| = (1 - c²)/(1 + |c|), and 1 - c² a ratio of residuals, so that it keeps its digits near 0. Residuals about
    # the fitted line, whose slope needs no derivative, being the best one.
    slope = jax.lax.stop_gradient(jnp.expand_dims(inner, -1))
    residual = scaled - slope * _constants.along_last(scores, y)
    ratio = jnp.sum(residual * residual, axis=-1) / total
    cosine = inner * jax.lax.stop_gradient(jnp.sign(inner)) / jnp.sqrt(total)
    return jnp.where(zero, 1, ratio / (1 + cosine))


def _straightness(y: jax.Array, weights: Callable[[int], np.ndarray]) -> jax.Array:
    """One minus the squared correlation of the ordered sample with antisymmetric weights."""
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

    expected = weights(n)
    unit = jnp.asarray(expected / max(float(np.linalg.norm(expected)), 1e-300), y.dtype)
    # Not `z - u * sum(u * z)`: the CPU backend of jaxlib 0.10.2 fuses that into one YNN kernel, which is wrong from
    # element 32,768 on (see jax-ml/jax#39103).
    slope = jnp.einsum("...n,n->...", centred, unit, precision=jax.lax.Precision.HIGHEST)
    residual = centred - jnp.expand_dims(slope, -1) * _constants.along_last(unit, y)
    constant = jnp.squeeze(constant, axis=-1)
    total = jnp.sum(centred * centred, axis=-1)
    ratio = jnp.sum(residual * residual, axis=-1) / jnp.where(constant, 1, total)
    return jnp.where(constant, 1, ratio)
