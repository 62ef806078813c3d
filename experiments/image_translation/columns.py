"""The columns of the tables: which metrics of runs are shown, under which heading, with how many digits."""

from collections.abc import Mapping, Sequence

from experiments.image_translation import collapse, paper
from gentoolkit import report, study

# Those that runs measure while they train, in order; what is measured through networks is named in full where it is.
_HEADINGS = {
    "diversity": "diversity over codes, pixels",
    "contents": "difference of contents, pixels",
    "colour_from_code": "R² of colour from code",
    "reference_error": "colour error by reference",
    "outline_f1": "outline F1",
    "covered": "true colourings reached by 16 samples",
    "nearest": "true colourings nearest to a sample",
    "distance": "sample to nearest true colouring",
    "apart": "two true colourings",
    "hidden_error": "error from y to x and back",
    "hidden_JPEG_of_quality_90": "times that, by JPEG",
    "hidden_noise_of_2_levels": "times that, by noise",
    "hidden_another_style": "times that, another style",
}
_DIGITS = {"diversity": ".4f", "contents": ".4f", "hidden_error": ".4f"}

Metrics = Mapping[str, float | None]
_FOOLING = "fooling rate, %"

# Name of the row, then the metrics of each seed: none of one that diverged, the step alone of one that collapsed.
Rows = Mapping[str, Sequence[Metrics]]


def tested(runs: Mapping[str, Sequence[study.Run]]) -> dict[str, list[dict[str, float | None]]]:
    """What the tables show of the measurements of runs: those of held-out images, and those of training named so."""

    def of(run: study.Run) -> dict[str, float | None]:
        if collapse.METRIC in run.metrics:
            return {collapse.METRIC: run.metrics[collapse.METRIC]}
        places = {key: key if "/" in key else f"test/{key}" for key in _HEADINGS}
        return {key: run.metrics[place] for key, place in places.items() if place in run.metrics}

    return {name: [of(run) for run in found] for name, found in runs.items()}


def heading(metric: str) -> str:
    """What a column is called."""
    return _HEADINGS.get(metric, metric)


def shown(rows: Rows) -> list[str]:
    """The metrics that some run has, in the order of the columns."""
    there = dict.fromkeys(name for found in rows.values() for metrics in found for name in metrics)
    there.pop(collapse.METRIC, None)  # said in every column of its row
    return [*(name for name in _HEADINGS if name in there), *(name for name in there if name not in _HEADINGS)]


def diversities(rows: Rows) -> list[str]:
    """The metrics of diversity over codes: perceptual ones where there are some, else that of pixels."""
    return [name for name in shown(rows) if name.startswith("lpips")] or ["diversity"]


def distances(rows: Rows) -> list[str]:
    """The Fréchet distances to real images."""
    return [name for name in shown(rows) if name.startswith(("FID", "Fréchet"))]


def table(
    rows: Rows,
    *,
    caption: str,
    labels: Mapping[str, str] | None = None,
    fooling: Mapping[str, str] | None = None,
    printed: Mapping[str, Mapping[str, float]] | None = None,
) -> report.Table:
    """Returns a table with a row for each method or variant, and the paper's under it.

    Args:
      rows: metrics of each seed by row.
      caption: under the table.
      labels: how rows are named.
      fooling: the rate of a row with its interval.
      printed: of the paper, row to "lpips", "fooling" or "fid". They are shown in the columns of LPIPS 0.0, of the rate
        and of the FID alone: no other figure compares with them.
    """
    metrics = shown(rows)
    ours: dict[str, dict[str, str | list[float | None]]] = {}
    for name, found in rows.items():
        some = [metric for metric in metrics if any(metric in seed for seed in found)] or metrics
        ours[name] = {heading(metric): [seed.get(metric) for seed in found] for metric in some}
        if collapsed := sum(collapse.METRIC in seed for seed in found):
            told = f"{collapsed} of {len(found)} collapsed" if len(found) > 1 else "collapsed"
            ours[name] = dict.fromkeys(ours[name], told)
    names = [heading(metric) for metric in metrics]
    theirs: dict[str, dict[str, float]] = {}
    for name, values in (printed or {}).items():
        theirs[name] = {
            heading(metric): values[kind]
            for metric in metrics
            for kind, prefix in (("lpips", "lpips v0.0 on alexnet"), ("fid", "FID"))
            if metric.startswith(prefix) and kind in values
        }
    if fooling:
        names.append(_FOOLING)
        for name, text in fooling.items():
            ours.setdefault(name, {})[_FOOLING] = text
        for name, values in (printed or {}).items():
            theirs[name] |= {_FOOLING: values["fooling"]} if "fooling" in values else {}
    digits = {heading(metric): _DIGITS.get(metric, ".3f") for metric in metrics} | {_FOOLING: ".1f"}
    made = study.beside(
        ours, theirs, columns=names, labels={**paper.LABELS, **(labels or {})}, digits=digits, caption=caption
    )
    if not any(theirs.values()):  # nothing that ours would have to be told from
        made = made._replace(rows=[[row[0].removesuffix(", ours"), *row[1:]] for row in made.rows])
    return made
