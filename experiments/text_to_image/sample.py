r"""Paints pictures of texts: by a small painter that is shipped, by a trained run, or by one in a file (`export`).

    python -m experiments.text_to_image.sample --text="a small red circle above a blue square" --output=FOLDER
    … --run=RUN             a run of main, or a folder of published files
    … --painter=FILE.npz    a painter that `export` wrote, or the name of a shipped one
    … --text=… --text=…     several texts; --texts=FILE has one a line
    … --num_seeds=8         pictures of each text
    … --best_of=1           each picture as it comes, without a judge
    … --truncation=0.88     noise nearer to its middle: better pictures, more alike
    … --literal             texts of scenes in their own words, see below

The shipped painters have learned scenes of one or two objects in eight colours, small or large, above, below, to the
left or to the right of each other. The DF-GAN paints where none is named; `--painter=vae_scenes32` is smoother and
paints round blobs, without stripes or dots. For each picture 512 are looked at, most of them near the best so far
(`search`), and a judge keeps the one that shows most of what the text says (a detector of objects, and the said shapes
drawn over what it found); `--best_of` and `--judge` do so for other painters of scenes.

Painters of scenes have read texts of a few forms only. "Above a blue square there is a red circle" is painted from the
words "a red circle above a blue square", and a line says so: wherever each word is understood and both mean the same.
Words that say where something lies and are not understood are told, too.

FOLDER gets 0000.png, 0001.png, ... in the order of texts, then seeds; sheet.png, all of them, a row for each text; and
index.html, with the texts beside. Words that the encoder does not know are said.
"""

import json
import pathlib
import sys

import numpy as np
from absl import app, flags
from PIL import Image

from experiments.text_to_image import judges, measures, painters, rewording, search, texts
from gentoolkit import report, study
from gentoolkit.data import scenes
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.training import launch

_RUN = flags.DEFINE_string("run", "", "Folder of a trained run: the --workdir of main, of a system that paints.")
_PAINTER = flags.DEFINE_string("painter", "", "Name of a shipped painter, or an .npz file that export wrote.")
_ENCODER = flags.DEFINE_string("encoder", "", "Folder of the run's encoder, where it has moved.")
_TEXT = flags.DEFINE_multi_string("text", [], "A text; may be given several times.")
_TEXTS = flags.DEFINE_string("texts", "", "File with a text on each line.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the pictures.", required=True)
_NUM_SEEDS = flags.DEFINE_integer("num_seeds", 4, "Pictures of each text.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise; every text gets the same.", lower_bound=0)
_TRUNCATION = flags.DEFINE_float("truncation", 0.0, "0: noise as in training; else within 2 deviations, times this.")
_BEST_OF = flags.DEFINE_integer(
    "best_of", 0, "Pictures that a judge looks at for each that is kept; 0: 512 by a shipped painter, else 1.",
    lower_bound=0,
)  # fmt: skip
_JUDGE = flags.DEFINE_string("judge", "", "Folder of a detector's run, or a file of one; the shipped one if empty.")
_LITERAL = flags.DEFINE_bool("literal", False, "Paints texts of scenes from their own words, in whatever form.")
_LOOKED_AT = 512
_LARGEST = 2_000  # pictures of one page


def _of_file(name: str) -> list[str]:
    path = pathlib.Path(name)
    if name and (path.is_dir() or not path.exists()):
        raise app.UsageError(f"--texts={name}: there is no such file; it has a text on each line.")
    return texts.read_file(name) if name else []


def main() -> None:
    """Paints the pictures."""
    said = [*_TEXT.value, *_of_file(_TEXTS.value)]
    if not said:
        raise app.UsageError("Give texts by --text or --texts.")
    if _RUN.value and _PAINTER.value:
        raise app.UsageError("Give --run or --painter, not both.")
    known = painters.shipped()
    source = _RUN.value or _PAINTER.value or (known[0] if known else "")
    if not source:
        raise app.UsageError("No painter is shipped; give --run.")
    painter = painters.load(source, encoder=_ENCODER.value)
    best_of = _BEST_OF.value or (_LOOKED_AT if painter.name in known else 1)
    if _JUDGE.value and best_of == 1:
        raise app.UsageError(
            f"--judge chooses among pictures, of which {painter.name} paints one; give --best_of={_LOOKED_AT}."
        )
    judge = judges.of(painter.config, _JUDGE.value, name=painter.name) if best_of > 1 else None
    painter.read(said)  # refuses what cannot be read
    worded, told = rewording.reworded(painter, said, literal=_LITERAL.value)
    encoded, unknown = painter.read(worded)
    told += unknown
    count = _NUM_SEEDS.value
    if len(said) * count > _LARGEST:
        raise app.UsageError(f"{len(said)} texts of {count} pictures are more than {_LARGEST}; take them in parts.")
    noise = painters.noise(painter, count * best_of, seed=_SEED.value, truncation=_TRUNCATION.value)
    noise = noise.reshape(count, best_of, -1)
    images, judged = [], []
    for row, text in enumerate(said):
        one = Encoded(*(column[row : row + 1] for column in encoded))
        judged.append(judge is not None)
        if judge is not None:
            try:
                asked, most = len(scenes.read(text).objects), painter.config.max_objects
                if asked > most:
                    told.append(f"{text!r} asks for {asked} objects; {painter.name} has learned at most {most}.")
                images.append(np.stack([search.best(painter, judge, one, text, own) for own in noise]))
                continue
            except ValueError as error:
                judged[-1] = False
                told.append(f"{text!r} is not judged, and its pictures are as they come: {error}")
        rows = Encoded(*(np.repeat(column, count, axis=0) for column in one))
        images.append(measures.paint(painter.system, painter.models, rows, noise=noise[:, 0], batch_size=count))
    images = measures.unit(np.concatenate(images))
    if judge is not None and judge.config.max_objects < painter.config.max_objects:
        told.append(
            f"{judge.name} has learned scenes of at most {judge.config.max_objects} objects, {painter.name} of "
            f"{painter.config.max_objects}."
        )
    for line in told:
        print(line, file=sys.stderr)
    folder = pathlib.Path(_OUTPUT.value)
    if (folder / "sample.json").exists():  # pictures of an earlier call that would stand among these
        for path in folder.glob("[0-9]*.png"):
            if path.stem.isdigit():
                path.unlink()
    for place, image in enumerate(images):
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(folder / f"{place:04d}.png")
    report.save_grid(folder / "sheet.png", images, columns=count)
    by = f"{painter.name}, seed {_SEED.value}"
    if judge is not None and any(judged):
        each = "each" if all(judged) else f"those of {sum(judged)} texts each"
        by += f", {each} the best of {best_of} by {judge.name}"
    settings = {
        "painter": painter.name, "seed": _SEED.value, "truncation": _TRUNCATION.value, "texts": said, "read_as": worded,
        "best_of": best_of, "judge": judge.name if judge else None,
        "judged": judged,
    }  # fmt: skip
    report.write_text(folder / "sample.json", json.dumps(settings, ensure_ascii=False, indent=1))
    labels = [text if text == read else f'{text} (read as "{read}")' for text, read in zip(said, worded, strict=True)]
    report.write_page(
        folder / "index.html",
        report.sheet(images.reshape(len(said), count, *images.shape[1:]), labels=labels),
        report.notes(*told, f"Painted by {by}."),
        report.provenance(report.command()),
        title="Pictures of texts",
    )
    print(f"{len(images)} pictures of {len(said)} text(s) by {by}: {folder / 'index.html'}")


if __name__ == "__main__":
    launch.start(study.script(main, folder="output"), expected=(OSError, ValueError))
