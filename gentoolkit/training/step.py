"""One train step of any number of players, compiled once with donated buffers; the state is a plain pytree."""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gentoolkit.training import ema, functional
from gentoolkit.training import mesh as mesh_lib

Batch = Mapping[str, Any]
Objective = Callable[[functional.Models, Batch, jax.Array], tuple[jax.Array, Mapping[str, jax.Array]]]
MakeModels = Callable[[nnx.Rngs], Mapping[str, nnx.Module]]


class Player(NamedTuple):
    """One loss, and the parameters that go down its slope. An auto-encoder has one player, a GAN two, some more.

    Attributes:
      objective: `(models, batch, key) -> (loss, metrics)`: a float32 scalar and a dict of scalars. `models` are the
        modules by name, in the mode in which they were built; what they change in their variables (batch statistics,
        spectral norms) is kept. `key` is fresh for every update. Under jit the batch is the global one.
      optimizer: an optax transformation; it sees a flat dict from parameter name to array.
      trains: names of the models it updates, or the beginnings of parameter paths (`"autoencoder/encoder"`); None
        means all. Players may share a parameter; each keeps its own optimizer state for it.
      steps: updates in each train step, all on the same batch, each with its own key.
      every: updates only at train steps 0, every, 2 * every, ... (so the others get `every` fresh batches meanwhile).
      clip_norm: gradients of a larger global norm are scaled down to it; None does not clip.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    trains: Sequence[str] | None = None
    steps: int = 1
    every: int = 1
    clip_norm: float | None = None


class Meters(NamedTuple):
    """What the steps since the last log line have seen; part of the state, so that a resumed run logs the same."""

    sums: dict[str, jax.Array]  # by metric, summed over the steps at which its player moved
    counts: dict[str, jax.Array]  # by player
    first_bad: dict[str, jax.Array]  # by player: first step (from 1) with a loss or gradient not finite, or 0


class State(NamedTuple):
    """Everything that training changes."""

    step: jax.Array  # int32, train steps made
    key: jax.Array  # typed key, never changes; step t uses fold_in(key, t)
    params: dict[str, jax.Array]  # nnx.Param leaves by path, float32 as the models make them
    rest: dict[str, jax.Array]  # all other variables by path
    opt_states: dict[str, Any]  # by player
    average: dict[str, jax.Array]  # moving average of parameters
    meters: Meters


class Program(NamedTuple):
    """The compiled parts of a training run, for the loop, for benchmarks and for tests.

    Attributes:
      init: `(seed) -> State`, born with its shardings.
      step: `(state, batch) -> State`; the state that goes in is used up. `batch` is this process's part.
      models: `(state, averaged=True) -> dict of modules` in evaluation mode, with the averaged parameters where there
        are some. Copies nothing: use them before the next step.
      abstract: the shapes, dtypes and shardings of a `State`.
    """

    init: Callable[[int], State]
    step: Callable[[State, Batch], State]
    models: Callable[..., functional.Models]
    abstract: State


def program(
    models: MakeModels,
    players: Mapping[str, Player],
    batch: Batch,
    *,
    ema_decay: ema.Decay = None,
    compute_dtype: Any = None,
    mesh: jax.sharding.Mesh | None = None,
    log_every: int = 1,
) -> Program:
    """Turns models and players into functions of a state.

    Args:
      models: builds the modules from `nnx.Rngs`; called while tracing.
      players: by name, in the order in which they move within a step.
      batch: an example of this process's part of a batch (only shapes and dtypes matter).
      ema_decay: decay of the moving average of parameters, one for all models or by model name; None keeps none.
      compute_dtype: e.g. `jnp.bfloat16` for mixed precision: inside objectives, layers whose `dtype` was left open
        compute in it. Parameters, statistics, gradients and updates stay in their own dtype; losses must be float32.
      mesh: from `make_mesh`; None uses the first device.
      log_every: metrics are averaged over intervals of this many steps.

    Returns:
      The program. Nothing is compiled or allocated yet.

    Raises:
      ValueError: no players, an unknown name in `trains`, an option out of range.
      TypeError: an objective that does not return a float32 scalar and a dict of scalars.
    """
    mesh = mesh_lib.make_mesh(num_devices=1) if mesh is None else mesh
    _check_names("player", players)
    structure, params, rest = abstract_models(models)
    trained = {name: _trained(name, player, params) for name, player in players.items()}
    if not players:
        raise ValueError("There are no players, so nothing would be trained.")
    decay = ema.decays(ema_decay, params)
    updates = {
        name: functools.partial(_update, structure, name, player, trained[name], compute_dtype)
        for name, player in players.items()
    }
    shardings = mesh_lib.batch_shardings(mesh, batch)
    spec = {k: jax.ShapeDtypeStruct(mesh_lib.global_shape(jnp.shape(v)), _dtype(v)) for k, v in batch.items()}

    def init(seed: jax.Array) -> State:
        key = jax.random.key(seed)
        _, params, rest = functional.split(models(nnx.Rngs(jax.random.fold_in(key, 0))))
        own = {name: {k: params[k] for k in trained[name]} for name in players}
        state = State(
            step=jnp.int32(0),
            key=jax.random.fold_in(key, 1),
            params=params,
            rest=rest,
            opt_states={name: player.optimizer.init(own[name]) for name, player in players.items()},
            average={k: params[k].astype(jnp.promote_types(params[k].dtype, jnp.float32)) for k in decay},
            meters=Meters({}, *({name: jnp.int32(0) for name in players} for _ in range(2))),
        )
        names: list[str] = []  # of the metrics: only the objectives know them
        for name, update in updates.items():
            names += jax.eval_shape(update, state.params, state.rest, state.opt_states[name], spec, key)[1]
        return _strong(state._replace(meters=state.meters._replace(sums={k: jnp.float32(0) for k in names})))

    def step(state: State, batch: Batch) -> State:
        key = jax.random.fold_in(state.key, state.step)
        params, rest, opt_states = state.params, state.rest, dict(state.opt_states)
        fresh = state.step % log_every == 0
        sums, counts = ({k: jnp.where(fresh, 0, v) for k, v in part.items()} for part in state.meters[:2])
        first_bad = dict(state.meters.first_bad)
        for index, (name, player) in enumerate(players.items()):
            carry = (params, rest, opt_states[name])
            metric_names = [k for k in sums if k.startswith(f"{name}/")]
            turn = functools.partial(updates[name], batch=batch, key=jax.random.fold_in(key, index))
            carry, metrics, finite, moved = _turn(turn, carry, metric_names, player.every, state.step)
            params, rest, opt_states[name] = carry
            sums |= {k: sums[k] + v for k, v in metrics.items()}
            counts[name] += moved
            first_bad[name] = jnp.where((first_bad[name] == 0) & ~finite, state.step + 1, first_bad[name])
        average = ema.update(state.average, params, state.step, decay)
        return State(state.step + 1, state.key, params, rest, opt_states, average, Meters(sums, counts, first_bad))

    abstract = mesh_lib.with_shardings(jax.eval_shape(init, jax.ShapeDtypeStruct((), jnp.uint32)), mesh)
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    compiled_init = jax.jit(init, out_shardings=state_shardings)
    compiled_step = jax.jit(
        step, donate_argnums=0, in_shardings=(state_shardings, shardings), out_shardings=state_shardings
    )

    def view(state: State, averaged: bool = True) -> functional.Models:
        params = state.params | state.average if averaged else state.params
        return functional.evaluation(structure.merge(params, state.rest))

    return Program(
        init=lambda seed: compiled_init(np.uint32(seed)),
        step=lambda state, batch: compiled_step(state, mesh_lib.put_batch(batch, shardings)),
        models=view,
        abstract=abstract,
    )


def _turn(update, carry, metric_names, every, step):
    """Lets a player move, or not if it is not its turn; returns (carry, metrics, finite, moved)."""
    if every == 1:
        return *update(*carry), jnp.int32(1)

    def stay(*carry):
        return carry, dict.fromkeys(metric_names, jnp.float32(0)), jnp.bool(True)

    due = step % every == 0
    return *jax.lax.cond(due, update, stay, *carry), due.astype(jnp.int32)


def _update(structure, name, player, trained, compute_dtype, params, rest, opt_state, batch, key):
    """Makes the updates of one player in one step; returns ((params, rest, opt_state), metrics, finite)."""

    def loss_fn(own, rest, key):
        modules = functional.compute_in(structure.merge(params | own, rest), compute_dtype)
        loss, metrics = _checked(name, player.objective(modules, batch, key))
        after = functional.split(modules)[2]
        return loss, (metrics, {k: _like(after[k], leaf) for k, leaf in rest.items()})

    def once(carry, index):
        own, rest, opt_state, total, finite = carry
        inner_key = jax.random.fold_in(key, index)
        (loss, (metrics, rest)), grads = jax.value_and_grad(loss_fn, has_aux=True)(own, rest, inner_key)
        norm = optax.tree.norm(grads).astype(jnp.float32)
        if player.clip_norm is not None:
            scale = jnp.minimum(1.0, player.clip_norm / jnp.maximum(norm, 1e-12))
            grads = {k: g * scale.astype(g.dtype) for k, g in grads.items()}
        changes, opt_state = optimizer.update(grads, opt_state, own, value=loss)
        own = optax.apply_updates(own, changes)
        seen = {f"{name}/loss": loss, f"{name}/grad_norm": norm}
        seen |= {f"{name}/{k}": v.astype(jnp.float32) for k, v in metrics.items()}
        total = seen if total is None else {k: total[k] + v for k, v in seen.items()}
        return own, rest, opt_state, total, finite & jnp.isfinite(loss) & jnp.isfinite(norm)

    optimizer = optax.with_extra_args_support(player.optimizer)
    carry = ({k: params[k] for k in trained}, rest, opt_state, None, jnp.bool(True))
    carry = once(carry, 0)
    if player.steps > 1:
        # A loop, not unrolled: the program stays as small as that of one update.
        carry = jax.lax.fori_loop(1, player.steps, lambda i, c: _strong(once(c, i)), _strong(carry))
    own, rest, opt_state, total, finite = _strong(carry)
    return (params | own, rest, opt_state), {k: v / player.steps for k, v in total.items()}, finite


def abstract_models(models: MakeModels) -> tuple[functional.Structure, functional.Arrays, functional.Arrays]:
    """Traces the construction of the models: their structure, and the shapes of their arrays."""
    structures = []

    def build(key):
        made = models(nnx.Rngs(key))
        if not isinstance(made, Mapping) or not all(isinstance(m, nnx.Module) for m in made.values()):
            raise TypeError(f"models(rngs) must return a dict from name to nnx.Module, got {made!r}.")
        _check_names("model", made)
        structure, params, rest = functional.split(made)
        structures.append(structure)
        return params, rest

    params, rest = jax.eval_shape(build, jax.random.key(0))
    return structures[0], params, rest


def _check_names(kind: str, names: Iterable[str]) -> None:
    """Refuses names that would make paths ambiguous."""
    for name in names:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"The name of a {kind} must be a non-empty string without '/', got {name!r}.")


def _trained(name: str, player: Player, params: Mapping[str, Any]) -> list[str]:
    """The names of the parameters that a player updates."""
    if player.steps < 1 or player.every < 1:
        raise ValueError(f"Player {name!r}: steps and every must be >= 1, got {player.steps} and {player.every}.")
    if player.clip_norm is not None and not player.clip_norm > 0:
        raise ValueError(f"Player {name!r}: clip_norm must be > 0, got {player.clip_norm}.")
    if player.trains is None:
        return list(params)
    if isinstance(player.trains, str):
        raise TypeError(f"Player {name!r}: trains must be a sequence of names, got the string {player.trains!r}.")
    chosen: dict[str, None] = {}
    for prefix in player.trains:
        found = [k for k in params if k == prefix or k.startswith(f"{prefix}/")]
        if not found:
            known = {"/".join(k.split("/")[:depth]) for k in params for depth in range(1, k.count("/") + 2)}
            near = difflib.get_close_matches(prefix, known, n=1) or sorted(k for k in known if "/" not in k)
            raise ValueError(f"Player {name!r} trains {prefix!r}, which has no parameters; did you mean {near[0]!r}?")
        chosen |= dict.fromkeys(found)
    return [k for k in params if k in chosen]


def _checked(name: str, result: Any) -> tuple[jax.Array, Mapping[str, jax.Array]]:
    """Refuses what is not (float32 scalar, dict of scalars) while tracing."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
        raise TypeError(f"The objective of player {name!r} must return (loss, dict of metrics), got {type(result)}.")
    loss, metrics = result
    if jnp.shape(loss) or _dtype(loss) not in (jnp.float32, jnp.float64):
        raise TypeError(
            f"The loss of player {name!r} must be a float32 scalar, got {_dtype(loss)}{list(jnp.shape(loss))}. "
            "Take the mean over the batch, and cast the model's output to float32 before the loss."
        )
    for key, value in metrics.items():
        if jnp.shape(value):
            raise TypeError(f"The metric {name}/{key} must be a scalar, got shape {jnp.shape(value)}.")
        if key in ("loss", "grad_norm"):
            raise ValueError(f"The metric {name}/{key} is logged by the trainer itself; choose another name.")
    return jnp.asarray(loss, jnp.float32), {k: jnp.asarray(v) for k, v in metrics.items()}


def _dtype(leaf: Any) -> Any:
    """The dtype that a leaf, of whatever kind, has inside jit."""
    return jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype if not hasattr(leaf, "dtype") else leaf.dtype)


def _strong(tree: Any) -> Any:
    """Removes weak types, which would make the second step another program than the first."""
    return jax.tree.map(lambda x: x if _is_key(x) else jax.lax.convert_element_type(x, _dtype(x)), tree)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)


def _like(new: jax.Array, old: jax.Array) -> jax.Array:
    return new if new.dtype == old.dtype else new.astype(old.dtype)
