"""What MobileNetV2 sees in photographs: a check that a whole network of ImageNet is read right."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.data import folder
from gentoolkit.models.extractors import mobilenet

SIDE = 224
# Photographs inside scikit-image (public domain or CC0) and scikit-learn (CC BY 2.0), and classes of ImageNet, counted
# from 0, that are right: the kinds of cat; espresso, cup, mug; missile and projectile; temples; a daisy-like flower.
KNOWN = {
    "chelsea": ((281, 282, 285), "a cat"),
    "coffee": ((967, 968, 504), "a cup of coffee"),
    "rocket": ((657, 744), "a rocket"),
    "china": ((698, 663, 832, 442), "a palace in China"),
    "flower": ((985, 723, 308, 301), "a flower"),
}


def photographs() -> dict[str, np.ndarray]:
    """The photographs of `KNOWN` as uint8 arrays of their own sizes.

    Raises:
      ImportError: scikit-image or scikit-learn is not installed.
    """
    try:
        from skimage import data as skimage_data
        from sklearn.datasets import load_sample_image
    except ImportError:
        raise ImportError("The photographs are in scikit-image and scikit-learn: install .[experiments,dev].") from None
    found = {name: getattr(skimage_data, name)() for name in ("chelsea", "coffee", "rocket")}
    return found | {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}


def pictures(directory: str) -> dict[str, np.ndarray]:
    """The pictures of a folder, squeezed to the network's size.

    Raises:
      FileNotFoundError: no folder, or no picture in it.
    """
    images = folder.load(directory, image_shape=(SIDE, SIDE, 3), convert_channels=True)
    return {name: np.asarray(images[i]["image"]) for i, name in enumerate(images.names)}


def top(network: mobilenet.MobileNetV2, images: dict[str, np.ndarray], *, num: int = 5) -> dict[str, list]:
    """The likeliest classes of each image.

    Args:
      network: with its weights.
      images: uint8 `[h, w, 3]` of any size by name; squeezed to 224x224.
      num: how many classes.

    Returns:
      Pairs of class and probability by name, the likeliest first.
    """
    graphdef, state = nnx.split(network)
    run = jax.jit(lambda state, x: jax.nn.softmax(nnx.merge(graphdef, state)(x, ("logits",))["logits"]))
    found = {}
    for name, image in images.items():
        x = jax.image.resize(jnp.asarray(image, jnp.float32), (SIDE, SIDE, 3), "linear")  # with antialias
        share = np.asarray(run(state, x[None] / 127.5 - 1)[0])
        found[name] = [(int(i), float(share[i])) for i in np.argsort(-share)[:num]]
    return found


def labels(path: str) -> list[str]:
    """The names of the classes, one on a line.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has not 1,000 lines.
    """
    lines = pathlib.Path(path).read_text().splitlines()
    if len(lines) != 1000:
        raise ValueError(f"{path} has {len(lines)} lines; a list of ImageNet's classes has 1,000.")
    return lines
