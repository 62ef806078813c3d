"""From two sets of files to results: what is checked first, one pass over each set, and the metrics."""

import os
import pathlib
import secrets
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from experiments.image_metrics import measures, pictures
from experiments.image_metrics.measures import Looks, Options
from experiments.image_metrics.networks import Extractor
from experiments.image_metrics.page import Side
from experiments.image_metrics.pictures import Source, shown
from experiments.image_metrics.stream import Stream
from gentoolkit import evaluation, study, training
from gentoolkit.evaluation import features, statistics
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


class Found(NamedTuple):
    """What came of it.

    Attributes:
      results: by the names of metrics.json.
      said: sentences on images and figures.
      real: the real images as the features' network sees them.
      generated: the generated ones.
      left_out: how many files of either side could not be read.
      real_features: of the real images, by each network that compares with them.
    """

    results: dict[str, Result]
    said: list[str]
    real: Side
    generated: Side
    left_out: dict[str, int]
    real_features: list[Features]


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
    sources: Sources, extractors: Mapping[str, Extractor], options: Options, *, batch_size: int, transparency: str
) -> Found:
    """Passes over both sets once and takes the metrics.

    Args:
      sources: the sets.
      extractors: the networks that are needed, by name.
      options: what is asked for.
      batch_size: images at a time.
      transparency: as in `Source.read`.

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
                looks[what], streams[what] = _look(
                    what, source, extractors, options, num, progress, batch_size=batch_size, transparency=transparency
                )
    said = [*told, *(line for what, stream in streams.items() for line in stream.said(what))]
    read = {what: len(stream.used) for what, stream in streams.items()}
    try:
        measures.check(options, num_real=read.get("real"), num_generated=read["generated"])
    except ValueError as error:  # what could not be read is why
        raise ValueError("\n".join([str(error), *said])) from error
    seen = {
        kind: Looks(
            known.get(kind) if "real" not in looks else _named(looks["real"][f"{kind}/features"], extractors[kind]),
            _named(looks["generated"][f"{kind}/features"], extractors[kind]),
            _named(looks["generated"][f"{kind}/logits"], extractors[kind])
            if f"{kind}/logits" in looks["generated"]
            else None,
        )
        for kind in extractors
    }
    results, warned = measures.take(seen, options)
    first = seen[options.network if options.network in seen else next(iter(seen))]
    names = {what: stream.used for what, stream in streams.items()}
    return Found(
        results,
        [*said, *warned],
        Side(sets["real"], names.get("real", []), first.real),
        Side(sources.generated, names["generated"], first.generated),
        {f"left_out_{what}": len(streams[what].failed) if what in streams else 0 for what in ("real", "generated")},
        [found for kind in _comparing(options) if (found := seen[kind].real) is not None],
    )


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
    wanted = {}
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
