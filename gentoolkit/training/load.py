"""Gets the models of a run back from its workdir, without data, optimizers or configuration."""

import pathlib
from typing import Literal

import jax

from gentoolkit.training import checkpoint, functional
from gentoolkit.training import mesh as mesh_lib
from gentoolkit.training import step as step_lib


def load(
    workdir: str | pathlib.Path,
    models: step_lib.MakeModels,
    *,
    step: int | Literal["latest", "best"] = "latest",
    averaged: bool = True,
    mesh: jax.sharding.Mesh | None = None,
) -> functional.Models:
    """Restores the models of a run, for figures, tables and use elsewhere.

    Args:
      workdir: the folder that `train` wrote to; a run that is still going may own it.
      models: the function that `train` was given; frozen models are in no checkpoint.
      step: which checkpoint: a step number, the newest, or the best by the metric that the run was told to keep.
      averaged: whether to take the moving averages, where the run kept some.
      mesh: where to put them; None uses the first device.

    Returns:
      The modules by name, in evaluation mode.

    Raises:
      CheckpointError: there is no such checkpoint.
      CheckpointMismatchError: it is that of other models.
    """
    mesh = mesh_lib.make_mesh(num_devices=1) if mesh is None else mesh
    structure, params, rest = step_lib.abstract_models(models)
    with checkpoint.reading(pathlib.Path(workdir) / "checkpoints") as checkpoints:
        number = checkpoints.resolve(step)
        average = checkpoints.stored(number).get("average", {}) if averaged else {}
        wanted = {
            "params": params,
            "rest": rest,
            "average": {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in average.items()},
        }
        got = checkpoints.restore(number, mesh_lib.with_shardings(wanted, mesh), partial=True)
    return functional.evaluation(step_lib.with_averages(structure, got["params"], got["rest"], got["average"]))
