"""Monotone rational-quadratic splines from x to z: forward with log-derivative, and an exact inverse.

Only ratios of slopes enter, so that segments as steep as 1e26 (a constant column of zeros) do not overflow in float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Slopes at the knots are kept within exp(7), a factor of 1100, of the segment's own: steeper ends would use up the
# digits of float32 and change the map by less than 1e-3 of a segment.
_LARGEST_LOG_RATIO = 7.0


class Spline(NamedTuple):
    """Knots of an increasing map, for each leading axis.

    Attributes:
      x: `[..., k]`, strictly increasing.
      z: `[..., k]`, strictly increasing.
      log_slope: `[..., k]`, log dz/dx at the knots.
    """

    x: jax.Array
    z: jax.Array
    log_slope: jax.Array


def strictly_increasing(knots: jax.Array, floor: jax.Array) -> jax.Array:
    """Moves knots apart, upwards, where neighbours are closer than `floor` `[..., 1]`; others keep their place."""
    gap = jnp.diff(knots, axis=-1)
    lack = jnp.maximum(floor - gap, 0)
    return knots.at[..., 1:].add(jnp.cumsum(lack, axis=-1))


def log_segment_slopes(x: jax.Array, z: jax.Array) -> jax.Array:
    """Log of the slope of each segment, `[..., k - 1]`."""
    return jnp.log(jnp.diff(z, axis=-1)) - jnp.log(jnp.diff(x, axis=-1))


def log_knot_slopes(x: jax.Array, z: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Log slopes at the knots: the weighted geometric mean of both neighbours inside, `[...]` given ones at the ends.

    References:
      Delbourgo and Gregory (1985), "The determination of derivative parameters for a monotonic rational quadratic
      interpolant", IMA J. Numer. Anal. 5 (the geometric mean: second order, positive whatever the data).
    """
    slopes, width = log_segment_slopes(x, z), jnp.diff(x, axis=-1)
    left, right = width[..., :-1], width[..., 1:]
    inside = slopes[..., :-1] + (slopes[..., 1:] - slopes[..., :-1]) * (left / (left + right))
    return jnp.concatenate([first[..., None], inside, last[..., None]], axis=-1)


def within_one(t: jax.Array) -> jax.Array:
    """`t` kept in [0, 1], against rounding; with derivative one at both ends, where `jnp.clip` has one half."""
    return jnp.where(t < 0, 0, jnp.where(t > 1, 1, t))


def count_not_above(knots: jax.Array, at: jax.Array) -> jax.Array:
    """How many of the ascending `knots` `[..., k]` are <= each of `at` `[..., q]`; carries no derivative."""
    knots, at = jax.lax.stop_gradient((knots, at))
    n = knots.shape[-1]

    def halve(i, found):
        further = found + jax.lax.shift_right_logical(jnp.int32(1 << (n.bit_length() - 1)), jnp.int32(i))
        value = jnp.take_along_axis(knots, jnp.minimum(further, n) - 1, axis=-1, mode="promise_in_bounds")
        return jnp.where((further <= n) & (value <= at), further, found)

    # A loop, not unrolled: XLA would fuse the search into each of the gathers by its result, and search as often.
    return jax.lax.fori_loop(0, n.bit_length(), halve, jnp.zeros_like(at, jnp.int32))


def _segment(spline: Spline, knots: jax.Array, at: jax.Array, evenly: bool) -> tuple[jax.Array, ...]:
    """What a segment needs, gathered for each of `at`: x, width, z, height, and the ratios of its end slopes."""
    num = knots.shape[-1]
    if evenly:
        first, last = jax.lax.stop_gradient((knots[..., :1], knots[..., -1:]))
        place = (jax.lax.stop_gradient(at) - first) * ((num - 1) / (last - first))
        segment = jnp.clip(jnp.where(jnp.isnan(place), 0, place), 0, num - 2).astype(jnp.int32)
    else:
        segment = jnp.clip(count_not_above(knots, at) - 1, 0, num - 2)
    slope = log_segment_slopes(spline.x, spline.z)
    limit = _LARGEST_LOG_RATIO
    left = jnp.exp(jnp.clip(spline.log_slope[..., :-1] - slope, -limit, limit))
    right = jnp.exp(jnp.clip(spline.log_slope[..., 1:] - slope, -limit, limit))
    table = (spline.x[..., :-1], jnp.diff(spline.x, axis=-1), spline.z[..., :-1], jnp.diff(spline.z, axis=-1))
    return tuple(
        jnp.take_along_axis(entry, segment, axis=-1, mode="promise_in_bounds") for entry in (*table, left, right)
    )


def forward(spline: Spline, x: jax.Array, *, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Returns z and log dz/dx at `x` `[..., n]`, which must lie between the outer knots.

    References:
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows", eqs. 4 and 5.
    """
    start, width, z, height, left, right = _segment(spline, spline.x, x, evenly)
    t = (x - start) / width
    u = 1 - t
    mixed = t * u
    denominator = 1 + (left + right - 2) * mixed
    value = z + height * (t * t + left * mixed) / denominator
    derivative = (right * t * t + 2 * mixed + left * u * u) / (denominator * denominator)
    return value, jnp.log(height / width * derivative)


def inverse(spline: Spline, z: jax.Array, *, evenly: bool) -> jax.Array:
    """Returns x at `z` `[..., n]`, which must lie between the outer knots; by the stable root of the quadratic."""
    start, width, base, height, left, right = _segment(spline, spline.z, z, evenly)
    r = (z - base) / height
    bend = r * (left + right - 2)
    a, b = 1 - left + bend, left - bend
    root = jnp.sqrt(jnp.maximum(b * b + 4 * a * r, 0))
    # Each of the two forms of the root where nothing cancels; b < 0 means bend > left and so a > 1.
    t = jnp.where(b >= 0, 2 * r / jnp.where(b >= 0, b + root, 1), (root - b) / (2 * jnp.where(b >= 0, 1, a)))
    return start + width * within_one(t)
