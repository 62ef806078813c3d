"""Penalties on the slope of a discriminator or critic, which is handed in as a function of arrays.

A module of Flax becomes one by `training.pure`, since a derivative must not change variables. Where a row has several
logits (patches), the slope is that of their sum, as in public code. Rows of a critic with batch norm depend on each
other; the slope in a row is then that of all rows' logits.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.objectives import _rows

Critic = Callable[..., jax.Array]


def r1(critic: Critic, real: jax.Array, *given: jax.Array) -> jax.Array:
    """Squared norm of the slope at real rows; a loss takes gamma / 2 times its mean.

    Args:
      critic: `(real, *given)` to logits `[n, ...]`.
      real: `[n, ...]` rows.
      *given: `[n, ...]` what the critic sees besides, in which no slope is taken.

    Returns:
      `[n]`.

    Raises:
      ValueError: the critic does not return a row for each row.

    References:
      Mescheder, Geiger, Nowozin, Which training methods for GANs do actually converge?, ICML 2018, eq. (9).
    """
    (slope,) = _slopes(critic, (real,), given)
    return _rows.sum_of_squares(slope)


def r2(critic: Critic, fake: jax.Array, *given: jax.Array) -> jax.Array:
    """Squared norm of the slope at generated rows; a loss takes gamma / 2 times its mean.

    Args:
      critic: `(fake, *given)` to logits `[n, ...]`.
      fake: `[n, ...]` rows.
      *given: `[n, ...]` what the critic sees besides, in which no slope is taken.

    Returns:
      `[n]`.

    Raises:
      ValueError: the critic does not return a row for each row.

    References:
      Mescheder, Geiger, Nowozin, Which training methods for GANs do actually converge?, ICML 2018, eq. (10).
    """
    return r1(critic, fake, *given)


def wasserstein(
    key: jax.Array,
    critic: Critic,
    real: jax.Array,
    fake: jax.Array,
    *given: jax.Array,
    center: float = 1.0,
    one_sided: bool = False,
) -> jax.Array:
    """(norm of the slope - center)^2 at a random place between each real row and its generated one (WGAN-GP).

    Args:
      key: draws the places.
      critic: `(rows, *given)` to logits `[n, ...]`.
      real: `[n, ...]` rows.
      fake: `[n, ...]` rows of the same shape.
      *given: `[n, ...]` what the critic sees besides, in which no slope is taken.
      center: the norm that is not penalised.
      one_sided: whether only larger norms are penalised.

    Returns:
      `[n]`; a loss takes 10 times its mean in the paper. Finite slope where the critic is flat.

    Raises:
      ValueError: shapes of rows differ, or the critic does not return a row for each row.

    References:
      Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017, eq. (3) and algorithm 1.
    """
    _rows.check(real=real, fake=fake)
    _rows.check_equal(real=real, fake=fake)
    real, fake = _array.as_floating(real=real, fake=fake)
    share = jax.random.uniform(key, (real.shape[0], *(1 for _ in real.shape[1:])), real.dtype)
    share = jnp.broadcast_to(share, real.shape)
    (slope,) = _slopes(critic, (share * real + (1.0 - share) * fake,), given)
    excess = _rows.root(_rows.sum_of_squares(slope)) - center
    return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def matching_aware(
    critic: Critic, *inputs: jax.Array, strength: float = 2.0, power: float = 6.0, sum_of_norms: bool = False
) -> jax.Array:
    """Power of the norm of the slope in all inputs, at real rows and the texts that belong to them (MA-GP).

    Args:
      critic: `(*inputs)` to logits `[n, ...]`.
      *inputs: `[n, ...]` the real rows, and the codes of their texts.
      strength: k of the paper.
      power: p of the paper.
      sum_of_norms: whether the norms in the several inputs are added before the power, as the paper prints, instead of
        the norm of all of them together, as its code has it.

    Returns:
      `[n]`.

    Raises:
      ValueError: `power` < 1, no input, or the critic does not return a row for each row.

    References:
      Tao et al., DF-GAN: a simple and effective baseline for text-to-image synthesis, CVPR 2022, eq. (2).
    """
    if not power >= 1.0:
        raise ValueError(f"power must be at least 1, or the slope of the penalty is infinite; got power = {power}.")
    squares = [_rows.sum_of_squares(slope) for slope in _slopes(critic, inputs, ())]
    if sum_of_norms:
        return strength * sum(_rows.root(square) for square in squares) ** power
    total = sum(squares, jnp.zeros_like(squares[0]))
    # An even power needs no root, whose slope at 0 would have to be caught.
    norm_to_power = total ** int(power / 2) if power % 2 == 0 else _rows.root(total) ** power
    return strength * norm_to_power


def _slopes(critic: Critic, inputs: tuple[jax.Array, ...], given: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    if not inputs:
        raise ValueError("inputs must be given: what the critic's slope is taken in.")
    named = {f"inputs[{place}]": rows for place, rows in enumerate(inputs)}
    _rows.check(**named)
    inputs = tuple(_array.as_floating(**named))
    num = inputs[0].shape[0]

    def total(*rows: jax.Array) -> jax.Array:
        logits = critic(*rows, *given)
        if jnp.shape(logits)[:1] != (num,):
            raise ValueError(f"The critic must return a row for each of {num} rows, got shape {jnp.shape(logits)}.")
        (logits,) = _array.as_floating(logits=logits)
        return jnp.sum(logits)

    return jax.grad(total, tuple(range(len(inputs))))(*inputs)
