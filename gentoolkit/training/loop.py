"""The one train loop: step, log, evaluate, save, and go on where the last run was cut off."""

import contextlib
import difflib
import json
import math
import pathlib
import signal
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from gentoolkit.training import checkpoint, ema, errors, functional, player, signals
from gentoolkit.training import frozen as frozen_lib
from gentoolkit.training import initial as initial_lib
from gentoolkit.training import metrics as metrics_lib
from gentoolkit.training import pace as pace_lib
from gentoolkit.training import step as step_lib
from gentoolkit.training import workdir as workdir_lib


class Stream(Protocol):
    """An endless iterator over batches that knows where it is."""

    def __next__(self) -> Mapping[str, Any]:
        """Returns this process's part of the next batch: a dict of trees of new arrays, batch axis first."""

    def get_state(self) -> Any:
        """Returns the position after the last batch, as something JSON can hold."""

    def set_state(self, state: Any, /) -> None:
        """Goes to a position."""


Evaluate = Callable[[functional.Models, int], Mapping[str, float]]


class Evaluator(NamedTuple):
    """A measurement of the models, taken at some steps and at the end.

    Attributes:
      function: `(models, step) -> {name: float}`; the modules, frozen ones among them, are in evaluation mode and must
        not be kept. With several processes all of them call it, and must feed the models the same arrays. `jit`
        compiles a function of models, and applies `prepare` to batches.
      every: train steps between calls, or None for `evaluate_every` of `train`; it is also called at the last step.
      averaged: whether it sees the moving averages, where there are some.
    """

    function: Evaluate
    every: int | None = None
    averaged: bool = True


class Result(NamedTuple):
    """A finished run: the modules in evaluation mode, the last step, and the latest value of every metric."""

    models: functional.Models
    step: int
    metrics: dict[str, float]
    state: step_lib.State


def train(
    models: step_lib.MakeModels,
    players: Mapping[str, player.Player],
    stream: Stream,
    *,
    workdir: str | pathlib.Path,
    num_steps: int,
    seed: int = 0,
    config: Any = None,
    frozen: Mapping[str, nnx.Module] | None = None,
    initial: initial_lib.Source | initial_lib.Initial | None = None,
    prepare: step_lib.Prepare | None = None,
    evaluators: Mapping[str, Evaluator | Evaluate] | None = None,
    evaluate_every: int | None = None,
    ema_decay: ema.Decay = None,
    compute_dtype: Any = None,
    mesh: jax.sharding.Mesh | None = None,
    log_every: int = 100,
    checkpoint_every: int = 1000,
    keep: int = 2,
    best: str | None = None,
    best_mode: Literal["min", "max"] = "min",
    tensorboard: bool = True,
    progress_seconds: float = 5.0,
) -> Result:
    """Trains, or goes on training what stands in the workdir.

    The same call with the same workdir continues a run that was cut off, at any moment and by anything; on one device
    the metrics and the parameters are then bit for bit those of a run that was not. After the end it only says so.

    Args:
      models: builds the modules by name from `nnx.Rngs`, e.g. `lambda rngs: {"critic": Critic(rngs=rngs)}`. Called
        while tracing, so that parameters are born on the devices where they belong.
      players: losses and optimizers by name, see `Player`; they move in this order.
      stream: gives batches; its position is saved with the checkpoints.
      workdir: holds `config.json`, `metrics.jsonl`, `timing.jsonl`, `checkpoints/` and `tensorboard/`. One folder that
        all processes see.
      num_steps: train steps in total; one batch each.
      seed: of the parameters and of all randomness in the objectives.
      config: what to write to `config.json` (`ConfigDict`, mapping or None); a workdir with a checkpoint of another one
        is refused. Only lengths (num_steps, num_epochs) may grow.
      frozen: modules by name, beside `models`, that objectives and evaluators see in evaluation mode and nobody trains.
        They are in no checkpoint; a fingerprint of their weights is, and other weights are refused later.
      initial: weights to begin with at step 0: the folder of a run, an `.npz` file, arrays by name, or an `Initial`
        that says which models they are for and how names change. A run that goes on takes no notice of it.
      prepare: `batch -> batch`, the first thing in the compiled step, say bytes to floats: bytes are a quarter of what
        has to be moved to the device.
      evaluators: by name; their values are logged as `name/key`.
      evaluate_every: train steps between evaluations; None evaluates at the last step only.
      ema_decay: decay of a moving average of parameters and batch statistics, for all models or by model name.
      compute_dtype: e.g. `jnp.bfloat16` for mixed precision, see `program`.
      mesh: from `make_mesh`; None uses the first device.
      log_every: train steps between log lines, which hold means over the interval.
      checkpoint_every: train steps between checkpoints.
      keep: newest checkpoints to keep.
      best: metric (`name/key`) whose best checkpoint is kept too. An evaluation that beats all others is saved at
        once; a metric of a player is looked at when a checkpoint is due.
      best_mode: whether a small or a large value is good.
      tensorboard: whether to write TensorBoard files where tensorboardX is installed.
      progress_seconds: seconds between progress lines on stderr; 0 for none.

    Returns:
      The models (averaged where asked for), the last step and the latest metrics.

    Raises:
      TrainingError: one of `errors`, with what to do.
      Interrupted: SIGTERM or SIGINT came, and the state is saved.
      OptionError: an option out of range, a batch that the devices do not divide.
      ValueError: an empty or finite stream, an unknown name.
    """
    lengths = {"num_steps": num_steps, "log_every": log_every, "checkpoint_every": checkpoint_every, "keep": keep}
    for name, value in lengths.items():
        if not (1 <= value < math.inf and value == int(value)):
            raise errors.OptionError(f"{name} must be a whole number >= 1, got {value}.")
    if not progress_seconds >= 0:
        raise errors.OptionError(f"progress_seconds must be >= 0, got {progress_seconds}.")
    if mesh is None and jax.process_count() > 1:
        raise errors.OptionError("With several processes a mesh is needed: pass mesh=make_mesh().")
    schedule = _schedule(evaluators or {}, evaluate_every)
    _check_best(best, [*players, *schedule])
    workdir = pathlib.Path(workdir)
    main_process = jax.process_index() == 0
    with (
        workdir_lib.claim(workdir, alone=main_process),
        signals.StopRequest() as stop,
        contextlib.ExitStack() as on_exit,
    ):
        checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=keep, best=best, best_mode=best_mode)
        on_exit.callback(_close_quietly, checkpoints)
        start = checkpoints.latest or 0
        # A start that failed before its first checkpoint has left nothing to go on from, so another may take its place.
        workdir_lib.check_config(workdir, workdir_lib.plain(config), binding=start > 0, write=main_process)
        fingerprints = frozen_lib.fingerprints(frozen or {})
        if start:
            extra = checkpoints.extra(start)
            frozen_lib.check(extra.get("frozen", {}), fingerprints, workdir)
            stream.set_state(_position(extra, seed, workdir))
        batch = _next(stream, start, num_steps)
        program = step_lib.program(
            models,
            players,
            batch,
            frozen=frozen,
            prepare=prepare,
            ema_decay=ema_decay,
            compute_dtype=compute_dtype,
            mesh=mesh,
            log_every=log_every,
        )
        state = checkpoints.restore(start, program.abstract) if start else program.init(seed, initial)
        writer = metrics_lib.Writer(workdir, resumed_step=start, tensorboard=tensorboard)
        if start >= num_steps:
            metrics_lib.say(f"Already complete: {workdir} is at step {start} of {num_steps}; nothing to do.")
        elif start:
            metrics_lib.say(f"Resuming {workdir} at step {start} of {num_steps}.")
        else:
            count, devices = sum(p.size for p in state.params.values()), state.step.sharding.num_devices
            metrics_lib.say(f"Training {workdir}: {num_steps} steps, {count:,} parameters, {devices} device(s).")
        progress = metrics_lib.Progress(first_step=start, num_steps=num_steps, seconds=progress_seconds)
        pace = pace_lib.Pace(min(1.0, progress_seconds) or 1.0)
        examples = max((np.shape(v)[0] for v in jax.tree.leaves(batch) if np.shape(v)), default=1) * jax.process_count()

        def save(step: int, values: Mapping[str, float]) -> None:
            writer.sync()
            positions = _gather(stream.get_state())
            extra = {"positions": positions, "seed": seed, "best": best, "best_mode": best_mode, "frozen": fingerprints}
            checkpoints.save(step, state, extra=extra, metrics=values)

        try:
            for step in range(start + 1, num_steps + 1):
                state = program.step(state, batch)
                last = step == num_steps
                log, keep_it = last or step % log_every == 0, last or step % checkpoint_every == 0
                due = {n: e for n, e in schedule.items() if last or (e.every and step % e.every == 0)}
                # Processes must leave at the same step, and asking the others costs too much to do it every step.
                ask = jax.process_count() == 1 or log or keep_it
                signal_number = _agree(stop.number or 0) if ask else 0
                if log or due or keep_it or signal_number:
                    _check_finite(state, step, checkpoints)
                values = metrics_lib.read_meters(state.meters) if log else {}
                for name, evaluator in due.items():
                    measured = evaluator.function(program.models(state, evaluator.averaged), step)
                    values |= {f"{name}/{key}": float(value) for key, value in measured.items()}
                    if best is not None and best.startswith(f"{name}/") and best not in values:
                        raise ValueError(f"best={best!r} is not among the metrics of {name!r}: {sorted(measured)}.")
                if values:
                    writer.write(step, values, progress.timing(step, examples))
                better = best is not None and best.split("/", 1)[0] in due and checkpoints.improves(values)
                if keep_it or better or signal_number:
                    save(step, values)
                if signal_number and not last:
                    checkpoints.wait()
                    name = signal.Signals(signal_number).name
                    metrics_lib.say(f"{name}: saved step {step} of {num_steps} in {workdir}; the same command goes on.")
                    raise errors.Interrupted(signal_number, step)
                if not last:
                    batch = _next(stream, step, num_steps)  # while the device works
                if pace.due():
                    jax.block_until_ready(state.step)
                    pace.waited()
                    progress.tick(step, writer.latest)
            checkpoints.wait()
        finally:
            writer.close()
        return Result(program.models(state), max(start, num_steps), writer.latest, state)


def _schedule(evaluators: Mapping[str, Evaluator | Evaluate], default: int | None) -> dict[str, Evaluator]:
    schedule = {}
    for name, evaluator in evaluators.items():
        if not isinstance(evaluator, Evaluator):
            evaluator = Evaluator(evaluator)
        every = default if evaluator.every is None else evaluator.every
        if every is not None and not every >= 1:
            raise errors.OptionError(f"Evaluator {name!r}: every must be >= 1, got {every}.")
        schedule[name] = evaluator._replace(every=every)
    return schedule


def _check_best(best: str | None, names: list[str]) -> None:
    if best is not None and best.split("/", 1)[0] not in names:
        near = difflib.get_close_matches(best.split("/", 1)[0], names, n=1) or names
        raise ValueError(f"best={best!r} belongs to no player or evaluator; did you mean {near[0] + '/...'!r}?")


def _next(stream: Stream, step: int, num_steps: int) -> Mapping[str, np.ndarray]:
    try:
        return next(stream)
    except StopIteration:
        raise ValueError(f"The stream ended after {step} of {num_steps} steps; it must repeat for ever.") from None


def _check_finite(state: step_lib.State, step: int, checkpoints: checkpoint.Checkpoints) -> None:
    """Stops where a loss or gradient was not finite; called before anything is written or saved."""
    bad = {name: int(first) for name, first in jax.device_get(state.meters.first_bad).items() if first}
    if not bad:
        return
    name = min(bad, key=lambda key: bad[key])
    checkpoints.wait()
    good = checkpoints.latest
    kept = f"The last good checkpoint is that of step {good}" if good else "There is no checkpoint before it"
    raise errors.NonFiniteError(
        f"The loss or a gradient of player {name!r} is not finite since step {bad[name]} (seen at step {step}). "
        f"{kept}. The same command would fail again: lower the learning rate, set clip_norm, or look at the batch.",
        bad[name],
    )


def _position(extra: Mapping[str, Any], seed: int, workdir: pathlib.Path) -> Any:
    """This process's position in the data, from what all of them saved."""
    if extra["seed"] != seed:
        raise errors.ConfigChangedError(
            f"The workdir {workdir} holds a run of another seed: it was {extra['seed']} and is now {seed}. "
            "Use another workdir, or the old seed to go on."
        )
    positions, count = extra["positions"], jax.process_count()
    if len(positions) == count:
        return positions[jax.process_index()]
    if all(position == positions[0] for position in positions):
        return positions[0]
    raise errors.CheckpointMismatchError(
        f"The checkpoint in {workdir} was written by {len(positions)} processes that stood at different places in the "
        f"data, so that {count} cannot go on from there. Use {len(positions)} processes."
    )


def _agree(number: int) -> int:
    """The largest of the processes' numbers."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def _gather(value: Any) -> list[Any]:
    """Every process's value, as JSON can hold it."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(text.size))
    padded = np.zeros(int(np.max(lengths)), np.uint8)
    padded[: text.size] = text
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(bytes(row[:length])) for row, length in zip(rows, lengths, strict=True)]


def _close_quietly(checkpoints: checkpoint.Checkpoints) -> None:
    """Lets a running save finish on the way out; the error already under way is the one to tell."""
    try:
        checkpoints.close()
    except errors.CheckpointError:
        pass
