"""A batch, or the slices, spread over eight simulated devices: the same value and gradient as on one."""

import functools
import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import exchange
from gentoolkit.distances import directions, gaussian, normality, sliced, sorting, two_sample
from tests.distances import two_processes

ROOT = pathlib.Path(__file__).parents[2]

STATISTICS = (normality.wasserstein, normality.cramer_von_mises, two_sample.wasserstein, two_sample.energy)
# Where it is not the statistics that matter.
FEW = {"statistics": (normality.wasserstein, two_sample.energy)}


@pytest.fixture(scope="module")
def mesh():
    if jax.device_count() < 8:
        pytest.skip("needs eight devices")
    return jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:8])


def problem(n=32, m=16, num=16, dim=4):
    rng = np.random.default_rng(0)
    params, x, z = (jnp.float32(rng.normal(size=shape)) for shape in ((dim, dim), (n, dim), (m, dim)))
    return params, x, z, directions.orthogonal(jax.random.key(0), num, dim)


def total(params, x, z, v, *, statistics=STATISTICS, **options):
    """Sums the sliced statistics of an encoded batch, as a training step does; z is used by those of two samples."""
    code = jnp.tanh(x @ params)
    values = [
        sliced.distance(
            statistic, code, *([z] if "two_sample" in statistic.__module__ else []), directions=v, **options
        )
        for statistic in statistics
    ]
    return sum(values) if options.get("reduction", "mean") else jnp.sum(jnp.stack(values))


def reference(arguments, **options):
    return jax.jit(jax.value_and_grad(functools.partial(total, **options), (0, 1, 2, 3)))(*arguments)


@functools.cache
def expected(num=16, **options):
    """On one device, compiled once for all tests that ask for as many slices by the same options."""
    return reference(problem(num=num), **options)


def assert_same(result, expected):
    for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_jit_with_sharded_inputs(mesh):
    arguments = problem()
    specs = P(), P("data"), P(), P("data")
    placed = [jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(arguments, specs, strict=True)]
    assert any(len(a.sharding.device_set) == 8 and not a.is_fully_replicated for a in placed)
    assert_same(reference(placed), expected())


def in_shard_map(mesh, function, out_specs, axis="data"):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=(P(), P(axis), P(axis), P()), out_specs=out_specs))


@pytest.mark.parametrize(
    ("num", "options"),
    [
        (16, {}),
        (19, FEW | {"reduction": "max"}),  # as many slices as devices do not divide
        (19, FEW | {"reduction": None}),
        (19, FEW | {"block_size": 6}),
    ],
    ids=["all", "largest", "each", "blocks"],
)
def test_samples_spread_inside_shard_map(mesh, num, options):
    arguments = problem(num=num)
    step = jax.value_and_grad(functools.partial(total, axis_name="data", **options), (0, 1, 2, 3))
    spread = in_shard_map(mesh, step, (P(), (P(), P("data"), P("data"), P())))(*arguments)
    # Blocks of slices change nothing on one device: sliced_test.py.
    assert_same(spread, expected(num, **{name: value for name, value in options.items() if name != "block_size"}))


def test_gradient_from_outside_shard_map(mesh):
    arguments = problem(num=19)
    loss = in_shard_map(mesh, functools.partial(total, axis_name="data", **FEW), P())
    assert_same(jax.value_and_grad(loss, (0, 1, 2, 3))(*arguments), expected(19, **FEW))


OF_MEANS = (
    normality.epps_pulley_quadrature,
    normality.mean_and_variance,
    normality.jarque_bera,
    normality.extended_jarque_bera,
    normality.moments,
)


@pytest.mark.parametrize("statistics", [OF_MEANS[:1], OF_MEANS[1:]], ids=["quadrature", "moments"])
def test_statistics_of_means_exchange_means_alone(mesh, statistics):
    arguments = problem(num=19)
    step = jax.value_and_grad(functools.partial(total, axis_name="data", statistics=statistics), (0, 1, 3))
    spread = in_shard_map(mesh, step, (P(), (P(), P("data"), P())))
    compiled = spread.lower(*arguments).compile()
    alone = jax.jit(jax.value_and_grad(functools.partial(total, statistics=statistics), (0, 1, 3)))(*arguments)
    for found, exact in zip(jax.tree.leaves(compiled(*arguments)), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    # The gradients of params and directions are added up once; of the statistics one number for each slice and mean.
    own = 32 if len(statistics) == 1 else 3 + 6 + 7 + 4
    assert exchange.handed_over(compiled.as_text()) <= 4 * (19 * own + 4 * 4 + 19 * 4 + 80)


def test_embeddings_of_views_spread_over_devices(mesh):
    views = np.random.default_rng(1).standard_normal((2, 1024, 6)).astype(np.float32)
    key = jax.random.key(1)

    def loss(a, b, **options):
        return sliced.to_normal(key, 3, a, b, num_slices=24, **options)

    alone = jax.jit(jax.value_and_grad(loss, (0, 1)))(*views)
    inside = jax.shard_map(
        jax.value_and_grad(functools.partial(loss, axis_name="data"), (0, 1)),
        mesh=mesh,
        in_specs=(P("data"), P("data")),
        out_specs=(P(), (P("data"), P("data"))),
    )
    assert_same(jax.jit(inside)(*views), alone)
    placed = [jax.device_put(view, NamedSharding(mesh, P("data"))) for view in views]
    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*placed).compile()
    assert_same(compiled(*placed), alone)
    assert exchange.handed_over(compiled.as_text()) == 4 * 2 * 24 * 32  # views, slices, cosines and sines at 16 nodes


def test_samples_spread_over_processes(tmp_path):
    """Two processes of four devices: value and gradient as in one process that holds all samples."""
    port = free_port()
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.distances.two_processes", f"localhost:{port}"]
    processes = [
        subprocess.Popen(
            [*command, str(index), str(tmp_path / f"{index}.npz")],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    parts = [np.load(tmp_path / f"{index}.npz") for index in range(2)]
    for name in two_processes.STATISTICS:
        value, gradient = jax.jit(jax.value_and_grad(two_processes.loss(name)))(two_processes.sample())
        for part in parts:
            np.testing.assert_allclose(part[f"{name}_value"], value, rtol=1e-5)
        gathered = np.concatenate([part[f"{name}_gradient"] for part in parts])
        np.testing.assert_allclose(gathered, gradient, atol=1e-5 * np.abs(gradient).max())


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def test_losses_of_the_parts_are_another_loss(mesh):
    arguments = problem()
    parts = in_shard_map(mesh, lambda *a: jax.lax.pmean(total(*a), "data"), P())(*arguments)
    assert abs(parts - expected()[0]) > 0.1


def test_samples_spread_over_two_mesh_axes():
    mesh = jax.make_mesh((2, 4), ("host", "chip"), axis_types=(AxisType.Auto,) * 2)
    arguments = problem(num=19)
    axis = ("host", "chip")
    step = jax.value_and_grad(functools.partial(total, axis_name=axis, **FEW), (0, 1, 2, 3))
    spread = in_shard_map(mesh, step, (P(), (P(), P(axis), P(axis), P())), axis)(*arguments)
    assert_same(spread, expected(19, **FEW))


def test_slices_spread_inside_shard_map(mesh):
    arguments = problem()
    step = jax.shard_map(
        lambda *a: jax.lax.pmean(total(*a), "data"), mesh=mesh, in_specs=(P(), P(), P(), P("data")), out_specs=P()
    )
    assert_same(jax.jit(jax.value_and_grad(step, (0, 1, 2, 3)))(*arguments), expected())


def test_samples_with_leading_axes_under_vmap(mesh):
    params, x, z, v = problem()
    lead = jnp.stack([x, 2 * x, -x])

    def loss(x, v):
        return sliced.distance(normality.wasserstein, x, directions=v, axis_name="data")

    alone = jax.jit(lambda lead, v: sliced.distance(normality.wasserstein, lead, directions=v))(lead, v)
    specs = {"mesh": mesh, "in_specs": (P(None, "data"), P()), "out_specs": P()}
    assert_same(jax.jit(jax.shard_map(loss, **specs))(lead, v), alone)
    assert_same(jax.jit(jax.shard_map(jax.vmap(loss, (0, None)), **specs))(lead, v), alone)


def test_long_rows_sorted_on_the_host(mesh):
    arguments = problem(n=4096, m=2048, num=8, dim=2)
    step = jax.value_and_grad(functools.partial(total, axis_name="data", **FEW), (0, 1, 2, 3))
    spread = in_shard_map(mesh, step, (P(), (P(), P("data"), P("data"), P())))(*arguments)
    alone = reference(arguments, **FEW)
    assert_same(spread, alone)
    specs = (P(), P("data"), P("data"), P())
    placed = [jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(arguments, specs, strict=True)]
    assert_same(reference(placed, **FEW), alone)


def test_maximal_of_spread_samples(mesh):
    _, x, z, _ = problem()
    key = jax.random.key(0)

    def search(x, z, **options):
        return sliced.maximal(key, two_sample.wasserstein, x, z, num_starts=3, num_steps=30, **options)

    alone = jax.jit(search)(x, z)
    specs = {"mesh": mesh, "in_specs": P("data")}
    spread = jax.shard_map(functools.partial(search, axis_name="data"), out_specs=P(), **specs)

    def climbed(x):
        found = spread(x, z)
        return found.value, found

    gradient, together = jax.jit(jax.grad(climbed, has_aux=True))(x)
    # Rounding differs along the climb; near the top the value feels it in second order only, the direction in first.
    np.testing.assert_allclose(together.value, alone.value, rtol=1e-4)
    np.testing.assert_allclose(together.direction, alone.direction, atol=1e-2)
    found = together.direction[None]
    fixed = jax.jit(jax.grad(lambda x: sliced.distance(two_sample.wasserstein, x, z, directions=found)))(x)
    assert_same(gradient, fixed)

    # Without an axis name each device searches its own part.
    apart = jax.jit(jax.shard_map(lambda x, z: search(x, z).value[None], out_specs=P("data"), **specs))(x, z)
    parts = jax.jit(search)(x.reshape(8, -1, 4), z.reshape(8, -1, 4)).value
    np.testing.assert_allclose(apart, parts, rtol=1e-3)


@pytest.mark.parametrize(
    "specs", [pytest.param(("data", None), marks=pytest.mark.slow), ("data", "data")], ids=["samples", "both"]
)
def test_a_mesh_of_explicit_axes(specs):
    """Which is what `jax.make_mesh` makes: a sort along a sharded axis would be refused there."""
    _, x, z, v = problem()

    def loss(x, v):
        single = (normality.wasserstein, normality.cramer_von_mises, normality.epps_pulley)
        values = [sliced.distance(statistic, x, directions=v) for statistic in single]
        values.append(sliced.distance(two_sample.energy, x, z, directions=v))
        mean, covariance = gaussian.moments(x)
        values.append(gaussian.frechet(mean, covariance, jnp.zeros(4), jnp.eye(4)))
        return sum(values) + gaussian.mardia(x).skewness + jnp.sum(sorting.sort(x.T)[:, 0])

    program = jax.jit(jax.value_and_grad(loss, (0, 1)))
    expected = program(x, v)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:8])
    with jax.set_mesh(mesh):
        placed = [jax.device_put(a, NamedSharding(mesh, P(axis))) for a, axis in zip((x, v), specs, strict=True)]
        got = program(*placed)
        assert_same(got, expected)
        if specs[1]:  # untraced too
            eager = sliced.distance(normality.wasserstein, placed[0], directions=placed[1])
            alone = jax.jit(lambda x, v: sliced.distance(normality.wasserstein, x, directions=v))(x, v)
            np.testing.assert_allclose(eager, alone, rtol=1e-5)


def test_mardia_of_many_blocks_on_each_device(mesh):
    """The carry of its loop has to vary over the mesh as the sample does."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8 * 1500, 40)), jnp.float32)

    def skewness(x):
        return gaussian.mardia(x).skewness[None]

    apart = jax.jit(jax.shard_map(skewness, mesh=mesh, in_specs=P("data"), out_specs=P("data")))(x)
    np.testing.assert_allclose(apart, [jax.jit(skewness)(part)[0] for part in jnp.split(x, 8)], rtol=1e-4)
