r"""Contact sheets of trained systems: samples, references, interpolations, reverse, restyle, reconstruction, traces.

    python -m experiments.image_translation.figures --runs=runs/table/dsvib-0,runs/table/munit-0 --workdir=runs/figures

Writes each sheet as `METHOD_SHEET.png` into the workdir, and all with their captions into `figures.html`. The last
sheet is the device of the paper's figure 1: what a translated image hides, its histogram equalized, and what is lost of
the way back once the image has been rounded, compressed or touched by noise.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

from experiments.image_translation import codes as style_codes
from experiments.image_translation import data, hidden, paper, sampling
from experiments.image_translation.sampling import Sampler
from gentoolkit import report, study
from gentoolkit.training import launch

_STEPS = 7  # of an interpolation


class Sheet(NamedTuple):
    """Images in rows and columns.

    Attributes:
      name: of the file.
      heading: of the section.
      caption: under the sheet.
      columns: their headings.
      rows: `[h, w, c]` images in [0, 1]; None leaves a place empty.
      labels: of the rows; none if empty.
      table: figures beside it.
    """

    name: str
    heading: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[np.ndarray | None]]
    labels: Sequence[str] = ()
    table: report.Table | None = None


def samples(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet:
    """One content a row, one drawn code a column."""
    num = 6 if sampler.trained.system.code_dim else 1
    codes = sampler.drawn(num, seed=seed)
    painted = [sampler.translate(x, _all(code, x)) for code in _each(codes)]
    caption = "Held-out contents, painted by the same drawn codes; the last column is the true image of that content."
    if not sampler.trained.system.code_dim:
        caption = "Held-out contents and the one image that this method, which has no codes, paints of each."
    heads = [f"code {i + 1}" for i in range(num)] if sampler.trained.system.code_dim else ["painted"]
    return Sheet("samples", "Samples", caption, ["x", *heads, "true y"], list(zip(x, *painted, y, strict=True)))


def references(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """One content a row, one reference a column: the paper's figure 6."""
    codes = sampler.style(y)
    if codes is None:
        return None
    painted = [sampler.translate(x, _all(code, x)) for code in codes]
    rows = [[None, *y], *[[one, *row] for one, *row in zip(x, *painted, strict=True)]]
    caption = "Each content (left) in the style of each reference (top). On the diagonal both are of one pair."
    return Sheet("references", "In the style of a reference", caption, [], rows)


def interpolations(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """One content a row, from the style of one reference to that of another, by straight line and by arc."""
    codes = sampler.style(y)
    if codes is None or len(x) < 2:
        return None
    rows: list[list[np.ndarray | None]] = []
    labels = []
    for i in range(min(3, len(x) - 1)):
        for name in ("line", "arc"):
            try:
                path = style_codes.between(codes[i], codes[i + 1], _STEPS, spherical=name == "arc")
            except ValueError:  # there is no arc from a code of 0, or between opposite ones
                continue
            rows.append([y[i], *sampler.translate(np.repeat(x[i : i + 1], _STEPS, axis=0), path), y[i + 1]])
            labels.append(name)
    caption = "One content between the styles of two references (left, right): codes on a straight line, and on an arc."
    heads = ["reference", *[f"{i}/{_STEPS - 1}" for i in range(_STEPS)], "reference"]
    return Sheet("interpolations", "Between two styles", caption, heads, rows, labels)


def reverse(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """The other direction: little is to vary where drawings have no style."""
    if "x" not in sampler.trained.system.directions:
        return None
    num = 3 if sampler.trained.system.code_dim else 1
    codes = sampler.drawn(num, seed=seed)
    painted = [sampler.translate(y, _all(code, y), "x") for code in _each(codes)]
    heads = [f"code {i + 1}" for i in range(num)] if sampler.trained.system.code_dim else ["painted"]
    caption = "Images of y taken to x; where x has no style of its own, codes should make no difference."
    return Sheet("reverse", "Reverse", caption, ["y", *heads, "true x"], list(zip(y, *painted, x, strict=True)))


def restyle(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """Images of y in the style of one another, which the paper's section 6.3 claims."""
    codes = sampler.style(y)
    if sampler.trained.system.restyle is None or codes is None:
        return None
    painted = [sampler.restyle(y, _all(code, y)) for code in codes]
    rows = [[None, *y], *[[one, *row] for one, *row in zip(y, *painted, strict=True)]]
    caption = "Each image of y (left) in the style of each (top), within its domain; the diagonal is a reconstruction."
    return Sheet("restyle", "In another style of their own domain", caption, [], rows)


def reconstruct(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """Images of y from their own content and style."""
    codes = sampler.style(y)
    again = None if codes is None else sampler.restyle(y, codes)
    if again is None:
        return None
    error = float(np.mean(np.abs(again - y)))
    caption = f"Images of y, and from their own content and style again; mean absolute error {error:.4f} of 1."
    return Sheet("reconstruct", "Reconstruction", caption, [], [list(y), list(again)], ["y", "again"])


def traces(sampler: Sampler, x: np.ndarray, y: np.ndarray, seed: int) -> Sheet | None:
    """What an image of x that was made of one of y hides: the paper's figure 1, and the ways back."""
    if set(sampler.trained.system.directions) != {"x", "y"}:
        return None
    errors, shown = hidden.cycles(sampler.trained.system, sampler.trained.models, 2 * y - 1)
    between, back = shown["between"], shown["back"]
    touched = {name: images for name, images in shown.items() if name not in ("between", "back")}
    columns = {"y": y, "as x": between, "x equalized": hidden.equalized(between), "back": back} | touched
    clean = errors.pop("error")
    rows = [["untouched", f"{clean:.4f}", "1"]]
    rows += [[name, f"{times * clean:.4f}", f"{times:.2f}"] for name, times in errors.items()]
    caption = (
        "Images of y taken to x, the same with its histogram equalized (a faint trace of what was taken away shows "
        "there), and the way back: untouched, after the image of x was touched, and in another image's style."
    )
    table = report.Table(["the image between", "mean absolute error of the way back", "times that of untouched"], rows)
    return Sheet(
        "traces", "Hidden traces", caption, list(columns), list(zip(*columns.values(), strict=True)), table=table
    )


def side_by_side(samplers: Mapping[str, Sampler], x: np.ndarray, y: np.ndarray, seed: int) -> Sheet:
    """One content a row, one method a column, or two where it has codes: the paper's figure 3."""
    columns = {"x": x}
    for name, sampler in samplers.items():
        for number, code in enumerate(_each(sampler.drawn(2, seed=seed)), 1):
            heading = paper.LABELS.get(name, name) + (f", code {number}" if code is not None else "")
            columns[heading] = sampler.translate(x, _all(code, x))
    columns["true y"] = y
    caption = "The same held-out contents by every method; the last column is the true image of that content."
    rows = list(zip(*columns.values(), strict=True))
    return Sheet("side_by_side", "Methods side by side", caption, list(columns), rows)


SHEETS: dict[str, Callable[[Sampler, np.ndarray, np.ndarray, int], Sheet | None]] = {
    "samples": samples,
    "references": references,
    "interpolations": interpolations,
    "reverse": reverse,
    "restyle": restyle,
    "reconstruct": reconstruct,
    "traces": traces,
}


def save(sheet: Sheet, path: pathlib.Path) -> pathlib.Path:
    """Writes a sheet as one picture without words; empty places are white."""
    some = next(image for row in sheet.rows for image in row if image is not None)
    white = np.ones((*some.shape[:2], 3))
    images = [white if image is None else white * image for row in sheet.rows for image in row]
    return report.save_grid(path, np.stack(images), columns=len(sheet.rows[0]))


def _each(codes: np.ndarray | None) -> Sequence[np.ndarray | None]:
    """Codes one by one; one None where there are none."""
    return [None] if codes is None else list(codes)


def _all(code: np.ndarray | None, images: np.ndarray) -> np.ndarray | None:
    """One code for all images."""
    return None if code is None else np.tile(code, (len(images), 1))


def _shown(sheet: Sheet) -> report.Block:
    whole = report.sheet(
        [list(row) for row in sheet.rows], columns=sheet.columns, labels=sheet.labels, caption=sheet.caption
    )
    return report.section(sheet.heading, whole, *([sheet.table] if sheet.table else []))


def define_flags() -> None:
    """Defines the flags of this program."""
    flags.DEFINE_list("runs", [], "Folders of runs, or NAME=FOLDER; the method is the name by default.")
    flags.DEFINE_list("sheets", list(SHEETS), f"Which, among {', '.join(SHEETS)}.")
    flags.DEFINE_integer("num", 6, "Held-out images on a sheet.", lower_bound=1)
    flags.DEFINE_integer("first", None, "The first of them; if left out they are spread over all.", lower_bound=0)
    flags.DEFINE_integer("seed", 0, "Of the drawn codes.", lower_bound=0)
    flags.DEFINE_string("workdir", "runs/figures", "Where the pictures and figures.html go.")


def main() -> None:
    """Makes the sheets."""
    values: Any = flags.FLAGS
    if not values.runs:
        raise app.UsageError("--runs must name the folder of a run, or several.")
    wanted, folder = study.chosen("--sheets", values.sheets, list(SHEETS)), pathlib.Path(values.workdir)
    samplers = sampling.named(values.runs)
    domains = data.load(next(iter(samplers.values())).trained.config)
    first, held = values.first, len(domains.test)
    if first is not None and first >= held:
        raise ValueError(f"--first must be below the number of held-out images, {held}, got {first}.")
    chosen = data.spread_places(held, values.num) if first is None else np.arange(first, min(first + values.num, held))
    test = domains.test.take(chosen)
    x, y = sampling.share(test["x"]), sampling.share(test["y"])
    content: list[report.Block] = []
    if len(samplers) > 1:
        sheet = side_by_side(samplers, x, y, values.seed)
        save(sheet, folder / f"{sheet.name}.png")
        content.append(_shown(sheet))
    for name, sampler in samplers.items():
        sheets = {kind: SHEETS[kind](sampler, x, y, values.seed) for kind in wanted}
        for kind, one in sheets.items():
            if one is not None:
                save(one, folder / f"{name}_{kind}.png")
        blocks = [
            report.notes(f"{kind}: this method has no way to it.") if one is None else _shown(one)
            for kind, one in sheets.items()
        ]
        config = sampler.trained.config
        title = f"{paper.LABELS.get(name, name)}, {config.dataset}, step {sampler.trained.step:,}"
        content.append(report.section(title, *blocks))
    study.publish(folder, "figures", *content, report.notes(domains.credit), title="Image translation: contact sheets")


if __name__ == "__main__":
    define_flags()
    launch.start(study.script(main), expected=(OSError, ValueError, ImportError))
