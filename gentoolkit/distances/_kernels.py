"""The kernels of `mmd` as functions of their parameters and of squared distances, and the unit these are squared in."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from gentoolkit import _scale
from gentoolkit.distances._pairwise import Kernel

# The largest coordinate over the length of a kernel. Such pairs and far nearer ones overflow when they are squared, and
# their kernel is 0, as it should be; coordinates must not overflow.
_FARTHEST = 2.0**120
# A length below this share of the unit would vanish when squared; nothing but a tie is that near.
SHORTEST = 2.0**-60


def _root(r2):
    # Slope 0 at 0 instead of infinity.
    tie = r2 == 0.0
    return jnp.where(tie, 0.0, jnp.sqrt(jnp.where(tie, 1.0, r2)))


# One factor for each parameter: the compiler then has no freedom to round a factor common to all pairs one way in one
# of the three means and another way in the next, which shows in a difference of means.


def gaussian(bandwidth, r2):
    return sum(jnp.exp((-0.5 / (b * b)) * r2) for b in bandwidth)


def inverse_multiquadric(scales, r2):
    return sum(c / (c + r2) for c in scales)


def laplacian(bandwidth, r2):
    r = _root(r2)
    return sum(jnp.exp((-1.0 / b) * r) for b in bandwidth)


def rational_quadratic(bandwidth, alpha, r2):
    size = max(bandwidth.shape[0], alpha.shape[0])
    pairs = zip(jnp.broadcast_to(bandwidth, (size,)), jnp.broadcast_to(alpha, (size,)), strict=True)
    return sum(jnp.exp(-a * jnp.log1p((0.5 / (a * b * b)) * r2)) for b, a in pairs)


def energy(r2):
    return -_root(r2)


def mixture(kernels, weights, r2):
    return sum(weight * kernel(r2) for weight, kernel in zip(weights, kernels, strict=True))


def in_unit(kernel: Kernel, x: jax.Array, z: jax.Array) -> tuple[Kernel, jax.Array, jax.Array | None]:
    """A kernel of squared distances in a unit of its own, for which they neither overflow nor vanish.

    Args:
      kernel: a kernel of squared distances.
      x: `[..., n, d]` samples.
      z: `[..., m, d]` samples.

    Returns:
      `(kernel, unit, scale)`: the kernel for samples divided by `unit`, and what then multiplies its means, `[...]` or
      None. The kernels of this file are known; for any other the unit is 1.
    """
    if _is_energy(kernel):  # the only one without a length: it goes by the samples
        unit = jnp.maximum(*(_scale.unit(samples, axes=(-2, -1)) for samples in (x, z)))
        return kernel, unit, unit[..., 0, 0]
    lengths = _lengths(kernel)
    if not lengths:
        return kernel, jnp.ones((), x.dtype), None
    unit = unit_of(lengths, x, z)
    return _rescaled(kernel, unit), unit, None


def _function(kernel: Any):
    return kernel.func if isinstance(kernel, Partial) else None


def _is_energy(kernel: Any) -> bool:
    function = _function(kernel)
    return function is energy or (function is mixture and all(_is_energy(each) for each in kernel.args[0]))


def _lengths(kernel: Any) -> list[jax.Array | np.ndarray]:
    """All lengths of a kernel and of those it is mixed of."""
    function = _function(kernel)
    if function is mixture:
        return [length for each in kernel.args[0] for length in _lengths(each)]
    if function is inverse_multiquadric:
        return [square_root(kernel.args[0])]
    return [kernel.args[0]] if function in (gaussian, laplacian, rational_quadratic) else []


def _rescaled(kernel: Any, unit: jax.Array) -> Kernel:
    """The kernel for squared distances in squares of `unit`."""
    function = _function(kernel)
    if function is mixture:
        return Partial(mixture, tuple(_rescaled(each, unit) for each in kernel.args[0]), *kernel.args[1:])
    if not _lengths(kernel):
        return Partial(_in_old_unit, kernel, unit)
    if function is inverse_multiquadric and isinstance(kernel.args[0], jax.Array):
        return Partial(function, jnp.maximum(kernel.args[0] / unit / unit, SHORTEST**2))
    length = jnp.maximum(jnp.asarray(_lengths(kernel)[0], unit.dtype) / unit, SHORTEST)
    length = length * length if function is inverse_multiquadric else length
    return Partial(function, length, *kernel.args[1:])


def _in_old_unit(kernel, unit, r2):
    return unit * kernel(r2) if _is_energy(kernel) else kernel(r2 * unit * unit)


def square_root(value: ArrayLike) -> jax.Array | np.ndarray:
    """Square root of a parameter: on the host in float64, where a square fits that float32 does not hold."""
    return jnp.sqrt(value) if isinstance(value, jax.Array) else np.sqrt(np.asarray(value, np.float64))


def unit_of(lengths: Sequence, x: jax.Array, z: jax.Array) -> jax.Array:
    """Returns the power of two next to the largest of some lengths.

    Args:
      lengths: of a kernel, in units of the samples, each a scalar or `[c]`.
      x: `[..., n, d]` samples, whose coordinates must not overflow in that unit.
      z: `[..., m, d]` samples.

    Returns:
      A scalar, the dtype of the samples.
    """
    largest = jnp.stack([jnp.max(jnp.asarray(length, x.dtype)) for length in lengths]).max()
    farthest = jnp.maximum(*(_scale.unit(samples).reshape(()) for samples in (x, z)))
    return jnp.maximum(_scale.unit(largest), farthest / _FARTHEST)
