r"""The page on which people say which of two images is painted, and what their answers come to.

    python -m experiments.image_translation.fooling --runs=runs/all/dsvib-0,runs/all/cyclegan-0 --output=fooling.html

    python -m experiments.image_translation.fooling --answers=fooling-1f0c.csv,fooling-77ab.csv

The page is one file that needs no server and no network. A real image and a painted one, of another content, are shown
in random order, each for one second with a blank before it; keys 1 and 2 answer. Practice comes first, is told of right
and wrong, and is not counted. The button at the end saves the answers as CSV; `table1.py --answers=` shows the rates.
"""

import base64
import csv
import hashlib
import io
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags
from PIL import Image

from experiments.image_translation import data, sampling
from gentoolkit import report, study
from gentoolkit.training import launch

COLUMNS = ("study", "session", "part", "number", "method", "fake", "answer", "milliseconds")
_TEMPLATE = pathlib.Path(__file__).with_suffix(".html")


class Rate(NamedTuple):
    """How often people took the real image for the painted one.

    Attributes:
      fooled: answers that were wrong.
      num: answers.
      people: who gave them.
    """

    fooled: int
    num: int
    people: int

    def text(self) -> str:
        """The rate in percent with Wilson's 95 % interval."""
        low, high = wilson(self.fooled, self.num)
        return study.interval(100 * self.fooled / self.num, 100 * low, 100 * high, ".1f")


def wilson(successes: int, num: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Returns Wilson's interval of a share.

    Args:
      successes: how many of `num`.
      num: at least 1.
      z: quantile of the normal law; of 95 % by default.

    Raises:
      ValueError: a number that cannot be.

    References:
      Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if not 0 <= successes <= num or num < 1:
        raise ValueError(f"There must be 0 <= successes <= num and num >= 1, got {successes} of {num}.")
    share, inverse = successes / num, z**2 / num
    middle = (share + inverse / 2) / (1 + inverse)
    half = z / (1 + inverse) * math.sqrt(share * (1 - share) / num + inverse / (4 * num))
    return max(0.0, middle - half), min(1.0, middle + half)


def write_page(
    path: str | pathlib.Path,
    real: np.ndarray,
    fakes: Mapping[str, np.ndarray],
    *,
    practice: int,
    show_ms: int = 1000,
    blank_ms: int = 500,
) -> pathlib.Path:
    """Writes the page.

    Args:
      path: where to.
      real: `[n, h, w, c]` bytes, grey or colour, one for each trial: none is shown twice.
      fakes: by method `[k, h, w, c]` bytes, as many of each, the first of which are for practice.
      practice: trials of each method that are not counted.
      show_ms: how long an image is seen.
      blank_ms: how long nothing is, before each.

    Returns:
      The path.

    Raises:
      ValueError: fewer real images than trials, or a method whose name CSV cannot have.
    """
    num = sum(map(len, fakes.values()))
    if len(real) < num:
        raise ValueError(f"{num} painted images need as many real ones, got {len(real)}.")
    if odd := [name for name in fakes if not name or set(name) & set(',"\r\n')]:
        raise ValueError(f"A name must not be empty nor have commas, quotes or line ends, got {odd[0]!r}.")
    each = len(next(iter(fakes.values())))
    order = [(name, fakes[name][place]) for place in range(each) for name in fakes]
    images, rows = [], []
    for index, (method, image) in enumerate(order):
        images += [_embedded(real[index]), _embedded(image)]
        rows.append({"method": method, "real": 2 * index, "fake": 2 * index + 1})
    content = {
        "columns": list(COLUMNS),
        "show_ms": show_ms,
        "blank_ms": blank_ms,
        "practice": rows[: practice * len(fakes)],
        "trials": rows[practice * len(fakes) :],
        "images": images,
    }
    content["name"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    # "</script>" would end the element that holds it.
    told = json.dumps(content).replace("</", "<\\/")
    return report.write_text(path, _TEMPLATE.read_text(encoding="utf-8").replace("@STUDY@", told))


def read_answers(paths: Sequence[str | pathlib.Path]) -> dict[str, Rate]:
    """Counts the answers of files that the page saved; practice is left out.

    Args:
      paths: of the files, each of one person's session or of several put together.

    Returns:
      The rate of each method, in alphabetical order.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file that is none of the page's, answers of one session twice, or of different pages.
    """
    fooled: dict[str, list[bool]] = {}
    people: dict[str, set[str]] = {}
    seen: dict[tuple[str, str], pathlib.Path] = {}
    pages: dict[str, pathlib.Path] = {}
    for path in map(pathlib.Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"--answers: there is no file {path}.")
        for row in _rows(path):
            if (earlier := seen.get(key := (row["session"], row["number"]))) is not None:
                raise ValueError(f"{path}: answer {row['number']} of session {row['session']} is also in {earlier}.")
            seen[key] = path
            if row["study"] != next(iter(pages), row["study"]):
                raise ValueError(f"{path} has answers of another page than {next(iter(pages.values()))}.")
            pages.setdefault(row["study"], path)
            if row["part"] == "trial":
                fooled.setdefault(row["method"], []).append(row["answer"] != row["fake"])
                people.setdefault(row["method"], set()).add(row["session"])
    if not fooled:
        raise ValueError(f"{', '.join(map(str, paths))}: no answers that count, practice alone or nothing.")
    return {name: Rate(sum(fooled[name]), len(fooled[name]), len(people[name])) for name in sorted(fooled)}


def compared(statement: str, rates: Mapping[str, Rate], more: str, less: str, *, told: str) -> str:
    """Returns what came of a claim that one method fools people more often; it agrees where intervals are apart.

    Args:
      statement: the claim.
      rates: by method.
      more: the method that is said to.
      less: the other.
      told: the paper's figures.
    """
    if more not in rates or less not in rates:
        return f"not decided: {statement} (not asked; paper: {told})"
    apart = wilson(*rates[more][:2])[0] > wilson(*rates[less][:2])[1]
    figures = f"ours: {rates[more].text()} % of {rates[more].num} against {rates[less].text()} % of {rates[less].num}"
    return f"{'agrees' if apart else 'not found'}: {statement} ({figures}; paper: {told})"


def table(rates: Mapping[str, Rate]) -> report.Table:
    """Returns the rates by method."""
    rows = [[name, rate.text(), rate.num, rate.people] for name, rate in rates.items()]
    caption = "Answers that took the real image for the painted one, with Wilson's 95 % interval; 50 % is guessing."
    return report.Table(["", "fooling rate, %", "answers", "people"], rows, caption)


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8-sig")
    found = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), 1):
        if not cells or cells == list(COLUMNS):  # a head also where files were put together
            continue
        row = dict(zip(COLUMNS, cells, strict=False))
        right = len(cells) == len(COLUMNS) and {row["fake"], row["answer"]} <= {"first", "second"}
        if not right or row["part"] not in ("practice", "trial"):
            raise ValueError(f"{path}, line {number}, is no answer of the page: {','.join(cells)[:60]!r}.")
        found.append(row)
    return found


def _embedded(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)).save(
        buffer, format="PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _painted(folders: Sequence[str], trials: int, practice: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Real images and those of each run, as many as trials need; contents are held out, and others than the real."""
    samplers = sampling.named(folders)
    first = next(iter(samplers.values())).trained.config
    domains = data.load(first)
    each = trials + practice
    held = len(domains.test)
    if held < 2:
        raise ValueError(
            f"{first.dataset} has one held-out pair alone. Two are needed at least: a painted image must be of another "
            "content than the real one beside it."
        )
    # What is painted comes from one half of the held-out pairs; real images from the other, then from training.
    contents = domains.test.take(np.resize(data.spread_places(held // 2, each), each))["x"]
    fakes = {name: one.translate(sampling.share(contents), one.drawn(each, seed=5)) for name, one in samplers.items()}
    num = each * len(samplers)
    if num > held - held // 2 + len(domains.y):
        raise ValueError(f"--trials: {num} trials need as many real images, got {held - held // 2 + len(domains.y)}.")
    real = domains.test.take(np.arange(held // 2, min(held, held // 2 + num)))["y"]
    more = domains.y.take(np.arange(num - len(real)))["image"] if num > len(real) else real[:0]
    return np.concatenate([real, more]), {
        name: np.rint(255 * images).astype(np.uint8) for name, images in fakes.items()
    }


def define_flags() -> None:
    """Defines the flags of this program."""
    flags.DEFINE_list("runs", [], "Folders of runs to paint with, or NAME=FOLDER; the method is the name by default.")
    flags.DEFINE_string("output", "fooling.html", "The page.")
    flags.DEFINE_integer("trials", 20, "Trials of each run that count.", lower_bound=1)
    flags.DEFINE_integer("practice", 2, "Trials of each run that do not.", lower_bound=0)
    flags.DEFINE_list("answers", [], "Files that people saved: prints what they come to; no page is made.")


def main() -> None:
    """Does what the flags say."""
    values: Any = flags.FLAGS
    if bool(values.answers) == bool(values.runs):
        raise app.UsageError("Give --runs=FOLDER,... to make the page, or --answers=FILE,... to read what it saved.")
    if values.answers:
        print(table(read_answers(values.answers)).markdown())
        return
    real, fakes = _painted(values.runs, values.trials, values.practice)
    print(f"Page: {write_page(values.output, real, fakes, practice=values.practice)}")


if __name__ == "__main__":
    define_flags()
    launch.start(study.script(main), expected=(OSError, ValueError, ImportError))
