"""Inception score: how sure a classifier is of each image, and how many classes all of them fill."""

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result


def inception_score(logits: Features, *, num_splits: int = 10, seed: int | None = 2020) -> Result:
    """The exponential of how far the classes of an image are from those of its split on average; mean over splits.

    Published figures take logits **without** the bias of the last layer. Images are shuffled as torch-fidelity shuffles
    them (`RandomState(seed)`). The value hangs on the number of splits and of images: compare at equal ones.

    Args:
      logits: logits `[n, classes]` of generated images, as features with rows.
      num_splits: into how many parts.
      seed: of the shuffling, None for the order as it is.

    Returns:
      The mean over splits; the standard error is that of a mean of independent splits (NaN for one), and
      `extra["split_std"]` the deviation over splits that published tools print.

    Raises:
      ValueError: no rows, fewer than one split, or fewer images than splits.

    References:
      Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen, "Improved techniques for training GANs", 2016, section 4.
    """
    rows = features.rows_of(logits, "logits")
    if not 1 <= num_splits <= len(rows):
        raise ValueError(f"num_splits must be between 1 and the number of images, {len(rows)}, got {num_splits}.")
    order = np.arange(len(rows)) if seed is None else np.random.RandomState(seed).permutation(len(rows))
    scores = []
    for index in range(num_splits):
        part = order[index * len(rows) // num_splits : (index + 1) * len(rows) // num_splits]
        log_p = rows[part].astype(np.float64)
        log_p -= log_p.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        # A class of probability 0 adds 0.
        entropies = -np.sum(p * np.where(p > 0, log_p, 0.0), axis=1)
        q = p.mean(axis=0)
        scores.append(np.exp(-np.sum(q * np.log(np.where(q > 0, q, 1.0))) - entropies.mean()))
    deviation = float(np.std(scores))
    error = deviation / np.sqrt(num_splits - 1) if num_splits > 1 else float("nan")
    extra = {"split_std": deviation, "num_splits": num_splits, "seed": seed, "resampling": "disjoint splits"}
    return result.of(float(np.mean(scores)), error, real=None, generated=logits, extra=extra)
