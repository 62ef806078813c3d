"""CLIP score: how well images fit their texts, by the angle of their embeddings."""

from typing import Literal, get_args

import numpy as np

from gentoolkit.evaluation import features, result
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result

Form = Literal["cosine", "times_100", "hessel"]


def clip_score(images: Features, texts: np.ndarray, *, form: Form = "cosine", prompt: str = "") -> Result:
    """Mean cosine of the embeddings of images and of their texts.

    Publications print it in several forms: the mean cosine as it is (0.3 and so), `max(100 cos, 0)` (torchmetrics), or
    `2.5 max(cos, 0)` (Hessel et al.); networks differ more than that, so that the result carries form and network.

    Args:
      images: embeddings `[n, d]` of images, as features with rows; of any length.
      texts: embeddings `[n, d]` of the texts, row by row those of the images, by the same network.
      form: "cosine", "times_100" or "hessel".
      prompt: what stood before each text, for the record.

    Returns:
      The mean over pairs, and its standard error.

    Raises:
      ValueError: no rows, embeddings of different shapes, of length 0 or not finite, or another form.

    References:
      Hessel, Holtzman, Forbes, Le Bras, Choi, "CLIPScore: a reference-free evaluation metric for image captioning",
      EMNLP 2021, section 3.
    """
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got form = {form!r}.")
    found = cosines(features.rows_of(images, "images"), texts)
    if form != "cosine":
        found = (100.0 if form == "times_100" else 2.5) * np.maximum(found, 0.0)
    error = found.std(ddof=1) / np.sqrt(len(found))
    extra = {"form": form, "prompt": prompt, "resampling": "pairs"}
    return result.of(found.mean(), error, real=None, generated=images, extra=extra)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the angles between rows.

    Args:
      a: `[n, d]`.
      b: `[n, d]`.

    Returns:
      `[n]` float64.

    Raises:
      ValueError: different shapes, or rows of length 0 or not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"Embeddings must be two arrays [n, d] of one shape, got {a.shape} and {b.shape}.")
    lengths = [np.linalg.norm(rows, axis=1) for rows in (a, b)]
    for length in lengths:
        if not (np.isfinite(length).all() and length.all()):
            raise ValueError("Embeddings must be finite and longer than 0.")
    return np.einsum("nd,nd->n", a, b) / (lengths[0] * lengths[1])
