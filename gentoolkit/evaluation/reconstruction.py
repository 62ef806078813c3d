"""How far rebuilt images are from the images they were made of."""

import math
from collections.abc import Callable

import jax
import numpy as np

from gentoolkit.evaluation import _rows


def reconstruction_error(
    reconstruct: Callable[[jax.Array | np.ndarray], jax.Array], batches: _rows.Batches
) -> dict[str, float]:
    """Squared error summed over the pixels and channels of an image, averaged over images.

    Args:
      reconstruct: images `[b, h, w, c]` in [0, 1] to images of the same shape.
      batches: dicts with `image` `[b, h, w, c]` and optional `counts` `[b]`.

    Returns:
      `reconstruction_error`, and `reconstruction_error_standard_error` (its standard error over images; NaN for one
      image). Memory is that of a batch.

    Raises:
      ValueError: there are no images, or what is rebuilt has another shape.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", section 6 (column "rec. error": the sum, not the
      mean, over pixels in [0, 1]; so 5.4 for MNIST).
    """
    num, mean, scatter = 0, 0.0, 0.0
    for images, rebuilt in _rows.rows(reconstruct, batches, name="reconstruct"):
        if rebuilt.shape != images.shape:
            raise ValueError(f"reconstruct must keep the shape {images.shape[1:]}, got {rebuilt.shape[1:]}.")
        if not len(images):
            continue
        difference = rebuilt.astype(np.float64) - images.astype(np.float64)
        errors = np.sum(np.square(difference).reshape(len(images), -1), axis=-1)
        # Means and squared deviations of two groups put together: no sum of squares that would cancel.
        step = float(errors.mean()) - mean
        total = num + len(errors)
        scatter += float(np.sum(np.square(errors - errors.mean()))) + step * step * num * len(errors) / total
        mean, num = mean + step * len(errors) / total, total
    error = math.sqrt(scatter / (num - 1) / num) if num > 1 else math.nan
    return {"reconstruction_error": mean, "reconstruction_error_standard_error": error}
