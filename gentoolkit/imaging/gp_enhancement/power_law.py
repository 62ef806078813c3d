"""The tone curve of a photograph that one power darkened and a file rounded: one exponent, from the whole of it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array

# Exponents that the best is chosen from, before it is refined between its neighbours.
_GAMMAS = np.geomspace(0.5, 16.0, 64)


def brighten(dark: jax.Array, gamma: ArrayLike, *, num_bits: int | None = 8) -> jax.Array:
    """Undoes a power: dark^(1 / gamma), and of a rounded value the middle of the bright values that round to it.

    Half a level of a dark image is a wide range of a bright one: at 8 bits and gamma 4 all below 0.21 become 0. Its
    middle is the guess of least squares where nothing more is known, and its width is no more than what was lost:
    black stays black where the file could tell it from grey.

    Args:
      dark: any shape, in [0, 1].
      gamma: > 0, of a shape that broadcasts to that of `dark`.
      num_bits: that `dark` was stored in, None for a value that was not rounded (static).

    Returns:
      As `dark`, in [0, 1].

    Raises:
      TypeError: `dark` is not a real array.
    """
    (dark,) = _array.as_floating(dark=dark)
    half = 0.0 if num_bits is None else 0.5 / (2**num_bits - 1)
    exponent = 1.0 / jnp.broadcast_to(jnp.asarray(gamma, dark.dtype), dark.shape)
    return 0.5 * (_power(dark - half, exponent) + _power(dark + half, exponent))


def fit(dark: jax.Array, bright: jax.Array, *, weights: ArrayLike = 1.0, num_bits: int | None = 8) -> jax.Array:
    """The exponent of least squares, between 1/2 and 16.

    Args:
      dark: `[n]` in [0, 1].
      bright: `[n]` what they should become.
      weights: scalar or `[n]`, >= 0, of the squares.
      num_bits: as in `brighten` (static).

    Returns:
      `[]`. NaN where an input is NaN.

    Raises:
      ValueError: shapes disagree.
      TypeError: an input is not a real array.
    """
    dark, bright = _array.as_floating(dark=dark, bright=bright)
    if dark.ndim != 1 or dark.shape != bright.shape or jnp.shape(weights) not in ((), dark.shape):
        raise ValueError(
            f"dark and bright must be [n] and weights a scalar or [n], got shapes {dark.shape}, {bright.shape} and "
            f"{jnp.shape(weights)}."
        )
    weights = jnp.broadcast_to(jnp.asarray(weights, dark.dtype), dark.shape)
    logs = jnp.asarray(np.log(_GAMMAS), dark.dtype)
    curves = brighten(jnp.broadcast_to(dark, (logs.size, dark.size)), jnp.exp(logs)[:, None], num_bits=num_bits)
    losses = jnp.sum(weights[None, :] * (curves - bright[None, :]) ** 2, axis=1)
    least = jnp.clip(jnp.argmin(losses), 1, logs.size - 2)
    # The parabola through the least loss and its neighbours.
    before, at, after = losses[least - 1], losses[least], losses[least + 1]
    bend = before - 2.0 * at + after
    shift = 0.5 * (before - after) / jnp.where(bend > 0, bend, 1.0)
    found = jnp.exp(logs[least] + (logs[1] - logs[0]) * jnp.where(bend > 0, jnp.clip(shift, -1.0, 1.0), 0.0))
    return jnp.where(jnp.isnan(at), at, found)


def _power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    base = jnp.minimum(base, 1.0)
    positive = base > 0
    # Where selected twice, a power of 0 has no infinite derivative.
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, jnp.where(base <= 0, 0.0, base))
