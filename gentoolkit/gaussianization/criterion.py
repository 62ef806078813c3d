"""How much total correlation a bijection removes: a criterion by which a destructor is trained without a base law."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gentoolkit import _scale
from gentoolkit._array import as_array, as_floating, check_samples
from gentoolkit.gaussianization import univariate_entropy


def total_correlation_removed(
    x: jax.Array,
    z: jax.Array,
    log_det: jax.Array,
    *,
    entropy: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Total correlation of a sample less that of its image, `sum_d [H(x_d) - H(z_d)] + mean log|det dz/dx|`.

    Maximized over the parameters of a flow it makes the image's features independent, whatever their marginal laws:
    unlike the likelihood it asks for no base law, and a monotone map of a feature changes nothing. Follow the flow with
    a marginal map where Gaussian or uniform features are wanted. As a loss, take the negative; where only its gradient
    is needed, `x` enters as a constant.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      z: `[..., n, d]` their images.
      log_det: `[..., n]` log-determinants of the Jacobian, nats.
      entropy: rows `[..., d, n]` to `[..., d]`, nats, differentiable; None takes `univariate_entropy.spacing` over
        sqrt(n) spacings. Fewer have less bias and a useless slope: it is then that of single gaps between samples.

    Returns:
      `[...]`, nats; at most the total correlation of `x`, up to the error of 2 d entropies. NaN in gives NaN out.

    Raises:
      ValueError: shapes that disagree.
      TypeError: arrays that are not real.

    References:
      Johnson, Laparra, Camps-Valls, Santos-Rodriguez, Malo, "Information theory in density destructors", eq. 6, whose
      Delta T as printed is T after less T before; this is T before less T after, as its eq. 7 needs.
    """
    # Entropies do not depend on the origin, which float32 might round away.
    x, z, log_det = as_array(x), as_array(z), as_array(log_det)
    check_samples(x=x, z=z)
    x, z = (_scale.center_on_host(sample)[0] for sample in (x, z))
    if jnp.shape(x) != jnp.shape(z) or jnp.shape(log_det) != jnp.shape(x)[:-1]:
        raise ValueError(
            f"z must have the shape of x, and log_det that without features, got x.shape = {jnp.shape(x)}, "
            f"z.shape = {jnp.shape(z)}, log_det.shape = {jnp.shape(log_det)}."
        )
    x, z, log_det = as_floating(x=x, z=z, log_det=log_det)
    if entropy is None:
        entropy = functools.partial(univariate_entropy.spacing, num_spacings=max(1, math.isqrt(x.shape[-2] - 1)))
    before, after = (entropy(jnp.swapaxes(sample, -1, -2)) for sample in (x, z))
    return jnp.sum(before - after, axis=-1) + jnp.mean(log_det, axis=-1)
