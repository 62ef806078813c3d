r"""Every trained system on the same held-out texts: one table, one sheet with a column for each system.

    python -m experiments.text_to_image.compare --runs=runs/vae,runs/dfgan,runs/attngan \
        --detector=runs/detector --clip=runs/clip --workdir=runs/compare
    python -m experiments.text_to_image.compare --runs=runs/shop --probe=runs/probe --workdir=runs/compare_shop

Measures what `results.jsonl` in the workdir lacks, so an interrupted comparison goes on where it stopped. Writes
`compare.md` and `compare.html`. Rows of real pictures and of pictures whose texts were exchanged are what a system can
reach at best and at worst. Runs that differ in their seed alone become one row, mean ± standard deviation; all others
have rows of their own (`rows`). A figure belongs to the weights, the judges and the texts that it was measured of: of a
run that was trained further it is measured anew.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags
from ml_collections import ConfigDict

from experiments.text_to_image import attributes, data, encoders, measures, painters, rows, runs, search
from experiments.text_to_image import judges as judges_lib
from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.judges import Judge
from experiments.text_to_image.measures import Judges
from experiments.text_to_image.painters import Painter
from gentoolkit import report, study
from gentoolkit.data.columns import Columns
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.training import launch

_RUNS = flags.DEFINE_list("runs", None, "Folders of runs that paint.", required=True)
_DETECTOR = flags.DEFINE_string("detector", "", "Folder of a detector's run; without it no objects are counted.")
_CLIP = flags.DEFINE_string("clip", "", "Folder of a mini-CLIP's run, an encoder that no system was told by.")
_PROBE = flags.DEFINE_string("probe", "", "Folder of a probe's run, which reads attributes in pictures of a folder.")
_INCEPTION = flags.DEFINE_string(
    "inception", "", "File of the original FID's Inception (InceptionV3.load); without it neither FID nor IS."
)
_ENCODER = flags.DEFINE_string(
    "encoder", "", "Folder of the damsm run that measures; if empty that of the first run, or the shipped one."
)
_DATA_DIR = flags.DEFINE_string("data_dir", "", "Folder of the data; that of the first run if empty.")
_TEXTS = flags.DEFINE_integer("texts", 1000, "Held-out texts, of as many pictures.", lower_bound=2)
_BEST_OF = flags.DEFINE_integer("best_of", 1, "Also measures the best of so many, found by search.", lower_bound=1)
_JUDGE = flags.DEFINE_string(
    "judge", "", "A detector that chooses, another than --detector, which measures; the shipped one if empty."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
_ROWS, _TWICE = 12, 200
_COLUMNS = {
    "objects": "objects with shape and colour",
    "objects_held_out": "those of held-out combinations",
    "shapes_drawn": "their shape, by drawing",
    "size": "their size",
    "texture": "their texture",
    "relations": "relations",
    "count": "number of objects",
    "soa_c": "SOA-C",
    "soa_i": "SOA-I",
    "r_precision": "R-precision, own encoder",
    "r_precision_clip": "R-precision, mini-CLIP",
    "clip_score": "CLIP score, mini-CLIP's cosine",
    "frechet_detector": "Fréchet, detector's features",
    "frechet_probe": "Fréchet, probe's features",
    "fid": "FID (pytorch-fid's resizing)",
    "inception_score": "Inception score",
    "diversity": "diversity, pixels",
}


class Texts:
    """The texts of one split, with the pictures that they were written of."""

    def __init__(
        self,
        name: str,
        source: Columns,
        own: Pretrained,
        vocabulary: Vocabulary,
        num: int,
        *,
        config: ConfigDict,
        known: attributes.Known | None = None,
    ):
        """Takes the first text of each of the first pictures, and the attributes in `known` that their table tells."""
        self.name, num = name, min(num, len(source))
        self.tokens, self.lengths = data.first_texts(source, num)
        self.images = measures.signed(source.select("image").take(np.arange(num))["image"])
        self.said = data.written(config, source, vocabulary, num, split=name)
        of_scenes = config.dataset == "scenes"
        self.groups = measures.groups_of_scenes(self.said) if of_scenes else measures.groups_of(self.tokens)
        self.encoded = encoders.encode_texts(own.text, self.tokens, self.lengths)
        self.asked = attributes.asked(source, known, num) if known else {}
        self.digest = rows.arrays(self.images, self.said, self.tokens, self.asked)

    def first(self, num: int) -> Encoded:
        """The first texts, encoded."""
        return Encoded(*(column[:num] for column in self.encoded))

    def measured(self, images: np.ndarray, again: np.ndarray | None, judges: Judges) -> dict[str, float]:
        """All figures of pictures of these texts; `again` is None for real ones, not to be set beside themselves."""
        return measures.of_pictures(
            images, again, None if again is None else self.images, judges, texts=self.said, tokens=self.tokens,
            lengths=self.lengths, encoded=self.encoded, groups=self.groups, asked=self.asked,
        )  # fmt: skip


class Column(NamedTuple):
    """A painter, or the best of many of its pictures, by `search`.

    Attributes:
      label: its row in the table.
      painter: that paints.
      best_of: pictures that are looked at for each that is kept.
      judge: chooses among them.
    """

    label: str
    painter: Painter
    best_of: int = 1
    judge: Judge | None = None

    def paint(self, of: Texts, *, seed: int = 0, num: int | None = None) -> np.ndarray:
        """Paints a picture of each of the first texts, `[num, h, w, 3]` in [-1, 1]."""
        painter = self.painter
        encoded = encoders.encode_texts(painter.text, of.tokens[:num], of.lengths[:num])
        if self.judge is None:
            return measures.paint(painter.system, painter.models, encoded, seed=seed)
        shape, found = (self.best_of, painter.system.noise_dim), []
        for row, said in enumerate(of.said[:num]):
            noise = np.random.default_rng([seed, row]).standard_normal(shape, np.float32)
            text = Encoded(*(column[row : row + 1] for column in encoded))
            found.append(search.best(painter, self.judge, text, said, noise))
        return np.stack(found)


def table(
    measured: Mapping[str, Sequence[Mapping[str, float]]], *, caption: str, more: Mapping[str, str] | None = None
) -> report.Table:
    """A row for each system, with mean and standard deviation over seeds, or the error of one run's own figure.

    Args:
      measured: figures of each run, by the label of its row.
      caption: of the table.
      more: heads of columns: those that are not always looked for stand first, the others have this in place of theirs.
    """
    more = more or {}
    heads = {name: head for name, head in more.items() if name not in _COLUMNS}
    heads |= {name: more.get(name, head) for name, head in _COLUMNS.items()}
    shown = [name for name in heads if any(name in one for found in measured.values() for one in found)]
    lines: list[list[Any]] = []
    for name, found in measured.items():
        line: list[Any] = [name]
        for metric in shown:
            values = [one[metric] for one in found if one.get(metric) is not None]
            if not values:
                line.append("")
            elif len(values) == 1:
                error = found[0].get(f"{metric}_error")
                line.append(
                    f"{values[0]:.3f}" + (f" ± {error:.3f}" if error is not None and np.isfinite(error) else "")
                )
            else:
                line.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        lines.append(line)
    return report.Table(["", *(heads[name] for name in shown)], lines, caption=caption)


def main() -> None:
    """Measures, and writes table and page."""
    chosen = [painters.load(run) for run in _RUNS.value]
    called = rows.labels(chosen)
    first = chosen[0]
    for painter in chosen[1:]:
        if any(painter.config[name] != first.config[name] for name in ("dataset", "image_size", "max_objects")):
            raise app.UsageError(f"{painter.name} paints other pictures than {first.name}.")
    where = _ENCODER.value or first.config.encoder or encoders.shipped(first.config)
    own = encoders.find(where)
    judges = measures.load_judges(
        own, detector_run=_DETECTOR.value, clip_run=_CLIP.value, probe_run=_PROBE.value,
        inception_file=_INCEPTION.value, image_size=first.config.image_size,
    )  # fmt: skip
    if first.config.dataset != "scenes" and _DETECTOR.value:
        raise app.UsageError(f"A detector knows drawn scenes alone, and {first.name} paints {first.config.dataset}.")
    if _PROBE.value:
        _ask_for_attributes(first, _PROBE.value)
    first.config.data_dir = _DATA_DIR.value or first.config.data_dir
    captioned = data.load(first.config, vocabulary=own.vocabulary if encoders.are_published(where) else None)
    if _PROBE.value:
        attributes.check(attributes.read(pathlib.Path(_PROBE.value)), captioned.attributes, source=_PROBE.value)
    for painter in chosen:
        if painter.vocabulary != captioned.vocabulary:
            raise app.UsageError(f"{painter.name} reads other words than the encoder in {where}.")
    splits = {"seen": captioned.test} | ({"held out": captioned.held_out} if captioned.held_out is not None else {})
    names = {"seen": "test", "held out": "held_out"}
    texts = {
        split: Texts(
            names[split],
            source,
            own,
            captioned.vocabulary,
            _TEXTS.value,
            config=first.config,
            known=captioned.attributes if _PROBE.value else {},
        )  # fmt: skip
        for split, source in splits.items()
    }
    judge = _judge(first, judges) if _BEST_OF.value > 1 else None
    columns = {painter.name: Column(called[painter.name], painter) for painter in chosen}
    if judge is not None:
        best = f", best of {_BEST_OF.value}"
        columns |= {f"{p.name}{best}": Column(f"{called[p.name]}{best}", p, _BEST_OF.value, judge) for p in chosen}

    def measure(key: Mapping[str, Any]) -> dict[str, float]:
        of = texts[key["texts"]]
        if key["run"] == "real pictures":
            return of.measured(of.images, None, judges)
        if key["run"] == "texts exchanged":
            return of.measured(of.images[_others(len(of.images))], None, judges)
        column = columns[key["run"]]
        return of.measured(column.paint(of), column.paint(of, seed=1, num=_TWICE), judges)

    keys = [{"run": run, "texts": split} for split in texts for run in ("real pictures", "texts exchanged", *columns)]
    settings = _settings(where, judges)

    def under(key: Mapping[str, Any]) -> dict[str, Any]:
        """What figures of a row depend on besides its name."""
        told = settings | {"data": texts[key["texts"]].digest}
        if key["run"] == "texts exchanged":
            told["images"] = rows.arrays(_others(len(texts[key["texts"]].images)))
        column = columns.get(key["run"])
        if column is not None:
            told["weights"] = rows.weights({**column.painter.models, "text": column.painter.text})
            if column.judge:
                told["judge"] = f"{_numbered(_JUDGE.value or 'shipped', column.judge.models)} {judges_lib.RULE}"
        return told

    folder = pathlib.Path(_WORKDIR.value)
    cells = study.complete(folder / "results.jsonl", keys, measure, config=under)
    blocks: list[report.Block] = []
    for split in texts:
        measured: dict[str, list[Mapping[str, float]]] = {}
        for cell in cells:
            if cell["texts"] == split:
                name = columns[cell["run"]].label if cell["run"] in columns else cell["run"]
                measured.setdefault(name, []).append(cell)
        caption = f"{len(texts[split].tokens)} texts, {split}; one run: ± its standard error, several: ± deviation"
        real = measured["real pictures"][0]
        heads = {f"{measures.PROBE}{name}": _head(name, values, real) for name, values in captioned.attributes.items()}
        heads = (heads if _PROBE.value else {}) | _precisions(real)
        made = table(measured, caption=caption, more=heads)
        print(f"\n{made.markdown()}")
        blocks += [made]
        blocks.append(_sheet(columns, texts[split]))
    report.write_text(folder / "compare.md", "\n".join(b.markdown() for b in blocks if isinstance(b, report.Table)))
    if every := [
        of.painter.name
        for of in columns.values()
        if of.painter.config.dataset == "scenes" and not of.painter.config.hold_out
    ]:
        blocks.append(report.notes(f"Trained on every combination, so nothing was held out of: {', '.join(every)}."))
    if captioned.credit:
        blocks.append(report.notes(captioned.credit))
    page = report.write_page(
        folder / "compare.html", *blocks, report.provenance(report.command()), title="Systems on the same texts"
    )
    print(f"Page: {page}")


def _judge(painter: Painter, judges: Judges) -> Judge:
    """Who chooses among pictures: the judge that is named or shipped, and not the detector that measures."""
    judge = judges_lib.of(painter.config, _JUDGE.value, name=painter.name)
    if judges.detector is not None and rows.weights(judge.models) == rows.weights(judges.detector):
        raise app.UsageError(
            f"{judge.name} would both choose pictures and measure them; give --judge, or another --detector."
        )
    return judge


def _settings(encoder: str, judges: Judges) -> dict[str, Any]:
    """Who measures: names with a number that changes with their weights."""
    own = {"text": judges.encoders.text, "images": judges.encoders.images}
    own = {name: module for name, module in own.items() if module is not None}
    used = {
        "encoder": (encoder, own), "detector": (_DETECTOR.value, judges.detector), "clip": (_CLIP.value, judges.clip),
        "probe": (_PROBE.value, judges.probe),
        "inception": (_INCEPTION.value, {"inception": judges.inception} if judges.inception is not None else None),
    }  # fmt: skip
    return {"num_texts": _TEXTS.value, "definition": measures.DEFINITION} | {
        name: _numbered(where, models) for name, (where, models) in used.items() if models is not None
    }


def _numbered(where: str, models: Mapping[str, Any]) -> str:
    return f"{where} {rows.weights(models)}"


def _ask_for_attributes(painter: Painter, run: str) -> None:
    """Has the data of a painter's configuration tell the attributes that a probe reads."""
    if painter.config.dataset != "folder":
        raise app.UsageError(
            f"A probe knows pictures of a folder with a table, and {painter.name} paints {painter.config.dataset}."
        )
    options = runs.read_config(run, systems=("probe",)).folder
    painter.config.folder.update({"attributes": options.attributes, "least": options.least})


def _head(name: str, values: Sequence[str], real: Mapping[str, float]) -> str:
    """Of the column of an attribute: how many values are told apart, and what knowing nothing would give."""
    one = f"{measures.PROBE}{name}"
    chances = [
        f"{real[key]:.3f} {what}"
        for key, what in ((f"{one}_chance", "by chance"), (f"{one}_constant", "by the most frequent"))
        if key in real
    ]
    return f"{name} ({', '.join([f'{len(values)} values', *chances])})"


def _precisions(real: Mapping[str, float]) -> dict[str, str]:
    """Of the columns of R-precision: among how many texts, and what chance gives."""
    return {
        name: f"{_COLUMNS[name]} (1 of {1 + real[f'{name}_others']:.0f} texts, {real[f'{name}_chance']:.3f} by chance)"
        for name in ("r_precision", "r_precision_clip")
        if name in real
    }


def _others(num: int) -> np.ndarray:
    """For each of the pictures another one at random: neighbours in a table are often of one kind."""
    order = np.random.default_rng(0).permutation(num)
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)
    return others


def _sheet(columns: Mapping[str, Column], of: Texts) -> report.Block:
    num = min(_ROWS, len(of.tokens))
    painted = [measures.unit(of.images[:num]), *(measures.unit(one.paint(of, num=num)) for one in columns.values())]
    short = rows.ends([one.painter.name for one in columns.values()])
    heads = ["real", *(f"{one.label}: {short[one.painter.name]}" for one in columns.values())]
    return report.sheet(
        list(zip(*painted, strict=True)), columns=heads, labels=of.said[:num],
        caption=f"The first {num} texts ({of.name})",
    )  # fmt: skip


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
