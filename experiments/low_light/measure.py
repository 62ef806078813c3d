"""Measures methods over photographs and gammas; every result is a line of `results.jsonl`, and is measured once."""

import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.low_light import methods, paper, photographs
from gentoolkit import report
from gentoolkit.imaging import keypoints, quality

Case = tuple[str, int]  # method, number of clusters (0 where there are none)
Results = dict[tuple[str, int, str, float], dict[str, Any]]

flags.disclaim_key_flags()


def define_flags() -> None:
    """Defines the flags of the tables."""
    flags.DEFINE_string("workdir", None, "Folder of results.jsonl, the table and its page; tables may share one.")
    flags.DEFINE_string("photographs", "", "Folder of bright images; empty for six of scikit-image and scikit-learn.")
    flags.DEFINE_integer("every", 1, "Measure every so-manieth of the 26 gammas.", lower_bound=1)
    flags.DEFINE_integer("size", 256, "Height and width that photographs are resized to.", lower_bound=32)
    flags.DEFINE_string("weights", "", "weights.npz of an RGB reference network; empty for the one that ships.")
    flags.mark_flag_as_required("workdir")


def run(main: Callable[[], None]) -> None:
    """Runs a program that these flags, and nothing else, are for."""

    def checked(argv):
        if len(argv) > 1:
            raise app.UsageError(f"Did not understand {argv[1]!r}.")
        main()

    define_flags()
    app.run(checked)


def measure(cases: Sequence[Case]) -> Results:
    """Measures what is missing of the cases, on the photographs and gammas of the flags.

    The first image that a method meets in a process is measured twice, so that no time holds a compilation.
    """
    values = flags.FLAGS
    path = pathlib.Path(values.workdir) / "results.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = read(path)
    bright = photographs.load(values.photographs, size=values.size)
    gammas = photographs.levels(values.every)
    wanted = [(name, gamma) for gamma in gammas for name in bright]
    todo = [(name, gamma) for name, gamma in wanted if any((*case, name, gamma) not in results for case in cases)]
    references, warm, commit = methods.References(values.weights), set(), report.commit()
    with path.open("a") as file:
        for number, (name, gamma) in enumerate(todo, 1):
            dark = jnp.asarray(photographs.darken(bright[name], gamma))
            truth = keypoints.detect(bright[name])
            for case in cases:
                if (*case, name, gamma) in results:
                    continue
                outcome = _run(case, dark, references)
                if case not in warm:
                    warm.add(case)
                    outcome = _run(case, dark, references)
                line = {"method": case[0], "num_clusters": case[1], "photograph": name, "gamma": gamma}
                line |= figures(outcome.image, bright[name], truth)
                line |= {"seconds": outcome.seconds, "commit": commit}
                results[(*case, name, gamma)] = line
                file.write(json.dumps(line) + "\n")
                file.flush()
            print(f"\r{number}/{len(todo)}  {name}, gamma {gamma:g}   ", end="", file=sys.stderr, flush=True)
    if todo:
        print(file=sys.stderr)
    return {key: line for key, line in results.items() if key[:2] in cases and (key[2], key[3]) in set(wanted)}


def figures(image: np.ndarray, bright: np.ndarray, truth: keypoints.Keypoints | None = None) -> dict[str, float]:
    """Returns PSNR, and precision, recall and F1 of SIFT keypoints by place and (`descriptor_f1`) by descriptor."""
    truth = keypoints.detect(bright) if truth is None else truth
    found = keypoints.detect(image)
    score, other = keypoints.score_geometry(found, truth), keypoints.score_descriptors(found, truth)
    return {
        "psnr": float(quality.psnr(jnp.asarray(image), jnp.asarray(bright))),
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "descriptor_f1": other.f1,
    }


def read(path: pathlib.Path) -> Results:
    """Reads results; a line that was cut off by an interruption is passed over, and so measured again."""
    results: Results = {}
    if not path.is_file():
        return results
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
            key = (line["method"], line["num_clusters"], line["photograph"], line["gamma"])
        except (json.JSONDecodeError, KeyError):
            continue
        results[key] = line
    return results


def means(results: Results, case: Case) -> dict[str, float]:
    """Returns the means of a case over photographs and gammas, and the median of its seconds.

    The dark images are identical to the bright ones at gamma 1: that level counts for all rows but theirs.
    """
    lines = [line for key, line in results.items() if key[:2] == case]
    if case[0] == "dark":
        lines = [line for line in lines if line["gamma"] > 1] or lines
    found = {name: statistics.mean(line[name] for line in lines) for name in ("psnr", "precision", "recall", "f1")}
    found["descriptor_f1"] = statistics.mean(line["descriptor_f1"] for line in lines)
    for stage in methods.STAGES:
        found[stage] = statistics.median(line["seconds"].get(stage, 0.0) for line in lines)
    found["seconds"] = statistics.median(sum(line["seconds"].values()) for line in lines)
    found["num"] = len(lines)
    return found


def table(results: Results, cases: Iterable[Case], caption: str) -> report.Table:
    """Returns a table of cases: ours, and the paper's row below it where there is one."""
    rows = []
    for case in cases:
        found = means(results, case)
        name = label(case)
        stages = " + ".join(f"{found[stage]:.2f}" for stage in methods.STAGES)
        seconds = [f"{found['seconds']:.2f}", stages] if case[0] != "dark" else ["-", "-"]
        quality_figures = [f"{found['psnr']:.2f}", *(f"{found[n]:.4f}" for n in ("precision", "recall", "f1"))]
        rows.append([f"{name}, ours", *quality_figures, *seconds])
        published = paper.row(*case)
        if published:
            values = [f"{published.psnr:.2f}", *(f"{value:.4f}" for value in published[1:4])]
            rows.append(
                [f"{name}, paper", *values, "-" if published.seconds is None else f"{published.seconds:.2f}", "-"]
            )
    columns = ["", "PSNR", "precision", "recall", "F1", "s", "reference + cluster + fit + predict"]
    return report.Table(columns, rows, caption)


def label(case: Case) -> str:
    """Returns a case as it stands in a table."""
    return f"{case[0]} k={case[1]}" if case[1] else case[0]


def caption(results: Results) -> str:
    """Returns what was measured, where it differs from the paper."""
    names, gammas = sorted({key[2] for key in results}), sorted({key[3] for key in results})
    return (
        f"Ours: {len(names)} photographs ({', '.join(names)}) x {len(gammas)} gammas ({gammas[0]:g} to {gammas[-1]:g})"
        ", 8 bits; the row of dark images leaves out gamma 1, where they are the bright ones. Reference network "
        "trained on crops of CIFAR-10. Median seconds of one image, compiled, on this machine. Paper: 300 COCO "
        "photographs x 26 unpublished gammas, network trained on COCO, another machine; keypoints matched by an "
        "unpublished rule."
    )


def finish(name: str, made: report.Table, statements: Sequence[str], results: Results) -> None:
    """Prints a table and what holds of it, and writes both as Markdown and, with curves, as a page."""
    curves = []
    for step, gamma in enumerate(sorted({key[3] for key in results})):
        line: dict[str, float] = {"step": step}
        for case in dict.fromkeys(key[:2] for key in results):
            at = [v for key, v in results.items() if key[:2] == case and key[3] == gamma]
            line |= {f"{n}/{label(case)}": statistics.mean(v[n] for v in at) for n in ("psnr", "f1")}
        curves.append(line)
    config = {k: flags.FLAGS[k].value for k in ("photographs", "every", "size", "weights")}
    note = "Curves: means over the photographs; step i is the i-th gamma measured."
    write(name, made, statements, config=config, metrics=curves, notes=[note])


def write(
    name: str,
    made: report.Table,
    statements: Sequence[str],
    *,
    config: Mapping[str, Any],
    title: str = "",
    metrics: Iterable[Mapping[str, float]] = (),
    pictures: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> None:
    """Prints a table and what holds of it, and writes both as Markdown and as a page.

    Args:
      name: of the program, and so of the page's folder in the workdir.
      made: the table.
      statements: what holds.
      config: what the page shows as the configuration.
      title: of the page, empty for the name.
      metrics: lines of the page's curves.
      pictures: files in the page's folder `pictures`, each with its caption.
      notes: what the page says after the statements.
    """
    text = f"{made.markdown()}\n" + "\n".join(f"- {statement}" for statement in statements) + "\n"
    print(text)
    workdir = pathlib.Path(flags.FLAGS.workdir)
    (workdir / f"{name}.md").write_text(text)
    page = workdir / name
    page.mkdir(exist_ok=True)
    (page / "config.json").write_text(json.dumps(config))
    (page / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    command = f"python -m experiments.low_light.{name} " + " ".join(sys.argv[1:])
    report.write_summary(
        page, title=title or name, command=command, table=made, pictures=pictures, notes=[*statements, *notes]
    )
    print(f"Page: {report.write_run(page)}")


def held(claim: str, holds: bool, detail: str) -> str:
    """Returns a sentence that says whether a trend of the paper holds."""
    return f"{'holds' if holds else 'DOES NOT HOLD'}: {claim} ({detail})"


def rises(by_clusters: Mapping[int, Mapping[str, float]], name: str) -> str:
    """Returns a sentence that says whether a figure is higher with the most clusters than with the fewest."""
    holds = by_clusters[max(by_clusters)][name] > by_clusters[min(by_clusters)][name]
    return held(f"{'PSNR' if name == 'psnr' else name} rises with k", holds, from_to(by_clusters, name))


def from_to(by_clusters: Mapping[int, Mapping[str, float]], name: str) -> str:
    """Returns a figure with the fewest clusters and with the most, as text."""
    first, last = (by_clusters[k][name] for k in (min(by_clusters), max(by_clusters)))
    return f"{first:.2f} to {last:.2f} dB" if name == "psnr" else f"{first:.4f} to {last:.4f}"


def _run(case: Case, dark, references) -> methods.Outcome:
    name, num_clusters = case
    if name == "dark":
        return methods.Outcome(np.asarray(dark), {})
    options = {"num_clusters": num_clusters} if num_clusters else {}
    return methods.enhance(name, dark, references, **options)
