"""Gaussian laws compared by their first two moments, and how far a sample is from being Gaussian (Mardia)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array, _lapack, _scale, _sums
from gentoolkit.distances import _numerics, products
from gentoolkit.distances.mardia import Mardia, mardia

__all__ = ["Mardia", "Moments", "frechet", "kl_divergence", "mardia", "moments"]


# Sums of squares from 2^-80 to 2^80 lose none that count; those of a constant feature are taken in its unit.
_ORDINARY = 80


class Moments(NamedTuple):
    """Sample mean `[..., d]` and covariance `[..., d, d]`."""

    mean: jax.Array
    cov: jax.Array


def _aligned(mean_a, cov_a, mean_b, cov_b) -> list[jax.Array]:
    """Checks the shapes, casts to one dtype and broadcasts the leading axes."""
    arrays = {"mean_a": mean_a, "cov_a": cov_a, "mean_b": mean_b, "cov_b": cov_b}
    shapes = {name: _array.shape(array) for name, array in arrays.items()}
    told = ", ".join(f"{name}.shape = {shape}" for name, shape in shapes.items())
    dim = shapes["mean_a"][-1:]
    event = {"mean_a": dim, "cov_a": dim * 2, "mean_b": dim, "cov_b": dim * 2}
    if dim in ((), (0,)) or any(shapes[name][-len(event[name]) :] != event[name] for name in arrays):
        raise ValueError(f"Means must be [..., d] and covariances [..., d, d] with one d >= 1, got {told}.")
    leading = [shape[: len(shape) - len(event[name])] for name, shape in shapes.items()]
    try:
        batch = jnp.broadcast_shapes(*leading)
    except ValueError as error:
        raise ValueError(f"Leading axes must broadcast, got {told}.") from error
    # Only the difference of the means counts: float64 ones on the host lose a common center before they are rounded.
    a, b = (_array.as_array(mean)[..., None, :] for mean in (mean_a, mean_b))
    a, b = _scale.center_together(a, b)
    arrays |= {"mean_a": a[..., 0, :], "mean_b": b[..., 0, :]}
    return [
        jnp.broadcast_to(array, batch + event[name])
        for name, array in zip(arrays, _array.as_floating(**arrays), strict=True)
    ]


def moments(x: jax.Array, *, ddof: int = 1) -> Moments:
    """Sample mean and covariance, in the form that `frechet` and `kl_divergence` take.

    Args:
      x: `[..., n, d]` samples. Float64 samples on the host (NumPy, lists) lose their median before they become float32.
      ddof: the covariance is divided by `n - ddof` (static): 1 is unbiased, 0 maximum likelihood.

    Returns:
      `Moments(mean [..., d], cov [..., d, d])`, float32 or wider. The mean of float64 samples on the host is a float64
      NumPy array, so that the difference of two such means is not that of rounded ones. A covariance is in squared
      units: in float32 it fits for features that vary by 1e-19 to 1e19. Its derivative goes on to 1e-38 and 1e38.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, or `n <= ddof`.
    """
    _array.check_samples(x=x)
    shape = _array.shape(x)
    if shape[-2] <= ddof:
        raise ValueError(f"x must hold more than ddof samples, got x.shape = {shape} and ddof = {ddof}.")
    x, center = _scale.center_on_host(x)
    (x,) = _array.as_floating(x=x)
    mean = x.mean(axis=-2)
    cov = _second_moment(x - mean[..., None, :], shape[-2] - ddof)
    if center is None:
        return Moments(mean, cov)
    center = center[..., 0, :]
    whole = mean + jnp.asarray(center, mean.dtype) if _array.is_traced(mean) else np.asarray(mean, np.float64) + center
    return Moments(whole, cov)


# Its own derivative, which is that of the sum as it stands: the gradient fits twice the range of the value, and would
# overflow or vanish on its way through the squared unit.
@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _second_moment(x: jax.Array, divisor: int) -> jax.Array:
    """`x^T x / divisor`; in a unit of each feature where some variance shows that squares overflow or vanish."""
    plain = _sums.gram(x, x)
    square = jnp.diagonal(plain, axis1=-2, axis2=-1)
    ordinary = jnp.all((square > 2.0**-_ORDINARY) & (square < 2.0**_ORDINARY))

    def in_units(state):
        # What hangs on the state is not taken before the loop.
        rows = x * jnp.where(state[0], 1, 2).astype(x.dtype)
        unit = _scale.unit(rows, axes=-2)
        scaled = rows * (1 / unit)
        return jnp.zeros((), bool), _sums.gram(scaled, scaled) / divisor * unit * products.transpose(unit)

    # To ask each entry for its size takes as long as half the product. A loop of one turn or none, not a `cond`: of
    # that several problems at once would do both sides.
    return jax.lax.while_loop(lambda state: state[0], in_units, (~ordinary, plain / divisor))[1]


@_second_moment.defjvp
def _second_moment_jvp(divisor, primals, tangents):
    (x,), (x_dot,) = primals, tangents
    half = _sums.gram_of_tangents(x / divisor, x_dot)
    return _second_moment(x, divisor), half + products.transpose(half)


def _factor(cov: jax.Array) -> jax.Array:
    """L with L L^T = cov, its null directions exactly zero."""
    cov = cov / 2 + products.transpose(cov) / 2
    values, vectors = _lapack.eigh(cov)
    keep = values > _numerics.rank_cutoff(values[..., -1:], cov.shape[-1])
    return vectors * jnp.sqrt(jnp.where(keep, values, 0.0))[..., None, :]


def _bures_parts(cov_a: jax.Array, cov_b: jax.Array):
    """The squared distance, both factors, and the singular value decomposition of L_b^T L_a that aligns them."""
    factor_a, factor_b = _factor(cov_a), _factor(cov_b)
    product = products.matmul(products.transpose(factor_b), factor_a)
    left, singular, right_t = _lapack.svd(product)
    # A sum of squares: never negative, and no cancellation between traces when the covariances are close.
    residual = factor_a - products.matmul(factor_b, products.matmul(left, right_t))
    return jnp.sum(residual * residual, axis=(-2, -1)), factor_a, factor_b, left, singular, right_t


# Autodiff would divide by differences of eigenvalues (NaN for equal ones, as in the identity) and by square roots of
# zero ones. The derivative itself needs neither: it is I - T with T the optimal transport map between the two laws.
@jax.custom_jvp
def _bures(cov_a: jax.Array, cov_b: jax.Array) -> jax.Array:
    return _bures_parts(cov_a, cov_b)[0]


@_bures.defjvp
def _bures_jvp(primals, tangents):
    value, factor_a, factor_b, left, singular, right_t = _bures_parts(*primals)
    keep = singular > _numerics.rank_cutoff(singular[..., :1], singular.shape[-1])
    root = jnp.where(keep, jax.lax.rsqrt(jnp.where(keep, singular, 1.0)), 0.0)[..., None, :]
    half_a = products.matmul(factor_b, left) * root  # half_a half_a^T maps N(0, cov_a) to N(0, cov_b)
    half_b = products.matmul(factor_a, products.transpose(right_t)) * root
    identity = jnp.broadcast_to(jnp.eye(half_a.shape[-1], dtype=half_a.dtype), half_a.shape)
    tangent = jnp.zeros_like(value)
    for half, direction in ((half_a, tangents[0]), (half_b, tangents[1])):
        gradient = identity - products.matmul(half, products.transpose(half))
        tangent = tangent + jnp.sum(gradient * direction, axis=(-2, -1))
    return value, tangent


def frechet(mean_a: jax.Array, cov_a: jax.Array, mean_b: jax.Array, cov_b: jax.Array) -> jax.Array:
    """Squared Fréchet distance (Wasserstein of order 2, Bures) between two Gaussians.

    |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), computed as |mean_a - mean_b|^2 + |L_a - L_b Q|^2 with
    L L^T the covariances and Q the rotation that brings the factors closest. Symmetric, at least 0, exactly 0 never
    promised: equal covariances give about 1e-13 of their trace in float32, where the difference of traces gives 1e-7.

    Only the symmetric part of a covariance is read; eigenvalues below rounding (4 sqrt(d) eps of the largest) count as
    0, so in float32 features whose scales differ by more than a few hundred should be scaled first. Where one
    covariance is singular and the other is not, the true derivative is infinite in the null directions; what is
    returned is the derivative within the common range, which is finite. Only first derivatives are meant. Infinite and
    NaN entries give NaN.

    Args:
      mean_a: `[..., d]` mean of the first law.
      cov_a: `[..., d, d]` its covariance.
      mean_b: `[..., d]` mean of the second law.
      cov_b: `[..., d, d]` its covariance. Leading axes broadcast.

    Returns:
      `[...]`, float32 or wider, in squared units of the features, as far as these fit (1e-38 to 1e38 in float32). On
      Inception features this is the "FID"; it is larger the smaller the samples were that the moments came from.

    Raises:
      ValueError: shapes disagree.
      TypeError: an argument is not real.

    References:
      Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982, eq. (4).
      Bhatia, Jain, Lim, On the Bures-Wasserstein distance between positive definite matrices, 2019, section 2
      (the form by factors) and section 3 (the derivative).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import gaussian
      >>> identity = jnp.eye(2)
      >>> round(float(gaussian.frechet(jnp.zeros(2), identity, jnp.float32([3, 4]), 4 * identity)), 4)  # 5^2 + 2
      27.0
    """
    mean_a, cov_a, mean_b, cov_b = _aligned(mean_a, cov_a, mean_b, cov_b)
    offset = mean_a - mean_b
    variances = jnp.maximum(*(jnp.diagonal(cov, axis1=-2, axis2=-1) for cov in (cov_a, cov_b)))
    unit = _scale.unit(jnp.sqrt(variances), axes=-1)
    scaled = (cov / unit[..., None] / unit[..., None] for cov in (cov_a, cov_b))
    distance = jnp.sum(offset * offset, axis=-1) + _bures(*scaled) * unit[..., 0] * unit[..., 0]
    finite = _numerics.all_finite(mean_a, mean_b, axes=1) & _numerics.all_finite(cov_a, cov_b, axes=2)
    return jnp.where(finite, distance, jnp.nan)


def _cholesky(cov: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cholesky factor and whether there is one; without one the factor is that of the identity."""
    cov = cov / 2 + products.transpose(cov) / 2
    succeeded = jnp.isfinite(_lapack.cholesky(jax.lax.stop_gradient(cov))).all(axis=(-2, -1))
    identity = jnp.broadcast_to(jnp.eye(cov.shape[-1], dtype=cov.dtype), cov.shape)
    # Decomposed again from a matrix that has a factor, so that no NaN enters the derivative.
    return _lapack.cholesky(jnp.where(succeeded[..., None, None], cov, identity)), succeeded


def _standardized_on_host(*laws):
    """Means and covariances in the units of the last covariance, where all are on the host and may not fit float32."""
    laws = tuple(_array.as_array(array) for array in laws)
    cov = laws[-1]
    if any(isinstance(array, jax.Array) for array in laws) or cov.dtype != np.float64 or cov.ndim < 2:
        return laws
    variance = np.diagonal(cov, axis1=-2, axis2=-1)
    usable = np.isfinite(variance) & (variance > 0)
    unit = np.exp2(np.round(np.log2(np.where(usable, variance, 1.0)) / 2))
    if any(array.shape[-1:] != unit.shape[-1:] for array in laws):
        return laws  # refused in a moment, by name
    square = unit[..., None, :] * unit[..., :, None]
    return tuple(array / (unit if i % 2 == 0 else square) for i, array in enumerate(laws))


def kl_divergence(mean_a: jax.Array, cov_a: jax.Array, mean_b: jax.Array, cov_b: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence KL(N(mean_a, cov_a) || N(mean_b, cov_b)) between Gaussians.

    A sum of terms that are each at least 0 (triangular factors compared entry by entry), so that close laws keep their
    relative accuracy in float32. The unit of a feature does not matter, as long as its variance fits the dtype
    (1e-38 to 1e38 in float32; float64 laws on the host are brought into range first).

    Args:
      mean_a: `[..., d]` mean of the first law, the one the expectation is over.
      cov_a: `[..., d, d]` its covariance; only the symmetric part is read.
      mean_b: `[..., d]` mean of the second law.
      cov_b: `[..., d, d]` its covariance. Leading axes broadcast.

    Returns:
      `[...]` nats, float32 or wider. `inf`, with derivative 0, where a covariance has no Cholesky factor (singular to
      rounding, or indefinite): a law on a subspace has no density against one on the whole space, nor the reverse.
      Infinite and NaN entries give NaN.

    Raises:
      ValueError: shapes disagree.
      TypeError: an argument is not real.

    References:
      Kullback, Information Theory and Statistics, 1959, chapter 9, eq. (1.2).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import gaussian
      >>> one = jnp.ones((1, 1))
      >>> float(gaussian.kl_divergence(jnp.ones(1), one, jnp.zeros(1), one))
      0.5
    """
    mean_a, cov_a, mean_b, cov_b = _aligned(*_standardized_on_host(mean_a, cov_a, mean_b, cov_b))
    # In the units of b, feature by feature: no unit changes the value, and none shall keep a factor from being found.
    unit = _scale.unit(jnp.sqrt(jnp.diagonal(cov_b, axis1=-2, axis2=-1)), axes=())
    cov_a, cov_b = (cov / unit[..., None, :] / unit[..., :, None] for cov in (cov_a, cov_b))
    mean_a, mean_b = mean_a / unit, mean_b / unit
    (factor_a, regular_a), (factor_b, regular_b) = _cholesky(cov_a), _cholesky(cov_b)
    columns = jnp.concatenate([factor_a - factor_b, (mean_b - mean_a)[..., None]], axis=-1)
    solved = _lapack.triangular_solve(factor_b, columns)
    excess = jnp.diagonal(solved, axis1=-2, axis2=-1)  # of the factors' ratio over one
    value = jnp.sum(solved * solved, axis=(-2, -1)) / 2 + jnp.sum(_numerics.minus_log1p(excess), axis=-1)
    finite = _numerics.all_finite(mean_a, mean_b, axes=1) & _numerics.all_finite(cov_a, cov_b, axes=2)
    return jnp.where(finite, jnp.where(regular_a & regular_b, value, jnp.inf), jnp.nan)
