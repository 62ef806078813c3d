import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import Partial

from gentoolkit.distances import mmd

KERNELS = {
    "gaussian": (mmd.gaussian([0.7, 2.0]), lambda r: np.exp(-(r**2) / 0.98) + np.exp(-(r**2) / 8.0)),
    "inverse_multiquadric": (
        mmd.inverse_multiquadric([0.5, 3.0]),
        lambda r: 0.5 / (0.5 + r**2) + 3.0 / (3.0 + r**2),
    ),
    "laplacian": (mmd.laplacian(1.5), lambda r: np.exp(-r / 1.5)),
    "rational_quadratic": (
        mmd.rational_quadratic(1.5, [0.2, 4.0]),
        lambda r: (1 + r**2 / 0.9) ** -0.2 + (1 + r**2 / 18.0) ** -4.0,
    ),
    "energy": (mmd.energy(), lambda r: -r),
    "mixture": (
        mmd.mixture(mmd.gaussian(1.0), mmd.energy(), lambda r2: 1.0 / (1.0 + r2), weights=[2.0, 0.5, 3.0]),
        lambda r: 2.0 * np.exp(-(r**2) / 2) - 0.5 * r + 3.0 / (1.0 + r**2),
    ),
}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def reference(profile, x, z, estimator):
    cdist = scipy.spatial.distance.cdist
    xx, zz, xz = (profile(cdist(a, b)) for a, b in ((x, x), (z, z), (x, z)))
    n, m = len(x), len(z)
    if estimator == "biased":
        return xx.mean() + zz.mean() - 2 * xz.mean()
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (zz.sum() - np.trace(zz)) / (m * (m - 1)) - 2 * xz.mean()


# Differences in few dimensions, products in many; the estimators do not ask what the kernel is.
@pytest.mark.parametrize(
    ("name", "dim", "estimator"),
    [
        ("gaussian", 2, "biased"),
        ("inverse_multiquadric", 11, "biased"),
        ("laplacian", 2, "unbiased"),
        ("rational_quadratic", 11, "unbiased"),
        ("energy", 11, "unbiased"),
        ("mixture", 11, "biased"),
    ],
)
def test_equals_the_definition(x64, name, dim, estimator):
    kernel, profile = KERNELS[name]
    x, z = draw(0, 14, dim), draw(1, 9, dim) * 1.2
    ours = jax.jit(functools.partial(mmd.squared, estimator=estimator, block_size=5))(x, z, kernel)
    np.testing.assert_allclose(ours, reference(profile, x, z, estimator), rtol=1e-11)


def test_energy_in_one_dimension_is_the_energy_distance_of_scipy(x64):
    x, z = draw(0, 30, 1), draw(1, 21, 1) + 0.4
    expected = scipy.stats.energy_distance(x[:, 0], z[:, 0]) ** 2
    ours = jax.jit(lambda x, z: mmd.squared(x, z, mmd.energy(), estimator="biased"))(x, z)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.fast
def test_one_pair_of_samples_in_closed_form():
    x, z = jnp.asarray([[0.0, 0.0, 0.0]]), jnp.asarray([[1.0, 2.0, 2.0]])
    ours = jax.jit(functools.partial(mmd.squared, estimator="biased"))(x, z, mmd.gaussian(3.0))
    np.testing.assert_allclose(ours, 2.0 - 2.0 * np.exp(-0.5), rtol=1e-6)


@pytest.mark.parametrize("dim", [3, 12])
def test_equal_samples_are_at_zero(dim):
    """Ties are exact, also where distances come from inner products, so the square root of rounding cannot show."""
    x = jnp.asarray(draw(0, 33, dim) + 5.0, jnp.float32)
    kernel = mmd.mixture(*[KERNELS[name][0] for name in ("laplacian", "energy")])  # which take the root
    ours = jax.jit(functools.partial(mmd.squared, estimator="biased", block_size=16))(x, x, kernel)
    np.testing.assert_allclose(ours, 0.0, atol=1e-5)


def test_unbiased_has_mean_zero_under_equal_laws():
    kernel, _ = KERNELS["inverse_multiquadric"]
    x, z = draw(2, 500, 12, 3), draw(3, 500, 9, 3)
    values = np.asarray(jax.jit(mmd.squared)(x, z, kernel))
    assert abs(values.mean()) < 5 * values.std() / np.sqrt(500)
    biased = np.asarray(jax.jit(functools.partial(mmd.squared, estimator="biased"))(x, z, kernel))
    assert biased.min() > 0 and biased.mean() > 5 * biased.std() / np.sqrt(500)


@pytest.mark.fast
def test_scales_of_wasserstein_autoencoders():
    np.testing.assert_allclose(mmd.wae_scales(8, variance=2.0), [3.2, 6.4, 16, 32, 64, 160, 320])
    r2 = np.linspace(0, 50, 7)
    expected = sum(16 * s / (16 * s + r2) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))
    np.testing.assert_allclose(mmd.inverse_multiquadric(mmd.wae_scales(8))(r2), expected, rtol=1e-6)


@pytest.mark.fast
def test_rational_quadratic_tends_to_gaussian(x64):
    r2 = jnp.linspace(0, 9, 5)
    np.testing.assert_allclose(mmd.rational_quadratic(1.3, 1e8)(r2), mmd.gaussian(1.3)(r2), rtol=1e-6)


def test_gradients_by_central_differences(x64):
    kernel = mmd.mixture(*[kernel for kernel, _ in KERNELS.values()], weights=np.linspace(0.5, 1.5, len(KERNELS)))
    x, z, v = (draw(seed, 8, 10) for seed in range(3))
    f = jax.jit(functools.partial(mmd.squared, block_size=5))
    by_x, by_z, by_kernel = jax.jit(jax.grad(f, (0, 1, 2)))(x, z, kernel)
    h = 1e-6
    np.testing.assert_allclose(
        np.sum(by_x * v), (f(x + h * v, z, kernel) - f(x - h * v, z, kernel)) / (2 * h), rtol=1e-6, atol=1e-11
    )
    np.testing.assert_allclose(
        np.sum(by_z * v), (f(x, z + h * v, kernel) - f(x, z - h * v, kernel)) / (2 * h), rtol=1e-6, atol=1e-11
    )
    up, down = (jax.tree.map(lambda leaf, s=s: np.asarray(leaf) * (1 + s * h), kernel) for s in (1, -1))
    slope = sum(
        jax.tree.leaves(jax.tree.map(lambda g, leaf: np.sum(np.asarray(g) * np.asarray(leaf)), by_kernel, kernel))
    )
    np.testing.assert_allclose(slope, (f(x, z, up) - f(x, z, down)) / (2 * h), rtol=1e-6, atol=1e-11)


def test_a_traced_bandwidth_has_a_gradient_and_is_not_compiled_twice():
    x, z = draw(0, 9, 2), draw(1, 7, 2) + 1.0
    traces = []

    @jax.jit
    def f(kernel):
        traces.append(kernel)
        return mmd.squared(x, z, kernel)

    assert f(mmd.gaussian(1.0)) != f(mmd.gaussian(2.0)) and len(traces) == 1
    slope = jax.jit(jax.grad(lambda b: mmd.squared(x, z, mmd.gaussian(b))))(1.3)
    assert jnp.isfinite(slope) and slope != 0
    listed = jax.jit(lambda b: mmd.squared(x, z, mmd.gaussian([b, 2.0])))(1.3)  # a list with a traced entry
    np.testing.assert_allclose(listed, jax.jit(mmd.squared)(x, z, mmd.gaussian([1.3, 2.0])), rtol=1e-5)


def test_own_kernel_with_parameters(x64):
    x, z = draw(0, 9, 2), draw(1, 7, 2)
    own = Partial(lambda b, r2: jnp.exp(-r2 / (2 * b * b)), 1.3)
    f = jax.jit(jax.value_and_grad(lambda k: mmd.squared(x, z, k)))
    value, by_own = f(own)
    expected, by_gaussian = f(mmd.gaussian(1.3))
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(jax.tree.leaves(by_own)[0], jax.tree.leaves(by_gaussian)[0][0], rtol=1e-11)


@pytest.mark.parametrize(("name", "dim"), [("rational_quadratic", 2), ("energy", 24)])
def test_float32_against_float64(name, dim):
    """1e-5 of the value; where it is small, 1e-8 of the terms that it is the difference of."""
    kernel, profile = KERNELS[name]
    # Bandwidths of these kernels are near 1, where typical distances of 24 features are when scaled so.
    scale = 1.0 if dim < 3 else 0.3
    x, z = (jnp.asarray(scale * draw(seed, 150, dim), jnp.float32) for seed in range(2))
    f = jax.jit(jax.value_and_grad(functools.partial(mmd.squared, estimator="biased", block_size=64)))
    value, gradient = f(x, z, kernel)
    assert value.dtype == gradient.dtype == jnp.float32
    with jax.enable_x64(True):
        expected, slope = f(x.astype(jnp.float64), z.astype(jnp.float64), kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-8 * abs(profile(np.asarray(scale * dim**0.5))))
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5 * np.abs(slope).max())


def test_bfloat16_is_computed_in_float32():
    x, z = (jnp.asarray(draw(seed, 12, 10), jnp.bfloat16) for seed in range(2))
    f = jax.jit(jax.value_and_grad(lambda x, z: mmd.squared(x, z, mmd.gaussian(3.0))))
    value, gradient = f(x, z)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, f(x.astype(jnp.float32), z.astype(jnp.float32))[0], rtol=1e-6)
    integers = np.arange(6).reshape(3, 2), np.ones((2, 2), int)
    assert jax.eval_shape(mmd.squared, *integers, mmd.energy()).dtype == jnp.float32


def test_leading_axes_broadcast_and_equal_vmap_and_untraced_calls():
    x, z = np.float32(draw(0, 3, 1, 8, 10)), np.float32(draw(1, 2, 7, 10))
    f = functools.partial(mmd.squared, kernel=mmd.gaussian(3.0))
    ours = f(x, z)
    assert ours.shape == (3, 2)
    mapped = jax.jit(jax.vmap(jax.vmap(f, (None, 0)), (0, None)))(x[:, 0], z)
    np.testing.assert_allclose(mapped, ours, rtol=1e-5, atol=1e-7)


def test_samples_spread_over_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    x, z = (jnp.asarray(draw(seed, 32, 12), jnp.float32) for seed in range(2))
    kernel = mmd.gaussian(3.0)
    f = functools.partial(mmd.squared, kernel=kernel, block_size=10)
    expected = jax.jit(jax.value_and_grad(f))(x, z)

    def loss(x, z):
        x, z = (jax.lax.all_gather(samples, "data", tiled=True) for samples in (x, z))
        return jax.lax.pmean(f(x, z), "data")

    with jax.set_mesh(mesh):
        spread = [jax.device_put(a, NamedSharding(mesh, P("data", None))) for a in (x, z)]
        mapped = jax.shard_map(loss, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=P())
        for g in (f, mapped):
            ours = jax.jit(jax.value_and_grad(g))(*spread)
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-7)


def _sample(kind, n, dim, rng):
    x = rng.normal(size=(n, dim)).astype(np.float32)
    if kind == "constant":
        x = np.full_like(x, x[0, 0])
    elif kind == "ties":
        x = np.round(x)
    elif kind == "outliers":
        x[rng.integers(n)] = 1e4
        x[rng.integers(n), rng.integers(dim)] = -1e4
    return x


@jax.jit
def _all_kernels(x, z):
    kernel = mmd.mixture(*[kernel for kernel, _ in KERNELS.values()])
    return jax.value_and_grad(functools.partial(mmd.squared, kernel=kernel, estimator="biased"), (0, 1))(x, z)


@pytest.mark.parametrize(("n", "dim"), [(1, 3), (17, 64)])
@hypothesis.given(st.integers(0, 2**32 - 1), *[st.sampled_from(["normal", "constant", "ties", "outliers"])] * 2)
@hypothesis.settings(max_examples=12)
def test_finite_and_at_least_zero(n, dim, seed, kind, other):
    rng = np.random.default_rng(seed)
    x, z = _sample(kind, n, dim, rng), _sample(other, max(1, n // 2), dim, rng)
    value, gradients = _all_kernels(x, z)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in gradients)
    # Rounding only: the terms of the energy kernel are of the size of the largest distance.
    spread = np.ptp(np.concatenate([x, z]), axis=0).max() * dim**0.5
    assert value > -1e-6 * (10 + spread)


@pytest.mark.parametrize("dim", [2, 12])
def test_bad_numbers(dim):
    x, z = np.float32(draw(0, 9, dim)), np.float32(draw(1, 7, dim))

    def put(*values):
        broken = x.copy()
        broken[2 : 2 + len(values), 1] = values
        return broken

    kernel = mmd.mixture(*[KERNELS[name][0] for name in ("gaussian", "inverse_multiquadric", "laplacian")])
    f = jax.jit(jax.value_and_grad(functools.partial(mmd.squared, kernel=kernel)))
    value, gradient = f(put(np.nan), z)
    assert jnp.isnan(value) and jnp.isnan(gradient).any()
    value, gradient = f(put(np.inf), z)
    far = f(put(1e25), z)
    np.testing.assert_allclose(value, far[0], rtol=1e-5)
    assert np.isnan(gradient[:, 1]).all() and np.isfinite(np.delete(gradient, 1, axis=1)).all()
    assert np.isfinite(far[1]).all()
    assert np.isnan(f(put(np.inf, np.inf), z)[0])


@pytest.mark.fast
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: mmd.squared(jnp.ones((3, 2)), jnp.ones((3, 4)), mmd.energy()),
            r"x.shape = \(3, 2\), z.shape = \(3, 4\)",
        ),
        (lambda: mmd.squared(jnp.ones((0, 2)), jnp.ones((3, 2)), mmd.energy()), "x.shape"),
        (lambda: mmd.squared(jnp.ones(3), jnp.ones((3, 2)), mmd.energy()), "x.shape"),
        (lambda: mmd.squared(jnp.ones((2, 3, 2)), jnp.ones((5, 3, 2)), mmd.energy()), "broadcast"),
        (lambda: mmd.squared(jnp.ones((3, 2)), jnp.ones((3, 2)), mmd.energy(), estimator="u"), "unbiased.*biased.*'u'"),
        (lambda: mmd.squared(jnp.ones((1, 2)), jnp.ones((3, 2)), mmd.energy()), "unbiased"),
        (lambda: mmd.squared(jnp.ones((3, 2)), jnp.ones((3, 2)), mmd.energy(), block_size=0), "block_size = 0"),
        (lambda: mmd.squared(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.sum), "entry by entry"),
        (lambda: mmd.gaussian(0.0), "bandwidth = 0.0"),
        (lambda: mmd.gaussian([1.0, -2.0]), "bandwidth"),
        (lambda: mmd.gaussian([[1.0]]), "bandwidth.shape"),
        (lambda: mmd.laplacian(-1.0), "bandwidth"),
        (lambda: mmd.inverse_multiquadric([]), "scales"),
        (lambda: mmd.rational_quadratic([1.0, 2.0], [1.0, 2.0, 3.0]), "alpha.shape"),
        (lambda: mmd.mixture(), "at least one"),
        (lambda: mmd.mixture(mmd.energy(), weights=[1.0, 2.0]), "weights"),
        (lambda: mmd.wae_scales(0), "dim"),
        (lambda: mmd.median_bandwidth(jnp.ones((3, 2)), jnp.ones((3, 2)), max_samples=1), "max_samples"),
    ],
)
def test_bad_arguments_are_refused(call, told):
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(call)


def test_median_bandwidth(x64):
    x, z = draw(0, 12, 3), draw(1, 9, 3) * 2
    distances = scipy.spatial.distance.pdist(np.concatenate([x, z]))
    median = jax.jit(mmd.median_bandwidth, static_argnames="max_samples")
    stacked = median(np.stack([x, 2 * x]), np.stack([z, 2 * z]))
    np.testing.assert_allclose(stacked, np.median(distances) * np.asarray([1, 2]), rtol=1e-12)
    few = median(draw(2, 400, 3), draw(3, 300, 3), max_samples=200)
    np.testing.assert_allclose(few, np.median(scipy.spatial.distance.pdist(draw(2, 400, 3))), rtol=0.1)


def test_median_bandwidth_of_ties_and_nan():
    mostly = np.zeros((9, 2), np.float32)
    mostly[0] = 3.0, 4.0
    median, other = jax.jit(mmd.median_bandwidth), np.zeros((1, 2), np.float32)
    np.testing.assert_allclose(median(mostly, other), 5.0 * 9 / 45, rtol=1e-6)
    assert median(np.zeros_like(mostly), other) == 1.0
    mostly[1, 0] = np.nan
    assert np.isnan(median(mostly, other))


def test_value_and_gradient_of_16384_samples_fit_in_a_gibibyte():
    kernel = mmd.inverse_multiquadric(mmd.wae_scales(64))
    f = jax.jit(jax.value_and_grad(functools.partial(mmd.squared, kernel=kernel), (0, 1)))
    shape = jax.ShapeDtypeStruct((16384, 64), jnp.float32)
    analysis = f.lower(shape, shape).compile().memory_analysis()
    assert analysis.temp_size_in_bytes + analysis.output_size_in_bytes < 2**27
