"""Unit vectors to slice along: independent, orthogonal, and low-discrepancy directions on the sphere.

All the losses that are averaged over slices are unbiased under `random` and `orthogonal`, because every single row is
uniform on the sphere; they differ in how much the average over rows scatters. `orthogonal` is the one to start with:
over a whole orthonormal basis the mean of `(v . x)^2` is exactly `|x|^2 / dim`, so the quadratic part of a loss, most
of it near the optimum, does not scatter at all. `sobol` gains more in few dimensions (2 to 10 or so).
"""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _lapack

_BITS = 32


def random(key: jax.Array, num: int, dim: int, *, dtype=jnp.float32) -> jax.Array:
    """Draws independent directions, uniform on the unit sphere.

    Args:
      key: random key.
      num: how many directions, static, >= 1.
      dim: the dimension of the space, static, >= 1. With `dim=1` every direction is +1 or -1.
      dtype: floating dtype of the result; the drawing itself is done in float32 or wider.

    Returns:
      `[num, dim]`, rows of unit length.

    Raises:
      ValueError: `num` or `dim` is below 1.
      TypeError: `num` or `dim` is not a static integer, or `dtype` is not floating.

    References:
      Muller (1959), "A note on a method for generating points uniformly on n-dimensional spheres".
    """
    num, dim, wide = _check(num, dim, dtype)
    return _unit(jax.random.normal(key, (num, dim), wide)).astype(dtype)


def orthogonal(key: jax.Array, num: int, dim: int, *, dtype=jnp.float32) -> jax.Array:
    """Draws blocks of orthonormal directions, each block uniform over the orthogonal group.

    With `num <= dim` the rows are `num` orthonormal vectors. With `num > dim` independent blocks of `dim` orthonormal
    rows are stacked and the last one is cut. Each row taken alone is uniform on the sphere, so averages over slices
    stay unbiased.

    Args:
      key: random key.
      num: how many directions, static, >= 1.
      dim: the dimension of the space, static, >= 1. With `dim=1` every direction is +1 or -1.
      dtype: floating dtype of the result; the drawing itself is done in float32 or wider.

    Returns:
      `[num, dim]`, rows of unit length.

    Raises:
      ValueError: `num` or `dim` is below 1.
      TypeError: `num` or `dim` is not a static integer, or `dtype` is not floating.

    References:
      Mezzadri (2007), "How to generate random matrices from the classical compact groups", section 5 (the sign fix).
      Rowland, Hron, Tang, Choromanski, Sarlos, Weller (2019), "Orthogonal estimation of Wasserstein distances".

    Examples:
      >>> import jax
      >>> from gentoolkit.distances import directions
      >>> v = directions.orthogonal(jax.random.key(0), 3, 3)
      >>> abs((v @ v.T).round(4)).tolist()
      [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    num, dim, wide = _check(num, dim, dtype)
    rows = min(num, dim)
    blocks = -(-num // rows)
    q, r = _lapack.qr(jax.random.normal(key, (blocks, dim, rows), wide))
    # Householder QR leaves the signs of R's diagonal to the algorithm; only with all of them positive is Q Haar.
    sign = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(wide)
    v = jnp.swapaxes(q * sign[:, None, :], -2, -1).reshape(blocks * rows, dim)
    return _unit(v[:num]).astype(dtype)


def at_step(
    key: jax.Array,
    step: int | jax.Array,
    num: int,
    dim: int,
    *,
    draw: Callable[..., jax.Array] = random,
    dtype=jnp.float32,
) -> jax.Array:
    """Draws the directions of one training step: others at every step, the same ones on every host.

    Nothing but the key and the step decides, so that hosts and devices that share both need exchange nothing, and a run
    that is resumed at a step finds the directions that it would have had.

    Args:
      key: random key, the same for the whole run.
      step: number of the step, >= 0; may be traced.
      num: how many directions, static, >= 1.
      dim: the dimension of the space, static, >= 1.
      draw: static, one of this file's functions: `random`, `orthogonal` or `sobol`.
      dtype: floating dtype of the result.

    Returns:
      `[num, dim]`, rows of unit length.

    Raises:
      ValueError: `num` or `dim` is below 1.
      TypeError: `num` or `dim` is not a static integer, or `dtype` is not floating.
    """
    return draw(jax.random.fold_in(key, step), num, dim, dtype=dtype)


def sobol(key: jax.Array, num: int, dim: int, *, dtype=jnp.float32) -> jax.Array:
    """Draws low-discrepancy directions: a scrambled Sobol set sent through the inverse normal cdf onto the sphere.

    The key scrambles the set (a random linear scrambling of the digits and a random digital shift), so that each row is
    uniform on the sphere and repeated draws tell the error of an average. The set is best balanced when `num` is a
    power of two.

    Args:
      key: random key; may be traced, so the draw works under `jit` and `vmap`.
      num: how many directions, static, >= 1.
      dim: the dimension of the space, static, from 1 to 21201 (the table of direction numbers). With `dim=1` every
        direction is +1 or -1.
      dtype: floating dtype of the result; the drawing itself is done in float32 or wider.

    Returns:
      `[num, dim]`, rows of unit length.

    Raises:
      ValueError: `num` or `dim` is below 1, or `dim` is above 21201.
      TypeError: `num` or `dim` is not a static integer, or `dtype` is not floating.

    References:
      Joe and Kuo (2008), "Constructing Sobol sequences with better two-dimensional projections".
      Matousek (1998), "On the L2-discrepancy for anchored boxes", section 2 (random linear scrambling).
      Nguyen, Bariletto, Ho (2024), "Quasi-Monte Carlo for 3D sliced Wasserstein".
    """
    num, dim, wide = _check(num, dim, dtype)
    generators = _generators(dim, max(1, (num - 1).bit_length()))

    drawn = jax.random.bits(key, (_BITS + 1, dim), jnp.uint32)
    # Columns of a random lower unit-triangular binary matrix in each dimension: a digit acts on itself and finer ones.
    place = np.arange(_BITS, dtype=np.uint32)[:, None]
    columns = (np.uint32(1) << place) | (drawn[:_BITS] & ((np.uint32(1) << place) - np.uint32(1)))
    digit = (generators >> place[..., None]) & np.uint32(1)
    chosen = jnp.where(digit == 1, columns[:, None, :], jnp.uint32(0))
    scrambled = jax.lax.reduce(chosen, np.uint32(0), jax.lax.bitwise_xor, (0,))

    index = np.arange(num, dtype=np.uint32)[:, None]
    points = jnp.broadcast_to(drawn[_BITS], (num, dim))
    for i in range(len(generators)):
        digit = (index >> np.uint32(i)) & np.uint32(1)
        points ^= jnp.where(digit == 1, scrambled[i][None, :], jnp.uint32(0))

    # The inverse cdf is taken in the lower tail only: near one, float32 has no digits left.
    upper = points >> (_BITS - 1) == 1
    tail = jnp.where(upper, ~points, points).astype(wide)
    z = jax.scipy.special.ndtri((tail + wide.type(0.5)) * wide.type(2.0**-_BITS))
    return _unit(jnp.where(upper, -z, z)).astype(dtype)


@functools.lru_cache(maxsize=32)
def _generators(dim: int, digits: int) -> np.ndarray:
    """Sobol's direction numbers, `[digits, dim]` 32-bit words: point i is the xor of those at the set bits of i."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(dim, scramble=False, bits=_BITS)
    words = []
    at = 0
    for place in range(digits):
        # SciPy walks in Gray code order, where only point 2^(place + 1) - 1 has bit `place` as its single set bit.
        sequence.fast_forward(2 ** (place + 1) - 1 - at)
        words.append(sequence.random(1)[0] * 2.0**_BITS)
        at = 2 ** (place + 1)
    table = np.asarray(words).astype(np.uint32)
    table.flags.writeable = False
    return table


def _unit(x: jax.Array) -> jax.Array:
    """Scales rows to unit length; a row of zeros becomes the first axis."""
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    axis = jnp.broadcast_to(jnp.zeros(x.shape[-1], x.dtype).at[0].set(1), x.shape)
    # Dividing by the largest entry first keeps tiny rows from underflowing, and makes +1 and -1 exact for dim = 1.
    x = jnp.where(largest > 0, x / jnp.where(largest > 0, largest, 1), axis)
    return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))


def _check(num: int, dim: int, dtype) -> tuple[int, int, np.dtype]:
    """Refuses bad sizes and dtypes; returns the sizes and the dtype to draw in."""
    num, dim = operator.index(num), operator.index(dim)
    if num < 1:
        raise ValueError(f"num must be >= 1, got num = {num}.")
    if dim < 1:
        raise ValueError(f"dim must be >= 1, got dim = {dim}.")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype must be floating, got dtype = {dtype}.")
    return num, dim, np.dtype(np.float64 if dtype == jnp.float64 else np.float32)
