r"""Paints what lies between two texts, and between two draws of noise.

    python -m experiments.text_to_image.interpolate --run=RUN --output=FOLDER \
        --text="a red circle" --text="a blue square"

FOLDER gets sheet.png: along each row from the first text to the second, down from one noise to another; and index.html.
Of one text, along each row from one noise to another, each row of others. AttnGAN looks at single words, of which there
are none between two texts: it takes one. `--painter` and `--truncation` are those of `sample`.
"""

import pathlib
import sys

import numpy as np
from absl import app, flags

from experiments.text_to_image import measures, painters
from gentoolkit import report, study
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.training import launch

_RUN = flags.DEFINE_string("run", "", "Folder of a trained run; a shipped painter if empty.")
_PAINTER = flags.DEFINE_string("painter", "", "Name of a shipped painter, or an .npz file that export wrote.")
_ENCODER = flags.DEFINE_string("encoder", "", "Folder of the run's encoder, where it has moved.")
_TEXT = flags.DEFINE_multi_string("text", [], "The two texts, or one.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the pictures.", required=True)
_STEPS = flags.DEFINE_integer("steps", 7, "Pictures of a row, both ends included.", lower_bound=2)
_ROWS = flags.DEFINE_integer("rows", 5, "Rows, both ends included.", lower_bound=1)
_TRUNCATION = flags.DEFINE_float("truncation", 0.0, "0: noise as in training; else within 2 deviations, times this.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws of noise.", lower_bound=0)


def main() -> None:
    """Paints the sheet."""
    if len(_TEXT.value) not in (1, 2):
        raise app.UsageError(f"--text must be given once or twice, got {len(_TEXT.value)} texts.")
    if _RUN.value and _PAINTER.value:
        raise app.UsageError("Give --run or --painter, not both.")
    source = _RUN.value or _PAINTER.value or next(iter(painters.shipped()), "")
    if not source:
        raise app.UsageError("No painter is shipped; give --run.")
    painter = painters.load(source, encoder=_ENCODER.value)
    single = len(_TEXT.value) == 1
    if painter.config.system == "attngan" and not single:
        raise app.UsageError("AttnGAN looks at single words, of which there are none between two texts; give one text.")
    encoded, told = painter.read(_TEXT.value)
    for line in told:
        print(line, file=sys.stderr)
    steps, rows = _STEPS.value, _ROWS.value
    share = np.tile(np.linspace(0, 1, steps, dtype=np.float32), rows)[:, None]
    one, other = encoded.sentence[0], encoded.sentence[-1]
    between = Encoded(
        np.repeat(encoded.words[:1], steps * rows, axis=0),
        (1 - share) * one + share * other,
        np.repeat(encoded.valid[:1], steps * rows, axis=0),
    )
    ends = painters.noise(painter, 2 * rows if single else 2, seed=_SEED.value, truncation=_TRUNCATION.value)
    if single:
        way, first, second = share, *(np.repeat(ends[place::2], steps, axis=0) for place in (0, 1))
    else:
        way, first, second = np.repeat(np.linspace(0, 1, rows), steps)[:, None], ends[:1], ends[1:]
    # Along a circle, so that the length of the noise stays what the painter knows.
    turned = way * (np.pi / 2)
    drawn = (np.cos(turned) * first + np.sin(turned) * second).astype(np.float32)
    images = measures.unit(measures.paint(painter.system, painter.models, between, noise=drawn))
    folder = pathlib.Path(_OUTPUT.value)
    report.save_grid(folder / "sheet.png", images, columns=steps)
    report.write_page(
        folder / "index.html",
        report.sheet(images.reshape(rows, steps, *images.shape[1:])),
        report.notes(
            f"{_TEXT.value[0]!r}; in each row from one noise to another."
            if single
            else f"From {_TEXT.value[0]!r} to {_TEXT.value[1]!r}; down from one noise to another.",
            *told,
        ),
        report.provenance(report.command()),
        title="Between draws of noise" if single else "Between two texts",
    )
    print(f"{len(images)} pictures by {painter.name}: {folder / 'index.html'}")


if __name__ == "__main__":
    launch.start(study.script(main, folder="output"), expected=(OSError, ValueError))
