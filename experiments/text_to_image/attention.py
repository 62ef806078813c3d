r"""Which word drew where: the attention of a trained AttnGAN.

    python -m experiments.text_to_image.attention --run=runs/attngan --output=FOLDER \
        --text="a red circle above a blue square"

FOLDER gets sheet.png and index.html: the picture, and for each word how much each place looked at it, as the last stage
does; bright is much, in each picture against its own largest.
"""

import pathlib
import sys

import numpy as np
from absl import app, flags

from experiments.text_to_image import measures, painters
from gentoolkit import report, study, training
from gentoolkit.data.text import words as words_of
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.training import launch

_RUN = flags.DEFINE_string("run", None, "Folder of a trained run of AttnGAN.", required=True)
_ENCODER = flags.DEFINE_string("encoder", "", "Folder of the run's encoder, where it has moved.")
_TEXT = flags.DEFINE_multi_string("text", [], "A text; may be given several times.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the pictures.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise.", lower_bound=0)


def main() -> None:
    """Writes the maps."""
    if not _TEXT.value:
        raise app.UsageError("Give texts by --text.")
    painter = painters.load(_RUN.value, encoder=_ENCODER.value)
    look = painter.system.attention
    if look is None:
        raise app.UsageError(f"{painter.config.system} does not look at words; AttnGAN of two or more stages does.")
    encoded, told = painter.read(_TEXT.value)
    for line in told:
        print(line, file=sys.stderr)
    noise = np.repeat(painters.noise(painter, 1, seed=_SEED.value), len(_TEXT.value), axis=0)
    images = measures.unit(measures.paint(painter.system, painter.models, encoded, noise=noise))
    found = training.jit(lambda models, texts, noise: look(models, Encoded(*texts), noise))
    weights = np.asarray(found(painter.models, tuple(encoded), noise))  # [n, s, s, t]
    size = images.shape[1]
    rows = []
    for image, maps, text in zip(images, weights, _TEXT.value, strict=True):
        cells: list = [(image, text)]
        seen = words_of(text)
        if painter.text.passed_over is not None:
            unknown = set(painter.vocabulary.unknown(text))
            seen = [word for word in seen if word not in unknown]
        for place, word in enumerate(seen):
            share = maps[..., place] / max(maps[..., place].max(), 1e-12)
            large = share.repeat(size // share.shape[0], axis=0).repeat(size // share.shape[1], axis=1)
            cells.append((image * (0.15 + 0.85 * large[..., None]), f"{word} ({maps[..., place].max():.2f})"))
        rows.append(cells)
    folder = pathlib.Path(_OUTPUT.value)
    longest = max(map(len, rows))
    blank = np.ones_like(images[0])
    flat = [cell[0] for cells in rows for cell in [*cells, *[(blank, "")] * (longest - len(cells))]]
    report.save_grid(folder / "sheet.png", np.stack(flat), columns=longest)
    report.write_page(
        folder / "index.html",
        report.sheet(rows, caption="In brackets the largest weight of the word in any place."),
        report.notes(*told),
        report.provenance(report.command()),
        title="Which word drew where",
    )
    print(f"Attention of {painter.name}: {folder / 'index.html'}")


if __name__ == "__main__":
    launch.start(study.script(main, folder="output"), expected=(OSError, ValueError))
