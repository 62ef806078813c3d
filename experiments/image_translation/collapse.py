"""Ends a run whose images were different once and have become all the same."""

from collections.abc import Mapping

from gentoolkit import training

_SAME, _DIFFERENT = 0.005, 0.02  # mean absolute differences of images of two contents


class Collapsed(training.TrainingError):
    """The painters make one image of everything."""


class Watch:
    """What was measured before, in this process."""

    def __init__(self, player: str) -> None:
        """Begins with nothing.

        Args:
          player: who paints, by its name in `training.train`.
        """
        self._player = player
        self._healthy: tuple[int, float] | None = None

    def check(self, values: Mapping[str, float], step: int) -> None:
        """Takes the measurements of a step, before anything of it is written or saved.

        Raises:
          Collapsed: images differ no longer from content to content, and did so before. One that never did is not
            stopped: at the beginning all images are the same.
        """
        found = values.get("contents", 1.0)
        if found >= _DIFFERENT:
            self._healthy = (step, found)
        elif self._healthy is not None and not found >= _SAME:
            before, value = self._healthy
            raise Collapsed(
                f"Step {step}: player {self._player!r} has collapsed: its images of different contents differ by "
                f"{found:.2g}, where they did by {value:.2g} at step {before}. The checkpoints before this step and "
                "the sheet of pictures of the last evaluation stay. The same command would end here again: lower "
                "config.optimizer.peak, or change the weights of the losses."
            )
