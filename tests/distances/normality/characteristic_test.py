import functools
import math

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gentoolkit.distances.normality.characteristic import cramer_wold, epps_pulley

SIZES = (1, 3, 17, 256)


def silverman(n):
    return (4 / (3 * n)) ** 0.4


def pairwise(y, bandwidth):
    """The distance and its gradient in the pairwise form, in float64."""
    y = np.asarray(y, np.float64)
    n, wide = y.shape[-1], 1 + 2 * bandwidth
    gap = y[..., :, None] - y[..., None, :]
    kernel = np.exp(-(gap**2) / (4 * bandwidth)) / np.sqrt(4 * np.pi * bandwidth)
    cross = np.exp(-(y**2) / (2 * wide)) / np.sqrt(2 * np.pi * wide)
    value = kernel.mean((-1, -2)) + 1 / np.sqrt(4 * np.pi * (1 + bandwidth)) - 2 * cross.mean(-1)
    return value, 2 / n * cross * y / wide - (kernel * gap).sum(-1) / (n**2 * bandwidth)


def gradient_scale(n, bandwidth):
    """The force between two of n points, one bandwidth apart: what an error of the gradient is to be measured by."""
    return 1 / (n * bandwidth)


@jax.jit
def _compiled(y, bandwidth):
    value, pullback = jax.vjp(lambda y: cramer_wold(y, bandwidth=bandwidth), y)
    return value, pullback(jnp.ones_like(value))[0]


def value_and_gradient(y, bandwidth=None):
    """Value and gradient, row by row; tests share few programs: 54 rows at a time, the bandwidth traced."""
    n = y.shape[-1]
    bandwidth = silverman(n) if bandwidth is None else bandwidth
    padded = np.concatenate([y, np.zeros((-len(y) % 54, n), y.dtype)]).reshape(-1, 54, n)
    values, gradients = zip(*(_compiled(part, bandwidth) for part in padded), strict=True)
    value, gradient = np.concatenate(values)[: len(y)], np.concatenate(gradients)[: len(y)]
    return value.astype(np.float64), gradient.astype(np.float64)


def hard_samples(n, scale, seed=0):
    """Rows `[6, n]`: spread, constant, two far clusters, one far point, ties, and far points close to one another."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((6, n))
    y[1] = y[1, 0]
    y[2] = np.sign(y[2]) * 50 + 0.1 * y[2]
    y[4] = np.round(y[4] * 2) / 2
    y *= scale
    y[3, 0] = 1e4
    y[5, ::3] = 1e4 + 0.1 * np.arange(len(y[5, ::3]))
    return y


@pytest.mark.parametrize("n", [pytest.param(n, marks=pytest.mark.fast if n == 17 else ()) for n in SIZES])
def test_equals_the_pairwise_form_at_any_scale(n, x64):
    y = np.concatenate([hard_samples(n, scale) for scale in (1e-3, 0.1, 1, 3, 10, 30, 100, 1e3, 1e4)])
    value, gradient = value_and_gradient(y)
    expected_value, expected_gradient = pairwise(y, silverman(n))
    np.testing.assert_allclose(value, expected_value, rtol=1e-9)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-9 * gradient_scale(n, silverman(n)))


@pytest.mark.parametrize("n", (3, 256))
@pytest.mark.parametrize("bandwidth", (1e-8, 1e-4, 1e-2, 1.0, 1e2, 1e4))
def test_equals_the_pairwise_form_at_any_bandwidth(n, bandwidth, x64):
    y = np.concatenate([hard_samples(n, scale) for scale in (0.1, 1, 30, 1e4)])
    value, gradient = value_and_gradient(y, bandwidth)
    expected_value, expected_gradient = pairwise(y, bandwidth)
    # The pairwise form loses digits to cancellation where the kernel is wide: its terms are near 0.28 bandwidth^-1/2.
    np.testing.assert_allclose(value, expected_value, rtol=1e-9, atol=1e-15 / math.sqrt(bandwidth))
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-9 * gradient_scale(n, bandwidth))


@pytest.mark.parametrize("n", SIZES)
def test_float32_is_within_1e_5_at_any_scale(n):
    y = np.concatenate([hard_samples(n, scale) for scale in (1e-3, 0.1, 1, 3, 10, 30, 100, 1e3, 1e4)])
    y = y.astype(np.float32)
    value, gradient = value_and_gradient(y)
    expected_value, expected_gradient = pairwise(y, silverman(n))
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-6 * gradient_scale(n, silverman(n)))


@pytest.mark.parametrize("n", (17, 256, pytest.param(2048, marks=pytest.mark.slow)))
def test_float32_is_within_1e_5_near_the_optimum(n):
    # Mean order statistics, in any order: at n = 256 a distance 700 times below that of a normal sample, and 1e5 below
    # the terms of the pairwise form.
    rng = np.random.default_rng(0)
    y = np.sort(rng.standard_normal((500, n)), axis=-1).mean(0)
    y = np.stack([scale * rng.permutation(y) for scale in np.linspace(0.99, 1.01, 8)]).astype(np.float32)
    expected = [pairwise(row, silverman(n))[0] for row in y]
    np.testing.assert_allclose(value_and_gradient(y)[0], expected, rtol=1e-5)


@pytest.mark.fast
def test_equals_the_fourier_integral(x64):
    y, bandwidth = np.random.default_rng(0).standard_normal((1, 17)), 0.3
    t = np.linspace(-16, 16, 4001)
    error = np.abs(np.exp(1j * t[:, None] * y).mean(-1) - np.exp(-(t**2) / 2)) ** 2
    integral = np.trapezoid(error * np.exp(-bandwidth * t**2), t) / (2 * np.pi)
    np.testing.assert_allclose(value_and_gradient(y, bandwidth)[0], [integral], rtol=1e-12)
    integral = np.trapezoid(error * np.exp(-(t**2) / 2), t) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(math.sqrt(2 * math.pi) * value_and_gradient(y, 0.5)[0], [integral], rtol=1e-12)


def test_epps_pulley_equals_its_closed_form(x64):
    y = np.concatenate([hard_samples(17, scale) for scale in (0.1, 1, 100)])
    pairs = np.exp(-((y[:, :, None] - y[:, None, :]) ** 2) / 2).mean((-1, -2))
    expected = pairs + 1 / math.sqrt(3) - math.sqrt(2) * np.exp(-(y**2) / 4).mean(-1)
    value = jax.jit(epps_pulley)(y)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    assert np.all((value >= 0) & (value < 4))


def test_one_point_has_a_closed_form(x64):
    y, bandwidth = np.array([[0.0], [0.7], [-3.0], [1e4]]), 0.4
    expected = (4 * np.pi * bandwidth) ** -0.5 + (4 * np.pi * (1 + bandwidth)) ** -0.5
    expected = expected - 2 * (2 * np.pi * 1.8) ** -0.5 * np.exp(-(y[:, 0] ** 2) / 3.6)
    np.testing.assert_allclose(value_and_gradient(y, bandwidth)[0], expected, rtol=1e-12)


@pytest.mark.fast
def test_is_even_and_blind_to_order(x64):
    y = np.concatenate([hard_samples(17, scale) for scale in (1, 100)])
    value, gradient = value_and_gradient(y)
    np.testing.assert_allclose(value_and_gradient(-y)[0], value, rtol=1e-13)
    order = np.random.default_rng(0).permutation(17)
    permuted_value, permuted_gradient = value_and_gradient(y[:, order])
    np.testing.assert_allclose(permuted_value, value, rtol=1e-13)
    np.testing.assert_allclose(permuted_gradient, gradient[:, order], rtol=0, atol=1e-13)


def test_a_sample_taken_twice_keeps_its_distance(x64):
    y = np.concatenate([hard_samples(17, scale) for scale in (1, 100)])
    once, twice = value_and_gradient(y, 0.2)[0], value_and_gradient(np.concatenate([y, y], axis=-1), 0.2)[0]
    np.testing.assert_allclose(twice, once, rtol=1e-12)


def test_default_bandwidth_is_silverman(x64):
    y = hard_samples(17, 1.0)
    np.testing.assert_allclose(jax.jit(cramer_wold)(y), pairwise(y, silverman(17))[0], rtol=1e-9)


@pytest.mark.fast
@pytest.mark.parametrize("scale", (1.0, 200.0))
def test_gradient_is_the_central_difference(scale, x64):
    y = hard_samples(17, scale)
    _, gradient = value_and_gradient(y, 0.5)
    step = 1e-5
    moved = np.concatenate([y[None] + sign * step * np.eye(17)[:, None, :] for sign in (1, -1)])
    up, down = value_and_gradient(moved.reshape(-1, 17), 0.5)[0].reshape(2, 17, -1)
    np.testing.assert_allclose(gradient, ((up - down) / (2 * step)).T, rtol=0, atol=1e-9)


def test_forward_mode_and_second_derivatives(x64):
    y, direction = hard_samples(17, 1.0)[[0, 3, 5]], np.random.default_rng(1).standard_normal((3, 17))
    _, gradient = value_and_gradient(y, 0.5)
    f = functools.partial(cramer_wold, bandwidth=0.5)
    _, tangent = jax.jit(lambda y, v: jax.jvp(f, (y,), (v,)))(y, direction)
    np.testing.assert_allclose(tangent, (gradient * direction).sum(-1), rtol=0, atol=1e-14)
    hessian = jax.jit(lambda y, v: jax.jvp(jax.grad(lambda y: f(y).sum()), (y,), (v,))[1])(y, direction)
    step = 1e-5
    up, down = (value_and_gradient(y + sign * step * direction, 0.5)[1] for sign in (1, -1))
    # A step of 1e-5 beside a value of 1e4 is rounded by 1e-7 of itself.
    np.testing.assert_allclose(hessian, (up - down) / (2 * step), rtol=0, atol=1e-8)


@st.composite
def samples(draw):
    n = draw(st.sampled_from(SIZES))
    numbers = st.one_of(
        st.floats(-5, 5, width=32),
        st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4, 1e-3]),
        st.floats(-np.float32(1e4), np.float32(1e4), width=32),
    )
    fill = draw(st.sampled_from([0.0, 0.5, 1e4]))
    return draw(hnp.arrays(np.float32, (1, n), elements=numbers, fill=st.just(fill)))


@hypothesis.given(samples())
def test_any_sample_has_the_value_and_gradient_of_the_pairwise_form(y):
    n = y.shape[-1]
    value, gradient = value_and_gradient(y)
    expected_value, expected_gradient = pairwise(y, silverman(n))
    assert value >= 0
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-6 * gradient_scale(n, silverman(n)))


def test_null_mean():
    n = 17
    y = np.random.default_rng(n).standard_normal((5400, n)).astype(np.float32)
    for g in (silverman(n), 0.5):
        value = value_and_gradient(y, g)[0]
        expected = ((4 * np.pi * g) ** -0.5 - (4 * np.pi * (1 + g)) ** -0.5) / n
        assert abs(value.mean() - expected) < 5 * value.std() / math.sqrt(len(value))
    np.testing.assert_allclose(math.sqrt(2 * math.pi) * expected, (1 - 3**-0.5) / n, rtol=1e-12)  # Epps-Pulley's


def test_leading_axes_vmap_jit_and_loop_agree():
    y = hard_samples(17, 1.0).astype(np.float32).reshape(2, 3, 17)
    flat_value, flat_gradient = value_and_gradient(y.reshape(6, 17))
    tight = dict(rtol=1e-6)  # XLA fuses each program in its own way
    np.testing.assert_allclose(cramer_wold(y), flat_value.reshape(2, 3), **tight)
    value, gradient = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(cramer_wold))))(y)
    np.testing.assert_allclose(value, flat_value.reshape(2, 3), **tight)
    np.testing.assert_allclose(gradient, flat_gradient.reshape(y.shape), rtol=0, atol=1e-7)
    alone = jax.jit(cramer_wold)
    np.testing.assert_allclose([[alone(sample) for sample in row] for row in y], flat_value.reshape(2, 3), **tight)
    assert cramer_wold(y[:0]).shape == (0, 3)


def test_vmap_over_bandwidths(x64):
    y, bandwidths = hard_samples(17, 1.0), np.array([1e-8, 0.1, 1.0])
    value = jax.jit(jax.vmap(lambda g: cramer_wold(y, bandwidth=g)))(bandwidths)
    np.testing.assert_allclose(value, [pairwise(y, g)[0] for g in bandwidths], rtol=1e-9)


def test_blocks_of_rows_change_nothing(x64):
    # 54 rows of 1024 points are four blocks on CPU, the last one padded.
    y = np.random.default_rng(0).standard_normal((54, 1024)) * np.geomspace(0.1, 1e3, 54)[:, None]
    y[5, 3], y[53, 0] = 1e4, -1e4
    value, gradient = value_and_gradient(y)
    for row in (0, 5, 20, 36, 53):
        expected_value, expected_gradient = pairwise(y[row], silverman(1024))
        np.testing.assert_allclose(value[row], expected_value, rtol=1e-9)
        np.testing.assert_allclose(gradient[row], expected_gradient, rtol=0, atol=1e-9)


def test_memory_is_linear_in_the_sample():
    # One array [4, n, n] in float32 would be 1 GiB, one of [4, nodes, n] 4 MiB.
    y = jax.ShapeDtypeStruct((4, 8192), jnp.float32)
    compiled = jax.jit(jax.grad(lambda y: cramer_wold(y).sum())).lower(y).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 30 * y.size * 4


@pytest.mark.parametrize("dtype", (jnp.bfloat16, jnp.int32))
def test_narrow_types_are_computed_in_float32(dtype):
    y = jnp.asarray([np.arange(17) % 5 - 2], dtype)
    value = jax.jit(cramer_wold)(y)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, value_and_gradient(np.asarray(y, np.float32))[0], rtol=1e-6)
    assert jax.eval_shape(epps_pulley, y).dtype == jnp.float32


@pytest.mark.fast
def test_types_of_results_and_gradients(x64):
    y = jnp.zeros((1, 3), jnp.bfloat16)
    assert jax.eval_shape(jax.grad(lambda y: cramer_wold(y).sum()), y).dtype == jnp.bfloat16
    assert jax.eval_shape(cramer_wold, y.astype(jnp.float64)).dtype == jnp.float64
    given = functools.partial(cramer_wold, bandwidth=np.float64(0.1))
    assert jax.eval_shape(given, y.astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.fast
@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_a_row_that_is_not_finite_is_nan_and_alone(bad):
    y = hard_samples(17, 1.0).astype(np.float32)
    y[2, 4] = bad
    value, gradient = value_and_gradient(y)
    assert np.isnan(value[2]) and np.isnan(gradient[2]).all()
    rest = [0, 1, 3, 4, 5]
    expected_value, expected_gradient = pairwise(y[rest], silverman(17))
    np.testing.assert_allclose(value[rest], expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient[rest], expected_gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bandwidth", (0.0, -1.0, np.nan, np.inf))
def test_a_bandwidth_that_is_not_positive(bandwidth):
    y = np.zeros((2, 17), np.float32)
    with pytest.raises(ValueError, match="bandwidth"):
        jax.jit(lambda y: cramer_wold(y, bandwidth=bandwidth))(y)
    value, gradient = value_and_gradient(y, bandwidth)  # traced: cannot be refused
    assert np.isnan(value).all() and np.isnan(gradient).all()


@pytest.mark.fast
def test_bad_input():
    for statistic in (cramer_wold, epps_pulley):
        with pytest.raises(ValueError, match=r"y.shape = \(3, 0\)"):
            statistic(jnp.zeros((3, 0)))
        with pytest.raises(ValueError, match=r"y.shape = \(\)"):
            statistic(jnp.zeros(()))
        with pytest.raises(TypeError, match="y must be a real array"):
            statistic(jnp.zeros(3, jnp.complex64))
    with pytest.raises(ValueError, match=r"bandwidth.shape = \(2,\)"):
        cramer_wold(jnp.zeros(3), bandwidth=jnp.ones(2))
    with pytest.raises(TypeError, match="bandwidth"):
        cramer_wold(jnp.zeros(3), bandwidth=jnp.asarray(1j))


@pytest.mark.parametrize("spec", (P("batch", None), P(None, "batch")), ids=("rows", "n"))
def test_sharded_equals_single_device(spec):
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    near = np.random.default_rng(0).standard_normal((80, 256)).astype(np.float32)
    far = near.copy()
    far[3, 7], far[9, ::50] = 1e4, -1e4
    for y in (near, far):
        value, gradient = _compiled(jax.device_put(y, NamedSharding(mesh, spec)), 0.1)
        expected_value, expected_gradient = value_and_gradient(y, 0.1)
        np.testing.assert_allclose(value, expected_value, rtol=3e-6)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-7)


def test_inside_shard_map():
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    y = hard_samples(64, 1.0, seed=1)[[0, 0, 2, 3, 3, 4, 5, 5]].astype(np.float32)
    expected_value, expected_gradient = value_and_gradient(y)

    rows = jax.shard_map(cramer_wold, mesh=mesh, in_specs=P("batch", None), out_specs=P("batch"))

    def gathered(y):
        whole = jax.lax.all_gather(y, "batch", axis=y.ndim - 1, tiled=True)
        return jax.lax.pmean(cramer_wold(whole), "batch")

    batch = jax.shard_map(gathered, mesh=mesh, in_specs=P(None, "batch"), out_specs=P())
    for f in (rows, batch):
        value, gradient = jax.jit(lambda y, f=f: (lambda v, p: (v, p(jnp.ones_like(v))[0]))(*jax.vjp(f, y)))(y)
        np.testing.assert_allclose(value, expected_value, rtol=3e-6)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-7)
