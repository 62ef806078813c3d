"""Who moves: losses with their optimizers, what an objective sees when its turn comes, and what it may return."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gentoolkit.training import errors, functional

Batch = Mapping[str, Any]


class Turn(NamedTuple):
    """What an objective knows of the moment at which it is called.

    Attributes:
      key: a PRNG key, fresh for every update.
      step: int32 scalar, the train step, counted from 0: a weight may depend on it, and `jax.lax.cond` on it calls a
        penalty at every k-th step only (with `training.pure`, since modules must not change inside a branch).
      averages: the models with the moving averages of their parameters and batch statistics, as they stood before the
        step, in evaluation mode; those models for which `ema_decay` asks.
    """

    key: jax.Array
    step: jax.Array | int = 0
    averages: Mapping[str, Any] = {}


class Averages(dict[str, Any]):
    """The averaged models by name; says what is missing where there are none."""

    def __missing__(self, name: str) -> Any:
        """Refuses a model without averages."""
        raise KeyError(f"there are no averages of the model {name!r}: ema_decay does not ask for them")


Objective = Callable[[functional.Models, Batch, Turn], tuple[Any, ...]]


class Player(NamedTuple):
    """A loss, and the parameters that are trained to lower it. An auto-encoder has one player, a GAN two, some more.

    Attributes:
      objective: `(models, batch, turn) -> (loss, metrics)` or `(loss, metrics, handed)`: a float32 scalar, a dict of
        scalars, and a dict of arrays. `models` are the modules by name, in the mode in which they were built; what they
        change in their variables (batch statistics, spectral norms) is kept. Frozen modules stand beside them. Under
        jit the batch is the global one. Players that move later in the same step find a handed array in their batch as
        `"player/name"`, as a constant: say, the images that a generator made for its own loss. It is of the last of
        several updates, and never part of the state.
      optimizer: an optax transformation; it sees a flat dict from parameter name to array.
      trains: names of the models it updates, or the beginnings of parameter paths (`"autoencoder/encoder"`); None
        means all. Players may share a parameter; each keeps its own optimizer state for it.
      steps: updates in each train step, all on the same batch, each with its own key.
      every: updates only at train steps 0, every, 2 * every, ... (so the others get `every` fresh batches meanwhile).
        A player that hands arrays on must move at every step.
      clip_norm: gradients of a larger global norm are scaled down to it; None does not clip.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    trains: Sequence[str] | None = None
    steps: int = 1
    every: int = 1
    clip_norm: float | None = None


def check_names(kind: str, names: Any) -> None:
    """Refuses names that would make paths ambiguous."""
    for name in names:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"The name of a {kind} must be a non-empty string without '/', got {name!r}.")


def trained(name: str, player: Player, params: Mapping[str, Any], frozen: Mapping[str, Any]) -> list[str]:
    """The names of the parameters that a player updates."""
    if player.steps < 1 or player.every < 1:
        raise errors.OptionError(
            f"Player {name!r}: steps and every must be >= 1, got {player.steps} and {player.every}."
        )
    if player.clip_norm is not None and not player.clip_norm > 0:
        raise errors.OptionError(f"Player {name!r}: clip_norm must be > 0, got {player.clip_norm}.")
    if player.trains is None:
        return list(params)
    if isinstance(player.trains, str):
        raise TypeError(f"Player {name!r}: trains must be a sequence of names, got the string {player.trains!r}.")
    chosen: dict[str, None] = {}
    for prefix in player.trains:
        if prefix.split("/", 1)[0] in frozen:
            raise ValueError(f"Player {name!r} trains {prefix!r}, which is frozen.")
        found = [k for k in params if under(k, prefix)]
        if not found:
            raise ValueError(
                f"Player {name!r} trains {prefix!r}, which has no parameters; did you mean {near(prefix, params)!r}?"
            )
        chosen |= dict.fromkeys(found)
    return [k for k in params if k in chosen]


def under(name: str, prefix: str) -> bool:
    """Whether a path is another one, or lies below it."""
    return name == prefix or name.startswith(f"{prefix}/")


def near(prefix: str, names: Any) -> str:
    """The beginning of a path that is most like this one."""
    known = {"/".join(k.split("/")[:depth]) for k in names for depth in range(1, k.count("/") + 2)}
    return (difflib.get_close_matches(prefix, known, n=1) or sorted(k for k in known if "/" not in k))[0]


def checked(name: str, player: Player, result: Any) -> tuple[jax.Array, dict[str, jax.Array], dict[str, Any]]:
    """Refuses, while tracing, what is not (float32 scalar, dict of scalars[, dict of arrays])."""
    parts = result if isinstance(result, tuple) else ()
    if len(parts) not in (2, 3) or not all(isinstance(part, Mapping) for part in parts[1:]):
        raise TypeError(
            f"The objective of player {name!r} must return (loss, dict of metrics) or (loss, dict of metrics, dict of "
            f"arrays handed on), got {type(result)}."
        )
    loss, metrics, handed = (*parts, {})[:3]
    if jnp.shape(loss) or dtype_of(loss) not in (jnp.float32, jnp.float64):
        raise TypeError(
            f"The loss of player {name!r} must be a float32 scalar, got {dtype_of(loss)}{list(jnp.shape(loss))}. "
            "Take the mean over the batch, and cast the model's output to float32 before the loss."
        )
    for key, value in metrics.items():
        if jnp.shape(value):
            raise TypeError(f"The metric {name}/{key} must be a scalar, got shape {jnp.shape(value)}.")
        if key in ("loss", "grad_norm"):
            raise ValueError(f"The metric {name}/{key} is logged by the trainer itself; choose another name.")
    check_names("handed array", handed)
    if handed and player.every > 1:
        raise ValueError(
            f"Player {name!r} hands on {sorted(handed)}, so it must move at every step (every=1), got every="
            f"{player.every}: at the other steps the players after it would have nothing."
        )
    metrics = {k: jnp.asarray(v) for k, v in metrics.items()}
    return jnp.asarray(loss, jnp.float32), metrics, jax.tree.map(jnp.asarray, dict(handed))


def dtype_of(leaf: Any) -> Any:
    """The dtype that a leaf, of whatever kind, has inside jit."""
    return jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype if not hasattr(leaf, "dtype") else leaf.dtype)
