"""The networks that measure: which of them a folder of weights allows, and what their figures are called."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit import training
from gentoolkit.evaluation import preprocessing
from gentoolkit.evaluation.preprocessing import Preprocessing
from gentoolkit.models.extractors import alexnet, inception, lpips, mobilenet, normalization, squeezenet


class Distance(NamedTuple):
    """A perceptual distance of pairs that is ready.

    Attributes:
      name: of version, heads and trunk; it begins with "lpips" alone where all of it is as published.
      sha256: of the heads' file.
      call: pairs `[b, h, w, 3]` and `image_range` to `[b]`.
    """

    name: str
    sha256: str
    call: Callable[..., jax.Array]


class Extractor(NamedTuple):
    """Features for distances of sets.

    Attributes:
      network: its name.
      sha256: of its file.
      published: whether it is the network of FID, with its published weights.
      prepares: what is done to images before, one after another.
      extract: prepared images to `[b, d]`.
    """

    network: str
    sha256: str
    published: bool
    prepares: tuple[Preprocessing, ...]
    extract: Callable[[Any], jax.Array]


class Eyes(NamedTuple):
    """What there is to measure with, and what is to be said of it."""

    distances: tuple[Distance, ...]
    extractor: Extractor | None
    notes: tuple[str, ...]


class KerasTrunk(squeezenet.KerasSqueezeNet):
    """keras-squeezenet in the place of LPIPS 0.1's own trunk: takes what that takes, RGB normalized as ImageNet's."""

    def __call__(self, images: jax.Array, taps: Sequence[str] = squeezenet.TRUNK_TAPS) -> dict[str, jax.Array]:
        """Maps `[b, h, w, 3]` to features."""
        share = images * jnp.asarray(normalization.DEVIATION) + jnp.asarray(normalization.MEAN)
        return super().__call__(self.preprocess(share), taps)


def find(folder: str) -> Eyes:
    """Reads the networks that a folder has.

    LPIPS takes AlexNet, 0.0 and 0.1, where trunk and heads are there; else the heads of SqueezeNet on what SqueezeNet
    there is. FID and KID take the Inception network of 2015; else distances of features of MobileNetV2 are taken under
    their own name.

    Args:
      folder: with weights; "" for none.

    Raises:
      FileNotFoundError: there is no such folder, or nothing in it that measures.
      weights.WeightsError: a file cannot be read.
    """
    if not folder:
        return Eyes((), None, ("No LPIPS, FID and KID: --weights names no folder with their networks.",))
    place = pathlib.Path(folder).expanduser()
    if not place.is_dir():
        raise FileNotFoundError(f"--weights: there is no folder {folder}.")
    distances, said = _distances(place)
    extractor = _extractor(place)
    if not distances and extractor is None:
        raise FileNotFoundError(
            f"--weights: {folder} has no network that measures: put {alexnet.FILE} and lpips_v0.1_alex.npz (or "
            f"v0.1/alex.pth) there for LPIPS, {inception.FILE} for FID and KID."
        )
    notes = list(said)
    if extractor is None:
        notes.append(f"No FID: {inception.FILE} is not in {place.name}.")
    elif not extractor.published:
        notes.append(
            f"No FID and KID as published, whose weights are not at hand: distances are of features of "
            f"{extractor.network}, and compare with one another alone."
        )
    return Eyes(distances, extractor, tuple(notes))


def _distances(place: pathlib.Path) -> tuple[tuple[Distance, ...], list[str]]:
    trunk, name, said = _trunk(place)
    if trunk is None:
        return (), ["No LPIPS: no trunk of it has weights."]
    found = []
    versions: tuple[lpips.Version, ...] = ("0.1",) if isinstance(trunk, KerasTrunk) else ("0.0", "0.1")
    for version in versions:
        heads = _first(place, (f"v{version}/{name}.pth", f"lpips_v{version}_{name}.npz"))
        if heads is None:
            said.append(f"No LPIPS {version}: its heads on {name} are not at hand.")
            continue
        network = lpips.Lpips.load(trunk, heads, version=version)
        told = network.origin.name
        if not network.origin.published and "like" not in told:
            told = told.replace("lpips", "lpips-like", 1)
        if name != "alex":
            said.append(f"{told}: the paper's LPIPS is on AlexNet, whose weights are not at hand.")
        found.append(Distance(told, network.origin.sha256, _compiled(network)))
    return tuple(found), said


def _compiled(network: lpips.Lpips) -> Callable[..., jax.Array]:
    models = {"lpips": network}
    measure = training.jit(lambda models, a, b: models["lpips"](a, b, image_range=(0.0, 1.0)))

    def distance(first: Any, second: Any, *, image_range: tuple[float, float]) -> jax.Array:
        if image_range != (0, 1):
            raise ValueError(f"image_range must be (0, 1) here, got {image_range}.")
        return measure(models, first, second)

    return distance


def _trunk(place: pathlib.Path) -> tuple[Any, str, list[str]]:
    if path := _first(place, _converted(alexnet.FILE)):
        return alexnet.AlexNet.load(path), "alex", []
    if path := _first(place, _converted(squeezenet.FILE)):
        return squeezenet.SqueezeNet.load(path), "squeeze", []
    if path := _first(place, ("squeezenet1.1_features.npz",)):
        return KerasTrunk.load(path), "squeeze", []
    return None, "", []


def _extractor(place: pathlib.Path) -> Extractor | None:
    if path := _first(place, _converted(inception.FILE, "weights-inception-2015-12-05-6726825d.pth")):
        network = inception.InceptionV3.load(path)
        prepares = (preprocessing.legacy_pytorch(), preprocessing.clean())
        return _ready(network, "2048", prepares, network.origin.published)
    if path := _first(place, ("mobilenet_v2_1.0_224.npz",)):
        return _ready(mobilenet.MobileNetV2.load(path), "1280", (preprocessing.legacy_pytorch(size=224),), False)
    return None


def _ready(network: nnx.Module, tap: str, prepares: tuple[Preprocessing, ...], published: bool) -> Extractor:
    run = training.jit(lambda models, images: models["network"](images, (tap,))[tap])
    models = {"network": network}
    origin = network.origin
    return Extractor(origin.name, origin.sha256, published, prepares, lambda images: run(models, images))


def _converted(*names: str) -> tuple[str, ...]:
    also = [str(pathlib.PurePath(name).with_suffix(end)) for name in names for end in (".safetensors", ".npz")]
    return (*names, *also)


def _first(place: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
    return next((place / name for name in names if (place / name).is_file()), None)
