"""Trained systems as functions of arrays on the host: any number of images, a program for each way."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from experiments.image_translation import runs
from experiments.image_translation.runs import Trained
from experiments.image_translation.systems.system import Domain
from gentoolkit import training

BATCH = 16


class Sampler:
    """A trained system; images are `[n, h, w, c]` in [0, 1], codes `[n, code_dim]`, or None for a system without.

    Attributes:
      trained: the system.
    """

    def __init__(self, trained: Trained):
        """Takes the system; nothing is compiled before it is needed, and then once."""
        self.trained = trained
        self._programs: dict[tuple[str, Domain], Callable] = {}

    def translate(self, images: np.ndarray, codes: np.ndarray | None, to: Domain = "y") -> np.ndarray:
        """Paints images of the other domain in styles of this one.

        Raises:
          ValueError: the system does not paint that domain.
        """
        system = self.trained.system
        if to not in system.directions:
            raise ValueError(f"{self.trained.config.method} paints {' and '.join(system.directions)} alone, not {to}.")
        return self._painted("translate", to, lambda m, x, code: system.translate(m, x, code, to), images, codes)

    def restyle(self, images: np.ndarray, codes: np.ndarray, of: Domain = "y") -> np.ndarray | None:
        """Paints images anew in other styles of their own domain; None where the system has no way to it."""
        restyle = self.trained.system.restyle
        if restyle is None:
            return None
        return self._painted("restyle", of, lambda m, x, code: restyle(m, x, code, of), images, codes)

    def style(self, images: np.ndarray, of: Domain = "y") -> np.ndarray | None:
        """Returns the codes of images; None where there are none."""
        encode = self.trained.system.style
        if encode is None:
            return None
        run = self._programs.setdefault(("style", of), training.jit(lambda m, x: encode(m, x, of)))
        return np.concatenate([np.asarray(run(self.trained.models, 2 * x - 1))[:num] for x, num in _parts(images)])

    def drawn(self, num: int, *, seed: int) -> np.ndarray | None:
        """Returns codes from N(0, I), the same for a seed; None for a system without codes."""
        dim = self.trained.system.code_dim
        return np.random.default_rng(seed).standard_normal((num, dim), np.float32) if dim else None

    def _painted(
        self, name: str, domain: Domain, function: Callable, images: np.ndarray, codes: np.ndarray | None
    ) -> np.ndarray:
        run = self._programs.setdefault((name, domain), training.jit(function))
        made = []
        for place, (x, num) in enumerate(_parts(images)):
            own = slice(place * BATCH, (place + 1) * BATCH)
            code = None if not self.trained.system.code_dim or codes is None else _filled(codes[own])
            made.append(np.asarray(run(self.trained.models, 2 * x - 1, code), np.float32)[:num])
        return np.clip((np.concatenate(made) + 1) / 2, 0, 1)


def named(folders: Sequence[str], *, flag: str = "--runs") -> dict[str, Sampler]:
    """Reads trained systems by name.

    Args:
      folders: of runs, each as FOLDER, whose method is then its name, or NAME=FOLDER.
      flag: what messages call them.

    Raises:
      FileNotFoundError, ValueError, TrainingError: as `runs.load`; or two of one name, or of different images.
    """
    found: dict[str, Sampler] = {}
    for entry in folders:
        name, _, folder = entry.rpartition("=")
        one = runs.load(folder)
        name = name or one.config.method
        if name in found:
            raise ValueError(f"{flag} has two runs called {name}; name them, as in {flag}={name}_a={folder}.")
        found[name] = Sampler(one)
        first = next(iter(found.values())).trained.config
        if (one.config.dataset, one.config.image_size) != (first.dataset, first.image_size):
            raise ValueError(f"{flag}: {name} was trained on other images than {next(iter(found))}.")
    return found


def share(images: np.ndarray) -> np.ndarray:
    """Bytes as float32 in [0, 1]."""
    return np.asarray(images, np.float32) / np.float32(255)


def _parts(images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Images in batches, of which the last is filled up, and how many of each count."""
    for start in range(0, len(images), BATCH):
        part = np.asarray(images[start : start + BATCH], np.float32)
        yield _filled(part), len(part)


def _filled(rows: np.ndarray) -> np.ndarray:
    return np.resize(rows, (BATCH, *rows.shape[1:]))
