"""Structure-revealing robust Retinex: illumination, reflectance and a noise map."""

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.imaging import _images, color, solvers


def enhance(
    image: jax.Array,
    *,
    beta: float = 0.01,
    omega: float = 0.01,
    delta: float = 10.0,
    amplification: float = 5.0,
    threshold: float = 10 / 255,
    sigma: float = 10 / 255,
    gamma: float = 2.2,
    num_iterations: int = 15,
    floor: float = 1 / 255,
) -> jax.Array:
    """Brightens a photograph by a gamma on its illumination, times a reflectance freed of noise.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1]. Leading axes are independent images.
      beta: weight of the total variation of the illumination.
      omega: weight of the distance of the reflectance's gradient from the amplified one.
      delta: weight of the noise map.
      amplification: largest extra gain of gradients.
      threshold: gradients below it count as noise and are set to zero.
      sigma: gradient at which the gain has fallen by 1 / e; not in the authors' demonstration.
      gamma: the illumination is raised to 1 / gamma.
      num_iterations: alternations; the authors' stopping rule ends after some 11 to 14 (static).
      floor: values below it count as it when channels are scaled, > 0.

    Returns:
      `[..., h, w, 3]` in [0, 1], float32 or wider. One NaN makes the image NaN.

    Raises:
      ValueError: the image is empty or has not three channels, or an option is out of range.
      TypeError: the image holds integers.

    References:
      Li, Liu, Yang, Sun, Guo, Structure-revealing low-light image enhancement via robust Retinex model, IEEE Trans.
        Image Processing 2018, eq. (5) to (17).
    """
    image = _images.as_image(image, channels=3)
    r, light, _ = decompose(
        color.value(image)[..., 0],
        beta=beta,
        omega=omega,
        delta=delta,
        amplification=amplification,
        threshold=threshold,
        sigma=sigma,
        num_iterations=num_iterations,
    )
    bright = jnp.clip(r, 0.0, 1.0) * jnp.clip(light, floor, 1.0) ** (1.0 / gamma)
    return jnp.clip(color.scale_value(image, bright[..., None], floor=floor), 0.0, 1.0)


def decompose(
    value: jax.Array,
    *,
    beta: float = 0.01,
    omega: float = 0.01,
    delta: float = 10.0,
    amplification: float = 5.0,
    threshold: float = 10 / 255,
    sigma: float = 10 / 255,
    penalty: float = 1.0,
    penalty_growth: float = 1.5,
    num_iterations: int = 15,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Splits a value channel into reflectance times illumination plus noise.

    Args:
      value: `[..., h, w]` in [0, 1].
      beta: weight of the total variation of the illumination.
      omega: weight of the distance of the reflectance's gradient from the amplified one.
      delta: weight of the noise map.
      amplification: largest extra gain of gradients.
      threshold: gradients below it are set to zero.
      sigma: gradient at which the gain has fallen by 1 / e, > 0.
      penalty: first weight of the split constraint, > 0.
      penalty_growth: factor between two iterations, >= 1.
      num_iterations: alternations (static).

    Returns:
      `[..., h, w]` reflectance, illumination and noise.

    Raises:
      ValueError: the field is empty or an option out of range.
      TypeError: the field holds integers.
    """
    value = _images.as_plane(value, name="value")
    _array.check_positive(sigma=sigma, penalty=penalty, penalty_growth=penalty_growth)
    _images.check_whole(num_iterations=num_iterations)
    slope = solvers.differences(value)
    slope = jnp.where(jnp.abs(slope) < threshold, 0.0, slope)
    target = (1.0 + amplification * jnp.exp(-jnp.abs(slope) / sigma)) * slope

    @jax.checkpoint
    def step(state, _):
        r, light, n, t, z, mu = state
        r = _update_reflectance(value, r, light, n, target, omega)
        light = _update_illumination(value, r, light, n, t, z, mu)
        n = (value - r * light) / (1.0 + delta)
        slope = solvers.differences(light)
        t = solvers.shrink(slope + z / mu, beta / mu)
        return (r, light, n, t, z + mu * (slope - t), mu * penalty_growth), None

    one, none, zero = jnp.ones_like(value), jnp.zeros_like(value), jnp.zeros_like(slope)
    start = (one, value, none, zero, zero, jnp.asarray(penalty, value.dtype))
    (r, light, n, *_), _ = jax.lax.scan(step, start, None, length=num_iterations)
    return r, light, n


def _update_reflectance(value, r, light, n, target, omega):
    """Minimises |r light + n - value|^2 + omega |D r - target|^2 over r."""
    # Black areas would leave the system singular but for this.
    right = light * (value - n) + omega * solvers.adjoint_differences(target)
    return solvers.solve_weighted(
        right, diagonal=light * light + 1e-6, weights=omega, preconditioner="jacobi", initial=r
    ).value


def _update_illumination(value, r, light, n, t, z, mu):
    """Minimises |r light + n - value|^2 + mu / 2 |D light - t + z / mu|^2 over light."""
    right = 2.0 * r * (value - n) + solvers.adjoint_differences(mu * t - z)
    return solvers.solve_weighted(
        right, diagonal=2.0 * r * r + 1e-6, weights=mu, preconditioner="cosine", initial=light
    ).value
