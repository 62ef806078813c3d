"""The one place where training meets Flax: modules on one side, flat dictionaries of arrays on the other.

A leaf is named by its path, `"generator/layers/0/kernel"`. Flat dictionaries are what optimizers, checkpoints and
error messages want, and they cost less to pass to a compiled function than trees of variables.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from flax import nnx

Models = dict[str, nnx.Module]
Arrays = dict[str, jax.Array]


class Structure(NamedTuple):
    """All of a dict of modules but its arrays: static, made once while tracing."""

    graphdef: Any
    paths: dict[str, tuple]

    def merge(self, params: Mapping[str, jax.Array], rest: Mapping[str, jax.Array]) -> Models:
        """Builds modules that hold these arrays and share nothing with any other module."""
        states = (nnx.from_flat_state([(self.paths[k], v) for k, v in part.items()]) for part in (params, rest))
        # Without the copy a batch norm would write into variables that belong to the caller's trace.
        return nnx.merge(self.graphdef, *states, copy=True)


def split(models: Mapping[str, nnx.Module]) -> tuple[Structure, Arrays, Arrays]:
    """Takes modules apart into their structure, their `nnx.Param`s and every other array (statistics, counts, keys)."""
    graphdef, *states = nnx.split(dict(models), nnx.Param, ...)
    flat = [{"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(s))} for s in states]
    paths = {"/".join(map(str, p)): p for s in states for p, _ in nnx.to_flat_state(s)}
    return Structure(graphdef, paths), flat[0], flat[1]


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


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of `(models, *arrays)`, for evaluators and scripts.

    Compiled once for each structure of the models and each shape of the arrays, however often the modules are built
    anew. Changes the function makes to the modules' variables are not seen outside.

    Args:
      function: takes the dict of modules first, then arrays; returns arrays.

    Returns:
      The function with the same signature.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def compiled(graphdef, state, *arrays):
        return function(nnx.merge(graphdef, state, copy=True), *arrays)

    @functools.wraps(function)
    def call(models, *arrays):
        graphdef, state = nnx.split(dict(models))
        return compiled(graphdef, nnx.as_pure(state), *arrays)

    return call
