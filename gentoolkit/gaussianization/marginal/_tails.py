"""What a marginal map does outside the range it was fitted on: the rules that the package describes."""

import functools
import math
from statistics import NormalDist
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit.distances.normality import tails as normal_tails
from gentoolkit.gaussianization import normal_law, splines
from gentoolkit.gaussianization.marginal._rows import rounding
from gentoolkit.gaussianization.marginal.variant import Compensated

Rule = Literal["gaussian", "linear", "pareto", "clip"]

# Tails that are straight lines with the slope of the map at its end: a spline takes them in as segments of its own.
_STRAIGHT = ("gaussian", "linear")
_OUTER_SHARE = 0.05
_SHAPES = (1e-3, 0.9)


class Tails(NamedTuple):
    """Both tails of a map, lower and upper on the last axis, `[..., 2]` each.

    Attributes:
      x: where the tail begins.
      z: the value of the map there.
      slope: dz/dx there (of "gaussian" and "linear": everywhere beyond).
      shape: of the generalised Pareto law ("pareto").
      scale: of the generalised Pareto law ("pareto"), in the units of x.
    """

    x: jax.Array
    z: jax.Array
    slope: jax.Array
    shape: jax.Array
    scale: jax.Array


def check(rule: Rule) -> None:
    """Refuses a rule that is not one of the four (`ValueError`)."""
    if rule not in get_args(Rule):
        raise ValueError(f"tails must be one of {', '.join(map(repr, get_args(Rule)))}, got {rule!r}.")


def fit(rule: Rule, ascending: jax.Array, x: jax.Array, z: jax.Array, last_slope: jax.Array) -> Tails:
    """Fits both tails to sorted rows `[..., n]`, given the ends x, z `[..., 2]` and the slopes that "linear" takes."""
    n = ascending.shape[-1]
    outer = min(n - 1, max(round(_OUTER_SHARE * n), min(10, n // 2)))
    start = jnp.stack([ascending[..., outer], ascending[..., n - 1 - outer]], axis=-1)
    one = jnp.ones_like(x)
    least = rounding(x, start)
    if rule != "pareto":
        if rule == "gaussian":
            inner = NormalDist().inv_cdf((n - outer - 0.5) / n)
            # The quantile may lie beyond the middle (a handful of samples): then the median's line is as good.
            inner_z = jnp.stack([-one[..., 0], one[..., 0]], axis=-1) * max(inner, 0.0)
            rise, run = jnp.abs(z - inner_z), jnp.abs(x - start)
            slope = jnp.maximum(rise, 1e-3) / jnp.maximum(run, least)
        else:
            slope = last_slope
        return Tails(x, z, slope, one, one)
    lower = start[..., :1] - ascending[..., :outer][..., ::-1]
    upper = ascending[..., n - outer :] - start[..., 1:]
    excess = jnp.stack([lower, upper], axis=-2)  # ascending outwards
    # A single outlier must not set the scale of all the others: the largest excess of a law of the largest shape is so
    # many times the median, and ten times that is left to chance.
    reach = 10 * ((2 * outer) ** _SHAPES[1] - 1) / (2 ** _SHAPES[1] - 1)
    median = excess[..., outer // 2, None]
    excess = jnp.where((median > 0) & (excess / jnp.where(median > 0, median, 1) > reach), reach * median, excess)
    unit = _scale.unit(excess, axes=-1)
    excess = excess / unit
    mean = jnp.mean(excess, axis=-1)
    # The share above the i-th, as Hosking and Wallis (1987) take it.
    plotting = (outer - 0.65 - jnp.arange(outer, dtype=x.dtype)) / outer
    weighted = jnp.mean(excess * jnp.broadcast_to(plotting, excess.shape), axis=-1)
    difference = mean - 2 * weighted
    shape = 2 - mean / jnp.where(difference > 0, difference, 1)
    shape = jnp.clip(jnp.where(difference > 0, shape, 0), *_SHAPES)
    scale = jnp.maximum(mean * (1 - shape) * unit[..., 0], least)
    # Above a higher threshold a generalised Pareto law keeps its shape, and its scale grows by shape times the step.
    scale = scale + shape * jnp.maximum(jnp.abs(x - start), 0)
    slope = 1 / (scale * normal_tails.hazard(jnp.maximum(jnp.abs(z), 0)))
    return Tails(x, z, slope, shape, scale)


def forward(rule: Rule, tails: Tails, side: int, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns z and log dz/dx on one side (0 lower, 1 upper); entries inwards of the end are taken at the end."""
    sign = 2 * side - 1
    x_end, z_end, slope, shape, scale = (jnp.broadcast_to(leaf[..., side : side + 1], x.shape) for leaf in tails)
    excess = jnp.maximum(sign * (x - x_end), 0)
    if rule == "clip":
        return z_end, jnp.where(excess > 0, -jnp.inf, jnp.log(slope))
    if rule != "pareto":
        return z_end + sign * slope * excess, jnp.log(slope)
    stretched = jnp.log1p(shape * excess / scale)
    z = normal_law.from_log_tail(normal_tails.log_tail(jnp.abs(z_end)) - stretched / shape)
    # log f - log density(z), with f = tail probability / (scale + shape e) and tail / density = 1 / hazard.
    return sign * z, -jnp.log(scale) - stretched - jnp.log(normal_tails.hazard(z))


def inverse(rule: Rule, tails: Tails, side: int, z: jax.Array) -> jax.Array:
    """Returns x on one side; entries on the inner side of the end are taken at the end."""
    sign = 2 * side - 1
    x_end, z_end, slope, shape, scale = (jnp.broadcast_to(leaf[..., side : side + 1], z.shape) for leaf in tails)
    excess = jnp.maximum(sign * (z - z_end), 0)
    if rule == "clip":
        return x_end
    if rule != "pareto":
        return x_end + sign * excess / slope
    z = jnp.maximum(sign * z, sign * z_end)
    drop = normal_tails.log_tail(sign * z_end) - normal_tails.log_tail(z)
    return x_end + sign * scale * jnp.expm1(shape * drop) / shape


def extended(rule: Rule, tails: Tails, middle, y: jax.Array, *, of: Literal["x", "z"]):
    """Joins what `middle` returns between the ends to the tails; `of` says which axis `y` lies on."""
    ends = tails.x if of == "x" else tails.z
    low, high = (jnp.broadcast_to(ends[..., side : side + 1], y.shape) for side in (0, 1))
    branch = forward if of == "x" else inverse
    # Not jnp.clip, whose derivative is one half for the samples that lie exactly at the ends.
    inside = middle(jnp.where(y < low, low, jnp.where(y > high, high, y)))
    parts = [branch(rule, tails, side, y) for side in (0, 1)]
    # NaN compares as inside and comes out of the middle as NaN.
    return jax.tree.map(lambda m, a, b: jnp.where(y < low, a, jnp.where(y > high, b, m)), inside, *parts)


def splined_forward(
    rule: Rule, fitted: tuple[splines.Spline, Tails], x: jax.Array, *, evenly: bool
) -> tuple[jax.Array, jax.Array]:
    """Returns z and log dz/dx of a spline that meets its tails with their slopes."""
    spline, tails = fitted
    if rule in _STRAIGHT:
        return splines.forward(spline, x, evenly=evenly)
    return extended(rule, tails, functools.partial(splines.forward, spline, evenly=evenly), x, of="x")


def splined_inverse(rule: Rule, fitted: tuple[splines.Spline, Tails], z: jax.Array) -> jax.Array:
    """Returns x of such a spline."""
    spline, tails = fitted
    if rule in _STRAIGHT:
        return splines.inverse(spline, z, evenly=False)
    return extended(rule, tails, functools.partial(splines.inverse, spline, evenly=False), z, of="z")


def splined_compensated(rule: Rule, *, evenly: bool) -> Compensated | None:
    """Such a spline for numbers that come with a rest; None where its tails are not straight."""
    if rule not in _STRAIGHT:
        return None

    def forward(fitted, x, rest):
        return splines.compensated_forward(fitted[0], x, rest, evenly=evenly)

    def inverse(fitted, z, rest):
        return splines.compensated_inverse(fitted[0], z, rest, evenly=False)

    return Compensated(forward, inverse)


def levels(n: int) -> float:
    """The z of the outermost of n ordered samples, at probability (1 - 1/2) / n."""
    return -NormalDist().inv_cdf(0.5 / n) if n > 1 else math.nan
