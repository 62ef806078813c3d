"""What a marginal map is, and dithering, which gives a law with atoms the density that a map needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_array, as_floating, check_positive, check_univariate
from gentoolkit.distances import sorting


class Compensated(NamedTuple):
    """Both directions of a map for numbers that come with the rest that rounding took off them.

    Attributes:
      forward: `forward(fitted, y, rest) -> (z, rest, log_derivative)`, z rounded and what the rounding took off.
      inverse: `inverse(fitted, z, rest) -> (y, rest)`.
    """

    forward: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
    inverse: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Marginal(NamedTuple):
    """A family of increasing maps to N(0, 1), one map for each row.

    Attributes:
      fit: `fit(y, is_sorted=False) -> fitted`, y `[..., n]`, fitted a pytree of arrays with the same leading axes.
        Carries no derivative.
      forward: `forward(fitted, y) -> (z, log_derivative)`, both of the shape of y `[..., m]`.
      inverse: `inverse(fitted, z) -> y`.
      name: the function of this package that made it, with `options`; empty for a variant of your own.
      options: the keyword arguments given to that function, as pairs.
      compensated: the same map for numbers that come with a rest; None where there is none.
    """

    fit: Callable[..., Any]
    forward: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
    inverse: Callable[[Any, jax.Array], jax.Array]
    name: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    compensated: Compensated | None = None


def dither(key: jax.Array, y: jax.Array, *, width: float | None = None) -> jax.Array:
    """Spreads ties: adds to each entry a uniform number from -width/2 to width/2.

    A law with atoms (integers, rounded measurements) has no density, and no increasing map makes it Gaussian. Dithered
    over the step of its lattice it has one, and estimates of information stay what they were.

    Args:
      key: random key.
      y: `[..., n]` rows.
      width: the step of the lattice, > 0; `None` takes each row's smallest gap between distinct entries, and 1 for a
        constant row.

    Returns:
      `[..., n]`, float32 or wider; NaN stays NaN.

    Raises:
      ValueError: an empty sample, `width` not above 0, or wide data of which float32 keeps too few digits.
      TypeError: `y` is not real.
    """
    y = as_array(y)
    check_univariate(y=y)
    _scale.refuse_rounding(axis=-1, y=y)
    (y,) = as_floating(y=y)
    if width is not None:
        check_positive(width=width)
        step = jnp.asarray(width, y.dtype)
    elif y.shape[-1] == 1:
        step = jnp.ones_like(y)
    else:
        gap = jnp.diff(sorting.sort(jax.lax.stop_gradient(y)), axis=-1)
        least = jnp.min(jnp.where(gap > 0, gap, jnp.inf), axis=-1, keepdims=True)
        step = jnp.broadcast_to(jnp.where(jnp.isfinite(least), least, 1), y.shape)
    return y + step * jax.random.uniform(key, y.shape, y.dtype, -0.5, 0.5)
