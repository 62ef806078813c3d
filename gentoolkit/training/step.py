"""One train step of any number of players, compiled once with donated buffers; the state is a plain pytree."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gentoolkit.training import cpu, ema, errors, functional
from gentoolkit.training import frozen as frozen_lib
from gentoolkit.training import initial as initial_lib
from gentoolkit.training import mesh as mesh_lib
from gentoolkit.training.player import Averages, Batch, Player, Turn, check_names, checked, dtype_of, trained

MakeModels = Callable[[nnx.Rngs], Mapping[str, nnx.Module]]
Prepare = Callable[[Batch], Batch]


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
    rest: dict[str, jax.Array]  # all other variables by path: statistics, counts, keys, pools of images
    opt_states: dict[str, Any]  # by player
    average: dict[str, jax.Array]  # moving averages of parameters and batch statistics
    meters: Meters


class Program(NamedTuple):
    """The compiled parts of a training run, for the loop, for benchmarks, for tests, and for a loop of your own.

    Attributes:
      init: `(seed, initial=None) -> State`, born with its shardings; `initial` as in `train`.
      step: `(state, batch) -> State`; the state that goes in is used up. `batch` is this process's part.
      models: `(state, averaged=True) -> dict of modules` in evaluation mode, with the averaged parameters and
        statistics where there are some, and the frozen ones. Copies nothing: use them before the next step.
      abstract: the shapes, dtypes and shardings of a `State`.
    """

    init: Callable[..., State]
    step: Callable[[State, Batch], State]
    models: Callable[..., functional.Models]
    abstract: State


class _Parts(NamedTuple):
    """What the updates of all players share, beside arrays."""

    structure: functional.Structure
    frozen: frozen_lib.Frozen
    averaged: tuple[str, ...]  # the models that have averages
    compute_dtype: Any

    def models(self, params, rest, frozen) -> functional.Models:
        """The models as they are, and the frozen ones."""
        modules = self.structure.merge(params, rest) | self.frozen.merge(frozen)
        return functional.compute_in(modules, self.compute_dtype)

    def averages(self, params, rest, average) -> functional.Models:
        """The averaged models, in evaluation mode."""
        modules = functional.evaluation(with_averages(self.structure, params, rest, average)) if self.averaged else {}
        return Averages(functional.compute_in({name: modules[name] for name in self.averaged}, self.compute_dtype))


def program(
    models: MakeModels,
    players: Mapping[str, Player],
    batch: Batch,
    *,
    frozen: Mapping[str, nnx.Module] | None = None,
    prepare: Prepare | None = None,
    ema_decay: ema.Decay = None,
    compute_dtype: Any = None,
    mesh: jax.sharding.Mesh | None = None,
    log_every: int = 1,
) -> Program:
    """Turns models and players into functions of a state.

    Args:
      models: builds the modules from `nnx.Rngs`; called while tracing.
      players: by name, in the order in which they move within a step.
      batch: an example of this process's part of a batch, a dict of trees of arrays (only shapes and dtypes matter).
      frozen: modules by name that objectives see and nobody trains, in evaluation mode; their arrays are arguments of
        the compiled step and no part of the state.
      prepare: `batch -> batch`, the first thing in the compiled step, once for all players: say, bytes to floats.
      ema_decay: decay of the moving average of parameters and batch statistics, one for all models or by model name;
        None keeps none.
      compute_dtype: e.g. `jnp.bfloat16` for mixed precision: inside objectives, layers whose `dtype` was left open
        compute in it. Parameters, statistics, gradients and updates stay in their own dtype; losses must be float32.
      mesh: from `make_mesh`; None uses the first device.
      log_every: metrics are averaged over intervals of this many steps.

    Returns:
      The program. Nothing of its own is compiled or allocated yet; frozen modules are put on the devices.

    Raises:
      OptionError: an option out of range, a batch that the devices do not divide.
      ValueError: no players, an unknown name in `trains`, a name used twice.
      TypeError: an objective that does not return a float32 scalar and a dict of scalars.
    """
    mesh = mesh_lib.make_mesh(num_devices=1) if mesh is None else mesh
    platform = mesh.devices.flat[0].platform
    cpu.keep_memory(platform)
    check_names("player", players)
    structure, params, rest = abstract_models(models)
    fixed = _frozen(frozen or {}, params.keys() | rest.keys(), mesh)
    trains = {name: trained(name, player, params, frozen or {}) for name, player in players.items()}
    if not players:
        raise ValueError("There are no players, so nothing would be trained.")
    statistics = [k for k, v in rest.items() if k in structure.statistics and jnp.issubdtype(v.dtype, jnp.floating)]
    decay = ema.decays(ema_decay, [*params, *statistics])
    with_average = tuple(dict.fromkeys(name.split("/", 1)[0] for name in decay))
    parts = _Parts(structure, fixed, with_average, compute_dtype)
    updates = {name: functools.partial(_update, parts, name, player, trains[name]) for name, player in players.items()}
    shardings = mesh_lib.batch_shardings(mesh, batch)
    spec = jax.tree.map(lambda v: jax.ShapeDtypeStruct(mesh_lib.global_shape(jnp.shape(v)), dtype_of(v)), dict(batch))
    frozen_arrays = (fixed.params, fixed.rest)

    def init(seed: jax.Array, initial: Mapping[str, jax.Array]) -> State:
        key = jax.random.key(seed)
        _, params, rest = functional.split(models(nnx.Rngs(jax.random.fold_in(key, 0))))
        params, rest = ({k: initial.get(k, v) for k, v in part.items()} for part in (params, rest))
        own = {name: {k: params[k] for k in trains[name]} for name in players}
        both = params | rest
        state = State(
            step=jnp.int32(0),
            key=jax.random.fold_in(key, 1),
            params=params,
            rest=rest,
            opt_states={name: player.optimizer.init(own[name]) for name, player in players.items()},
            average={k: both[k].astype(jnp.promote_types(both[k].dtype, jnp.float32)) for k in decay},
            meters=Meters({}, *({name: jnp.int32(0) for name in players} for _ in range(2))),
        )
        names: list[str] = []  # of the metrics: only the objectives know them
        seen = jax.eval_shape(functools.partial(_prepared, prepare), spec)
        for name, update in updates.items():
            carry = (state.params, state.rest, state.opt_states[name])
            given = {"batch": seen, "average": state.average, "frozen": frozen_arrays, "key": key, "step": state.step}
            _, metrics, _, handed = jax.eval_shape(update, *carry, **given)
            names += metrics
            seen = _handed_on(seen, handed, name)
        return _strong(state._replace(meters=state.meters._replace(sums={k: jnp.float32(0) for k in names})))

    def step(state: State, batch: Batch, frozen: tuple[functional.Arrays, functional.Arrays]) -> State:
        key = jax.random.fold_in(state.key, state.step)
        params, rest, opt_states = state.params, state.rest, dict(state.opt_states)
        batch = _prepared(prepare, batch)
        fresh = state.step % log_every == 0
        sums, counts = ({k: jnp.where(fresh, 0, v) for k, v in part.items()} for part in state.meters[:2])
        first_bad = dict(state.meters.first_bad)
        for index, (name, player) in enumerate(players.items()):
            carry = (params, rest, opt_states[name])
            metric_names = [k for k in sums if k.startswith(f"{name}/")]
            now = {"key": jax.random.fold_in(key, index), "step": state.step}
            turn = functools.partial(updates[name], batch=batch, average=state.average, frozen=frozen, **now)
            carry, metrics, finite, handed, moved = _turn(turn, carry, metric_names, player.every, state.step)
            params, rest, opt_states[name] = carry
            batch = _handed_on(batch, handed, name)
            sums |= {k: sums[k] + v for k, v in metrics.items()}
            counts[name] += moved
            first_bad[name] = jnp.where((first_bad[name] == 0) & ~finite, state.step + 1, first_bad[name])
        average = ema.update(state.average, params | rest, state.step, decay)
        return State(state.step + 1, state.key, params, rest, opt_states, average, Meters(sums, counts, first_bad))

    abstract = mesh_lib.with_shardings(jax.eval_shape(init, jax.ShapeDtypeStruct((), jnp.uint32), {}), mesh)
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    frozen_shardings = jax.tree.map(lambda leaf: leaf.sharding, frozen_arrays)
    compiled_init = jax.jit(init, out_shardings=state_shardings, compiler_options=cpu.once_options(platform))
    compiled_step = jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(state_shardings, shardings, frozen_shardings),
        out_shardings=state_shardings,
        compiler_options=cpu.compiler_options(platform),
    )

    def begin(seed: int, initial: initial_lib.Source | initial_lib.Initial | None = None) -> State:
        if not 0 <= seed < 2**32:
            raise errors.OptionError(f"seed must be from 0 to 2**32 - 1, got {seed}.")
        arrays = {} if initial is None else initial_lib.read(initial, structure, params, rest, mesh)
        return compiled_init(np.uint32(seed), arrays)

    def advance(state: State, batch: Batch) -> State:
        if isinstance(state.step, jax.core.Tracer):  # Part of a larger program, which has its own options.
            return step(state, batch, frozen_arrays)
        return compiled_step(state, mesh_lib.put_batch(batch, shardings), frozen_arrays)

    def view(state: State, averaged: bool = True) -> functional.Models:
        modules = with_averages(structure, state.params, state.rest, state.average if averaged else {})
        return functional.evaluation(modules | fixed.merge(frozen_arrays))

    return Program(init=begin, step=advance, models=view, abstract=abstract)


def _frozen(modules: Mapping[str, nnx.Module], names: Any, mesh: jax.sharding.Mesh) -> frozen_lib.Frozen:
    check_names("frozen model", modules)
    for name, module in modules.items():
        if not isinstance(module, nnx.Module):
            raise TypeError(f"frozen[{name!r}] must be an nnx.Module, got {type(module)}.")
    both = modules.keys() & {name.split("/", 1)[0] for name in names}
    if both:
        raise ValueError(f"{sorted(both)} are names of frozen and of trained models; choose others.")
    return frozen_lib.place(modules, mesh)


def with_averages(structure, params, rest, average) -> functional.Models:
    """Modules with averages in the place of the arrays that have some."""
    return structure.merge(*({k: average.get(k, v) for k, v in part.items()} for part in (params, rest)))


def _prepared(prepare: Prepare | None, batch: Batch) -> dict[str, Any]:
    made = batch if prepare is None else prepare(batch)
    if not isinstance(made, Mapping):
        raise TypeError(f"prepare must return a batch (a dict), got {type(made)}.")
    return dict(made)


def _handed_on(batch: Mapping[str, Any], handed: Mapping[str, Any], player: str) -> dict[str, Any]:
    """The batch that later players see."""
    if both := batch.keys() & handed.keys():
        raise ValueError(
            f"Player {player!r} hands on {sorted(both)}, which the batch holds already; rename one of them."
        )
    return {**batch, **handed}


def _turn(update, carry, metric_names, every, step):
    """Lets a player move, or not if it is not its turn; returns (carry, metrics, finite, handed, moved)."""
    if every == 1:
        return *update(*carry), jnp.int32(1)

    def stay(*carry):
        return carry, dict.fromkeys(metric_names, jnp.float32(0)), jnp.bool(True), {}

    due = step % every == 0
    return *jax.lax.cond(due, update, stay, *carry), due.astype(jnp.int32)


def _update(parts, name, player, own_names, params, rest, opt_state, *, batch, average, frozen, key, step):
    """Makes the updates of one player in one step; returns ((params, rest, opt_state), metrics, finite, handed)."""
    averages = functools.partial(parts.averages, params, rest, average)

    def loss_fn(own, rest, key):
        modules = parts.models(params | own, rest, frozen)
        loss, metrics, handed = checked(name, player, player.objective(modules, batch, Turn(key, step, averages())))
        after = functional.split({k: v for k, v in modules.items() if k not in parts.frozen.names})[2]
        return loss, (metrics, handed, {k: _like(after[k], leaf) for k, leaf in rest.items()})

    def once(carry, index):
        own, rest, opt_state, total, finite, _ = carry
        inner_key = jax.random.fold_in(key, index)
        (loss, (metrics, handed, rest)), grads = jax.value_and_grad(loss_fn, has_aux=True)(own, rest, inner_key)
        norm = optax.tree.norm(grads).astype(jnp.float32)
        if player.clip_norm is not None:
            scale = jnp.minimum(1.0, player.clip_norm / jnp.maximum(norm, 1e-12))
            grads = {k: g * scale.astype(g.dtype) for k, g in grads.items()}
        changes, opt_state = optimizer.update(grads, opt_state, own, value=loss)
        own = optax.apply_updates(own, changes)
        seen = {f"{name}/loss": loss, f"{name}/grad_norm": norm}
        seen |= {f"{name}/{k}": v.astype(jnp.float32) for k, v in metrics.items()}
        total = seen if total is None else {k: total[k] + v for k, v in seen.items()}
        return own, rest, opt_state, total, finite & jnp.isfinite(loss) & jnp.isfinite(norm), handed

    optimizer = optax.with_extra_args_support(player.optimizer)
    carry = ({k: params[k] for k in own_names}, rest, opt_state, None, jnp.bool(True), None)
    carry = once(carry, 0)
    if player.steps > 1:
        # A loop, not unrolled: the program stays as small as that of one update.
        carry = jax.lax.fori_loop(1, player.steps, lambda i, c: _strong(once(c, i)), _strong(carry))
    own, rest, opt_state, total, finite, handed = _strong(carry)
    handed = {f"{name}/{k}": v for k, v in handed.items()}
    return (params | own, rest, opt_state), {k: v / player.steps for k, v in total.items()}, finite, handed


def abstract_models(models: MakeModels) -> tuple[functional.Structure, functional.Arrays, functional.Arrays]:
    """Traces the construction of the models: their structure, and the shapes of their arrays."""
    structures = []

    def build(key):
        made = models(nnx.Rngs(key))
        if not isinstance(made, Mapping) or not all(isinstance(m, nnx.Module) for m in made.values()):
            raise TypeError(f"models(rngs) must return a dict from name to nnx.Module, got {made!r}.")
        check_names("model", made)
        structure, params, rest = functional.split(made)
        structures.append(structure)
        return params, rest

    params, rest = jax.eval_shape(build, jax.random.key(0))
    return structures[0], params, rest


def _strong(tree: Any) -> Any:
    """Removes weak types, which would make the second step another program than the first."""
    return jax.tree.map(lambda x: x if _is_key(x) else jax.lax.convert_element_type(x, dtype_of(x)), tree)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)


def _like(new: jax.Array, old: jax.Array) -> jax.Array:
    return new if new.dtype == old.dtype else new.astype(old.dtype)
