"""Where arrays live: batches spread over all devices, parameters copied or cut over some of them.

The step is written once, for global arrays. Under `jax.jit` the mean of a loss, a sort or a batch norm is that of the
*global* batch however it is sharded, on one device, on several, or on several processes.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gentoolkit.training import cpu, errors

_AXES = ("data", "fsdp")


def make_mesh(*, num_devices: int | None = None, fsdp: int = 1) -> Mesh:
    """Lays the devices out as `[data, fsdp]`.

    Batches are spread over all devices. Parameters, their averages and optimizer states are copied along `data` and
    cut along `fsdp`: 1 is plain data parallelism, all devices is fully sharded training.

    Args:
      num_devices: how many devices to use; None takes all of all processes.
      fsdp: over how many devices each parameter is cut; -1 means all.

    Returns:
      The mesh, with automatic axes.

    Raises:
      OptionError: more devices than there are, or a number that `fsdp` does not divide.
    """
    cpu.keep_memory(cpu.expected_platform())
    devices = jax.devices()
    count = len(devices) if num_devices is None else num_devices
    if not 1 <= count <= len(devices):
        raise errors.OptionError(
            f"num_devices must be in 1..{len(devices)} (the devices there are), got {num_devices}."
        )
    if count < len(devices) and jax.process_count() > 1:
        raise errors.OptionError(
            f"With {jax.process_count()} processes every device takes part; leave num_devices out."
        )
    cut = count if fsdp == -1 else fsdp
    if cut < 1 or count % cut:
        raise errors.OptionError(f"fsdp must divide the {count} devices in use, or be -1 for all of them; got {fsdp}.")
    auto = (jax.sharding.AxisType.Auto,) * 2
    return jax.make_mesh((count // cut, cut), _AXES, axis_types=auto, devices=devices[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def parameter_sharding(mesh: Mesh, shape: tuple[int, ...], *, min_size: int = 1024) -> NamedSharding:
    """Cuts a parameter along its largest axis that the `fsdp` devices divide.

    Args:
      mesh: from `make_mesh`.
      shape: of the parameter.
      min_size: arrays of fewer entries are copied; cutting them costs more than it saves.

    Returns:
      The sharding; the replicated one where no axis fits.
    """
    cut = mesh.shape["fsdp"]
    if cut == 1 or math.prod(shape) < min_size:
        return replicated(mesh)
    axes = [axis for axis, size in enumerate(shape) if size % cut == 0]
    if not axes:
        return replicated(mesh)
    axis = max(axes, key=lambda a: shape[a])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))


def with_shardings(state: Any, mesh: Mesh) -> Any:
    """Says where every array of a state lives.

    Args:
      state: a NamedTuple or dict of trees of `jax.ShapeDtypeStruct`. What is under `params`, `opt_states` and `average`
        is cut as `parameter_sharding` says (an optimizer's moments like the parameters whose shape they have), all else
        is copied.
      mesh: from `make_mesh`.

    Returns:
      The same tree with a sharding in every `jax.ShapeDtypeStruct`.
    """

    def put(path, leaf):
        field = getattr(path[0], "name", getattr(path[0], "key", None))
        cut = field in ("params", "opt_states", "average")
        sharding = parameter_sharding(mesh, leaf.shape) if cut else replicated(mesh)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(put, state)


def batch_shardings(mesh: Mesh, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Cuts the leading axis of every array of a batch over all devices; scalars are copied.

    Args:
      mesh: from `make_mesh`.
      batch: this process's part of a batch: a dict of trees of arrays with a leading batch axis.

    Returns:
      The same trees with a sharding in the place of every array.

    Raises:
      OptionError: a batch size that the number of devices does not divide.
      TypeError: a batch that is not a dict, or an array of something else than numbers.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"A batch must be a dict of arrays, got {type(batch)}.")

    def sharding(path, array):
        name = "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)
        shape, dtype = global_shape(np.shape(array)), np.asarray(array).dtype
        if dtype.kind not in "biufcV":
            raise TypeError(f"Batches hold numbers; {name!r} is an array of dtype {dtype}.")
        if shape and shape[0] % mesh.size:
            raise errors.OptionError(
                f"The global batch of {name!r} has {shape[0]} examples, which {mesh.size} devices "
                f"do not divide. Choose a multiple of {mesh.size} as batch size, or fewer devices (--num_devices)."
            )
        return NamedSharding(mesh, PartitionSpec(_AXES) if shape else PartitionSpec())

    return jax.tree_util.tree_map_with_path(sharding, dict(batch))


def global_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape over all processes of an array of which each process holds an equal part of the leading axis."""
    return (shape[0] * jax.process_count(), *shape[1:]) if shape else shape


def put_batch(batch: Mapping[str, Any], shardings: Mapping[str, Any]) -> dict[str, Any]:
    """Makes global arrays of the parts that the processes hold; with one process the compiled step places them."""
    if jax.process_count() == 1:
        return dict(batch)

    def put(array, sharding):
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    return jax.tree.map(put, dict(batch), dict(shardings))
