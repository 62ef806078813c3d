"""Augmentations for `pipeline.Stream(transforms=...)`: images and one random number each, to images.

Randomness is handed in, drawn for the global batch of a step: so an augmented stream is as reproducible, and as
independent of the number of processes, as a plain one.
"""

import numpy as np


def horizontal_flip(images: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Mirrors each image, left to right, with probability one half.

    Args:
      images: `[b, h, w, c]` uint8.
      words: `[b]` uint64, uniform; the lowest bit decides.

    Returns:
      `[b, h, w, c]` uint8.
    """
    flipped = (words & np.uint64(1)).astype(bool)
    return np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
