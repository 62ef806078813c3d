import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import Partial

from gentoolkit import _array
from gentoolkit.distances import _pairwise


def profile(rate, r2):
    return jnp.exp(-rate * r2) + 1.0 / (2.0 + r2)


KERNEL = Partial(profile, 0.1)


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def reference(kernel, x, z=None):
    """Means over pairs, i != j where there is one sample only, from the differences in float64."""
    x = np.asarray(x, np.float64)
    other = x if z is None else np.asarray(z, np.float64)
    k = np.asarray(kernel(jnp.asarray(((x[:, None, :] - other[None, :, :]) ** 2).sum(-1))), np.float64)
    return (k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)) if z is None else k.mean()


def dense(kernel, x, z):
    """The same as `total`, in a form whose derivatives of any order autodiff knows."""
    r2 = ((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    off = 1.0 - jnp.eye(len(x), dtype=x.dtype)
    r2z = ((x[:, None, :] - z[None, :, :]) ** 2).sum(-1)
    return (kernel(r2) * off).sum() / off.sum() + kernel(r2z).mean()


dense_slopes = jax.jit(jax.grad(dense, (0, 1, 2)))


def total(kernel, x, z, block_size=None):
    return _pairwise.within(kernel, x, block_size=block_size) + _pairwise.across(kernel, x, z, block_size=block_size)


@pytest.mark.parametrize(("dim", "block_size"), [(1, 1), (12, 4), (12, None)])
def test_blocks_equal_dense(x64, dim, block_size):
    x, z = draw(0, 13, dim), draw(1, 9, dim) + 0.3
    ours = jax.jit(jax.value_and_grad(functools.partial(total, block_size=block_size), (0, 1, 2)))(KERNEL, x, z)
    np.testing.assert_allclose(ours[0], reference(KERNEL, x) + reference(KERNEL, x, z), rtol=1e-12)
    expected = dense_slopes(KERNEL, x, z)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-14), ours[1], expected)


@pytest.mark.parametrize("dim", [pytest.param(2, marks=pytest.mark.slow), 12])
def test_derivatives_of_both_modes_and_orders(x64, dim):
    x, z, v = draw(0, 7, dim), draw(1, 5, dim), draw(2, 7, dim)

    def derivatives(f):
        def squared_gradient(x):
            return jnp.sum(jax.grad(f)(x) ** 2)

        forward = jax.jvp(f, (x,), (v,))[1]
        return forward, jax.jvp(jax.grad(f), (x,), (v,))[1], jax.grad(squared_gradient)(x)

    ours, expected = (
        jax.jit(lambda f=f: derivatives(f))()
        for f in (functools.partial(total, KERNEL, z=z, block_size=3), functools.partial(dense, KERNEL, z=z))
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-12), ours, expected)


def test_gradient_of_parameters_by_central_differences(x64):
    x, z = draw(0, 11, 10), draw(1, 6, 10)
    h = 1e-6

    @jax.jit
    def of_rate(rate):
        return total(Partial(profile, rate), x, z, block_size=4)

    np.testing.assert_allclose(
        jax.jit(jax.grad(of_rate))(0.1), (of_rate(0.1 + h) - of_rate(0.1 - h)) / (2 * h), rtol=1e-8
    )


@pytest.mark.fast
def test_one_sample_has_no_pair():
    assert _pairwise.within(KERNEL, jnp.ones((2, 1, 3))).tolist() == [0.0, 0.0]


def test_leading_axes_are_independent_problems():
    x, z = draw(0, 2, 3, 10, 12), draw(1, 2, 3, 7, 12)
    f = jax.jit(functools.partial(total, KERNEL, block_size=4))
    ours = f(x, z)
    loop = [[f(x[i, j], z[i, j]) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(ours, jnp.asarray(loop), rtol=1e-6)
    assert _pairwise.within(KERNEL, x[:0]).shape == (0, 3)


def test_vmap_hands_on_more_problems(x64):
    """One choice of method in each tile stays one (`cond`, not both), in every order of vmap and grad."""
    x, z = draw(0, 3, 10, 12), draw(1, 7, 12)
    f = functools.partial(total, KERNEL, block_size=4)
    assert " cond[" in str(jax.make_jaxpr(jax.vmap(jax.value_and_grad(f), (0, None)))(x, z))

    def curvature(x, z):
        return jnp.sum(jax.grad(f)(x, z) ** 2)

    ours = jax.jit(jax.vmap(jax.grad(f, (0, 1)), (0, None)))(x, z)
    outside = jax.jit(jax.grad(lambda x, z: jax.vmap(f, (0, None))(x, z).sum(), (0, 1)))(x, z)
    second = jax.jit(jax.vmap(jax.grad(curvature), (0, None)))(x, z)
    expected = jax.jit(jax.grad(functools.partial(dense, KERNEL), (0, 1)))
    expected_second = jax.jit(jax.grad(curvature))
    for i in range(3):
        by_x, by_z = expected(x[i], z)
        np.testing.assert_allclose(ours[0][i], by_x, rtol=1e-9)
        np.testing.assert_allclose(ours[1][i], by_z, rtol=1e-9)
        np.testing.assert_allclose(outside[0][i], by_x, rtol=1e-9)
        np.testing.assert_allclose(second[i], expected_second(x[i], z), rtol=1e-9)
    np.testing.assert_allclose(outside[1], ours[1].sum(0), rtol=1e-9)


def test_vmap_over_a_parameter():
    x = draw(0, 10, 12)
    rates = jnp.asarray([0.05, 0.2])

    def of_rate(rate):
        return _pairwise.within(Partial(profile, rate), x)

    f = jax.value_and_grad(of_rate)
    value, slope = jax.jit(jax.vmap(f))(rates)
    loop = [jax.jit(f)(rate) for rate in rates]
    np.testing.assert_allclose(value, [v for v, _ in loop], rtol=1e-6)
    np.testing.assert_allclose(slope, [s for _, s in loop], rtol=1e-5)


def _hard_samples(name):
    x = np.random.default_rng(0).normal(size=(96, 24))
    if name == "outlier":
        x[5] = 1e4
    elif name == "two close outliers":
        x[5], x[50] = 1e4, 1e4
        x[50, :3] += 1.0
    elif name == "clusters":
        x = 0.01 * x
        x[48:] += 100.0
    elif name == "far":
        x += 1e4
    elif name == "duplicates":
        x[48:] = x[:48]
    return jnp.asarray(x, jnp.float32)


@jax.jit
def _on_hard_samples(scale, x):
    """One program for all of them: a smooth kernel and one with a root, of bandwidth near the spacing of `x`."""

    def kernel(scale, r2):
        return jnp.exp(-r2 / (10.0 * scale)) - 0.1 * jnp.sqrt(r2 / scale)

    return jax.value_and_grad(lambda x: _pairwise.within(Partial(kernel, scale), x, block_size=40))(x)


@pytest.mark.parametrize("name", ["outlier", "two close outliers", "clusters", "far", "duplicates"])
def test_float32_keeps_its_digits_where_inner_products_cancel(name):
    """Direct differences take over: 1e-5 of the value, and of the largest gradient of a sample."""
    x = _hard_samples(name)
    scale = 1e-4 if name == "clusters" else 1.0
    value, gradient = _on_hard_samples(jnp.float32(scale), x)
    with jax.enable_x64(True):
        wide = jnp.asarray(x, jnp.float64)
        expected, slope = _on_hard_samples(jnp.float64(scale), wide)
        exact = reference(lambda r2: jnp.exp(-r2 / (10.0 * scale)) - 0.1 * jnp.sqrt(r2 / scale), wide)
        np.testing.assert_allclose(expected, exact, rtol=1e-9)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5 * float(np.abs(slope).max()))


def test_an_outlier_does_not_make_the_others_cancel():
    """Inner products about the mean would: one of 97 samples at 1e4 takes it 100 away from all the others."""
    x = draw(0, 97, 24).at[5].set(1e4)
    others = jnp.delete(x, 5, axis=0)

    def smallest_share(center):
        norms = ((others - center) ** 2).sum(-1)
        r2 = ((others[:, None, :] - others[None, :, :]) ** 2).sum(-1) + 1e9 * jnp.eye(96)
        return (r2 / (norms[:, None] + norms[None, :])).min()

    assert (
        smallest_share(_pairwise._central_sample(x[None])[0])
        > _pairwise._CANCELLATION
        > smallest_share(x.mean(0, keepdims=True))
    )


@pytest.mark.parametrize("dim", [2, 12])
def test_a_kernel_of_infinite_slope_at_ties_has_a_finite_gradient(dim):
    x = jnp.zeros((6, dim)).at[0].set(1.0)
    gradient = jax.jit(jax.grad(lambda x: _pairwise.within(jnp.sqrt, x) + _pairwise.across(jnp.sqrt, x, x)))(x)
    assert jnp.isfinite(gradient).all() and jnp.abs(gradient).max() > 0


@pytest.mark.parametrize("dim", [2, 12])
def test_nan_is_never_silent(dim):
    x = draw(0, 10, dim).at[3, 1].set(jnp.nan)
    f = functools.partial(_pairwise.within, KERNEL, block_size=4)
    value, gradient = jax.jit(jax.value_and_grad(f))(x)
    assert jnp.isnan(value) and jnp.isnan(gradient).all()
    value = jax.jit(f)(jnp.stack([x, draw(0, 10, dim)]))
    assert jnp.isnan(value).tolist() == [True, False]


def test_an_offset_is_taken_off_and_has_no_derivative(x64):
    x = draw(0, 9, 10)
    shifted = jax.value_and_grad(lambda offset: _pairwise.within(KERNEL, x, offset=offset))
    (value, slope), whole = jax.jit(lambda offset: (shifted(offset), _pairwise.within(KERNEL, x)))(0.25)
    np.testing.assert_allclose(value, whole - 0.25, rtol=1e-12)
    assert slope == 0.0
    assert jnp.isfinite(_pairwise.typical_value(lambda r2: 1.0 / r2, jnp.ones((3, 2))))


@pytest.mark.fast
@pytest.mark.parametrize("block_size", [0, -3, 2.5, "8"])
def test_a_bad_block_size_is_refused(block_size):
    with pytest.raises(ValueError, match="block_size"):
        _pairwise.within(KERNEL, jnp.ones((4, 2)), block_size=block_size)


@pytest.mark.fast
@pytest.mark.parametrize("kernel", [jnp.sum, lambda r2: r2[0], lambda r2: (r2, r2), lambda r2: r2 > 0])
def test_a_kernel_that_is_not_elementwise_is_refused(kernel):
    with pytest.raises(ValueError, match="entry by entry"):
        _pairwise.within(kernel, jnp.ones((4, 2)))


def _temporary_bytes(f, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(f).lower(*arguments).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("order", [1, 2])
def test_memory_is_linear_in_the_number_of_samples(order):
    """One n x n matrix of float32 at n = 16384 is 1 GiB; copies of the samples and their gradients are 4 MiB each."""
    n, d = 16384, 64
    f = functools.partial(total, KERNEL)
    g = jax.value_and_grad(f, (0, 1)) if order == 1 else lambda x, z: jax.jvp(jax.grad(f), (x, z), (x, z))
    assert _temporary_bytes(g, (n, d), (n, d)) < (96 << 20) * order


def test_memory_follows_the_block():
    shapes = (4096, 16), (4096, 16)
    small, large = (
        _temporary_bytes(jax.grad(functools.partial(total, KERNEL, block_size=b)), *shapes) for b in (128, 1024)
    )
    assert small < 4 << 20 < large < 64 << 20


def test_sharded_samples_give_the_same():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    x, z = draw(0, 64, 12), draw(1, 24, 12)
    f = jax.value_and_grad(functools.partial(total, KERNEL, block_size=20), (0, 1))
    expected = jax.jit(f)(x, z)
    with jax.set_mesh(mesh):
        spread = [jax.device_put(a, NamedSharding(mesh, P("data", None))) for a in (x, z)]
        ours = jax.jit(lambda x, z: f(_array.gather(x), _array.gather(z)))(*spread)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
    jax.tree.map(lambda a, b: close(np.asarray(a), np.asarray(b)), ours, expected)


def test_inside_shard_map_each_device_has_its_own():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x, z = draw(0, 32, 12), draw(1, 5, 12)

    def local(x, z, rate):
        return total(Partial(profile, rate), x, z, block_size=3)

    def mean(x, z, rate):
        mapped = jax.shard_map(
            lambda *args: jax.lax.pmean(local(*args), "data"),
            mesh=mesh,
            in_specs=(P("data"), P(), P()),
            out_specs=P(),
        )
        return mapped(x, z, rate)

    def loop(x, z, rate):
        return jnp.mean(jax.lax.map(lambda part: local(part, z, rate), x.reshape(8, 4, 12)))

    ours = jax.jit(jax.value_and_grad(mean, (0, 1, 2)))(x, z, 0.1)
    expected = jax.jit(jax.value_and_grad(loop, (0, 1, 2)))(x, z, 0.1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, expected)
