"""How long to train and how the learning rate moves, in steps or in epochs."""

import math
from typing import Literal

import optax


def num_steps(*, steps: int | None = None, epochs: float | None = None, steps_per_epoch: int | None = None) -> int:
    """Turns a length in steps or in epochs into steps.

    Args:
      steps: the length in train steps; exclusive with `epochs`.
      epochs: the length in passes over the data, fractions allowed.
      steps_per_epoch: batches in one pass, needed for `epochs`.

    Returns:
      The number of train steps, at least 1; part of a step counts as one.

    Raises:
      ValueError: not exactly one length given, no `steps_per_epoch` for epochs, or a length that is not positive.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"Give exactly one of steps and epochs, got steps={steps} and epochs={epochs}.")
    if steps is None:
        if steps_per_epoch is None or steps_per_epoch < 1:
            raise ValueError(f"A length in epochs needs steps_per_epoch >= 1, got {steps_per_epoch}.")
        # 0.1 epochs of 30 steps is 3.0000000000000004 in floating point and three steps to a person.
        steps = math.ceil(round(epochs * steps_per_epoch, 6))  # type: ignore[operator]
    if steps < 1:
        raise ValueError(f"The length must be at least one step, got {steps}.")
    return steps


def learning_rate(
    peak: float,
    *,
    num_steps: int,
    decay: Literal["constant", "linear", "cosine", "exponential"] = "constant",
    warmup_steps: int = 0,
    final_fraction: float = 0.01,
) -> optax.Schedule:
    """Linear warm-up to `peak`, then a decay to `final_fraction * peak` at `num_steps`.

    A schedule counts the updates of its optimizer: give a player of several updates a train step that many times
    the steps.

    Args:
      peak: the largest learning rate.
      num_steps: total number of updates, warm-up included.
      decay: the form of the decay; `"constant"` stays at `peak`.
      warmup_steps: updates of the linear rise from 0.
      final_fraction: last learning rate over `peak`; > 0 for `"exponential"`.

    Returns:
      A function of the update count.

    Raises:
      ValueError: an unknown form, a negative peak, or a warm-up that leaves no step.
    """
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(f"warmup_steps must be in [0, num_steps), got {warmup_steps} of {num_steps}.")
    if peak < 0 or final_fraction < 0 or (decay == "exponential" and final_fraction == 0):
        raise ValueError(f"peak and final_fraction must not be negative, got {peak} and {final_fraction} ({decay}).")
    left = num_steps - warmup_steps
    if decay == "constant":
        after = optax.constant_schedule(peak)
    elif decay == "linear":
        after = optax.linear_schedule(peak, peak * final_fraction, left)
    elif decay == "cosine":
        after = optax.cosine_decay_schedule(peak, left, alpha=final_fraction)
    elif decay == "exponential":
        after = optax.exponential_decay(peak, left, final_fraction)
    else:
        raise ValueError(f"decay must be constant, linear, cosine or exponential, got {decay!r}.")
    if not warmup_steps:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), after], [warmup_steps])
