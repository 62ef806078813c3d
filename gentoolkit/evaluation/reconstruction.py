"""How far rebuilt images are from the images they were made of."""

from collections.abc import Callable

import jax
import numpy as np

from gentoolkit.evaluation import statistics
from gentoolkit.evaluation.measure import Batches, Statistic, Values, measure


def reconstruction_error(
    reconstruct: Callable[[jax.Array | np.ndarray], jax.Array], batches: Batches
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
    found = measure(
        batches,
        extract=lambda batch: {"rebuilt": reconstruct(batch["image"])},
        statistics={"error": squared_error("image", "rebuilt")},
    )
    return found["error"]


def squared_error(image: str, rebuilt: str) -> Statistic:
    """The statistic of `reconstruction_error`, for a pass with others.

    Args:
      image: name of the images `[b, h, w, c]`.
      rebuilt: name of what was made of them, of the same shape.

    Returns:
      A statistic whose result are the two entries of `reconstruction_error`.
    """

    def errors(values: Values) -> np.ndarray:
        x, y = values[image], values[rebuilt]
        if x.shape != y.shape:
            raise ValueError(f"{rebuilt} must keep the shape {x.shape[1:]} of {image}, got {y.shape[1:]}.")
        return np.sum(np.square(y.astype(np.float64) - x.astype(np.float64)).reshape(len(x), -1), axis=-1)

    average = statistics.mean(errors)

    def finish(sums) -> dict[str, float]:
        found = average.finish(sums)
        name = "reconstruction_error"
        return {name: float(found.value), f"{name}_standard_error": float(found.standard_error)}

    return average._replace(finish=finish)
