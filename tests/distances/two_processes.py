"""One of two processes that hold half of a batch each: python -m tests.distances.two_processes ADDRESS INDEX FILE."""

import sys

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gentoolkit.distances import normality, sliced

STATISTICS = ("epps_pulley_quadrature", "wasserstein")
ROWS, DIM = 64, 6


def sample():
    return np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)


def loss(name, **options):
    statistic = getattr(normality, name)
    return lambda x: sliced.to_normal(jax.random.key(1), 3, x, statistic=statistic, num_slices=24, **options)


def main(address, index, path):
    jax.distributed.initialize(address, num_processes=2, process_id=int(index))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    half = np.split(sample(), 2)[int(index)]
    x = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), half)
    found = {}
    for name in STATISTICS:
        step = jax.value_and_grad(loss(name, axis_name="data"))
        spread = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=P("data"), out_specs=(P(), P("data"))))
        value, gradient = spread(x)
        shards = sorted(gradient.addressable_shards, key=lambda shard: shard.index[0].start)
        found[f"{name}_value"] = np.asarray(value)
        found[f"{name}_gradient"] = np.concatenate([np.asarray(shard.data) for shard in shards])
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
