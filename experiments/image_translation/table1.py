r"""Table 1 of the paper beside ours: diversity, distance to real images and fooling rate of each method.

    python -m experiments.image_translation.table1 --config=experiments/image_translation/config.py:polygons \
        --seeds=3 --workdir=runs/polygons_table

Trains what is missing, each run in a folder of its own, so an interrupted table goes on where it stopped; method and
seed of the configuration are set by the table. Prints a Markdown table and what of the paper's claims is found, and
writes both to `table1.md` and, with curves and pictures of seed 0, to `table1.html`.
"""

from collections.abc import Mapping

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import columns, data, fooling, grid, judgement, measures, paper
from experiments.image_translation.config import METHODS
from gentoolkit import report, study

_FOOLS_MORE = (("dsvib", "cyclegan"), ("dsvib", "unit"), ("bicyclegan", "dsvib"))
_FULL_MARKS = {"colour_from_code": 0.95, "outline_f1": 0.95}


def claims(
    rows: columns.Rows, dataset: str, rates: Mapping[str, fooling.Rate] | None = None
) -> list[str | study.Claim]:
    """Returns which claims of the paper are found, and, where the truth is known, whether full marks are reached."""
    found: list[str | study.Claim] = []
    for metric in columns.diversities(rows):
        # "Close to", says the text; which of both is above differs between its two data sets.
        statement = f"DSVIB is at least 0.9 times as diverse as BicycleGAN, which has pairs: {columns.heading(metric)}"
        told = _printed(dataset, "lpips", "dsvib", "bicyclegan")
        both = _both(rows, metric, "dsvib", "bicyclegan")
        found.append(paper.greater(statement, *both, times=0.9, told=told))
    for metric in columns.distances(rows):
        for far, near in (("cyclegan", "dsvib"), ("unit", "dsvib"), ("dsvib", "bicyclegan")):
            statement = f"{paper.LABELS[far]} is farther from real images than {paper.LABELS[near]}: {metric}"
            told = _printed(dataset, "fid", far, near)
            found.append(paper.greater(statement, *_both(rows, metric, far, near), told=told))
    statement = "CycleGAN hides in x what it needs to come back to y (figure 1), more than DSVIB: errors by noise"
    both = _both(rows, "hidden_noise_of_2_levels", "cyclegan", "dsvib")
    found.append(paper.greater(statement, *both))
    for more, less in _FOOLS_MORE if rates else ():
        statement = f"{paper.LABELS[more]} fools people more often than {paper.LABELS[less]}"
        found.append(fooling.compared(statement, rates, more, less, told=_printed(dataset, "fooling", more, less)))
    for method in ("dsvib", "munit"):
        if method not in rows or "real" not in rows or "reference_error" not in rows["real"][0]:
            continue
        for metric, bound in _FULL_MARKS.items():
            name = f"{paper.LABELS[method]}: {columns.heading(metric)}"
            found.append(paper.asked(name, paper.values(rows, method, metric), bound))
        floor = rows["real"][0]["reference_error"] or 0.0
        name = f"{paper.LABELS[method]}: colour error by reference, at most twice that of true images,"
        error = paper.values(rows, method, "reference_error")
        found.append(paper.asked(name, error, 2 * floor, at_least=False))
    return found


def truth(config: ConfigDict) -> columns.Rows:
    """The rows of true images, where content and style are known: the best that a method can do, and the worst."""
    domains = data.load(ConfigDict(config.to_dict() | {"method": "dsvib"}))
    if "inside" not in domains.test.fields:
        return {}
    test = data.spread(domains.test, 64)
    images = np.asarray(test["y"], np.float32) / 255
    errors = judgement.of_references(images, test["colour"], test["inside"])
    kept = judgement.of_content(images, test["inside"])
    return {
        "real": [{"reference_error": errors["reference_error"]} | kept],
        "random": [{"reference_error": errors["colour_spread"]}],
    }


def _both(rows: columns.Rows, metric: str, first: str, second: str) -> tuple[paper.Values, paper.Values]:
    return paper.values(rows, first, metric), paper.values(rows, second, metric)


def _printed(dataset: str, kind: str, first: str, second: str) -> str:
    """The paper's two figures on this data set, or on both of its own where this is none of them."""
    told = []
    for name in [dataset] if dataset in paper.TABLE_1 else list(paper.TABLE_1):
        values = paper.TABLE_1[name]
        told.append(f"{name} {values[first][kind]:g} against {values[second][kind]:g}")
    return ", ".join(told)


def define_flags() -> None:
    """Defines the flags of this table alone."""
    flags.DEFINE_list("methods", list(METHODS), f"Rows, among {', '.join(METHODS)}.")
    flags.DEFINE_list("answers", [], "Files that the page of fooling.py saved, for the fooling rate.")


def main(config: ConfigDict, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Makes the runs and the table."""
    methods = study.chosen("--methods", flags.FLAGS.methods, METHODS)
    rates = fooling.read_answers(flags.FLAGS.answers) if flags.FLAGS.answers else {}
    if strange := [name for name in rates if name not in methods]:
        raise ValueError(f"--answers has rates of {', '.join(strange)}; rows are {', '.join(methods)}.")
    true = truth(config)
    made = grid.complete(config, methods, num_seeds=flags.FLAGS.seeds, workdir=workdir, mesh=mesh)
    measured, notes = measures.rows(config, made, workdir)
    rows: dict[str, list[columns.Metrics]] = {**true, **measured}
    if "real" in true and "real" in measured:
        rows["real"] = [{**true["real"][0], **measured["real"][0]}]
    study.publish(
        workdir,
        "table1",
        paper.printed(),
        report.notes("Curves, pictures and settings are those of seed 0."),
        *report.comparison(
            {name: report.read(found[0].workdir) for name, found in made.items() if grid.is_sound(found[0])}
        ),
        title=f"Table 1 on {config.dataset}",
        table=columns.table(
            rows,
            labels={"random": "a colour drawn at random"},
            fooling={name: rate.text() for name, rate in rates.items()},
            printed=paper.TABLE_1.get(config.dataset),
            caption=grid.caption(config, notes),
        ),
        claims=claims(rows, config.dataset, rates),
    )


if __name__ == "__main__":
    define_flags()
    grid.start(main)
