"""The one place where training meets Flax: modules on one side, flat dictionaries of arrays on the other.

A leaf is named by its path, `"generator/layers/0/kernel"`. Flat dictionaries are what optimizers, checkpoints and
error messages want, and they cost less to pass to a compiled function than trees of variables.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.training import cpu

Models = dict[str, nnx.Module]
Arrays = dict[str, jax.Array]


class Structure(NamedTuple):
    """All of a dict of modules but its arrays: static, made once while tracing."""

    graphdef: Any
    paths: dict[str, tuple]
    statistics: frozenset[str]  # names of batch statistics (`nnx.BatchStat`)
    randomness: frozenset[str]  # names of keys and counts of draws (`nnx.RngState`)

    def merge(self, params: Mapping[str, jax.Array], rest: Mapping[str, jax.Array]) -> Models:
        """Builds modules that hold these arrays and share nothing with any other module."""
        states = (nnx.from_flat_state([(self.paths[k], v) for k, v in part.items()]) for part in (params, rest))
        # Without the copy a batch norm would write into variables that belong to the caller's trace.
        return nnx.merge(self.graphdef, *states, copy=True)


def split(models: Mapping[str, nnx.Module]) -> tuple[Structure, Arrays, Arrays]:
    """Takes modules apart into their structure, their `nnx.Param`s and every other array (statistics, counts, keys)."""
    graphdef, *states = nnx.split(dict(models), nnx.Param, ...)
    flat = [{"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(s))} for s in states]
    variables = {"/".join(map(str, path)): (path, leaf) for s in states for path, leaf in nnx.to_flat_state(s)}
    statistics, randomness = (
        frozenset(name for name, (_, leaf) in variables.items() if isinstance(leaf, kind))
        for kind in (nnx.BatchStat, nnx.RngState)
    )
    return (
        Structure(graphdef, {k: path for k, (path, _) in variables.items()}, statistics, randomness),
        flat[0],
        flat[1],
    )


def evaluation(models: Models) -> Models:
    """Puts modules into evaluation mode (no dropout, running statistics) and returns them."""
    for module in models.values():
        module.eval()
    return models


def compute_in(models: Models, dtype: Any) -> Models:
    """Lets layers whose `dtype` was left open compute in this one, parameters keep theirs; None changes nothing."""
    if dtype is not None:
        for model in models.values():
            for _, module in nnx.iter_modules(model):
                if getattr(module, "dtype", dtype) is None:
                    setattr(module, "dtype", dtype)  # noqa: B010 (a module has no such attribute to a type checker)
    return models


def pure(module: Callable[..., Any]) -> Callable[..., Any]:
    """A module as a function without side effects, to differentiate, map or branch over inside an objective.

    `jax.grad` and `jax.vmap` refuse to run a module that changes its variables (batch statistics, spectral norms,
    counts of draws), since the change would escape from them. Here every call begins with the variables as they are
    now, and what it changes is forgotten. Gradients reach the parameters, so that a gradient penalty is::

        critic = training.pure(models["critic"])
        slope = jax.grad(lambda images: jnp.sum(critic(images)))(batch["image"])
        penalty = jnp.mean(jnp.sum(jnp.square(slope), axis=(1, 2, 3)))

    Every call draws the same random numbers (dropout), since the count of draws does not move.

    Args:
      module: a module, or a method of one (`training.pure(models["critic"].features)`).

    Returns:
      A function of the same arguments.
    """
    owner, method = getattr(module, "__self__", module), getattr(module, "__name__", "__call__")
    if not isinstance(owner, nnx.Module):
        raise TypeError(f"pure takes a module or a method of one, got {module!r}.")
    graphdef, state = nnx.split(owner)

    def call(*args: Any, **options: Any) -> Any:
        return getattr(nnx.merge(graphdef, state, copy=True), method)(*args, **options)

    return call


def constant(module: nnx.Module) -> nnx.Module:
    """A copy of a module that no gradient reaches; gradients with respect to its inputs pass through it.

    A player's loss has no gradient for models that it does not train, so this is for a term that must not move a model
    which another term of the same loss does. The mode is kept: a batch norm in training mode goes on normalizing by
    the batch. What the copy changes in its variables (batch statistics, spectral norms) is forgotten: call the module
    itself where that is to be kept.

    Args:
      module: the module.

    Returns:
      The copy.
    """
    graphdef, state = nnx.split(module)

    def stop(leaf: Any) -> Any:
        return jax.lax.stop_gradient(leaf) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf

    return nnx.merge(graphdef, jax.tree.map(stop, state), copy=True)


def jit(function: Callable[..., Any], *, prepare: Callable[[Any], Any] | None = None) -> Callable[..., Any]:
    """Compiles a function of `(models, *arrays)`, for evaluators and scripts.

    Compiled once for each structure of the models and each shape of the arrays, however often the modules are built
    anew. Changes the function makes to the modules' variables are not seen outside.

    Args:
      function: takes the dict of modules first, then arrays or trees of arrays; returns arrays.
      prepare: the `prepare` of `train`: the second argument is a batch as the stream gives it, and the function sees it
        prepared.

    Returns:
      The function with the same signature.
    """

    def whole(graphdef, state, *arrays):
        if prepare is not None:
            arrays = (prepare(arrays[0]), *arrays[1:])
        return function(nnx.merge(graphdef, state, copy=True), *arrays)

    @functools.cache
    def compiled(platform):
        return jax.jit(whole, static_argnums=0, compiler_options=cpu.compiler_options(platform))

    @functools.wraps(function)
    def call(models, *arrays):
        graphdef, state = nnx.split(dict(models))
        state = nnx.as_pure(state)
        leaves = jax.tree.leaves((state, arrays))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return whole(graphdef, state, *arrays)  # Part of a larger program, which has its own options.
        placed = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        platform = next(iter(placed[0].devices())).platform if placed else jax.default_backend()
        return compiled(platform)(graphdef, state, *arrays)

    return call
