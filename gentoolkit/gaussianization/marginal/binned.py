"""Marginal maps on a uniform grid: the histogram with extension, and the Gaussian kernel density."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_floating, check_positive
from gentoolkit.distances.normality import tails as normal_tails
from gentoolkit.gaussianization import normal_law, splines
from gentoolkit.gaussianization.marginal import _tails
from gentoolkit.gaussianization.marginal._rows import ascending, nan_where_not_finite, rounding
from gentoolkit.gaussianization.marginal.variant import Marginal

_ROW_BLOCK = 1 << 22  # kernel matrix entries held at a time: 16 MiB in float32


class Histogram(NamedTuple):
    """A piecewise uniform law on equal bins, for each leading axis.

    Attributes:
      start: `[..., 1]`, the left end of the first bin.
      width: `[..., 1]`, of a bin.
      cdf: `[..., b + 1]`, at the edges, summed from the left.
      sf: `[..., b + 1]`, one minus that, summed from the right: small values keep their digits.
      tails: beyond the outer edges.
    """

    start: jax.Array
    width: jax.Array
    cdf: jax.Array
    sf: jax.Array
    tails: _tails.Tails


def histogram(
    *,
    num_bins: int | None = None,
    extension: float = 0.1,
    pseudo_count: float = 0.1,
    tails: _tails.Rule = "linear",
) -> Marginal:
    """Equal bins over the extended range, piecewise linear cdf; the map of the first Gaussianization papers.

    The law is normalized: every bin gets `pseudo_count` besides its own count, and 1 / (2 (n + 1)) of the mass is left
    for each tail. Its density jumps at the edges of bins. Bins are equal, so a few far outliers leave the rest in few
    bins: take `quantile` then.

    Args:
      num_bins: static, >= 2, those of the extension included; `None` takes sqrt(n), from 8 to 1024.
      extension: static, share of the sample's range added on either side, > 0.
      pseudo_count: static, > 0, added to each bin (Dirichlet prior).
      tails: static, the rule beyond the extension: "linear", "gaussian", "pareto" or "clip" (see the package).

    Returns:
      A `Marginal`. The same options give the same object.

    Raises:
      ValueError: options outside their ranges; when fitting, fewer than 2 samples.

    References:
      Laparra, Camps-Valls, Malo (2011), "Iterative Gaussianization: from ICA to random rotations", section II.
      Inouye and Ravikumar (2018), "Deep density destructors" (pseudo-counts).
    """
    _tails.check(tails)
    check_positive(extension=extension, pseudo_count=pseudo_count)
    if num_bins is not None and num_bins < 2:
        raise ValueError(f"num_bins must be >= 2, got num_bins = {num_bins}.")
    return _histogram(num_bins, float(extension), float(pseudo_count), tails)


@functools.lru_cache(maxsize=64)
def _histogram(num_bins: int | None, extension: float, pseudo_count: float, tails: _tails.Rule) -> Marginal:
    def fit(y: jax.Array, is_sorted: bool = False) -> Histogram:
        y = ascending(y, is_sorted)
        n = y.shape[-1]
        bins = min(max(round(n**0.5), 8), 1024) if num_bins is None else num_bins
        least, largest = y[..., :1], y[..., -1:]
        gap = rounding(least, largest)  # the bins are equal: where entries are largest they must be told apart too
        margin = jnp.maximum(extension * (largest - least), bins * gap)  # a constant row gets bins that are not empty
        width = (largest - least + 2 * margin) / bins
        start = least - margin
        if bins % 2 == 0:  # a constant row goes to the middle of a bin, and so to z = 0; at an edge it would not
            start = jnp.where(least == largest, start - width / 2, start)
        inner = start + width * jnp.broadcast_to(jnp.arange(1, bins, dtype=y.dtype), (*y.shape[:-1], bins - 1))
        below = splines.count_not_above(y, inner)
        edges = ((0, 0),) * (y.ndim - 1) + ((1, 1),)
        below = jnp.pad(below, edges).at[..., -1].set(n)
        count = jnp.diff(below, axis=-1).astype(y.dtype) + pseudo_count
        mass = count * ((n / (n + 1)) / (n + bins * pseudo_count))
        tail = 0.5 / (n + 1)
        cdf = tail + jnp.pad(jnp.cumsum(mass, axis=-1), edges[:-1] + ((1, 0),))
        sf = tail + jnp.pad(jnp.cumsum(mass[..., ::-1], axis=-1), edges[:-1] + ((1, 0),))[..., ::-1]
        z = jnp.full_like(start, _tails.levels(n + 1))
        z = jnp.concatenate([-z, z], axis=-1)
        x = jnp.concatenate([start, start + bins * width], axis=-1)
        slope = mass[..., jnp.array([0, -1])] / width / normal_tails.density(z)
        return nan_where_not_finite(y, Histogram(start, width, cdf, sf, _tails.fit(tails, y, x, z, slope)))

    def forward(fitted: Histogram, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        (y,) = as_floating(y=y)
        return _tails.extended(tails, fitted.tails, functools.partial(_histogram_forward, fitted), y, of="x")

    def inverse(fitted: Histogram, z: jax.Array) -> jax.Array:
        (z,) = as_floating(z=z)
        return _tails.extended(tails, fitted.tails, functools.partial(_histogram_inverse, fitted), z, of="z")

    options = (("num_bins", num_bins), ("extension", extension), ("pseudo_count", pseudo_count), ("tails", tails))
    return Marginal(fit, forward, inverse, "histogram", options)


def _histogram_forward(fitted: Histogram, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    bins = fitted.cdf.shape[-1] - 1
    place = (y - fitted.start) / fitted.width
    at = jnp.clip(jnp.where(jnp.isnan(place), 0, jax.lax.stop_gradient(place)), 0, bins - 1).astype(jnp.int32)
    t = place - at.astype(y.dtype)
    left, right, mass = _gather(at, fitted.cdf[..., :-1], fitted.sf[..., 1:], _mass(fitted))
    cdf, sf = left + mass * t, right + mass * (1 - t)
    z = normal_law.from_log_probabilities(jnp.log(cdf), jnp.log(sf))
    return z, jnp.log(mass) - jnp.log(jnp.broadcast_to(fitted.width, y.shape)) - normal_law.log_density(z)


def _histogram_inverse(fitted: Histogram, z: jax.Array) -> jax.Array:
    # A bin is found by probability, in the half where it is small; within the bin everything is a straight line.
    lower = z < 0
    small = normal_tails.tail(jnp.abs(z))
    from_left = splines.count_not_above(fitted.cdf, small) - 1
    from_right = fitted.sf.shape[-1] - 1 - splines.count_not_above(fitted.sf[..., ::-1], small)
    at = jnp.clip(jnp.where(lower, from_left, from_right), 0, fitted.cdf.shape[-1] - 2)
    left, right, mass = _gather(at, fitted.cdf[..., :-1], fitted.sf[..., 1:], _mass(fitted))
    t = jnp.where(lower, (small - left) / mass, 1 - (small - right) / mass)
    return fitted.start + fitted.width * (at.astype(z.dtype) + splines.within_one(t))


def _mass(fitted: Histogram) -> jax.Array:
    """Of each bin, from whichever sum is the smaller one there."""
    return jnp.where(
        fitted.cdf[..., 1:] < fitted.sf[..., :-1],
        jnp.diff(fitted.cdf, axis=-1),
        -jnp.diff(fitted.sf, axis=-1),
    )


def _gather(at: jax.Array, *tables: jax.Array) -> list[jax.Array]:
    return [jnp.take_along_axis(table, at, axis=-1, mode="promise_in_bounds") for table in tables]


def kernel_density(
    *, bandwidth: float | None = None, num_points: int = 512, tails: _tails.Rule = "gaussian"
) -> Marginal:
    """The cdf of a Gaussian kernel density, on a uniform grid, joined by a rational-quadratic spline.

    The sample is counted into the cells of the grid (after one sort, by bisection) and the kernel's own cdf and
    survival function are summed over cells: O(n log n + num_points^2), never n^2. Small probabilities are summed as
    such, from both sides. The grid spans the sample but for its ten outermost entries on either side, and three
    bandwidths more; one pseudo-observation is spread over it, so that the map increases through gaps. Further out a
    tail rule holds.

    Args:
      bandwidth: static, standard deviation of the kernel in units of y, > 0; `None` takes Silverman's rule on each row,
        0.9 min(sd, interquartile range / 1.349) n^(-1/5), or two cells of the grid where that is wider.
      num_points: static, of the grid, >= 8.
      tails: static, the rule outside the grid: "gaussian", "linear", "pareto" or "clip" (see the package).

    Returns:
      A `Marginal`. The same options give the same object.

    Raises:
      ValueError: options outside their ranges; when fitting, fewer than 2 samples.

    References:
      Silverman (1986), "Density estimation for statistics and data analysis", eq. 3.31 and section 3.5 (binning).
    """
    _tails.check(tails)
    if bandwidth is not None:
        check_positive(bandwidth=bandwidth)
    if num_points < 8:
        raise ValueError(f"num_points must be >= 8, got num_points = {num_points}.")
    return _kernel_density(None if bandwidth is None else float(bandwidth), num_points, tails)


@functools.lru_cache(maxsize=64)
def _kernel_density(bandwidth: float | None, num_points: int, tails: _tails.Rule) -> Marginal:
    def fit(y: jax.Array, is_sorted: bool = False) -> tuple[splines.Spline, _tails.Tails]:
        y = ascending(y, is_sorted)
        n = y.shape[-1]
        width = jnp.full_like(y[..., :1], bandwidth) if bandwidth is not None else _silverman(y)
        aside = min(10, n // 20)
        low, high = y[..., aside : aside + 1], y[..., n - 1 - aside : n - aside]
        gap = rounding(low, high)
        # Two cells a bandwidth: w >= 2 (high - low + 6 w) / (num_points - 1) solved for w.
        width = jnp.maximum(jnp.maximum(width, 2 * (high - low) / max(num_points - 13, 1)), num_points * gap)
        start, stop = low - 3 * width, high + 3 * width
        cell = (stop - start) / (num_points - 1)
        index = jnp.broadcast_to(jnp.arange(num_points, dtype=y.dtype), (*y.shape[:-1], num_points))
        x = start + cell * index
        inner = x[..., :-1] + cell / 2
        outside = jnp.stack([start[..., 0], stop[..., 0]], axis=-1) + jnp.concatenate([-cell, cell], axis=-1) / 2
        below = splines.count_not_above(y, jnp.concatenate([outside[..., :1], inner, outside[..., 1:]], axis=-1))
        count = jnp.diff(below, axis=-1).astype(y.dtype)
        beyond = jnp.stack([below[..., 0], n - below[..., -1]], axis=-1).astype(y.dtype)
        log_cdf, log_sf, log_density = _smoothed(count, beyond, cell, width, n)
        z = normal_law.from_log_probabilities(log_cdf, log_sf)
        eps = float(jnp.finfo(y.dtype).eps)
        z = splines.strictly_increasing(z, jnp.full_like(gap, 16 * eps))
        log_slope = log_density - normal_law.log_density(z)
        ends = jnp.array([0, -1])
        tail = _tails.fit(tails, y, x[..., ends], z[..., ends], jnp.exp(log_slope[..., ends]))
        log_slope = log_slope.at[..., ends].set(jnp.log(tail.slope))
        return nan_where_not_finite(y, (splines.through(x, z, log_slope), tail))

    def forward(fitted, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        (y,) = as_floating(y=y)
        return _tails.splined_forward(tails, fitted, y, evenly=True)

    def inverse(fitted, z: jax.Array) -> jax.Array:
        (z,) = as_floating(z=z)
        return _tails.splined_inverse(tails, fitted, z)

    options = (("bandwidth", bandwidth), ("num_points", num_points), ("tails", tails))
    compensated = _tails.splined_compensated(tails, evenly=True)
    return Marginal(fit, forward, inverse, "kernel_density", options, compensated)


def _silverman(ascending: jax.Array) -> jax.Array:
    n = ascending.shape[-1]
    center = ascending - ascending[..., n // 2, None]
    unit = _scale.unit(center, axes=-1)
    deviation = unit * jnp.std(center / unit, axis=-1, keepdims=True)
    quarter = (ascending[..., (3 * n) // 4, None] - ascending[..., n // 4, None]) / 1.349
    spread = jnp.where(quarter > 0, jnp.minimum(deviation, quarter), deviation)
    return 0.9 * spread * n**-0.2


def _smoothed(
    count: jax.Array, beyond: jax.Array, cell: jax.Array, width: jax.Array, n: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log cdf, log survival function and log density of the kernel estimate at the grid points."""
    num = count.shape[-1]
    # On a uniform grid the kernel depends on the difference of places alone: 2 num - 1 values, gathered to a matrix.
    offset = (jnp.arange(2 * num - 1, dtype=count.dtype) - (num - 1)).reshape((1,) * (cell.ndim - 1) + (2 * num - 1,))
    t = jnp.broadcast_to(offset, (*cell.shape[:-1], 2 * num - 1)) * (cell / width)
    tail = normal_tails.tail(jnp.abs(t))
    below = jnp.where(t < 0, tail, 1 - tail)
    kernels = jnp.stack([below, below[..., ::-1], normal_tails.density(t) / width])
    place = jnp.arange(num)

    def convolve(operands):
        one_kernels, one_count = operands
        matrix = one_kernels[:, place[:, None] - place[None, :] + (num - 1)]
        return jnp.einsum("kgj,j->kg", matrix, one_count, precision=jax.lax.Precision.HIGHEST)

    flat_count = count.reshape(-1, num)
    flat_kernels = jnp.moveaxis(kernels.reshape(3, -1, 2 * num - 1), 0, 1)
    rows = max(1, _ROW_BLOCK // (3 * num * num))
    sums = jax.lax.map(convolve, (flat_kernels, flat_count), batch_size=rows)
    cdf, sf, density = jnp.moveaxis(sums, 1, 0).reshape(3, *count.shape)
    ramp = jnp.broadcast_to((jnp.arange(num, dtype=count.dtype) + 0.5) / num, count.shape)
    total = float(n + 1)
    cdf = (cdf + beyond[..., :1] + ramp) / total
    sf = (sf + beyond[..., 1:] + ramp[..., ::-1]) / total
    density = (density + 1 / (cell * num)) / total
    return jnp.log(cdf), jnp.log(sf), jnp.log(density)
