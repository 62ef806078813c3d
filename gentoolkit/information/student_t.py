"""The multivariate Student t in closed form: entropy, total correlation, mutual information, and draws.

`scatter` is the positive definite matrix S of the density proportional to `(1 + x' S^-1 x / nu)^(-(nu + d)/2)`; the
covariance is `nu / (nu - 2) S` where nu > 2. Components of a t law are never independent: with S = I and finite nu both
total correlation and mutual information are positive, since all components share one random scale.

With h_d the entropy of the d-dimensional law of unit scatter,

    H = h_d + ln det(S) / 2,   T = d h_1 - h_d - ln det(R) / 2,   I = h_a + h_b - h_(a+b) + Gaussian part,

R the correlation matrix of S.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from gentoolkit import _array, _lapack
from gentoolkit.distances import products
from gentoolkit.information import gaussian

# Coefficients of a^-1, a^-3, ... of the remainder of Stirling's formula (Bernoulli numbers over 2k (2k - 1)), and from
# where on they give float64.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_SERIES_FROM = 10.0


def entropy(scatter: jax.Array, *, dof: float | jax.Array) -> jax.Array:
    """Differential entropy.

    Args:
      scatter: `[..., d, d]` positive definite S.
      dof: nu > 0, a number or `[...]`; infinity gives the Gaussian.

    Returns:
      `[...]` nats, float32 or wider. NaN if S is not positive definite.

    Raises:
      ValueError: `scatter` is not `[..., d, d]`, or `dof` is not > 0.

    References:
      Guerrero-Cusumano (1998), "Measures of dependence for the multivariate t distribution".
    """
    scatter, dof = _arguments(scatter, dof)
    return gaussian.entropy(scatter) + _excess(scatter.shape[-1], dof)


def total_correlation(scatter: jax.Array, *, dof: float | jax.Array) -> jax.Array:
    """Total correlation T, the information that the d components share.

    Args:
      scatter: `[..., d, d]` positive definite S; T depends on its correlation matrix alone.
      dof: nu > 0, a number or `[...]`; infinity gives the Gaussian.

    Returns:
      `[...]` nats, at least 0, float32 or wider. NaN if S is not positive definite.

    Raises:
      ValueError: `scatter` is not `[..., d, d]`, or `dof` is not > 0.

    References:
      Guerrero-Cusumano (1998). Johnson et al. (2019), "Information theory in density destructors", figure 2.
    """
    scatter, dof = _arguments(scatter, dof)
    dim = scatter.shape[-1]
    return dim * _excess(1, dof) - _excess(dim, dof) + gaussian.total_correlation(scatter)


def mutual_information(scatter: jax.Array, *, dof: float | jax.Array, split: int) -> jax.Array:
    """Mutual information between the first `split` components and the rest.

    Args:
      scatter: `[..., d, d]` positive definite S of all components.
      dof: nu > 0, a number or `[...]`; infinity gives the Gaussian.
      split: components in the first block (static), from 1 to d - 1.

    Returns:
      `[...]` nats, at least 0, float32 or wider. NaN if S is not positive definite.

    Raises:
      ValueError: `scatter` is not `[..., d, d]`, `dof` is not > 0, or `split` is out of range.

    References:
      Guerrero-Cusumano (1998). Johnson et al. (2019), "Information theory in density destructors", figure 3.
    """
    scatter, dof = _arguments(scatter, dof)
    dim = scatter.shape[-1]
    shared = _excess(split, dof) + _excess(dim - split, dof) - _excess(dim, dof)
    return shared + gaussian.mutual_information(scatter, split=split)


def sample(key: jax.Array, scatter: jax.Array, *, dof: float | jax.Array, num: int) -> jax.Array:
    """Draws of mean (median) zero.

    Args:
      key: PRNG key.
      scatter: `[..., d, d]` positive definite S.
      dof: nu > 0, a number or `[...]`; infinity gives the Gaussian.
      num: draws (static).

    Returns:
      `[..., num, d]`, float32 or wider.

    Raises:
      ValueError: `scatter` is not `[..., d, d]`, or `dof` is not > 0.
    """
    scatter, dof = _arguments(scatter, dof)
    batch = jnp.broadcast_shapes(scatter.shape[:-2], dof.shape)
    key_normal, key_scale = jax.random.split(key)
    normal = jax.random.normal(key_normal, (*batch, num, scatter.shape[-1]), scatter.dtype)
    factor = jnp.broadcast_to(_lapack.cholesky(scatter, symmetrize=True), batch + scatter.shape[-2:])
    dof = jnp.broadcast_to(dof[..., None], (*batch, num))
    finite = jnp.where(jnp.isfinite(dof), dof, 1.0)
    shape = jnp.broadcast_to(finite / 2, (*batch, num))
    scale = jnp.where(jnp.isfinite(dof), jnp.sqrt(shape / jax.random.gamma(key_scale, shape, dtype=normal.dtype)), 1.0)
    return products.matmul(normal, products.transpose(factor)) * scale[..., None]


def _arguments(scatter, dof) -> tuple[jax.Array, jax.Array]:
    scatter = _array.as_array(scatter)
    shape = jnp.shape(scatter)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(f"scatter must be [..., d, d] with d >= 1, got scatter.shape = {shape}.")
    _array.check_positive(dof=dof)
    (scatter,) = _array.as_floating(scatter=scatter)
    return scatter, jnp.asarray(_array.as_array(dof), scatter.dtype)


def _excess(dim: int, dof: jax.Array) -> jax.Array:
    """Entropy of the unit t law less that of N(0, I): it goes to 0 as nu grows, and dependence is made of it.

    With h = nu / 2, t = h + d / 2 and Stirling's formula taken out of every log gamma and digamma, the large terms of
    the textbook form cancel on paper; in float32 they would take all digits of T with them.
    """
    half = jnp.where(jnp.isfinite(dof), dof, 2.0) / 2
    total = half + dim / 2
    remainder_half, slope_half = _stirling_remainder(half)
    remainder_total, slope_total = _stirling_remainder(total)
    ratio = dim / (2 * half)
    value = (jnp.log1p(ratio) + ratio) / 2 + (remainder_half - remainder_total) + total * (slope_total - slope_half)
    return jnp.where(jnp.isfinite(dof), value, jnp.where(jnp.isnan(dof), jnp.nan, 0.0))


def _stirling_remainder(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`log Gamma(a) - ((a - 1/2) log a - a + log(2 pi) / 2)` and its derivative."""
    large = a >= _SERIES_FROM
    b = jnp.where(large, a, _SERIES_FROM)  # the branch not taken is finite, and so is its derivative
    value = jnp.zeros_like(b)
    slope = jnp.zeros_like(b)
    for power, coefficient in zip(range(1, 2 * len(_STIRLING), 2), _STIRLING, strict=True):
        value = value + coefficient * b**-power
        slope = slope - power * coefficient * b ** -(power + 1)
    c = jnp.where(large, 1.0, a)
    direct = gammaln(c) - ((c - 0.5) * jnp.log(c) - c + 0.5 * math.log(2 * math.pi))
    return jnp.where(large, value, direct), jnp.where(large, slope, digamma(c) - jnp.log(c) + 0.5 / c)
