"""Losses against generators that ignore their noise."""

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array
from gentoolkit.objectives import _rows


def mode_seeking(images: jax.Array, codes: jax.Array, *, epsilon: float = 0.05) -> jax.Array:
    """Distance of two codes over that of the images made of them, the mean over all pairs of a row's draws.

    Both distances are means of absolute differences, with the slope 1 where two entries are equal: a generator that has
    collapsed is pushed off, in a direction of no meaning.

    Args:
      images: `[n, k, ...]` k images of the same condition.
      codes: `[n, k, ...]` the noise that each was made of.
      epsilon: added to the distance of images; the published code has 1e-5, at which a collapsed generator's loss
        exceeds every other.

    Returns:
      `[n]`, 0 for k = 1.

    Raises:
      ValueError: shapes disagree, or `epsilon` < 0.

    References:
      Mao et al., Mode seeking generative adversarial networks for diverse image synthesis, CVPR 2019, eq. (4), the
      reciprocal, as its code has it.
    """
    if epsilon < 0:
        raise ValueError(f"epsilon must be at least 0, got epsilon = {epsilon}.")
    _rows.check(images=images, codes=codes)
    images, codes = _array.as_floating(images=images, codes=codes)
    if min(images.ndim, codes.ndim) < 2 or images.shape[1] != codes.shape[1]:
        raise ValueError(
            f"images and codes must be [n, k, ...], a code for each image; got shapes {images.shape} and {codes.shape}."
        )
    n, k = images.shape[:2]
    if k == 1:
        return jnp.zeros((n,), images.dtype)
    first, second = np.triu_indices(k, 1)

    def distances(rows: jax.Array) -> jax.Array:
        rows = rows.reshape(n, k, -1)
        return jnp.mean(jnp.abs(rows[:, first] - rows[:, second]), axis=2)

    return jnp.mean(distances(codes) / (distances(images) + epsilon), axis=1)
