"""The photographs that methods are judged on, and their darkened versions."""

import pathlib

import numpy as np

from gentoolkit.data import folder
from gentoolkit.imaging import degradation

# Colour photographs inside the wheels of scikit-image (public domain or CC0) and scikit-learn (CC BY 2.0).
_SCIKIT_IMAGE = ("astronaut", "chelsea", "coffee", "rocket")
_SCIKIT_LEARN = ("china", "flower")


def load(directory: str = "", *, size: int = 256) -> dict[str, np.ndarray]:
    """Returns bright photographs by name.

    Args:
      directory: folder of images, empty for the six photographs of scikit-image and scikit-learn.
      size: they are resized to this height and width, the sides of the test of the paper.

    Returns:
      `[size, size, 3]` float32 in [0, 1], whole 8-bit levels.

    Raises:
      FileNotFoundError: no folder, or none of its files is an image.
      ValueError: two of them have one name but for the suffix or the folder, so that rows could not be told apart.
      ImportError: scikit-image or scikit-learn is not installed.
    """
    if directory:
        images = folder.load(directory, image_shape=(size, size, 3), fit="cover", convert_channels=True)
        paths: dict[str, str] = {}
        for path in images.names:
            other = paths.setdefault(pathlib.Path(path).stem, path)
            if other != path:
                raise ValueError(
                    f"{directory} holds two photographs of one name, {other} and {path}: rename one of them, since "
                    "results go by the name without its folder and suffix."
                )
        return {name: np.asarray(images[i]["image"], np.float32) / 255 for i, name in enumerate(paths)}
    import cv2
    import skimage.data
    import sklearn.datasets

    raw = {name: getattr(skimage.data, name)() for name in _SCIKIT_IMAGE}
    raw |= {name: sklearn.datasets.load_sample_image(f"{name}.jpg") for name in _SCIKIT_LEARN}
    return {
        name: cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        for name, image in raw.items()
    }


def levels(every: int = 1) -> list[float]:
    """Returns the gammas of the test, 1.0 to 8.5 in 26 steps, or every second, third, ... of them."""
    return [round(float(gamma), 3) for gamma in degradation.gamma_levels()[::every]]


def darken(image: np.ndarray, gamma: float) -> np.ndarray:
    """Returns an image to the power of gamma, rounded to 8 bits as in a file."""
    return np.asarray(degradation.darken(image, gamma, num_bits=8))
