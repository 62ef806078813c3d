"""Normality by entropy: among all laws of one variance the normal one has the largest, estimated here from spacings."""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_positive, check_univariate
from gentoolkit.distances import sorting
from gentoolkit.distances._numerics import maximum_along_last

Ends = Literal["vasicek", "wide", "right"]


def negentropy(
    y: jax.Array, *, window: int = 1, ends: Ends = "vasicek", least_spacing: float | None = None
) -> jax.Array:
    r"""Entropy that a sample lacks beside a normal law of its variance, by Vasicek's spacings, in nats.

        log(s sqrt(2 π e)) - H,    H = mean_i log(n/(2 m) (y_(i+m) - y_(i-m))),   m the window.

    Whatever the mean and the scale; near 0 for a normal sample only as m and n/m grow: spacings are biased, by 0.27 and
    more with m = 1, so look at it beside `null_mean`. Its gradient is unlike that of the other tests: it pushes near
    neighbours apart, the more the nearer they are, up to 1/`least_spacing`.

    Three forms, by what becomes of the spacings that end outside of the sample:

    - "vasicek": y_(1) and y_(n) stand for what is beyond (Vasicek's K_mn is sqrt(2 π e) exp(-value); scipy's
      `differential_entropy(method="vasicek")`), s with divisor n;
    - "wide": all n - 2m whole ones and the 2m spacings from each end, y_(1+i) - y_(1) and y_(n) - y_(n-i), over n;
      s with divisor n - 1. `Entropy` of lejepa is exp of this;
    - "right": y_(i+m) - y_(i), n - m of them over n, with m for 2m; s with divisor n - 1: `Entropy(method="right")` of
      lejepa, value for value.

    Args:
      y: samples `[..., n]`. Float64 samples on the host lose their median before they become float32.
      window: static, m >= 1, below n/2 (below n for "right").
      ends: static.
      least_spacing: static, > 0: smaller spacings count as this much and have no gradient; None for 1e-5, which is
        lejepa's, meant for samples whose unit is that of N(0, 1).

    Returns:
      Values `[...]`, float32 or wider. A constant sample has no law to compare with: its standard deviation counts as
      `least_spacing` too, so that the value is finite and the gradient zero. NaN and infinite entries give NaN.

    Raises:
      ValueError: y is not `[..., n]`, a window that n is too small for, unknown ends, or a spacing that is not > 0.
      TypeError: y is not real.

    References:
      Vasicek, "A test for normality based on sample entropy", JRSS B 1976.
      Balestriero and LeCun, arXiv:2511.08544 (the class `Entropy` of its library).
    """
    check_univariate(y=y)
    (y,) = as_floating(y=_scale.center_on_host(y, axes=-1)[0])
    n = y.shape[-1]
    if ends not in get_args(Ends):
        raise ValueError(f"ends must be one of {get_args(Ends)}, got ends = {ends!r}.")
    reach = window if ends == "right" else 2 * window
    if window < 1 or reach >= n:
        bound = "n" if ends == "right" else "n/2"
        raise ValueError(f"window must be >= 1 and below {bound}, got window = {window} for y.shape = {y.shape}.")
    least = 1e-5 if least_spacing is None else least_spacing
    check_positive(least_spacing=least)
    ordered = sorting.sort(y)
    first, last = ordered[..., :1], ordered[..., -1:]
    whole = ordered[..., reach:] - ordered[..., : n - reach]
    outer = []
    if ends == "vasicek":
        outer = [ordered[..., window:reach] - first, last - ordered[..., n - reach : n - window]]
    elif ends == "wide":
        outer = [ordered[..., 1 : 1 + reach] - first, last - ordered[..., n - 1 - reach : n - 1]]
    spacing = jnp.concatenate([whole, *outer], axis=-1)
    logarithms = jnp.log(jnp.where(spacing > least, spacing, least))
    deviation = y - jnp.mean(y, axis=-1, keepdims=True)
    variance = jnp.sum(deviation * deviation, axis=-1) / (n if ends == "vasicek" else n - 1)
    variance = jnp.where(variance > least**2, variance, least**2)
    value = 0.5 * jnp.log(variance) - jnp.sum(logarithms, axis=-1) / n
    value = value + (0.5 * math.log(2 * math.pi * math.e) - math.log(n / reach))
    size = maximum_along_last(jnp.abs(jax.lax.stop_gradient(y)))
    return jnp.where(jnp.isfinite(size), value, jnp.nan)
