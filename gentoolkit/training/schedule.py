"""How long to train and how the learning rate moves, in steps or in epochs."""

import itertools
import math
from typing import Literal

import optax

from gentoolkit.training import errors


def num_steps(
    *,
    steps: int | None = None,
    epochs: float | None = None,
    steps_per_epoch: int | None = None,
    name: str | None = None,
) -> int:
    """Turns a length in steps or in epochs into steps.

    Args:
      steps: the length in train steps; exclusive with `epochs`.
      epochs: the length in passes over the data, fractions allowed.
      steps_per_epoch: batches in one pass, needed for `epochs`.
      name: what the length is called where the user set it (`"config.evaluate_epochs"`), for messages.

    Returns:
      The number of train steps, at least 1; part of a step counts as one.

    Raises:
      OptionError: not exactly one length given, no `steps_per_epoch` for epochs, or a length that is not positive.

    Examples:
      >>> from gentoolkit import training
      >>> training.num_steps(epochs=1.5, steps_per_epoch=10)
      15
    """
    if (steps is None) == (epochs is None):
        raise errors.OptionError(f"Give exactly one of steps and epochs, got steps={steps} and epochs={epochs}.")
    given, unit = (epochs, "epochs") if steps is None else (steps, "steps")
    if not 0 < given < math.inf:  # type: ignore[operator]
        raise errors.OptionError(f"{name or unit} must be a positive number of {unit}, got {given}.")
    if steps is not None:
        if steps != int(steps):
            raise errors.OptionError(f"{name or 'steps'} must be a whole number of steps, got {steps}.")
        return int(steps)
    if steps_per_epoch is None or steps_per_epoch < 1:
        raise errors.OptionError(f"{name or 'epochs'} needs steps_per_epoch >= 1, got {steps_per_epoch}.")
    # 0.1 epochs of 30 steps is 3.0000000000000004 in floating point and three steps to a person.
    return max(1, math.ceil(round(epochs * steps_per_epoch, 6)))  # type: ignore[operator]


def learning_rate(
    peak: float,
    *,
    num_steps: int,
    decay: Literal["constant", "linear", "cosine", "exponential"] = "constant",
    warmup_steps: int = 0,
    hold_steps: int = 0,
    final_fraction: float = 0.01,
) -> optax.Schedule:
    """Linear warm-up to `peak`, as long as wanted there, then a decay to `final_fraction * peak` at `num_steps`.

    A schedule counts the updates of its optimizer: give a player of several updates a train step that many times
    the steps.

    Args:
      peak: the largest learning rate.
      num_steps: total number of updates, warm-up included.
      decay: the form of the decay; `"constant"` stays at `peak`.
      warmup_steps: updates of the linear rise from 0.
      hold_steps: updates at the peak before it decays; half of all of them in image translation.
      final_fraction: last learning rate over `peak`; > 0 for `"exponential"`.

    Returns:
      A function of the update count.

    Raises:
      OptionError: an unknown form, a negative peak, or a warm-up that leaves no step.

    Examples:
      >>> from gentoolkit import training
      >>> rate = training.learning_rate(0.1, num_steps=100, decay="cosine", warmup_steps=10)
      >>> round(float(rate(5)), 4), round(float(rate(10)), 4), round(float(rate(100)), 4)
      (0.05, 0.1, 0.001)
    """
    if not 0 <= warmup_steps < num_steps:
        raise errors.OptionError(f"warmup_steps must be in [0, num_steps), got {warmup_steps} of {num_steps}.")
    if not 0 <= hold_steps < num_steps - warmup_steps:
        most = num_steps - warmup_steps
        raise errors.OptionError(f"hold_steps must be in [0, {most}), what is left, got {hold_steps} of {num_steps}.")
    least = "> 0" if decay == "exponential" else ">= 0"
    for name, value, bound in (("peak", peak, ">= 0"), ("final_fraction", final_fraction, least)):
        if not (0 < value < math.inf or (value == 0 and bound == ">= 0")):
            raise errors.OptionError(f"{name} must be a finite number {bound} (decay={decay!r}), got {value}.")
    left = num_steps - warmup_steps - hold_steps
    if decay == "constant":
        after = optax.constant_schedule(peak)
    elif decay == "linear":
        after = optax.linear_schedule(peak, peak * final_fraction, left)
    elif decay == "cosine":
        after = optax.cosine_decay_schedule(peak, left, alpha=final_fraction)
    elif decay == "exponential":
        after = optax.exponential_decay(peak, left, final_fraction)
    else:
        raise errors.OptionError(f"decay must be constant, linear, cosine or exponential, got {decay!r}.")
    parts = [
        (optax.linear_schedule(0.0, peak, warmup_steps), warmup_steps),
        (optax.constant_schedule(peak), hold_steps),
    ]
    before = [(part, steps) for part, steps in parts if steps]
    if not before:
        return after
    ends = list(itertools.accumulate(steps for _, steps in before))
    return optax.join_schedules([*(part for part, _ in before), after], ends)
