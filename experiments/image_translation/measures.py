"""What is measured of trained systems beside what runs tell: what codes mean, diversity, distances to real images."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import columns, data, grid, judgement, networks, runs, sampling
from experiments.image_translation.data import Domains
from experiments.image_translation.sampling import Sampler
from gentoolkit import evaluation, study
from gentoolkit.evaluation import features, fid, kid, perceptual, statistics
from gentoolkit.evaluation.features import Features

ACTIVE_UNITS = "features of y's code in use"


@dataclasses.dataclass(frozen=True)
class Options:
    """How much is measured; by default as much as protocols ask for.

    Attributes:
      contents: held-out images that are painted for diversity.
      pairs: pairs of codes of each.
      samples: images for distances to real ones, from `fid_contents` contents; also the most real ones.
      fid_contents: held-out images that are painted for them.
      subsets: of KID.
    """

    contents: int = 100
    pairs: int = 20
    samples: int = 10_000
    fid_contents: int = 200
    subsets: int = 100


def rows(config: ConfigDict, made: grid.Runs, workdir: str) -> tuple[columns.Rows, tuple[str, ...]]:
    """What runs tell of themselves and what is measured of them; what has been measured so already is not again.

    Args:
      config: what the runs share.
      made: the runs; of one that diverged or collapsed nothing is measured.
      workdir: where `measures.jsonl` is.

    Returns:
      The metrics of each seed by row, those of real images under `real`; and what is to be said of the networks and
      numbers of images behind them.
    """
    values = flags.FLAGS
    eyes = networks.find(values.weights)
    options = Options(pairs=values.pairs, samples=values.samples)
    domains = functools.cache(lambda: data.load(ConfigDict(config.to_dict() | {"method": "dsvib"})))
    there = {(run.key["run"], run.key["seed"]): run for found in made.values() for run in found if grid.is_sound(run)}
    real = functools.cache(lambda: _real_features(domains(), eyes.extractor, options) if eyes.extractor else [])
    settings = dataclasses.asdict(options) | {"networks": _names(eyes), "held_out": "spread over all"}

    def measure(key: study.Row) -> dict[str, Any]:
        if key["run"] == "real":
            return {"measures": of_real(domains(), eyes, options)}
        trained = runs.load(there[key["run"], key["seed"]].workdir)
        found = of_system(trained, domains(), eyes, options, real())
        jax.clear_caches()
        return {"measures": found}

    def under(key: study.Row) -> dict[str, Any]:
        run = there.get((key["run"], key["seed"]))
        return settings | {"config": (config if run is None else run.config).to_dict()}

    keys: list[dict[str, Any]] = [{"run": name, "seed": seed} for name, seed in there]
    keys += [{"run": "real", "seed": 0}] if eyes.distances else []
    cells = study.complete(pathlib.Path(workdir) / "measures.jsonl", keys, measure, config=under)
    by_key = {(row["run"], row["seed"]): row["measures"] for row in cells}
    own = columns.tested(made)
    found = {
        name: [own[name][i] | by_key.get((name, run.key["seed"]), {}) for i, run in enumerate(seeds)]
        for name, seeds in made.items()
    }
    if eyes.distances:
        found = {"real": [by_key["real", 0]]} | found
    return found, (*eyes.notes, *_told(eyes, options))


def _told(eyes: networks.Eyes, options: Options) -> list[str]:
    told = []
    if eyes.distances:
        told.append(
            f"Perceptual distances: up to {options.contents} held-out contents, {options.pairs} pairs of images of "
            "each, two fresh codes a pair, at the size of the images; of real images as many random pairs."
        )
    if eyes.extractor:
        told.append(
            f"Fréchet and kernel distances: {options.samples:,} images painted of up to {options.fid_contents} "
            "held-out contents (by a method without codes: one of each content, held-out and training's, at most as "
            "many) against the training images of y, at most as many; 8 bits, no codec."
        )
    return told


def of_real(domains: Domains, eyes: networks.Eyes, options: Options) -> dict[str, float]:
    """The perceptual distance of as many random pairs of real images of y."""
    rng = np.random.default_rng(0)
    num = options.contents * options.pairs
    first = rng.integers(len(domains.y), size=num)
    second = (first + rng.integers(1, len(domains.y), size=num)) % len(domains.y)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, num, sampling.BATCH):
            places = np.arange(start, start + sampling.BATCH)
            a, b = (domains.y.take(side[np.minimum(places, num - 1)])["image"] for side in (first, second))
            yield {
                "first": sampling.share(a),
                "second": sampling.share(b),
                "counts": places < num,
            }

    return {
        one.name: perceptual.lpips(
            batches(), distance=one.call, image_range=(0, 1), network=one.name, sha256=one.sha256
        ).value
        for one in eyes.distances
    }


def of_system(
    trained: runs.Trained, domains: Domains, eyes: networks.Eyes, options: Options, real: list[Features]
) -> dict[str, float]:
    """What is measured of a trained system.

    Args:
      trained: the system.
      domains: its images.
      eyes: the networks to measure with.
      options: how much.
      real: features of real images, for each preprocessing of the extractor.
    """
    sampler, code_dim = Sampler(trained), trained.system.code_dim
    test = data.spread(domains.test, 64)
    found: dict[str, float] = {}
    if code_dim and "inside" in test:
        found |= outlines_kept(sampler, sampling.share(test["x"]))
    if trained.system.style is not None:
        found |= style_again(sampler, sampling.share(test["x"]), sampling.share(test["y"]))
    if code_dim:
        contents = data.spread(domains.test, options.contents)["x"]
        for one in eyes.distances:
            found[one.name] = perceptual.diversity(
                jax.random.key(0),
                sampling.share(contents),
                generate=sampler.translate,
                draw=lambda key, num: np.asarray(jax.random.normal(key, (num, code_dim))),
                distance=one.call,
                image_range=(0, 1),
                network=one.name,
                sha256=one.sha256,
                num_pairs=options.pairs,
                batch_size=sampling.BATCH,
            ).value
    if eyes.extractor is not None:
        painted = _painted(sampler, domains, options)
        for reference, generated in zip(real, _features(painted, eyes.extractor), strict=True):
            found |= distances(reference, generated, eyes.extractor, options)
    return found


def distances(real: Features, generated: Features, extractor: networks.Extractor, options: Options) -> dict[str, float]:
    """Fréchet and kernel distance, called FID and KID where the network is theirs."""
    frechet, kernel = ("FID", "1000 KID") if extractor.published else ("Fréchet distance", "1000 kernel distance")
    name = f"({extractor.network}, {generated.preprocessing})"
    size = min(1000, real.num or 0, generated.num or 0)
    by_kernel = kid(real, generated, num_subsets=options.subsets, subset_size=size)
    return {f"{frechet} {name}": fid(real, generated).value, f"{kernel} {name}": 1000 * by_kernel.value}


def outlines_kept(sampler: Sampler, x: np.ndarray, *, num_codes: int = 6) -> dict[str, float]:
    """F1 of the outlines of two images of one content: 1 where codes leave the content alone.

    Args:
      sampler: a system with codes that paints polygons.
      x: `[n, h, w, c]` in [0, 1].
      num_codes: how many codes, each of which is compared with the next.
    """
    codes = np.random.default_rng(3).standard_normal((num_codes, sampler.trained.system.code_dim), np.float32)
    painted = [sampler.translate(x, np.tile(code, (len(x), 1))) for code in codes]
    pairs = zip(painted, painted[1:], strict=False)
    scores = [judgement.of_content(b, judgement.is_painted(a))["outline_f1"] for a, b in pairs]
    return {"outline F1 of two codes": float(np.mean(scores))}


def style_again(sampler: Sampler, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """How much of a reference's code is read off an image of another content that was painted by it: R².

    It is high also where painter and encoder have agreed on something that nobody sees. Beside it, how many features of
    the code differ from reference to reference at all.

    Args:
      sampler: a system that encodes styles.
      x: `[n, h, w, c]` in [0, 1], contents.
      y: as many references.
    """
    codes = sampler.style(y)
    again = sampler.style(sampler.translate(np.roll(x, -1, axis=0), codes))
    assert codes is not None and again is not None
    left, total = (float(np.square(part).sum()) for part in (again - codes, codes - codes.mean(0)))
    active = int((codes.std(axis=0) > judgement.ACTIVE).sum())
    return {"R² of a reference's code, read again": 1 - left / max(total, 1e-12), ACTIVE_UNITS: float(active)}


def _painted(sampler: Sampler, domains: Domains, options: Options) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of painted images, and how many of each count.

    A system without codes paints other contents instead: those of training.
    """
    contents = min(options.fid_contents, options.samples)
    order = np.resize(data.spread_places(len(domains.test), contents), options.samples)
    if not sampler.trained.system.code_dim:
        held = data.spread_places(len(domains.test), options.samples)
        more = data.spread_places(len(domains.x), options.samples - len(held))
        order = np.concatenate([held, len(domains.test) + more])
    codes = sampler.drawn(len(order), seed=4)
    for start in range(0, len(order), sampling.BATCH):
        own = slice(start, start + sampling.BATCH)
        x = sampling.share(_contents(domains, order[own]))
        painted = sampler.translate(x, None if codes is None else codes[own])
        # Whole batches, so that nothing behind compiles twice.
        yield np.resize(painted, (sampling.BATCH, *painted.shape[1:])), len(painted)


def _contents(domains: Domains, places: np.ndarray) -> np.ndarray:
    """Images of x: held-out ones first, then those of training."""
    held = len(domains.test)
    if (places < held).all():
        return domains.test.take(places)["x"]
    one = [
        domains.test.take([place])["x"] if place < held else domains.x.take([place - held])["image"] for place in places
    ]
    return np.concatenate(one)


def _real_features(domains: Domains, extractor: networks.Extractor, options: Options) -> list[Features]:
    chosen = data.spread_places(len(domains.y), options.samples)

    def batches() -> Iterator[tuple[np.ndarray, int]]:
        for start in range(0, len(chosen), sampling.BATCH):
            places = chosen[start : start + sampling.BATCH]
            images = domains.y.take(np.resize(places, sampling.BATCH))["image"]
            yield sampling.share(images), len(places)

    return _features(batches(), extractor)


def _features(batches: Iterator[tuple[np.ndarray, int]], extractor: networks.Extractor) -> list[Features]:
    """Features of images in [0, 1], for each preprocessing."""
    names = [prepare.name for prepare in extractor.prepares]

    def extract(batch: dict[str, Any]) -> dict[str, Any]:
        # Whole grey levels, as files have them.
        levels = np.rint(batch["image"] * 255).astype(np.uint8)
        return {p.name: extractor.extract(p(levels)) for p in extractor.prepares}

    found = evaluation.measure(
        ({"image": images, "counts": np.arange(len(images)) < count} for images, count in batches),
        extract=extract,
        statistics={name: statistics.rows(name) for name in names},
    )
    return [
        features.of(found[name], network=extractor.network, preprocessing=name, sha256=extractor.sha256)
        for name in names
    ]


def _names(eyes: networks.Eyes) -> list[str]:
    named = [f"{one.name} {one.sha256}" for one in eyes.distances]
    return named + ([f"{eyes.extractor.network} {eyes.extractor.sha256}"] if eyes.extractor else [])
