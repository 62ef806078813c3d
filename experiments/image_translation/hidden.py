"""What a translated image hides: cycles taken anew after the image was touched where nobody sees it."""

import io
from collections.abc import Callable, Mapping

import jax
import numpy as np
from PIL import Image

from experiments.image_translation.systems.system import Domain, Models, System, other
from gentoolkit import training

_NOISE = 2 / 255  # standard deviation, in [0, 1]
_QUALITY = 90


def eight_bits(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as a file of 8 bits has them."""
    return np.rint(images * 255).astype(np.float32) / np.float32(255)


def jpeg(images: np.ndarray) -> np.ndarray:
    """Images `[b, h, w, c]` in [0, 1] as a JPEG file of quality 90 has them."""
    return np.stack([_through_jpeg(image) for image in images])


def noisy(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] with noise of 2 grey levels, always the same, cut to the range."""
    noise = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    return np.clip(images + np.float32(_NOISE) * noise, 0, 1)


TOUCHES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "8 bits": eight_bits,
    "JPEG of quality 90": jpeg,
    "noise of 2 levels": noisy,
}


def equalized(images: np.ndarray) -> np.ndarray:
    """Makes faint traces seen: each image, as grey of 8 bits, with its levels spread by their ranks.

    Args:
      images: `[b, h, w, c]` in [0, 1].

    Returns:
      `[b, h, w, 1]`: the share of an image's pixels that are darker than a pixel, or as dark, counted above the darkest
      level; an image of one level is white.
    """
    levels = np.rint(images.mean(-1) * 255).astype(np.int64)
    made = []
    for image in levels:
        counts = np.cumsum(np.bincount(image.ravel(), minlength=256))
        least = counts[image.min()]
        made.append((counts[image] - least) / (image.size - least) if image.size > least else np.ones(image.shape))
    return np.stack(made)[..., None].astype(np.float32)


def cycles(
    system: System, models: Models, images: np.ndarray, *, of: Domain = "y"
) -> tuple[dict[str, float], Mapping[str, np.ndarray]]:
    """Takes images to the other domain and back in their own style, and again after the image between was touched.

    A painter that hides in the image between what only its partner sees (as the paper's figure 1 shows of CycleGAN)
    fails once that is gone: errors grow many times. One that has moved it into the style keeps its error.

    Args:
      system: with both directions.
      models: its networks.
      images: `[b, h, w, c]` in [-1, 1] of one domain.
      of: which.

    Returns:
      The mean absolute error in [0, 1] of the cycle (`error`), how many times greater it is after each of `TOUCHES`
      and, where there are codes, with the style of another image in place of its own (`another style`: near 1 where
      the image between tells the style as well); and pictures in [0, 1] by name: `between`, `back`, and those that
      came back after a touch.
    """
    return cycling(system, of=of)(models, images)


def cycling(system: System, *, of: Domain = "y") -> Callable[..., tuple[dict[str, float], Mapping[str, np.ndarray]]]:
    """Makes `cycles` for one system, `(models, images) -> ...`: compiled once, however often it is called."""
    to = other(of)
    there = training.jit(lambda m, x, code: system.translate(m, x, code, to))
    again = training.jit(lambda m, x, code: system.translate(m, x, code, of))
    style = None if system.style is None else training.jit(lambda m, x: system.style(m, x, of))

    def cycles(models: Models, images: np.ndarray) -> tuple[dict[str, float], Mapping[str, np.ndarray]]:
        drawn = own = wrong = None
        if system.code_dim:
            drawn = np.random.default_rng(1).standard_normal((len(images), system.code_dim), np.float32)
        if style is not None:
            own = np.asarray(style(models, images))
            wrong = np.roll(own, 1, axis=0)
        elif system.code_dim:
            own = drawn
        true = _unit(images)
        between = _unit(there(models, images, drawn))
        back = {"back": _unit(again(models, _signed(between), own))}
        for name, touch in TOUCHES.items():
            back[name] = _unit(again(models, _signed(touch(between)), own))
        if wrong is not None:
            back["another style"] = _unit(again(models, _signed(between), wrong))
        errors = {name: float(np.mean(np.abs(image - true))) for name, image in back.items()}
        clean = errors.pop("back")
        found = {"error": clean} | {name: error / max(clean, 1e-12) for name, error in errors.items()}
        return found, {"between": between, **back}

    return cycles


def _through_jpeg(image: np.ndarray) -> np.ndarray:
    levels = np.rint(image * 255).astype(np.uint8)
    grey = levels.shape[-1] == 1
    buffer = io.BytesIO()
    Image.fromarray(levels[..., 0] if grey else levels).save(buffer, format="JPEG", quality=_QUALITY)
    got = np.asarray(Image.open(buffer), np.float32) / np.float32(255)
    return got[..., None] if grey else got


def _unit(images: jax.Array | np.ndarray) -> np.ndarray:
    return np.clip((np.asarray(images, np.float32) + 1) / 2, 0, 1)


def _signed(images: np.ndarray) -> np.ndarray:
    return 2 * images - 1
