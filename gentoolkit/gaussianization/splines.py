"""Monotone rational-quadratic splines from x to z: forward with log-derivative, and an exact inverse.

Only ratios of slopes enter, so that segments as steep as 1e26 (a constant column of zeros) do not overflow in float32.
A place in a segment is told from that end of it which is nearer to x = 0: in a heavy tail, where a segment may reach
from -1e8 to -10, the other end would leave of x = -11 no digit at all.
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

    Of a segment, lying on the last axis with the lines first and last, there is what an entry needs, to be gathered at
    once. A segment begins at that end which is nearer to x = 0; where this is the upper end it runs downwards, and its
    extents are negative.

    Attributes:
      x_knots: `[..., k]`, ascending.
      z_knots: `[..., k]`, ascending.
      start: `[..., k + 1]`, x where a segment begins; of the lines, the outer knots.
      rate: `[..., k + 1]`, one over its extent in x; of the lines, over that of all segments.
      base: `[..., k + 1]`, z where it begins.
      height: `[..., k + 1]`, its extent in z.
      first: `[..., k + 1]`, dz/dx where it begins over that of its chord.
      last: `[..., k + 1]`, the same where it ends.
    """

    x_knots: jax.Array
    z_knots: jax.Array
    start: jax.Array
    rate: jax.Array
    base: jax.Array
    height: jax.Array
    first: jax.Array
    last: jax.Array


class _Segment(NamedTuple):
    """What a `Spline` tells of the segment of each entry."""

    start: jax.Array
    rate: jax.Array
    base: jax.Array
    height: jax.Array
    first: jax.Array
    last: jax.Array


def through(x: jax.Array, z: jax.Array, log_slope: jax.Array) -> Spline:
    """The spline through knots, with straight lines beyond the outer ones.

    Args:
      x: `[..., k]` knots, strictly increasing, k >= 2.
      z: `[..., k]` the values there, strictly increasing.
      log_slope: `[..., k]` logs of dz/dx there; kept within a factor of 1100 of the slopes of the chords beside.

    Returns:
      The spline.
    """
    chord = log_segment_slopes(x, z)
    limit = _LARGEST_LOG_RATIO
    left = jnp.exp(jnp.clip(log_slope[..., :-1] - chord, -limit, limit))
    right = jnp.exp(jnp.clip(log_slope[..., 1:] - chord, -limit, limit))
    width, height = jnp.diff(x, axis=-1), jnp.diff(z, axis=-1)
    downwards = jax.lax.stop_gradient(jnp.abs(x[..., 1:]) < jnp.abs(x[..., :-1]))

    def begin(low, high):
        return jnp.where(downwards, high, low), jnp.where(downwards, low, high)

    start, _ = begin(x[..., :-1], x[..., 1:])
    base, _ = begin(z[..., :-1], z[..., 1:])
    first, last = begin(left, right)
    length = x[..., -1:] - x[..., :1]
    rise = length * jnp.exp(log_slope[..., jnp.array([0, -1])])
    one = jnp.ones_like(length)
    entries = (
        (x[..., :1], start, x[..., -1:]),
        (1 / length, 1 / jnp.where(downwards, -width, width), 1 / length),
        (z[..., :1], base, z[..., -1:]),
        (rise[..., :1], jnp.where(downwards, -height, height), rise[..., 1:]),
        (one, first, one),
        (one, last, one),
    )
    return Spline(x, z, *(jnp.concatenate(parts, axis=-1) for parts in entries))


def distinct(knots: jax.Array) -> jax.Array:
    """Moves ascending knots apart where they are equal or nearly so, by no more than the rounding there asks for.

    Equal ones are set eight roundings of their own value apart, around it; then each is at least four roundings above
    the one before. All others keep their place, whatever their size: next to a knot of 1e8 those near 1 stay apart by
    1e-7. At zero, where there is no rounding to go by, the smallest of the other knots takes the place of the value.

    Args:
      knots: `[..., k]`, ascending, finite.

    Returns:
      `[..., k]`, strictly increasing.
    """
    count, restore, unchanged = _steps_of_rounding(knots)
    place = jnp.broadcast_to(jnp.arange(knots.shape[-1], dtype=count.dtype), count.shape)
    less = jnp.sum(knots[..., None, :] < knots[..., :, None], axis=-1, dtype=count.dtype)
    not_above = jnp.sum(knots[..., None, :] <= knots[..., :, None], axis=-1, dtype=count.dtype)
    spread = count + 4 * (2 * place - (less + not_above - 1))
    apart = jax.lax.cummax(spread - 4 * place, axis=spread.ndim - 1) + 4 * place
    return jnp.where(apart == count, unchanged, restore(apart))


def _steps_of_rounding(knots: jax.Array):
    """Numbers of floating-point steps between 0 and each knot, what undoes it, and the knots themselves.

    Integers, so that what is added to them is added exactly at any size. Steps are even up to the smallest knot that is
    not 0, and from there on those of the numbers themselves, whose bits count them.
    """
    info = jnp.finfo(knots.dtype)
    integer = jnp.int32 if knots.dtype.itemsize == 4 else jnp.int64
    size = jnp.abs(knots)
    # Steps of 2^-123 and more in float32: one over a few of them is still finite.
    least = 2.0 ** (info.minexp + 26)
    smallest = jnp.min(jnp.where(size > least, size, jnp.inf), axis=-1, keepdims=True)
    smallest = jnp.where(jnp.max(size, axis=-1, keepdims=True) > 0, jnp.minimum(smallest, info.max), 1e-20)
    smallest = jnp.where(smallest < info.max, smallest, least)
    step, even = smallest * float(info.eps), 1 << info.nmant
    origin = jax.lax.bitcast_convert_type(smallest, integer) - integer(even)
    steps = jax.lax.bitcast_convert_type(size, integer) - origin
    near = size < smallest
    count = jnp.where(near, jnp.round(jnp.where(near, size, 0) / step).astype(integer), steps)

    def restore(count):
        size = jnp.abs(count)
        far = jax.lax.bitcast_convert_type(jnp.maximum(size, even) + origin, knots.dtype)
        return jnp.sign(count).astype(knots.dtype) * jnp.where(size < even, size.astype(knots.dtype) * step, far)

    return jnp.sign(knots).astype(integer) * count, restore, knots


def strictly_increasing(knots: jax.Array, floor: jax.Array) -> jax.Array:
    """Moves knots of one size apart, upwards, where neighbours are closer than a floor; others keep their place.

    Args:
      knots: `[..., k]`, ascending.
      floor: `[..., 1]` the least distance.

    Returns:
      `[..., k]`.
    """
    gap = jnp.diff(knots, axis=-1)
    lack = jnp.maximum(floor - gap, 0)
    return knots.at[..., 1:].add(jnp.cumsum(lack, axis=-1))


def log_segment_slopes(x: jax.Array, z: jax.Array) -> jax.Array:
    """Log of the slope of each segment.

    Args:
      x: `[..., k]` strictly increasing knots.
      z: `[..., k]` the values there.

    Returns:
      `[..., k - 1]`.
    """
    return jnp.log(jnp.diff(z, axis=-1)) - jnp.log(jnp.diff(x, axis=-1))


def log_knot_slopes(x: jax.Array, z: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Log slopes at the knots: inside, the weighted geometric mean of the two segments that meet there.

    Args:
      x: `[..., k]` strictly increasing knots.
      z: `[..., k]` the values there.
      first: `[...]` log slope at the first knot.
      last: `[...]` log slope at the last knot.

    Returns:
      `[..., k]`.

    References:
      Delbourgo and Gregory (1985), "The determination of derivative parameters for a monotonic rational quadratic
      interpolant", IMA J. Numer. Anal. 5 (the geometric mean: second order, positive whatever the data).
    """
    slopes, width = log_segment_slopes(x, z), jnp.diff(x, axis=-1)
    left, right = width[..., :-1], width[..., 1:]
    inside = slopes[..., :-1] + (slopes[..., 1:] - slopes[..., :-1]) * (left / (left + right))
    return jnp.concatenate([first[..., None], inside, last[..., None]], axis=-1)


# Its own derivative: what rounding puts a little outside has the slope of the segment's end, not none.
@jax.custom_jvp
def within_one(t: jax.Array) -> jax.Array:
    """Keeps numbers in [0, 1], against rounding; with derivative one everywhere.

    Args:
      t: `[...]`.

    Returns:
      `[...]`.
    """
    return jnp.where(t < 0, 0, jnp.where(t > 1, 1, t))


@within_one.defjvp
def _within_one_jvp(primals, tangents):
    return within_one(*primals), tangents[0]


def count_not_above(knots: jax.Array, at: jax.Array) -> jax.Array:
    """How many ascending knots are not above each entry; carries no derivative.

    Args:
      knots: `[..., k]`, ascending.
      at: `[..., q]`, the same leading axes.

    Returns:
      `[..., q]` int32, from 0 to k.
    """
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


def _segment(spline: Spline, knots: jax.Array, at: jax.Array, evenly: bool) -> tuple[jax.Array, _Segment]:
    """Whether each of `at` lies on a line, and what there is to know of its segment; `knots` are those of its axis."""
    num = knots.shape[-1]
    if not evenly and num <= _MOST_SELECTED:
        passed = [jax.lax.stop_gradient(knots[..., i : i + 1]) <= at for i in range(num)]
        entries = (_last_passed(entry, passed) for entry in spline[2:])
        return ~passed[0] | passed[-1], _Segment(*entries)
    if evenly:
        first, last = jax.lax.stop_gradient((knots[..., :1], knots[..., -1:]))
        place = jnp.floor((jax.lax.stop_gradient(at) - first) * ((num - 1) / (last - first)))
        segment = jnp.clip(jnp.where(jnp.isnan(place), 0, place + 1), 0, num).astype(jnp.int32)
    else:
        segment = count_not_above(knots, at)
    entries = (jnp.take_along_axis(entry, segment, axis=-1, mode="promise_in_bounds") for entry in spline[2:])
    return (segment == 0) | (segment == num), _Segment(*entries)


def _last_passed(entry: jax.Array, passed: list[jax.Array]) -> jax.Array:
    found = jnp.broadcast_to(entry[..., :1], jnp.broadcast_shapes(entry[..., :1].shape, passed[0].shape))
    for i, mask in enumerate(passed, 1):
        found = jnp.where(mask, entry[..., i : i + 1], found)
    return found


def forward(spline: Spline, x: jax.Array, *, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """The value of a spline and the log of its slope.

    Args:
      spline: of `through`.
      x: `[..., n]`, the leading axes those of the spline.
      evenly: static; the knots lie evenly in x.

    Returns:
      z and log dz/dx, `[..., n]` each.

    References:
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows", eqs. 4 and 5.
    """
    base, rise, log_slope = _rise(spline, x, None, evenly)
    return base + rise, log_slope


def inverse(spline: Spline, z: jax.Array, *, evenly: bool) -> jax.Array:
    """Undoes a spline, by the stable root of the quadratic.

    Args:
      spline: of `through`.
      z: `[..., n]`.
      evenly: static; the knots lie evenly in z.

    Returns:
      x, `[..., n]`.
    """
    start, run = _run(spline, z, None, evenly)
    return start + run


def compensated_forward(
    spline: Spline, x: jax.Array, rest: jax.Array, *, evenly: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The value of a spline for numbers that come with what their rounding took off.

    Args:
      spline: of `through`.
      x: `[..., n]`.
      rest: `[..., n]`; the spline is taken at `x + rest`.
      evenly: static; the knots lie evenly in x.

    Returns:
      z rounded, what the rounding took off, and log dz/dx, `[..., n]` each.
    """
    base, rise, log_slope = _rise(spline, x, rest, evenly)
    return *_compensated.two_sum(base, rise), log_slope


def compensated_inverse(spline: Spline, z: jax.Array, rest: jax.Array, *, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Undoes a spline for numbers that come with what their rounding took off.

    Args:
      spline: of `through`.
      z: `[..., n]`.
      rest: `[..., n]`; the inverse is taken at `z + rest`.
      evenly: static; the knots lie evenly in z.

    Returns:
      x rounded, and what the rounding took off, `[..., n]` each.
    """
    return _compensated.two_sum(*_run(spline, z, rest, evenly))


def _rise(spline: Spline, x: jax.Array, rest: jax.Array | None, evenly: bool):
    """Where the segment of `x` begins in z, how far above that z is, and log dz/dx."""
    _, (start, rate, base, height, first, last) = _segment(spline, spline.x_knots, x, evenly)
    place = _from(start, x, rest) * rate
    # Kept in a segment against rounding; on a line the ratio below is one wherever it is taken.
    t = within_one(place)
    u = 1 - t
    mixed = t * u
    denominator = 1 + (first + last - 2) * mixed
    derivative = (last * t * t + 2 * mixed + first * u * u) / (denominator * denominator)
    # Finite where a segment is as narrow as the dtype allows and its end a thousand times as steep.
    slope = jnp.minimum(height * rate * derivative, float(jnp.finfo(x.dtype).max))
    return base, height * place * (t + first * u) / denominator, jnp.log(slope)


def _run(spline: Spline, z: jax.Array, rest: jax.Array | None, evenly: bool) -> tuple[jax.Array, jax.Array]:
    """Where the segment of `z` begins in x, and how far beyond that x is."""
    on_line, (start, rate, base, height, first, last) = _segment(spline, spline.z_knots, z, evenly)
    place = _from(base, z, rest) / height
    r = within_one(place)
    bend = r * (first + last - 2)
    a, b = 1 - first + bend, first - bend
    root = jnp.sqrt(jnp.maximum(b * b + 4 * a * r, 0))
    # Each of the two forms of the root where nothing cancels; b < 0 means bend > first and so a > 1.
    t = jnp.where(b >= 0, 2 * r / jnp.where(b >= 0, b + root, 1), (root - b) / (2 * jnp.where(b >= 0, 1, a)))
    return start, jnp.where(on_line, place, within_one(t)) / rate


def _from(origin: jax.Array, at: jax.Array, rest: jax.Array | None) -> jax.Array:
    return at - origin if rest is None else (at - origin) + rest
