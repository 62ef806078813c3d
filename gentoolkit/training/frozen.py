"""Frozen modules: used by objectives and evaluators, trained by nobody, and in no checkpoint."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.training import errors, functional
from gentoolkit.training import mesh as mesh_lib


class Frozen(NamedTuple):
    """Modules whose arrays go into the compiled step as arguments: as constants they would be compiled into it."""

    names: tuple[str, ...]
    structure: functional.Structure
    params: functional.Arrays
    rest: functional.Arrays

    def merge(self, arrays: tuple[functional.Arrays, functional.Arrays]) -> functional.Models:
        """The modules by name with these arrays, in evaluation mode."""
        return functional.evaluation(self.structure.merge(*arrays))


def place(modules: Mapping[str, nnx.Module], mesh: jax.sharding.Mesh) -> Frozen:
    """Puts the arrays of modules on the devices of a mesh, cut as parameters are.

    Args:
      modules: by name; they are left as they are, and what happens to them later is not seen.
      mesh: from `make_mesh`.
    """
    structure, params, rest = functional.split(modules)
    return Frozen(
        tuple(modules),
        structure,
        {k: _put(v, mesh_lib.parameter_sharding(mesh, v.shape)) for k, v in params.items()},
        {k: _put(v, mesh_lib.replicated(mesh)) for k, v in rest.items()},
    )


def fingerprints(modules: Mapping[str, nnx.Module]) -> dict[str, str]:
    """A number for the parameters and statistics of each module, that changes with any bit, name or shape of them."""
    found = {}
    for name, module in modules.items():
        structure, params, rest = functional.split({name: module})
        digest = hashlib.sha256()
        for key, leaf in sorted((params | {k: v for k, v in rest.items() if k not in structure.randomness}).items()):
            array = np.ascontiguousarray(_host(leaf))
            digest.update(f"{key} {array.dtype.name} {array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
        found[name] = digest.hexdigest()[:32]
    return found


def check(before: Mapping[str, str], now: Mapping[str, str], where: Any) -> None:
    """Refuses other frozen modules than those that a run was begun with (`ConfigChangedError`)."""
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise errors.ConfigChangedError(
                f"The workdir {where} holds a run beside another frozen model {name!r}: the fingerprint of its weights "
                f"was {before.get(name, 'absent')} and is now {now.get(name, 'absent')}. Use another workdir, or the "
                "old weights to go on."
            )


def _put(leaf: Any, sharding: jax.sharding.NamedSharding) -> jax.Array:
    if jax.process_count() == 1 or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
        return jax.device_put(leaf, sharding)
    host = _host(leaf)
    if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
    implementation = jax.random.key_impl(leaf)
    return jax.jit(lambda: jax.random.wrap_key_data(jnp.asarray(host), impl=implementation), out_shardings=sharding)()


def _host(leaf: Any) -> np.ndarray:
    """A leaf as a NumPy array, keys as the integers they are made of, whichever processes hold it."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        assert isinstance(leaf.sharding, jax.sharding.NamedSharding)
        assert isinstance(leaf.sharding.mesh, jax.sharding.Mesh)  # What spans processes lies on a mesh of devices.
        whole = mesh_lib.replicated(leaf.sharding.mesh)
        leaf = jax.jit(lambda x: x, out_shardings=whole)(leaf).addressable_data(0)
    return np.asarray(leaf)
