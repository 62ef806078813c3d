r"""LPIPS of the pairs of two folders: files of one name, whatever their endings.

    python -m experiments.image_metrics.lpips --first=FOLDER --second=FOLDER --trunk=alex --version=0.1 --weights=DIR \
        --workdir=runs/pairs

Written into the workdir: `pairs.json` (mean, standard error, and the distance of each pair) and `pairs.html` (the pairs
that differ most and least, and where). The exit status is 1 where a file has no partner, or a pair cannot be measured.
"""

import json
import pathlib
import sys

from absl import app, flags

from experiments.image_metrics import pairs, pictures
from experiments.image_metrics.pictures import Source
from gentoolkit import report, study
from gentoolkit.training import launch

_FIRST = flags.DEFINE_string("first", None, "Folder or zip file of images.")
_SECOND = flags.DEFINE_string("second", None, "Folder or zip file of images of the same names.")
_TRUNK = flags.DEFINE_enum("trunk", "alex", ["alex", "vgg", "squeeze"], "The network.")
_VERSION = flags.DEFINE_enum("version", "0.1", ["0.0", "0.1"], "Of the heads; by 0.0 figures are about half as large.")
_WEIGHTS = flags.DEFINE_string("weights", "", "Folder with trunk and heads, or 'random' for a smoke test.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/pairs", "Where pairs.json and the page go.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Pairs at a time.", lower_bound=1)


def main() -> int:
    """Does what the flags say."""
    for name in ("first", "second"):
        if not flags.FLAGS[name].value:
            raise app.UsageError(f"--{name} {'must be given' if flags.FLAGS[name].value is None else 'is empty'}.")
    places = [pathlib.Path(path).expanduser() for path in (_FIRST.value, _SECOND.value)]
    if all(place.exists() for place in places) and pictures.nested(*places):
        raise app.UsageError("--first and --second are the same, or lie one inside of the other.")
    first, second = map(Source, places)
    by = pairs.load(_TRUNK.value, _VERSION.value, pairs.find(_TRUNK.value, _VERSION.value, _WEIGHTS.value))
    found = pairs.measure(first, second, by, batch_size=_BATCH_SIZE.value)
    for line in found.said:
        print(line, file=sys.stderr, flush=True)
    mean = found.mean
    print(f"{mean.network}: {mean.value:.5g} +- {mean.standard_error:.2g}, {mean.num_generated} pairs")
    workdir = pathlib.Path(_WORKDIR.value)
    content = {"lpips": mean.as_json() | {"left_out": found.left_out}, "pairs": found.each}
    report.write_text(workdir / "pairs.json", json.dumps(content, indent=2) + "\n")
    print(f"Figures: {workdir / 'pairs.json'}\nPage: {pairs.write(workdir, first, second, by, found)}")
    return 1 if found.left_out else 0


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
