"""Measures methods over photographs and gammas, and tells of them beside the paper; the shell of the tables."""

import functools
import pathlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.low_light import methods, options, paper, photographs
from gentoolkit import report, study
from gentoolkit.imaging import keypoints, quality
from gentoolkit.training import launch

FIGURES = ("psnr", "precision", "recall", "f1", "descriptor_f1")

flags.disclaim_key_flags()


class Case(NamedTuple):
    """A method, "dark" for none, and its number of clusters, 0 where it has none."""

    method: str
    num_clusters: int = 0

    def __str__(self) -> str:
        """As it stands in a table."""
        return f"{self.method} k={self.num_clusters}" if self.num_clusters else self.method


Means = Mapping[Case, Mapping[str, float]]
DARK, GPE = Case("dark"), Case("gpe")


def start(main: Callable[[], None]) -> None:
    """Runs a program that the flags of the tables, and nothing else, are for; does not return."""
    flags.DEFINE_string("workdir", None, "Folder of results.jsonl, the table and its page; tables may share one.")
    flags.DEFINE_string("photographs", "", "Folder of bright images; empty for six of scikit-image and scikit-learn.")
    flags.DEFINE_integer("every", 1, "2 measures every second of the 26 gammas, 5 every fifth.", lower_bound=1)
    flags.DEFINE_integer("size", 256, "Height and width that photographs are resized to.", lower_bound=32)
    flags.DEFINE_string("weights", "", "weights.npz of an RGB reference network; empty for the one that ships.")
    flags.mark_flag_as_required("workdir")
    launch.start(study.script(main), expected=(ImportError, OSError, ValueError))


def table(
    name: str, shown: Sequence[Case], claims: Callable[[Means], list[study.Claim]], *, besides: Iterable[Case] = ()
) -> None:
    """Measures what is missing of some cases, and prints and writes their table, what holds, and a page.

    Args:
      name: of the table.
      shown: the cases of its rows.
      claims: gets the means of all cases.
      besides: cases that are measured for the claims alone.
    """
    rows = measure([*shown, *besides])
    found = means(rows)
    gammas = sorted({row["gamma"] for row in rows})
    curves = {
        title: {
            str(case): [(gamma, statistics.mean(r[figure] for r in at)) for (gamma,), at in _by(of, "gamma")]
            for case, of in _by_case(rows)
            if case in shown
        }
        for figure, title in (("psnr", "PSNR"), ("f1", "F1"))
    }
    study.publish(
        flags.FLAGS.workdir,
        name,
        report.section("Means over the photographs", report.curves(curves, x="gamma")) if len(gammas) > 1 else "",
        title=f"Low light: {name}",
        table=beside(found, shown, caption(rows)),
        claims=claims(found),
        config=_settings() | {"every": flags.FLAGS.every},
    )


def measure(cases: Sequence[Case]) -> list[study.Row]:
    """Measures what is missing of the cases, on the photographs and gammas of the flags.

    The first image that a method meets in a process is measured twice, so that no time holds a compilation.
    """
    values = flags.FLAGS
    bright = photographs.load(values.photographs, size=values.size)
    references, warm = methods.References(values.weights), set()

    @functools.lru_cache(maxsize=1)  # all methods in turn meet the same image
    def pair(name: str, gamma: float) -> tuple[np.ndarray, keypoints.Keypoints]:
        return photographs.darken(bright[name], gamma), keypoints.detect(bright[name])

    def cell(key: study.Row) -> dict:
        case, name = Case(key["method"], key["num_clusters"]), key["photograph"]
        dark, truth = pair(name, key["gamma"])
        outcome = _run(case, dark, references)
        if case not in warm:
            warm.add(case)
            outcome = _run(case, dark, references)
        return figures(outcome.image, bright[name], truth) | {"stages": outcome.seconds}

    keys = [
        {"method": case.method, "num_clusters": case.num_clusters, "photograph": name, "gamma": gamma}
        for gamma in photographs.levels(values.every)
        for name in bright
        for case in cases
    ]
    return study.complete(pathlib.Path(values.workdir) / "results.jsonl", keys, cell, config=_settings())


def figures(image: np.ndarray, bright: np.ndarray, truth: keypoints.Keypoints | None = None) -> dict[str, float]:
    """Returns PSNR, and precision, recall and F1 of SIFT keypoints by place and (`descriptor_f1`) by descriptor."""
    truth = keypoints.detect(bright) if truth is None else truth
    found = keypoints.detect(image)
    score, other = keypoints.score_geometry(found, truth), keypoints.score_descriptors(found, truth)
    psnr = float(quality.psnr(jnp.asarray(image), jnp.asarray(bright)))
    return dict(zip(FIGURES, (psnr, score.precision, score.recall, score.f1, other.f1), strict=True))


def means(rows: Iterable[study.Row]) -> Means:
    """Returns the means of each case over photographs and gammas, and the median of its seconds.

    The dark images are identical to the bright ones at gamma 1: that level counts for all rows but theirs.
    """
    found = {}
    for case, of in _by_case(rows):
        if case == DARK:
            of = [row for row in of if row["gamma"] > 1] or of
        found[case] = {name: statistics.mean(row[name] for row in of) for name in FIGURES}
        for stage in methods.STAGES:
            found[case][stage] = statistics.median(row["stages"].get(stage, 0.0) for row in of)
        found[case]["seconds"] = statistics.median(sum(row["stages"].values()) for row in of)
    return found


def beside(found: Means, shown: Sequence[Case], caption: str) -> report.Table:
    """Returns a table of cases: ours, and the paper's row below it where there is one."""
    names = dict(zip(("psnr", "precision", "recall", "f1", "seconds"), paper.COLUMNS, strict=True))
    stages = "reference + cluster + fit + predict"
    ours = {}
    for case in shown:
        ours[str(case)] = {title: found[case][name] for name, title in names.items()}
        ours[str(case)][stages] = " + ".join(f"{found[case][stage]:.2f}" for stage in methods.STAGES)
        if case == DARK:
            ours[str(case)] |= dict.fromkeys((stages, paper.COLUMNS[-1]), "-")
    published = {str(case): paper.row(*case) for case in shown}
    digits = {title: ".4f" for title in paper.COLUMNS} | {"PSNR": ".2f", "s": ".2f"}
    columns = [*paper.COLUMNS, stages]
    return study.beside(ours, published, columns=columns, digits=digits, caption=caption)


def caption(rows: Iterable[study.Row]) -> str:
    """Returns what was measured, where it differs from the paper."""
    names, gammas = sorted({row["photograph"] for row in rows}), sorted({row["gamma"] for row in rows})
    return (
        f"Ours: {len(names)} photographs ({', '.join(names)}) x {len(gammas)} gammas ({gammas[0]:g} to {gammas[-1]:g})"
        ", 8 bits; the row of dark images leaves out gamma 1, where they are the bright ones. Reference network "
        "trained on crops of CIFAR-10. Median seconds of one image, compiled, on this machine. Paper: 300 COCO "
        "photographs x 26 unpublished gammas, network trained on COCO, another machine; keypoints matched by an "
        "unpublished rule."
    )


def rises(by_clusters: Mapping[int, Mapping[str, float]], name: str) -> study.Claim:
    """Returns whether a figure is higher with the most clusters than with the fewest."""
    holds = by_clusters[max(by_clusters)][name] > by_clusters[min(by_clusters)][name]
    return study.Claim(f"{'PSNR' if name == 'psnr' else name} rises with k", holds, from_to(by_clusters, name))


def from_to(by_clusters: Mapping[int, Mapping[str, float]], name: str) -> str:
    """Returns a figure with the fewest clusters and with the most, as text."""
    first, last = (by_clusters[k][name] for k in (min(by_clusters), max(by_clusters)))
    return f"{first:.2f} to {last:.2f} dB" if name == "psnr" else f"{first:.4f} to {last:.4f}"


def _settings() -> dict:
    return {name: flags.FLAGS[name].value for name in ("photographs", "size", "weights")}


def _by(rows: Iterable[study.Row], *names: str):
    return study.group(rows, *names).items()


def _by_case(rows: Iterable[study.Row]):
    return [(Case(*key), of) for key, of in _by(rows, "method", "num_clusters")]


def _run(case: Case, dark: np.ndarray, references: methods.References) -> methods.Outcome:
    if case == DARK:
        return methods.Outcome(dark, {})
    clusters = {"num_clusters": case.num_clusters} if case.num_clusters else {}
    return methods.enhance(dark, references, options.Options(case.method, **clusters))
