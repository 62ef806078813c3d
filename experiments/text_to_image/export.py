r"""Writes a trained painter and its encoder, a detector, or encoders to one small file, in half precision.

python -m experiments.text_to_image.export --run=RUN --output=painter.npz
python -m experiments.text_to_image.sample --painter=painter.npz --text=… --output=FOLDER
python -m experiments.text_to_image.export --run=DETECTOR --output=judge.npz      (for sample --judge=)
python -m experiments.text_to_image.export --run=DAMSM --output=damsm.npz         (for --config.encoder=)
"""

import pathlib

from absl import app, flags

from experiments.text_to_image import encoders, files, judges, painters, runs
from gentoolkit import study
from gentoolkit.training import launch

_RUN = flags.DEFINE_string("run", None, "Folder of a trained run.", required=True)
_ENCODER = flags.DEFINE_string("encoder", "", "Folder of the run's encoder, where it has moved.")
_OUTPUT = flags.DEFINE_string("output", None, "The file, which must end in .npz.", required=True)


def main() -> None:
    """Writes the file."""
    path = pathlib.Path(_OUTPUT.value)
    if path.suffix != ".npz":
        raise app.UsageError(f"--output must end in .npz, got {path.name!r}.")
    study.check_folder(path.parent, name="the folder of --output")
    ours = pathlib.Path(_RUN.value, "config.json").exists()
    system = runs.read_config(_RUN.value).system if ours else ""
    if system == "damsm":
        encoders.save(path, _RUN.value)
    elif system == "detector":
        judge = judges.load(_RUN.value)
        files.write(path, judge.config, judge.models, {})
    else:
        painters.save(path, painters.load(_RUN.value, encoder=_ENCODER.value))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
