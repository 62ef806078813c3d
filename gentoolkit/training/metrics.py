"""What a run writes down while it trains: JSON lines always, TensorBoard where tensorboardX is installed."""

import importlib.util
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax

from gentoolkit.training import errors
from gentoolkit.training import step as step_lib
from gentoolkit.training import workdir as workdir_lib


def read_meters(meters: step_lib.Meters) -> dict[str, float]:
    """Means over the steps since the last log line; waits for the device. Players that did not move are left out."""
    sums, counts = jax.device_get((meters.sums, meters.counts))
    return {
        name: float(total) / int(counts[name.split("/", 1)[0]])
        for name, total in sorted(sums.items())
        if counts[name.split("/", 1)[0]]
    }


def say(message: str) -> None:
    """Prints a line for the person at the keyboard, on the first process only."""
    if jax.process_index() == 0:
        print(message, file=sys.stderr, flush=True)


class Writer:
    """`metrics.jsonl`: one line a step that has something to say, the same bytes however often a run was interrupted.

    What depends on the clock goes to `timing.jsonl`. A value that is not finite is written as null. Only the first
    process writes.
    """

    def __init__(self, workdir: pathlib.Path, *, resumed_step: int, tensorboard: bool = True):
        """Opens the files and drops the lines after the step at which training goes on.

        Args:
          workdir: the folder of the run.
          resumed_step: the restored step, 0 for a new run.
          tensorboard: whether to write TensorBoard files where tensorboardX is installed.

        Raises:
          WorkdirError: a file cannot be written.
        """
        self.latest: dict[str, float] = {}
        self._board = self._metrics = self._timing = None
        path = workdir / "metrics.jsonl"
        lines = read_lines(path, up_to=resumed_step)
        for line in lines:
            self.latest |= {k: v for k, v in line.items() if k != "step"}
        if jax.process_index() != 0:
            return
        workdir_lib.write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))
        try:
            self._metrics = open(path, "a")
            self._timing = open(workdir / "timing.jsonl", "a" if resumed_step else "w")
        except OSError as error:
            raise errors.WorkdirError(f"Cannot write {path}: {error.strerror}.") from error
        if tensorboard and importlib.util.find_spec("tensorboardX"):
            self._board = _import_tensorboard().SummaryWriter(str(workdir / "tensorboard"), purge_step=resumed_step + 1)

    def write(self, step: int, values: Mapping[str, float], timing: Mapping[str, float]) -> None:
        """Writes the line of a step; `timing` holds what depends on the clock."""
        self.latest |= values
        if self._metrics is None or self._timing is None:
            return
        line = {"step": step} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        try:
            self._metrics.write(json.dumps(line) + "\n")
            self._metrics.flush()
            self._timing.write(json.dumps({"step": step, **timing}) + "\n")
            self._timing.flush()
            if self._board is not None:
                for name, value in (dict(values) | {f"timing/{k}": v for k, v in timing.items()}).items():
                    self._board.add_scalar(name, value, step)
        except OSError as error:
            raise errors.WorkdirError(f"Cannot write metrics of step {step}: {error.strerror}.") from error

    def sync(self) -> None:
        """Puts the lines on the disk, before a checkpoint says that they are there."""
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())

    def close(self) -> None:
        """Closes the files."""
        for file in (self._metrics, self._timing, self._board):
            if file is not None:
                file.close()


def _import_tensorboard() -> Any:
    """Imports tensorboardX without torch, which it would load (seconds, hundreds of megabytes) to take its tensors."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import tensorboardX

        return tensorboardX
    finally:
        if hidden:
            del sys.modules["torch"]


def read_lines(path: pathlib.Path, *, up_to: int | None = None) -> list[dict[str, float]]:
    """Reads `metrics.jsonl`, without a last line torn by a kill, up to and including a step."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            if up_to is None or line["step"] <= up_to:
                lines.append(line)
    return lines


class Progress:
    """A line every few seconds: steps, rate, time left and the latest losses."""

    def __init__(self, *, first_step: int, num_steps: int, seconds: float):
        """Starts the clock.

        Args:
          first_step: the step at which this process begins.
          num_steps: the step at which the run ends.
          seconds: time between lines; 0 prints none.
        """
        self._num_steps, self._seconds = num_steps, seconds
        self._said = self._started = time.monotonic()
        self._from = self._marked = first_step
        self._warm = False

    def timing(self, step: int, examples: int) -> dict[str, float]:
        """Seconds since the start, and the mean rates since the first step of this process (compilation left out)."""
        now = time.monotonic()
        rate = (step - self._from) / max(now - self._started, 1e-9) if self._warm else 0.0
        return {"time": time.time(), "steps_per_second": rate, "examples_per_second": rate * examples}

    def tick(self, step: int, latest: Mapping[str, float]) -> None:
        """Called now and then, when all steps up to this one are done; prints when it is time to."""
        now = time.monotonic()
        if not self._warm:  # The first step compiled; its time says nothing about the rate.
            self._warm, self._started, self._from, self._said, self._marked = True, now, step, now, step
        if not self._seconds or now - self._said < self._seconds:
            return
        rate = (step - self._marked) / (now - self._said)
        left = (self._num_steps - step) * (now - self._started) / max(step - self._from, 1)
        losses = "  ".join(f"{k} {v:.4g}" for k, v in latest.items() if k.endswith("/loss"))
        hours, minutes = divmod(int(left) // 60, 60)
        say(
            f"step {step}/{self._num_steps}  {rate:.3g} steps/s  left {hours}:{minutes:02d}:{int(left) % 60:02d}"
            f"  {losses}".rstrip()
        )
        self._said, self._marked = now, step
