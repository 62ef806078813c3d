"""Monotone rational-quadratic splines from x to z: forward with log-derivative, and an exact inverse.

Only ratios of slopes enter, so that segments as steep as 1e26 (a constant column of zeros) do not overflow in float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit.gaussianization import _compensated

# Slopes at the knots are kept within exp(7), a factor of 1100, of the segment's own: steeper ends would use up the
# digits of float32 and change the map by less than 1e-3 of a segment.
_LARGEST_LOG_RATIO = 7.0
# Up to so many knots the numbers of a segment are chosen by comparing and selecting along all knots: whole vectors at a
# time, where XLA on CPU gathers entry by entry.
_MOST_SELECTED = 36
# Knots that an entry is compared with one by one, before the search goes on by halving.
_MOST_COMPARED = 64


class Spline(NamedTuple):
    """An increasing map for each leading axis: k - 1 segments between k knots, and a straight line beyond either end.

    Segments lie on the last axis, the lines first and last; that is what an entry needs, to be gathered at once.

    Attributes:
      start: `[..., k + 1]`, x where a segment begins; of the lines, the outer knots.
      rate: `[..., k + 1]`, one over its extent in x; of the lines, over that of all segments.
      base: `[..., k + 1]`, z where it begins.
      height: `[..., k + 1]`, its extent in z.
      left: `[..., k + 1]`, dz/dx where it begins over that of its chord.
      right: `[..., k + 1]`, the same where it ends.
    """

    start: jax.Array
    rate: jax.Array
    base: jax.Array
    height: jax.Array
    left: jax.Array
    right: jax.Array


def through(x: jax.Array, z: jax.Array, log_slope: jax.Array) -> Spline:
    """The spline through strictly increasing knots x, z with logs of dz/dx there, all `[..., k]`."""
    chord = log_segment_slopes(x, z)
    limit = _LARGEST_LOG_RATIO
    left = jnp.exp(jnp.clip(log_slope[..., :-1] - chord, -limit, limit))
    right = jnp.exp(jnp.clip(log_slope[..., 1:] - chord, -limit, limit))
    length = x[..., -1:] - x[..., :1]
    rise = length * jnp.exp(log_slope[..., jnp.array([0, -1])])
    one = jnp.ones_like(length)
    entries = (
        (x[..., :1], x),
        (1 / length, 1 / jnp.diff(x, axis=-1), 1 / length),
        (z[..., :1], z),
        (rise[..., :1], jnp.diff(z, axis=-1), rise[..., 1:]),
        (one, left, one),
        (one, right, one),
    )
    return Spline(*(jnp.concatenate(parts, axis=-1) for parts in entries))


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
    # Comparing with a few dozen knots is one pass over vectors; each halving is a gather, and costs as much as thirty
    # comparisons. So every stride-th knot is compared first, and halving goes on between two of them.
    halvings = max(0, -(-n // _MOST_COMPARED) - 1).bit_length()
    stride = 1 << halvings
    compared = jnp.zeros_like(at, jnp.int32)
    for knot in range(stride - 1, n, stride):
        compared += (knots[..., knot : knot + 1] <= at).astype(jnp.int32)

    def halve(i, found):
        further = found + jax.lax.shift_right_logical(jnp.int32(stride >> 1), jnp.int32(i))
        value = jnp.take_along_axis(knots, jnp.minimum(further, n) - 1, axis=-1, mode="promise_in_bounds")
        return jnp.where((further <= n) & (value <= at), further, found)

    # A loop, not unrolled: XLA would fuse the search into each of the gathers by its result, and search as often.
    return jax.lax.fori_loop(0, halvings, halve, stride * compared)


def _segment(spline: Spline, knots: jax.Array, at: jax.Array, evenly: bool) -> tuple[jax.Array, Spline]:
    """Whether each of `at` lies on a line, and what there is to know of its segment; `knots` are those of its axis."""
    num = knots.shape[-1]
    if not evenly and num <= _MOST_SELECTED:
        passed = [jax.lax.stop_gradient(knots[..., i : i + 1]) <= at for i in range(num)]
        entries = (_last_passed(entry, passed) for entry in spline)
        return ~passed[0] | passed[-1], Spline(*entries)
    if evenly:
        first, last = jax.lax.stop_gradient((knots[..., :1], knots[..., -1:]))
        place = jnp.floor((jax.lax.stop_gradient(at) - first) * ((num - 1) / (last - first)))
        segment = jnp.clip(jnp.where(jnp.isnan(place), 0, place + 1), 0, num).astype(jnp.int32)
    else:
        segment = count_not_above(knots, at)
    entries = (jnp.take_along_axis(entry, segment, axis=-1, mode="promise_in_bounds") for entry in spline)
    return (segment == 0) | (segment == num), Spline(*entries)


def _last_passed(entry: jax.Array, passed: list[jax.Array]) -> jax.Array:
    found = jnp.broadcast_to(entry[..., :1], jnp.broadcast_shapes(entry[..., :1].shape, passed[0].shape))
    for i, mask in enumerate(passed, 1):
        found = jnp.where(mask, entry[..., i : i + 1], found)
    return found


def forward(spline: Spline, x: jax.Array, *, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Returns z and log dz/dx at `x` `[..., n]`; `evenly` (static): the knots lie evenly in x.

    References:
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows", eqs. 4 and 5.
    """
    base, rise, log_slope = _rise(spline, x, None, evenly)
    return base + rise, log_slope


def inverse(spline: Spline, z: jax.Array, *, evenly: bool) -> jax.Array:
    """Returns x at `z` `[..., n]`, by the stable root of the quadratic; `evenly` (static): the knots lie so in z."""
    start, run = _run(spline, z, None, evenly)
    return start + run


def compensated_forward(
    spline: Spline, x: jax.Array, rest: jax.Array, *, evenly: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns z at `x + rest` as a rounded value and what the rounding took off, and log dz/dx."""
    base, rise, log_slope = _rise(spline, x, rest, evenly)
    return *_compensated.two_sum(base, rise), log_slope


def compensated_inverse(spline: Spline, z: jax.Array, rest: jax.Array, *, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Returns x at `z + rest`, likewise."""
    return _compensated.two_sum(*_run(spline, z, rest, evenly))


def _rise(spline: Spline, x: jax.Array, rest: jax.Array | None, evenly: bool):
    """Where the segment of `x` begins in z, how far above that z is, and log dz/dx."""
    _, (start, rate, base, height, left, right) = _segment(spline, spline.start[..., 1:], x, evenly)
    place = _from(start, x, rest) * rate
    # Kept in a segment against rounding; on a line the ratio below is one wherever it is taken.
    t = within_one(place)
    u = 1 - t
    mixed = t * u
    denominator = 1 + (left + right - 2) * mixed
    derivative = (right * t * t + 2 * mixed + left * u * u) / (denominator * denominator)
    return base, height * place * (t + left * u) / denominator, jnp.log(height * rate * derivative)


def _run(spline: Spline, z: jax.Array, rest: jax.Array | None, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Where the segment of `z` begins in x, and how far beyond that x is."""
    on_line, (start, rate, base, height, left, right) = _segment(spline, spline.base[..., 1:], z, evenly)
    place = _from(base, z, rest) / height
    r = within_one(place)
    bend = r * (left + right - 2)
    a, b = 1 - left + bend, left - bend
    root = jnp.sqrt(jnp.maximum(b * b + 4 * a * r, 0))
    # Each of the two forms of the root where nothing cancels; b < 0 means bend > left and so a > 1.
    t = jnp.where(b >= 0, 2 * r / jnp.where(b >= 0, b + root, 1), (root - b) / (2 * jnp.where(b >= 0, 1, a)))
    return start, jnp.where(on_line, place, within_one(t)) / rate


def _from(origin: jax.Array, at: jax.Array, rest: jax.Array | None) -> jax.Array:
    return at - origin if rest is None else (at - origin) + rest
