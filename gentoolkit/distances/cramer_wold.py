"""Cramer-Wold distance in d dimensions: smoothed densities compared in L2, averaged over all directions, exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from gentoolkit import _array, _scale
from gentoolkit.distances import _kernels, _pairwise, mmd

_KERNELS = ("exact", "asymptotic")


def to_normal(
    x: jax.Array, *, bandwidth: ArrayLike | None = None, kernel: str = "exact", block_size: int | None = None
) -> jax.Array:
    r"""Cramer-Wold distance of a sample to N(0, I).

    The mean over directions v on the sphere of the squared L2 distance between the densities of x.v and of N(0, 1),
    both smoothed by N(0, g):

        (4 pi g)^-1/2 mean_ij F_d(|x_i - x_j|^2 / 4g) + (4 pi (1 + g))^-1/2
          - 2 (2 pi (1 + 2g))^-1/2 mean_i F_d(|x_i|^2 / (2 + 4g)),    F_d(s) = 1F1(1/2; d/2; -s),

    over all n^2 pairs. It is at least 0 and equals the average over random directions of the one-dimensional distance
    (`normality.cramer_wold`) of the same bandwidth. Its mean under N(0, I) is
    ((4 pi g)^-1/2 - (4 pi (1 + g))^-1/2) / n in every dimension. It is a small difference of large terms; here each
    term is taken relative to (4 pi (1 + g))^-1/2 before it is summed, which keeps float32 to about 1e-5 of the value.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems. For samples spread over devices see
        `mmd.squared`.
      bandwidth: g, the VARIANCE of the smoothing, in squared units of `x`; None for Silverman's (4 / 3n)^(2/5). May
        be traced and differentiated.
      kernel: `"exact"`, or `"asymptotic"` for (1 + 4s / (2d - 3))^-1/2 in place of F_d (static; d >= 2). The latter is
        what published code uses: within 1 % of F_d at d = 20, but the distance can be off by half of its value there
        (14 % at d = 64), so it is for comparison with such code only, which also leaves out a factor 1 / (2 sqrt(pi)).
      block_size: rows and columns of a tile of pairs (static), None to choose.

    Returns:
      `[...]`, float32 or wider, in inverse units of `x`. NaN where a sample holds one; see `mmd.squared` for infinite
      entries.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, `bandwidth` is not a positive scalar, `kernel` is unknown or
        not defined for d, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Knop, Tabor, Spurek, Podolak, Mazur, Jastrzębski, Cramer-Wold auto-encoder, 2018, theorem 3 and section 4.
      Knop, Mazur, Tabor, Podolak, Spurek, Sliced generative models, section on SCWAE: the second argument of N(m, s)
      there is a variance; with standard deviations the formula printed is not the distance.
    """
    _array.check_samples(x=x)
    (x,) = _array.as_floating(x=x)
    n, dim = x.shape[-2:]
    _check_kernel(kernel, dim)
    g = jnp.asarray(_checked(bandwidth, n), x.dtype)
    # All terms in units of (2 pi)^-1/2 and less 1 / root: the weights are 1 (pairs), -2 (cross) and 1 (the normal with
    # itself), so any root does. One near (2 + 2g)^1/2 makes the terms small; 12 bits make its square exact. What is
    # known exactly must not be folded into what is not while compiling, hence the barrier.
    g = jax.lax.optimization_barrier(g)
    fixed = jax.lax.stop_gradient(g)
    root = jax.lax.reduce_precision(jnp.sqrt(2.0 + 2.0 * fixed), exponent_bits=8, mantissa_bits=11)
    excess = (root * root - 2.0) - 2.0 * fixed
    less = _density_less(dim, kernel)
    pairs = _pairwise.within(Partial(less, root, excess, 2.0, 2.0 * g), x, block_size=block_size)
    cross = less(root, excess, 1.0, 1.0 + 2.0 * g, jnp.sum(x * x, axis=-1)).mean(axis=-1)
    itself = less(root, excess, 2.0, 2.0 * g, jnp.zeros_like(pairs))
    # At distance 0 both kernels are exactly 1, the asymptotic one to the last bit.
    normal = _density_less(dim, "asymptotic")(root, excess, 0.0, 2.0 + 2.0 * g, jnp.zeros_like(pairs))
    return ((1.0 - 1.0 / n) * pairs + itself / n - 2.0 * cross + normal) * (2.0 * np.pi) ** -0.5


def between(
    x: jax.Array,
    z: jax.Array,
    *,
    bandwidth: ArrayLike | None = None,
    kernel: str = "exact",
    block_size: int | None = None,
) -> jax.Array:
    """Cramer-Wold distance between two samples.

    (4 pi g)^-1/2 (mean F_d(|x - x'|^2 / 4g) + mean F_d(|z - z'|^2 / 4g) - 2 mean F_d(|x - z|^2 / 4g)) over all pairs,
    with F_d as in `to_normal`: a biased squared maximum mean discrepancy, at least 0 but for rounding, 0 for equal
    samples, and the average over directions of the one-dimensional distance. The TensorFlow code published with the
    paper (`cw_sampling`) divides the sums by n where n^2 is meant.

    Args:
      x: `[..., n, d]` samples of the first law; leading axes are independent problems and broadcast. For samples
        spread over devices see `mmd.squared`.
      z: `[..., m, d]` samples of the second law.
      bandwidth: g, the VARIANCE of the smoothing, in squared units of the samples; None for Silverman's
        (4 / 3n)^(2/5) with the smaller of the two sizes for n. May be traced and differentiated.
      kernel: `"exact"` or `"asymptotic"` (static), see `to_normal`.
      block_size: rows and columns of a tile of pairs (static), None to choose.

    Returns:
      `[...]`, float32 or wider, in inverse units of the samples. NaN where a sample holds one; see `mmd.squared` for
      infinite entries.

    Raises:
      ValueError: shapes disagree, a sample is empty, `bandwidth` is not a positive scalar, `kernel` is unknown or not
        defined for d, or `block_size` < 1.
      TypeError: an argument is not real.

    References:
      Knop, Tabor, Spurek, Podolak, Mazur, Jastrzębski, Cramer-Wold auto-encoder, 2018, theorem 1 and section 4.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import cramer_wold
      >>> x = jnp.float32([[0, 0], [1, 2]])
      >>> float(cramer_wold.between(x, x)), bool(cramer_wold.between(x, x + 1) > 0)
      (0.0, True)
    """
    _array.check_samples(x=x, z=z)
    x, z = _array.as_floating(**dict(zip("xz", _scale.center_together(x, z), strict=True)))
    dim = x.shape[-1]
    _check_kernel(kernel, dim)
    g = _checked(bandwidth, min(x.shape[-2], z.shape[-2]))
    # The root of g has the unit of the samples; squared distances in that unit neither overflow nor vanish.
    length = jnp.asarray(_kernels.square_root(g), x.dtype)
    unit = _kernels.unit_of([length], x, z)
    ratio = jnp.maximum(length / unit, _kernels.SHORTEST)
    average = Partial(_scaled_sphere_average(dim, kernel), 0.25 / (ratio * ratio))
    value = mmd.squared(x / unit, z / unit, average, estimator="biased", block_size=block_size)
    return value / (length * (4.0 * np.pi) ** 0.5)


def _check_kernel(kernel: str, dim: int) -> None:
    if kernel not in _KERNELS:
        raise ValueError(f"kernel must be one of {_KERNELS}, got kernel = {kernel!r}.")
    if kernel == "asymptotic" and dim == 1:
        raise ValueError("The asymptotic kernel needs at least two features, got d = 1.")


def _checked(bandwidth: ArrayLike | None, n: int) -> ArrayLike:
    """The bandwidth, Silverman's for None."""
    if bandwidth is None:
        bandwidth = (4.0 / (3.0 * n)) ** 0.4
    _array.check_positive(bandwidth=bandwidth)
    if jnp.shape(bandwidth) != ():
        raise ValueError(f"bandwidth must be a scalar, got bandwidth.shape = {jnp.shape(bandwidth)}.")
    if not _array.is_traced(bandwidth) and np.isinf(bandwidth):
        raise ValueError("bandwidth must be finite, got bandwidth = inf.")
    return bandwidth


# One function object for each (d, kernel), so that equal kernels are equal pytrees and nothing is compiled twice.
@functools.lru_cache
def _scaled_sphere_average(dim: int, kernel: str):
    return lambda rate, r2: sphere_average(rate * r2, dim, kernel=kernel)


@functools.lru_cache
def _density_less(dim: int, kernel: str):
    """(root, excess, gap, variance, r2) -> smoothed density less 1 / root, with no cancellation.

    The density is the mean over directions v of that of N(0, variance) at r.v, times sqrt(2 pi). F_d(s) = (1 + s / a)
    ^-1/2 (1 + c(s)) with c small (0 for d = infinity) and 2 a near d, so that it is q^-1/2 (1 + c) with q = variance +
    r2 / 2a. The caller gives variance + gap + excess = root^2, in which the variance cancels from root^2 - q.
    """

    def density_less(root, excess, gap, variance, r2):
        inverse = 1.0 / (2.0 * _pole(dim))
        r2 = jnp.minimum(r2, float(jnp.finfo(r2.dtype).max) / 4.0)  # the density of a far pair is 0, not inf / inf
        root_q = jnp.sqrt(variance + inverse * r2)
        correction = _correction(r2 / (2.0 * variance), dim, kernel)
        value = ((gap - (inverse * r2 - excess)) / (root * (root_q + root)) + correction) / root_q
        # Differentiated in this form the slope of a far pair would be a difference of equal numbers; in the plain
        # form it is not. The two differ by a constant, so: the value of the one, the derivative of the other.
        plain = (1.0 + correction) / root_q
        return jax.lax.stop_gradient(value) + (plain - jax.lax.stop_gradient(plain))

    return density_less


def sphere_average(s: jax.Array, dim: int, *, kernel: str = "exact") -> jax.Array:
    """F_d(s) = 1F1(1/2; d/2; -s), the mean of exp(-s v_1^2) over directions v in R^dim, for s >= 0.

    Args:
      s: `[...]`, float32 or float64.
      dim: d (static).
      kernel: `"exact"` or `"asymptotic"`, (1 + 4s / (2d - 3))^-1/2 (static).

    Returns:
      `[...]` of the dtype of `s`; value and first derivative to about 1e-6 (float32) or 1e-12 (float64) of themselves.
    """
    if dim == 1:
        return jnp.exp(-s)
    return (1.0 + _correction(s, dim, kernel)) / jnp.sqrt(1.0 + s / _pole(dim))


def _pole(dim: int) -> float:
    """The a in F_d(s) ~ (1 + s / a)^-1/2; any value serves for d = 1."""
    return (2.0 * dim - 3.0) / 4.0 if dim > 1 else 0.5


def _correction(s, dim, kernel):
    """(1 + s / a)^1/2 F_d(s) - 1, by a Chebyshev series (Clenshaw's recurrence)."""
    if kernel == "asymptotic":
        return jnp.zeros_like(s)
    if dim == 1:
        s = jnp.minimum(s, 1e4)
        return jnp.exp(0.5 * jnp.log1p(s / _pole(dim)) - s) - 1.0
    t = 1.0 - 2.0 * _pace(dim) / (s + _pace(dim))
    first, *rest = _chebyshev_coefficients(dim, s.dtype.name)
    ahead, behind = jnp.zeros_like(s), jnp.zeros_like(s)
    for coefficient in reversed(rest):
        ahead, behind = 2.0 * t * ahead - behind + coefficient, ahead
    return t * ahead - behind + first


def _pace(dim: int) -> float:
    """The b in t = (s - b) / (s + b), which takes [0, inf) to [-1, 1): near the fastest series for every d."""
    return _pole(dim) + 2.0


@functools.lru_cache
def _chebyshev_coefficients(dim: int, dtype: str) -> tuple[float, ...]:
    """Series in t of the correction, cut where the rest is below the rounding of `dtype`; float64, on the host."""
    from scipy import special

    num = 128
    angles = np.pi * (np.arange(num) + 0.5) / num
    t = np.cos(angles)
    s = _pace(dim) * (1.0 + t) / (1.0 - t)
    correction = np.sqrt(1.0 + s / _pole(dim)) * special.hyp1f1(0.5, dim / 2.0, -s) - 1.0
    series = 2.0 / num * np.cos(np.outer(np.arange(num), angles)) @ correction
    series[0] /= 2.0
    # The last terms are the rounding of `hyp1f1`.
    tolerance = max(1e-14 if dtype == "float64" else 1e-9, 4.0 * np.abs(series[-16:]).max())
    kept = np.flatnonzero(np.abs(series) > tolerance)
    return tuple(float(c) for c in series[: kept[-1] + 1 if kept.size else 1])
