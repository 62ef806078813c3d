"""The default marginal map: the sample's quantiles joined by a monotone rational-quadratic spline."""

import functools
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import as_floating
from gentoolkit.gaussianization import splines
from gentoolkit.gaussianization.marginal import _tails
from gentoolkit.gaussianization.marginal._rows import ascending, nan_where_not_finite
from gentoolkit.gaussianization.marginal.variant import Marginal

_LEAST_COUNT = 16  # samples between neighbouring knots
_LAST_COUNT = 4  # samples beyond the last knot but one; the last one is the extreme itself


def quantile(*, num_knots: int | None = None, tails: _tails.Rule = "gaussian") -> Marginal:
    """Quantiles joined by a monotone rational-quadratic spline, in O(n log n): sort, read off, done.

    Each sample sits at the normal quantile of (rank + 1/2) / n. The knots lie evenly in z where at least 16 samples
    fall between two of them, and with 16 samples between two further out: a slope is then known to a quarter of itself.
    With tails="pareto" the last knot has 16 samples beyond it, otherwise it is the extreme itself, whose own scatter
    the tail inherits. The spline is continuously differentiable, into the tails too. Within ties (an integer column, a
    constant one) the map is as steep as the dtype allows, and the tied value goes to the middle of its own range of z:
    a constant column becomes z = 0. Use `dither` where ties are rounding.

    Args:
      num_knots: static, >= 3, how many knots there would be were they all even in z; `None` takes 2.5 n^(1/3), from 9
        to 257. More knots follow the sample more closely and overfit the density more: in-sample log-likelihood is
        too high by about num_knots / (2 n) a feature.
      tails: static, the rule outside the sample's range: "gaussian", "linear", "pareto" or "clip" (see the package).

    Returns:
      A `Marginal`. The same options give the same object, so that compiled functions are found again.

    Raises:
      ValueError: fewer than 3 knots, or an unknown rule; when fitting, fewer than 2 samples.

    References:
      Gregory and Delbourgo (1982), "Piecewise rational quadratic interpolation to monotonic data".
      Durkan, Bekasov, Murray, Papamakarios (2019), "Neural spline flows", eqs. 4 to 8.
    """
    _tails.check(tails)
    if num_knots is not None and num_knots < 3:
        raise ValueError(f"num_knots must be >= 3, got num_knots = {num_knots}.")
    return _quantile(num_knots, tails)


@functools.lru_cache(maxsize=64)
def _quantile(num_knots: int | None, tails: _tails.Rule) -> Marginal:
    def fit(y: jax.Array, is_sorted: bool = False) -> tuple[splines.Spline, _tails.Tails]:
        y = ascending(y, is_sorted)
        index, upper_weight, levels = _knots(y.shape[-1], num_knots, tails != "pareto")
        weight = jnp.broadcast_to(jnp.asarray(upper_weight, y.dtype), y.shape[:-1] + upper_weight.shape)
        below, above = jnp.take(y, index, axis=-1), jnp.take(y, index + 1, axis=-1)
        x = splines.distinct(below + weight * (above - below))
        z = jnp.broadcast_to(jnp.asarray(levels, y.dtype), x.shape)
        slope = splines.log_segment_slopes(x, z)
        ends = jnp.exp(slope[..., jnp.array([0, -1])])
        tail = _tails.fit(tails, y, _ends(x), _ends(z), ends)
        log_slope = splines.log_knot_slopes(x, z, jnp.log(tail.slope[..., 0]), jnp.log(tail.slope[..., 1]))
        return nan_where_not_finite(y, (splines.through(x, z, log_slope), tail))

    def forward(fitted, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        (y,) = as_floating(y=y)
        return _tails.splined_forward(tails, fitted, y, evenly=False)

    def inverse(fitted, z: jax.Array) -> jax.Array:
        (z,) = as_floating(z=z)
        return _tails.splined_inverse(tails, fitted, z)

    options = (("num_knots", num_knots), ("tails", tails))
    return Marginal(fit, forward, inverse, "quantile", options, _tails.splined_compensated(tails, evenly=False))


def _ends(knots: jax.Array) -> jax.Array:
    return jnp.stack([knots[..., 0], knots[..., -1]], axis=-1)


@functools.lru_cache(maxsize=64)
def _knots(n: int, num_knots: int | None, to_extremes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which two order statistics each knot lies between, the weight of the upper one, and z at the knots."""
    if num_knots is None:
        num_knots = int(np.clip(round(2.5 * n ** (1 / 3)), 9, 257))
    law = NormalDist()
    end = _tails.levels(n)
    step = 2 * end / (num_knots - 1)
    upper, beyond = [0.0], n / 2
    last_count = _LAST_COUNT if to_extremes else min(_LEAST_COUNT, n / 8)
    while beyond > last_count:
        # Evenly in z where samples are many; then with enough of them between two knots, half of the rest at the end.
        level = upper[-1] + step
        beyond = min(n * law.cdf(-level), beyond - min(_LEAST_COUNT, beyond / 2))
        upper.append(-law.inv_cdf(beyond / n))
    if to_extremes or len(upper) == 1:
        upper[-1 if len(upper) > 1 and end - upper[-1] < step / 2 else len(upper) :] = [end]
    levels = np.array([-z for z in upper[:0:-1]] + upper)
    position = np.array([n * law.cdf(z) - 0.5 for z in levels])
    index = np.clip(np.floor(position + 1e-9), 0, n - 2).astype(np.int32)
    # Between two order statistics the knots are placed on the straight line in z, which a spline reproduces.
    below, above = (np.array([law.inv_cdf((i + 0.5) / n) for i in index + up]) for up in (0, 1))
    weight = np.clip((levels - below) / (above - below), 0.0, 1.0)
    return index, weight, levels
