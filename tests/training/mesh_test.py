"""One device, eight devices with copied or cut parameters: the same run."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from gentoolkit import training
from gentoolkit.training import mesh as mesh_lib
from tests.training import toy


def make_models(rngs):
    """Wide enough to be cut; no dropout (its draws depend on how the compiler cuts them only if it must not)."""
    return {"net": toy.Net(8, width=256, dropout=0.1, rngs=rngs)}


def run(mesh, steps=10):
    """Trains on global batches that need a sort over all examples."""
    stream = toy.Stream(batch=32, features=8)
    program = training.program(
        make_models, toy.players(clip_norm=1.0), next(stream), ema_decay=0.9, mesh=mesh, log_every=20
    )
    state = program.init(0)
    for _ in range(steps):
        state = program.step(state, next(stream))
    return state


@pytest.fixture(scope="module")
def single():
    """The run on one device."""
    return run(training.make_mesh(num_devices=1))


@pytest.mark.parametrize("fsdp", [2, -1])  # 1 is in the runs of process_test.py
def test_eight_devices_are_one(single, fsdp):
    """Losses (a sort over the global batch among them), parameters, averages and batch statistics agree to 1e-5."""
    state = run(training.make_mesh(fsdp=fsdp))
    cut = {2: 2, -1: 8}[fsdp]
    kernel = state.params["net/layers/0/kernel"]
    assert kernel.addressable_shards[0].data.shape == (8, 256 // cut)
    assert state.opt_states["net"][0].mu["net/layers/0/kernel"].sharding == kernel.sharding
    for a, b in zip(
        jax.tree.leaves((single.params, single.average, single.rest["net/norm/mean"], single.meters.sums)),
        jax.tree.leaves((state.params, state.average, state.rest["net/norm/mean"], state.meters.sums)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.fast
def test_parameters_are_cut_along_their_largest_axis():
    """The largest that fits; small ones and those that nothing divides are copied."""
    mesh = training.make_mesh(fsdp=4)
    spec = {shape: mesh_lib.parameter_sharding(mesh, shape).spec for shape in [(64, 256), (256, 64), (8,), (2001, 3)]}
    assert spec == {(64, 256): P(None, "fsdp"), (256, 64): P("fsdp"), (8,): P(), (2001, 3): P()}
    assert mesh_lib.parameter_sharding(mesh, (2001, 64)).spec == P(None, "fsdp")
    assert mesh.shape == {"data": 2, "fsdp": 4}


@pytest.mark.fast
@pytest.mark.parametrize("options", [{"num_devices": 9}, {"num_devices": 0}, {"fsdp": 3}, {"fsdp": 0}])
def test_mesh_refuses(options):
    """Impossible layouts are named."""
    with pytest.raises(ValueError, match="num_devices|fsdp"):
        training.make_mesh(**options)


@pytest.mark.fast
def test_indivisible_batch():
    """A batch that the devices do not divide is refused with both numbers."""
    with pytest.raises(ValueError, match="12 examples, which 8 devices"):
        training.program(toy.models, toy.players(), next(toy.Stream(batch=12)), mesh=training.make_mesh())
