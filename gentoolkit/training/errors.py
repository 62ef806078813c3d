"""What can end a run, each with a message that says what to do; `launch.run` prints it and exits with status 1."""


class TrainingError(RuntimeError):
    """A run cannot start or go on, for a reason the person at the keyboard can act on."""


class OptionError(TrainingError, ValueError):
    """An option is out of range; the message names it and its value."""


class WorkdirError(TrainingError):
    """The workdir cannot be written, or another run is writing to it."""


class ConfigChangedError(TrainingError):
    """The workdir holds a run of another configuration."""


class CheckpointError(TrainingError):
    """A checkpoint could not be written or read."""


class CheckpointMismatchError(CheckpointError):
    """The checkpoint is that of another model, optimizer or precision."""


class NonFiniteError(TrainingError):
    """A loss or a gradient stopped being finite.

    Attributes:
      step: the first train step (counted from 1) whose loss or gradient was not finite.
    """

    def __init__(self, message: str, step: int):
        """Takes the message and the step at which it began."""
        super().__init__(message)
        self.step = step


class Interrupted(SystemExit):
    """SIGTERM or SIGINT came; the state is saved. Leaves with the shell's status for the signal (128 + number).

    Attributes:
      step: the train step that was saved.
    """

    def __init__(self, signal_number: int, step: int):
        """Takes the signal and the step that was saved."""
        super().__init__(128 + signal_number)
        self.step = step
