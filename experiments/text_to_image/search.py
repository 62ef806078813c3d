"""Search: pictures that show most of what their text says, among many and then near the best of those.

Noise near that of a good picture paints much the same a little better or worse. So a quarter of the looks goes to noise
as it is drawn, and the rest to three generations of steps from the best so far, each shorter than the one before: an
evolution strategy (Beyer, Schwefel, Evolution strategies: a comprehensive introduction, Natural Computing 1, 2002)
whose steps leave the law of the noise as it is, those of the preconditioned Crank-Nicolson walk (Cotter, Roberts,
Stuart, White, MCMC methods for functions, Statistical Science 28, 2013).
"""

from collections.abc import Callable

import numpy as np

from experiments.text_to_image import judges, measures
from experiments.text_to_image.judges import Judge
from experiments.text_to_image.painters import Painter
from gentoolkit.models.text.encoded import Encoded

_STEPS = (0.5, 0.35, 0.25)  # deviations of the step of each generation, where that of the noise is 1
_PARENTS = 16  # so many children has each of the best
_BATCH = 64  # pictures painted together


def best(painter: Painter, judge: Judge, text: Encoded, said: str, noise: np.ndarray) -> np.ndarray:
    """Paints a picture of a text: the one of which a judge finds most.

    Args:
      painter: of pictures that the judge knows.
      judge: says what is in a picture.
      text: one row, encoded for the painter.
      said: what the picture is to show, in words.
      noise: `[n, noise_dim]`, as the painter's is drawn; n pictures are looked at.

    Returns:
      `[h, w, 3]` in [-1, 1].

    Raises:
      ValueError: the text names no shape that the judge knows.
    """

    def paint(codes: np.ndarray) -> np.ndarray:
        rows = Encoded(*(np.repeat(column[:1], len(codes), axis=0) for column in text))
        return measures.paint(painter.system, painter.models, rows, noise=codes, batch_size=min(len(noise), _BATCH))

    return among(paint, lambda images: judges.scores(judge, images, said), noise)


def among(
    paint: Callable[[np.ndarray], np.ndarray], score: Callable[[np.ndarray], np.ndarray], noise: np.ndarray
) -> np.ndarray:
    """The search itself.

    Args:
      paint: maps noise `[k, d]` to pictures `[k, ...]`.
      score: maps pictures to `[k]` numbers, of which more is better.
      noise: `[n, d]`, n at least 1: what is painted first, and the steps.

    Returns:
      The best of the n pictures that were looked at.
    """
    first, *drawn = np.array_split(noise, len(_STEPS) + 1)
    reach = np.abs(noise).max()  # truncated noise stays within its bounds
    codes, images = first, paint(first)
    scores = score(images)
    for step, steps in zip(_STEPS, drawn, strict=True):
        if not len(steps):
            break
        parents = np.argsort(-scores, kind="stable")[: max(1, len(first) // _PARENTS)]
        around = codes[np.resize(parents, len(steps))]
        children = np.clip(np.sqrt(1 - step**2) * around + step * steps, -reach, reach).astype(noise.dtype)
        painted = paint(children)
        codes, images = np.concatenate([codes, children]), np.concatenate([images, painted])
        scores = np.concatenate([scores, score(painted)])
    return images[scores.argmax()]
