"""A quasi-Newton descent inside a box, in lock-step: fixed shapes, no line search of unknown length, for `jax.vmap`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import _blocks

# Longest step, for parameters that are logarithms: a factor of e^2.
_LONGEST = 2.0
_SUFFICIENT = 1e-4


class _State(NamedTuple):
    step: jax.Array
    theta: jax.Array
    value: jax.Array
    slope: jax.Array
    inverse: jax.Array  # of the Hessian, approximately
    length: jax.Array  # share of the quasi-Newton step that is tried next
    done: jax.Array


def minimize(
    loss: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    lower: jax.Array,
    upper: jax.Array,
    *,
    num_steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Minimum of `loss` over a box, from `start` `[k]`; one evaluation with gradient a step.

    A trial that does not lower the loss enough (or is NaN) is dropped and its step shortened fourfold.

    Returns:
      The end `[k]` and its loss `[]`, never above that of the start.
    """
    with_slope = jax.value_and_grad(loss)
    value, slope = with_slope(start)
    eps = float(jnp.finfo(start.dtype).eps)
    tolerance = eps**0.5
    identity = jnp.eye(start.shape[0], dtype=start.dtype)

    def inside(state):
        """Gradient without the parts that push out of the box."""
        out = ((state.theta <= lower) & (state.slope > 0)) | ((state.theta >= upper) & (state.slope < 0))
        return jnp.where(out, 0.0, state.slope)

    def step(state):
        free = inside(state)
        moving = (free != 0).astype(free.dtype)
        direction = -moving * _blocks.matmul(state.inverse, free[:, None])[:, 0]
        downhill = jnp.sum(direction * free) < 0
        direction = jnp.where(downhill, direction, -free)
        longest = jnp.max(jnp.abs(direction))
        direction = direction * jnp.minimum(1.0, _LONGEST / jnp.maximum(longest, 1e-30))
        theta = jnp.clip(state.theta + state.length * direction, lower, upper)
        moved = theta - state.theta
        value, slope = with_slope(theta)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
        better = finite & (value <= state.value + _SUFFICIENT * jnp.sum(moved * state.slope)) & (value < state.value)
        bend = jnp.where(finite, slope - state.slope, 0.0)
        curvature = jnp.sum(moved * bend)
        # A failed trial still tells the curvature.
        convex = curvature > eps * jnp.sum(bend * bend)
        inverse = jnp.where(convex, _bfgs(state.inverse, moved, bend, curvature), state.inverse)
        small = jnp.max(jnp.abs(moved)) < tolerance
        gained = (state.value - value) <= 4.0 * eps * jnp.abs(state.value)
        return _State(
            step=state.step + 1,
            theta=jnp.where(better, theta, state.theta),
            value=jnp.where(better, value, state.value),
            slope=jnp.where(better, slope, state.slope),
            inverse=inverse,
            length=jnp.where(better, jnp.minimum(1.0, 4.0 * state.length), 0.25 * state.length),
            done=small | (better & gained),
        )

    def pending(state):
        going = (state.step < num_steps) & ~state.done & jnp.isfinite(state.value)
        return going & (jnp.max(jnp.abs(inside(state))) > 10.0 * eps)

    # The first step is along the gradient, one unit long.
    first = identity / jnp.maximum(jnp.max(jnp.abs(slope)), 1e-30)
    one = jnp.ones((), start.dtype)
    state = _State(jnp.zeros((), jnp.int32), start, value, slope, first, one, jnp.zeros((), bool))
    state = jax.lax.while_loop(pending, step, state)
    return state.theta, state.value


def _bfgs(inverse, moved, bend, curvature):
    rate = 1.0 / jnp.where(curvature > 0, curvature, 1.0)
    left = jnp.eye(moved.shape[0], dtype=moved.dtype) - rate * moved[:, None] * bend[None, :]
    middle = _blocks.matmul(_blocks.matmul(left, inverse), left.T)
    return middle + rate * moved[:, None] * moved[None, :]
