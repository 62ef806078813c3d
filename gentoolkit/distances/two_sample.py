"""Distances between two one-dimensional samples, on the last axis, of equal or unequal sizes.

`wasserstein` and `energy` have useful gradients and are losses. `cramer_von_mises` and `kolmogorov_smirnov` depend on
the order of the merged sample alone: they are step functions with zero gradient almost everywhere, and serve as
measures and tests. `energy` is the Cramer-von Mises distance with `dx` in place of the law of the merged sample, and is
the one to train on. All sort, so their derivative is for reverse mode (`jax.grad`); `jax.jvp` refuses them.

None depends on the origin of the samples. Float64 samples on the host (NumPy, lists) therefore lose a common median
before they become float32, so that timestamps keep their digits; what is float32 already, or traced, has been rounded.
"""

import functools
import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array, _scale
from gentoolkit.distances import sorting


def wasserstein(y: jax.Array, w: jax.Array, *, order: float = 2) -> jax.Array:
    """The optimal transport cost W_p^p between two samples, not rooted.

    The integral over (0, 1) of `|F^-1(u) - G^-1(u)|^p`. With equal sizes it is the mean of `|y_(i) - w_(i)|^p`; with
    unequal sizes the two quantile functions are compared on their common refinement, at most n + m - 1 pieces.

    Args:
      y: `[..., n]`, a sample.
      w: `[..., m]`, the other sample; leading axes equal to those of `y`.
      order: p >= 1, static, not necessarily an integer.

    Returns:
      `[...]`, float32 or wider, in the units of `y` to the power p, as far as that fits (order 2 in float32: samples
      that differ by 1e-19 to 1e19; the gradient goes on to 1e-38 and 1e38). NaN in gives NaN out; an infinite entry
      gives infinity, or NaN where it is compared with an infinity of the same sign. The gradient is finite where the
      two samples meet: with `order=1` it is zero there.

    Raises:
      ValueError: an empty sample, leading axes that differ, or `order` below 1 or infinite.
      TypeError: `order` is not a static real number, or a sample is not real.

    References:
      Peyre and Cuturi (2019), "Computational optimal transport", remarks 2.28 and 2.30.
      Kolouri, Pope, Martin, Rohde (2019), "Sliced Wasserstein auto-encoders" (p = 2, equal sizes).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import two_sample
      >>> float(two_sample.wasserstein(jnp.float32([0, 1]), jnp.float32([3, 4])))  # shifted by 3, squared
      9.0
    """
    if not isinstance(order, numbers.Real):
        raise TypeError(f"order must be a static real number, got {type(order).__name__}.")
    if not 1 <= order < math.inf:
        raise ValueError(f"order must be finite and >= 1, got order = {order}.")
    y, w = _as_pair(y, w)
    n, m = y.shape[-1], w.shape[-1]
    y, w = sorting.sort(y), sorting.sort(w)
    if n == m:
        return _cost(y - w, 1 / n, order)
    at_y, at_w, width = _coupling(n, m)
    take = {"indices_are_sorted": True, "mode": "promise_in_bounds"}
    difference = y.at[..., at_y].get(**take) - w.at[..., at_w].get(**take)
    return _cost(difference, _constant(width, difference), order)


def energy(y: jax.Array, w: jax.Array) -> jax.Array:
    """The energy distance `2 E|Y-W| - E|Y-Y'| - E|W-W'|` between two samples, in O(n log n).

    Computed as twice the integral of `(F(x) - G(x))^2 dx`: a sum of non-negative terms, free of the cancellation of the
    three expectations. All pairs count, those of an entry with itself too (the V-statistic), so the value is never
    negative and is zero for equal samples.

    Args:
      y: `[..., n]`, a sample.
      w: `[..., m]`, the other sample; leading axes equal to those of `y`.

    Returns:
      `[...]`, float32 or wider, in the units of `y`; the square of what `scipy.stats.energy_distance` returns. NaN in
      gives NaN out; an infinite entry gives infinity, or NaN where it meets an infinity of the same sign.

    Raises:
      ValueError: an empty sample, or leading axes that differ.
      TypeError: a sample is not real.

    References:
      Szekely and Rizzo (2013), "Energy statistics: a class of statistics based on distances".

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import two_sample
      >>> float(two_sample.energy(jnp.float32([0]), jnp.float32([1])))
      2.0
    """
    y, w = _as_pair(y, w)
    merged = sorting.sort(jnp.concatenate([y, w], axis=-1))
    gap = _cdf_difference(y, w, merged)[..., :-1]
    return 2 * jnp.sum(gap * gap * jnp.diff(merged, axis=-1), axis=-1)


def cramer_von_mises(y: jax.Array, w: jax.Array) -> jax.Array:
    """The two-sample Cramer-von Mises distance: the mean of `(F - G)^2` over the merged sample.

    This is the integral of `(F - G)^2 dH`, H the empirical cdf of all n + m entries. The test statistic T of Anderson,
    which is what `scipy.stats.cramervonmises_2samp` returns, is `n m / (n + m)` times this value (SciPy puts mid-ranks
    in T, and so differs where the samples have ties; here the cdfs count `<=`, as in Anderson's definition).

    It depends on the order of the merged sample alone: the gradient is zero almost everywhere. Train on `energy`.

    Args:
      y: `[..., n]`, a sample.
      w: `[..., m]`, the other sample; leading axes equal to those of `y`.

    Returns:
      `[...]`, float32 or wider, from 0 to 1. NaN in gives NaN out; infinities rank like any other number.

    Raises:
      ValueError: an empty sample, or leading axes that differ.
      TypeError: a sample is not real.

    References:
      Anderson (1962), "On the distribution of the two-sample Cramer-von Mises criterion", section 1.
    """
    y, w = _as_pair(y, w)
    gap = _cdf_difference(y, w, sorting.sort(jnp.concatenate([y, w], axis=-1)))
    return _nan_with(y, w, jnp.mean(gap * gap, axis=-1))


def kolmogorov_smirnov(y: jax.Array, w: jax.Array) -> jax.Array:
    """The two-sample Kolmogorov-Smirnov distance: the largest `|F - G|`.

    It depends on the order of the merged sample alone: the gradient is zero almost everywhere. Train on `energy` or
    `wasserstein`.

    Args:
      y: `[..., n]`, a sample.
      w: `[..., m]`, the other sample; leading axes equal to those of `y`.

    Returns:
      `[...]`, float32 or wider, from 0 to 1; the statistic of `scipy.stats.ks_2samp`, ties included. NaN in gives NaN
      out; infinities rank like any other number.

    Raises:
      ValueError: an empty sample, or leading axes that differ.
      TypeError: a sample is not real.

    References:
      Smirnov (1939), "On the estimation of the discrepancy between empirical curves of distribution for two samples".
    """
    y, w = _as_pair(y, w)
    gap = _cdf_difference(y, w, sorting.sort(jnp.concatenate([y, w], axis=-1)))
    return _nan_with(y, w, jnp.max(jnp.abs(gap), axis=-1))


def _as_pair(y: jax.Array, w: jax.Array) -> list[jax.Array]:
    """Checks a pair of samples and casts them to one floating dtype."""
    _array.check_univariate(y=y, w=w)
    shape_y, shape_w = _array.shape(y), _array.shape(w)
    if shape_y[:-1] != shape_w[:-1]:
        raise ValueError(f"The leading axes of y and w must be equal, got y.shape = {shape_y}, w.shape = {shape_w}.")
    y, w = _scale.center_together(y, w, axes=-1)
    return _array.as_floating(y=y, w=w)


def _constant(table: np.ndarray, like: jax.Array) -> jax.Array:
    """Casts a host-built `[n]` table to the dtype of `like` and spreads it over the leading axes."""
    return jnp.broadcast_to(jnp.asarray(table, like.dtype), like.shape)


def _cost(difference: jax.Array, width: jax.Array | float, order: float) -> jax.Array:
    """Sum of `width * |difference|^order` along the last axis, with derivative zero where the difference is zero."""
    # The width comes first: the sum may fit float32 where that of the powers does not.
    if order == 2:
        return jnp.sum(difference * (difference * width), axis=-1)
    # jnp.abs has derivative one at zero, which would push equal points apart.
    magnitude = difference * jax.lax.stop_gradient(jnp.sign(difference))
    power = jax.lax.integer_pow(magnitude, int(order)) if order == int(order) else magnitude ** float(order)
    return jnp.sum(power * width, axis=-1)


@functools.lru_cache(maxsize=64)
def _coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces on which both quantile functions are constant: index into y, index into w, length in (0, 1]."""
    # In units of 1 / lcm(n, m) every breakpoint i/n and j/m is an integer, so no piece is lost or doubled by rounding.
    shared = math.gcd(n, m)
    step_y, step_w = m // shared, n // shared
    breaks = np.union1d(np.arange(n + 1, dtype=np.int64) * step_y, np.arange(m + 1, dtype=np.int64) * step_w)
    left = breaks[:-1]
    tables = (left // step_y).astype(np.int32), (left // step_w).astype(np.int32), np.diff(breaks) / (n * step_y)
    for table in tables:
        table.flags.writeable = False
    return tables


def _cdf_difference(y: jax.Array, w: jax.Array, merged: jax.Array) -> jax.Array:
    """F - G at each entry of the merged sample, given in ascending order, `[..., n + m]`; has no derivative."""
    y, w, merged = jax.lax.stop_gradient((y, w, merged))
    n, m = y.shape[-1], w.shape[-1]
    below_y = _count(sorting.sort(y), merged)
    below = below_y + _count(sorting.sort(w), merged)
    # F - G = below_y / n - (below - below_y) / m = (n + m) / (n m) (below_y - below n / (n + m)). The last term is
    # tabulated as a whole number and a fraction: the whole part cancels in integers, however large the samples.
    share = np.arange(n + m + 1, dtype=np.int64) * n
    whole = jnp.asarray(share // (n + m), jnp.int32)
    fraction = jnp.asarray(share % (n + m) / (n + m), merged.dtype)
    excess = (below_y - jnp.take(whole, below, mode="clip")).astype(merged.dtype) - jnp.take(
        fraction, below, mode="clip"
    )
    return excess * ((n + m) / (n * m))


def _count(ascending: jax.Array, at: jax.Array) -> jax.Array:
    """How many entries of `ascending` `[..., n]` are `<=` each of `at` `[..., q]`, by bisection."""
    n = ascending.shape[-1]
    found = jnp.zeros_like(at, jnp.int32)
    step = 1 << (n.bit_length() - 1)
    while step:
        next_found = found + step
        probe = jnp.minimum(next_found, n) - 1
        value = jnp.take_along_axis(ascending, probe, axis=-1, mode="promise_in_bounds")
        found = jnp.where((next_found <= n) & (value <= at), next_found, found)
        step //= 2
    return found


def _nan_with(y: jax.Array, w: jax.Array, value: jax.Array) -> jax.Array:
    """NaN where a sample has one: a comparison with NaN would otherwise pass for an ordinary rank."""
    missing = jnp.any(jnp.isnan(y), axis=-1) | jnp.any(jnp.isnan(w), axis=-1)
    return jnp.where(missing, jnp.nan, value)
