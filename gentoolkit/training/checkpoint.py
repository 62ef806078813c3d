"""Checkpoints of a run: saved in the background, newest and best kept. The only module that knows orbax."""

import contextlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax
from orbax.checkpoint import v1 as ocp

from gentoolkit.training import errors

_STATE = "state"


class Checkpoints:
    """The folder `checkpoints/` of a run.

    A checkpoint appears under its step number by one rename once it is complete, and older ones are removed only after
    that: a kill or a full disk at any moment leaves the previous ones as they were. With several processes the folder
    must be one that all of them see, and all of them call the same methods.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        keep: int = 2,
        best: str | None = None,
        best_mode: Literal["min", "max"] = "min",
        read_only: bool = False,
    ):
        """Opens the folder.

        Args:
          directory: the folder; created if need be, unless `read_only`.
          keep: number of newest checkpoints to keep.
          best: name of the metric whose best checkpoint is kept as well; None keeps only the newest.
          best_mode: whether a small or a large value is good.
          read_only: leave alone what a save that is under way, or was cut off, has written so far.

        Raises:
          CheckpointError: the folder cannot be created or read.
        """
        if keep < 1 or best_mode not in ("min", "max"):
            raise ValueError(f"keep must be >= 1 and best_mode 'min' or 'max', got {keep} and {best_mode!r}.")
        if read_only and not directory.is_dir():
            raise errors.CheckpointError(f"There are no checkpoints in {directory}.")
        self._directory = directory
        self._best, self._mode = best, best_mode
        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(keep)]
        if best is not None:
            # Ascending order, best last. A checkpoint between two evaluations has no say in what is best.
            sign = 1.0 if best_mode == "max" else -1.0
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: sign * metrics.get(best, -sign * math.inf),
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        try:
            self._orbax = ocp.training.Checkpointer(
                directory.absolute(),
                preservation_policy=policies.AnyPreservationPolicy(kept),
                cleanup_tmp_directories=not read_only,
            )
        except Exception as error:
            raise errors.CheckpointError(f"Cannot open the checkpoints in {directory}: {_brief(error)}.") from error

    @property
    def steps(self) -> list[int]:
        """The steps that can be restored, ascending."""
        return [info.step for info in self._orbax.checkpoints]

    @property
    def latest(self) -> int | None:
        """The newest step, or None."""
        return self.steps[-1] if self.steps else None

    def best_of(self, metric: str, mode: str) -> int | None:
        """The step at which a metric kept with the checkpoints is best, or None where none has it."""
        sign = 1.0 if mode == "max" else -1.0
        known = [info for info in self._orbax.checkpoints if info.metrics and metric in info.metrics]
        return max(known, key=lambda info: sign * info.metrics[metric]).step if known else None

    def resolve(self, step: int | str) -> int:
        """The number of the checkpoint that `step` (a number, "latest" or "best") means (`CheckpointError`: none)."""
        steps = self.steps
        if not steps:
            raise errors.CheckpointError(f"There are no checkpoints in {self._directory}.")
        if step == "latest":
            return steps[-1]
        if step == "best":
            extra = self.extra(steps[-1])
            # A checkpoint of a program of one's own need not say which metric it keeps.
            best = self.best_of(extra["best"], extra["best_mode"]) if extra.get("best") else None
            if best is None:
                raise errors.CheckpointError(f"No checkpoint in {self._directory} is known as the best; use 'latest'.")
            return best
        if step not in steps:
            raise errors.CheckpointError(f"{self._directory} has no checkpoint of step {step}, only {steps}.")
        return int(step)

    def improves(self, metrics: Mapping[str, float]) -> bool:
        """Whether these metrics are better than those of every checkpoint."""
        value = metrics.get(self._best, math.nan) if self._best is not None else math.nan
        if self._best is None or not math.isfinite(value):
            return False
        step = self.best_of(self._best, self._mode)
        if step is None:
            return True
        before = next(info.metrics[self._best] for info in self._orbax.checkpoints if info.step == step)
        return value > before if self._mode == "max" else value < before

    def save(self, step: int, state: Any, *, extra: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Begins to save; returns as soon as the state may be changed.

        Args:
          step: the train step; must be new.
          state: a pytree of arrays.
          extra: anything JSON can hold (the position in the data), from the first process.
          metrics: of this step; only `best` is kept.

        Raises:
          CheckpointError: this save, or the one before it, could not be written.
        """
        chosen = {k: v for k, v in metrics.items() if k == self._best and math.isfinite(v)}
        try:
            self._orbax.save_checkpointables_async(
                step,
                {_STATE: state},
                force=True,  # The loop decides when; never skip a save because the last one is still being written.
                metrics=chosen or None,
                custom_metadata={"extra": json.dumps(dict(extra))},
            )
        except Exception as error:
            raise self._failed(error) from error

    def wait(self) -> None:
        """Waits until everything is on the disk (`CheckpointError` where that failed)."""
        try:
            self._orbax.wait()
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Waits and lets go of the folder."""
        try:
            self._orbax.close()
        except Exception as error:
            raise self._failed(error) from error

    def extra(self, step: int) -> dict[str, Any]:
        """What was saved beside the state."""
        try:
            return json.loads(self._orbax.checkpointables_metadata(step).custom_metadata["extra"])
        except Exception as error:
            raise self._unreadable(step, error) from error

    def stored(self, step: int) -> Any:
        """The tree that was saved, with a shape and a dtype for every array."""
        try:
            return self._orbax.checkpointables_metadata(step).metadata[_STATE]
        except Exception as error:
            raise self._unreadable(step, error) from error

    def restore(self, step: int, abstract: Any, *, partial: bool = False) -> Any:
        """Reads a state, onto the devices that `abstract` names.

        Args:
          step: one of `steps`.
          abstract: a tree of `jax.ShapeDtypeStruct` with shardings.
          partial: whether the checkpoint may hold more than `abstract`, a dict, does.

        Returns:
          A tree like `abstract`.

        Raises:
          CheckpointMismatchError: names, shapes or dtypes are not those of the checkpoint; the first few are named.
          CheckpointError: the files cannot be read.
        """
        found = differences(abstract, self.stored(step), partial=partial)
        if found:
            more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
            raise errors.CheckpointMismatchError(
                f"The checkpoint of step {step} in {self._directory} is that of another model, optimizer or precision: "
                f"{'; '.join(found[:5])}{more}. Use another workdir, or the model it was made with."
            )
        context = ocp.Context()
        context.pytree.loading.partial_load = partial
        # Orbax takes a part of which nothing is wanted for another kind of tree.
        empty = {name: part for name, part in abstract.items() if not jax.tree.leaves(part)} if partial else {}
        wanted = {name: part for name, part in abstract.items() if name not in empty} if empty else abstract
        try:
            with context:
                got = ocp.load_checkpointables(self._directory.absolute() / str(step), {_STATE: wanted})[_STATE]
                return got | empty if empty else got
        except Exception as error:
            raise self._unreadable(step, error) from error

    def _failed(self, error: Exception) -> errors.CheckpointError:
        kept = sorted(int(p.name) for p in self._directory.glob("*") if p.name.isdigit())
        left = f"the checkpoint of step {kept[-1]} is intact" if kept else "there is no earlier checkpoint"
        return errors.CheckpointError(
            f"Could not save a checkpoint in {self._directory}: {_brief(error)}. Nothing earlier is lost: {left}. "
            "Make room or repair the folder, and start the same command again."
        )

    def _unreadable(self, step: int, error: Exception) -> errors.CheckpointError:
        return errors.CheckpointError(
            f"Cannot read the checkpoint of step {step} in {self._directory}: {_brief(error)}. Remove its folder to go "
            "on from the one before."
        )


@contextlib.contextmanager
def reading(directory: pathlib.Path) -> Iterator[Checkpoints]:
    """Opens the checkpoints of a run, which may still be going on, for reading alone."""
    checkpoints = Checkpoints(directory, read_only=True)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def differences(abstract: Any, stored: Any, *, partial: bool = False) -> list[str]:
    """Says in words how the arrays wanted differ from those stored; an empty list where they agree."""
    wanted, have = _by_path(abstract), _by_path(stored)
    found = []
    for path in sorted(wanted.keys() | have.keys()):
        if path not in have:
            found.append(f"{path} {_describe(wanted[path])} is not in it")
        elif path not in wanted:
            if not partial:
                found.append(f"it has {path} {_describe(have[path])}, which is not wanted now")
        elif _describe(wanted[path]) != _describe(have[path]):
            found.append(f"{path} is {_describe(have[path])} in it and {_describe(wanted[path])} now")
    return found


def _by_path(tree: Any) -> dict[str, Any]:
    def part(key):
        return str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))))

    return {"/".join(map(part, path)): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _describe(leaf: Any) -> str:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)  # Keys are stored as the integers they are made of.
    return f"{jax.numpy.dtype(leaf.dtype).name}{list(leaf.shape)}"


def _brief(error: BaseException) -> str:
    """What the operating system said, where it said something; else the first line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    if code := re.search(r"os_error_code='(\d+)'", text):
        return os.strerror(int(code.group(1)))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.splitlines()[0][:300].rstrip(".")
