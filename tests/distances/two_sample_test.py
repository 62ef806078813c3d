import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
from hypothesis import strategies
from scipy import stats

from gentoolkit.distances import two_sample

ORDERS = [1, 2, 3, 1.5]
LOSSES = [*(functools.partial(two_sample.wasserstein, order=order) for order in ORDERS), two_sample.energy]
STEPS = [two_sample.cramer_von_mises, two_sample.kolmogorov_smirnov]
ROOTS = np.array([*ORDERS, 2])  # of LOSSES: what makes them metrics
SIZES = [(1, 1), (1, 5), (7, 7), (12, 9), (1500, 1100)]


# All of them in one compiled function: the sorts are shared, and most of the time of these tests is compilation.
@jax.jit
def losses(y, w):
    return jnp.stack([distance(y, w) for distance in LOSSES])


@jax.jit
def steps(y, w):
    return jnp.stack([distance(y, w) for distance in STEPS])


@jax.jit
def gradients(y, w):
    return jax.jacrev(losses, (0, 1))(y, w)


def everything(y, w):
    return np.concatenate([losses(y, w), steps(y, w)])


def name(value):
    if hasattr(value, "keywords"):
        return f"{value.func.__name__}-{value.keywords['order']}"
    return getattr(value, "__name__", None)


def pair(n, m, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    y, w = rng.normal(size=n), 1.3 * rng.normal(size=m) + 0.4
    return (np.round(2 * y) / 2, np.round(2 * w) / 2) if ties else (y, w)


def differences(y, w):
    """F - G at every entry of the merged sample, by counting."""
    merged = np.concatenate([y, w])
    return np.mean(y[:, None] <= merged, axis=0) - np.mean(w[:, None] <= merged, axis=0)


@pytest.mark.fast
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_pot_and_scipy_agree(n, m, ties, x64):
    y, w = pair(n, m, ties=ties)
    *transport, energy = losses(y, w)
    # POT takes its pieces as differences of rounded cumulative weights, which costs it a few digits at n = 1500.
    np.testing.assert_allclose(transport, [ot.wasserstein_1d(y, w, p=order) for order in ORDERS], rtol=1e-11)
    np.testing.assert_allclose(transport[0], stats.wasserstein_distance(y, w), rtol=1e-12)
    np.testing.assert_allclose(energy, stats.energy_distance(y, w) ** 2, rtol=1e-12)

    cramer_von_mises, kolmogorov_smirnov = steps(y, w)
    np.testing.assert_allclose(kolmogorov_smirnov, stats.ks_2samp(y, w, method="asymp").statistic, rtol=1e-12)
    if min(n, m) > 1 and not ties:  # SciPy asks for two observations, and breaks ties by mid-ranks
        statistic = stats.cramervonmises_2samp(y, w, method="asymptotic").statistic
        np.testing.assert_allclose(cramer_von_mises * n * m / (n + m), statistic, rtol=1e-10)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_definitions(n, m, ties, x64):
    y, w = pair(n, m, seed=1, ties=ties)
    gap = differences(y, w)
    np.testing.assert_allclose(steps(y, w), [np.mean(gap**2), np.abs(gap).max()], rtol=1e-12)
    expected = 2 * np.mean(np.abs(y[:, None] - w)) - np.mean(np.abs(y[:, None] - y)) - np.mean(np.abs(w[:, None] - w))
    np.testing.assert_allclose(losses(y, w)[-1], expected, rtol=1e-9, atol=1e-14)


def test_identities(x64):
    y, w = pair(7, 7)
    value = everything(y, w)
    assert (value > 0).all()
    np.testing.assert_allclose(everything(w, y), value, rtol=1e-12)
    np.testing.assert_allclose(everything(y[::-1], np.roll(w, 3)), value, rtol=1e-12)
    np.testing.assert_allclose(everything(-y, -w), value, rtol=1e-12)
    np.testing.assert_allclose(everything(y + 5, w + 5), value, rtol=1e-12)
    np.testing.assert_allclose(everything(np.tile(y, 2), np.tile(w, 2)), value, rtol=1e-12)
    # The Cramer-von Mises distance averages over the merged sample, so there the sizes themselves count.
    twice = everything(np.tile(y, 2), w)
    np.testing.assert_allclose(np.delete(twice, 5), np.delete(value, 5), rtol=1e-12)
    np.testing.assert_array_equal(everything(y, y), 0)
    np.testing.assert_array_equal(everything(np.tile(y, 2), y), 0)


def test_scale_and_shift(x64):
    y, w = pair(12, 9)
    orders = np.array([*ORDERS, 1])
    np.testing.assert_allclose(losses(-2 * y, -2 * w), 2**orders * losses(y, w), rtol=1e-12)
    np.testing.assert_allclose(steps(-2 * y, -2 * w), steps(y, w), rtol=1e-12)
    y, _ = pair(7, 7)
    np.testing.assert_allclose(losses(y, y - 3)[:-1], 3.0 ** orders[:-1], rtol=1e-12)


@hypothesis.given(strategies.integers(0, 10_000), strategies.booleans())
def test_triangle_inequality(seed, rounded):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(3, 7)) * rng.uniform(0.1, 3, size=(3, 1)) + rng.normal(size=(3, 1))
    a, b, c = np.round(points) if rounded else points
    with jax.enable_x64(True):
        ab, bc, ac = (np.append(losses(*two) ** (1 / ROOTS), steps(*two)[1]) for two in ((a, b), (b, c), (a, c)))
    assert (ac <= ab + bc + 1e-7).all()


@pytest.mark.parametrize(("n", "m"), [(7, 7), (12, 9)])
def test_gradient_against_central_differences(n, m, x64):
    y, w = pair(n, m, seed=2)
    by_y, by_w = gradients(y, w)
    for i in range(n):
        step = 1e-6 * np.eye(n)[i]
        np.testing.assert_allclose(by_y[:, i], (losses(y + step, w) - losses(y - step, w)) / 2e-6, atol=1e-7)
    for j in range(m):
        step = 1e-6 * np.eye(m)[j]
        np.testing.assert_allclose(by_w[:, j], (losses(y, w + step) - losses(y, w - step)) / 2e-6, atol=1e-7)


def test_gradient_of_the_squared_cost_is_the_displacement(x64):
    y, w = map(np.sort, pair(7, 7))
    np.testing.assert_allclose(gradients(y, w)[0][1], 2 / 7 * (y - w), rtol=1e-12)


@pytest.mark.parametrize("copies", [1, 2])
def test_gradient_is_zero_where_the_samples_meet(copies):
    y = np.float32(pair(9, 1)[0])
    for gradient in gradients(y, np.tile(y, copies)):
        np.testing.assert_array_equal(gradient, 0)


def test_rank_statistics_have_zero_gradient():
    for gradient in jax.jacrev(steps, (0, 1))(*map(jnp.float32, pair(12, 9))):
        np.testing.assert_array_equal(gradient, 0)


def test_leading_axes_and_vmap_are_a_loop():
    rng = np.random.default_rng(0)
    y, w = rng.normal(size=(2, 2, 12)).astype("f"), rng.normal(size=(2, 2, 9)).astype("f")
    loop = [everything(a, b) for a, b in zip(y.reshape(4, 12), w.reshape(4, 9), strict=True)]
    np.testing.assert_allclose(everything(y, w).reshape(7, 4).T, loop, rtol=2e-6)
    for function, row in ((losses, slice(5)), (steps, slice(5, 7))):
        mapped = jax.jit(jax.vmap(jax.vmap(function)))(y, w)
        np.testing.assert_allclose(mapped.reshape(4, -1), np.array(loop)[:, row], rtol=2e-6)


@pytest.mark.parametrize("place", [0, 4, 5])  # the other orders and the other step are the same operations
def test_jit_changes_nothing(place):
    y, w = map(np.float32, pair(12, 9))
    np.testing.assert_allclose([*LOSSES, *STEPS][place](y, w), everything(y, w)[place], rtol=1e-6)


def test_bfloat16_is_computed_in_float32():
    y, w = (jnp.asarray(a, jnp.bfloat16) for a in pair(12, 9))
    value = losses(y, w)
    assert value.dtype == steps(y, w).dtype == jnp.float32
    np.testing.assert_allclose(value, losses(y.astype(jnp.float32), w.astype(jnp.float32)), rtol=1e-6)
    assert gradients(y, w)[0].dtype == jnp.bfloat16
    assert jax.eval_shape(losses, jnp.arange(12), w).dtype == jnp.float32


@pytest.mark.parametrize(("n", "m"), [(4096, 4096), (3000, 4095)])
def test_float32_is_accurate(n, m):
    rng = np.random.default_rng(0)
    y, w = rng.normal(size=n).astype("f"), rng.standard_t(8, size=m).astype("f")
    y[0] = 50
    with jax.enable_x64(True):
        exact = everything(np.float64(y), np.float64(w))
    np.testing.assert_allclose(everything(y, w), exact, rtol=1e-5)


def test_counts_stay_exact_where_their_products_overflow():
    n, m = 50_021, 65_536
    assert n * m > 2**31
    assert np.gcd(n, m) == 1
    rng = np.random.default_rng(0)
    y, w = np.split(rng.permutation(n + m).astype("f"), [n])
    gap = np.searchsorted(np.sort(y), np.arange(n + m), side="right") / n
    gap -= np.searchsorted(np.sort(w), np.arange(n + m), side="right") / m
    np.testing.assert_allclose(steps(y, w), [np.mean(gap**2), np.abs(gap).max()], rtol=1e-5)


entries = strategies.one_of(strategies.floats(-5, 5, width=32), strategies.sampled_from([0.0, 1.0, 1e4, -1e4]))


@hypothesis.given(strategies.data())
def test_any_finite_samples_have_a_finite_value_and_gradient(data):
    sizes = data.draw(strategies.sampled_from([(1, 1), (12, 9), (9, 9)]))
    y, w = (
        np.resize(np.float32(data.draw(strategies.lists(entries, min_size=1, max_size=min(n, 20)))), n) for n in sizes
    )
    value = everything(y, w)
    assert np.isfinite(value).all()
    assert (value >= 0).all()
    assert (value[5:] <= 1 + 1e-6).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients(y, w))


@pytest.mark.fast
def test_nan_is_never_hidden():
    y, w = map(np.float32, pair(12, 9))
    for place in (0, 1):
        samples = [y.copy(), w.copy()]
        samples[place][2] = np.nan
        rows = [np.stack([sample, clean]) for sample, clean in zip(samples, (y, w), strict=True)]
        np.testing.assert_array_equal(np.isnan(everything(*rows).reshape(7, 2)), [[True, False]] * 7)


def test_infinities_are_as_documented():
    y, w = map(np.float32, pair(12, 9))
    y[3] = np.inf
    np.testing.assert_array_equal(losses(y, w), np.inf)
    w[0] = np.inf
    assert np.isnan(losses(y, w)).all()
    np.testing.assert_array_equal(steps(y, w), steps(*(np.where(np.isinf(a), np.float32(100), a) for a in (y, w))))


@pytest.mark.fast
@pytest.mark.parametrize("distance", LOSSES[:1] + LOSSES[-1:] + STEPS, ids=name)
def test_bad_shapes_are_named(distance):
    with pytest.raises(ValueError, match=r"w must be a non-empty sample .* \(2, 0\)"):
        distance(jnp.ones((2, 3)), jnp.ones((2, 0)))
    with pytest.raises(ValueError, match=r"y must be a non-empty sample"):
        distance(jnp.float32(1), jnp.ones(3))
    with pytest.raises(ValueError, match=r"leading axes .* \(2, 3\), w.shape = \(3,\)"):
        jax.eval_shape(distance, jnp.ones((2, 3)), jnp.ones(3))
    with pytest.raises(TypeError, match="y must be a real array"):
        distance(jnp.ones(3, jnp.complex64), jnp.ones(3))


@pytest.mark.fast
@pytest.mark.parametrize("order", [0.5, 0, -1, np.inf, np.nan])
def test_bad_orders_are_named(order):
    with pytest.raises(ValueError, match="order"):
        two_sample.wasserstein(jnp.ones(3), jnp.ones(3), order=order)


def test_order_is_static():
    with pytest.raises(TypeError, match="order must be a static real number"):
        jax.jit(lambda order: two_sample.wasserstein(jnp.ones(3), jnp.ones(3), order=order))(2.0)
