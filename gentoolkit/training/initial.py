"""Weights that a new run begins with: those of another run, of a file, or a dict of arrays."""

import difflib
import pathlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.training import checkpoint, errors, functional, player
from gentoolkit.training import mesh as mesh_lib

Source = str | pathlib.Path | Mapping[str, Any]
Rename = Mapping[str, str | None] | Callable[[str], str | None]


class Initial(NamedTuple):
    """Where a run gets its first weights. Parameters and batch statistics are weights; keys, counts and pools are not.

    Attributes:
      source: the folder of a run, a file of NumPy's `.npz`, or arrays by name (nested dicts are joined by slashes),
        such as `safetensors.numpy.load_file` gives.
      into: models, or the beginnings of paths (`"autoencoder/encoder"`), that get their weights from here; the others
        begin as they are built. None means all models.
      rename: from names in the source, or their beginnings up to a slash, to paths of the models; None leaves an array
        out, and the longest name that fits decides. Or a function from a name to a path or None.
      step: which checkpoint of a run: a number, the newest, or the best.
      averaged: whether to take the moving averages of a run, where it kept some.
    """

    source: Source
    into: Sequence[str] | None = None
    rename: Rename = {}
    step: int | Literal["latest", "best"] = "latest"
    averaged: bool = True


def read(
    initial: Source | Initial,
    structure: functional.Structure,
    params: Mapping[str, Any],
    rest: Mapping[str, Any],
    mesh: jax.sharding.Mesh,
) -> dict[str, jax.Array | np.ndarray]:
    """Reads weights for models.

    Args:
      initial: where from.
      structure: of the models.
      params: the shapes of their parameters by path.
      rest: the shapes of their other variables by path.
      mesh: the devices of the run.

    Returns:
      Arrays by path, in the dtypes of the models.

    Raises:
      CheckpointMismatchError: names that are missing, not known, or met twice, and shapes that differ; each by name.
      CheckpointError: the source cannot be read.
    """
    initial = initial if isinstance(initial, Initial) else Initial(initial)
    weights = {**params, **{k: v for k, v in rest.items() if k in structure.statistics}}
    wanted = _wanted(weights, initial.into)
    if isinstance(initial.source, Mapping):
        where = "the arrays given"
        shapes, get = _from_arrays(_flatten(initial.source))
    elif pathlib.Path(initial.source).is_dir():
        where = f"the run {initial.source}"
        shapes, get = _from_run(pathlib.Path(initial.source), initial.step, initial.averaged, mesh)
    else:
        where = str(initial.source)
        shapes, get = _from_arrays(_load(pathlib.Path(initial.source)))
    found: list[str] = []
    names: dict[str, str] = {}
    for name in shapes:
        path = _renamed(name, initial.rename)
        if path is None or (path not in wanted and (path in weights or path in rest)):
            continue  # Left out by the caller, or no weight of what is wanted.
        if path not in wanted and not jnp.issubdtype(shapes[name].dtype, jnp.floating):
            continue  # A key or a count, of dropout for instance, where these models have none.
        called = name if path == name else f"{name} (as {path})"
        if path not in wanted:
            found.append(f"it has {called}, which the models have not; did you mean {_nearest(path, wanted)!r}?")
        elif path in names:
            found.append(f"{called} and {names[path]} are both meant for {path}")
        elif problem := _unlike(shapes[name], wanted[path]):
            found.append(f"{called} is {problem}")
        else:
            names[path] = name
    known = {_renamed(name, initial.rename) for name in shapes}
    found += [f"{path} is not in it" for path in wanted if path not in known]
    if found:
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise errors.CheckpointMismatchError(
            f"The weights of {where} are not those of these models: {'; '.join(found[:5])}{more}. Use rename and into "
            "of training.Initial to say what goes where."
        )
    arrays = get(set(names.values()))
    return {path: _cast(arrays[name], wanted[path].dtype) for path, name in names.items()}


def _wanted(weights: Mapping[str, Any], into: Sequence[str] | None) -> dict[str, Any]:
    if into is None:
        return dict(weights)
    if isinstance(into, str):
        raise TypeError(f"into must be a sequence of names, got the string {into!r}.")
    for prefix in into:
        if not any(player.under(name, prefix) for name in weights):
            raise errors.OptionError(
                f"into names {prefix!r}, which has no weights; did you mean {player.near(prefix, weights)!r}?"
            )
    return {k: v for k, v in weights.items() if any(player.under(k, prefix) for prefix in into)}


def _renamed(name: str, rename: Rename) -> str | None:
    if callable(rename):
        return rename(name)
    fits = [prefix for prefix in rename if player.under(name, prefix)]
    if not fits:
        return name
    prefix = max(fits, key=len)
    new = rename[prefix]
    return None if new is None else new + name[len(prefix) :]


def _nearest(path: str, wanted: Mapping[str, Any]) -> str:
    return (difflib.get_close_matches(path, wanted, n=1, cutoff=0.0) or list(wanted))[0]


def _unlike(have: Any, want: Any) -> str | None:
    """Says how an array is not what is wanted; widths of floating-point numbers may differ."""
    floats = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in (have, want))
    if tuple(have.shape) == tuple(want.shape) and (floats or have.dtype == want.dtype):
        return None
    said = [f"{jnp.dtype(leaf.dtype).name}{list(leaf.shape)}" for leaf in (have, want)]
    return f"{said[0]} in it and {said[1]} in the models"


def _cast(array: Any, dtype: Any) -> Any:
    return array if array.dtype == dtype else array.astype(dtype)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        flat |= (
            _flatten(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": np.asarray(value)}
        )
    return flat


def _from_arrays(arrays: Mapping[str, np.ndarray]):
    return arrays, lambda names: {name: arrays[name] for name in names}


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise errors.CheckpointError(f"{path} holds one array without a name; weights are read from .npz files.")
        with file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise errors.CheckpointError(f"There is no run and no file of weights {path}.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise errors.CheckpointError(f"Cannot read the weights in {path} as .npz: {error}.") from error


def _from_run(workdir: pathlib.Path, step: int | str, averaged: bool, mesh: jax.sharding.Mesh):
    with checkpoint.reading(workdir / "checkpoints") as checkpoints:
        number = checkpoints.resolve(step)
        stored = checkpoints.stored(number)
    fields = {field: stored.get(field) or {} for field in ("params", "rest", "average")}
    where = {name: field for field in ("params", "rest") for name in fields[field]}
    if averaged:
        where |= dict.fromkeys(fields["average"], "average")

    def get(names: set[str]) -> dict[str, jax.Array]:
        whole = mesh_lib.replicated(mesh)
        wanted: dict[str, dict[str, Any]] = {}
        for name in names:
            leaf = fields[where[name]][name]
            wanted.setdefault(where[name], {})[name] = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole)
        with checkpoint.reading(workdir / "checkpoints") as checkpoints:
            got = checkpoints.restore(number, wanted, partial=True)
        return {name: array for part in got.values() for name, array in part.items()}

    return {name: fields[field][name] for name, field in where.items()}, get
