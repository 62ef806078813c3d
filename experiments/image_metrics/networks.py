"""The networks that metrics look through: which file each wants, what it does to images, and how it is called."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flax import nnx

from experiments.image_metrics.stream import Prepare
from gentoolkit import training
from gentoolkit.evaluation import preprocessing
from gentoolkit.evaluation.preprocessing import Preprocessing
from gentoolkit.models.extractors import inception, mobilenet, squeezenet, vgg

RANDOM = "random"
PREPROCESSINGS = {
    "legacy_pytorch": preprocessing.legacy_pytorch,
    "legacy_tensorflow": preprocessing.legacy_tensorflow,
    "clean": preprocessing.clean,
}
# Names under which people have a network, besides the one that is asked for: torch-fidelity's, NVIDIA's.
_ALSO = {inception.FILE: ("weights-inception-2015-12-05-6726825d.pth", "inception-2015-12-05.pt")}
CONVERTED = (".safetensors", ".npz", ".msgpack")


class Extractor(NamedTuple):
    """A network that is ready.

    Attributes:
      name: of network and weights.
      sha256: of the file; "" without one.
      note: what is to be said of the weights; "" if their hash begins as that of the published ones.
      prepare: what is done to images before.
      extract: prepared images `[b, h, w, 3]` to `{"features": [b, d], "logits": [b, c]}`, the latter if there are some.
    """

    name: str
    sha256: str
    note: str
    prepare: Prepare
    extract: Callable[[Any], Mapping[str, Any]]


class Kind(NamedTuple):
    """A network that can be asked for."""

    file: str
    digits: str  # of the SHA-256 of the published file; "" where there is none
    load: Callable[[Any], nnx.Module]
    random: Callable[[nnx.Rngs], nnx.Module]
    taps: Mapping[str, str]
    size: int
    prepare: Callable[..., Preprocessing] | None = None  # for a network that has one of its own, whatever is asked for


class Pooled(nnx.Module):
    """Means over pixels of the maps of keras-squeezenet; it takes what `of_keras` makes.

    Attributes:
      origin: of the network's weights.
    """

    def __init__(self, network: squeezenet.KerasSqueezeNet):
        """Takes the network."""
        self.network, self.origin = network, network.origin

    def __call__(self, images: Any, taps: tuple[str, ...]) -> dict[str, Any]:
        """Maps `[b, h, w, 3]` in RGB to `[b, c]` for each tap."""
        return {tap: found.mean((1, 2)) for tap, found in self.network(images[..., ::-1], taps).items()}


def of_keras(*, size: int, crop: bool = False) -> Preprocessing:
    """Grey levels less a mean colour, as keras-squeezenet wants them; still in RGB.

    Args:
      size: height and width of what the network takes.
      crop: whether to cut out the middle square first.
    """
    mean, name = (123.68, 116.779, 103.939), "keras_caffe+center_crop" if crop else "keras_caffe"
    return Preprocessing(name, size, "bilinear_half_pixel", mean, (1.0, 1.0, 1.0), crop=crop)


KINDS = {
    "inception": Kind(
        inception.FILE,
        inception.PUBLISHED[0],
        inception.InceptionV3.load,
        inception.InceptionV3.random,
        {"features": "2048", "logits": "logits_unbiased"},
        preprocessing.SIZE,
    ),
    "mobilenet": Kind(
        "mobilenet_v2_1.0_224.npz",
        "",
        mobilenet.MobileNetV2.load,
        mobilenet.MobileNetV2.random,
        {"features": "1280", "logits": "logits"},
        224,
    ),
    "vgg16": Kind(
        vgg.FILE,
        vgg.PUBLISHED[0],
        lambda path: vgg.VGG16.load(path, dense=True),
        lambda rngs: vgg.VGG16.random(rngs, dense=True),
        {"features": "fc2_relu"},
        224,
        prepare=preprocessing.imagenet,
    ),
    "keras_squeezenet": Kind(
        "squeezenet1.1_features.npz",
        "",
        lambda path: Pooled(squeezenet.KerasSqueezeNet.load(path)),
        lambda rngs: Pooled(squeezenet.KerasSqueezeNet.random(rngs)),
        {"features": "fire9"},
        227,
        prepare=of_keras,
    ),
}


def check(kind: str, metrics: Sequence[str]) -> None:
    """Refuses an Inception score of a network without classes.

    Args:
      kind: one of `KINDS`, whose features and logits are asked for.
      metrics: which.

    Raises:
      ValueError: so.
    """
    if "is" in metrics and "logits" not in KINDS[kind].taps:
        raise ValueError(f"--metrics=is needs a network that tells classes, and {kind} tells none.")


def find(kind: str, weights: str) -> pathlib.Path | None:
    """Finds the file of a network; None for random weights.

    Args:
      kind: one of `KINDS`.
      weights: a folder, the file itself, "random", or "".

    Raises:
      FileNotFoundError: there is none; says in one line which one to put where.
    """
    wanted = KINDS[kind]
    if weights == RANDOM:
        return None
    folder = pathlib.Path(weights).expanduser() if weights else None
    if folder is not None and folder.is_file():
        return folder
    names = [wanted.file, *_ALSO.get(wanted.file, ())]
    names += [str(pathlib.PurePath(name).with_suffix(suffix)) for name in names for suffix in CONVERTED]
    if folder is not None:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    known = f" (SHA-256 {wanted.digits}...)" if wanted.digits else ""
    other = _torchvisions(folder) if kind == "inception" else ""
    place = f"into {folder}" if weights else "into a folder and name it by --weights"
    raise FileNotFoundError(
        f"No weights of {kind}: put {wanted.file}{known} {place};{other} "
        "--weights=random takes a frozen random network, for smoke tests alone."
    )


def load(kind: str, path: pathlib.Path | None, *, prepare: str, crop: bool = False) -> Extractor:
    """Reads a network and makes it ready.

    Args:
      kind: one of `KINDS`.
      path: of its file, None for random weights.
      prepare: one of `PREPROCESSINGS`.
      crop: whether the middle square of images is taken, instead of stretching them.

    Raises:
      ValueError: the file holds something else, or cannot be read.
    """
    wanted = KINDS[kind]
    network = wanted.random(nnx.Rngs(0)) if path is None else wanted.load(path)
    origin = network.origin
    taps = tuple(wanted.taps.values())
    run = training.jit(lambda models, images: models["network"](images, taps))
    named = {tap: name for name, tap in wanted.taps.items()}

    def extract(images: Any) -> dict[str, Any]:
        return {named[tap]: found for tap, found in run({"network": network}, images).items()}

    note = ""
    if path is None:
        note = f"{kind} has random weights: its figures are for smoke tests alone and compare with nothing."
    elif wanted.digits and not origin.published:
        note = (
            f"{path.name} has SHA-256 {origin.sha256[:16]}..., not the published {wanted.digits}...: "
            "figures need not be those of the published network."
        )
    make = wanted.prepare or PREPROCESSINGS[prepare]
    return Extractor(origin.name, origin.sha256, note, make(size=wanted.size, crop=crop), extract)


def _torchvisions(folder: pathlib.Path | None) -> str:
    found = sorted(folder.glob("inception_v3_google-*.pth")) if folder is not None and folder.is_dir() else []
    return f" {found[0].name} is torchvision's, of another training run, and no FID comes of it;" if found else ""
