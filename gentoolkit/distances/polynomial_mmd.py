"""Maximum mean discrepancy by a polynomial of inner products: the kernel inception distance, as a loss."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.distances import products

_ESTIMATORS = ("unbiased", "biased")


def squared(
    x: jax.Array,
    z: jax.Array,
    *,
    degree: int = 3,
    scale: ArrayLike | None = None,
    offset: ArrayLike = 1.0,
    estimator: str = "unbiased",
    block_size: int = 256,
) -> jax.Array:
    """Squared maximum mean discrepancy by the kernel (scale a . b + offset)^degree.

    mean k(x, x') + mean k(z, z') - 2 mean k(x, z). The `"unbiased"` estimator leaves out the pairs of a sample with
    itself, and can be negative. Unlike the kernels of `mmd` this one hangs on the origin of the samples, and it sees no
    more of their laws than moments up to its degree. On Inception's features the unbiased form is KID
    (`evaluation.kid` averages it over subsets, on the host).

    Rows are visited block by block and computed again for the gradient: memory O((n + m) block_size). Samples spread
    over devices are gathered by the caller, as for `mmd.squared`.

    Args:
      x: `[..., n, d]` samples of the first law. Leading axes are independent problems; they broadcast.
      z: `[..., m, d]` samples of the second law.
      degree: of the polynomial, at least 1 (static).
      scale: of inner products; None is 1 / d. May be traced and differentiated.
      offset: added to them. May be traced and differentiated.
      estimator: `"unbiased"` or `"biased"` (static).
      block_size: rows at a time (static).

    Returns:
      `[...]`, float32 or wider. In float32 it is rounded by some 1e-7 of the mean kernel, which for laws that are close
      is more than the discrepancy. NaN where a sample holds one.

    Raises:
      ValueError: shapes disagree, a sample is empty, an option is out of range, or `n` or `m` is 1 with the unbiased
        estimator.
      TypeError: an argument is not a real array.

    References:
      Bińkowski, Sutherland, Arbel, Gretton, Demystifying MMD GANs, ICLR 2018, section 2 and 4.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import polynomial_mmd
      >>> x, z = jnp.float32([[1, 0], [0, 1]]), jnp.float32([[1, 1], [0, 0]])
      >>> float(polynomial_mmd.squared(x, z))
      -2.375
    """
    _array.check_samples(x=x, z=z)
    x, z = _array.as_floating(x=x, z=z)
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator must be one of {_ESTIMATORS}, got estimator = {estimator!r}.")
    for name, value in (("degree", degree), ("block_size", block_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {name} = {value}.")
    unbiased = estimator == "unbiased"
    if unbiased and min(x.shape[-2], z.shape[-2]) == 1:
        raise ValueError(
            f"The unbiased estimator needs two samples of each law, got x.shape = {x.shape}, z.shape = {z.shape}."
        )
    try:
        batch = jnp.broadcast_shapes(x.shape[:-2], z.shape[:-2])
    except ValueError as error:
        raise ValueError(f"Leading axes must broadcast, got x.shape = {x.shape}, z.shape = {z.shape}.") from error
    x, z = (jnp.broadcast_to(samples, batch + samples.shape[-2:]) for samples in (x, z))
    scale = jnp.asarray(1.0 / x.shape[-1] if scale is None else scale, x.dtype)
    offset = jnp.asarray(offset, x.dtype)

    def kernel(row, others):
        return (scale * products.matmul(others, row) + offset) ** degree

    # Again on the way back, block by block: no matrix of all pairs is kept for the gradient.
    @jax.checkpoint
    def excess(own, other, index_and_row):
        """What a row shares with its own sample beyond what it shares with the other one, on average."""
        index, row = index_and_row
        within = kernel(row, own)
        num = own.shape[0]
        if unbiased:
            within, num = jnp.where(jnp.arange(num) == index, 0.0, within), num - 1
        return within.sum() / num - kernel(row, other).mean()

    def mean_excess(own, other):
        rows = jnp.arange(own.shape[0]), own
        return jax.lax.map(functools.partial(excess, own, other), rows, batch_size=block_size).mean()

    def one(x, z):
        return mean_excess(x, z) + mean_excess(z, x)

    return jnp.vectorize(one, signature="(n,d),(m,d)->()")(x, z)
