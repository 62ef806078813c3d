r"""Normality by characteristic functions: the Cramer-Wold and Epps-Pulley distances of a sample to N(0, 1).

Both are the weighted L2 distance between the empirical characteristic function `phi_n(t) = mean_j exp(i t y_j)` and the
normal one, `(1/2 pi) \int |phi_n(t) - exp(-t^2/2)|^2 exp(-bandwidth t^2) dt`, a sum of squares that keeps its digits
where the pairwise form, a small difference of large terms, loses them. The integral is taken by the midpoint rule,
`O(n)` a node. With step `h` the rule is exact up to two errors: what lies beyond the last node, and the images of the
sample that repeat with period `2 pi / h`. So the period of each row follows the spread of that row, and points too far
out for any reasonable period are taken out of the integral; the pairs they form (few are within reach of the kernel)
are added one by one. Values and gradients are therefore those of the pairwise form whatever the scale of the sample.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gentoolkit._array import as_floating, check_positive, check_univariate, floating_dtype
from gentoolkit.distances import sorting
from gentoolkit.distances.normality import _sums

# Periods beyond this multiple of the shortest one cost more nodes than summing the pairs of the points left outside.
_LONGEST_PERIOD = 6.0
# A bandwidth that asks for more nodes than this, and than there are points, is narrow enough for pairs alone.
_MOST_NODES = 256
# Elements of a block of rows that stays in a core's cache (measured: twice as many take 1.6 times as long a row).
_BLOCK_ELEMENTS = 2**14


def cramer_wold(y: jax.Array, *, bandwidth: float | jax.Array | None = None) -> jax.Array:
    """Cramer-Wold distance of a sample to N(0, 1): the squared L2 distance of both after smoothing by N(0, bandwidth).

    With `g` the bandwidth and `N(x; v)` the density of N(0, v) at `x`, it equals the pairwise form
    `d = mean_ij N(y_i - y_j; 2g) + N(0; 2 + 2g) - 2 mean_i N(y_i; 1 + 2g)`, the diagonal `i = j` included (a
    V-statistic, so `d >= 0`). On standard normal samples its mean is `(1/n) [(4 pi g)^-1/2 - (4 pi (1 + g))^-1/2]`.
    P1 writes `N(m, s)` without saying that `s` is a variance; read as a standard deviation, its closed form is not the
    integral it is meant to be. The bandwidth here is a variance as well.

    The cost is `O(n)` times some 20 to 60 nodes; up to 6 times as many for a wide sample, and for points far outside it
    a sort and the pairs that they form (all pairs at worst, for a far cluster). Value and gradient come from one pass
    in `O(n)` memory. Samples given as leading axes run in blocks that fit in cache; `vmap` works but forgoes that.

    A sample spread over devices: under `jit`, with `y` sharded along `n`, each node costs an exchange of two numbers a
    row. Inside `shard_map`, gather the sample first:

        whole = lax.all_gather(y, "batch", axis=y.ndim - 1, tiled=True)
        loss = lax.pmean(cramer_wold(whole), "batch")

    Args:
      y: samples `[..., n]`; leading axes are independent problems.
      bandwidth: variance of the smoothing kernel, a positive scalar in squared units of `y`, possibly traced; by
        default Silverman's `(4 / 3n)^(2/5)`. It is held fixed: no derivative flows to it (a wider kernel always
        lowers `d`). A traced bandwidth that is not positive and finite gives NaN.

    Returns:
      Distances `[...]`, float32 or wider. A row with a NaN or an infinite entry gives NaN, in value and gradient.
      Derivatives of first order in both modes; of second order forward over reverse only (`jacfwd(grad)`).

    Raises:
      ValueError: `y` is empty or a scalar; `bandwidth` is not a scalar, or not positive and finite.
      TypeError: `y` or `bandwidth` is not real.

    References:
      P1 = Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", section 3, the display before eq. 4.
      Tabor, Knop, Spurek, Podolak, Mazur, Jastrzebski, "Cramer-Wold AutoEncoder", arXiv:1805.09235.
      Henze and Zirkler, "A class of invariant consistent tests for multivariate normality", Communications in
      Statistics 19 (1990): the characteristic function form, with `beta = 1 / sqrt(2 bandwidth)`.
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    if bandwidth is None:
        bandwidth = (4 / (3 * y.shape[-1])) ** 0.4
    floating_dtype(bandwidth=bandwidth)
    if jnp.shape(bandwidth) != ():
        raise ValueError(f"bandwidth must be a scalar, got bandwidth.shape = {jnp.shape(bandwidth)}.")
    check_positive(bandwidth=bandwidth)
    if not isinstance(bandwidth, jax.core.Tracer) and not math.isfinite(bandwidth):
        raise ValueError(f"bandwidth must be finite, got bandwidth = {bandwidth}.")
    return _distance(y, lax.stop_gradient(jnp.asarray(bandwidth, y.dtype)))


def epps_pulley(y: jax.Array) -> jax.Array:
    r"""Epps-Pulley distance of a sample to N(0, 1): squared error of the characteristic function, weighted by N(0, 1).

    `d = \int |phi_n(t) - exp(-t^2/2)|^2 exp(-t^2/2) / sqrt(2 pi) dt`
    `  = mean_ij exp(-(y_i - y_j)^2/2) + 1/sqrt(3) - sqrt(2) mean_i exp(-y_i^2/4)`,
    a distance for one sample: `n d` is the classical statistic (BHEP with `beta = 1`, for the mean 0 and the variance 1
    as given: the sample is not standardised). `0 <= d < 4`, and a standard normal sample has the mean
    `(1 - 1/sqrt(3)) / n`. It is `sqrt(2 pi)` times `cramer_wold` at `bandwidth=0.5`, with the same cost and care.

    Args:
      y: samples `[..., n]`; leading axes are independent problems.

    Returns:
      Distances `[...]`, float32 or wider. A row with a NaN or an infinite entry gives NaN, in value and gradient.

    Raises:
      ValueError: `y` is empty or a scalar.
      TypeError: `y` is not real.

    References:
      Epps and Pulley, "A test for normality based on the empirical characteristic function", Biometrika 70 (1983).
      Baringhaus and Henze, "A consistent test for multivariate normality based on the empirical characteristic
      function", Metrika 35 (1988).
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    return math.sqrt(2 * math.pi) * _distance(y, jnp.asarray(0.5, y.dtype))


# Its own derivative: the length of the loop over nodes depends on the data, which reverse mode refuses; intermediates
# would take O(n) memory a node; and a node's part of the gradient needs only the sums of that node, so one pass finds
# value and gradient, and the gradient is all that is kept. A rule for forward mode, linear in the tangent, gives both.
@jax.custom_jvp
def _distance(y: jax.Array, bandwidth: jax.Array) -> jax.Array:
    """The distance `[...]` of `y` `[..., n]`."""
    return _evaluate(y, bandwidth, with_gradient=False)[0]


@_distance.defjvp
def _distance_jvp(primals, tangents):
    value, gradient = _evaluate(*primals, with_gradient=True)
    return value, jnp.sum(gradient * tangents[0], axis=-1)


# Inlined, so that a traced caller sees no boundary: for a caller outside `jit`, whose loops would be compiled anew.
@functools.partial(jax.jit, static_argnames="with_gradient", inline=True)
def _evaluate(y: jax.Array, bandwidth: jax.Array, *, with_gradient: bool) -> tuple[jax.Array, jax.Array]:
    """Value `[...]` and gradient `[..., n]` (zeros unless asked for); on CPU in blocks of rows that fit in cache."""
    n, leading = y.shape[-1], y.shape[:-1]
    num_rows = math.prod(leading)
    block = max(1, _BLOCK_ELEMENTS // n)
    evaluate = functools.partial(_evaluate_rows, with_gradient=with_gradient)

    def blocked(rows, bandwidth):
        # The axis that is looped over is the minor one of the rows: rows sharded over devices stay where they are.
        num_blocks = -(-num_rows // block)
        rows = jnp.pad(rows, ((0, num_blocks * block - num_rows), (0, 0))).reshape(block, num_blocks, n)
        value, gradient = lax.map(lambda part: evaluate(part, bandwidth), rows.swapaxes(0, 1))
        value, gradient = value.swapaxes(0, 1).reshape(-1), gradient.swapaxes(0, 1).reshape(-1, n)
        return value[:num_rows], gradient[:num_rows]

    rows = y.reshape(num_rows, n)
    if num_rows <= block:
        value, gradient = evaluate(rows, bandwidth)
    else:
        value, gradient = lax.platform_dependent(rows, bandwidth, cpu=blocked, default=evaluate)
    return value.reshape(leading), gradient.reshape(y.shape)


def _evaluate_rows(y: jax.Array, bandwidth: jax.Array, *, with_gradient: bool) -> tuple[jax.Array, jax.Array]:
    """Value `[rows]` and gradient `[rows, n]` of `y` `[rows, n]`."""
    # Everything below exp(-exponent) is left out. Near the optimum the distance is up to 1e5 times smaller than its
    # terms, hence the margin below float32's 1e-7.
    exponent = 36.0 if y.dtype == jnp.float64 else 26.0
    valid = (bandwidth > 0) & (bandwidth < jnp.inf)
    g = jnp.where(valid, bandwidth, 1)

    # Periods that keep apart the images of the sample, of the sample and the normal law, and of the normal law.
    pair_reach = 2 * jnp.sqrt(exponent * g)
    cross_reach = jnp.sqrt(2 * exponent * (1 + 2 * g))
    shortest = 2 * jnp.sqrt(exponent * (1 + g))
    longest = _LONGEST_PERIOD * shortest
    fixed = lax.stop_gradient(y)
    low, high = jnp.min(fixed, axis=-1, keepdims=True), jnp.max(fixed, axis=-1, keepdims=True)
    period = jnp.maximum(high - low + pair_reach, jnp.maximum(-low, high) + cross_reach)
    period = jnp.maximum(period, shortest)

    last_node = jnp.sqrt(exponent / g)
    crowded = last_node * shortest > 2 * math.pi * max(_MOST_NODES, y.shape[-1])
    fits = (period <= longest) & ~crowded  # False for a row with NaN too
    period = jnp.where(fits, period, longest)
    window = jnp.where(crowded, -1, jnp.minimum((longest - pair_reach) / 2, longest - cross_reach))
    window = jnp.where(fits, jnp.inf, window)
    outside = jnp.abs(fixed) > window

    # Rounded to seven bits, so that the squares of the first nodes are exact.
    step = 2 * math.pi * (1 - 2**-7) / period
    step = lax.reduce_precision(step, jnp.finfo(step.dtype).nexp, 6)
    num_nodes = jnp.where(crowded, 0, jnp.ceil(last_node / jnp.min(step, initial=jnp.inf))).astype(jnp.int32)
    value, gradient = _integrate(jnp.where(outside, 0, y), ~outside, step, num_nodes, g, with_gradient=with_gradient)
    value = jnp.where(crowded, lax.rsqrt(4 * math.pi * (1 + g)), value)

    # A loop of at most one turn instead of a cond, of which vmap would make a select that always runs both sides. The
    # sample is part of the state and leaves it changed: XLA would move work on an unchanging one, here the sort, out of
    # the loop, and so always run it.
    def add_outside(state):
        waiting, sample, value, gradient = state
        extra_value, extra_gradient = _sum_outside(sample, window, g, pair_reach)
        return waiting & False, -sample, value + extra_value, gradient + extra_gradient

    state = (jnp.any(outside), y, value, gradient)
    _, _, value, gradient = lax.while_loop(lambda state: state[0], add_outside, state)
    finite = jnp.all(jnp.isfinite(fixed), axis=-1, keepdims=True) & valid
    return jnp.where(finite[:, 0], value, jnp.nan), jnp.where(finite, gradient, jnp.nan)


def _integrate(y, inside, step, num_nodes, g, *, with_gradient):
    """Midpoint rule over the nodes `(k + 1/2) step`, for the points that are `inside` and the whole normal law."""
    n = y.shape[-1]
    angle = y * (step / 2)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # A point outside has the phasor zero, which rotation keeps. One complex number an entry: two real ones would be two
    # loops over memory that both do what they share.
    phasor = lax.complex(jnp.where(inside, cos, 0), jnp.where(inside, sin, 0))
    # The rotation by 2 angle is applied as an increment, whose rounding error shrinks with the angle.
    turn = lax.complex(-2 * sin * sin, 2 * sin * cos)

    def take_nodes(state):
        node, phasor, value, gradient = state
        t = (node.astype(y.dtype) + 0.5) * step
        weight = step / math.pi * jnp.exp(-g * t * t)
        # Less the target on the way: the sum then stays small, and so does its rounding error.
        target, rest = _exp_in_two(t * t / 2)
        mean = _sums.sum_less(phasor, target.astype(phasor.dtype)) / n
        real, imag = jnp.real(mean) - rest, jnp.imag(mean)
        value = value + weight * (real * real + imag * imag)
        if with_gradient:
            slope = 2 / n * weight * t
            gradient = gradient + ((slope * imag) * jnp.real(phasor) - (slope * real) * jnp.imag(phasor))
        return node + 1, phasor + turn * phasor, value, gradient

    start = (jnp.zeros_like(num_nodes), phasor, jnp.zeros_like(step), jnp.zeros_like(y))
    _, _, value, gradient = lax.while_loop(lambda state: state[0] < num_nodes, take_nodes, start)
    return value[:, 0], gradient


def _exp_in_two(x):
    """exp(-x), x >= 0, as a sum whose second term holds the digits that the first, rounded to its dtype, has lost.

    Near the optimum the rounding of the normal characteristic function would be the largest error of all.
    """
    table = np.exp(-np.arange(40 * 8) / 8)
    first = table.astype(x.dtype)
    second = (table - first).astype(x.dtype)
    index = jnp.clip(jnp.round(8 * x), 0, len(table) - 1)
    remainder = jnp.expm1(index / 8 - x)
    index = index.astype(jnp.int32)
    first, second = jnp.asarray(first)[index], jnp.asarray(second)[index]
    return first, second + first * remainder


def _sum_outside(y, window, g, reach):
    """The pairs that have a member outside the window, and the cross term of those members, summed directly.

    The rows are sorted and compared with themselves at lag 1, 2, ... until no such pair is within `reach`: one turn for
    isolated points, up to n for a far cluster.
    """
    n = y.shape[-1]
    # XLA's sort, slow on CPU but rarely reached here, leaves every program that never gets here light and cacheable.
    rank = sorting.ranks(lax.stop_gradient(y), method="xla")
    ordered = jnp.put_along_axis(jnp.zeros_like(y), rank, y, axis=-1, inplace=False)
    outside, marked = jnp.abs(y) > window, jnp.abs(ordered) > window
    ahead = jnp.concatenate([ordered, ordered], axis=-1)
    ahead_marked = jnp.concatenate([marked, marked], axis=-1)
    index = lax.broadcasted_iota(jnp.int32, y.shape, 1)

    def take_lag(state):
        lag, _, total, force = state
        gap = lax.dynamic_slice_in_dim(ahead, lag, n, axis=-1) - ordered
        counts = marked | lax.dynamic_slice_in_dim(ahead_marked, lag, n, axis=-1)
        counts = counts & (index < n - lag) & (gap <= reach)
        kernel = jnp.where(counts, jnp.exp(-gap * gap / (4 * g)), 0)
        pull = jnp.where(counts, kernel * gap, 0)
        behind = lax.dynamic_slice_in_dim(jnp.concatenate([jnp.zeros_like(pull), pull], axis=-1), n - lag, n, axis=-1)
        return lag + 1, jnp.any(counts), total + jnp.sum(kernel, axis=-1), force + (pull - behind)

    start = (jnp.ones((), jnp.int32), jnp.any(marked), jnp.zeros_like(y[:, 0]), jnp.zeros_like(y))
    _, _, total, force = lax.while_loop(lambda state: state[1], take_lag, start)

    peak = lax.rsqrt(4 * math.pi * g)
    cross = jnp.where(outside, jnp.exp(-y * y / (2 * (1 + 2 * g))), 0) * (2 / n * lax.rsqrt(2 * math.pi * (1 + 2 * g)))
    alone = jnp.sum(outside, axis=-1, dtype=y.dtype)
    value = (2 * total + alone) * (peak / float(n) ** 2) - jnp.sum(cross, axis=-1)
    gradient = jnp.take_along_axis(force, rank, axis=-1) * (peak / (float(n) ** 2 * g))
    return value, gradient + jnp.where(outside, y, 0) * cross / (1 + 2 * g)
