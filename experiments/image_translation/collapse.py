"""Ends a run whose images were different once and have become all the same."""

import math
import pathlib
from collections.abc import Mapping

from experiments.image_translation import judgement
from gentoolkit import training
from gentoolkit.training import metrics

METRIC = "collapsed"  # what a grid of runs keeps of such a run: the step
SOUND = "sound_step"  # the metric that is greatest at the last sound checkpoint
_DIFFERENT = 0.02  # mean absolute difference of images of two contents, in a run that is sound


class Collapsed(training.TrainingError):
    """The painters make one image of everything.

    Attributes:
      step: at which it was seen.
    """

    def __init__(self, message: str, step: int):
        """Takes the message and the step at which it was seen."""
        super().__init__(message)
        self.step = step


class Watch:
    """What was measured before, by this process or by those that the run goes on from."""

    def __init__(self, player: str, workdir: pathlib.Path, *, evaluator: str) -> None:
        """Begins; nothing is read before the first measurement, when the run has found where it goes on.

        Args:
          player: who paints, by its name in `training.train`.
          workdir: of the run, whose `metrics.jsonl` has the measurements of earlier processes.
          evaluator: their name in `training.train`.
        """
        self._player, self._path, self._prefix = player, workdir / "metrics.jsonl", f"{evaluator}/"
        self._healthy: dict[str, tuple[int, float]] | None = None
        self._sound = 0

    def check(self, values: Mapping[str, float], step: int) -> int:
        """Takes the measurements of a step, before anything of it is written or saved.

        Returns:
          The step, if images of all domains differ; else 0, so that its checkpoint does not stand for a sound one.

        Raises:
          Collapsed: images of a domain differ no longer from content to content, and did so before. One that never did
            is not stopped: at the beginning all images are the same.
        """
        if self._healthy is None:
            self._healthy = {}
            for line in metrics.read_lines(self._path, up_to=step - 1):
                self._note({name: line.get(self._prefix + name) for name in judgement.CONTENTS}, int(line["step"]))
        for name, domain in judgement.CONTENTS.items():
            found, before = values.get(name, math.inf), self._healthy.get(name)
            if before is not None and not found >= judgement.SAME:
                kept = f"The checkpoint of step {self._sound}" if self._sound else "A checkpoint before this step"
                raise Collapsed(
                    f"Step {step}: player {self._player!r} has collapsed: its images of {domain} of different contents "
                    f"differ by {found:.2g}, where they did by {before[1]:.2g} at step {before[0]}. {kept} stays, and "
                    "so does the sheet of pictures of the last evaluation. The same command would end here again: "
                    "lower config.optimizer.peak, or change the weights of the losses.",
                    step,
                )
        self._note(values, step)
        return step if self._sound == step else 0

    def _note(self, values: Mapping[str, float | None], step: int) -> None:
        assert self._healthy is not None
        measured = {name: value for name in judgement.CONTENTS if (value := values.get(name)) is not None}
        healthy = {name: (step, value) for name, value in measured.items() if value >= _DIFFERENT}
        self._healthy |= healthy
        if measured and len(healthy) == len(measured):
            self._sound = step
