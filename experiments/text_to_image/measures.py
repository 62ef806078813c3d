"""What is measured of encoders, of detectors, and of painted pictures."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.text_to_image import attributes, judges, runs
from experiments.text_to_image import encoders as encoders_lib
from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import clip, detector, probe
from experiments.text_to_image.systems.system import System
from gentoolkit import evaluation, training
from gentoolkit.data import scenes
from gentoolkit.data.columns import Columns
from gentoolkit.evaluation import layout, objects, preprocessing, probes, retrieval
from gentoolkit.models.detector import Grid
from gentoolkit.models.extractors.inception import InceptionV3
from gentoolkit.models.text.encoded import Encoded

_SETS = (64, 1000)  # sizes of the sets in which a text looks for its picture
_BATCH = 100
_INCEPTION_BATCH, _SPLITS = 20, 10  # pictures of 299 pixels; parts of the Inception score
DEFINITION = 3  # of what `of_pictures` returns; one more whenever a figure of the same name means something else
_OTHERS = 99  # texts beside its own that a picture is to be told from
PROBE = "probe_"  # before the name of an attribute that a probe reads


class Judges(NamedTuple):
    """Trained networks that measure what others paint.

    Attributes:
      encoders: those by which painters are told of texts.
      detector: models of a detector's run; None where objects are not counted.
      clip: models of a mini-CLIP, which no painter was told by; None for none.
      probe: models of a probe, which reads attributes; None for none.
      inception: the network of FID and Inception score; None for none.
    """

    encoders: Pretrained
    detector: dict[str, Any] | None = None
    clip: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None
    inception: InceptionV3 | None = None


def load_judges(
    encoders: Pretrained,
    *,
    detector_run: str = "",
    clip_run: str = "",
    probe_run: str = "",
    inception_file: str = "",
    image_size: int = 0,
) -> Judges:
    """Loads judges from the folders of their runs; an empty name leaves one out.

    Args:
      encoders: loaded.
      detector_run: of a detector, or a file of one (`judges.load`).
      clip_run: of a mini-CLIP of the same words.
      probe_run: of a probe.
      inception_file: of the weights of the original FID, as `InceptionV3.load` takes them.
      image_size: of the pictures that it is to read.
    """
    found, own, reading = None, None, None
    if detector_run:
        judge = judges.load(detector_run)
        _check_size(judge.config, encoders.image_size, detector_run)
        found = judge.models
    if clip_run:
        of_clip = runs.read_config(clip_run, systems=("clip",))
        _check_size(of_clip, encoders.image_size or of_clip.image_size, clip_run)
        vocabulary, length = encoders_lib.read_vocabulary(pathlib.Path(clip_run))
        if vocabulary != encoders.vocabulary:
            raise ValueError(f"The network in {clip_run} was trained on another vocabulary than the encoder.")
        own = training.load(clip_run, lambda rngs: clip.network(of_clip, vocabulary, length, rngs))
    if probe_run:
        of_probe = runs.read_config(probe_run, systems=("probe",))
        _check_size(of_probe, image_size or encoders.image_size, probe_run)
        known = attributes.read(pathlib.Path(probe_run))
        reading = training.load(probe_run, lambda rngs: probe.network(of_probe, known, rngs))
    looking = InceptionV3.load(inception_file) if inception_file else None
    return Judges(encoders, found, own, reading, looking)


def signed(pixels: np.ndarray) -> np.ndarray:
    """Bytes to [-1, 1]."""
    return np.asarray(pixels, np.float32) / 127.5 - 1


def unit(images: np.ndarray) -> np.ndarray:
    """[-1, 1] to [0, 1]."""
    return np.clip((np.asarray(images, np.float32) + 1) / 2, 0, 1)


def of_embeddings(images: np.ndarray, texts: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Held-out retrieval; texts that say the same in the same words are no negatives of each other."""
    values = {}
    for size in _SETS:
        if size <= len(images):
            found = retrieval.recall_at_one(images, texts, size=size, groups=groups)
            values[f"recall_of_{size}"], values[f"recall_of_{size}_error"] = found.value, found.standard_error
            values[f"recall_of_{size}_chance"] = found.chance
    return values


def of_opposites(images: np.ndarray, texts: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """How often a picture fits its own text better than the one with another word in it; one half by chance."""
    own, other = (np.sum(_directions(images) * _directions(rows), axis=1) for rows in (texts, wrong))
    hits = own > other
    error = float(hits.std() / np.sqrt(max(len(hits), 1)))
    return {"opposites": float(hits.mean()), "opposites_error": error} if len(hits) else {}


def groups_of(tokens: np.ndarray) -> np.ndarray:
    """A number for each text, equal where all words are."""
    return np.unique(tokens, axis=0, return_inverse=True)[1].reshape(-1)


def groups_of_scenes(texts: Sequence[str]) -> np.ndarray:
    """A number for each text of a scene, equal where the same is said, in whatever words and order."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(_meaning(scenes.read(text)), len(numbers)) for text in texts])


def _meaning(asked: scenes.Asked) -> Any:
    """Objects in an order of their own; "a is right of b" and "a is below b" as "b is left of a" and "b is above a"."""
    said = [tuple(sorted(one.items())) for one in asked.objects]
    turned = [(j, kind - 1, i) if kind % 2 else (i, kind, j) for i, kind, j in asked.relations]
    return tuple(sorted(said)), tuple(sorted((said[i], kind, said[j]) for i, kind, j in turned))


def of_detector(models, test: Columns, num: int) -> dict[str, float]:
    """What a detector sees of real scenes, beside all that is in them."""
    part = test.select("image", "boxes", *(column for column, _ in detector.KINDS.values())).take(np.arange(num))
    seen = detector.look(models, signed(part["image"]))
    asked, boxes = [], []
    for row in range(num):
        there = int(part["boxes"].lengths[row])
        names = {name: part[column].values[row] for name, (column, _) in detector.KINDS.items()}
        every = tuple({name: int(of[place]) for name, of in names.items()} for place in range(there))
        asked.append(scenes.Asked(every, ()))
        boxes.append(part["boxes"].values[row, :there])
    layouts = [
        [layout.Layout(one.classes["shape"], _within(one.boxes)) for one in seen],
        [layout.Layout(np.array([o["shape"] for o in one.objects]), at) for one, at in zip(asked, boxes, strict=True)],
    ]
    score = layout.quality(*layouts)
    parts = {f"lqs_{name}": score[name] for name in ("recall", "precision", "location", "area")}
    return _shares(_accuracy(seen, asked, boxes) | {"lqs_reimpl": score["lqs_reimpl"]} | parts)


def _within(boxes: np.ndarray) -> np.ndarray:
    """Boxes cut to the picture; one whose sides an untrained detector has the wrong way round is empty."""
    inside = np.clip(boxes, 0, 1)
    return np.concatenate([inside[:, :2], np.maximum(inside[:, :2], inside[:, 2:])], axis=1)


def of_probe(models, images: np.ndarray, asked: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How often a probe reads in pictures what was asked of them.

    Args:
      models: of the probe.
      images: `[n, h, w, 3]` in [-1, 1].
      asked: `[n]` for each attribute, the place of its value or -1.

    Returns:
      By attribute the share and its `_error`, what it would be if the pictures were dealt out at random (`_chance`),
      and if the value that is asked most often were read in all (`_constant`); nothing where no picture is asked.
    """
    read, values = probe.read(models, images), {}
    for name, places in asked.items():
        if (places >= 0).any():
            found = probes.accuracy(read[name], places)
            values[name], values[f"{name}_error"] = found.value, found.standard_error
            values[f"{name}_chance"], values[f"{name}_constant"] = found.chance, found.most_frequent
    return values


def of_texts(found: Sequence[objects.Found], texts: Sequence[str]) -> dict[str, objects.Share]:
    """What pictures of scenes show of what their texts say.

    Returns:
      As `objects.accuracy`, and `objects_held_out`: `objects` of those combinations of shape and colour alone that are
      not trained on, where `config.hold_out` is left as it is (in a text of the split "held_out" the first object is of
      one, the others as they come); only where such are named.
    """
    asked = [scenes.read(text) for text in texts]
    rare = [scenes.Asked(tuple(filter(_is_held_out, one.objects)), ()) for one in asked]
    shares = _accuracy(found, asked, None)
    return shares | (
        {"objects_held_out": _accuracy(found, rare, None)["objects"]} if any(r.objects for r in rare) else {}
    )


def of_shapes(images: np.ndarray, cells: Grid, texts: Sequence[str]) -> dict[str, objects.Share]:
    """How often the said shape fits an object best, of all shapes drawn at every size and turn (`scenes.misfits`).

    Which object is meant a detector says, by all that the text says of it but its shape. Of a search, which looks for
    such pictures (`judges.scores`), it tells only how far that went.

    Args:
      images: `[n, h, w, 3]` in [-1, 1].
      cells: what a detector says of them.
      texts: `n` of them.

    Returns:
      `shapes_drawn`; nothing for pictures whose sides are no multiple of `scenes.FITTED_SIDE`, or where none is said.
    """
    if images.shape[1] % scenes.FITTED_SIDE:
        return {}
    rows: list[int] = []
    shapes, boxes = [], []
    for row, text in enumerate(texts):
        named = scenes.read(text).objects
        bare = scenes.Asked(tuple({key: of for key, of in one.items() if key != "shape"} for one in named), ())
        own = jax.tree.map(lambda x, row=row: x[row : row + 1], cells)
        found = objects.agreement(*own, bare, directions=detector.DIRECTIONS).boxes[0]
        for one, box in zip(named, found, strict=True):
            if "shape" in one:
                rows.append(row)
                shapes.append(one["shape"])
                boxes.append(box)
    if not rows:
        return {}
    row, shape, box = np.array(rows), np.array(shapes), np.array(boxes)
    there = ~np.isnan(box[:, 0])
    right = np.zeros(len(rows))
    right[there] = scenes.misfits(unit(images[row[there]]), box[there]).argmin(axis=1) == shape[there]
    counts = [np.bincount(row, weights, minlength=len(texts)) for weights in (right, np.ones(len(rows)))]
    return {"shapes_drawn": objects.pooled(np.stack(counts, axis=1))}


def _is_held_out(one: Mapping[str, int]) -> bool:
    return "shape" in one and "colour" in one and bool(scenes.held_out(one["shape"], one["colour"]))


def _accuracy(found, asked, boxes):
    return objects.accuracy(
        found, asked, kind="shape", num_classes=len(scenes.SHAPES), bound=("shape", "colour"),
        directions=detector.DIRECTIONS, boxes=boxes,
    )  # fmt: skip


def _directions(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _shares(scores: dict[str, objects.Share]) -> dict[str, float]:
    values = {}
    for name, share in scores.items():
        values[name], values[f"{name}_error"] = share.value, share.standard_error
    return values


def paint(
    system: System,
    models,
    texts: Encoded,
    *,
    seed: int = 0,
    noise: np.ndarray | None = None,
    batch_size: int = _BATCH,
) -> np.ndarray:
    """Paints one picture of each text, `[n, h, w, 3]` in [-1, 1].

    Args:
      system: of the painter.
      models: what paints.
      texts: `n` of them.
      seed: text i gets the i-th noise of it, where none is given.
      noise: `[n, noise_dim]`.
      batch_size: of the compiled program.
    """
    draw = _drawing(system)
    if noise is None:
        noise = np.random.default_rng(seed).standard_normal((len(texts.sentence), system.noise_dim), np.float32)
    painted = []
    for start in range(0, len(noise), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(noise) - 1)
        part = Encoded(*(np.asarray(column)[rows] for column in texts))
        painted.append(np.asarray(draw(models, part, noise[rows])))
    return np.concatenate(painted)[: len(noise)]


def of_pictures(
    images: np.ndarray,
    again: np.ndarray | None,
    real: np.ndarray | None,
    judges: Judges,
    *,
    texts: Sequence[str],
    tokens: np.ndarray,
    lengths: np.ndarray,
    encoded: Encoded,
    groups: np.ndarray,
    asked: Mapping[str, np.ndarray] | None = None,
) -> dict[str, float]:
    """All that is measured of painted pictures.

    Args:
      images: `[n, h, w, 3]` in [-1, 1], one of each text.
      again: `[m, h, w, 3]`, another one of each of the first m texts; None where there is none, so no diversity.
      real: `[n, h, w, 3]`, those that the texts were written of; None where these are they, so no Fréchet distance.
      judges: what measures.
      texts: `n` texts.
      tokens: `[n, t]` their words.
      lengths: `[n]`.
      encoded: what the encoder makes of them.
      groups: `[n]`, equal where texts say the same: those are not set beside each other for R-precision.
      asked: for a probe, what the texts were written of, as for `of_probe`.

    Returns:
      Figures by name, each with its `_error`. R-precision is among 1 + 99 texts, or as many as there are:
      `r_precision_others` says how many, `r_precision_chance` what chance has.
    """
    num = len(images)
    others = min(_OTHERS, num - int(np.unique(groups, return_counts=True)[1].max()))
    values: dict[str, float] = {}
    if others >= 1:
        if judges.encoders.images is not None:
            whole = encoders_lib.encode_images(judges.encoders.images, images).picture
            values |= _precision("r_precision", whole, encoded.sentence, others, groups)
        if judges.clip is not None:
            both = clip.embed(judges.clip, images, tokens, lengths)
            values |= _precision("r_precision_clip", *both, others, groups)
            embedded = evaluation.features.of(both[0], network="mini-clip", preprocessing="none")
            score = evaluation.clip_score(embedded, both[1])
            values |= {"clip_score": score.value, "clip_score_error": score.standard_error}
    if judges.detector is not None:
        cells = detector.grid(judges.detector, images)
        values |= _shares(of_texts(objects.decode(*cells), texts) | of_shapes(images, cells, texts))
        values |= _distance("detector", judges.detector, images, real) if real is not None else {}
    if judges.probe is not None:
        read = of_probe(judges.probe, images, asked or {})
        values |= {f"{PROBE}{name}": value for name, value in read.items()}
        values |= _distance("probe", judges.probe, images, real) if real is not None else {}
    if judges.inception is not None:
        values |= _of_inception(judges.inception, images, real)
    if again is not None:
        apart = np.abs(unit(images[: len(again)]) - unit(again)).mean((1, 2, 3))
        values |= {"diversity": float(apart.mean()), "diversity_error": float(apart.std() / np.sqrt(len(apart)))}
    return values | {"num": float(num)}


def _precision(name: str, pictures: np.ndarray, texts: np.ndarray, others: int, groups: np.ndarray) -> dict[str, float]:
    found = retrieval.r_precision(pictures, texts, num_others=others, groups=groups)
    values = {"": found.value, "_error": found.standard_error, "_chance": found.chance, "_others": float(others)}
    return {f"{name}{end}": value for end, value in values.items()}


def _of_inception(network: InceptionV3, images: np.ndarray, real: np.ndarray | None) -> dict[str, float]:
    """FID and Inception score, prepared as pytorch-fid does; few pictures have large ones (`evaluation.fid`)."""

    def features(pictures: np.ndarray) -> list[evaluation.Features]:
        found = [_look({"inception": network}, part) for part in _filled(unit(pictures), _INCEPTION_BATCH)]
        return [
            evaluation.features.of(
                np.concatenate([np.asarray(one[tap]) for one in found])[: len(pictures)],
                network="inception-v3-fid", preprocessing=_PREPARE.name, sha256=network.origin.sha256,
            )
            for tap in _TAPS
        ]  # fmt: skip

    pool, logits = features(images)
    score = evaluation.inception_score(logits, num_splits=min(_SPLITS, len(images)))
    values = {"inception_score": score.value, "inception_score_error": score.standard_error}
    if real is not None:
        distance = evaluation.fid(features(real)[0], pool)
        values |= {"fid": distance.value, "fid_error": distance.standard_error}
    return values


def _filled(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of one size, the last filled up with its first row."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])


def _distance(judge: str, models, images: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Fréchet distance of the features of a judge, between as many painted as real pictures; its error by a jackknife.

    The features are not Inception's, so it is no FID, though the same function.
    """
    sides = [
        evaluation.features.of(_features(models[judge], rows), network=judge, preprocessing="none")
        for rows in (real, images)
    ]
    found, name = evaluation.fid(*sides), f"frechet_{judge}"
    return {name: found.value, f"{name}_error": found.standard_error}


def _features(trunk, images: np.ndarray, *, batch_size: int = 200) -> np.ndarray:
    found = [np.asarray(_mean_features({"trunk": trunk}, part)) for part in _filled(images, batch_size)]
    return np.concatenate(found)[: len(images)]


_mean_features = training.jit(lambda models, images: jnp.mean(models["trunk"].look(images), axis=(1, 2)))
_PREPARE, _TAPS = preprocessing.legacy_pytorch(), ("2048", "logits_unbiased")
_look = training.jit(lambda models, images: models["inception"](_PREPARE(images), _TAPS))
_DRAWING: dict[Any, Any] = {}


def _drawing(system: System):
    """The compiled function that paints, one for each system."""
    if system.draw not in _DRAWING:
        draw = system.draw
        _DRAWING[draw] = training.jit(
            lambda models, texts, noise: draw(models, Encoded(*map(jnp.asarray, texts)), noise)
        )
    return _DRAWING[system.draw]


def _check_size(config: ConfigDict, image_size: int, run: str) -> None:
    if config.image_size != image_size:
        raise ValueError(f"The network in {run} is of pictures of {config.image_size} pixels, not {image_size}.")
