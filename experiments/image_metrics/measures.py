"""The metrics that can be asked for: what each needs, and how it is taken of features."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from gentoolkit.evaluation import clip_score, fid, inception_score, kid, neighbors
from gentoolkit.evaluation.caption_score import Form
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result

# Above so many images a side keeps moments alone, where nothing else is asked for than a Fréchet distance.
MOST_ROWS = 20_000


@dataclasses.dataclass(frozen=True)
class Options:
    """How metrics are taken.

    Attributes:
      metrics: names of `METRICS`.
      paired: names of `PAIRED`.
      network: whose features and logits are compared, one of `networks.KINDS`.
      neighbors_network: whose features precision, recall, density and coverage go by.
      preprocessing: one of `networks.PREPROCESSINGS`.
      crop: whether the middle square of images is taken, instead of stretching them; of CLIP it always is.
      clip_network: one of `clip_network.KINDS`.
      clip_form: one of `evaluation.Form`.
      clip_prompt: what is put before each caption.
      lpips_trunk: one of `pairs.TRUNKS`.
      lpips_versions: of the heads, "0.1" and "0.0".
      pairing: one of `diversity.PAIRINGS`.
      num_neighbors: k of precision and recall.
      num_neighbors_density: k of density and coverage.
      num_subsets: of KID.
      subset_size: of KID.
      num_splits: of the inception score.
      seed: of subsets and splits.
    """

    metrics: tuple[str, ...] = ("fid", "kid")
    paired: tuple[str, ...] = ()
    network: str = "inception"
    neighbors_network: str = "vgg16"
    preprocessing: str = "legacy_pytorch"
    crop: bool = False
    clip_network: str = "ViT-B-32"
    clip_form: Form = "cosine"
    clip_prompt: str = ""
    lpips_trunk: str = "alex"
    lpips_versions: tuple[Literal["0.0", "0.1"], ...] = ("0.1",)
    pairing: str = "disjoint"
    num_neighbors: int = 3
    num_neighbors_density: int = 5
    num_subsets: int = 100
    subset_size: int = 1000
    num_splits: int = 10
    seed: int = 2020


class Looks(NamedTuple):
    """What a network made of both sets.

    Attributes:
      real: features of the real images; None where no metric compares with them.
      generated: features of the generated ones.
      logits: of the generated ones; None where the network has none.
      texts: embeddings of the captions of the generated images, row by row; None where nothing is compared with them.
    """

    real: Features | None
    generated: Features
    logits: Features | None = None
    texts: np.ndarray | None = None


Take = Callable[[Looks, Options], Iterator[tuple[str, Result]]]


class Metric(NamedTuple):
    """A metric that can be asked for.

    Attributes:
      take: yields results by the names they have in metrics.json.
      by: whose network it goes by: that of the features, of the neighbours, or CLIP.
      compares: whether it needs real images.
      rows: whether it needs the features of each image.
    """

    take: Take
    by: Literal["network", "neighbors_network", "clip_network"] = "network"
    compares: bool = True
    rows: bool = True


def _fid(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    yield _called("fid", "frechet", options), fid(_real(looks), looks.generated)


def _kid(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    yield (
        _called("kid", "kernel_distance", options),
        kid(
            _real(looks),
            looks.generated,
            num_subsets=options.num_subsets,
            subset_size=options.subset_size,
            seed=options.seed,
        ),
    )


def _inception_score(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    assert looks.logits is not None, "the command has refused networks without logits"
    yield (
        _called("inception_score", "class_score", options),
        inception_score(looks.logits, num_splits=options.num_splits, seed=options.seed),
    )


def _precision_recall(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    found = neighbors.precision_recall(_real(looks), looks.generated, num_neighbors=options.num_neighbors)
    yield from found._asdict().items()


def _density_coverage(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    found = neighbors.density_coverage(_real(looks), looks.generated, num_neighbors=options.num_neighbors_density)
    yield from found._asdict().items()


def _clip_score(looks: Looks, options: Options) -> Iterator[tuple[str, Result]]:
    assert looks.texts is not None, "the command has read the captions"
    yield (
        "clip_score",
        clip_score(looks.generated, looks.texts, form=options.clip_form, prompt=options.clip_prompt),
    )


METRICS = {
    "fid": Metric(_fid, rows=False),
    "kid": Metric(_kid),
    "is": Metric(_inception_score, compares=False),
    "pr": Metric(_precision_recall, by="neighbors_network"),
    "dc": Metric(_density_coverage, by="neighbors_network"),
    "clip_score": Metric(_clip_score, by="clip_network", compares=False),
}
# Perceptual distances of images in pairs, and whether these are of a real and a generated one.
PAIRED = {"lpips": True, "diversity": False}


def compares(options: Options) -> bool:
    """Whether real images are needed."""
    return any(METRICS[name].compares for name in options.metrics) or any(PAIRED[name] for name in options.paired)


def networks_of(options: Options) -> list[str]:
    """The networks that are needed, each once."""
    return list(dict.fromkeys(network_of(name, options) for name in options.metrics))


def check(options: Options, *, num_real: int | None, num_generated: int) -> None:
    """Refuses options that the numbers of images do not allow.

    Args:
      options: what was asked for.
      num_real: real images; None where nobody says how many.
      num_generated: generated images.

    Raises:
      ValueError: so.
    """
    for what, num in (("real", num_real), ("generated", num_generated)):
        if num is not None and num < 2:
            raise ValueError(f"There must be at least two {what} images, got {num}.")
    sides = {"--real": num_real, "--generated": num_generated}
    for name, flag, k, compared in (
        ("pr", "--num_neighbors", options.num_neighbors, ("--real", "--generated")),
        ("dc", "--num_neighbors_density", options.num_neighbors_density, ("--real",)),
    ):
        for side in compared:
            num = sides[side]
            if name in options.metrics and num is not None and k >= num:
                raise ValueError(f"{flag} must be below the number of images, got {k} with {num} images in {side}.")
    if "is" in options.metrics and options.num_splits > num_generated:
        raise ValueError(f"--num_splits must be at most the {num_generated} images, got {options.num_splits}.")


def take(looks: Mapping[str, Looks], options: Options) -> tuple[dict[str, Result], list[str]]:
    """Takes all metrics.

    Args:
      looks: what each network made of the images.
      options: what was asked for.

    Returns:
      Results by name, and what is to be said of them.
    """
    results: dict[str, Result] = {}
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for name in options.metrics:
            results |= dict(METRICS[name].take(looks[network_of(name, options)], options))
        said += [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    return results, list(dict.fromkeys(said))


def keeps_rows(network: str, options: Options, num: Sequence[int]) -> bool:
    """Whether a network's features are kept for each image: where a metric needs them, or there are few."""
    needed = any(METRICS[name].rows and network_of(name, options) == network for name in options.metrics)
    return needed or max(num) <= MOST_ROWS


def _real(looks: Looks) -> Features:
    assert looks.real is not None, "the command has read the real images"
    return looks.real


def network_of(name: str, options: Options) -> str:
    """The network that a metric goes by."""
    return getattr(options, METRICS[name].by)


def _called(published: str, plain: str, options: Options) -> str:
    """FID, KID and IS are names for Inception's features; for others the figure says whose it is."""
    return published if options.network == "inception" else f"{plain}_{options.network}"
