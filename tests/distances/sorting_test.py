"""Sorting and ranks against NumPy for every method, length, dtype and shape; derivative, vmap, shards, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gentoolkit.distances import gaussian, normality, sorting

METHODS = [None, "host", "network", "xla"]
LENGTHS = [1, 2, 3, 7, 8, 9, 17, 100, 300]


def _sample(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.fast
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("method", METHODS)
def test_sort_and_ranks_agree_with_numpy(method, n):
    y = _sample((5, n))
    values, ranks = sorting.sort(jnp.asarray(y), method=method), sorting.ranks(jnp.asarray(y), method=method)
    np.testing.assert_array_equal(values, np.sort(y, axis=-1))
    assert ranks.dtype == jnp.int32
    np.testing.assert_array_equal(ranks, np.argsort(np.argsort(y, axis=-1), axis=-1))


@pytest.mark.parametrize("shape", [(64, 300), (3, 1, 200, 70), (1, 5000), (7, 4096)])
def test_larger_sizes_that_are_split_over_threads(shape):
    y = _sample(shape, 1)
    np.testing.assert_array_equal(sorting.sort(jnp.asarray(y)), np.sort(y, axis=-1))
    ranks = np.asarray(sorting.ranks(jnp.asarray(y)))
    np.testing.assert_array_equal(np.take_along_axis(np.sort(y, axis=-1), ranks, axis=-1), y)


@pytest.mark.parametrize("method", METHODS)
def test_ties_give_a_permutation(method):
    y = jnp.asarray(np.random.default_rng(2).integers(0, 3, size=(6, 300)), jnp.float32)
    ranks = np.asarray(sorting.ranks(y, method=method))
    np.testing.assert_array_equal(np.sort(ranks, axis=-1), np.tile(np.arange(300), (6, 1)))
    np.testing.assert_array_equal(np.take_along_axis(np.sort(y, axis=-1), ranks, axis=-1), y)


@pytest.mark.parametrize("method", METHODS)
def test_nan_infinity_and_signed_zero(method):
    finite = np.float32([1.0, -np.inf, np.inf, 0.0, -1.0, 3e38, 2e-38])
    nans = np.float32([np.nan, np.copysign(np.nan, -1.0)])
    y = np.concatenate([nans[:1], finite, nans[1:]])
    values = np.asarray(sorting.sort(jnp.asarray(y), method=method))
    np.testing.assert_array_equal(values[:7], np.sort(finite))
    assert np.isnan(values[7:]).all()
    assert set(np.asarray(sorting.ranks(jnp.asarray(y), method=method))[[0, 8]].tolist()) == {7, 8}
    zeros = jnp.array([0.0, -0.0, 0.0, -0.0, -1.0, 1.0])
    np.testing.assert_array_equal(sorting.sort(zeros, method=method), np.sort(zeros))


@pytest.mark.parametrize("method", METHODS)
def test_dtypes(method, x64):
    wide = _sample((4, 50), 3, np.float64)
    out = sorting.sort(jnp.asarray(wide), method=method)
    assert out.dtype == jnp.float64
    np.testing.assert_array_equal(out, np.sort(wide, axis=-1))
    half = jnp.asarray(wide, jnp.bfloat16)
    out = sorting.sort(half, method=method)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.sort(np.asarray(half, np.float32), axis=-1))


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 9, 300])
@pytest.mark.parametrize("method", METHODS)
def test_gradient_goes_back_to_where_the_value_came_from(method, n):
    y, weights = _sample((3, n), 4), _sample((3, n), 5)
    gradient = jax.grad(lambda v: jnp.sum(weights * sorting.sort(v, method=method)))(jnp.asarray(y))
    expected = np.take_along_axis(weights, np.argsort(np.argsort(y, axis=-1), axis=-1), axis=-1)
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_against_finite_differences(method, x64):
    y = _sample((2, 12), 6, np.float64)  # its gaps are far wider than the step

    def f(v):
        return jnp.sum(jnp.arange(12.0)[None] ** 2 * jnp.sin(sorting.sort(v, method=method)))

    step = 1e-6
    numeric = np.zeros_like(y)
    for i in np.ndindex(y.shape):
        bump = np.zeros_like(y)
        bump[i] = step
        numeric[i] = (f(jnp.asarray(y + bump)) - f(jnp.asarray(y - bump))) / (2 * step)
    np.testing.assert_allclose(jax.grad(f)(jnp.asarray(y)), numeric, rtol=1e-6, atol=1e-6)


def test_second_derivative(x64):
    y = jnp.asarray(_sample((6,), 7, np.float64))

    def f(v):
        return jnp.sum(jnp.arange(1.0, 7.0) * sorting.sort(v) ** 3)

    hessian = jax.jacrev(jax.jacrev(f))(y)
    np.testing.assert_allclose(hessian, np.diag(6 * (np.asarray(sorting.ranks(y)) + 1) * np.asarray(y)), rtol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("method", METHODS)
def test_jit_vmap_and_eager_agree(method):
    y = jnp.asarray(_sample((4, 3, 30), 8))
    sort, ranks = (functools.partial(f, method=method) for f in (sorting.sort, sorting.ranks))
    for f in (sort, ranks, jax.grad(lambda v: jnp.sum(sort(v)[..., 0]))):
        eager = f(y)
        np.testing.assert_array_equal(jax.jit(f)(y), eager)
        np.testing.assert_array_equal(jax.vmap(f)(y), eager)
        np.testing.assert_array_equal(jax.vmap(jax.vmap(f), in_axes=1, out_axes=1)(y), eager)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spec", [PartitionSpec("d"), PartitionSpec(None, "d")])
def test_sharded_under_jit(method, spec):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    y = _sample((16, 320), 9)
    placed = jax.device_put(y, NamedSharding(mesh, spec))
    np.testing.assert_array_equal(jax.jit(functools.partial(sorting.sort, method=method))(placed), np.sort(y, axis=-1))
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(sorting.sort(v, method=method)[:, :10])))(placed)
    np.testing.assert_array_equal(gradient, np.argsort(np.argsort(y, axis=-1), axis=-1) < 10)


@pytest.mark.parametrize("method", METHODS)
def test_inside_shard_map_with_a_gradient_that_crosses_devices(method):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    y, w = jnp.asarray(_sample((16, 320), 10)), jnp.arange(320.0)[None]

    def loss(scale, v):
        def local(s, v):
            return jax.lax.psum(jnp.sum(w * sorting.sort(s * v, method=method)), "d")

        p = PartitionSpec
        return jax.shard_map(local, mesh=mesh, in_specs=(p(), p("d")), out_specs=p())(scale, v)

    expected = jax.value_and_grad(lambda s: jnp.sum(w * jnp.sort(s * y, axis=-1)))(2.0)
    np.testing.assert_allclose(jax.jit(jax.value_and_grad(loss))(2.0, y), expected, rtol=1e-5)


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
        function(jnp.ones((3, 13)))  # another shape does, and is seen
        assert [record for record in caplog.records if "ompiling" in record.getMessage()]


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(2, 12), (64, 1024)])  # sorted on one thread of XLA's, and on several of ours
def test_methods_agree_on_subnormals_ties_and_what_is_not_finite(shape):
    tiny = float(np.finfo(np.float32).tiny)
    y = np.float32([3e-45, 1e-40, -1e-42, 0.0, -0.0, -1e-39, np.nan, np.inf, -np.inf, 2 * tiny, -tiny, 1.0])
    y = jnp.asarray(np.resize(y, shape))
    flushed = np.where(np.abs(y) < tiny, np.float32(0), y)
    for method in ("host", "network", "xla"):
        ordered = jax.jit(functools.partial(sorting.sort, method=method))(y)
        np.testing.assert_array_equal(
            np.asarray(ordered).view(np.int32) << 1, np.sort(flushed).view(np.int32) << 1, err_msg=method
        )
        rank = sorting.ranks(y, method=method)
        np.testing.assert_array_equal(np.take_along_axis(np.asarray(ordered), np.asarray(rank), -1), flushed)


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
