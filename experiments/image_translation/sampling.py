"""A trained system as functions of arrays on the host: any number of images, one program."""

from collections.abc import Callable

import numpy as np

from experiments.image_translation.runs import Trained
from experiments.image_translation.systems.system import Domain
from gentoolkit import training

BATCH = 16

# Images `[n, h, w, c]` in [0, 1] and codes `[n, code_dim]` (None for a system without) to images in [0, 1].
Paint = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def translator(trained: Trained, to: Domain = "y") -> Paint:
    """Returns how images of the other domain are painted in a style of this one; codes are not looked at without need.

    Raises:
      ValueError: the system does not paint that domain.
    """
    system = trained.system
    if to not in system.directions:
        raise ValueError(f"{trained.config.method} paints {' and '.join(system.directions)} alone, not {to}.")
    run = training.jit(lambda models, images, code: system.translate(models, images, code, to))
    return _batched(trained, run)


def restyler(trained: Trained, of: Domain = "y") -> Paint | None:
    """Returns how images are painted anew in another style of their own domain; None where there is no way."""
    restyle = trained.system.restyle
    if restyle is None:
        return None
    return _batched(trained, training.jit(lambda models, images, code: restyle(models, images, code, of)))


def style(trained: Trained, images: np.ndarray, of: Domain = "y") -> np.ndarray | None:
    """Returns the codes `[n, code_dim]` of images `[n, h, w, c]` in [0, 1]; None where there are none."""
    encode = trained.system.style
    if encode is None:
        return None
    run = training.jit(lambda models, images: encode(models, images, of))
    return np.concatenate([np.asarray(run(trained.models, part))[:num] for part, num in _parts(images)])


def drawn(trained: Trained, num: int, *, seed: int) -> np.ndarray | None:
    """Returns codes `[num, code_dim]` from N(0, I), the same for a seed; None for a system without codes."""
    dim = trained.system.code_dim
    return np.random.default_rng(seed).standard_normal((num, dim), np.float32) if dim else None


def share(images: np.ndarray) -> np.ndarray:
    """Bytes as float32 in [0, 1]."""
    return np.asarray(images, np.float32) / np.float32(255)


def _batched(trained: Trained, run: Callable) -> Paint:
    def paint(images: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
        if not trained.system.code_dim:
            codes = None
        whole = [None] * len(range(0, len(images), BATCH)) if codes is None else [part for part, _ in _rows(codes)]
        made = [
            np.asarray(run(trained.models, part, code), np.float32)[:num]
            for (part, num), code in zip(_parts(images), whole, strict=True)
        ]
        return np.clip((np.concatenate(made) + 1) / 2, 0, 1)

    return paint


def _parts(images: np.ndarray) -> list[tuple[np.ndarray, int]]:
    return [(2 * part - 1, num) for part, num in _rows(np.asarray(images, np.float32))]


def _rows(rows: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Rows in batches, of which the last is filled up, and how many of each count."""
    found = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        found.append((np.resize(part, (BATCH, *part.shape[1:])), len(part)))
    return found
