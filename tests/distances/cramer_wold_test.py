import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gentoolkit.distances import cramer_wold

DIMS = (1, 2, 3, 5, 8, 20, 64, 256)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def silverman(n):
    return (4.0 / (3.0 * n)) ** 0.4


def hyp1f1(dim, s):
    return np.exp(-s) if dim == 1 else scipy.special.hyp1f1(0.5, dim / 2, -s)


def mean_kernel(x, z, dim, g):
    return hyp1f1(dim, ((x[:, None, :] - z[None, :, :]) ** 2).sum(-1) / (4 * g)).mean() / np.sqrt(4 * np.pi * g)


def reference(x, g):
    """The closed form as printed, in float64 with SciPy's 1F1."""
    dim = x.shape[1]
    cross = hyp1f1(dim, (x**2).sum(-1) / (2 + 4 * g)).mean() / np.sqrt(2 * np.pi * (1 + 2 * g))
    return mean_kernel(x, x, dim, g) + (4 * np.pi * (1 + g)) ** -0.5 - 2 * cross


def reference_1d(y, g):
    """The 1-D distance of each row of `y` [k, n], pair by pair."""
    pairs = np.exp(-((y[:, :, None] - y[:, None, :]) ** 2) / (4 * g)).mean((1, 2)) / np.sqrt(4 * np.pi * g)
    cross = np.exp(-(y**2) / (2 * (1 + 2 * g))).mean(1) / np.sqrt(2 * np.pi * (1 + 2 * g))
    return pairs + (4 * np.pi * (1 + g)) ** -0.5 - 2 * cross


@pytest.mark.parametrize("dim", DIMS)
def test_sphere_average_is_the_hypergeometric_function(x64, dim):
    """Value and slope over s in [0, 1e12]."""
    s = np.concatenate([[0.0], np.logspace(-8, 12, 300)])
    for dtype, rtol, slope_rtol in ((jnp.float32, 1e-6, 1e-5), (jnp.float64, 1e-12, 1e-9)):
        given = jnp.asarray(s, dtype)
        f = functools.partial(cramer_wold.sphere_average, dim=dim)
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(f)))(given)
        assert value.dtype == dtype
        exact = np.asarray(given, np.float64)
        small = float(np.finfo(dtype).tiny)
        np.testing.assert_allclose(value, hyp1f1(dim, exact), rtol=rtol, atol=small)
        expected = -np.exp(-exact) if dim == 1 else -scipy.special.hyp1f1(1.5, dim / 2 + 1, -exact) / dim
        known = np.isfinite(expected)  # SciPy has no answer at d = 64, s > 6e10
        assert known.sum() > 270
        np.testing.assert_allclose(np.asarray(slope)[known], expected[known], rtol=slope_rtol, atol=small)
        if dim > 1:
            ratio = np.exp(scipy.special.gammaln(dim / 2) - scipy.special.gammaln((dim - 1) / 2))
            np.testing.assert_allclose(slope[-1], -0.5 * ratio * exact[-1] ** -1.5, rtol=slope_rtol)
            assert (np.diff(value) <= 4 * np.finfo(dtype).eps).all()


def test_sphere_average_known_values(x64):
    s = np.linspace(0.0, 30.0, 7)

    @jax.jit
    def everything(s):
        average = cramer_wold.sphere_average
        return (
            [average(s, dim) for dim in (1, 2, 3)],
            [average(jnp.zeros(()), dim) for dim in (1, 2, 3, 64, 2048)],
            [jax.grad(average)(0.0, dim) for dim in (1, 2, 3, 64)],
            average(s, 20, kernel="asymptotic"),
        )

    (one, two, three), at_zero, slopes, asymptotic = everything(s)
    np.testing.assert_allclose(one, np.exp(-s), rtol=1e-14)
    np.testing.assert_allclose(two, scipy.special.ive(0, s / 2), rtol=1e-13)
    erf = scipy.special.erf(np.sqrt(s[1:])) * np.sqrt(np.pi / s[1:]) / 2
    np.testing.assert_allclose(three[1:], erf, rtol=1e-13)
    np.testing.assert_allclose(at_zero, 1.0, rtol=1e-12)
    np.testing.assert_allclose(slopes, [-1.0, -1 / 2, -1 / 3, -1 / 64], rtol=1e-10)
    np.testing.assert_allclose(asymptotic, (1 + 4 * s / 37) ** -0.5, rtol=1e-14)


@pytest.mark.parametrize(("dim", "bandwidth"), [(1, None), (3, 0.3), (64, None)])
def test_to_normal_equals_the_closed_form(x64, dim, bandwidth):
    x = 0.9 * draw(0, 23, dim) + 0.2
    f = jax.jit(functools.partial(cramer_wold.to_normal, block_size=10))
    np.testing.assert_allclose(f(x, bandwidth=bandwidth), reference(x, bandwidth or silverman(23)), rtol=1e-9)


def test_to_normal_in_one_dimension_is_an_integral_over_frequencies(x64):
    x, g = draw(0, 9, 1) * 1.3, 0.2

    def integrand(t):
        return abs(np.exp(1j * t * x).mean() - np.exp(-t * t / 2)) ** 2 * np.exp(-g * t * t) / (2 * np.pi)

    expected = scipy.integrate.quad(integrand, -15, 15, epsabs=1e-13)[0]
    ours = jax.jit(functools.partial(cramer_wold.to_normal, bandwidth=g))(x)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.fast
@pytest.mark.parametrize("dim", [1, 3, 64])
def test_one_sample_in_closed_form(x64, dim):
    x, g = draw(0, 1, dim), 0.25
    expected = (4 * np.pi * g) ** -0.5 + (4 * np.pi * (1 + g)) ** -0.5
    expected -= 2 * (2 * np.pi * (1 + 2 * g)) ** -0.5 * hyp1f1(dim, (x**2).sum() / (2 + 4 * g))
    to_normal = cramer_wold.to_normal if dim == 1 else jax.jit(cramer_wold.to_normal)  # once untraced
    np.testing.assert_allclose(to_normal(x, bandwidth=g), expected, rtol=1e-10)


@pytest.mark.parametrize("dim", [20])
def test_the_average_over_directions_of_the_one_dimensional_distance_is_this(x64, dim):
    x, z = draw(0, 40, dim) * 1.3, draw(3, 30, dim)
    v = draw(1, 3000, dim)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    sliced = reference_1d(v @ x.T, silverman(40))
    ours, between = jax.jit(lambda x, z: (cramer_wold.to_normal(x), cramer_wold.between(x, z)))(x, z)
    assert abs(sliced.mean() - ours) < 4.5 * sliced.std() / np.sqrt(len(v))
    g = silverman(30)
    sliced = [
        mean_kernel(a[:, None], a[:, None], 1, g)
        + mean_kernel(b[:, None], b[:, None], 1, g)
        - 2 * mean_kernel(a[:, None], b[:, None], 1, g)
        for a, b in zip(v @ x.T, v @ z.T, strict=True)
    ]
    assert abs(np.mean(sliced) - between) < 4.5 * np.std(sliced) / np.sqrt(len(v))


@pytest.mark.parametrize(("n", "dim"), [(32, 20)])
def test_mean_under_the_normal_law(n, dim):
    g = silverman(n)
    expected = ((4 * np.pi * g) ** -0.5 - (4 * np.pi * (1 + g)) ** -0.5) / n
    values = np.asarray(jax.jit(cramer_wold.to_normal)(draw(5, 600, n, dim)))
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(600)


def test_leaving_out_the_pairs_with_itself(x64):
    """U-statistic = (n V - k(0)) / (n - 1) on the pairs, by the values at two different weights of those pairs."""
    x, g, n = draw(0, 12, 3), 0.3, 12
    to_normal = jax.jit(functools.partial(cramer_wold.to_normal, bandwidth=g))
    once = to_normal(x)
    np.testing.assert_allclose(to_normal(np.concatenate([x, x])), once, rtol=1e-11)
    pairs = mean_kernel(x, x, 3, g)
    at_zero = (4 * np.pi * g) ** -0.5
    off = (n * pairs - at_zero) / (n - 1)
    rest = once - pairs
    np.testing.assert_allclose(rest + (1 - 1 / n) * off + at_zero / n, once, rtol=1e-9)


@pytest.mark.parametrize(("dim", "bandwidth"), [(1, None), (2, 0.4)])
def test_between_equals_the_definition(x64, dim, bandwidth):
    x, z = draw(0, 21, dim), draw(1, 14, dim) * 1.2
    f = jax.jit(functools.partial(cramer_wold.between, block_size=8))
    g = bandwidth or silverman(14)
    expected = mean_kernel(x, x, dim, g) + mean_kernel(z, z, dim, g) - 2 * mean_kernel(x, z, dim, g)
    np.testing.assert_allclose(f(x, z, bandwidth=bandwidth), expected, rtol=1e-9)
    if dim == 1:
        np.testing.assert_allclose(f(x, x), 0.0, atol=1e-14)


def test_invariance_to_rotation_and_order(x64):
    x = draw(0, 15, 6) * 1.5
    rotation = np.linalg.qr(draw(1, 6, 6))[0]
    to_normal = jax.jit(cramer_wold.to_normal)
    expected = to_normal(x)
    np.testing.assert_allclose(to_normal(x @ rotation), expected, rtol=1e-11)
    np.testing.assert_allclose(to_normal(x[::-1]), expected, rtol=1e-12)


def test_asymptotic_kernel_is_the_published_approximation(x64):
    x = draw(0, 64, 20) * 0.95
    n, dim = x.shape
    g = silverman(n)
    r2 = ((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    published = (g + r2 / (2 * dim - 3)) ** -0.5
    cross = (g + 0.5 + (x**2).sum(-1) / (2 * dim - 3)) ** -0.5
    published = (published.mean() + (1 + g) ** -0.5 - 2 * cross.mean()) / (2 * np.sqrt(np.pi))

    @jax.jit
    def everything(x, z):
        kernels = ("asymptotic", "exact")
        return [(cramer_wold.to_normal(x, kernel=k), cramer_wold.between(x, z, kernel=k)) for k in kernels]

    (ours, close), (exact, between) = everything(x, draw(1, 50, 20))
    np.testing.assert_allclose(ours, published, rtol=1e-9)
    assert 0.2 < abs(published / exact - 1) < 0.8
    np.testing.assert_allclose(close / between, 1.0, atol=0.05)


def test_gradients_by_central_differences(x64):
    # In three dimensions: the slope of the average over the sphere is tested above, in all of them.
    x, z, v = (draw(seed, 9, 3) for seed in range(3))
    h = 1e-6

    def to_normal(x, z, g):
        return cramer_wold.to_normal(x, bandwidth=g, block_size=4)

    def between(x, z, g):
        return cramer_wold.between(x, z, bandwidth=g, block_size=4)

    # Both ends of a step in x, in z, and in the bandwidth, all at once.
    signs = np.array([1, -1, 0, 0, 0, 0]), np.array([0, 0, 1, -1, 0, 0]), h * np.array([0, 0, 0, 0, 1, -1])
    ends = x + h * signs[0][:, None, None] * v, z + h * signs[1][:, None, None] * v, 0.3 + signs[2]
    values = jax.jit(jax.vmap(lambda *given: [f(*given) for f in (to_normal, between)]))(*ends)
    gradients = jax.jit(lambda *given: [jax.grad(f, (0, 1, 2))(*given) for f in (to_normal, between)])(x, z, 0.3)
    for value, (by_x, by_z, by_g) in zip(values, gradients, strict=True):
        expected = (value[::2] - value[1::2]) / (2 * h)
        np.testing.assert_allclose([np.sum(by_x * v), np.sum(by_z * v), by_g], expected, rtol=1e-6, atol=1e-11)


@pytest.mark.parametrize("dim", [1, 64])
def test_float32_keeps_the_small_difference(dim):
    """At n = 500 the distance is 1 / 300 of its terms; 2e-5 at d = 1, where the terms vary most, 1e-5 elsewhere."""
    x = jnp.asarray(draw(0, 500, dim), jnp.float32)
    f = jax.jit(jax.value_and_grad(cramer_wold.to_normal))
    value, slope = f(x)
    with jax.enable_x64(True):
        expected, exact = f(x.astype(jnp.float64))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=2e-5 if dim == 1 else 1e-5)
    np.testing.assert_allclose(slope, exact, rtol=1e-3, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("dim", [1, 64])
def test_float32_with_outliers(dim):
    x, z = np.float32(draw(0, 17, dim)), np.float32(draw(1, 8, dim))
    x[3], x[7, 0] = 1e4, -1e4
    values, (slope, _) = _both(x, z)
    with jax.enable_x64(True):
        expected, (exact, _) = _both(np.float64(x), np.float64(z))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, exact, rtol=1e-3, atol=1e-5 * np.abs(exact).max())
    # The pull on an outlier falls as 1 / distance^2, far below that of the others: it is right by itself. (d = 1: 0.)
    np.testing.assert_allclose(slope[3], exact[3], rtol=1e-4, atol=1e-20)


def test_bfloat16_is_computed_in_float32():
    x = jnp.asarray(draw(0, 12, 1), jnp.bfloat16)
    value, slope = jax.jit(jax.value_and_grad(cramer_wold.to_normal))(x)
    assert value.dtype == jnp.float32 and slope.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, jax.jit(cramer_wold.to_normal)(x.astype(jnp.float32)), rtol=1e-6)


def test_leading_axes_equal_vmap_and_a_single_problem():
    x, z = (np.float32(draw(seed, 2, 9, 1)) for seed in range(2))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8)

    def f(x, z):
        return cramer_wold.to_normal(x) + 10.0 * cramer_wold.between(x, z)

    ours, mapped, one = jax.jit(lambda x, z: (f(x, z), jax.vmap(f)(x, z), f(x[1], z[1])))(x, z)
    assert ours.shape == (2,)
    close(mapped, ours)
    close(one, ours[1])


def test_samples_spread_over_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    x = jnp.asarray(draw(0, 32, 12), jnp.float32)
    f = functools.partial(cramer_wold.to_normal, block_size=10, kernel="asymptotic")  # quick to compile
    expected = jax.jit(jax.value_and_grad(f))(x)

    def loss(x):
        return jax.lax.pmean(f(jax.lax.all_gather(x, "data", tiled=True)), "data")

    with jax.set_mesh(mesh):
        spread = jax.device_put(x, NamedSharding(mesh, P("data", None)))
        for g in (f, jax.shard_map(loss, mesh=mesh, in_specs=P("data"), out_specs=P())):
            ours = jax.jit(jax.value_and_grad(g))(spread)
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-8)


@jax.jit
def _both(x, z):
    def f(x, z):
        values = cramer_wold.to_normal(x), cramer_wold.between(x, z)
        return values[0] + values[1], values

    (_, values), gradients = jax.value_and_grad(f, (0, 1), has_aux=True)(x, z)
    return values, gradients


@pytest.mark.parametrize(("n", "dim"), [(1, 3), (17, 1), (17, 64)])
@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from(["normal", "constant", "ties", "outliers"]))
@hypothesis.settings(max_examples=12)
def test_finite_and_at_least_zero(n, dim, seed, kind):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    if kind == "constant":
        x = np.full_like(x, x[0, 0])
    elif kind == "ties":
        x = np.round(x)
    elif kind == "outliers":
        x[rng.integers(n)] = 1e4
        x[rng.integers(n), rng.integers(dim)] = -1e4
    values, gradients = _both(x, x[: max(1, n // 2)])
    assert all(jnp.isfinite(a).all() for a in (*values, *gradients))
    assert min(values) > -1e-6


def test_bad_numbers():
    x = jnp.asarray(draw(0, 9, 3), jnp.float32)
    f = jax.jit(jax.value_and_grad(cramer_wold.to_normal))
    value, gradient = f(x.at[2, 1].set(jnp.nan))
    assert jnp.isnan(value) and jnp.isnan(gradient).any()
    far, gradient = f(x.at[2, 1].set(1e25))
    assert jnp.isfinite(far) and jnp.isfinite(gradient).all()
    np.testing.assert_allclose(f(x.at[2, 1].set(jnp.inf))[0], far, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: cramer_wold.to_normal(jnp.ones(3)), "x.shape"),
        (lambda: cramer_wold.to_normal(jnp.ones((0, 3))), "x.shape"),
        (lambda: cramer_wold.to_normal(jnp.ones((3, 2)), bandwidth=0.0), "bandwidth = 0.0"),
        (lambda: cramer_wold.to_normal(jnp.ones((3, 2)), bandwidth=jnp.ones(3)), "bandwidth.shape"),
        (lambda: cramer_wold.to_normal(jnp.ones((3, 2)), kernel="large"), "exact.*asymptotic.*'large'"),
        (lambda: cramer_wold.to_normal(jnp.ones((3, 1)), kernel="asymptotic"), "d = 1"),
        (lambda: cramer_wold.to_normal(jnp.ones((3, 2)), block_size=-1), "block_size = -1"),
        (lambda: cramer_wold.between(jnp.ones((3, 2)), jnp.ones((3, 3))), "z.shape"),
        (lambda: cramer_wold.between(jnp.ones((2, 3, 2)), jnp.ones((5, 3, 2))), "broadcast"),
        (lambda: cramer_wold.between(jnp.ones((3, 2)), jnp.ones((3, 2)), bandwidth=-1.0), "bandwidth"),
        (lambda: cramer_wold.between(jnp.ones((3, 2)), jnp.ones((3, 2)), bandwidth=np.inf), "bandwidth must be finite"),
    ],
)
def test_bad_arguments_are_refused(call, told):
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(call)


def test_value_and_gradient_of_16384_samples_fit_in_a_gibibyte():
    # Of two samples: the sum over pairs of one is a part of it.
    shapes = [jax.ShapeDtypeStruct((16384, 64), jnp.float32)] * 2
    compiled = jax.jit(jax.value_and_grad(cramer_wold.between, (0, 1))).lower(*shapes).compile()
    analysis = compiled.memory_analysis()
    assert analysis.temp_size_in_bytes + analysis.output_size_in_bytes < 2**27
