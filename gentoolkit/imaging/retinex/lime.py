"""LIME: an illumination map that is smooth except where the photograph is not."""

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.imaging import _images, filters, solvers

_WEIGHTS = ("uniform", "gradient", "window")


def enhance(
    image: jax.Array,
    *,
    method: str = "fast",
    alpha: float | None = None,
    gamma: float = 0.8,
    weighting: str = "window",
    sigma: float = 2.0,
    epsilon: float = 1e-3,
    max_iterations: int | None = None,
    tolerance: float = 1e-5,
    denoise: bool = False,
) -> jax.Array:
    """Brightens a photograph by dividing it by its refined illumination map to the power of gamma.

    Args:
      image: `[..., h, w, 3]` RGB in [0, 1]. Leading axes are independent images.
      method: `"fast"` for one linear system (`refine_fast`), `"exact"` for the l1 problem (`refine_exact`) (static).
      alpha: weight of smoothness; None for 0.15 (fast) or 0.08 (exact).
      gamma: power of the illumination; 0.8 in the paper, lower is darker.
      weighting: `"uniform"`, `"gradient"` or `"window"`, strategies I, II and III of the paper (static).
      sigma: standard deviation of the window of strategy III in pixels (static).
      epsilon: smallest gradient, and smallest illumination divided by.
      max_iterations: of the solver; None for 200 (fast) or 50 (exact) (static).
      tolerance: of the fast solver (static).
      denoise: blend in a bilateral-filtered luma where the illumination is low, instead of BM3D (static).

    Returns:
      `[..., h, w, 3]` in [0, 1], nowhere darker than the image, float32 or wider. One NaN makes the image NaN.

    Raises:
      ValueError: the image is empty or has not three channels, or an option is unknown or out of range.
      TypeError: the image holds integers.

    References:
      Guo, Li, Ling, LIME: low-light image enhancement via illumination map estimation, IEEE Trans. Image Processing
        2017, eq. (3), (8), (15) and (19).
    """
    image = _images.as_image(image, channels=3)
    rough = _images.brightest(image)[..., 0]
    if method == "fast":
        solution = refine_fast(
            rough,
            alpha=0.15 if alpha is None else alpha,
            weighting=weighting,
            sigma=sigma,
            epsilon=epsilon,
            max_iterations=200 if max_iterations is None else max_iterations,
            tolerance=tolerance,
        )
        illumination = solution.value
    elif method == "exact":
        illumination = refine_exact(
            rough,
            alpha=0.08 if alpha is None else alpha,
            weighting=weighting,
            sigma=sigma,
            epsilon=epsilon,
            num_iterations=50 if max_iterations is None else max_iterations,
        )
    else:
        raise ValueError(f"method must be 'fast' or 'exact', got method = {method!r}.")
    illumination = jnp.clip(illumination, epsilon, 1.0)[..., None]
    bright = image / jnp.broadcast_to(illumination**gamma, image.shape)
    bright = jnp.clip(bright, 0.0, 1.0)
    if denoise:
        smooth = filters.bilateral(bright, radius=3, sigma_space=2.0, sigma_range=0.1)
        share = jnp.broadcast_to(illumination, image.shape)
        bright = bright * share + smooth * (1.0 - share)
    return bright


def weights(rough: jax.Array, *, weighting: str = "window", sigma: float = 2.0, epsilon: float = 1e-3) -> jax.Array:
    """How much each difference of the illumination is to be smoothed.

    Args:
      rough: `[..., h, w]` the largest channel.
      weighting: `"uniform"`, `"gradient"` or `"window"` (static).
      sigma: standard deviation of the window in pixels (static).
      epsilon: smallest gradient.

    Returns:
      `[..., 2, h, w]` for vertical and horizontal differences, between 1 and 1 / epsilon but for `"uniform"`.

    Raises:
      ValueError: the field is empty or the strategy unknown.
      TypeError: the field holds integers.

    References:
      Guo, Li, Ling, 2017, section III.C, with the Gaussian normalised to sum 1.
    """
    rough = _images.as_plane(rough, name="rough")
    if weighting not in _WEIGHTS:
        raise ValueError(f"weighting must be one of {_WEIGHTS}, got weighting = {weighting!r}.")
    slope = solvers.differences(rough)
    if weighting == "uniform":
        return jnp.ones_like(slope)
    if weighting == "window":
        slope = filters.gaussian(slope[..., None], sigma)[..., 0]
    return 1.0 / (jnp.abs(slope) + epsilon)


def refine_fast(
    rough: jax.Array,
    *,
    alpha: float = 0.15,
    weighting: str = "window",
    sigma: float = 2.0,
    epsilon: float = 1e-3,
    max_iterations: int = 200,
    tolerance: float = 1e-5,
) -> solvers.Solution:
    """The refined illumination of the sped-up form, one linear system solved to convergence.

    Args:
      rough: `[..., h, w]` the largest channel.
      alpha: weight of smoothness, >= 0.
      weighting: strategy of `weights` (static).
      sigma: standard deviation of its window (static).
      epsilon: smallest gradient.
      max_iterations: of conjugate gradients (static).
      tolerance: of conjugate gradients, in the preconditioner's norm (static).

    Returns:
      The illumination, the residual reached and the iterations taken.

    Raises:
      ValueError: the field is empty or an option out of range.
      TypeError: the field holds integers.

    References:
      Guo, Li, Ling, 2017, eq. (17) to (19).
    """
    rough = _images.as_plane(rough, name="rough")
    _array.check_positive(epsilon=epsilon)
    slope = jnp.abs(solvers.differences(rough))
    stiff = alpha * weights(rough, weighting=weighting, sigma=sigma, epsilon=epsilon) / (slope + epsilon)
    return solvers.solve_weighted(
        rough, diagonal=1.0, weights=stiff, initial=rough, max_iterations=max_iterations, tolerance=tolerance
    )


def refine_exact(
    rough: jax.Array,
    *,
    alpha: float = 0.08,
    weighting: str = "window",
    sigma: float = 2.0,
    epsilon: float = 1e-3,
    penalty: float = 0.05,
    penalty_growth: float = 1.15,
    num_iterations: int = 50,
    border: int = 16,
) -> jax.Array:
    """The refined illumination of the l1 problem, by alternating directions with Fourier solves.

    Args:
      rough: `[..., h, w]` the largest channel.
      alpha: weight of smoothness, >= 0.
      weighting: strategy of `weights` (static).
      sigma: standard deviation of its window (static).
      epsilon: smallest gradient.
      penalty: first weight of the constraint, > 0.
      penalty_growth: factor between two iterations, >= 1.
      num_iterations: how many (static).
      border: the field is continued by reflection so far, because the Fourier solve wraps around (static).

    Returns:
      `[..., h, w]`.

    Raises:
      ValueError: the field is empty or an option out of range.
      TypeError: the field holds integers.

    References:
      Guo, Li, Ling, 2017, algorithm 1; the penalty and its growth are those of public re-implementations.
    """
    rough = _images.as_plane(rough, name="rough")
    _images.check_whole(num_iterations=num_iterations, border=border)
    _array.check_positive(epsilon=epsilon, penalty=penalty)
    h, w = rough.shape[-2:]
    pads = [(0, 0)] * (rough.ndim - 2) + [(border, border), (border, border)]
    start = jnp.pad(rough, pads, mode="reflect")
    strength = alpha * weights(start, weighting=weighting, sigma=sigma, epsilon=epsilon)

    @jax.checkpoint
    def step(state, _):
        t, g, z, mu = state
        right = 2.0 * start + solvers.adjoint_differences(mu * g - z, periodic=True)
        t = solvers.solve_periodic(right, identity=2.0, laplacian=mu)
        slope = solvers.differences(t, periodic=True)
        g = solvers.shrink(slope + z / mu, strength / mu)
        return (t, g, z + mu * (slope - g), mu * penalty_growth), None

    zero = jnp.zeros_like(strength)
    state = (start, zero, zero, jnp.asarray(penalty, start.dtype))
    (t, _, _, _), _ = jax.lax.scan(step, state, None, length=num_iterations)
    return t[..., border : border + h, border : border + w]
