"""Gradient-based enhancement in the manner of GBLE: dark gradients amplified, then integrated within [0, 1].

A reconstruction, to be reported as "GBLE-like": the abstract and the introduction of the paper say what is done, the
gain curve and the constants were not available. Its figures are not those of the paper's method.
"""

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.imaging import _images, color, filters, solvers


def enhance(
    image: jax.Array,
    *,
    largest_gain: float = 6.0,
    exponent: float = 0.6,
    sigma: float = 3.0,
    data_weight: float = 0.02,
    gamma: float = 2.2,
    penalty: float = 1.0,
    num_iterations: int = 60,
    floor: float = 1 / 255,
) -> jax.Array:
    """Brightens a photograph by integrating amplified gradients of its luma.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1]. Leading axes are independent images.
      largest_gain: gain of gradients in the dark; at least 1.
      exponent: the gain is (smoothed luma + 0.02) to the power of minus this, between 1 and the largest.
      sigma: standard deviation of that smoothing in pixels (static).
      data_weight: weight of the distance from the luma to the power of 1 / gamma.
      gamma: of that tone curve.
      penalty: weight of the split of the range constraint, > 0.
      num_iterations: alternations (static).
      floor: luma below it counts as it when channels are scaled, > 0.

    Returns:
      `[..., h, w, 3]` in [0, 1], float32 or wider. One NaN makes the image NaN.

    Raises:
      ValueError: the image is empty or has not three channels, or an option is out of range.
      TypeError: the image holds integers.

    References:
      After Tanaka, Shibata, Okutomi, Gradient-based low-light image enhancement, ICCE 2019 (arXiv 1809.09297).
    """
    image = _images.as_image(image, channels=3)
    _array.check_positive(floor=floor)
    y = color.luma(image)
    smooth = filters.gaussian(y, sigma)
    gain = jnp.clip((smooth + 0.02) ** -exponent, 1.0, largest_gain)
    dark = y <= 0
    tone = jnp.where(dark, 0.0, jnp.where(dark, 1.0, y) ** (1.0 / gamma))
    target = gain[..., 0][..., None, :, :] * solvers.differences(y[..., 0])
    bright = integrate(target, tone[..., 0], data_weight=data_weight, penalty=penalty, num_iterations=num_iterations)[
        ..., None
    ]
    ratio = bright / jnp.maximum(y, floor)
    return jnp.clip(image * jnp.broadcast_to(ratio, image.shape), 0.0, 1.0)


def integrate(
    slope: jax.Array, tone: jax.Array, *, data_weight: float = 0.02, penalty: float = 1.0, num_iterations: int = 60
) -> jax.Array:
    """The field in [0, 1] whose differences are nearest to given ones, drawn to a given tone.

    Minimises |D x - slope|^2 + data_weight |x - tone|^2 by alternating directions with cosine solves.

    Args:
      slope: `[..., 2, h, w]` the differences wanted.
      tone: `[..., h, w]` the values wanted.
      data_weight: weight of the latter, >= 0.
      penalty: weight of the split of the range constraint, > 0.
      num_iterations: alternations (static).

    Returns:
      `[..., h, w]` in [0, 1].

    Raises:
      ValueError: a field is empty or an option out of range.
      TypeError: a field holds integers.
    """
    slope, tone = _images.same_dtype(_images.as_plane(slope, name="slope"), _images.as_plane(tone, name="tone"))
    _array.check_positive(penalty=penalty)
    _images.check_whole(least=1, num_iterations=num_iterations)
    right = solvers.adjoint_differences(slope) + data_weight * tone

    @jax.checkpoint
    def step(state, _):
        z, u = state
        x = solvers.solve_neumann(right + penalty * (z - u), identity=data_weight + penalty, laplacian=1.0)
        z = jnp.clip(x + u, 0.0, 1.0)
        return (z, u + x - z), None

    (z, _), _ = jax.lax.scan(step, (jnp.clip(tone, 0.0, 1.0), jnp.zeros_like(tone)), None, length=num_iterations)
    return z
