"""From two sets of files to results: what is checked first, one pass over each set, and the metrics."""

import os
import pathlib
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from experiments.image_metrics import diversity, measures, pairs, pictures
from experiments.image_metrics.captions import Captions
from experiments.image_metrics.measures import Looks, Options
from experiments.image_metrics.networks import Extractor
from experiments.image_metrics.page import Captioned, Side
from experiments.image_metrics.pictures import Source, shown
from experiments.image_metrics.stream import Stream
from gentoolkit import evaluation, report, study, training
from gentoolkit.evaluation import features, statistics
from gentoolkit.evaluation.caption_score import cosines
from gentoolkit.evaluation.features import Features
from gentoolkit.evaluation.result import Result


class Sources(NamedTuple):
    """The sets that are compared.

    Attributes:
      real: files of images; None where there are statistics.
      statistics: a file of statistics; None where there are images.
      generated: files of images.
      passed_over: what else lies in the folders, a sentence for each.
    """

    real: Source | None
    statistics: pathlib.Path | None
    generated: Source
    passed_over: list[str]


class Texts(NamedTuple):
    """Captions, and what turns them into embeddings `[n, d]` and says how many were cut."""

    captions: Captions
    embed: Callable[[Sequence[str]], tuple[np.ndarray, int]]
    vocabulary: str


class Found(NamedTuple):
    """What came of it.

    Attributes:
      results: by the names of metrics.json.
      said: sentences on images and figures.
      real: the real images as the features' network sees them.
      generated: the generated ones.
      left_out: how many files of either side could not be read.
      codecs: how many files of either side are PNG, JPEG and so on.
      real_features: of the real images, by each network that compares with them.
      captioned: images with their captions, where these are asked for.
    """

    results: dict[str, Result]
    said: list[str]
    real: Side
    generated: Side
    left_out: dict[str, int]
    codecs: dict[str, dict[str, int]]
    real_features: list[Features]
    captioned: Captioned | None = None

    @classmethod
    def none(cls, sources: Sources) -> Self:
        """Where no metric looks at features."""
        return cls({}, [], Side(sources.real, [], None), Side(sources.generated, [], None), {}, {}, [])


def find(real: str | None, generated: str, options: Options) -> Sources:
    """Finds the images and refuses what the metrics cannot be taken of.

    Args:
      real: folder, zip file or .npz; None where no metric compares with real images.
      generated: folder or zip file.
      options: what is asked for.

    Raises:
      FileNotFoundError: there is no such place, or no image in it.
      ValueError: one folder in the other, too few images, or statistics where images are needed.
    """
    if real is None:
        source = Source(generated)
        measures.check(options, num_real=None, num_generated=len(source.names))
        return Sources(None, None, source, _passed_over({"generated": source}))
    places = [pathlib.Path(place).expanduser() for place in (real, generated)]
    has_statistics = places[0].suffix == ".npz" and not places[0].is_dir()
    if has_statistics and not places[0].is_file():
        raise FileNotFoundError(f"There is no file {shown(places[0])}.")
    if has_statistics and options.paired and any(measures.PAIRED[name] for name in options.paired):
        raise ValueError(f"--metrics=lpips needs real images, and --real={shown(places[0])} has statistics.")
    if not has_statistics and all(place.exists() for place in places) and pictures.nested(*places):
        same = places[0].resolve() == places[1].resolve()
        how = "are the same" if same else "lie one inside of the other"
        raise ValueError(f"--real and --generated {how}: {shown(places[0])} and {shown(places[1])}.")
    sources = [None if place is places[0] and has_statistics else Source(place) for place in places]
    assert sources[1] is not None, "generated images are files"
    measures.check(
        options, num_real=None if sources[0] is None else len(sources[0].names), num_generated=len(sources[1].names)
    )
    told = _passed_over({"real": sources[0], "generated": sources[1]})
    return Sources(sources[0], places[0] if has_statistics else None, sources[1], told)


def _passed_over(sources: Mapping[str, Source | None]) -> list[str]:
    return [
        f"{what}: {source.passed_over} passed over."
        for what, source in sources.items()
        if source is not None and source.passed_over
    ]


def measure(
    sources: Sources,
    extractors: Mapping[str, Extractor],
    options: Options,
    *,
    batch_size: int,
    transparency: str,
    texts: Texts | None = None,
) -> Found:
    """Passes over both sets once and takes the metrics.

    Args:
      sources: the sets.
      extractors: the networks that are needed, by name.
      options: what is asked for.
      batch_size: images at a time.
      transparency: as in `Source.read`.
      texts: captions of the generated images, for a CLIP score.

    Returns:
      Results, and what is worth saying.

    Raises:
      ValueError: nothing that can be read, or statistics that do not fit.
    """
    known: dict[str, Features] = {}
    told: list[str] = []
    if sources.statistics is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            for kind in _comparing(options):
                known[kind] = _statistics(sources.statistics, kind, extractors[kind], options)
        told = list(dict.fromkeys(str(each.message) for each in caught))
    sets = {"real": sources.real if _comparing(options) else None, "generated": sources.generated}
    total = sum(-(-len(source.names) // batch_size) for source in sets.values() if source is not None)
    looks: dict[str, dict[str, Any]] = {}
    streams: dict[str, Stream] = {}
    num = [len(source.names) for source in sets.values() if source is not None]
    with study.Progress(total) as progress:
        for what, source in sets.items():
            if source is not None:
                seeing = {kind: extractors[kind] for kind in (_comparing(options) if what == "real" else extractors)}
                looks[what], streams[what] = _look(
                    what, source, seeing, options, num, progress, batch_size=batch_size, transparency=transparency
                )
    codecs = {f"codec_{what}": dict(stream.codecs.most_common()) for what, stream in streams.items()}
    said = [*told, *(line for what, stream in streams.items() for line in stream.said(what)), *_codecs_said(streams)]
    read = {what: len(stream.used) for what, stream in streams.items()}
    try:
        measures.check(options, num_real=read.get("real"), num_generated=read["generated"])
    except ValueError as error:  # what could not be read is why
        raise ValueError("\n".join([str(error), *said])) from error
    seen: dict[str, Looks] = {}
    captioned = None
    for kind, extractor in extractors.items():
        if kind == options.clip_network:
            assert texts is not None, "the command has read the captions"
            seen[kind], captioned, lines = _beside_texts(
                looks["generated"][f"{kind}/features"], streams["generated"].used, texts, extractor, options
            )
            said += lines
            continue
        of_real, of_generated = looks.get("real", {}), looks["generated"]
        seen[kind] = Looks(
            known.get(kind)
            or (_named(of_real[f"{kind}/features"], extractor) if f"{kind}/features" in of_real else None),
            _named(of_generated[f"{kind}/features"], extractor),
            _named(of_generated[f"{kind}/logits"], extractor) if f"{kind}/logits" in of_generated else None,
        )
    results, warned = measures.take(seen, options)
    if captioned is not None and texts is not None:
        about = {
            "vocabulary": texts.vocabulary,
            "images_without_caption": len(texts.captions.without_caption),
            "captions_without_image": len(texts.captions.without_image),
        }
        results["clip_score"] = results["clip_score"]._replace(extra={**results["clip_score"].extra, **about})
    first = next(
        (seen[kind] for kind in (options.network, *seen) if kind in seen and kind != options.clip_network), None
    )
    names = {what: stream.used for what, stream in streams.items()}
    return Found(
        results,
        [*said, *warned],
        Side(sets["real"], names.get("real", []), first and first.real),
        Side(sources.generated, names["generated"], first and first.generated),
        {f"left_out_{what}": len(streams[what].failed) if what in streams else 0 for what in ("real", "generated")},
        codecs,
        [found for kind in _comparing(options) if (found := seen[kind].real) is not None],
        captioned,
    )


def paired(
    sources: Sources, distances: Mapping[str, pairs.Measure], options: Options, *, batch_size: int
) -> Iterator[tuple[str, pairs.Found, report.Html]]:
    """Takes the metrics of pairs of images.

    Args:
      sources: the sets.
      distances: by what is put behind the names of their figures.
      options: what is asked for.
      batch_size: pairs at a time.

    Yields:
      The name of a figure, what came of it, and its section of the page.

    Raises:
      ValueError: no pair, or none that can be measured.
    """
    for name in options.paired:
        for suffix, by in distances.items():
            if name == "lpips":
                assert sources.real is not None, "the command has refused statistics"
                found = pairs.measure(sources.real, sources.generated, by, batch_size=batch_size)
                both, _ = pairs.partners(sources.real, sources.generated)
                section = pairs.section(f"Pairs that differ most and least, {by.name}", both, by, found)
            else:
                found = diversity.measure(sources.generated, by, pairing=options.pairing, batch_size=batch_size)
                title = f"Inputs whose outputs differ most and least, {by.name}"
                section = diversity.section(title, sources.generated, found)
            yield name + suffix, found, section


def _beside_texts(
    embeddings: np.ndarray, names: Sequence[str], texts: Texts, extractor: Extractor, options: Options
) -> tuple[Looks, Captioned, list[str]]:
    """Embeddings of the images that have captions, those of the captions, and what is to be said."""
    places = [place for place, name in enumerate(names) if name in texts.captions.texts]
    if len(places) < 2:
        raise ValueError(
            f"--captions: a CLIP score needs two images with captions that can be read, got {len(places)}."
        )
    written = [texts.captions.texts[names[place]] for place in places]
    of_texts, cut = texts.embed([options.clip_prompt + text for text in written])
    of_images = _named(np.asarray(embeddings)[places], extractor)
    found = cosines(features.rows_of(of_images, "images"), of_texts)
    lines = texts.captions.said()
    if cut:
        lines.append(f"{cut} captions have more tokens than CLIP reads and are cut.")
    return Looks(None, of_images, texts=of_texts), Captioned([names[place] for place in places], written, found), lines


# What leaves the pixels of 8 bits as they were.
_LOSSLESS = {"PNG", "BMP", "DIB", "PPM", "TIFF", "GIF"}


def _codecs_said(streams: Mapping[str, Stream]) -> list[str]:
    """Whether one set went through a lossy codec and the other did not."""
    if len(streams) < 2:
        return []
    lossy = {what: {codec for codec in stream.codecs if codec not in _LOSSLESS} for what, stream in streams.items()}
    if lossy["real"] == lossy["generated"]:
        return []
    files = [
        f"{what} {', '.join(f'{n} {codec}' for codec, n in s.codecs.most_common())}" for what, s in streams.items()
    ]
    return [f"The codecs differ, which moves distances by itself: {'; '.join(files)}."]


def check_outputs(workdir: pathlib.Path, save_real: str, sources: Sources, options: Options) -> None:
    """Refuses before the work what could not be written after it.

    Args:
      workdir: where figures and page go.
      save_real: where statistics of the real images go; "" for nowhere.
      sources: the sets.
      options: what is asked for.

    Raises:
      ValueError: there are no real images to save statistics of, or the ending is not .npz.
      OSError: a folder that cannot be made or written to.
    """
    if save_real:
        if pathlib.Path(save_real).suffix != ".npz":
            raise ValueError(f"--save_real must end in .npz, got {save_real!r}.")
        if not _comparing(options):
            raise ValueError(f"--save_real: no metric of {', '.join(options.metrics)} looks at the real images.")
        if sources.real is None:
            raise ValueError(f"--save_real: --real={shown(sources.statistics or '')} has statistics already.")
        if pathlib.Path(save_real).is_dir():
            raise IsADirectoryError(f"--save_real={shown(save_real)} is a folder.")
    for flag, folder in (
        ("--workdir", workdir),
        ("--save_real", pathlib.Path(save_real).parent if save_real else None),
    ):
        if folder is None:
            continue
        beside = folder / f".{secrets.token_hex(6)}.part"
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside.touch()
            beside.unlink()
        except OSError as error:
            raise OSError(f"{flag}: {shown(folder)} cannot be written to: {error.strerror}.") from error
        finally:
            for each in missing:  # nothing is left behind where the work does not come to an end
                if each.is_dir():
                    each.rmdir()


def save_real(path: str | os.PathLike[str], found: Found) -> pathlib.Path:
    """Writes what every network saw of the real images, for another run's `--real`."""
    first, *others = found.real_features
    return features.save(path, first, others=others)


def _comparing(options: Options) -> list[str]:
    """The networks whose features of the real images are compared with."""
    names = [name for name in options.metrics if measures.METRICS[name].compares]
    return list(dict.fromkeys(measures.network_of(name, options) for name in names))


def _statistics(path: pathlib.Path, kind: str, extractor: Extractor, options: Options) -> Features:
    found = features.load(path, network=extractor.name, preprocessing=extractor.prepare.name, sha256=extractor.sha256)
    needing = [
        name
        for name in options.metrics
        if measures.METRICS[name].rows
        and measures.METRICS[name].compares
        and measures.network_of(name, options) == kind
    ]
    if found.rows is None and needing:
        raise ValueError(
            f"{shown(path)} has moments alone: {', '.join(needing)} need the features of each image "
            "(--save_real and clean-fid's files for KID have them)."
        )
    return found


def _look(
    what: str,
    source: Source,
    extractors: Mapping[str, Extractor],
    options: Options,
    num: list[int],
    progress: study.Progress,
    *,
    batch_size: int,
    transparency: str,
) -> tuple[dict[str, Any], Stream]:
    """One pass over a set: `{"network/features": ..., "network/logits": ...}`, and the stream."""
    wanted: dict[str, evaluation.Statistic] = {}
    for kind in extractors:
        kept = measures.keeps_rows(kind, options, num)
        take = statistics.rows if kept else statistics.blocks
        wanted[f"{kind}/features"] = take(f"{kind}/features")
    if what == "generated" and "is" in options.metrics:
        wanted[f"{options.network}/logits"] = statistics.rows(f"{options.network}/logits")

    def begin(read: int) -> None:
        progress.begin(f"{what}: {read} of {len(source.names)} images")

    def done(read: int) -> None:
        progress.end()
        if read < len(source.names):
            begin(read)

    stream = Stream(
        source,
        {kind: extractor.prepare for kind, extractor in extractors.items()},
        batch_size=batch_size,
        transparency=transparency,
        fitted="the middle square of each is taken" if options.crop else "each stretched to the network's",
        done=done,
    )

    def extract(batch: Mapping[str, Any]) -> dict[str, Any]:
        return {
            f"{kind}/{name}": value
            for kind, extractor in extractors.items()
            for name, value in extractor.extract(batch[kind]).items()
        }

    mesh = training.make_mesh() if jax.device_count() > 1 and batch_size % jax.device_count() == 0 else None
    begin(0)
    try:
        return evaluation.measure(stream, extract=extract, statistics=wanted, mesh=mesh), stream
    except ValueError as error:
        if stream.used or not stream.failed:
            raise
        raise ValueError("\n".join(["None of the images can be read.", *stream.said(what)])) from error


def _named(found: Any, extractor: Extractor) -> Features:
    return features.of(found, network=extractor.name, preprocessing=extractor.prepare.name, sha256=extractor.sha256)
