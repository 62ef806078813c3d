"""The upper tail of N(0, 1), its logarithm and its hazard rate, accurate in float32 however far out.

With the tail of |y| in hand instead of the cdf of y, nothing rounds to one: in float32 the cdf is exactly 1 from
y = 5.42 on, while the tail is good to y = 13, and its logarithm and hazard to y = 1e19.
"""

import math

import jax
import jax.numpy as jnp

_SWITCH = 5.0  # from here on the continued fraction is exact to 3e-13; below, the direct quotient to y² rounding errors


def tail(z: jax.Array) -> jax.Array:
    """The probability P(Z > z) of N(0, 1).

    Args:
      z: `[...]`, float32 or float64, z >= 0.

    Returns:
      `[...]`, relative error 1e-6 down to the smallest normal number.
    """
    return 0.5 * jax.lax.erfc(jnp.asarray(z) * math.sqrt(0.5))


def density(z: jax.Array) -> jax.Array:
    """The density of N(0, 1).

    Args:
      z: `[...]`, float32 or float64.

    Returns:
      `[...]`.
    """
    z = jnp.asarray(z)
    return jnp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))


def hazard(z: jax.Array) -> jax.Array:
    """The hazard rate of N(0, 1), density(z) / tail(z), which tends to z.

    Args:
      z: `[...]`, float32 or float64, z >= 0.

    Returns:
      `[...]`, to 1e-6 of itself for every z.
    """
    z = jnp.asarray(z)
    near, far = jnp.minimum(z, _SWITCH), jnp.maximum(z, _SWITCH)
    return jnp.where(z < _SWITCH, density(near) / tail(near), _far_hazard(far))


def log_tail(z: jax.Array) -> jax.Array:
    """The logarithm of P(Z > z) of N(0, 1).

    Args:
      z: `[...]`, float32 or float64, z >= 0.

    Returns:
      `[...]`, to 1e-6 of itself.
    """
    z = jnp.asarray(z)
    near, far = jnp.minimum(z, _SWITCH), jnp.maximum(z, _SWITCH)
    log_density = -0.5 * far * far - 0.5 * math.log(2 * math.pi)
    return jnp.where(z < _SWITCH, jnp.log(tail(near)), log_density - jnp.log(_far_hazard(far)))


def _far_hazard(z: jax.Array) -> jax.Array:
    # JAX's own are no help (0.10.2, float32): `erfcx` is 0 at 9.2, and the derivative of `log_ndtr` 2981 at -1e4.
    w = jnp.reciprocal(z * z)
    numerator, denominator = jnp.full_like(w, _NUMERATOR[-1]), jnp.full_like(w, _DENOMINATOR[-1])
    for coefficient in _NUMERATOR[-2::-1]:
        numerator = numerator * w + coefficient
    for coefficient in _DENOMINATOR[-2::-1]:
        denominator = denominator * w + coefficient
    return z * (numerator / denominator)


def _laplace_convergent(terms: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns A and B of h(z) = z A(1/z²)/B(1/z²), the convergent of Laplace's fraction h = z + 1/(z + 2/(z + …)).

    All coefficients are positive integers: neither polynomial can cancel.
    """
    # Recurrence P_k = z P_{k-1} + k P_{k-2}; with the leading power of z divided out, P_k = P_{k-1} + k w P_{k-2}.
    pairs = []
    for before, last in (([1], [1]), ([0], [1])):
        for k in range(1, terms + 1):
            shifted = [0] + [k * c for c in before]
            width = max(len(shifted), len(last))
            pad = [c + [0] * (width - len(c)) for c in (last, shifted)]
            before, last = last, [a + b for a, b in zip(*pad, strict=True)]
        while last[-1] == 0:
            last.pop()
        pairs.append(tuple(float(c) for c in last))
    return pairs[0], pairs[1]


_NUMERATOR, _DENOMINATOR = _laplace_convergent(16)
