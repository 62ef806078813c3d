"""Gets the models of a run, or of a file of weights, without data, optimizers or configuration."""

import pathlib
from collections.abc import Mapping
from typing import Literal

import jax
from flax import nnx

from gentoolkit.training import checkpoint, functional
from gentoolkit.training import frozen as frozen_lib
from gentoolkit.training import initial as initial_lib
from gentoolkit.training import mesh as mesh_lib
from gentoolkit.training import step as step_lib


def load(
    source: initial_lib.Source | initial_lib.Initial,
    models: step_lib.MakeModels,
    *,
    step: int | Literal["latest", "best"] = "latest",
    averaged: bool = True,
    frozen: Mapping[str, nnx.Module] | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> functional.Models:
    """Restores models for figures, tables and use elsewhere, say as the frozen models of another run.

    Args:
      source: the folder that `train` wrote to, which a run that is still going may own; or an `.npz` file, arrays by
        name, or an `Initial` that says how names change.
      models: builds the modules by name from `nnx.Rngs`, as `train` was given it; called while tracing. Frozen models
        are in no checkpoint.
      step: which checkpoint of a run: a step number, the newest, or the best by the metric that it was told to keep.
      averaged: whether to take the moving averages, where the run kept some.
      frozen: modules by name that will be used beside these; refused unless the run was trained beside them, bit for
        bit. A file says nothing of such.
      mesh: where to put them; None uses the first device.

    Returns:
      The modules by name, in evaluation mode.

    Raises:
      CheckpointError: there is no such checkpoint or file.
      ConfigChangedError: a frozen module is another than in training.
      CheckpointMismatchError: it is that of other models.
    """
    mesh = mesh_lib.make_mesh(num_devices=1) if mesh is None else mesh
    if isinstance(source, initial_lib.Initial | Mapping) or pathlib.Path(source).suffix == ".npz":
        return _filled(source, models, mesh)
    structure, params, rest = step_lib.abstract_models(models)
    with checkpoint.reading(pathlib.Path(source) / "checkpoints") as checkpoints:
        number = checkpoints.resolve(step)
        if frozen:
            before = checkpoints.extra(number).get("frozen", {})
            known = {name: before[name] for name in frozen if name in before}
            frozen_lib.check(known, frozen_lib.fingerprints(frozen), source)
        average = checkpoints.stored(number).get("average", {}) if averaged else {}
        wanted = {
            "params": params,
            "rest": rest,
            "average": {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in average.items()},
        }
        got = checkpoints.restore(number, mesh_lib.with_shardings(wanted, mesh), partial=True)
    return functional.evaluation(step_lib.with_averages(structure, got["params"], got["rest"], got["average"]))


def _filled(
    source: initial_lib.Source | initial_lib.Initial, models: step_lib.MakeModels, mesh: jax.sharding.Mesh
) -> functional.Models:
    """Models as they are built, with the weights of a source."""
    structure, params, rest = step_lib.abstract_models(models)
    weights = initial_lib.read(source, structure, params, rest, mesh)

    def fill(weights):
        parts = functional.split(models(nnx.Rngs(0)))[1:]
        return [{k: weights.get(k, v) for k, v in part.items()} for part in parts]

    made = mesh_lib.with_shardings({"params": params, "rest": rest}, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, [made["params"], made["rest"]])
    return functional.evaluation(structure.merge(*jax.jit(fill, out_shardings=shardings)(weights)))
