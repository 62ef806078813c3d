"""Sorting and ranks against NumPy for every method, length, dtype and shape; derivative, vmap, shards, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gentoolkit.distances import _host_sort, gaussian, normality, sorting

METHODS = [None, "host", "network", "xla"]
LENGTHS = [1, 2, 3, 8, 9, 17, 300]


def _sample(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# All methods in one program, compiled once a length: call by call, a network is a program for every comparison.
@jax.jit
def everything(y, weights):
    """For every method the sorted rows, the ranks, and the gradient of the weighted sum of the sorted."""

    def of(method):
        values, back = jax.vjp(functools.partial(sorting.sort, method=method), y)
        return values, sorting.ranks(y, method=method), back(weights)[0]

    return [of(method) for method in METHODS]


def by_method(y, weights=None):
    """`everything` of rows `[5, n]`: fewer are repeated, so that a length is one shape."""
    y = np.float32(y)
    rows = np.resize(y, (5, y.shape[-1]))
    weights = np.ones_like(rows) if weights is None else weights
    return zip(METHODS, (map(np.asarray, found) for found in everything(rows, weights)), strict=True)


@pytest.mark.fast
@pytest.mark.parametrize("n", LENGTHS)
def test_sort_ranks_and_gradient_agree_with_numpy(n):
    y, weights = _sample((5, n)), _sample((5, n), 5)
    place = np.argsort(np.argsort(y, axis=-1), axis=-1)
    for method, (values, ranks, gradient) in by_method(y, weights):
        np.testing.assert_array_equal(values, np.sort(y, axis=-1), err_msg=method)
        assert ranks.dtype == np.int32
        np.testing.assert_array_equal(ranks, place, err_msg=method)
        # It goes back to where the value came from.
        np.testing.assert_array_equal(gradient, np.take_along_axis(weights, place, axis=-1), err_msg=method)


@pytest.mark.parametrize("shape", [(64, 300), (3, 1, 200, 70), (1, 5000), (7, 4096), (640, 1000)])
def test_larger_sizes_that_are_split_over_threads(shape, monkeypatch):
    monkeypatch.setattr(_host_sort, "_cores", lambda: 2)
    y = _sample(shape, 1)
    np.testing.assert_array_equal(sorting.sort(y), np.sort(y, axis=-1))
    ranks = np.asarray(sorting.ranks(y))
    np.testing.assert_array_equal(np.take_along_axis(np.sort(y, axis=-1), ranks, axis=-1), y)


def test_ties_give_a_permutation():
    y = np.random.default_rng(2).integers(0, 3, size=(5, 300))
    for method, (_, ranks, _) in by_method(y):
        np.testing.assert_array_equal(np.sort(ranks, axis=-1), np.tile(np.arange(300), (5, 1)), err_msg=method)
        np.testing.assert_array_equal(np.take_along_axis(np.sort(y, axis=-1), ranks, axis=-1), y, err_msg=method)


def test_nan_infinity_and_signed_zero():
    finite = np.float32([1.0, -np.inf, np.inf, 0.0, -1.0, 3e38, 2e-38])
    nans = np.float32([np.nan, np.copysign(np.nan, -1.0)])
    y = np.concatenate([nans[:1], finite, nans[1:]])
    for method, (values, ranks, _) in by_method(y):
        np.testing.assert_array_equal(values[0, :7], np.sort(finite), err_msg=method)
        assert np.isnan(values[0, 7:]).all()
        assert set(ranks[0, [0, 8]].tolist()) == {7, 8}
    zeros = np.float32([0.0, -0.0, 0.0, -0.0, -1.0, 1.0, 0.0, -0.0, 0.0])
    for method, (values, _, _) in by_method(zeros):
        np.testing.assert_array_equal(values[0], np.sort(zeros), err_msg=method)


def test_dtypes(x64):
    wide = _sample((4, 50), 3, np.float64)
    half = jnp.asarray(wide, jnp.bfloat16)
    each = jax.jit(lambda *arrays: [[sorting.sort(y, method=method) for y in arrays] for method in METHODS])
    for of_wide, of_half in each(wide, half):
        assert of_wide.dtype == jnp.float64 and of_half.dtype == jnp.float32
        np.testing.assert_array_equal(of_wide, np.sort(wide, axis=-1))
        np.testing.assert_array_equal(of_half, np.sort(np.asarray(half, np.float32), axis=-1))


def test_gradient_against_finite_differences(x64):
    y = _sample((2, 12), 6, np.float64)  # its gaps are far wider than the step
    step = 1e-6
    bumps = step * np.eye(y.size).reshape(-1, 2, 12)

    def each(method, y, bumps):
        def f(v):
            return jnp.sum(jnp.arange(12.0) ** 2 * jnp.sin(sorting.sort(v, method=method)), axis=(-2, -1))

        return f(y + bumps) - f(y - bumps), jax.grad(f)(y)

    with jax.numpy_rank_promotion("allow"):
        found = jax.jit(lambda *arrays: [each(method, *arrays) for method in METHODS])(y, bumps)
    for difference, gradient in found:
        np.testing.assert_allclose(gradient.reshape(-1), difference / (2 * step), rtol=1e-6, atol=1e-6)


def test_second_derivative(x64):
    y = _sample((6,), 7, np.float64)

    def f(v):
        return jnp.sum(jnp.arange(1.0, 7.0) * sorting.sort(v) ** 3)

    hessian = jax.jit(jax.jacrev(jax.jacrev(f)))(y)
    place = np.argsort(np.argsort(y))
    np.testing.assert_allclose(hessian, np.diag(6 * (place + 1) * y), rtol=1e-12)


def test_jit_and_vmap_agree():
    y = _sample((4, 3, 30), 8)
    place = np.argsort(np.argsort(y, axis=-1), axis=-1)
    expected = {"sort": np.sort(y, axis=-1), "ranks": place, "gradient": place == 0}

    def each(method, y):
        sort, ranks = (functools.partial(f, method=method) for f in (sorting.sort, sorting.ranks))
        functions = {"sort": sort, "ranks": ranks, "gradient": jax.grad(lambda v: jnp.sum(sort(v)[..., 0]))}
        return {
            name: (f(y), jax.vmap(f)(y), jax.vmap(jax.vmap(f), in_axes=1, out_axes=1)(y))
            for name, f in functions.items()
        }

    for method, found in zip(METHODS, jax.jit(lambda y: [each(m, y) for m in METHODS])(y), strict=True):
        for name, ways in found.items():
            for way in ways:
                np.testing.assert_array_equal(way, expected[name], err_msg=f"{method} {name}")


@pytest.mark.parametrize("method", METHODS)
def test_outside_jit(method):
    y = jnp.float32([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
    sort, ranks = (functools.partial(f, method=method) for f in (sorting.sort, sorting.ranks))
    np.testing.assert_array_equal(sort(y), np.sort(y))
    np.testing.assert_array_equal(ranks(y), [[2, 0, 1], [1, 2, 0]])
    np.testing.assert_array_equal(jax.vmap(sort)(y), np.sort(y))
    np.testing.assert_array_equal(jax.grad(lambda v: jnp.sum(sort(v)[:, 0]))(y), [[0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("spec", [PartitionSpec("d"), PartitionSpec(None, "d")])
def test_sharded_under_jit(spec):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    y = _sample((16, 64), 9)
    placed = jax.device_put(y, NamedSharding(mesh, spec))

    def first(y, method):
        values = sorting.sort(y, method=method)
        return jnp.sum(values[:, :10]), values

    each = jax.jit(lambda y: [jax.grad(first, has_aux=True)(y, method) for method in METHODS])
    for method, (gradient, values) in zip(METHODS, each(placed), strict=True):
        np.testing.assert_array_equal(values, np.sort(y, axis=-1), err_msg=method)
        np.testing.assert_array_equal(gradient, np.argsort(np.argsort(y, axis=-1), axis=-1) < 10, err_msg=method)


def test_inside_shard_map_with_a_gradient_that_crosses_devices():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    y, w = jnp.asarray(_sample((16, 64), 10)), np.arange(64, dtype=np.float32)[None]

    def loss(scale, v, method):
        def local(s, v):
            return jax.lax.psum(jnp.sum(w * sorting.sort(s * v, method=method)), "d")

        p = PartitionSpec
        return jax.shard_map(local, mesh=mesh, in_specs=(p(), p("d")), out_specs=p())(scale, v)

    each = jax.jit(lambda scale, v: [jax.value_and_grad(loss)(scale, v, method) for method in METHODS])
    slope = np.sum(w * np.sort(np.float64(y), axis=-1))
    for found in each(2.0, y):
        np.testing.assert_allclose(found, [2 * slope, slope], rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("f", [sorting.sort, sorting.ranks])
def test_bad_input_is_named(f):
    with pytest.raises(ValueError, match="y must be a non-empty sample"):
        f(jnp.float32(1.0))
    with pytest.raises(ValueError, match=r"y\.shape = \(3, 0\)"):
        f(jnp.zeros((3, 0)))
    with pytest.raises(TypeError, match="y must be a real array"):
        f(jnp.zeros(3, jnp.complex64))
    with pytest.raises(ValueError, match="method must be .*'quick'"):
        f(jnp.zeros(3), method="quick")
    assert f(jnp.zeros((0, 3))).shape == (0, 3)


OUTSIDE_JIT = {
    "sort": sorting.sort,
    "ranks": sorting.ranks,
    "cramer_wold": normality.cramer_wold,
    "gradient of cramer_wold": jax.grad(lambda y: normality.cramer_wold(y).sum()),
    "mardia": lambda y: gaussian.mardia(y[0, :, None]).skewness,
}


@pytest.mark.parametrize("function", OUTSIDE_JIT.values(), ids=OUTSIDE_JIT)
def test_a_second_call_outside_jit_compiles_nothing(function, caplog):
    y = jnp.float32(np.random.default_rng(0).normal(size=(3, 11)))
    function(y)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        function(y)
        assert not [record for record in caplog.records if "ompiling" in record.getMessage()]
        if function is sorting.sort:  # another shape does, and is seen
            function(jnp.ones((3, 101)))
            assert [record for record in caplog.records if "ompiling" in record.getMessage()]


@pytest.mark.parametrize("shape", [(2, 12), (64, 1024)])  # sorted on one thread of XLA's, and on several of ours
def test_methods_agree_on_subnormals_ties_and_what_is_not_finite(shape):
    tiny = float(np.finfo(np.float32).tiny)
    y = np.float32([3e-45, 1e-40, -1e-42, 0.0, -0.0, -1e-39, np.nan, np.inf, -np.inf, 2 * tiny, -tiny, 1.0])
    y = jnp.asarray(np.resize(y, shape))
    flushed = np.where(np.abs(y) < tiny, np.float32(0), y)

    @jax.jit
    def each(y):
        methods = ("host", "network", "xla")
        return {m: (sorting.sort(y, method=m), sorting.ranks(y, method=m)) for m in methods}

    for method, (ordered, rank) in each(y).items():
        np.testing.assert_array_equal(
            np.asarray(ordered).view(np.int32) << 1, np.sort(flushed).view(np.int32) << 1, err_msg=method
        )
        np.testing.assert_array_equal(np.take_along_axis(np.asarray(ordered), np.asarray(rank), -1), flushed)


@pytest.mark.parametrize("shape", [(2, 12), (64, 1024)])
def test_ranks_of_finite_rows_from_the_smallest_to_the_largest_number(shape):
    """Codes behind a ReLU among them, of which half are 0: the place of each survives on threads that flush to 0."""
    limits = np.finfo(np.float32)
    y = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    y = np.where(y > 0.5, y, 0)
    y[:, :8] = limits.tiny, -limits.tiny, limits.max, -limits.max, 1, np.nextafter(np.float32(1), 2), -1, 3e-38
    ordered, rank = (np.asarray(a) for a in jax.jit(_host_sort.sort_with_ranks)(y))
    np.testing.assert_array_equal(ordered, np.sort(y, axis=-1))
    np.testing.assert_array_equal(np.sort(rank, axis=-1), np.broadcast_to(np.arange(shape[1]), shape))
    np.testing.assert_array_equal(np.take_along_axis(ordered, rank, axis=-1), y)


@pytest.mark.parametrize("shape", [(3, 40), (64, 1024)])
def test_on_the_host_ties_rank_by_place_in_every_precision(shape):
    """So gradients of tied entries are the same numbers in float32 and in float64."""
    y = np.random.default_rng(5).integers(-3, 4, size=shape).astype(np.float32)
    y[0, 0] = np.inf  # rows with what is not finite go another way
    expected = np.argsort(np.argsort(y, axis=-1, kind="stable"), axis=-1)
    with jax.enable_x64(True):
        for rows, kept in ((y, expected), (y[1:], expected[1:]), (y[1:].astype(np.float64), expected[1:])):
            rank = jax.jit(_host_sort.ranks)(jnp.asarray(rows))
            np.testing.assert_array_equal(rank, kept)


@pytest.mark.fast
def test_a_preferred_method_holds_within_its_context_alone():
    y = jnp.asarray([2.0, 1.0])
    with sorting.prefer("xla"):
        within = str(jax.make_jaxpr(lambda y: sorting.sort(y))(y))
        given = str(jax.make_jaxpr(functools.partial(sorting.sort, method="host"))(y))
    assert "buffer_callback" not in within and "buffer_callback" in given
    assert "buffer_callback" in str(jax.make_jaxpr(lambda y: sorting.sort(y))(y))
    with pytest.raises(ValueError, match="method must be"), sorting.prefer("fastest"):
        pass
