"""Entropy of one-dimensional samples, in nats: by spacings, which is a loss too, and by a histogram.

Error on samples of N(0, 1), bias and (standard deviation), beside the standard deviation of the maximum likelihood
estimate that knows the law to be normal; 400 seeds, 100 at the last n:

|      n | spacing, default | histogram, default | normal law known |
|--------|------------------|--------------------|------------------|
|     50 | -.0180 (.1090)   | -.0668 (.1099)     | (.0998)          |
|    500 | +.0070 (.0316)   | -.0023 (.0316)     | (.0303)          |
|  5,000 | +.0012 (.0100)   | -.0012 (.0101)     | (.0099)          |
| 50,000 | +.0002 (.0031)   | -.0006 (.0031)     | (.0031)          |
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _scale
from gentoolkit._array import as_array, as_floating
from gentoolkit.distances import sorting
from gentoolkit.gaussianization import splines


class SpacingPlan(NamedTuple):
    """Which order statistics `spacing` reads and what it does with them: constants, built on the host.

    Attributes:
      positions: ranks to read, ascending, from 0.
      low: where in `positions` the lower end of each spacing stands.
      high: where the upper end of each spacing stands.
      expected: the mean log spacing of a uniform sample on (0, 1).
    """

    positions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    expected: float


def spacing(y: jax.Array, *, num_spacings: int | None = None, is_sorted: bool = False) -> jax.Array:
    """Entropy from the spacings of the ordered sample, without the bias they have under a uniform law.

    The mean of `log(y_(i+m) - y_(i-m))`, cut off at the ends, less its expectation for a uniform sample,
    `digamma(j) - digamma(n + 1)` where j spacings are spanned. So it is unbiased for a uniform law, whatever n and m;
    elsewhere the bias comes from how the density changes over 2 m samples. Differentiable: one sort and a gather back.

    Args:
      y: `[..., n]`, n >= 2. Its median goes first where float32 would round it away (`center_on_host`).
      num_spacings: static, m from 1 to n - 1, to either side, for every i; `None` takes n^(1/3) or so, for
        every (m / 2)-th i, which costs nothing in precision and reads few of the order statistics.
      is_sorted: static, `y` ascends already, and the sort is saved.

    Returns:
      `[...]`, in nats. NaN in gives NaN out, an infinite entry NaN or infinity. Ties are taken to be four roundings
      of their own value apart (at 0, of the smallest other entry that is read): a finite value without a gradient,
      where the entropy is minus infinity.

    Raises:
      ValueError: fewer than 2 entries, or `num_spacings` outside its range.
      TypeError: `y` is not real.

    References:
      Vasicek (1976), "A test for normality based on sample entropy".
      Ebrahimi, Pflughoeft, Soofi (1994), "Two measures of sample entropy" (the ends).
      Miller and Fisher III (2003), "ICA using spacings estimates of entropy".

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.gaussianization import univariate_entropy
      >>> y = (jnp.arange(1000.0) + 0.5) / 1000  # evenly in [0, 1], whose entropy is 0
      >>> round(float(univariate_entropy.spacing(y)), 1) + 0.0
      0.0
    """
    (y,) = _prepare(y)
    plan = spacing_plan(y.shape[-1], num_spacings=num_spacings)
    y = y if is_sorted else sorting.sort(y)
    return spacing_of_order_statistics(jnp.take(y, plan.positions, axis=-1), plan)


@functools.lru_cache(maxsize=64)
def spacing_plan(n: int, *, num_spacings: int | None = None) -> SpacingPlan:
    """Chooses the order statistics that `spacing` reads of n; runs on the host.

    Args:
      n: sample size, >= 2.
      num_spacings: as for `spacing`.

    Returns:
      The plan, its arrays read-only.

    Raises:
      ValueError: n below 2, or `num_spacings` outside 1 to n - 1.
    """
    from scipy.special import digamma

    if n < 2:
        raise ValueError(f"A spacing needs at least 2 entries, got n = {n}.")
    if num_spacings is not None:
        if not 1 <= num_spacings <= n - 1:
            raise ValueError(f"num_spacings must be from 1 to n - 1 = {n - 1}, got num_spacings = {num_spacings}.")
        center = np.arange(n)
        low, high = np.maximum(center - num_spacings, 0), np.minimum(center + num_spacings, n - 1)
    else:
        # Every (m / 2)-th order statistic, m = n^(1/3), and from each the second neighbour to either side. The first
        # and last stand for as many samples as the others: the ends weigh most, and would bias the mean.
        num = max(2, round(n / max(1.0, n ** (1 / 3) / 2)))
        center = np.round((np.arange(num) + 0.5) * (n / num) - 0.5).astype(int)
        padded = np.concatenate([[0, 0], center, [n - 1, n - 1]])
        low, high = padded[:-4], padded[4:]
    positions = np.union1d(low, high)
    plan = SpacingPlan(
        positions.astype(np.int32),
        np.searchsorted(positions, low).astype(np.int32),
        np.searchsorted(positions, high).astype(np.int32),
        float(np.mean(digamma(high - low) - digamma(n + 1))),
    )
    for table in plan[:3]:
        table.flags.writeable = False
    return plan


def spacing_of_order_statistics(values: jax.Array, plan: SpacingPlan) -> jax.Array:
    """The entropy that `spacing` gives, from the order statistics that its plan asks for.

    An increasing map of a sample maps its order statistics: the entropy of the image costs no second sort.

    Args:
      values: `[..., p]`, the entries of the ascending sample at `plan.positions`.
      plan: of `spacing_plan`.

    Returns:
      `[...]`, in nats.
    """
    # NaN stands last in a sorted sample and need not be among the gaps.
    last = jnp.where(jnp.isnan(values[..., -1]), jnp.nan, 0)
    # The largest becomes 2^100, not 1: nothing is squared, and the small ones of a sample from 1e-20 to 1e20 stay.
    unit = jnp.maximum(_scale.unit(values, axes=-1) * 2.0**-100, 2.0**-126)
    values = values / unit
    low, high = jnp.take(values, plan.low, axis=-1), jnp.take(values, plan.high, axis=-1)
    size = jax.lax.stop_gradient(jnp.abs(values))
    smallest = jnp.min(jnp.where(size > 0, size, jnp.inf), axis=-1, keepdims=True)
    smallest = jnp.where(smallest < jnp.inf, smallest, 1e-20 / unit)
    around = jnp.maximum(jnp.maximum(jnp.abs(low), jnp.abs(high)), smallest)
    least = 4 * float(jnp.finfo(values.dtype).eps) * jax.lax.stop_gradient(around)
    log_gap = jnp.log(jnp.where(high - low < least, least, high - low))
    return jnp.mean(log_gap, axis=-1) + (jnp.log(unit[..., 0]) - plan.expected) + last


def histogram(y: jax.Array, *, num_bins: int | None = None, is_sorted: bool = False) -> jax.Array:
    """Entropy of a histogram of equal bins from the smallest to the largest entry, with the Miller-Madow correction.

    `-sum p log p + log(width) + (occupied - 1) / (2 n)`, all in nats. It has no gradient, and a few far outliers leave
    the rest in few bins: on heavy tails take `spacing`.

    Args:
      y: `[..., n]`, n >= 2.
      num_bins: static, >= 1; `None` takes sqrt(n).
      is_sorted: static, `y` ascends already, and the sort is saved.

    Returns:
      `[...]`, in nats. NaN or an infinity in gives NaN out; a constant sample minus infinity.

    Raises:
      ValueError: fewer than 2 entries, or `num_bins` below 1.
      TypeError: `y` is not real.

    References:
      Miller (1955), "Note on the bias of information estimates".
    """
    (y,) = _prepare(y)
    n = y.shape[-1]
    bins = round(n**0.5) if num_bins is None else num_bins
    if bins < 1:
        raise ValueError(f"num_bins must be >= 1, got num_bins = {num_bins}.")
    y = jax.lax.stop_gradient(y)
    y = y if is_sorted else sorting.sort(y)
    width = (y[..., -1:] - y[..., :1]) / bins
    inner = y[..., :1] + width * jnp.broadcast_to(jnp.arange(1, bins, dtype=y.dtype), (*y.shape[:-1], bins - 1))
    edges = ((0, 0),) * (y.ndim - 1) + ((1, 1),)
    below = jnp.pad(splines.count_not_above(y, inner) if bins > 1 else jnp.zeros(inner.shape, jnp.int32), edges)
    count = jnp.diff(below.at[..., -1].set(n), axis=-1)
    share = count.astype(y.dtype) / n
    occupied = jnp.sum(count > 0, axis=-1, dtype=jnp.int32).astype(y.dtype)
    entropy = -jnp.sum(jnp.where(count > 0, share * jnp.log(jnp.where(count > 0, share, 1)), 0), axis=-1)
    entropy += jnp.log(width[..., 0]) + (occupied - 1) / (2 * n)
    finite = jnp.isfinite(y[..., 0]) & jnp.isfinite(y[..., -1])
    return jnp.where(finite, entropy, jnp.nan)


def _prepare(y: jax.Array) -> list[jax.Array]:
    y = as_array(y)
    if jnp.ndim(y) < 1 or jnp.shape(y)[-1] < 2:
        raise ValueError(f"y must be [..., n] with n >= 2, got y.shape = {jnp.shape(y)}.")
    return as_floating(y=_scale.center_on_host(y, axes=-1)[0])  # entropy does not depend on the origin
