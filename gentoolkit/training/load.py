"""Gets the models of a run back from its workdir, without data, optimizers or configuration."""

import pathlib
from typing import Literal

import jax

from gentoolkit.training import checkpoint, errors, functional
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
      models: the function that `train` was given.
      step: which checkpoint: a step number, the newest, or the best by the metric that the run was told to keep.
      averaged: whether to take the moving averages of the parameters, where the run kept some.
      mesh: where to put them; None uses the first device.

    Returns:
      The modules by name, in evaluation mode.

    Raises:
      CheckpointError: there is no such checkpoint.
      CheckpointMismatchError: it is that of other models.
    """
    mesh = mesh_lib.make_mesh(num_devices=1) if mesh is None else mesh
    directory = pathlib.Path(workdir) / "checkpoints"
    checkpoints = checkpoint.Checkpoints(directory, read_only=True)
    try:
        if not checkpoints.steps:
            raise errors.CheckpointError(f"There are no checkpoints in {directory}.")
        newest = checkpoints.steps[-1]
        if step == "latest":
            step = newest
        elif step == "best":
            extra = checkpoints.extra(newest)
            best = checkpoints.best_of(extra["best"], extra["best_mode"])
            if best is None:
                raise errors.CheckpointError(f"No checkpoint in {directory} is known as the best; use 'latest'.")
            step = best
        elif step not in checkpoints.steps:
            raise errors.CheckpointError(f"{directory} has no checkpoint of step {step}, only {checkpoints.steps}.")
        structure, params, rest = step_lib.abstract_models(models)
        average = checkpoints.stored(step).get("average", {}) if averaged else {}
        wanted = {
            "params": params,
            "rest": rest,
            "average": {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in average.items()},
        }
        got = checkpoints.restore(step, mesh_lib.with_shardings(wanted, mesh), partial=True)
    finally:
        checkpoints.close()
    return functional.evaluation(structure.merge(got["params"] | got["average"], got["rest"]))
