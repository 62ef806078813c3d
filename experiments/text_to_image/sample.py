r"""Paints pictures of texts by a trained run, or by a painter in one file (`export`); none is shipped yet.

    python -m experiments.text_to_image.sample --run=RUN --output=FOLDER \
        --text="a small red circle above a blue square"
    … --painter=FILE.npz    a painter that `export` wrote, in place of a run
    … --text=… --text=…     several texts; --texts=FILE has one a line
    … --num_seeds=8         pictures of each text
    … --truncation=0.88     noise nearer to its middle: better pictures, more alike

FOLDER gets 0000.png, 0001.png, ... in the order of texts, then seeds; sheet.png, all of them, a row for each text; and
index.html, with the texts beside. Words that the encoder does not know are said.
"""

import json
import pathlib
import sys

import numpy as np
from absl import app, flags
from PIL import Image

from experiments.text_to_image import measures, painters, texts
from gentoolkit import report, study
from gentoolkit.models.text.recurrent import Encoded
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
_LARGEST = 2_000  # pictures of one page


def main() -> None:
    """Paints the pictures."""
    said = [*_TEXT.value, *(texts.read_file(_TEXTS.value) if _TEXTS.value else [])]
    if not said:
        raise app.UsageError("Give texts by --text or --texts.")
    if _RUN.value and _PAINTER.value:
        raise app.UsageError("Give --run or --painter, not both.")
    known = painters.shipped()
    source = _RUN.value or _PAINTER.value or (known[0] if known else "")
    if not source:
        raise app.UsageError("No painter is shipped; give --run.")
    painter = painters.load(source, encoder=_ENCODER.value)
    encoded, told = painter.read(said)
    for line in told:
        print(line, file=sys.stderr)
    count = _NUM_SEEDS.value
    if len(said) * count > _LARGEST:
        raise app.UsageError(f"{len(said)} texts of {count} pictures are more than {_LARGEST}; take them in parts.")
    drawn = painters.noise(painter, count, seed=_SEED.value, truncation=_TRUNCATION.value)
    rows = Encoded(*(np.repeat(column, count, axis=0) for column in encoded))
    images = measures.unit(measures.paint(painter.system, painter.models, rows, noise=np.tile(drawn, (len(said), 1))))
    folder = pathlib.Path(_OUTPUT.value)
    for place, image in enumerate(images):
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(folder / f"{place:04d}.png")
    report.save_grid(folder / "sheet.png", images, columns=count)
    settings = {"painter": painter.name, "seed": _SEED.value, "truncation": _TRUNCATION.value, "texts": said}
    report.write_text(folder / "sample.json", json.dumps(settings, ensure_ascii=False, indent=1))
    report.write_page(
        folder / "index.html",
        report.sheet(images.reshape(len(said), count, *images.shape[1:]), labels=said),
        report.notes(*told, f"Painted by {painter.name}, seed {_SEED.value}."),
        report.provenance(report.command()),
        title="Pictures of texts",
    )
    print(f"{len(images)} pictures of {len(said)} text(s) by {painter.name}: {folder / 'index.html'}")


if __name__ == "__main__":
    launch.start(study.script(main, folder="output"), expected=(OSError, ValueError))
