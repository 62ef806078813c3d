"""Mardia's multivariate skewness and kurtosis: how far a sample is from Gaussian in its third and fourth moments."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc, ndtr

from gentoolkit import _array, _lapack, _scale, _sums
from gentoolkit.distances import _numerics, products

# Entries of a block: 4 MiB in float32, about a cache, and enough work for a launch.
_BLOCK_ENTRIES = 1 << 20
# Above this many degrees of freedom float32 `gammaincc` is off by more than the saddle point is.
_GAMMAINCC_MAX_DOF = 1000.0


class Mardia(NamedTuple):
    """Mardia's statistics, what a normal sample of that size gives, and p-values; every field is `[...]`.

    Attributes:
      skewness: b1, the mean of (x_j . x_k)^3 over all pairs, j = k included.
      kurtosis: b2, the mean of |x|^4.
      normalized_kurtosis: b2 - d (d + 2), signed: negative is lighter than Gaussian.
      skewness_mean: expectation of `skewness` for a normal sample.
      skewness_std: its standard deviation (leading order in 1/n in the affine-invariant form).
      kurtosis_mean: expectation of `kurtosis` for a normal sample.
      kurtosis_std: its standard deviation.
      skewness_p_value: upper tail, since only large values speak against normality.
      kurtosis_p_value: two-sided.
    """

    skewness: jax.Array
    kurtosis: jax.Array
    normalized_kurtosis: jax.Array
    skewness_mean: jax.Array
    skewness_std: jax.Array
    kurtosis_mean: jax.Array
    kurtosis_std: jax.Array
    skewness_p_value: jax.Array
    kurtosis_p_value: jax.Array


def _whiten(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Centred samples with identity covariance (divisor n) on their span, and the dimension of the span."""
    n, dim = x.shape[-2:]
    eps = float(jnp.finfo(x.dtype).eps)
    x = x / _scale.unit(x, axes=-2)
    mean = x.mean(axis=-2, keepdims=True)
    x = x - mean
    # The statistics do not change under a linear map, so any constant map may go first without a derivative. After
    # it the covariance is the identity to rounding, and its inverse square root is a short polynomial: derivatives
    # (first and second) need no eigenvectors, equal eigenvalues do no harm.
    fixed = jax.lax.stop_gradient(x)
    scale = jnp.sqrt(jnp.mean(fixed * fixed, axis=-2, keepdims=True))
    varies = scale > 8 * eps * jnp.abs(jax.lax.stop_gradient(mean))
    inverse = jnp.where(varies, 1.0 / jnp.where(varies, scale, 1.0), 0.0)
    fixed = fixed * inverse
    values, vectors = _lapack.eigh(_sums.gram(fixed, fixed) / n)
    keep = values > _numerics.rank_cutoff(values[..., -1:], dim)
    root = jnp.where(keep, jax.lax.rsqrt(jnp.where(keep, values, 1.0)), 0.0)
    white = products.matmul(x * inverse, vectors * root[..., None, :])
    identity = jnp.broadcast_to(jnp.eye(dim, dtype=x.dtype), values.shape + (dim,))
    error = _sums.gram(white, white) / n - identity * keep.astype(x.dtype)[..., None, :]
    white = products.matmul(white, identity - error / 2 + 0.375 * products.matmul(error, error))
    return white, keep.sum(axis=-1).astype(x.dtype)


def _blocks(y: jax.Array, row_entries: int) -> jax.Array:
    """`[num, rows, d]`: y cut into blocks for which `rows * row_entries` numbers fit; rows of zeros fill the last."""
    n, dim = y.shape
    rows = min(n, max(1, _BLOCK_ENTRIES // row_entries))
    num = -(-n // rows)
    return jnp.pad(y, ((0, num * rows - n), (0, 0))).reshape(num, rows, dim)


def _sum_over(blocks: jax.Array, term) -> jax.Array:
    """Sum of `term(rows)` over blocks of rows; rows of zeros must add nothing."""
    # A zero that varies, in shard_map, over the mesh axes that the blocks vary over, as the carry of a loop must.
    start = jnp.zeros_like(blocks[0, 0, 0], shape=jax.eval_shape(term, blocks[0]).shape)
    return jax.lax.scan(lambda total, rows: (total + term(rows), None), start, blocks)[0]


def _pairs_of_features(rows: jax.Array) -> jax.Array:
    return (rows[:, :, None] * rows[:, None, :]).reshape(rows.shape[0], rows.shape[1] ** 2)


def _third_moments(y: jax.Array) -> jax.Array:
    """Mean of x_i x_j x_k, `[d^2, d]`."""
    n, dim = y.shape
    return _sum_over(_blocks(y, dim * dim), lambda rows: _sums.gram(_pairs_of_features(rows), rows) / n)


def _has_few_features(y: jax.Array) -> bool:
    # Then the squared norm of the third-moment tensor (n d^3 operations) costs less than all pairs (n^2 d).
    return y.shape[1] ** 2 < y.shape[0]


# The derivative by hand costs one product more than the value and no more memory. Autodiff of the blocks is up to 50
# times as slow as the value, and needs each block computed twice. Both are inlined programs: a traced caller sees no
# boundary, and for one that is not traced their loops are not compiled anew at every call.
@jax.custom_jvp
@functools.partial(jax.jit, inline=True)
def _mean_cubed_products(y: jax.Array) -> jax.Array:
    """The mean of (y_j . y_k)^3 over the n^2 pairs of rows of `y` [n, d]."""
    if _has_few_features(y):
        return jnp.sum(_third_moments(y) ** 2)
    n = y.shape[0]
    return _sum_over(_blocks(y, n), lambda rows: jnp.sum((products.matmul(rows, y.T) / n) ** 3) * n)


@_mean_cubed_products.defjvp
@functools.partial(jax.jit, inline=True)
def _mean_cubed_products_jvp(primals, tangents):
    (y,), (tangent,) = primals, tangents
    n, dim = y.shape
    if _has_few_features(y):
        tensor = _third_moments(y)
        value = jnp.sum(tensor * tensor)
        along = jax.lax.map(lambda rows: products.matmul(_pairs_of_features(rows), tensor), _blocks(y, dim * dim)) / n
    else:
        along = jax.lax.map(lambda rows: products.matmul((products.matmul(rows, y.T) / n) ** 2, y), _blocks(y, n))
        value = jnp.sum(along.reshape(-1, dim)[:n] * y)  # homogeneous of degree six
    return value, 6 * jnp.sum(along.reshape(-1, dim)[:n] * tangent)


def _chi2_upper_tail(value: jax.Array, dof: jax.Array, *, max_dof: float) -> jax.Array:
    """P(chi2(dof) > value), for `dof` up to the static `max_dof`; float32 keeps four digits or more in the tail."""
    value = jnp.maximum(value, 0.0)
    if max_dof <= _GAMMAINCC_MAX_DOF:
        return gammaincc(dof / 2, value / 2)
    # Lugannani and Rice's saddle point: relative error below 1 / (10 dof), where `gammaincc` loses digits to rounding.
    root, e = jnp.sqrt(dof / 2), value / dof - 1.0
    w = jnp.sign(e) * root * jnp.sqrt(2.0 * _numerics.minus_log1p(e))
    near = jnp.abs(e) < 0.01
    far_e, far_w = jnp.where(near, 1.0, e), jnp.where(near, 1.0, w)
    correction = jnp.where(near, (e / 12.0 - 1.0 / 3.0) / root, 1.0 / (far_e * root) - 1.0 / far_w)
    return ndtr(-w) + jnp.exp(-w * w / 2) * (2 * math.pi) ** -0.5 * correction


def _standardized(value: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    return jnp.where(std > 0, (value - mean) / jnp.where(std > 0, std, 1.0), 0.0)


def _num_components(d):
    """Free entries of a symmetric third-order tensor over R^d."""
    return d * (d + 1) * (d + 2) / 6


def _null_of_standard_normal(n: int, d: int) -> tuple[float, float, float, float, float]:
    """Mean and deviation of b1, degrees of freedom of its law's shape, mean and deviation of b2; raw form."""
    sixth = d * (d + 2) * (d + 4)  # E |x|^6
    twelfth = sixth * (d + 6) * (d + 8) * (d + 10)
    # The pairs (x_j . x_k)^3 are uncorrelated with each other and with the |x_j|^6, each of variance 15 E |x|^6.
    variance = (twelfth - sixth**2 + 30 * (n - 1) * sixth) / n**3
    # For large n, n b1 is a sum: third-order Hermite part, weight 6, and the part that follows the mean.
    weights, parts = (6, 3 * (d + 4)), (_num_components(d) - d, d)
    second, third = (sum(w**p * f for w, f in zip(weights, parts, strict=True)) for p in (2, 3))
    return sixth / n, math.sqrt(variance), second**3 / third**2, d * (d + 2), math.sqrt(8 * d * (d + 2) * (d + 3) / n)


def _null_of_any_gaussian(n: int, d: jax.Array) -> tuple[jax.Array, ...]:
    """The same for the affine-invariant form in d dimensions (an array: the dimension of the span)."""
    size = float(n)
    dof = jnp.maximum(_num_components(d), 1.0)
    skewness_mean = d * (d + 2) * ((size + 1) * (d + 1) - 6) / ((size + 1) * (size + 3))
    spread = (size - 3) * (size - d - 1) * (size - d + 1) / ((size + 1) ** 2 * (size + 3) * (size + 5))
    kurtosis_std = jnp.sqrt(jnp.maximum(8 * d * (d + 2) * spread, 0.0))
    return skewness_mean, skewness_mean * jnp.sqrt(2 / dof), dof, d * (d + 2) * (size - 1) / (size + 1), kurtosis_std


def mardia(x: jax.Array, *, affine_invariant: bool = False) -> Mardia:
    """Mardia's multivariate skewness and kurtosis, against N(0, I) or against any Gaussian.

    Raw form: x as it stands, null N(0, I), so that a wrong mean or scale counts too. Affine-invariant form: x centred
    and whitened by its own covariance (divisor n), null any Gaussian; this is Mardia's own statistic. Where the
    covariance is singular (n <= d among others) it is whitened within its span, whose dimension then takes the place
    of d in the null; a feature that varies by less than rounding is constant. Neither unit nor origin of a feature
    matters: float64 samples on the host lose their median before they become float32.

    Memory beyond `x` is a block of 4 MiB (float32) for each problem, derivative included; time is O(n d min(n, d^2)).
    Derivatives up to the second are meant.

    The table of "Sliced generative models" holds the raw form. Two misprints there:
    - its kurtosis, called normalized and given as the raw mean of |x|^4, is the signed difference from d (d + 2), here
      `normalized_kurtosis`;
    - its skewness, said to have expectation 0, has expectation d (d + 2) (d + 4) / n under N(0, I), here
      `skewness_mean`.
    Mind that n b1 / 6 is a chi-square in the affine-invariant form only: in the raw form the part of the third moments
    that follows the sample mean weighs 3 (d + 4) instead of 6, which the p-value here allows for.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      affine_invariant: which form (static).

    Returns:
      `Mardia`, whose fields are each `[...]`, float32 or wider. p-values are for large n: kurtosis by the normal law,
      skewness by the chi-square that has the null's mean, variance (exact in the raw form) and skewness (leading order
      in 1/n). They are jittable. Where a statistic cannot vary (n no more than one above the span's dimension) its
      kurtosis p-value is 1. Infinite and NaN entries give NaN in every statistic and p-value.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`.
      TypeError: `x` is not real.

    References:
      Mardia, Measures of multivariate skewness and kurtosis with applications, Biometrika 1970.
      Mardia, Applications of some measures of multivariate skewness and kurtosis, Sankhya B 1974 (exact null moments).
      Knop, Mazur, Tabor, Podolak, Spurek, Sliced generative models, section 5 and table 1.
    """
    _array.check_samples(x=x)
    (x,) = _array.as_floating(x=_scale.center_on_host(x)[0] if affine_invariant else x)
    *batch, n, dim = x.shape
    null: tuple[float | jax.Array, ...]
    if affine_invariant:
        y, d = _whiten(x)
        null = _null_of_any_gaussian(n, d)
    else:
        y, d = x, jnp.full(batch, dim, x.dtype)
        null = _null_of_standard_normal(n, dim)
    skewness_mean, skewness_std, dof, kurtosis_mean, kurtosis_std = (
        jnp.broadcast_to(jnp.asarray(value, x.dtype), tuple(batch)) for value in null
    )
    skewness = jax.vmap(_mean_cubed_products)(y.reshape(math.prod(batch), n, dim)).reshape(batch)
    skewness = jnp.where(jnp.isnan(skewness), jnp.inf, skewness)  # of finite samples: infinities of both signs met
    squares = jnp.sum(y * y, axis=-1)
    kurtosis = jnp.mean(squares * squares, axis=-1)
    normalized = jnp.mean(squares * squares - (d * (d + 2))[..., None], axis=-1)

    skewness_z = _standardized(skewness, skewness_mean, skewness_std)
    skewness_p = _chi2_upper_tail(dof + jnp.sqrt(2 * dof) * skewness_z, dof, max_dof=_num_components(dim))
    kurtosis_p = 2 * ndtr(-jnp.abs(_standardized(kurtosis, kurtosis_mean, kurtosis_std)))
    finite = _numerics.all_finite(x, axes=2)
    skewness, kurtosis, normalized, skewness_p, kurtosis_p = (
        jnp.where(finite, value, jnp.nan) for value in (skewness, kurtosis, normalized, skewness_p, kurtosis_p)
    )
    return Mardia(
        skewness,
        kurtosis,
        normalized,
        skewness_mean,
        skewness_std,
        kurtosis_mean,
        kurtosis_std,
        skewness_p,
        kurtosis_p,
    )
