"""Maximum mean discrepancy between two samples, and its kernels; O(n * block_size) memory, value and gradient."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from gentoolkit import _array, _scale
from gentoolkit.distances import _kernels, _pairwise, sorting

Kernel = _pairwise.Kernel
Parameter = ArrayLike | Sequence[float]

_ESTIMATORS = ("unbiased", "biased")


def squared(
    x: jax.Array, z: jax.Array, kernel: Kernel, *, estimator: str = "unbiased", block_size: int | None = None
) -> jax.Array:
    """Squared maximum mean discrepancy between the laws of two samples.

    mean k(x, x') + mean k(z, z') - 2 mean k(x, z). The `"unbiased"` estimator leaves out the pairs of a sample with
    itself (n (n - 1) and m (m - 1) within-sample terms, n m across): zero mean under equal laws, so it can be
    negative. The `"biased"` one keeps them: never negative but for rounding, and zero for equal samples.

    Neither origin nor unit matters: float64 samples on the host (NumPy, lists) lose a common median before they become
    float32, and for the kernels of this file distances are squared in the unit of the bandwidth. A function of your own
    is handed squared distances in the squared unit of the samples, which in float32 fit for samples that differ by
    1e-19 to 1e19.

    Pairs are visited tile by tile and the gradient is gathered on the way: memory O(n * block_size) for value and
    gradient. Close pairs are computed from differences of samples, the others from inner products (from 7 features on).
    For samples spread over devices::

        def loss(x, z):  # inside jax.shard_map, x and z the samples of one device, "data" the mesh axis
            x, z = (jax.lax.all_gather(samples, "data", tiled=True) for samples in (x, z))
            return jax.lax.pmean(mmd.squared(x, z, kernel), "data")

    whose value and gradient are those of the gathered batch. Under plain `jit` sharded samples need nothing.

    Args:
      x: `[..., n, d]` samples of the first law. Leading axes are independent problems; they broadcast.
      z: `[..., m, d]` samples of the second law.
      kernel: `gaussian`, `inverse_multiquadric`, `laplacian`, `rational_quadratic`, `energy`, a `mixture` of them, or
        any function that maps squared distances entry by entry. Parameters are differentiated when they are leaves of
        the kernel as a pytree: `jax.tree_util.Partial(function, parameter)`, called as `function(parameter, r2)`.
      estimator: `"unbiased"` or `"biased"` (static).
      block_size: rows and columns of a tile of pairs (static), None to choose from the shapes and the backend.

    Returns:
      `[...]`, float32 or wider, in units of the kernel (`energy()`: in units of the samples). NaN where a sample holds
      one. A sample with one infinite entry counts as infinitely far from all others: the value is finite for the
      bounded kernels, the gradient NaN in that feature; two infinities of one sign in a feature give NaN.

    Raises:
      ValueError: shapes disagree, a sample is empty, the estimator is unknown, `n` or `m` is 1 with the unbiased
        estimator, `block_size` < 1, or the kernel does not work entry by entry.
      TypeError: an argument is not a real array.

    References:
      Gretton, Borgwardt, Rasch, Schölkopf, Smola, A kernel two-sample test, JMLR 2012, eq. (3) and (5).
      Tolstikhin, Bousquet, Gelly, Schölkopf, Wasserstein auto-encoders, ICLR 2018, algorithm 2 (the unbiased form).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import mmd
      >>> x, z = jnp.float32([[0]]), jnp.float32([[1]])
      >>> float(mmd.squared(x, z, mmd.energy(), estimator="biased"))
      2.0
    """
    _array.check_samples(x=x, z=z)
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator must be one of {_ESTIMATORS}, got estimator = {estimator!r}.")
    x, z = _array.as_floating(**dict(zip("xz", _scale.center_together(x, z), strict=True)))
    n, m = x.shape[-2], z.shape[-2]
    if estimator == "unbiased" and min(n, m) == 1:
        raise ValueError(
            f"The unbiased estimator needs two samples of each law, got x.shape = {x.shape}, z.shape = {z.shape}."
        )
    try:
        batch = jnp.broadcast_shapes(x.shape[:-2], z.shape[:-2])
    except ValueError as error:
        raise ValueError(f"Leading axes must broadcast, got x.shape = {x.shape}, z.shape = {z.shape}.") from error
    x, z = (jnp.broadcast_to(samples, batch + samples.shape[-2:]) for samples in (x, z))
    kernel, unit, scale = _kernels.in_unit(kernel, x, z)
    x, z = x / unit, z / unit
    kernel = _pairwise.as_kernel(kernel, x.dtype)
    # The three means carry weights 1, 1 and -2: a constant taken off the kernel changes nothing but the rounding.
    offset = _pairwise.typical_value(kernel, x)
    at_zero = kernel(jnp.zeros_like(offset)) - offset

    def within(samples, size):
        mean = _pairwise.within(kernel, samples, offset=offset, block_size=block_size)
        return mean if estimator == "unbiased" else mean * ((size - 1) / size) + at_zero / size

    value = within(x, n) + within(z, m) - 2.0 * _pairwise.across(kernel, x, z, offset=offset, block_size=block_size)
    return value if scale is None else value * scale


def gaussian(bandwidth: Parameter) -> Kernel:
    """Gaussian kernel, exp(-r^2 / (2 bandwidth^2)).

    Args:
      bandwidth: in units of the samples, scalar or `[c]`; several are summed. May be traced and differentiated.

    Returns:
      A kernel of the squared distance.

    Raises:
      ValueError: a bandwidth is not positive, or they are more than one-dimensional.
    """
    return Partial(_kernels.gaussian, _parameter(bandwidth=bandwidth))


def inverse_multiquadric(scales: Parameter) -> Kernel:
    """Inverse multiquadric kernel, C / (C + r^2), summed over the scales C.

    Args:
      scales: C, in squared units of the samples, scalar or `[c]`; `wae_scales` gives those of Wasserstein
        auto-encoders. May be traced and differentiated.

    Returns:
      A kernel of the squared distance.

    Raises:
      ValueError: a scale is not positive, or they are more than one-dimensional.

    References:
      Tolstikhin et al., Wasserstein auto-encoders, ICLR 2018, section 4.
    """
    return Partial(_kernels.inverse_multiquadric, _parameter(scales=scales))


def laplacian(bandwidth: Parameter) -> Kernel:
    """Laplacian kernel of the Euclidean distance, exp(-r / bandwidth); its gradient at ties is taken as 0.

    Args:
      bandwidth: in units of the samples, scalar or `[c]`; several are summed. May be traced and differentiated.

    Returns:
      A kernel of the squared distance.

    Raises:
      ValueError: a bandwidth is not positive, or they are more than one-dimensional.
    """
    return Partial(_kernels.laplacian, _parameter(bandwidth=bandwidth))


def rational_quadratic(bandwidth: Parameter, alpha: Parameter) -> Kernel:
    """Rational quadratic kernel, (1 + r^2 / (2 alpha bandwidth^2))^-alpha.

    Args:
      bandwidth: in units of the samples, scalar or `[c]`. May be traced and differentiated.
      alpha: tail index, scalar or `[c]`; large values tend to the Gaussian kernel. Several are summed.

    Returns:
      A kernel of the squared distance.

    Raises:
      ValueError: a parameter is not positive or more than one-dimensional, or their numbers disagree.

    References:
      Bińkowski, Sutherland, Arbel, Gretton, Demystifying MMD GANs, ICLR 2018, section 2.1.
    """
    bandwidth, alpha = _parameter(bandwidth=bandwidth), _parameter(alpha=alpha)
    if len({bandwidth.shape[0], alpha.shape[0]} - {1}) > 1:
        raise ValueError(
            "bandwidth and alpha must be of one length, "
            f"got bandwidth.shape = {bandwidth.shape}, alpha.shape = {alpha.shape}."
        )
    return Partial(_kernels.rational_quadratic, bandwidth, alpha)


def energy() -> Kernel:
    """Energy kernel, -r: `squared` is then the energy distance 2 E|x - z| - E|x - x'| - E|z - z'|.

    Conditionally positive definite, which is enough for a discrepancy; its gradient at ties is taken as 0.

    Returns:
      A kernel of the squared distance.

    References:
      Székely, Rizzo, Energy statistics: a class of statistics based on distances, JSPI 2013, eq. (5).
      Sejdinovic, Sriperumbudur, Gretton, Fukumizu, Equivalence of distance-based and RKHS-based statistics in
      hypothesis testing, Annals of Statistics 2013, theorem 22.
    """
    return Partial(_kernels.energy)


def mixture(*kernels: Kernel, weights: Parameter | None = None) -> Kernel:
    """Weighted sum of kernels.

    Args:
      *kernels: kernels of the squared distance, at least one.
      weights: one positive weight for each, None for 1. May be traced and differentiated.

    Returns:
      A kernel of the squared distance.

    Raises:
      ValueError: no kernel, a weight that is not positive, or not as many weights as kernels.
    """
    if not kernels:
        raise ValueError("mixture needs at least one kernel, got none.")
    weights = _parameter(weights=np.ones(len(kernels)) if weights is None else weights)
    if weights.shape[0] != len(kernels):
        raise ValueError(f"weights must be one for each of {len(kernels)} kernels, got shape {weights.shape}.")
    kernels = tuple(Partial(kernel) if jax.tree_util.all_leaves([kernel]) else kernel for kernel in kernels)
    return Partial(_kernels.mixture, kernels, weights)


def wae_scales(dim: int, *, variance: float = 1.0) -> np.ndarray:
    """The seven scales of Wasserstein auto-encoders for a prior N(0, variance I): 2 dim variance (.1 ... 10).

    Args:
      dim: latent dimension d.
      variance: of one coordinate of the prior.

    Returns:
      `[7]` scales for `inverse_multiquadric`, 2 d variance (0.1, 0.2, 0.5, 1, 2, 5, 10): 2 d variance is the expected
      squared distance of two draws of the prior.

    Raises:
      ValueError: `dim` or `variance` is not positive.

    References:
      Tolstikhin et al., Wasserstein auto-encoders, ICLR 2018, section 4 and its published code.
    """
    _array.check_positive(dim=dim, variance=variance)
    return 2.0 * dim * variance * np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])


def median_bandwidth(x: jax.Array, z: jax.Array, *, max_samples: int = 512) -> jax.Array:
    """Median distance between samples of the pool of both, the usual choice of bandwidth, without derivative.

    Args:
      x: `[..., n, d]`.
      z: `[..., m, d]`, same leading axes.
      max_samples: at most this many samples enter, evenly spaced along the sample axis, half from each of `x` and `z`
        (static): memory O(max_samples^2).

    Returns:
      `[...]` in units of the samples: the mean distance where the median is 0, and 1 where all samples coincide. NaN
      where a sample holds one.

    Raises:
      ValueError: shapes disagree, a sample is empty, or `max_samples` < 2.

    References:
      Gretton et al., A kernel two-sample test, JMLR 2012, section 8.
      Garreau, Jitkrittum, Kanagawa, Large sample analysis of the median heuristic, 2017.
    """
    _array.check_samples(x=x, z=z)
    shape_x, shape_z = _array.shape(x), _array.shape(z)
    if shape_x[:-2] != shape_z[:-2]:
        raise ValueError(f"Leading axes must agree, got x.shape = {shape_x}, z.shape = {shape_z}.")
    if max_samples < 2:
        raise ValueError(f"max_samples must be at least 2, got max_samples = {max_samples}.")
    x, z = _array.as_floating(**dict(zip("xz", _scale.center_together(x, z), strict=True)))
    chosen = [samples[..., _evenly(samples.shape[-2], max_samples // 2), :] for samples in (x, z)]
    pool = jax.lax.stop_gradient(jnp.concatenate(chosen, axis=-2))
    unit = _scale.unit(pool, axes=(-2, -1))
    pool = pool / unit
    size = pool.shape[-2]
    flat = pool.reshape((-1,) + pool.shape[-2:])
    distances = jnp.sqrt(jax.vmap(_pairwise.squared_differences)(flat, flat)).reshape(flat.shape[0], -1)
    # Each pair stands twice, and the zeros of the diagonal come first.
    ordered = sorting.sort(distances)
    pairs = size * (size - 1)
    median = (ordered[:, size + (pairs - 1) // 2] + ordered[:, size + pairs // 2]) / 2.0
    mean = distances.sum(axis=-1) / pairs
    bandwidth = jnp.where(median == 0.0, mean, median)
    bandwidth = jnp.where(bandwidth == 0.0, 1.0, bandwidth * unit.reshape(-1))
    return jnp.where(jnp.isnan(mean), jnp.nan, bandwidth).reshape(pool.shape[:-2])


def _evenly(size: int, num: int) -> np.ndarray:
    return np.arange(size) if size <= num else np.linspace(0, size - 1, num).astype(np.int32)


def _parameter(**named: Parameter) -> jax.Array | np.ndarray:
    """One positive parameter, named, as `[c]`."""
    ((name, value),) = named.items()
    _array.check_positive(**named)
    is_on_device = isinstance(value, jax.Array) or _array.is_traced(value)
    value = jnp.asarray(value) if is_on_device else np.asarray(value, float)
    if value.ndim > 1 or value.size == 0:
        raise ValueError(f"{name} must be a scalar or of shape [c], got {name}.shape = {value.shape}.")
    return value.reshape(-1)
