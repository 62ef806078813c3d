"""Weighted variational model: reflectance and illumination together, in logarithms."""

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.imaging import _images, color, solvers


def enhance(
    image: jax.Array,
    *,
    c1: float = 0.01,
    c2: float = 0.1,
    penalty: float = 1.0,
    gamma: float = 2.2,
    num_iterations: int = 15,
    intensity_scale: float = 1.0,
    floor: float = 1 / 255,
) -> jax.Array:
    """Brightens a photograph by a gamma on its illumination, with the reflectance left alone.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1]. Leading axes are independent images.
      c1: weight of the gradient of the reflectance.
      c2: weight of the gradient of the illumination.
      penalty: weight of the split constraint, > 0.
      gamma: the illumination is raised to 1 / gamma.
      num_iterations: alternations (static).
      intensity_scale: the illumination that weighs its own gradient runs up to this; 1 here, 255 in public code for
        8-bit values, which makes c2 65,025 times as strong.
      floor: values below it count as it in the logarithm, > 0.

    Returns:
      `[..., h, w, 3]` in [0, 1], float32 or wider. One NaN makes the image NaN.

    Raises:
      ValueError: the image is empty or has not three channels, or an option is out of range.
      TypeError: the image holds integers.

    References:
      Fu, Zeng, Huang, Zhang, Ding, A weighted variational model for simultaneous reflectance and illumination
        estimation, CVPR 2016, eq. (6) to (12); the weighted systems are solved as they are, not by the mean weight.
    """
    image = _images.as_image(image, channels=3)
    top = color.value(image)
    r, light = decompose(
        top[..., 0],
        c1=c1,
        c2=c2,
        penalty=penalty,
        num_iterations=num_iterations,
        intensity_scale=intensity_scale,
        floor=floor,
    )
    bright = jnp.exp(r + light / gamma)[..., None]
    return jnp.clip(color.scale_value(image, bright, floor=floor), 0.0, 1.0)


def decompose(
    value: jax.Array,
    *,
    c1: float = 0.01,
    c2: float = 0.1,
    penalty: float = 1.0,
    num_iterations: int = 15,
    intensity_scale: float = 1.0,
    floor: float = 1 / 255,
) -> tuple[jax.Array, jax.Array]:
    """Splits the logarithm of a value channel into those of reflectance and illumination.

    Args:
      value: `[..., h, w]` in [0, 1].
      c1: weight of the gradient of the reflectance.
      c2: weight of the gradient of the illumination.
      penalty: weight of the split constraint, > 0.
      num_iterations: alternations (static).
      intensity_scale: largest illumination in the weight of its gradient.
      floor: smallest value, > 0.

    Returns:
      `[..., h, w]` log reflectance <= 0 and log illumination >= log value.

    Raises:
      ValueError: the field is empty or an option out of range.
      TypeError: the field holds integers.
    """
    value = _images.as_plane(value, name="value")
    _array.check_positive(penalty=penalty, floor=floor, intensity_scale=intensity_scale)
    _images.check_whole(num_iterations=num_iterations)
    s = jnp.log(jnp.maximum(value, floor))

    @jax.checkpoint
    def step(state, _):
        r, light, b = state
        weight = jnp.exp(r)[..., None, :, :]
        slope = weight * solvers.differences(r)
        d = solvers.shrink(slope + b, 0.5 / penalty)
        r = jnp.minimum(_update_reflectance(s, r, light, d - b, c1 * penalty), 0.0)
        b = b + weight * solvers.differences(r) - d
        light = jnp.maximum(_update_illumination(s, r, light, c2 * intensity_scale**2), s)
        return (r, light, b), None

    start = jnp.zeros_like(s), s, jnp.zeros_like(solvers.differences(s))
    (r, light, _), _ = jax.lax.scan(step, start, None, length=num_iterations)
    return r, light


def _update_reflectance(s: jax.Array, r: jax.Array, light: jax.Array, target: jax.Array, strength: float) -> jax.Array:
    """Minimises |r + light - s|^2 + strength |R D r - target|^2 over r, R = exp(r) at the iterate before."""
    weight = jnp.exp(r)[..., None, :, :]
    right = s - light + strength * solvers.adjoint_differences(weight * target)
    weights = strength * weight**2
    return solvers.solve_weighted(right, diagonal=1.0, weights=weights, preconditioner="jacobi", initial=r).value


def _update_illumination(s: jax.Array, r: jax.Array, light: jax.Array, strength: float) -> jax.Array:
    """Minimises |r + light - s|^2 + strength |L D light|^2 over light, L = exp(light) at the iterate before."""
    weights = strength * jnp.exp(2.0 * light)[..., None, :, :]
    weights = jnp.broadcast_to(weights, solvers.differences(light).shape)
    return solvers.solve_weighted(s - r, diagonal=1.0, weights=weights, preconditioner="jacobi", initial=light).value
